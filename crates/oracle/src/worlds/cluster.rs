//! Namespaces, nodes and pods.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ringfence_policy::model::{
    Labels, NAMESPACE_NAME_LABEL, NamedPort, Namespace, Node, Pod, Protocol, Workload, World,
};

use crate::random::Random;
use crate::worlds::{Addresses, Families, Size};

/// The keys of labels, of namespaces and pods alike: the same key on both shows who looks at the wrong one.
pub(crate) const KEYS: [&str; 4] = ["app", "tier", "env", "team"];
/// The values of labels. The empty value is a value.
pub(crate) const VALUES: [&str; 4] = ["a", "b", "c", ""];
/// The names of container ports.
pub(crate) const PORT_NAMES: [&str; 4] = ["http", "metrics", "dns", "admin"];
/// The ports that things listen on.
pub(crate) const PORTS: [u16; 12] = [1, 2, 53, 80, 443, 1023, 1024, 5432, 8080, 8081, 65534, 65535];

const NAMESPACES: [&str; 10] =
    ["shop", "data", "dmz", "ops", "default", "kube-system", "a", "b", "monitoring", "lone"];

/// A cluster without policies.
pub(crate) fn cluster(size: &Size, random: &mut Random) -> World {
    let namespaces = namespace_names(random.between(1, size.namespaces.max(1)));
    let mut world = World::default();
    for name in &namespaces {
        // A namespace that is not listed has only its automatic label.
        if random.chance(85) {
            world.namespaces.push(Namespace { name: name.clone(), labels: namespace_labels(name, random) });
        }
    }
    for index in 0..random.between(size.nodes.min(1), size.nodes) {
        world.nodes.push(node(index, size, random));
    }
    for index in 0..random.between(1, size.pods.max(1)) {
        let namespace = random.pick(&namespaces).clone();
        let pod = pod(index, namespace, size, &world, random);
        world.pods.push(pod);
    }
    if size.pod_cidrs && random.chance(50) {
        world.pod_cidrs = pod_cidrs(size, random);
    }
    world
}

/// The names of so many namespaces.
pub(crate) fn namespace_names(count: usize) -> Vec<String> {
    let endless = NAMESPACES.iter().map(|name| (*name).to_owned()).chain((0..).map(|n| format!("team-{n}")));
    endless.take(count).collect()
}

pub(crate) fn labels(random: &mut Random) -> Labels {
    let mut labels = BTreeMap::new();
    for key in KEYS {
        if random.chance(50) {
            labels.insert(key.to_owned(), (*random.pick(&VALUES)).to_owned());
        }
    }
    labels
}

pub(crate) fn namespace_labels(name: &str, random: &mut Random) -> Labels {
    let mut labels = labels(random);
    match random.below(10) {
        // Written by hand, rightly.
        0 => labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned()),
        // Written wrongly: the server puts it right.
        1 => labels.insert(NAMESPACE_NAME_LABEL.to_owned(), (*random.pick(&NAMESPACES)).to_owned()),
        // A label that looks like the automatic one, and is not.
        2 => labels.insert("name".to_owned(), name.to_owned()),
        _ => None,
    };
    labels
}

fn node(index: usize, size: &Size, random: &mut Random) -> Node {
    let number = index as u8;
    let (v4, v6) = families(size.families, random);
    let mut addresses = Vec::new();
    if v4 {
        addresses.push(IpAddr::V4(Ipv4Addr::new(192, 168, 0, number + 10)));
        // The bridge that its pods hang on: the address from which probes come.
        if random.chance(30) {
            addresses.push(IpAddr::V4(Ipv4Addr::new(10, 244, number, 1)));
        }
    }
    if v6 {
        addresses.push(IpAddr::V6(Ipv6Addr::new(0xfd00, 0xa, 0, 0, 0, 0, 0, u16::from(number) + 10)));
    }
    Node { name: format!("node-{index}"), labels: Labels::new(), addresses }
}

