//! What the engine says of packets, for comparison with what tables and kernel do to them.

use std::net::IpAddr;

use ringfence_datapath::{NodeView, Packet, Passage};
use ringfence_oracle::questions::{interesting_addresses, traffic};
use ringfence_oracle::random::Random;
use ringfence_policy::{Because, End, Engine, RuleRef, Traffic, World};

/// A packet, whether the node must let it pass, and the rule that a denial or the last side's approval names.
pub(crate) struct Expected {
    /// The packet.
    pub(crate) packet: Packet,
    /// Whether it passes here.
    pub(crate) passes: bool,
    /// The rules that may be named: every side that decides here gives its own.
    pub(crate) rules: Vec<RuleRef>,
}

/// The view that a node has of a world: no ranges, so that only policies decide.
pub(crate) fn node_view(world: &World, node: usize) -> NodeView {
    NodeView { name: world.nodes[node].name.clone(), ..NodeView::default() }
}

/// Packets between addresses of one family, each where the node would see it, with what the engine promises.
pub(crate) fn packets(engine: &Engine, node: usize, seed: u64, most: usize) -> Vec<Expected> {
    let world = engine.world();
    let own = &world.nodes[node];
    let name = &own.name;
    let mut random = Random::new(seed);
    let mut addresses: Vec<IpAddr> = interesting_addresses(world).into_iter().collect();
    addresses.extend(world.pods.iter().flat_map(|p| p.addresses.iter().copied()));
    addresses.extend(world.nodes.iter().flat_map(|n| n.addresses.iter().copied()));
    let traffic = traffic(world);
    let local = |address: &IpAddr| {
        let pod = engine.pod_at(*address).and_then(|p| engine.pod(p));
        pod.is_some_and(|p| !p.host_network && p.node.as_ref() == Some(name))
    };
    let locals: Vec<IpAddr> = addresses.iter().copied().filter(|a| local(a)).collect();
    let mut packets = Vec::new();
    for _ in 0..most {
        let (Some(one), Some(other)) =
            (random.pick_any(&locals).copied(), random.pick_any(&addresses).copied())
        else {
            break;
        };
        let (source, destination) = if random.chance(50) { (one, other) } else { (other, one) };
        if source.is_ipv4() != destination.is_ipv4() {
            continue;
        }
        let passage = match (own.addresses.contains(&source), own.addresses.contains(&destination)) {
            (true, true) => continue,
            (true, false) => Passage::LocalOut,
            (false, true) => Passage::LocalIn,
            (false, false) => Passage::Forward,
        };
        let Some(traffic) = random.pick_any(&traffic).copied() else { break };
        let (protocol, port) = match traffic {
            Traffic::Port(protocol, port) => (protocol.number(), port),
            Traffic::Other if source.is_ipv4() => (1, 0),
            Traffic::Other => (58, 0),
        };
        let verdict = engine.verdict(End::Address(source), End::Address(destination), traffic);
        let mut passes = true;
        let mut rules = Vec::new();
        for (side, here) in [(&verdict.egress, local(&source)), (&verdict.ingress, local(&destination))] {
            if here {
                passes &= side.allowed;
                if let Because::Rule(rule) = side.because {
                    rules.push(rule);
                }
            }
        }
        packets.push(Expected {
            packet: Packet { passage, source, destination, protocol, port },
            passes,
            rules,
        });
    }
    packets
}
