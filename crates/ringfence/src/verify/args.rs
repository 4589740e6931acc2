//! What can be typed after `ringfence verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::InputArgs;

/// Check assertions about who may reach whom
///
/// Exit status: 0 if all hold, 1 if one is violated, 2 if the assertions or the input could not be read.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The assertions, a YAML file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) assertions: PathBuf,

    /// Manifests: a file, a folder with all that is in it, or - for standard input. None: the cluster of the kubeconfig
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// An assertion that selects nothing holds; otherwise it is violated
    #[arg(long)]
    pub(crate) allow_empty: bool,

    /// The format of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: VerifyFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// For CI
    Junit,
}

const EXAMPLES: &str = "\
Examples:
  # The assertions of this folder
  ringfence verify -a assertions.yaml k8s/

  # The cluster of the kubeconfig
  ringfence verify -a assertions.yaml --context production

  # For CI
  ringfence verify -a assertions.yaml k8s/ -o junit > verify.xml";
