//! The cloud's metadata service: open to those who do not need it, closed to those who say they do.
//!
//! A pod says so by its address or name in the arguments or the environment of a container.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ringfence_k8s::{Node, Value};
use ringfence_policy::{Because, Direction, End, Peer, Peers, Ports, Protocol, RuleRef, Traffic};

use crate::code;
use crate::context::{Context, PodView, names};
use crate::finding::Finding;
use crate::rules::dns::isolated;
use crate::view::{PolicyView, key_span, name_span};

/// Where the clouds answer for a machine's credentials.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
const METADATA_WORDS: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];

/// Blocks that let pods out to the metadata service without a word of it.
pub(crate) fn metadata_open(context: &Context<'_>) -> Vec<Finding> {
    let mut open: BTreeMap<RuleRef, Vec<&PodView<'_>>> = BTreeMap::new();
    let traffic = Traffic::Port(Protocol::Tcp, 80);
    for pods in isolated(context).into_values() {
        let Some(first) = pods.first() else { continue };
        let side = context.engine.verdict(End::Pod(first.id), End::Address(METADATA), traffic).egress;
        if let (true, Because::Rule(rule)) = (side.allowed, side.because) {
            open.entry(rule).or_default().extend(pods);
        }
    }
    let mut findings = Vec::new();
    for (rule, pods) in open {
        let Some(view) = context.view_of(rule.policy) else { continue };
        let place = rule.rule as usize;
        let Some(what) = view.rules(Direction::Egress).get(place) else { continue };
        let idle = pods.into_iter().filter(|p| !says(context, p, &METADATA_WORDS));
        let idle: Vec<&PodView<'_>> = idle.collect();
        if idle.is_empty() {
            continue;
        }
        let finding = |message: &str, help: &str| {
            Finding::new(&code::RF053, message)
                .because(format!(
                    "it hands out the node's credentials to whoever asks, and nothing says that {} need them",
                    names(idle.iter().copied())
                ))
                .help(help)
                .about(view.object())
        };
        let peers = match &what.peers {
            // An allow-all has a finding of its own.
            Peers::Any if what.ports == Ports::Any => continue,
            Peers::Any => {
                findings.push(
                    finding(
                        "the cloud's metadata service, 169.254.169.254, is open: this rule is for every destination",
                        "name the destinations in `to`, and take `169.254.169.254/32` out of a block by `except`",
                    )
                    .at(context.place(view.rule_span(Direction::Egress, place))),
                );
                continue;
            }
            Peers::Of(peers) => peers,
        };
        let holds = |p: &Peer| matches!(p, Peer::Block(b) if b.contains(METADATA));
        let meant =
            |p: &Peer| matches!(p, Peer::Block(b) if b.contains(METADATA) && b.cidr().prefix_len() >= 16);
        let Some(peer) = peers.iter().position(holds).filter(|_| !peers.iter().any(meant)) else {
            continue;
        };
        let node = view.peer_node(Direction::Egress, place, peer);
        let cidr = node.and_then(|n| n.get("ipBlock")?.get("cidr")?.span);
        findings.push(
            finding(
                "the cloud's metadata service, 169.254.169.254, is in this block",
                "add `169.254.169.254/32` to the block's `except`",
            )
            .at(context.place(cidr.or_else(|| view.rule_span(Direction::Egress, place)))),
        );
    }
    findings
}

/// Pods that use the metadata service and may not.
pub(crate) fn metadata_blocked(context: &Context<'_>) -> Vec<Finding> {
    let traffic = Traffic::Port(Protocol::Tcp, 80);
    let denied = |pod: &PodView<'_>| {
        let side = context.engine.verdict(End::Pod(pod.id), End::Address(METADATA), traffic).egress;
        !side.allowed && !matches!(side.because, Because::Rule(_))
    };
    let uses = |pod: &PodView<'_>| says(context, pod, &METADATA_WORDS);
    let mut findings = by_cluster_policy(context, uses);
    let by_policies = closed(context, uses, denied);
    findings.extend(by_policies.map(|(view, pod)| {
        Finding::new(&code::RF054, format!("{} uses the metadata service, and may not reach it", pod.name()))
            .because("its manifest names 169.254.169.254, and no rule allows it on TCP 80")
            .help("allow egress to `ipBlock: {cidr: 169.254.169.254/32}` on TCP 80, or drop what asks for it")
            .about(view.object())
            .at(place(context, view))
            .related(workload_place(context, pod), "it is named in this workload")
    }));
    findings
}

