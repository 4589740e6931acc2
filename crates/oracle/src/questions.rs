//! Questions worth asking of a world: every pair of ends that a policy could tell apart, at the edges of everything
//! that its policies name.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ringfence_policy::cluster::{ClusterMatch, ClusterPeer};
use ringfence_policy::model::{IpBlock, Peer, Peers, PodId, PortRef, Ports, Protocol, Rule, Traffic, World};

use crate::matching::{bounds, is_v4};
use crate::naive::End;
use crate::party::owned_addresses;
use crate::random::Random;

/// At most so many questions about one world; a random part where there would be more.
pub const LIMIT: usize = 3000;

/// Questions about a world: from, to, and what is sent.
///
/// One end at least is a pod. Two ends with known addresses have the same family. A pod is asked about as
/// [`End::Pod`] only where it has no address that could be named. The order is random, so that any beginning of the
/// list is a fair sample.
pub fn questions(world: &World, seed: u64) -> Vec<(End, End, Traffic)> {
    let mut random = Random::new(seed);
    let pods = pod_ends(world);
    let outside: Vec<End> = interesting_addresses(world).into_iter().map(End::Outside).collect();
    let traffic = traffic(world);

    let mut pairs = Vec::new();
    for pod in &pods {
        pairs.extend(pods.iter().map(|other| (*pod, *other)));
        pairs.extend(outside.iter().flat_map(|other| [(*pod, *other), (*other, *pod)]));
    }
    pairs.retain(|(from, to)| can_meet(*from, *to));
    random.shuffle(&mut pairs);

    // Some pairs with all traffic, many pairs with some of it.
    let mut asked = Vec::new();
    let thorough = LIMIT / 2 / traffic.len().max(1);
    for (place, (from, to)) in pairs.iter().enumerate() {
        if place < thorough || pairs.len() * traffic.len() <= LIMIT {
            asked.extend(traffic.iter().map(|sent| (*from, *to, *sent)));
        } else {
            asked.push((*from, *to, Traffic::Other));
            asked.extend((0..3).map(|_| (*from, *to, *random.pick(&traffic))));
        }
    }
    random.shuffle(&mut asked);
    asked.truncate(LIMIT);
    asked
}

/// Every pod as an end, by each of its addresses that is nobody else's.
pub fn pod_ends(world: &World) -> Vec<End> {
    let mut ends = Vec::new();
    for (id, _) in (0..).map(PodId).zip(&world.pods) {
        let addresses: BTreeSet<IpAddr> = owned_addresses(world, id).into_iter().collect();
        if addresses.is_empty() {
            ends.push(End::Pod(id));
        }
        ends.extend(addresses.into_iter().map(|address| End::PodAt(id, address)));
    }
    ends
}

/// What can be sent, as far as the world's policies may tell it apart: at and beside the edges of every range and
/// every container port, in every protocol, and no port at all.
pub fn traffic(world: &World) -> Vec<Traffic> {
    let mut ports = BTreeSet::from([0, 1, 80, u16::MAX]);
    let mut add = |port: u16| ports.extend([port.saturating_sub(1), port, port.saturating_add(1)]);
    for named in world.pods.iter().flat_map(|pod| &pod.named_ports) {
        add(named.port);
    }
    let of_cluster = cluster_matches(world).map(|matches| &matches.ports);
    for ports in rules(world).map(|rule| &rule.ports).chain(of_cluster) {
        let Ports::Of(entries) = ports else { continue };
        for entry in entries {
            if let PortRef::Range(range) = entry.port {
                add(range.first());
                add(range.last());
            }
        }
    }
    let with_ports = Protocol::ALL.iter().flat_map(|p| ports.iter().map(|port| Traffic::Port(*p, *port)));
    with_ports.chain([Traffic::Other]).collect()
}

