//! Ports: a Service's where the pod's is meant, and names that no pod has.

use std::collections::BTreeSet;

use ringfence_k8s::{Leads, Level, Service};
use ringfence_policy::{Direction, NamespaceScope, Peer, Peers, PortRef, Ports, Protocol, Rule};

use crate::code;
use crate::context::{Context, PodView, names};
use crate::edit::replace;
use crate::finding::Finding;
use crate::near;
use crate::view::PolicyView;

/// A rule on the port of a Service, which is translated before any policy is asked.
pub(crate) fn of_service(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (view, direction, place, rule) in rules(context) {
        let Ports::Of(ports) = &rule.ports else { continue };
        let receivers = context.receivers(view, direction, rule);
        for (index, port) in ports.iter().enumerate() {
            let PortRef::Range(range) = &port.port else { continue };
            if range.first() != range.last() {
                continue;
            }
            let number = range.first();
            let Some((service, target, what)) = translated(context, &receivers, port.protocol, number) else {
                continue;
            };
            let is_allowed = |p: &ringfence_policy::PortMatch| {
                p.protocol == port.protocol
                    && match &p.port {
                        PortRef::All => true,
                        PortRef::Range(range) => range.contains(target),
                        PortRef::Named(name) => context
                            .views(&receivers)
                            .flat_map(|v| &v.pod.named_ports)
                            .any(|n| n.name == *name && n.port == target),
                    }
            };
            // Both are listed: the Service's is of no use, but nothing is missing.
            if ports.iter().any(is_allowed) {
                continue;
            }
            let node = view.port_node(direction, place, index);
            let at = node.and_then(|n| n.get("port")).and_then(|n| n.span);
            findings.push(
                Finding::new(
                    &code::RF030,
                    format!(
                        "{number} is the {what} of Service {}/{}; its pods listen on {target}",
                        service.namespace, service.name
                    ),
                )
                .because("a Service's port is translated to the pod's before any policy is asked")
                .help(format!("write `port: {target}`"))
                .about(view.object())
                .at(context.place(at.or_else(|| view.rule_span(direction, place)))),
            );
        }
    }
    findings
}

/// The Service whose port or node port this is, the port behind it, and which of both it is, where none of the pods
/// listens on the port itself.
fn translated<'a>(
    context: &Context<'a>,
    receivers: &[usize],
    protocol: Protocol,
    number: u16,
) -> Option<(&'a Service, u16, &'static str)> {
    let listens =
        |pod: &PodView<'_>| pod.workload.ports.iter().any(|p| p.protocol == protocol && p.port == number);
    if receivers.is_empty() || context.views(receivers).any(listens) {
        return None;
    }
    let mut found = None;
    for place in receivers {
        let pod = context.pod(*place)?;
        for service in context.fronts(*place) {
            for port in service.ports.iter().filter(|p| p.protocol == protocol) {
                let target = port.number_on(&pod.pod.named_ports);
                let is_headless = service.leads() == Leads::Headless;
                if target == Some(number) || is_headless && port.port == number {
                    return None;
                }
                let what = if port.port == number {
                    "port"
                } else if port.node_port == Some(number) {
                    "node port"
                } else {
                    continue;
                };
                if let Some(target) = target {
                    found.get_or_insert((service, target, what));
                }
            }
        }
    }
    found
}

/// A port's name that none of the pods has.
pub(crate) fn named(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (view, direction, place, rule) in rules(context) {
        let Ports::Of(ports) = &rule.ports else { continue };
        let receivers = context.receivers(view, direction, rule);
        for (index, port) in ports.iter().enumerate() {
            let PortRef::Named(name) = &port.port else { continue };
            let node = view.port_node(direction, place, index).and_then(|n| n.get("port"));
            let at = context.place(node.and_then(|n| n.span).or_else(|| view.rule_span(direction, place)));
            if direction == Direction::Egress && is_only_blocks(rule) {
                findings.push(
                    Finding::new(&code::RF032, format!("port `{name}` toward addresses never matches"))
                        .because(
                            "a port's name is looked up on the pod that receives, and an address is no pod",
                        )
                        .help("write the port's number")
                        .about(view.object())
                        .at(at),
                );
                continue;
            }
            let known: Vec<_> = context.views(&receivers).flat_map(|v| &v.pod.named_ports).collect();
            if receivers.is_empty() || known.iter().any(|n| n.name == *name && n.protocol == port.protocol) {
                continue;
            }
            let other = known.iter().find(|n| n.name == *name).map(|n| n.protocol);
            let candidates: BTreeSet<&str> =
                known.iter().filter(|n| n.protocol == port.protocol).map(|n| n.name.as_str()).collect();
            let near = near::near(name, candidates.iter().copied());
            let pods = names(context.views(&receivers));
            let message = match (other, near) {
                (Some(other), _) => format!("port `{name}` of {pods} is {other}, not {}", port.protocol),
                (None, Some(near)) => format!("no port of {pods} is called `{name}`; did you mean `{near}`?"),
                (None, None) => format!("no {} port of {pods} is called `{name}`", port.protocol),
            };
            let help = match (other, near) {
                (Some(other), _) => format!("write `protocol: {other}`"),
                (None, Some(near)) => format!("write `port: {near}`"),
                (None, None) => "name the container's port so, or write its number".to_owned(),
            };
            // Other namespaces may have pods that are not written here.
            let is_elsewhere =
                direction == Direction::Egress && near.is_none() && other.is_none() && looks_far(rule);
            let only = near::only_slip(name, candidates.iter().copied()).filter(|_| other.is_none());
            findings.push(
                Finding::new(&code::RF031, message)
                    .because("a named port is looked up among the container ports of the pods; without it the rule allows nothing")
                    .help(help)
                    .level(if is_elsewhere { Level::Note } else { Level::Warning })
                    .about(view.object())
                    .at(at)
                    .edits(only.and_then(|word| replace(context.sources, node?.span?, word))),
            );
        }
    }
    findings
}

fn is_only_blocks(rule: &Rule) -> bool {
    matches!(&rule.peers, Peers::Of(peers) if peers.iter().all(|p| matches!(p, Peer::Block(_))))
}

fn looks_far(rule: &Rule) -> bool {
    let Peers::Of(peers) = &rule.peers else { return true };
    peers.iter().any(|p| matches!(p, Peer::Pods { namespaces: NamespaceScope::Matching(_), .. }))
}

/// Every rule of every NetworkPolicy.
pub(crate) fn rules<'c, 'a: 'c>(
    context: &'c Context<'a>,
) -> impl Iterator<Item = (&'c PolicyView<'a>, Direction, usize, &'a Rule)> {
    context.policies.iter().flat_map(|view| {
        Direction::ALL.into_iter().flat_map(move |direction| {
            view.rules(direction).iter().enumerate().map(move |(place, rule)| (view, direction, place, rule))
        })
    })
}
