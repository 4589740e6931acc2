//! What can be typed after `ringfence verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::InputArgs;

/// Check assertions about who may reach whom
///
/// Over all pods of the input and all outside addresses; with `anyPod` over every pod that could be created with some labels
/// too. `ringfence lab PATH... --verify FILE` measures the same assertions with real packets.
///
/// Exit status: 0 if all hold, 1 if one is violated or not proven, 2 if the assertions or the input could not be read.
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
    /// For CI that shows test results
    Junit,
    /// For code scanning, at the places of the assertions
    Sarif,
}

const EXAMPLES: &str = "\
Examples:
  # A file of assertions: who may reach the database, and that nobody else may, not even a pod that is yet to come
  cat > assertions.yaml <<EOF
  assertions:
  - name: the api uses the database
    allow: {from: {workload: api}, to: {workload: db}, ports: [5432]}
  - name: the internet stays out of the data zone
    deny: {from: external, to: {zone: data}}
  - name: only pods that are labelled as the api reach the database
    only: {from: {anyPod: {namespace: shop, labels: {app: api}}}, to: {workload: db}, ports: [5432]}
  EOF
  ringfence verify -a assertions.yaml k8s/

  # The cluster of the kubeconfig
  ringfence verify -a assertions.yaml --context production

  # For CI: test results, code scanning
  ringfence verify -a assertions.yaml k8s/ -o junit > verify.xml
  ringfence verify -a assertions.yaml k8s/ -o sarif > verify.sarif

  # The same with real packets, in network namespaces
  sudo ringfence lab k8s/ --verify assertions.yaml";
