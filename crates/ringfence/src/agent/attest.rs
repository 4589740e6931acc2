//! `ringfence attest`: whether the kernel holds what the policies say.

use std::process::ExitCode;

use ringfence_agent::report::Attestation;

use super::args::AttestArgs;
use super::ask::ask;
use crate::cli::{DENIED, ExplainFormat};
use crate::terminal::Terminal;

/// Asks and shows.
pub(crate) fn run(args: &AttestArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let attestation: Attestation = ask(&args.socket, "/v1/attest")?;
    match args.output {
        ExplainFormat::Json => terminal.answer(&format!("{:#}\n", serde_json::to_value(&attestation)?))?,
        ExplainFormat::Text => terminal.answer(&text(&attestation, terminal))?,
    }
    Ok(if attestation.equal { ExitCode::SUCCESS } else { ExitCode::from(DENIED) })
}

fn text(attestation: &Attestation, terminal: &Terminal) -> String {
    let palette = terminal.palette();
    let node = &attestation.node;
    let mut text = match attestation.equal {
        true => palette.allowed(&format!("the kernel of node {node} holds exactly what the policies say")),
        false => {
            let count = attestation.difference_count;
            let entries = if count == 1 { "1 entry" } else { &format!("{count} entries") };
            palette
                .denied(&format!("the kernel of node {node} differs from what the policies say in {entries}"))
        }
    };
    text.push('\n');
    for compared in &attestation.compared {
        text.push_str(&format!("  {:<10} {:>9} compared\n", compared.table, compared.entries));
    }
    for difference in &attestation.differences {
        text.push_str(&format!("  {difference}\n"));
    }
    let untold = attestation.difference_count.saturating_sub(attestation.differences.len());
    if untold > 0 {
        text.push_str(&format!("  and {untold} more\n"));
    }
    text
}
