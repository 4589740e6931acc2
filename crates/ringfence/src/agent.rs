//! `ringfence agent`, `status` and `attest`: the node agent, and what it says of itself. The agent itself is a crate.

pub(crate) mod args;
mod ask;
mod attest;
mod status;

use std::process::ExitCode;

use ringfence_agent::{Options, RunError, worker::Settings};
use ringfence_cluster::watch::Pace;
use ringfence_cluster::{Access, causes};
use ringfence_datapath::conntrack::Conntrack;
use ringfence_datapath::pins;

use self::args::{AgentArgs, AgentCommand, UninstallArgs, Unknown};
use crate::complaint::Complaint;
use crate::terminal::Terminal;

pub(crate) use attest::run as attest;
pub(crate) use status::run as status;

/// Runs the agent until it is told to end, or removes it.
pub(crate) fn run(args: &AgentArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    if let Some(AgentCommand::Uninstall(args)) = &args.command {
        return uninstall(args, terminal);
    }
    let Some(node) = args.node_name.clone() else {
        return Err(Complaint::new("this node's name in the cluster is not known")
            .help("give it with --node-name, or in NODE_NAME from the pod's spec.nodeName")
            .into());
    };
    let mut tables = ringfence_datapath::Options::default();
    for (table, rows) in &args.tables {
        tables.set_entries(*table, *rows);
    }
    let options = Options {
        settings: Settings {
            node,
            pod_ranges: args.pod_cidrs.clone(),
            allow_unknown: args.unknown_endpoints == Unknown::Allow,
        },
        access: Access {
            kubeconfig: args.kubeconfig.clone(),
            context: args.context.clone(),
            namespace: None,
        },
        pace: Pace::default(),
        tables,
        pins: args.place.pins.clone(),
        socket: args.place.socket.clone(),
        listen: (!args.no_listen).then_some(args.listen),
    };
    ringfence_agent::run(options).map_err(complaint)?;
    Ok(ExitCode::SUCCESS)
}

fn uninstall(args: &UninstallArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let removed = pins::remove(&args.place.pins).map_err(|error| Complaint::new(causes(&error)))?;
    Conntrack::remove().map_err(|error| Complaint::new(causes(&error)))?;
    terminal.answer(&format!("removed from this node: {removed}; no policy is enforced here any more\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn complaint(error: RunError) -> anyhow::Error {
    let complaint = Complaint::new(causes(&error));
    match error {
        RunError::Cluster(_) => complaint
            .help("in a cluster the pod's own account is used; elsewhere give a --kubeconfig")
            .help("docs/agent.md has the least rights as a ClusterRole"),
        RunError::Listen { .. } => complaint.help("--listen ADDRESS:PORT chooses another, --no-listen none"),
        _ => complaint,
    }
    .into()
}
