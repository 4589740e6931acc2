//! `ringfence completion` and `ringfence man`: what shells and `man` want to know, all of it from the arguments' own
//! definitions.

pub(crate) mod args;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Command, CommandFactory};

use self::args::{CompletionArgs, ManArgs};
use crate::cli::Cli;
use crate::terminal::Terminal;

const NAME: &str = "ringfence";

/// Prints the script that teaches a shell to complete.
pub(crate) fn completion(args: &CompletionArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), NAME, &mut script);
    terminal.answer(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the man page, or writes a page for each command.
pub(crate) fn man(args: &ManArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command()).render(&mut page)?;
        terminal.answer(&String::from_utf8_lossy(&page))?;
        return Ok(ExitCode::SUCCESS);
    };
    let place = || format!("the man pages cannot be written to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(place)?;
    clap_mangen::generate_to(command(), folder).with_context(place)?;
    Ok(ExitCode::SUCCESS)
}

fn command() -> Command {
    Cli::command().name(NAME)
}
