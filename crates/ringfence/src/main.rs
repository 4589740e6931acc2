//! The `ringfence` command: it reads the input, asks the engine and shows what the engine says.
//!
//! What is absent: nothing here decides who may talk to whom. Each subcommand has a module; `cli` is what can be
//! typed, `input` what is read, `terminal` what is written.

mod agent;
mod because;
mod check;
mod cli;
mod cluster;
mod complaint;
mod diagnostics;
mod diff;
mod ends;
mod escape;
mod explain;
mod files;
mod input;
mod lab;
mod map;
mod normalize;
mod notes;
mod ports;
mod ranges;
mod reference;
mod sarif;
mod shell;
mod table;
mod target;
mod terminal;
mod verify;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::terminal::Terminal;

/// Reading makes and drops millions of small values, on several threads (docs/adr/0013-an-allocator.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    let terminal = Terminal::new(cli.color);
    let status = match &cli.command {
        Command::Check(args) => check::run(args, &terminal),
        Command::Map(args) => map::run(args, &terminal),
        Command::Diff(args) => diff::run(args, &terminal),
        Command::Explain(args) => explain::run(args, &terminal),
        Command::Verify(args) => verify::run(args, &terminal),
        Command::Lab(args) => lab::run(args, &terminal),
        Command::Agent(args) => agent::run(args, &terminal),
        Command::Status(args) => agent::status(args, &terminal),
        Command::Attest(args) => agent::attest(args, &terminal),
        Command::Normalize(args) => normalize::run(args, &terminal),
        Command::Completion(args) => shell::completion(args, &terminal),
        Command::Man(args) => shell::man(args, &terminal),
        Command::LabChild { arguments } => return ringfence_lab::child::main(arguments),
    };
    match status {
        Ok(code) => code,
        Err(error) => {
            terminal.complain(&error);
            ExitCode::from(cli::UNREADABLE)
        }
    }
}
