//! What can be typed behind `ringfence check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ringfence_k8s::Level;

use crate::cli::InputArgs;

/// Find pitfalls in the policies, with the whole inventory in view
///
/// Exit status: 0 without findings, 1 with findings of the level that --fail-on names, 2 if the input could not be read.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Manifests: a file, a folder with all that is in it, or - for standard input. None: the cluster of the kubeconfig
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// The format of the findings
    #[arg(short, long, value_name = "FORMAT", default_value = "full")]
    pub(crate) output: CheckFormat,

    /// The lowest level of a finding that makes the exit status 1
    #[arg(long, value_name = "LEVEL", default_value = "warning")]
    pub(crate) fail_on: FailOn,

    /// Mend what can safely be mended, in place; comments and layout stay
    #[arg(long, requires = "paths")]
    pub(crate) fix: bool,

    /// Suppressions and levels [default: the ringfence.toml nearest above the first PATH]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the page of a code, such as RF010, or the list of all codes
    #[arg(long, value_name = "CODE", num_args = 0..=1, default_missing_value = "all", conflicts_with = "fix")]
    pub(crate) explain: Option<String>,
}

/// How findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people, with the text underlined
    Full,
    /// For people, a line for each
    Concise,
    /// For programs
    Json,
    /// For code scanning, version 2.1.0
    Sarif,
    /// Annotations of a GitHub workflow
    Github,
    /// For CI that shows test results
    Junit,
    /// For the comment on a pull request
    Markdown,
}

/// From which level on findings fail the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Only errors
    Error,
    /// Errors and warnings
    Warning,
    /// Any finding
    Note,
    /// Never
    Never,
}

impl FailOn {
    /// Whether a finding of this level fails the command.
    pub(crate) fn fails(self, level: Level) -> bool {
        match self {
            FailOn::Error => level >= Level::Error,
            FailOn::Warning => level >= Level::Warning,
            FailOn::Note => true,
            FailOn::Never => false,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  # All that is doubtful in these manifests
  ringfence check k8s/

  # Rendered manifests, a line for each finding
  helm template shop ./chart | ringfence check - -o concise -n shop

  # The cluster of the kubeconfig, as it is now
  ringfence check --context production

  # What a code means
  ringfence check --explain RF010

  # In CI: code scanning, without failing the job
  ringfence check k8s/ -o sarif --fail-on never > ringfence.sarif

  # Mend what can safely be mended
  ringfence check k8s/ --fix";
