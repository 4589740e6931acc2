//! Addresses where selectors are meant: blocks around pods and Services, and everybody.

use std::net::IpAddr;

use ringfence_k8s::{Level, Node, Value};
use ringfence_policy::{Direction, IpBlock, Peer, Peers};

use crate::code;
use crate::context::Context;
use crate::finding::Finding;
use crate::rules::ports::rules;
use crate::view::PolicyView;

/// Blocks that hold addresses of pods, as far as these are known.
pub(crate) fn around_pods(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (view, direction, rule, place, block) in blocks(context) {
        if block.cidr().prefix_len() == 0 {
            continue;
        }
        let pod = context.inside(block).find_map(|p| context.pod(p));
        let range = context.engine.pod_cidrs().iter().find(|range| {
            let overlap = block.cidr().contains(*range) || range.contains(&block.cidr());
            overlap && !block.except().iter().any(|e| e.contains(*range) || e.contains(&block.cidr()))
        });
        let what = match (pod, range) {
            (Some(pod), _) => format!("{} is in it", pod.name()),
            (None, Some(range)) if range.contains(&block.cidr()) => {
                format!("it is in the pods' range {range}")
            }
            (None, Some(range)) => format!("the pods' range {range} is in it"),
            (None, None) => continue,
        };
        findings.push(
            Finding::new(&code::RF040, format!("`ipBlock` {} holds addresses of pods: {what}", block.cidr()))
                .because("a pod has another address after every restart, and any pod may get the one that is meant")
                .help("select pods by `podSelector` and `namespaceSelector`, or take their range out by `except`")
                .about(view.object())
                .at(cidr_place(context, view, direction, rule, place)),
        );
    }
    findings
}

/// Blocks toward the address of a Service, which no policy ever sees.
pub(crate) fn around_services(context: &Context<'_>) -> Vec<Finding> {
    let addresses: Vec<(IpAddr, String)> = context
        .inventory
        .services
        .iter()
        .filter_map(|s| Some((s, context.manifest("Service", &s.namespace, &s.name)?.get("spec")?)))
        .flat_map(|(s, spec)| {
            let addresses = cluster_ips(spec);
            addresses.into_iter().map(move |a| (a, format!("{}/{}", s.namespace, s.name)))
        })
        .collect();
    let mut findings = Vec::new();
    if addresses.is_empty() {
        return findings;
    }
    for (view, direction, rule, place, block) in blocks(context) {
        let narrow = if block.cidr().addr().is_ipv4() { 16 } else { 64 };
        if direction != Direction::Egress || block.cidr().prefix_len() < narrow {
            continue;
        }
        let Some((address, service)) = addresses.iter().find(|(a, _)| block.contains(*a)) else { continue };
        findings.push(
            Finding::new(
                &code::RF041,
                format!("`ipBlock` {} holds {address}, the address of Service {service}", block.cidr()),
            )
            .because("a Service's address is translated to a pod's before any policy is asked, so this allows nothing of it")
            .help("select the pods behind the Service, on their own port")
            .about(view.object())
            .at(cidr_place(context, view, direction, rule, place)),
        );
    }
    findings
}

fn cluster_ips(spec: &Node) -> Vec<IpAddr> {
    let one = spec.get("clusterIP").and_then(Node::as_str);
    let all: Vec<&str> = match spec.get("clusterIPs").map(|n| &n.value) {
        Some(Value::Sequence(items)) => items.iter().filter_map(Node::as_str).collect(),
        _ => Vec::new(),
    };
    let mut parsed: Vec<IpAddr> = one.into_iter().chain(all).filter_map(|a| a.parse().ok()).collect();
    parsed.dedup();
    parsed
}

/// `0.0.0.0/0` and `::/0`, which are everybody and not only the outside.
pub(crate) fn everyone(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (view, direction, rule, place, block) in blocks(context) {
        if !block.is_everyone() {
            continue;
        }
        let peers = view.rules(direction).get(rule).map(|r| &r.peers);
        let beside = match peers {
            Some(Peers::Of(peers)) => peers.iter().position(|p| matches!(p, Peer::Pods { .. })),
            _ => None,
        };
        let word = match direction {
            Direction::Ingress => "in",
            Direction::Egress => "out to",
        };
        let whom = match direction {
            Direction::Ingress => "every pod of the cluster in too",
            Direction::Egress => "its pods out to every pod of the cluster too",
        };
        let finding =
            Finding::new(&code::RF042, format!("{} lets {whom}, not only the outside", block.cidr()))
                .help("if only the outside is meant, take the pods' range out by `except`")
                .about(view.object())
                .at(cidr_place(context, view, direction, rule, place));
        findings.push(match beside {
            Some(peer) => finding
                .level(Level::Warning)
                .because(format!("the selectors beside it mean nothing: everybody is let {word} already"))
                .related(context.place(view.peer_span(direction, rule, peer)), "this peer is covered"),
            None => finding.because("the block is the whole address space, and pods have addresses in it"),
        });
    }
    findings
}

/// Every block of every NetworkPolicy: policy, direction, rule, peer.
pub(crate) fn blocks<'c, 'a: 'c>(
    context: &'c Context<'a>,
) -> impl Iterator<Item = (&'c PolicyView<'a>, Direction, usize, usize, &'a IpBlock)> {
    rules(context).flat_map(|(view, direction, rule, what)| {
        let peers = match &what.peers {
            Peers::Any => &[][..],
            Peers::Of(peers) => peers,
        };
        peers.iter().enumerate().filter_map(move |(place, peer)| match peer {
            Peer::Block(block) => Some((view, direction, rule, place, block)),
            Peer::Pods { .. } => None,
        })
    })
}

/// Where a block's range is written.
pub(crate) fn cidr_place(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    direction: Direction,
    rule: usize,
    peer: usize,
) -> Option<ringfence_k8s::Place> {
    let cidr = view.peer_node(direction, rule, peer).and_then(|n| n.get("ipBlock")?.get("cidr")?.span);
    context.place(cidr.or_else(|| view.rule_span(direction, rule)))
}
