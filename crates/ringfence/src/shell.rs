//! `ringfence completion` and `ringfence man`: what shells and `man` want to know, all of it from the arguments' own
//! definitions.

pub(crate) mod args;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

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
    let mut command = command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.folder else {
        terminal.answer(&page(&Man::new(command))?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let place = || format!("the man pages cannot be written to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(place)?;
    let subcommands = command.get_subcommands().filter(|c| !c.is_hide_set()).cloned();
    for command in subcommands.chain([command.clone()]) {
        let man = Man::new(command);
        std::fs::write(folder.join(man.get_filename()), page(&man)?).with_context(place)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A page, with a section of its own for what its command's help ends with.
fn page(man: &Man) -> anyhow::Result<String> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    Ok(page.replacen(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n", 1))
}

fn command() -> Command {
    Cli::command().name(NAME)
}
