//! What `ringfence normalize` can be told.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::InputArgs;

/// Print the policies as the API server would store them
///
/// Defaults are written (policyTypes, protocol, namespace), what is empty is dropped where the server drops it, keys are
/// in the order in which kubectl prints them; NetworkPolicies of extensions/v1beta1 become networking.k8s.io/v1. The
/// policies are sorted by kind, namespace and name; of two of one name the later stands. Labels and annotations are all
/// kept; what only a server sets (status, uid, resourceVersion and the like) is left out. Objects of other kinds are not
/// printed. Normalising twice changes nothing, and the meaning is never changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NormalizeArgs {
    /// Manifests: a file, a folder with all that is in it, or - for standard input. None: the cluster of the kubeconfig
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// The namespace of policies that do not say theirs [default: default]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// Go on without what cannot be read, after reporting it
    #[arg(long)]
    pub(crate) skip_invalid: bool,

    /// Where no PATH is given: the kubeconfig that says where the cluster is [default: as kubectl]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Where no PATH is given: the context in the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// The format of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: NormalizeFormat,
}

impl NormalizeArgs {
    pub(crate) fn input(&self) -> InputArgs {
        InputArgs {
            namespace: self.namespace.clone(),
            skip_invalid: self.skip_invalid,
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            ..InputArgs::default()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NormalizeFormat {
    /// Documents, each after the first with a line of dashes before it
    Yaml,
    /// One Kubernetes List
    Json,
}

const EXAMPLES: &str = "\
Examples:
  # What the server makes of these policies
  ringfence normalize k8s/

  # Whether two spellings are one policy
  diff <(ringfence normalize old.yaml) <(ringfence normalize new.yaml)

  # What is in Git against what is in a namespace of the cluster
  kubectl get networkpolicies -n shop -o yaml | ringfence normalize - | diff <(ringfence normalize k8s/ -n shop) -

  # All policies of the cluster
  ringfence normalize --context production";
