//! DNS: forgotten, opened to everybody, or on one protocol only.
//!
//! The pods behind the cluster's DNS Service are those of the manifests. Where there are none, a pod as every cluster has
//! it is assumed, and less is said: nobody knows the labels of a namespace that is not here.

use std::collections::BTreeMap;

use ringfence_k8s::{Level, Node};
use ringfence_policy::{
    Because, Change, Direction, End, Engine, Labels, NamedPort, NamespaceScope, Peer, Peers, Pod, PodId,
    Policy, PolicyId, PortRef, Ports, Protocol, Rule, RuleRef, SetId, Traffic,
};

use crate::code;
use crate::context::{Context, PodView, names};
use crate::finding::Finding;
use crate::rules::blocks::whole_family;
use crate::rules::ports;
use crate::view::{PolicyView, key_span};
use crate::witness;

/// The Services that clusters have for DNS.
const SERVICES: [(&str, &str); 4] = [
    ("kube-system", "kube-dns"),
    ("kube-system", "coredns"),
    ("kube-system", "rke2-coredns-rke2-coredns"),
    ("openshift-dns", "dns-default"),
];

/// The cluster's DNS.
struct Dns {
    engine: Engine,
    pods: Vec<PodId>,
    udp: u16,
    tcp: u16,
    /// Whether it is assumed, and not in the manifests.
    is_assumed: bool,
    /// What people call it.
    name: String,
}

/// Pods that cannot resolve names, or only short answers.
pub(crate) fn reachable(context: &Context<'_>) -> Vec<Finding> {
    let has_egress =
        |view: &PolicyView<'_>| !view.rules(Direction::Egress).is_empty() && !view.subjects.is_empty();
    if !context.policies.iter().any(has_egress) {
        return Vec::new();
    }
    let dns = Dns::find(context);
    let mut forgotten: BTreeMap<(PolicyId, bool), Vec<&PodView<'_>>> = BTreeMap::new();
    let mut udp_only: BTreeMap<RuleRef, Vec<&PodView<'_>>> = BTreeMap::new();
    for (set, pods) in isolated(context) {
        let clients: Vec<&PodView<'_>> =
            pods.into_iter().filter(|p| uses_cluster_dns(context, p) && !dns.pods.contains(&p.id)).collect();
        let Some(first) = clients.first() else { continue };
        let (engine, servers) = (&dns.engine, &dns.pods);
        let ask = |protocol, port| {
            servers.iter().map(move |pod| {
                engine.verdict(End::Pod(first.id), End::Pod(*pod), Traffic::Port(protocol, port)).egress
            })
        };
        let (udp, tcp) = (ask(Protocol::Udp, dns.udp), ask(Protocol::Tcp, dns.tcp));
        let allowed = udp.clone().find(|side| side.allowed);
        match allowed {
            Some(side) if !tcp.clone().any(|side| side.allowed) => {
                if let Because::Rule(rule) = side.because {
                    udp_only.entry(rule).or_default().extend(clients);
                }
            }
            Some(_) => {}
            None => {
                let policies = context.engine.set_policies(set, ringfence_policy::Tier::NetworkPolicy);
                let with_rules = |id: &&PolicyId| !egress(context.engine.policy(**id)).is_empty();
                if let Some(policy) = policies.iter().find(with_rules)
                    && !may_mean_dns(context, policies, &dns)
                {
                    let is_tcp_allowed = tcp.clone().any(|side| side.allowed);
                    forgotten.entry((*policy, is_tcp_allowed)).or_default().extend(clients);
                }
            }
        }
    }
    let told = forgotten
        .into_iter()
        .filter_map(|((policy, tcp_only), pods)| forgot(context, &dns, policy, tcp_only, &pods));
    told.chain(udp_only.into_iter().filter_map(|(rule, pods)| only_udp(context, rule, &pods))).collect()
}