/// The same, where a rule of a cluster-wide policy denies it.
fn by_cluster_policy(context: &Context<'_>, uses: impl Fn(&PodView<'_>) -> bool) -> Vec<Finding> {
    let traffic = Traffic::Port(Protocol::Tcp, 80);
    let denied = context.pods.iter().filter(|pod| uses(pod)).filter_map(|pod| {
        let side = context.engine.verdict(End::Pod(pod.id), End::Address(METADATA), traffic).egress;
        let Because::Rule(rule) = side.because else { return None };
        let view = context.cluster_view_of(rule.policy).filter(|_| !side.allowed)?;
        Some(
            Finding::new(
                &code::RF054,
                format!("{} uses the metadata service, which this denies", pod.name()),
            )
            .because("its manifest names 169.254.169.254")
            .help("let the pods that need it pass before this rule, or drop what asks for it")
            .about(view.object())
            .at(context.place(view.rule_span(Direction::Egress, rule.rule as usize)))
            .related(workload_place(context, pod), "it is named in this workload"),
        )
    });
    denied.collect()
}

/// The pods that say they need something and are denied it, each with the first policy that isolates it. Pods that may
/// reach nobody at all are closed on purpose.
pub(super) fn closed<'c, 'a>(
    context: &'c Context<'a>,
    needs: impl Fn(&PodView<'a>) -> bool + 'c,
    is_denied: impl Fn(&PodView<'a>) -> bool + 'c,
) -> impl Iterator<Item = (&'c PolicyView<'a>, &'c PodView<'a>)> {
    context.pods.iter().filter_map(move |pod| {
        let policies = context.engine.isolating(pod.id, Direction::Egress);
        let views = policies.iter().filter_map(|id| context.view_of(*id));
        let view = views
            .clone()
            .find(|v| !v.rules(Direction::Egress).is_empty())
            .or_else(|| views.clone().next())?;
        (needs(pod) && is_denied(pod)).then_some((view, pod))
    })
}

pub(super) fn place(context: &Context<'_>, view: &PolicyView<'_>) -> Option<ringfence_k8s::Place> {
    context.place(view.spec().and_then(|s| key_span(s, "egress")).or_else(|| view.name_span()))
}

pub(super) fn workload_place(context: &Context<'_>, pod: &PodView<'_>) -> Option<ringfence_k8s::Place> {
    context.place(context.workload_manifest(pod.workload).and_then(name_span))
}

/// Whether the containers of a pod name one of these.
pub(super) fn says(context: &Context<'_>, pod: &PodView<'_>, words: &[&str]) -> bool {
    let Some(spec) = context.pod_spec(pod.workload) else { return false };
    let fields = ["args", "command", "env"];
    ["containers", "initContainers"].into_iter().filter_map(|key| spec.get(key)).any(|containers| {
        let Value::Sequence(containers) = &containers.value else { return false };
        containers.iter().flat_map(|c| fields.iter().filter_map(|f| c.get(f))).any(|n| names_any(n, words))
    })
}

fn names_any(node: &Node, words: &[&str]) -> bool {
    match &node.value {
        Value::String(text) => words.iter().any(|word| text.contains(word)),
        Value::Sequence(items) => items.iter().any(|n| names_any(n, words)),
        Value::Mapping(entries) => entries.iter().any(|e| names_any(&e.value, words)),
        _ => false,
    }
}
