//! `ringfence diff`: what a change opens and closes, as the engine's [`Comparison`] says; here it is read, ranked and
//! shown.
//!
//! What is absent: nothing is compared here.

pub(crate) mod args;
mod git;
mod json;
mod markdown;
mod model;
mod present;
mod read;
mod table;

use std::process::ExitCode;

use ringfence_policy::{Comparison, Engine, Mapped, World};

use self::args::{DiffArgs, DiffFormat};
use self::model::Diff;
use crate::cli;
use crate::input;
use crate::terminal::Terminal;

/// Reads both, compares and shows.
pub(crate) fn run(args: &DiffArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let (old, new) = read::both(args, terminal)?;
    let (old, new) = mapped(old, new);
    let comparison = Comparison::new(&old, &new);
    let diff = Diff::new(&old, &new, &comparison);
    match args.output {
        DiffFormat::Table => {
            terminal.stream(|out| table::write(&diff, args.all, terminal.palette(), out))?;
        }
        DiffFormat::Json => terminal.stream(|out| json::write(&diff, out))?,
        DiffFormat::Markdown => terminal.stream(|out| markdown::write(&diff, args.all, out))?,
    }
    for note in &diff.notes {
        terminal.note(note);
    }
    let code = if diff.is_equivalent() { ExitCode::SUCCESS } else { ExitCode::from(cli::DENIED) };
    input::leave(diff);
    input::leave(comparison);
    input::leave((old, new));
    Ok(code)
}

/// Both worlds compiled and mapped, at the same time: that is most of the work.
fn mapped(old: World, new: World) -> (Mapped, Mapped) {
    std::thread::scope(|scope| {
        let old = scope.spawn(|| Mapped::new(Engine::new(old)));
        let new = Mapped::new(Engine::new(new));
        let old = old.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (old, new)
    })
}
