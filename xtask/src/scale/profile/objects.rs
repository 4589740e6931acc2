//! The objects that worlds are made of, with names and addresses that follow from their numbers.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use ringfence_oracle::random::Random;
use ringfence_policy::model::NAMESPACE_NAME_LABEL;
use ringfence_policy::{
    LabelSelector, Labels, Namespace, NetworkPolicy, Node, Peer, Peers, Pod, PolicyName, PortMatch,
    PortRange, PortRef, Ports, Protocol, Requirement, Rule, Workload, World,
};

/// How many pods a node runs.
const PODS_OF_A_NODE: usize = 100;

/// What applications listen on.
pub(super) const PORTS: [u16; 8] = [80, 443, 5432, 6379, 8080, 8443, 9090, 9200];

/// Enough nodes for so many pods.
pub(super) fn add_nodes(world: &mut World, pods: usize) {
    for number in 0..pods.div_ceil(PODS_OF_A_NODE) {
        let mut labels = Labels::from([
            ("kubernetes.io/hostname".to_owned(), node_name(number)),
            ("topology.kubernetes.io/zone".to_owned(), format!("zone-{}", number % 3)),
        ]);
        if number < 3 {
            labels.insert("node-role.kubernetes.io/control-plane".to_owned(), String::new());
        }
        world.nodes.push(Node {
            name: node_name(number),
            labels,
            addresses: vec![address([192, 168], number)],
        });
    }
}

fn node_name(number: usize) -> String {
    format!("node-{number}")
}

/// An address by its number within a /16, or after it.
fn address([a, b]: [u8; 2], number: usize) -> IpAddr {
    let first = u32::from(Ipv4Addr::new(a, b, 0, 1));
    IpAddr::V4(Ipv4Addr::from(first + u32::try_from(number).unwrap_or(0)))
}

/// The name of a namespace of this number.
pub(super) fn namespace_name(number: usize) -> String {
    format!("ns-{number}")
}

/// A namespace with a label.
pub(super) fn namespace(number: usize, random: &mut Random) -> Namespace {
    let labels = Labels::from([("env".to_owned(), (*random.pick(&["dev", "test", "prod"])).to_owned())]);
    Namespace { name: namespace_name(number), labels }
}

/// Adds a pod of a Deployment; the nodes get theirs in turn.
pub(super) fn add_pod<'w>(world: &'w mut World, namespace: &str, app: &str, labels: Labels) -> &'w mut Pod {
    let number = world.pods.len();
    let nodes = world.nodes.len().max(1);
    world.pods.push(Pod {
        namespace: namespace.to_owned(),
        name: format!("{app}-{number}"),
        workload: Workload { kind: "Deployment".to_owned(), name: app.to_owned() },
        count: 1,
        labels,
        addresses: vec![address([10, 0], number)],
        named_ports: Vec::new(),
        host_network: false,
        node: Some(node_name(number % nodes)),
    });
    &mut world.pods[number]
}

/// The labels of an application's pods.
pub(super) fn app_labels(app: &str) -> Labels {
    Labels::from([("app".to_owned(), app.to_owned())])
}

/// The pods of an application.
pub(super) fn app_selector(app: &str) -> LabelSelector {
    LabelSelector::labels([("app", app)])
}

/// The pods of any of some applications.
pub(super) fn apps_selector<'a>(apps: impl IntoIterator<Item = &'a str>) -> LabelSelector {
    let apps: BTreeSet<String> = apps.into_iter().map(str::to_owned).collect();
    LabelSelector::new([Requirement::In("app".to_owned(), apps)])
}

/// A namespace by its name.
pub(super) fn name_selector(namespace: &str) -> LabelSelector {
    LabelSelector::labels([(NAMESPACE_NAME_LABEL, namespace)])
}

/// A policy; a direction without a list is one that it says nothing about.
pub(super) fn policy(
    namespace: &str,
    number: usize,
    subject: LabelSelector,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
) -> NetworkPolicy {
    let name = PolicyName { namespace: namespace.to_owned(), name: format!("policy-{number}") };
    NetworkPolicy { name, subject, ingress, egress, source: None }
}

/// A rule for these peers.
pub(super) fn rule(peers: Vec<Peer>, ports: Ports) -> Rule {
    Rule { peers: Peers::Of(peers), ports, source: None }
}

/// One TCP port.
pub(super) fn one_port(random: &mut Random) -> Ports {
    Ports::Of(vec![single(Protocol::Tcp, *random.pick(&PORTS))])
}

/// One port of a protocol.
pub(super) fn single(protocol: Protocol, port: u16) -> PortMatch {
    PortMatch { protocol, port: PortRef::Range(PortRange::single(port)) }
}

/// Some range outside, or by chance where pods are.
pub(super) fn random_net(random: &mut Random) -> IpNet {
    let [a, b, c, d] = u32::try_from(random.bits() >> 32).unwrap_or(0).to_be_bytes();
    let length = *random.pick(&[32, 32, 24, 24, 16, 28]);
    IpNet::V4(Ipv4Net::new(Ipv4Addr::new(1 + a % 200, b, c, d), length).unwrap_or_default().trunc())
}