/// A pod whose name and addresses come from the index: none of the world may have it.
pub(crate) fn pod(index: usize, namespace: String, size: &Size, world: &World, random: &mut Random) -> Pod {
    let node_index = random.below(world.nodes.len().max(1));
    let node = world.nodes.get(node_index).filter(|_| random.chance(85));
    let host_network = size.host_network && random.chance(15);
    let known = match size.addresses {
        Addresses::Known => true,
        Addresses::Unknown => false,
        Addresses::Mixed => random.chance(70),
    };
    let addresses = match (known, host_network) {
        (false, _) => Vec::new(),
        // On a cluster a host network pod carries its node's addresses; at most one of each family.
        (true, true) => first_of_each_family(node.map(|n| n.addresses.as_slice()).unwrap_or_default()),
        (true, false) => pod_addresses(index, node_index, size, random),
    };
    let name = format!("pod-{index}");
    let workload = if random.chance(50) {
        Workload { kind: "Pod".to_owned(), name: name.clone() }
    } else {
        Workload { kind: "Deployment".to_owned(), name: format!("app-{}", index / 2) }
    };
    // Without an address a node's name may be anything, even that of a node nobody has listed.
    let node = match node {
        Some(node) => Some(node.name.clone()),
        None if addresses.is_empty() && random.chance(30) => Some("node-unlisted".to_owned()),
        None => None,
    };
    Pod {
        namespace,
        name,
        workload,
        count: 1,
        labels: labels(random),
        addresses,
        named_ports: named_ports(size, random),
        host_network,
        node,
    }
}

fn pod_addresses(index: usize, node: usize, size: &Size, random: &mut Random) -> Vec<IpAddr> {
    let (v4, v6) = families(size.families, random);
    let (node, place) = (node as u8, index as u16);
    let mut addresses = Vec::new();
    if v4 {
        // From 10 up: below are the node's own. 240 to a node, then into a range of their own.
        let (third, fourth) = (node + 16 * (place / 240) as u8, 10 + (place % 240) as u8);
        addresses.push(IpAddr::V4(Ipv4Addr::new(10, 244, third, fourth)));
    }
    if v6 {
        addresses.push(IpAddr::V6(Ipv6Addr::new(0xfd00, 0x244, 0, u16::from(node), 0, 0, 0, place + 10)));
    }
    if random.chance(20) {
        addresses.reverse();
    }
    addresses
}

/// Whether to have IPv4, and whether to have IPv6; never neither.
fn families(families: Families, random: &mut Random) -> (bool, bool) {
    match families {
        Families::V4 => (true, false),
        Families::V6 => (false, true),
        Families::Dual => (true, true),
        Families::Mixed => *random.pick(&[(true, false), (false, true), (true, true), (true, true)]),
    }
}

fn first_of_each_family(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let v4 = addresses.iter().find(|a| a.is_ipv4());
    let v6 = addresses.iter().find(|a| a.is_ipv6());
    v4.into_iter().chain(v6).copied().collect()
}

fn named_ports(size: &Size, random: &mut Random) -> Vec<NamedPort> {
    let mut named = Vec::new();
    for _ in 0..random.below(4) {
        named.push(NamedPort {
            name: (*random.pick(&PORT_NAMES)).to_owned(),
            protocol: protocol(size, random),
            port: *random.pick(&PORTS),
        });
    }
    named
}

/// A protocol; TCP half of the time.
pub(crate) fn protocol(size: &Size, random: &mut Random) -> Protocol {
    match random.below(6) {
        0..3 => Protocol::Tcp,
        5 if size.sctp => Protocol::Sctp,
        _ => Protocol::Udp,
    }
}

/// The ranges that pods live in: all of them, halves of them, or those of one family.
fn pod_cidrs(size: &Size, random: &mut Random) -> Vec<IpNet> {
    let v4 = Ipv4Net::new(Ipv4Addr::new(10, 244, 0, 0), 16).map(IpNet::V4);
    let v6 = Ipv6Net::new(Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, 0), 48).map(IpNet::V6);
    let (with_v4, with_v6) = families(size.families, random);
    let mut ranges: Vec<IpNet> =
        with_v4.then_some(v4).into_iter().chain(with_v6.then_some(v6)).flatten().collect();
    if random.chance(40) {
        ranges = ranges
            .iter()
            .flat_map(|r| r.subnets(r.prefix_len() + 1).into_iter().flatten().collect::<Vec<_>>())
            .collect();
    }
    ranges
}
