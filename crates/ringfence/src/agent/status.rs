//! `ringfence status`: whether the policies are enforced on this node.

use std::process::ExitCode;

use ringfence_agent::report::{Enforcement, PolicyReport, Report, SourceState};

use super::args::StatusArgs;
use super::ask::ask;
use crate::cli::{DENIED, ExplainFormat};
use crate::table::columns;
use crate::terminal::{Palette, Terminal};

/// Asks and shows.
pub(crate) fn run(args: &StatusArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let mut report: Report = ask(&args.socket, "/v1/status")?;
    if let Some(namespace) = &args.namespace {
        report.policies.retain(|policy| policy.namespace == *namespace);
        report.problems.retain(|problem| problem.namespace == *namespace);
    }
    match args.output {
        ExplainFormat::Json => terminal.answer(&format!("{:#}\n", serde_json::to_value(&report)?))?,
        ExplainFormat::Text => terminal.answer(&text(&report, terminal.palette()))?,
    }
    let all = matches!(report.enforcement, Enforcement::InForce { .. })
        && report.policies.iter().all(|p| p.enforced);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(DENIED) })
}

fn text(report: &Report, palette: Palette) -> String {
    let mut text = format!("{}\n", headline(report, palette));
    let endpoints = match report.endpoints {
        1 => "1 address of its pods".to_owned(),
        count => format!("{count} addresses of its pods"),
    };
    let ranges = match report.pod_ranges.as_slice() {
        [] => String::new(),
        ranges => format!("; whatever else is in {} is denied", ranges.join(" and ")),
    };
    text.push_str(&format!("{endpoints}{ranges}\n"));
    for source in report.sources.iter().filter(|s| s.state == SourceState::Stale || s.why.is_some()) {
        let since = source.stale_seconds.map(|s| format!(" for {s} s")).unwrap_or_default();
        let why = source.why.as_deref().unwrap_or("no answer");
        text.push_str(&format!("{}{since}: {why}\n", palette.denied(&format!("no news of {}", source.kind))));
    }
    for weakness in &report.weaknesses {
        text.push_str(&format!("{}: {weakness}\n", palette.accent("weaker")));
    }
    if report.policies.is_empty() {
        text.push_str("no policies\n");
        return text;
    }
    let headings = ["POLICY", "PODS HERE", "ENFORCED", "SINCE", "REMARK"];
    let rows: Vec<Vec<String>> = report.policies.iter().map(row).collect();
    text.push('\n');
    text + &columns(&headings, &rows, palette, |column, cell| match (column, cell) {
        (2, "yes") => palette.allowed(cell),
        (2, _) => palette.denied(cell),
        _ => cell.to_owned(),
    })
}

fn headline(report: &Report, palette: Palette) -> String {
    let node = &report.node;
    match &report.enforcement {
        Enforcement::InForce { since } => {
            format!("{} on node {node}, since {}", palette.allowed("in force"), second(since))
        }
        Enforcement::Behind { since, why } => {
            let what = palette.denied("what was told since is not in force");
            format!("{what} on node {node} since {}: {why}", second(since))
        }
        Enforcement::Waiting { for_kinds, left, why } => {
            let before = if *left { "what an agent before this one left is" } else { "nothing is" };
            let kinds = for_kinds.join(", ");
            let reason = why.clone().unwrap_or_else(|| format!("waiting for {kinds}"));
            format!("{} on node {node}: {before} in force, {reason}", palette.denied("not ready"))
        }
    }
}

fn row(policy: &PolicyReport) -> Vec<String> {
    let name = match policy.kind.as_str() {
        "NetworkPolicy" => format!("{}/{}", policy.namespace, policy.name),
        kind => format!("{kind}/{}", policy.name),
    };
    let enforced = if policy.enforced { "yes" } else { "no" };
    let why = policy.why.clone().unwrap_or_default();
    vec![name, policy.endpoints.to_string(), enforced.to_owned(), second(&policy.since).to_owned(), why]
}

/// A time without fractions of a second.
fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}
