//! What the engine says of packets, for comparison with what tables and kernel do to them.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::IpAddr;

use ringfence_datapath::event::Hook;
use ringfence_datapath::{Fate, Image, NodeView, Packet};
use ringfence_oracle::questions::{interesting_addresses, traffic};
use ringfence_oracle::random::Random;
use ringfence_policy::{Because, Decision, Direction, End, Engine, PortMap, RuleRef, Traffic};

/// A packet, and what the engine says of it.
pub(crate) struct Expected {
    /// The packet.
    pub(crate) packet: Packet,
    /// Whether it passes here.
    pub(crate) passes: bool,
    /// What decides: the rule of the side that denies, or of the last that was asked; `None` where no rule does.
    pub(crate) rule: Option<RuleRef>,
}

impl Expected {
    /// Whether a fate says the same: the verdict, and the rule by its name.
    pub(crate) fn is(&self, fate: Fate, engine: &Engine, image: &Image) -> bool {
        let number = match fate {
            Fate::Allowed { rule } | Fate::Denied { rule } => rule,
            Fate::Open | Fate::Itself | Fate::OwnNode => 0,
            Fate::UnknownEndpoint | Fate::MissingRow | Fate::Cut => return false,
        };
        let same_rule = match (self.rule, image.rule_names.get(&number)) {
            (Some(rule), Some(name)) => {
                let direction = if rule.egress { Direction::Egress } else { Direction::Ingress };
                let key = engine.policy(rule.policy).unwrap().key();
                (&key, direction, rule.rule) == (&name.policy, name.direction, name.rule)
            }
            (None, None) => number == 0,
            _ => false,
        };
        same_rule && fate.passes() == self.passes
    }
}

/// How many nodes there are.
pub(crate) fn nodes(engine: &Engine) -> usize {
    engine.nodes().count()
}

/// The view of a node, by its place: no ranges, so that only policies decide.
pub(crate) fn node_view(engine: &Engine, node: usize) -> NodeView {
    NodeView { name: engine.nodes().nth(node).unwrap().name.clone(), ..NodeView::default() }
}

/// Packets between addresses of one family, each where the node would see it, with what the engine promises.
pub(crate) fn packets(engine: &Engine, node: usize, seed: u64, most: usize) -> Vec<Expected> {
    let world = &engine.to_world();
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
        let (source, destination) = match random.below(10) {
            0 => (one, one),
            1..=4 => (one, other),
            _ => (other, one),
        };
        if source.is_ipv4() != destination.is_ipv4() {
            continue;
        }
        let hook = match (own.addresses.contains(&source), own.addresses.contains(&destination)) {
            (true, true) => continue,
            (true, false) => Hook::LocalOut,
            (false, true) => Hook::LocalIn,
            (false, false) => Hook::Forward,
        };
        let Some(traffic) = random.pick_any(&traffic).copied() else { break };
        let (protocol, port) = match traffic {
            Traffic::Port(protocol, port) => (protocol.number(), port),
            Traffic::Other if source.is_ipv4() => (1, 0),
            Traffic::Other => (58, 0),
        };
        let opens = protocol == 6 || protocol == 132;
        let packet =
            Packet { hook, source, destination, protocol, source_port: 40_000, port, opens, time_ns: 0 };
        if source == destination && local(&source) {
            let (passes, rule) = hairpin(engine, source, traffic);
            packets.push(Expected { packet, passes, rule });
            continue;
        }
        let verdict = engine.verdict(End::Address(source), End::Address(destination), traffic);
        let (mut passes, mut rule) = (true, None);
        for (direction, subject) in [(Direction::Egress, source), (Direction::Ingress, destination)] {
            let pod = engine.pod_at(subject).filter(|_| local(&subject));
            let side = verdict.side(direction);
            if pod.is_some_and(|p| engine.policy_set(p, direction).is_some()) && passes {
                passes &= side.allowed;
                rule = match side.because {
                    Because::Rule(rule) => Some(rule),
                    _ => None,
                };
            }
        }
        packets.push(Expected { packet, passes, rule });
    }
    packets
}

/// Whether a pod reaches itself by an address through a Service, and the rule that decides, as above.
fn hairpin(engine: &Engine, address: IpAddr, traffic: Traffic) -> (bool, Option<RuleRef>) {
    let pod = engine.pod_at(address).unwrap();
    let identity = engine.identity(End::Address(address));
    let verdict = engine.hairpin_verdict(End::Address(address), traffic);
    let mut rule = None;
    for direction in [Direction::Egress, Direction::Ingress] {
        let set = engine.policy_set(pod, direction).filter(|set| engine.has_cluster_policies(*set));
        let map = set.map_or(PortMap::uniform(Decision::OPEN), |set| engine.hairpin_map(set, identity));
        let decision = map.decide(traffic);
        let side = verdict.side(direction);
        let by = match side.because {
            Because::Rule(rule) => Some(rule),
            _ => None,
        };
        assert_eq!((side.allowed, by), (decision.allow, decision.rule));
        if !decision.allow {
            return (false, decision.rule);
        }
        if map != PortMap::uniform(Decision::OPEN) {
            rule = decision.rule;
        }
    }
    (true, rule)
}
