//! `ringfence verify`: assertions about who may reach whom, put to the engine's map.
//!
//! What is absent: nothing is decided here. Of pods that could be created (`possible.rs`) copies of the world are asked
//! that have them.

pub(crate) mod args;
mod check;
mod places;
mod portnames;
mod possible;
pub(crate) mod read;
mod sarif;
mod scene;
pub(crate) mod selector;
mod show;
mod spot;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use ringfence_policy::{Engine, Mapped};

use self::args::{VerifyArgs, VerifyFormat};
use self::read::Assertion;
use crate::cli;
use crate::complaint::Complaint;
use crate::diagnostics;
use crate::input;
use crate::notes;
use crate::terminal::Terminal;

/// Reads, asks and shows.
pub(crate) fn run(args: &VerifyArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let text = text(&args.assertions)?;
    let input = input::read(&args.paths, &args.input, terminal)?;
    let mapped = Mapped::new(input.engine);
    let assertions = assertions(&args.assertions, &text, mapped.engine(), terminal)?;
    let outcomes = check::all(&mapped, &assertions, args.allow_empty);
    let name = args.assertions.display().to_string();
    let text = match args.output {
        VerifyFormat::Text => show::text(&outcomes, terminal.palette()),
        VerifyFormat::Json => show::json(&outcomes),
        VerifyFormat::Junit => show::junit(&name, &outcomes),
        VerifyFormat::Sarif => sarif::render(&outcomes),
    };
    terminal.answer(&text)?;
    if let Some(note) = notes::unknown_pod_addresses(mapped.engine()) {
        terminal.note(&note);
    }
    let all_hold = outcomes.iter().all(check::Outcome::holds);
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::from(cli::DENIED) })
}

/// The text of a file of assertions.
///
/// # Errors
///
/// If it cannot be read.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("the assertions cannot be read: {}", path.display()))
}

/// The assertions of a text, about the pods of a world. What is wrong with them is reported on standard error.
///
/// # Errors
///
/// If anything is wrong with them.
pub(crate) fn assertions(
    path: &Path,
    text: &str,
    engine: &Engine,
    terminal: &Terminal,
) -> anyhow::Result<Vec<Assertion>> {
    let name = path.display().to_string();
    let read = read::assertions(&name, text, engine);
    for finding in &read.findings {
        terminal.aside(&diagnostics::finding(finding, &read.sources, terminal.colors_errors()));
    }
    if read.findings.is_empty() {
        return Ok(read.assertions);
    }
    let complaint = Complaint::new(format!("{name}: the assertions could not be read as they are"));
    Err(complaint.help("correct the places above; docs/verify.md has the format").into())
}