fn forgot(
    context: &Context<'_>,
    dns: &Dns,
    policy: PolicyId,
    tcp_only: bool,
    pods: &[&PodView<'_>],
) -> Option<Finding> {
    let view = context.view_of(policy)?;
    let policies: Vec<PolicyId> =
        pods.iter().flat_map(|p| context.engine.isolating(p.id, Direction::Egress)).copied().collect();
    let rules = || policies.iter().flat_map(|id| egress(context.engine.policy(*id)));
    let meant = view.rules(Direction::Egress).iter().position(is_for_dns);
    let to_addresses = rules().all(|r| match &r.peers {
        Peers::Any => false,
        Peers::Of(peers) => peers.iter().all(|p| matches!(p, Peer::Block(b) if b.cidr().prefix_len() > 0)),
    });
    let place = match meant {
        Some(rule) => view.rule_span(Direction::Egress, rule),
        None => view.spec().and_then(|s| key_span(s, "egress")).or_else(|| view.name_span()),
    };
    let pods = names(pods.iter().copied());
    let message = match meant {
        _ if tcp_only => {
            format!("DNS is allowed to {} on TCP only, UDP is missing: {pods} cannot resolve names", dns.name)
        }
        Some(_) => format!("the rule for DNS does not reach {}: {pods} cannot resolve names", dns.name),
        None => format!("DNS is forgotten: {pods} cannot resolve names"),
    };
    let reason = match (to_addresses, meant) {
        _ if tcp_only => {
            "names are asked for on UDP first, and TCP is only for answers that are too long for it"
        }
        (true, None) => {
            "their egress is isolated and no rule allows UDP 53; that is right only if they use no names at all"
        }
        (_, Some(_)) if dns.is_assumed => {
            "the cluster's DNS runs in kube-system; a peer without `namespaceSelector` means the policy's own namespace"
        }
        _ => {
            "their egress is isolated and no rule allows UDP 53 to the cluster's DNS, so that even allowed names fail"
        }
    };
    let namespace = dns.name.split_once('/').map_or("kube-system", |(namespace, _)| namespace);
    Some(
        Finding::new(&code::RF050, message)
            .because(reason)
            .help(format!(
                "allow egress to `namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}` with \
                 the labels of its DNS pods, on UDP and TCP {}",
                dns.udp
            ))
            .level(if to_addresses && meant.is_none() { Level::Note } else { Level::Warning })
            .about(view.object())
            .at(context.place(place)),
    )
}

fn only_udp(context: &Context<'_>, rule: RuleRef, pods: &[&PodView<'_>]) -> Option<Finding> {
    let view = context.view_of(rule.policy)?;
    let place = rule.rule as usize;
    let ports = view.rule_node(Direction::Egress, place).and_then(|n| n.get("ports")?.span);
    Some(
        Finding::new(&code::RF052, "DNS is allowed on UDP only")
            .because(format!(
                "an answer that is too long for UDP is asked for again on TCP; then {} cannot resolve the name",
                names(pods.iter().copied())
            ))
            .help("add `- {protocol: TCP, port: 53}` to the rule's `ports`")
            .about(view.object())
            .at(context.place(ports.or_else(|| view.rule_span(Direction::Egress, place)))),
    )
}

/// Rules that open port 53 to everybody.
pub(crate) fn to_everyone(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (view, direction, place, rule) in ports::rules(context) {
        if direction != Direction::Egress || !is_only_dns(rule) {
            continue;
        }
        let peer = match &rule.peers {
            Peers::Any => None,
            Peers::Of(peers) => {
                let Some(peer) = whole_family(peers) else { continue };
                Some(peer)
            }
        };
        // Who may go anywhere needs no DNS for it.
        let is_open = |r: &Rule| r.peers == Peers::Any && r.ports == Ports::Any;
        if view.rules(direction).iter().any(is_open) {
            continue;
        }
        let span = match peer {
            Some(peer) => view.peer_span(direction, place, peer),
            None => view.rule_span(direction, place),
        };
        findings.push(
            Finding::new(&code::RF051, "DNS is opened to everybody, the whole Internet included")
                .because("any server on port 53 can be reached, which is the usual way to carry data out of a closed network")
                .help("name the cluster's DNS pods in `to`, by `namespaceSelector` and `podSelector` in one peer")
                .about(view.object())
                .at(context.place(span)),
        );
    }
    findings
}

