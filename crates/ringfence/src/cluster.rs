//! The cluster of the kubeconfig as input, where no manifests are named.

use ringfence_cluster::{Access, Error, causes};
use ringfence_k8s::Node;

use crate::cli::InputArgs;
use crate::complaint::Complaint;
use crate::terminal::Terminal;

/// Everything that the cluster has and that matters, as lists of objects. `context` goes before that of the arguments.
///
/// # Errors
///
/// If there is no cluster to be asked, or it does not let everything be listed that answers rest on.
pub(crate) fn read(
    context: Option<&str>,
    args: &InputArgs,
    terminal: &Terminal,
) -> anyhow::Result<Vec<Node>> {
    let access = Access {
        kubeconfig: args.kubeconfig.clone(),
        context: context.map(str::to_owned).or_else(|| args.context.clone()),
        namespace: args.namespace.clone(),
    };
    let snapshot = ringfence_cluster::read(&access).map_err(complaint)?;
    for note in &snapshot.notes {
        terminal.note(note);
    }
    Ok(snapshot.lists)
}

fn complaint(error: Error) -> anyhow::Error {
    let help = match &error {
        Error::Kubeconfig { .. } => vec![
            "no manifests are named, so the cluster of the kubeconfig is asked",
            "name files or folders, or - for standard input; or a cluster by --kubeconfig and --context",
        ],
        Error::Forbidden { .. } => vec![
            "without it the answers would be wrong; docs/cluster.md has the least rights as a ClusterRole",
            "-n NAMESPACE is enough to look at one namespace by its own policies",
        ],
        Error::Unauthorized { .. } => vec!["log in again; `kubectl get pods` shows whether that helped"],
        Error::Client { .. } | Error::Unreachable { .. } => {
            vec!["`kubectl cluster-info` shows whether the cluster can be reached from here"]
        }
        Error::Refused { .. } | Error::Malformed { .. } | Error::Runtime(_) => Vec::new(),
    };
    help.into_iter().fold(Complaint::new(causes(&error)), |complaint, help| complaint.help(help)).into()
}
