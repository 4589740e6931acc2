//! Chores of the workspace, one subcommand each. Nothing here is part of what users install.

mod agree;
mod bench;
mod docs;
mod scale;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the workspace.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Holds the engine against the naive engine, on any number of random worlds
    Agree(agree::Arguments),
    /// Measures what docs/benchmarks.md promises, and says what is met. Needs root
    Bench(bench::Arguments),
    /// Writes what the documentation shows of the commands anew: help, answers, maps, the table of contents
    Docs,
    /// Measures the engine on generated clusters of real and larger sizes
    Scale(scale::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Agree(arguments) => agree::run(&arguments),
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Docs => docs::run(),
        Chore::Scale(arguments) => scale::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