impl Dns {
    fn find(context: &Context<'_>) -> Dns {
        let services =
            SERVICES.iter().filter_map(|(namespace, name)| context.inventory.service(namespace, name));
        for service in services {
            let pods: Vec<usize> = context.behind(service);
            let Some(first) = pods.first().and_then(|p| context.pod(*p)) else { continue };
            let port = |protocol| {
                let port = service.ports.iter().find(|p| p.protocol == protocol && p.port == 53);
                port.and_then(|p| p.number_on(&first.pod.named_ports)).unwrap_or(53)
            };
            return Dns::real(context, &pods, port(Protocol::Udp), port(Protocol::Tcp));
        }
        let labelled = |p: &&usize| {
            context.pod(**p).is_some_and(|p| p.pod.labels.get("k8s-app").is_some_and(|v| v == "kube-dns"))
        };
        let pods: Vec<usize> = context.pods_of("kube-system").iter().filter(labelled).copied().collect();
        if !pods.is_empty() {
            return Dns::real(context, &pods, 53, 53);
        }
        let mut engine = context.engine.clone();
        let labels = Labels::from([("k8s-app".to_owned(), "kube-dns".to_owned())]);
        let port = |name: &str, protocol| NamedPort { name: name.to_owned(), protocol, port: 53 };
        let named_ports = vec![port("dns", Protocol::Udp), port("dns-tcp", Protocol::Tcp)];
        let pod = Pod { named_ports, ..witness::pod("kube-system", "kube-dns", labels) };
        let pods = engine.apply([Change::AddPod(pod)]).added;
        Dns { engine, pods, udp: 53, tcp: 53, is_assumed: true, name: "kube-system/kube-dns".to_owned() }
    }

    fn real(context: &Context<'_>, pods: &[usize], udp: u16, tcp: u16) -> Dns {
        let ids = context.views(pods).map(|p| p.id).collect();
        let name = names(context.views(pods));
        Dns { engine: context.engine.clone(), pods: ids, udp, tcp, is_assumed: false, name }
    }
}

/// The pods that NetworkPolicies isolate for egress, by what holds them.
pub(crate) fn isolated<'c, 'a>(context: &'c Context<'a>) -> BTreeMap<SetId, Vec<&'c PodView<'a>>> {
    let mut sets: BTreeMap<SetId, Vec<&PodView<'_>>> = BTreeMap::new();
    for pod in &context.pods {
        if let Some(set) = context.engine.policy_set(pod.id, Direction::Egress)
            && !context.engine.isolating(pod.id, Direction::Egress).is_empty()
        {
            sets.entry(set).or_default().push(pod);
        }
    }
    sets
}

/// Whether a pod asks the cluster's DNS: all do that do not say otherwise.
fn uses_cluster_dns(context: &Context<'_>, pod: &PodView<'_>) -> bool {
    let Some(spec) = context.pod_spec(pod.workload) else { return true };
    !matches!(spec.get("dnsPolicy").and_then(Node::as_str), Some("None" | "Default"))
}

/// Whether some rule is for DNS, toward somebody of whom the manifests do not tell whether it is the DNS.
fn may_mean_dns(context: &Context<'_>, policies: &[PolicyId], dns: &Dns) -> bool {
    let rules = policies.iter().flat_map(|id| {
        let policy = context.engine.policy(*id);
        let namespace = match policy {
            Some(Policy::Network(policy)) => policy.name.namespace.as_str(),
            _ => "",
        };
        egress(policy).iter().map(move |rule| (namespace, rule))
    });
    rules.filter(|(_, rule)| is_for_dns(rule)).any(|(_, rule)| match &rule.peers {
        Peers::Any => true,
        Peers::Of(peers) => peers.iter().any(|peer| match peer {
            Peer::Block(_) => true,
            Peer::Pods { namespaces: NamespaceScope::Own, .. } => false,
            Peer::Pods { namespaces: NamespaceScope::Matching(_), .. } => dns.is_assumed,
        }),
    })
}

fn egress(policy: Option<&Policy>) -> &[Rule] {
    match policy {
        Some(Policy::Network(policy)) => policy.egress.as_deref().unwrap_or_default(),
        _ => &[],
    }
}

/// Whether a rule names port 53 or a name for it.
fn is_for_dns(rule: &Rule) -> bool {
    let Ports::Of(ports) = &rule.ports else { return false };
    ports.iter().any(is_dns)
}

fn is_only_dns(rule: &Rule) -> bool {
    matches!(&rule.ports, Ports::Of(ports) if ports.iter().all(is_dns))
}

fn is_dns(port: &ringfence_policy::PortMatch) -> bool {
    match &port.port {
        PortRef::Range(range) => range.first() == range.last() && matches!(range.first(), 53 | 5353),
        PortRef::Named(name) => name.starts_with("dns"),
        PortRef::All => false,
    }
}
