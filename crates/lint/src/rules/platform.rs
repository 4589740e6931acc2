//! The cloud's metadata service and the API server: open to those who do not need them, closed to those who say they do.
//!
//! A pod says that it needs one by its address or name in the arguments or the environment of a container.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ringfence_k8s::{Node, Value};
use ringfence_policy::{Because, Direction, End, Peer, Peers, Policy, Protocol, RuleRef, Traffic};

use crate::code;
use crate::context::{Context, PodView, names};
use crate::finding::Finding;
use crate::rules::dns::isolated;
use crate::view::{PolicyView, key_span, name_span};

/// Where the clouds answer for a machine's credentials.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
const METADATA_WORDS: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];
const API_WORDS: [&str; 2] = ["kubernetes.default", "$(KUBERNETES_SERVICE_HOST)"];

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
        let peers = view.rules(Direction::Egress).get(place).map(|r| &r.peers);
        let Some(Peers::Of(peers)) = peers else { continue };
        let holds = |p: &Peer| matches!(p, Peer::Block(b) if b.contains(METADATA));
        let meant =
            |p: &Peer| matches!(p, Peer::Block(b) if b.contains(METADATA) && b.cidr().prefix_len() >= 16);
        let idle: Vec<&PodView<'_>> =
            pods.into_iter().filter(|p| !says(context, p, &METADATA_WORDS)).collect();
        let Some(peer) =
            peers.iter().position(holds).filter(|_| !idle.is_empty() && !peers.iter().any(meant))
        else {
            continue;
        };
        let node = view.peer_node(Direction::Egress, place, peer);
        let cidr = node.and_then(|n| n.get("ipBlock")?.get("cidr")?.span);
        findings.push(
            Finding::new(&code::RF053, "the cloud's metadata service, 169.254.169.254, is in this block")
                .because(format!(
                    "it hands out the node's credentials to whoever asks, and nothing says that {} need them",
                    names(idle)
                ))
                .help("add `169.254.169.254/32` to the block's `except`")
                .about(view.object())
                .at(context.place(cidr.or_else(|| view.rule_span(Direction::Egress, place)))),
        );
    }
    findings
}

/// Pods that use the metadata service and may not.
pub(crate) fn metadata_blocked(context: &Context<'_>) -> Vec<Finding> {
    let traffic = Traffic::Port(Protocol::Tcp, 80);
    let denied = |pod: &PodView<'_>| {
        !context.engine.verdict(End::Pod(pod.id), End::Address(METADATA), traffic).egress.allowed
    };
    closed(context, &METADATA_WORDS, denied)
        .map(|(view, pod)| {
            Finding::new(
                &code::RF054,
                format!("{} uses the metadata service, and may not reach it", pod.name()),
            )
            .because("its manifest names 169.254.169.254, and no rule allows it on TCP 80")
            .help("allow egress to `ipBlock: {cidr: 169.254.169.254/32}` on TCP 80, or drop what asks for it")
            .about(view.object())
            .at(place(context, view))
            .related(workload_place(context, pod), "it is named in this workload")
        })
        .collect()
}

/// Pods that use the API server and may not.
pub(crate) fn api_server(context: &Context<'_>) -> Vec<Finding> {
    closed(context, &API_WORDS, |pod| !may_reach_api(context, pod))
        .map(|(view, pod)| {
            Finding::new(&code::RF055, format!("{} uses the API server, and may not reach it", pod.name()))
                .because("its manifest names the API server's Service, and no rule allows any address on TCP 443 or 6443")
                .help("allow egress to the API server's own address as an `ipBlock`, on its own port, mostly 6443")
                .about(view.object())
                .at(place(context, view))
                .related(workload_place(context, pod), "it is named in this workload")
        })
        .collect()
}

/// Whether some rule may lead to an API server: to addresses, or to pods that may be one.
fn may_reach_api(context: &Context<'_>, pod: &PodView<'_>) -> bool {
    let ports = [443, 6443, 8443].map(|port| Traffic::Port(Protocol::Tcp, port));
    context.engine.isolating(pod.id, Direction::Egress).iter().any(|id| {
        let Some(Policy::Network(policy)) = context.engine.policy(*id) else { return false };
        policy.egress.iter().flatten().any(|rule| {
            let to_addresses = match &rule.peers {
                Peers::Any => true,
                Peers::Of(peers) => peers.iter().any(|p| match p {
                    Peer::Block(_) => true,
                    Peer::Pods { pods, .. } => pods.to_string().contains("apiserver"),
                }),
            };
            to_addresses && ports.iter().any(|port| rule.ports.matches(*port, &[]))
        })
    }) || !context.cluster_policies.is_empty()
}

/// The pods that say they need something and are denied it, each with the first policy that isolates it. Pods that may
/// reach nobody at all are closed on purpose.
fn closed<'c, 'a>(
    context: &'c Context<'a>,
    words: &'static [&'static str],
    is_denied: impl Fn(&PodView<'a>) -> bool + 'c,
) -> impl Iterator<Item = (&'c PolicyView<'a>, &'c PodView<'a>)> {
    context.pods.iter().filter_map(move |pod| {
        let policies = context.engine.isolating(pod.id, Direction::Egress);
        let views = policies.iter().filter_map(|id| context.view_of(*id));
        let view = views
            .clone()
            .find(|v| !v.rules(Direction::Egress).is_empty())
            .or_else(|| views.clone().next())?;
        (says(context, pod, words) && is_denied(pod)).then_some((view, pod))
    })
}

fn place(context: &Context<'_>, view: &PolicyView<'_>) -> Option<ringfence_k8s::Place> {
    context.place(view.spec().and_then(|s| key_span(s, "egress")).or_else(|| view.name_span()))
}

fn workload_place(context: &Context<'_>, pod: &PodView<'_>) -> Option<ringfence_k8s::Place> {
    context.place(context.workload_manifest(pod.workload).and_then(name_span))
}

/// Whether the containers of a pod name one of these.
fn says(context: &Context<'_>, pod: &PodView<'_>, words: &[&str]) -> bool {
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
