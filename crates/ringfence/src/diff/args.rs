//! What can be typed after `ringfence diff`.

use clap::{Args, ValueEnum};

use crate::cli::InputArgs;

/// Show what a change opens and closes
///
/// Both sides are read as manifests and compared by what they mean: every pair of workloads, every outside address, every
/// protocol and port. What is only spelled differently is no change.
///
/// Exit status: 0 if both mean the same for the workloads in them, 1 if anything changed or it cannot be told, 2 if one of
/// them could not be read.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// What was: a file, a folder, - for standard input, git:REVISION:PATH, or cluster:[CONTEXT] of the kubeconfig
    #[arg(value_name = "OLD")]
    pub(crate) old: String,

    /// What is to be, as OLD
    #[arg(value_name = "NEW")]
    pub(crate) new: String,

    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// List every connection; otherwise long lists are cut, and say so
    #[arg(long)]
    pub(crate) all: bool,

    /// The format of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: DiffFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// For people
    Table,
    /// For programs
    Json,
    /// For a pull request
    Markdown,
}

const EXAMPLES: &str = "\
Examples:
  # Before and after an edit
  ringfence diff old/ new/

  # What this branch changes, against main; PATH starts at the repository's root, ./PATH here
  ringfence diff git:main:deploy deploy/

  # What these manifests would change in the cluster of the kubeconfig; what has come apart between two clusters
  ringfence diff cluster: deploy/
  ringfence diff cluster:staging cluster:production

  # What an upgrade of a chart changes
  helm template shop ./chart | ringfence diff rendered.yaml -

  # As a comment on a pull request
  ringfence diff git:origin/main:deploy deploy/ -o markdown";
