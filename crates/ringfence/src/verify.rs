//! `ringfence verify`: assertions about who may reach whom, put to the engine's map.
//!
//! What is absent: nothing is decided here. Assertions are about the pods of the input and outside addresses; pods that
//! might come are another matter.

pub(crate) mod args;
mod check;
mod read;
mod show;

use std::process::ExitCode;

use anyhow::Context;
use ringfence_policy::Mapped;

use self::args::{VerifyArgs, VerifyFormat};
use crate::cli;
use crate::complaint::Complaint;
use crate::diagnostics;
use crate::input;
use crate::terminal::Terminal;

/// Reads, asks and shows.
pub(crate) fn run(args: &VerifyArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let name = args.assertions.display().to_string();
    let text = std::fs::read_to_string(&args.assertions)
        .with_context(|| format!("the assertions cannot be read: {name}"))?;
    let input = input::read(&args.paths, &args.input, terminal)?;
    let mapped = Mapped::new(input.engine);
    let read = read::assertions(&name, &text, mapped.engine());
    for finding in &read.findings {
        terminal.aside(&diagnostics::finding(finding, &read.sources, terminal.colors_errors()));
    }
    if !read.findings.is_empty() {
        return Err(Complaint::new(format!("{name}: the assertions could not be read as they are"))
            .help("correct the places above; docs/verify.md has the format")
            .into());
    }
    let results = check::all(&mapped, &read.assertions, args.allow_empty);
    let failed = results.iter().any(|result| result.violation.is_some());
    let text = match args.output {
        VerifyFormat::Text => show::text(&results, terminal.palette()),
        VerifyFormat::Json => show::json(&results),
        VerifyFormat::Junit => show::junit(&name, &results),
    };
    terminal.answer(&text)?;
    Ok(if failed { ExitCode::from(cli::DENIED) } else { ExitCode::SUCCESS })
}
