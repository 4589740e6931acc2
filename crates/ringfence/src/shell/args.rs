//! What `ringfence completion` and `ringfence man` can be told.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Print the script that completes commands and options in a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Print the man page, or write the pages of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// Where to write a page for each command; it is made if it is not there
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

const COMPLETION_EXAMPLES: &str = "\
Examples:
  # bash, for one user
  ringfence completion bash > ~/.local/share/bash-completion/completions/ringfence

  # zsh, in a folder of $fpath
  ringfence completion zsh > ~/.zfunc/_ringfence

  # fish
  ringfence completion fish > ~/.config/fish/completions/ringfence.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  # Read it
  ringfence man | man -l -

  # Install the pages of all commands
  ringfence man ~/.local/share/man/man1";