/// The addresses that the world's policies may tell apart: those of pods, of nodes and of names, and the first, the
/// last and the neighbours of every block, exception and network.
pub fn interesting_addresses(world: &World) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::from([
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7)),
    ]);
    addresses.extend(world.nodes.iter().flat_map(|node| &node.addresses));
    addresses.extend(world.pods.iter().flat_map(|pod| &pod.addresses));
    addresses.extend(world.names.iter().flat_map(|name| &name.addresses));
    for block in blocks(world) {
        for range in block.except().iter().copied().chain([block.cidr()]) {
            addresses.extend(edges(range));
        }
    }
    for peer in cluster_matches(world).flat_map(|matches| &matches.peers) {
        if let ClusterPeer::Network(network) = peer {
            addresses.extend(edges(*network));
        }
    }
    for range in &world.pod_cidrs {
        addresses.extend(edges(*range));
    }
    addresses
}

/// The first and the last address of a range, and the ones just outside of it.
fn edges(range: IpNet) -> BTreeSet<IpAddr> {
    let v4 = is_v4(range.addr());
    let (first, last) = bounds(range);
    let numbers = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
    numbers.into_iter().flatten().filter_map(|n| address(n, v4)).collect()
}

fn address(number: u128, v4: bool) -> Option<IpAddr> {
    if v4 {
        u32::try_from(number).ok().map(|n| IpAddr::V4(Ipv4Addr::from(n)))
    } else {
        Some(IpAddr::V6(Ipv6Addr::from(number)))
    }
}

/// Whether a packet can go from one to the other.
fn can_meet(from: End, to: End) -> bool {
    match (address_of(from), address_of(to)) {
        (Some(from), Some(to)) => is_v4(from) == is_v4(to),
        _ => true,
    }
}

fn address_of(end: End) -> Option<IpAddr> {
    match end {
        End::Pod(_) => None,
        End::PodAt(_, address) | End::Outside(address) => Some(address),
    }
}

fn blocks(world: &World) -> impl Iterator<Item = &IpBlock> {
    rules(world)
        .filter_map(|rule| match &rule.peers {
            Peers::Any => None,
            Peers::Of(peers) => Some(peers),
        })
        .flatten()
        .filter_map(|peer| match peer {
            Peer::Block(block) => Some(block),
            Peer::Pods { .. } => None,
        })
}

fn rules(world: &World) -> impl Iterator<Item = &Rule> {
    world.policies.iter().flat_map(|policy| [&policy.ingress, &policy.egress].into_iter().flatten().flatten())
}

/// What the rules of cluster-wide policies match, where it is known.
fn cluster_matches(world: &World) -> impl Iterator<Item = &ClusterMatch> {
    let rules = world.cluster_policies.iter().flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
    rules.filter_map(|rule| rule.matches.as_ref())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{edges, questions};
    use crate::matching::{in_range, number};
    use crate::naive;
    use crate::worlds::{Size, world};

    #[test]
    fn edges_stay_in_the_family() {
        let edges_of = |text: &str| {
            edges(text.parse().unwrap()).iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(edges_of("10.0.0.0/24"), "9.255.255.255 10.0.0.0 10.0.0.255 10.0.1.0");
        assert_eq!(edges_of("0.0.0.0/0"), "0.0.0.0 255.255.255.255");
        assert_eq!(edges_of("::1/128"), ":: ::1 ::2");
        assert!(in_range("fd00::/8".parse().unwrap(), "fdff::".parse().unwrap()));
        assert_eq!(number("0.0.1.0".parse().unwrap()), 256);
    }

    /// Worlds and questions that nearly always have the same answer would test nothing.
    #[test]
    fn answers_are_mixed() {
        let (mut asked, mut allowed) = (0, 0);
        for seed in 0..60 {
            let world = world(seed, &Size::default());
            for (from, to, traffic) in questions(&world, seed).into_iter().take(300) {
                asked += 1;
                allowed += usize::from(naive::allowed(&world, &from, &to, traffic));
            }
        }
        let percent = allowed * 100 / asked;
        assert!((25..75).contains(&percent), "{percent}% of {asked} are allowed");
    }
}
