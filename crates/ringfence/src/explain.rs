//! `ringfence explain`: one question, the engine's answer, and the reasons in the user's own lines.

mod answer;
mod fix;
mod json;
mod manifest;
pub(crate) mod party;
mod question;
mod quote;
mod repair;
pub(crate) mod rule;
pub(crate) mod service;
mod syntax;
mod text;

use std::process::ExitCode;

use ringfence_policy::Direction;

use self::answer::Answers;
use self::question::Question;
use crate::cli::{self, ExplainArgs, ExplainFormat};
use crate::complaint::Complaint;
use crate::ends::{Catalog, End};
use crate::input;
use crate::notes;
use crate::target;
use crate::terminal::Terminal;

/// Reads, asks and shows.
pub(crate) fn run(args: &ExplainArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let target = target::parse(&args.to)?;
    if args.from.parse::<std::net::IpAddr>().is_err() && args.from.contains(':') {
        return Err(Complaint::new(format!("`{}`: the source of a connection has no port", args.from))
            .help("policies see only the port of the destination: leave the source's out")
            .into());
    }
    let input = input::read_with_manifests(&args.paths, &args.input, terminal)?;
    let (engine, inventory) = (&input.engine, &input.inventory);
    let catalog = Catalog::new(engine, inventory, args.input.default_namespace());
    let (from, to) = (catalog.find(&args.from)?, catalog.find(&target.end)?);
    let question = Question::new(engine, inventory, from, to, target.port.as_ref())?;
    let answers = Answers::new(&question);
    let notes = notes_of(&question, &answers);
    let manifests =
        repair::Manifests { list: &input.manifests, default_namespace: args.input.default_namespace() };
    let repair = repair::find(&question, &answers, manifests);
    match args.output {
        ExplainFormat::Json => {
            terminal.answer(&json::render(&question, &answers, repair.as_ref(), &notes))?
        }
        ExplainFormat::Text => {
            let palette = terminal.palette();
            terminal.answer(&text::render(&question, &answers, repair.as_ref(), &input.sources, palette))?;
        }
    }
    for note in &notes {
        terminal.note(note);
    }
    Ok(if answers.allowed() { ExitCode::SUCCESS } else { ExitCode::from(cli::DENIED) })
}

/// What the answer rests on.
fn notes_of(question: &Question<'_>, answers: &Answers<'_>) -> Vec<String> {
    let engine = question.engine();
    let mut notes = question.notes.clone();
    let policies = |direction| {
        let sides = answers.all().map(move |a| a.side(direction));
        sides.flat_map(|s| s.holding.iter()).filter_map(|p| engine.policy(*p))
    };
    let blocks = [Direction::Egress, Direction::Ingress]
        .into_iter()
        .any(|d| policies(d).any(|p| notes::has_partial_block_in(p, d)));
    let between_pods = answers.all().any(|a| a.case.is_between_pods());
    if blocks && between_pods {
        notes.extend(notes::unknown_pod_addresses(engine));
    }
    notes
}

impl End<'_> {
    /// What is typed for it, in complaints.
    fn text(&self) -> String {
        match self {
            End::Pods(reference, _) => reference.text(),
            End::Service(service) => format!("Service {}/{}", service.namespace, service.name),
            End::Address(address) => address.to_string(),
            End::External => "external".to_owned(),
        }
    }
}
