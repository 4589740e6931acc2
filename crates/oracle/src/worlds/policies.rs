//! NetworkPolicies for a cluster that is already there, and the parts that policies of every kind are made of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::cluster::ClusterPeer;
use ringfence_policy::model::{
    IpBlock, LabelSelector, NAMESPACE_NAME_LABEL, NamespaceScope, NetworkPolicy, Peer, Peers, PolicyName,
    PortMatch, PortRange, PortRef, Ports, Requirement, Rule, Source, World,
};

use crate::random::Random;
use crate::worlds::cluster::{KEYS, PORT_NAMES, PORTS, VALUES, protocol};
use crate::worlds::{Families, Size};

/// Addresses that belong to nobody in the cluster.
pub(crate) const OUTSIDE: [&str; 10] = [
    "203.0.113.7",
    "198.51.100.200",
    "8.8.8.8",
    "169.254.169.254",
    "10.245.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "2001:db8::7",
    "2001:db8:1::",
    "fd00:245::1",
];

/// Makes policies for a world.
pub(super) struct Maker<'a> {
    pub(super) size: &'a Size,
    pub(super) world: &'a World,
    pub(super) random: &'a mut Random,
    /// The ranges of blocks, exceptions and networks so far: the next ones repeat, contain or split them.
    blocks: Vec<IpNet>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(size: &'a Size, world: &'a World, random: &'a mut Random) -> Maker<'a> {
        let blocks = ranges(world).map(|range| range.trunc()).collect();
        Maker { size, world, random, blocks }
    }

    /// The NetworkPolicies of the world.
    pub(super) fn policies(&mut self) -> Vec<NetworkPolicy> {
        let count = self.random.between(0, self.size.policies);
        (0..count).map(|index| self.policy(index)).collect()
    }

    /// One of them; the index is what makes its name.
    pub(super) fn policy(&mut self, index: usize) -> NetworkPolicy {
        // Mostly where there are pods; now and then where there are none.
        let namespace = match self.random.pick_any(&self.world.pods) {
            Some(pod) if self.random.chance(92) => pod.namespace.clone(),
            _ => "empty".to_owned(),
        };
        let name = PolicyName { namespace, name: format!("policy-{index}") };
        let source =
            self.random.chance(50).then(|| Source { file: "world.yaml".into(), line: index as u32 + 1 });
        let subject = if self.random.chance(35) { LabelSelector::everything() } else { self.selector() };
        let (ingress, egress) = match self.random.below(20) {
            0..8 => (true, false),
            8..13 => (false, true),
            13..19 => (true, true),
            // A policy of neither direction can be held by the model, and does nothing.
            _ => (false, false),
        };
        NetworkPolicy {
            name,
            subject,
            ingress: ingress.then(|| self.rules()),
            egress: egress.then(|| self.rules()),
            source,
        }
    }

    fn rules(&mut self) -> Vec<Rule> {
        let count = *self.random.pick(&[0, 1, 1, 1, 1, 2, 2, 3]);
        (0..count).map(|_| self.rule()).collect()
    }

    fn rule(&mut self) -> Rule {
        let peers = match self.random.below(40) {
            0..7 => Peers::Any,
            // Nobody: no manifest says it, the model can.
            7 => Peers::Of(Vec::new()),
            _ => {
                let count = *self.random.pick(&[1, 1, 1, 2, 2, 3]);
                Peers::Of((0..count).map(|_| self.peer()).collect())
            }
        };
        let ports = match self.random.below(40) {
            0..16 => Ports::Any,
            16 => Ports::Of(Vec::new()),
            _ => {
                let count = *self.random.pick(&[1, 1, 1, 2, 2, 3, 4]);
                Ports::Of((0..count).map(|_| self.port()).collect())
            }
        };
        Rule { peers, ports, source: None }
    }

    fn peer(&mut self) -> Peer {
        if self.random.chance(40) {
            return Peer::Block(self.block());
        }
        let namespaces = match self.random.below(10) {
            0..4 => NamespaceScope::Own,
            4..6 => NamespaceScope::Matching(LabelSelector::everything()),
            6..8 => NamespaceScope::Matching(self.namespace_by_name()),
            _ => NamespaceScope::Matching(self.selector()),
        };
        let pods = if self.random.chance(35) { LabelSelector::everything() } else { self.selector() };
        Peer::Pods { namespaces, pods }
    }

    pub(super) fn selector(&mut self) -> LabelSelector {
        // Labels that some pod has, so that a selector of several keys hits too.
        if self.random.chance(30)
            && let Some(pod) = self.random.pick_any(&self.world.pods)
        {
            let kept = (pod.labels.iter())
                .filter(|_| self.random.chance(60))
                .map(|(key, value)| Requirement::In(key.clone(), BTreeSet::from([value.clone()])));
            return LabelSelector::new(kept.collect::<Vec<_>>());
        }
        let count = *self.random.pick(&[0, 1, 1, 1, 2, 2, 3]);
        LabelSelector::new((0..count).map(|_| self.requirement()).collect::<Vec<_>>())
    }

    fn requirement(&mut self) -> Requirement {
        // A key that nothing has, now and then.
        let key =
            if self.random.chance(5) { "absent".to_owned() } else { (*self.random.pick(&KEYS)).to_owned() };
        match self.random.below(8) {
            0..3 => Requirement::In(key, self.values(1)),
            3 => Requirement::In(key, self.values(3)),
            4..6 => Requirement::NotIn(key, self.values(2)),
            6 => Requirement::Exists(key),
            _ => Requirement::DoesNotExist(key),
        }
    }

    fn values(&mut self, at_most: usize) -> BTreeSet<String> {
        let count = self.random.between(1, at_most);
        (0..count).map(|_| (*self.random.pick(&VALUES)).to_owned()).collect()
    }

    /// Namespaces by their automatic label, by all operators.
    pub(super) fn namespace_by_name(&mut self) -> LabelSelector {
        let mut names = BTreeSet::new();
        for _ in 0..self.random.between(1, 2) {
            let of_pod = self.random.pick_any(&self.world.pods).map(|pod| pod.namespace.clone());
            names.insert(of_pod.unwrap_or_else(|| "default".to_owned()));
        }
        let key = NAMESPACE_NAME_LABEL.to_owned();
        let requirement = match self.random.below(8) {
            0..4 => Requirement::In(key, names),
            4..6 => Requirement::NotIn(key, names),
            6 => Requirement::Exists(key),
            _ => Requirement::DoesNotExist(key),
        };
        LabelSelector::new([requirement])
    }

    pub(super) fn port(&mut self) -> PortMatch {
        let protocol = protocol(self.size, self.random);
        let port = match self.random.below(20) {
            0..3 => PortRef::All,
            3..9 => PortRef::Range(PortRange::single(*self.random.pick(&PORTS))),
            9..14 => PortRef::Range(self.range()),
            14..19 => match self.random.pick_any(&self.world.pods) {
                Some(pod) if !pod.named_ports.is_empty() => {
                    let named = self.random.pick(&pod.named_ports);
                    // With its own protocol mostly; with the one chosen above it may well be the wrong one.
                    let protocol = if self.random.chance(70) { named.protocol } else { protocol };
                    return PortMatch { protocol, port: PortRef::Named(named.name.clone()) };
                }
                _ => PortRef::Named((*self.random.pick(&PORT_NAMES)).to_owned()),
            },
            _ => PortRef::Named("nobody-has-it".to_owned()),
        };
        PortMatch { protocol, port }
    }

    /// A range between two known ports, or from just behind one; ranges meet and overlap.
    fn range(&mut self) -> PortRange {
        let (a, b) = (*self.random.pick(&PORTS), *self.random.pick(&PORTS));
        let (first, last) = (a.min(b), a.max(b));
        let first = if self.random.chance(30) { first.saturating_add(1).min(last) } else { first };
        PortRange::new(first, last).unwrap_or(PortRange::single(first))
    }

    fn block(&mut self) -> IpBlock {
        let cidr = self.cidr();
        let mut except = Vec::new();
        if cidr.prefix_len() < cidr.max_prefix_len() && self.random.chance(50) {
            for _ in 0..self.random.between(1, 3) {
                except.extend(self.inside(cidr));
            }
        }
        self.blocks.push(cidr.trunc());
        self.blocks.extend(&except);
        IpBlock::new(cidr, except)
    }

    /// A range without exceptions. Host bits may be set: they mean nothing.
    pub(super) fn network(&mut self) -> IpNet {
        let network = self.cidr();
        self.blocks.push(network.trunc());
        if self.random.chance(80) { network.trunc() } else { network }
    }

    /// A range: everybody, one seen before, or one around some address.
    fn cidr(&mut self) -> IpNet {
        if self.random.chance(35)
            && let Some(known) = self.random.pick_any(&self.blocks)
        {
            // The same, the range around it, or its first half.
            let longer = (known.prefix_len() + 1).min(known.max_prefix_len());
            return match self.random.below(4) {
                0 => known.supernet().unwrap_or(*known),
                1 => IpNet::new(known.addr(), longer).unwrap_or(*known),
                _ => *known,
            };
        }
        if self.random.chance(12)
            && let Some(range) = self.random.pick_any(&self.world.pod_cidrs)
        {
            return if self.random.chance(50) { *range } else { range.supernet().unwrap_or(*range) };
        }
        let address = self.address();
        let lengths: &[u8] = match address {
            IpAddr::V4(_) => &[0, 0, 1, 8, 16, 23, 24, 25, 28, 30, 31, 32, 32, 32],
            IpAddr::V6(_) => &[0, 0, 1, 16, 32, 48, 56, 63, 64, 112, 120, 127, 128, 128],
        };
        // Host bits may be set: the block masks them.
        IpNet::new(address, *self.random.pick(lengths)).unwrap_or(IpNet::from(address))
    }

    /// A range inside another, around an address of the world if one is there. Sometimes all of it, as the API allows
    /// to hold; sometimes one that is not inside at all, which has no effect.
    fn inside(&mut self, cidr: IpNet) -> Option<IpNet> {
        if self.random.chance(5) {
            return Some(*self.random.pick_any(&self.blocks).unwrap_or(&cidr));
        }
        let mut address = self.address();
        for _ in 0..8 {
            if cidr.contains(&address) {
                break;
            }
            address = self.address();
        }
        if !cidr.contains(&address) {
            address = if self.random.chance(50) { cidr.network() } else { cidr.broadcast() };
        }
        let shortest = usize::from(cidr.prefix_len() + 1);
        let longest = usize::from(cidr.max_prefix_len());
        let length = if self.random.chance(30) { longest } else { self.random.between(shortest, longest) };
        IpNet::new(address, length as u8).ok().map(|net| net.trunc())
    }

    /// An address of a pod or a node of the world, or one outside.
    pub(super) fn address(&mut self) -> IpAddr {
        for _ in 0..4 {
            let address = match self.random.below(10) {
                0..5 => {
                    self.random.pick_any(&self.world.pods).and_then(|p| self.random.pick_any(&p.addresses))
                }
                5..7 => {
                    self.random.pick_any(&self.world.nodes).and_then(|n| self.random.pick_any(&n.addresses))
                }
                _ => None,
            };
            if let Some(address) = address {
                return *address;
            }
        }
        let outside: Vec<IpAddr> = OUTSIDE
            .iter()
            .filter_map(|text| text.parse().ok())
            .filter(|address: &IpAddr| match self.size.families {
                Families::V4 => address.is_ipv4(),
                Families::V6 => address.is_ipv6(),
                Families::Dual | Families::Mixed => true,
            })
            .collect();
        *self.random.pick(&outside)
    }
}

/// Every range that a policy of the world names.
fn ranges(world: &World) -> impl Iterator<Item = IpNet> {
    let rules = world.policies.iter().flat_map(|p| [&p.ingress, &p.egress].into_iter().flatten().flatten());
    let blocks = rules.flat_map(|rule| match &rule.peers {
        Peers::Any => &[],
        Peers::Of(peers) => peers.as_slice(),
    });
    let of_blocks = blocks.flat_map(|peer| match peer {
        Peer::Block(block) => block.except().iter().copied().chain([block.cidr()]).collect(),
        Peer::Pods { .. } => Vec::new(),
    });
    let rules = world.cluster_policies.iter().flat_map(|p| p.ingress.iter().chain(&p.egress));
    let peers = rules.filter_map(|rule| rule.matches.as_ref()).flat_map(|matches| &matches.peers);
    of_blocks.chain(peers.filter_map(|peer| match peer {
        ClusterPeer::Network(network) => Some(*network),
        _ => None,
    }))
}
