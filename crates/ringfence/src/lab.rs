//! `ringfence lab`: the manifests as a cluster in network namespaces, probed and enforced for real.
//!
//! The lab builds and measures, the datapath enforces, the engine promises; this compares and shows. An end by Ctrl-C
//! needs no care: namespaces, sockets and BPF links are held by this process alone, and go with it.

mod assertions;
mod command;
mod json;
mod measured;
mod progress;
mod report;
mod rounds;
mod teller;
mod watch;

use std::process::ExitCode;

use anyhow::Context;
use ringfence_lab::{Lab, Options, node_names, trial};
use ringfence_policy::{Engine, Policy};

use crate::cli::{DENIED, ExplainFormat, LabArgs};
use crate::complaint::Complaint;
use crate::input::{self, Input};
use crate::lab::progress::Progress;
use crate::lab::rounds::Trial;
use crate::lab::watch::Watch;
use crate::terminal::Terminal;
use crate::verify::{self, read::Assertion};

/// Runs the command.
pub(crate) fn run(args: &LabArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    check_machine()?;
    // Before anything is read, so that no edit is missed.
    let watch = args.watch.then(|| Watch::new(&args.paths)).transpose()?;
    let input = input::read(&args.paths, &args.input, terminal)?;
    let mut progress = Progress::new();
    let asserted = args.verify.as_deref().map(|path| {
        let text = verify::text(path)?;
        verify::assertions(path, &text, &input.engine, terminal)
    });
    let asserted = asserted.transpose()?;
    let lab = build(args, &input, asserted.as_deref().unwrap_or_default(), &mut progress)?;
    for note in &lab.plan().notes {
        terminal.note(&note.to_string());
    }
    if args.shell.is_some() || !args.command.is_empty() {
        return command::run(args, &lab, &input);
    }

    if let Some(asserted) = asserted {
        return assertions::run(args, &lab, &input, &asserted, &mut progress, terminal);
    }

    let trial = Trial::run(&lab, &input.inventory, !args.no_policies, &mut progress)?;
    let differences = trial.differences(&lab);
    match args.output {
        ExplainFormat::Text => {
            terminal.answer(&report::text(&lab, &trial, &differences, terminal.palette()))?
        }
        ExplainFormat::Json => terminal.answer(&json::text(&lab, &trial, &differences)?)?,
    }
    if let Some(watch) = watch {
        watch::run(args, &lab, &input, trial, &watch, terminal)?;
    }
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DENIED) })
}

/// The engine over the lab's own addresses.
fn engine(lab: &Lab, input: &Input, policies: &[Policy]) -> Engine {
    Engine::new(lab.plan().world(&input.inventory, policies))
}

fn build(
    args: &LabArgs,
    input: &Input,
    asserted: &[Assertion],
    progress: &mut Progress,
) -> anyhow::Result<Lab> {
    if input.inventory.pods().is_empty() {
        return Err(Complaint::new("these manifests run no pods, so there is nothing to put into a lab")
            .help("name the application's manifests beside the policies")
            .into());
    }
    let mut outside = trial::interesting_outside(&input.engine, args.dual_stack);
    outside.extend(assertions::outside(asserted, args.dual_stack));
    let options = Options {
        nodes: node_names(args.nodes.into()),
        dual_stack: args.dual_stack,
        max_replicas: args.max_replicas,
        outside,
    };
    let lab =
        Lab::build(&input.inventory, &options, &mut |stage, done, total| progress.build(stage, done, total));
    progress.clear();
    lab.context("the lab could not be built")
}

/// Says what this machine lacks, before anything is tried.
fn check_machine() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Complaint::new(
            "the lab needs root: it makes network namespaces and loads a BPF program",
        )
        .help("run it with sudo; it changes nothing in this machine's own network")
        .into());
    }
    let missing = ringfence_datapath::requirements::missing();
    if missing.is_empty() {
        return Ok(());
    }
    let complaint = Complaint::new("this machine cannot enforce policies");
    Err(missing.iter().fold(complaint, |c, m| c.help(m.to_string())).into())
}
