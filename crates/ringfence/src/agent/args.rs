//! What `ringfence agent`, `status` and `attest` can be told.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use ringfence_datapath::options::Table;

use crate::cli::ExplainFormat;

/// Enforce a cluster's policies on this node
///
/// Watches the API server for pods, namespaces and policies, and keeps the kernel of this node at what they say. What is
/// in force stays in force while the agent is down, is replaced by another version, or cannot reach the API server; only
/// `ringfence agent uninstall` takes it away. Needs root, or the capabilities CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and
/// CAP_SYS_RESOURCE, and a BPF file system.
///
/// Exit status: 0 after SIGTERM or SIGINT, 2 if it could not begin.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AgentCommand>,

    /// This node's name in the cluster
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub(crate) node_name: Option<String>,

    /// The kubeconfig that says where the cluster is [default: inside a cluster the pod's own account]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// The context in the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Where this node's pods live; may be given several times [default: the podCIDRs of its Node object]
    #[arg(long = "pod-cidr", value_name = "CIDR")]
    pub(crate) pod_cidrs: Vec<IpNet>,

    /// What becomes of an address in that range that no pod has
    #[arg(long, value_name = "WHAT", default_value = "deny")]
    pub(crate) unknown_endpoints: Unknown,

    /// Where /healthz, /readyz and /metrics are asked for
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:9964")]
    pub(crate) listen: SocketAddr,

    /// Answer on the node's socket only
    #[arg(long, conflicts_with = "listen")]
    pub(crate) no_listen: bool,

    /// How many rows a table of the kernel can hold, such as rules=2000000; may be given several times
    #[arg(long = "table", value_name = "TABLE=ROWS", value_parser = table)]
    pub(crate) tables: Vec<(Table, u32)>,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    Uninstall(UninstallArgs),
}

/// Remove everything that an agent has left on this node: no policy is enforced here any more
///
/// Refused while an agent is running.
#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Where an agent is found on its node.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The folder of the BPF file system that holds what is in force
    #[arg(long, value_name = "FOLDER", default_value = "/sys/fs/bpf/ringfence")]
    pub(crate) pins: PathBuf,

    /// The socket on which the agent answers
    #[arg(long, value_name = "FILE", default_value = SOCKET)]
    pub(crate) socket: PathBuf,
}

const SOCKET: &str = "/run/ringfence/agent.sock";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unknown {
    /// It is denied, and reported
    Deny,
    /// It passes as if it were outside
    Allow,
}

/// Say whether the policies are enforced on this node, since when, or why not
///
/// Exit status: 0 if every policy is enforced, 1 if one is not, 2 if the agent does not answer.
#[derive(Debug, Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub(crate) struct StatusArgs {
    /// The socket on which the agent answers
    #[arg(long, value_name = "FILE", default_value = SOCKET)]
    pub(crate) socket: PathBuf,

    /// Only the policies of this namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// The format of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: ExplainFormat,
}

/// Read the kernel's tables of this node back, and compare them with what the policies say, entry by entry
///
/// Exit status: 0 if they are equal, 1 if not, 2 if the agent does not answer or knows too little.
#[derive(Debug, Args)]
pub(crate) struct AttestArgs {
    /// The socket on which the agent answers
    #[arg(long, value_name = "FILE", default_value = SOCKET)]
    pub(crate) socket: PathBuf,

    /// The format of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: ExplainFormat,
}

fn table(text: &str) -> Result<(Table, u32), String> {
    let names = || Table::ALL.map(Table::name).join(", ");
    let (name, rows) = text.split_once('=').ok_or("write it as rules=2000000")?;
    let table = Table::ALL.into_iter().find(|table| table.name() == name);
    let table = table.ok_or_else(|| format!("there is no table `{name}`; there are {}", names()))?;
    let rows = rows.parse().ok().filter(|rows| *rows >= 2);
    Ok((table, rows.ok_or("the number of rows must be a whole number from 2 on")?))
}

const EXAMPLES: &str = "\
Examples:
  # As a pod of a DaemonSet, which gives NODE_NAME
  ringfence agent

  # By hand, on a node of the cluster that a kubeconfig names
  ringfence agent --node-name worker-1 --kubeconfig /etc/ringfence/kubeconfig

  # Everything that it has left, gone
  ringfence agent uninstall";

const STATUS_EXAMPLES: &str = "\
Examples:
  # On a node
  ringfence status

  # Whether one namespace's policies are in force, for a script
  ringfence status -n shop -o json";
