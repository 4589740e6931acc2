//! The lab by hand: a command or a shell in a pod, on a node or outside.

use std::ffi::OsString;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use ringfence_lab::enforce::Enforcement;
use ringfence_lab::{Helper, Lab, Launch, NodeId, Place, ranges};
use signal_hook::consts::{SIGINT, SIGQUIT};
use signal_hook::flag;

use crate::cli::{LAB_CHILD, LabArgs};
use crate::complaint::Complaint;
use crate::input::Input;
use crate::lab::engine;
use crate::lab::teller::Teller;

/// Runs the command under the policies, and ends with its exit status.
pub(crate) fn run(args: &LabArgs, lab: &Lab, input: &Input) -> anyhow::Result<ExitCode> {
    let (name, argv) = match &args.shell {
        Some(pod) => (pod, vec![std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())]),
        None => (&args.place, args.command.clone()),
    };
    let place = find(lab, name, args.input.default_namespace())?;
    let mut enforcement = Enforcement::attach(lab).context("the policies cannot be enforced")?;
    if !args.no_policies {
        let engine = engine(lab, input, &input.inventory.all_policies());
        enforcement.apply(&engine).context("the policies cannot be enforced")?;
    }
    let _teller = if args.events { Some(Teller::new(lab, &enforcement)?) } else { None };
    let mut launch = Launch::new(argv);
    if args.shell.is_some() {
        let prompt = OsString::from(format!("{name}# "));
        launch.environment.push(("PS1".into(), prompt));
    }
    let running = lab.spawn(place, launch, &Helper::this_program([LAB_CHILD]))?;
    // Ctrl-C is the command's; when it ends, so does the lab.
    for signal in [SIGINT, SIGQUIT] {
        // A handler that does nothing: unlike a signal that is ignored, the command does not inherit it.
        flag::register(signal, Arc::default()).context("the keyboard cannot be left to the command")?;
    }
    let status = running.wait().context("the command's end was missed")?;
    Ok(ExitCode::from(status))
}

/// A pod by `[namespace/]name` (a workload's name is its first pod), a node, or `outside`.
fn find(lab: &Lab, name: &str, default_namespace: &str) -> anyhow::Result<Place> {
    let plan = lab.plan();
    if name == "outside" {
        return Ok(Place::Outside(IpAddr::V4(ranges::OUTSIDE_V4)));
    }
    if let Some(node) = plan.nodes.iter().position(|n| n.name == name) {
        return Ok(Place::Node(NodeId(node)));
    }
    let (namespace, short) = name.split_once('/').map_or((None, name), |(ns, rest)| (Some(ns), rest));
    let short = short.rsplit('/').next().unwrap_or(short);
    let named = |exact: bool, namespace: Option<&str>| {
        plan.pod_ids().find(|(_, pod)| {
            namespace.is_none_or(|ns| pod.namespace == ns)
                && if exact {
                    pod.name == short
                } else {
                    pod.name.strip_prefix(short).is_some_and(|rest| rest.starts_with('-'))
                }
        })
    };
    let found = [namespace.or(Some(default_namespace)), namespace]
        .into_iter()
        .find_map(|ns| named(true, ns).or_else(|| named(false, ns)));
    match found {
        Some((id, _)) => Ok(Place::Pod(id)),
        None => {
            let pods: Vec<String> = plan.pods.iter().map(ringfence_lab::Pod::full_name).collect();
            Err(Complaint::new(format!("there is no pod or node `{name}` in this lab"))
                .help(format!("pods: {}", pods.join(", ")))
                .help("nodes are node-1, node-2 and so on; `outside` is the world outside")
                .into())
        }
    }
}
