//! Addresses where selectors are meant: blocks around pods and Services, and everybody.

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;
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

/// Blocks that hold the address of a Service, which no policy ever sees.
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
        if block.cidr().prefix_len() < narrow {
            continue;
        }
        let Some((address, service)) = addresses.iter().find(|(a, _)| block.contains(*a)) else { continue };
        findings.push(
            Finding::new(
                &code::RF041,
                format!("`ipBlock` {} holds {address}, the address of Service {service}", block.cidr()),
            )
            .because(match direction {
                Direction::Egress => {
                    "a Service's address is translated to a pod's before any policy is asked, so this allows nothing of it"
                }
                Direction::Ingress => {
                    "nothing ever comes from a Service's address: pods send from their own, so this allows nothing"
                }
            })
            .help(match direction {
                Direction::Egress => "select the pods behind the Service, on their own port",
                Direction::Ingress => "select the pods that send",
            })
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
            findings.extend(cluster_left_in(context, block).map(|what| {
                let whom = match direction {
                    Direction::Ingress => "the cluster in too",
                    Direction::Egress => "its pods out to the cluster too",
                };
                Finding::new(&code::RF042, format!("{} lets {whom}: {what}", block.cidr()))
                    .because(
                        "pods have addresses like everybody else, and nothing takes them out of this block",
                    )
                    .help("if only the outside is meant, take the pods' range out by `except`")
                    .about(view.object())
                    .at(cidr_place(context, view, direction, rule, place))
            }));
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

/// Why a block of everybody but some still holds pods: their range, where it is known; else that no private range at all
/// is taken out, and pods nearly always have theirs in one.
fn cluster_left_in(context: &Context<'_>, block: &IpBlock) -> Option<String> {
    if block.cidr().prefix_len() != 0 {
        return None;
    }
    let is_v4 = block.cidr().addr().is_ipv4();
    let ranges: Vec<&IpNet> =
        context.engine.pod_cidrs().iter().filter(|r| r.addr().is_ipv4() == is_v4).collect();
    if !ranges.is_empty() {
        let left = ranges.into_iter().find(|range| !block.except().iter().any(|e| e.contains(*range)));
        return left.map(|range| format!("the pods' range {range} is not taken out"));
    }
    let overlaps = |except: &IpNet| PRIVATE.iter().any(|p| p.contains(except) || except.contains(p));
    (!block.except().iter().any(overlaps)).then(|| "no private range is taken out".to_owned())
}

/// Ranges in which clusters have their pods.
static PRIVATE: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    let ranges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];
    ranges.iter().filter_map(|r| r.parse().ok()).collect()
});

/// The first of a rule's blocks that are a whole address family, alone or together.
pub(crate) fn whole_family(peers: &[Peer]) -> Option<usize> {
    let whole = |peer: &Peer| matches!(peer, Peer::Block(b) if b.cidr().prefix_len() == 0);
    if let Some(one) = peers.iter().position(whole) {
        return Some(one);
    }
    let plain = |peer: &Peer| match peer {
        Peer::Block(block) if block.except().is_empty() => Some(block.cidr()),
        _ => None,
    };
    let together = IpNet::aggregate(&peers.iter().filter_map(plain).collect());
    let family = together.into_iter().find(|net| net.prefix_len() == 0)?;
    peers.iter().position(|p| plain(p).is_some_and(|net| family.contains(&net)))
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
