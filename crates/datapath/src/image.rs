//! The image: what one node's kernel tables must say, as a plain value computed from an engine.
//!
//! It knows nothing of what the kernel holds now; [`crate::plan`] finds the way from there to here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::{
    Decision, Direction, End, Engine, Identity, PolicyKey, PortMap, Protocol, RuleRef, SetId, Source,
};
use rustc_hash::FxHashMap;

use crate::abi::{
    Address, IDENTITY_UNMATCHED, PortMapKey, PortMapValue, Prefix, RANGE_EXEMPT, RANGE_PODS, RuleKey,
};
use crate::naming::Namer;

/// What to make an image for.
#[derive(Debug, Clone, Default)]
pub struct NodeView {
    /// The node's name: pods with it are its endpoints.
    pub name: String,
    /// The addresses from which this node's pods get theirs; one that no pod has is denied.
    pub pod_ranges: Vec<IpNet>,
    /// Addresses inside them that are not pods, the node's own gateway for one.
    pub not_pods: Vec<IpAddr>,
    /// Another value gives every number anew, for the case that old and new contents share one.
    pub salt: u64,
}

/// What the tables of one node must say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// This node's pods, by address.
    pub endpoints: BTreeMap<Address, Endpoint>,
    /// The identity of every pod of the cluster, by address.
    pub peers: BTreeMap<Address, u64>,
    /// The identity of every other address, by its longest prefix.
    pub cidrs: BTreeMap<Prefix, u64>,
    /// The ranges in which an unknown address is denied, and what inside them is exempt.
    pub ranges: BTreeMap<Prefix, u32>,
    /// The port map of a policy set toward an identity. Toward an identity that is not listed the one toward
    /// [`IDENTITY_UNMATCHED`] holds, which every set has.
    pub rules: BTreeMap<RuleKey, u64>,
    /// The rows of each port map.
    pub portmaps: BTreeMap<u64, Vec<PortRow>>,
    /// What the numbers of rules stand for.
    pub rule_names: BTreeMap<u32, RuleName>,
}

/// One address of one of this node's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The policy set for what comes in; `None`: open.
    pub ingress: Option<u64>,
    /// The policy set for what goes out; `None`: open.
    pub egress: Option<u64>,
}

/// A row of a port map, before the map has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRow {
    /// The protocol's number; `None`: all.
    pub protocol: Option<u8>,
    /// The first port.
    pub port: u16,
    /// How many leading bits of the port count; 0: all ports.
    pub bits: u8,
    /// What holds there.
    pub value: PortMapValue,
}

impl PortRow {
    /// The row's key in a port map.
    pub fn key(&self, portmap: u64) -> PortMapKey {
        match self.protocol {
            None => PortMapKey::everything(portmap),
            Some(protocol) => PortMapKey::ports(portmap, protocol, self.port, self.bits),
        }
    }
}

/// What a rule's number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    /// The policy.
    pub policy: PolicyKey,
    /// The direction.
    pub direction: Direction,
    /// The rule's place among the policy's rules of that direction.
    pub rule: u32,
    /// Where it is written.
    pub source: Option<Source>,
}

impl Image {
    /// The image of a node.
    pub fn new(engine: &Engine, node: &NodeView) -> Image {
        Builder { engine, namer: Namer::new(node.salt), image: Image::default(), maps: FxHashMap::default() }
            .build(node)
    }
}

struct Builder<'e> {
    engine: &'e Engine,
    namer: Namer,
    image: Image,
    maps: FxHashMap<PortMap, u64>,
}

impl Builder<'_> {
    fn build(mut self, node: &NodeView) -> Image {
        let identities = self.identities();
        self.ranges(node);
        let mut sets: BTreeMap<SetId, u64> = BTreeMap::new();
        for (id, pod) in self.engine.pods() {
            if pod.host_network || pod.node.as_deref() != Some(node.name.as_str()) {
                continue;
            }
            let mut set = |direction| {
                let set = self.engine.policy_set(id, direction)?;
                Some(*sets.entry(set).or_insert_with(|| self.namer.set(self.engine, set)))
            };
            let endpoint = Endpoint { ingress: set(Direction::Ingress), egress: set(Direction::Egress) };
            for address in &pod.addresses {
                self.image.endpoints.insert(Address::from(*address), endpoint);
            }
        }
        for (set, number) in sets {
            self.rules(set, number, &identities);
        }
        self.image
    }

    /// Every identity that an address can have, pods' and others', with their numbers.
    fn identities(&mut self) -> BTreeMap<Identity, u64> {
        let mut identities = BTreeMap::from([(Identity::NOBODY, IDENTITY_UNMATCHED)]);
        let engine = self.engine;
        let mut number = |namer: &mut Namer, identity: Identity| {
            *identities.entry(identity).or_insert_with(|| namer.identity(engine, identity))
        };
        for (_, pod) in engine.pods().filter(|(_, p)| !p.host_network) {
            for address in &pod.addresses {
                // Asked by address: of a pod with two, a block may hold one.
                let identity = number(&mut self.namer, engine.identity(End::Address(*address)));
                self.image.peers.insert(Address::from(*address), identity);
            }
        }
        let mut ipv4_covered = false;
        for (net, class) in engine.address_space().prefixes() {
            let prefix = Prefix::from(net);
            ipv4_covered |= matches!(net, IpNet::V6(_)) && prefix.contains(Prefix::IPV4.first());
            let identity = number(&mut self.namer, engine.class_identity(class));
            self.image.cidrs.insert(prefix, identity);
        }
        if ipv4_covered {
            // IPv4 addresses are kept inside an IPv6 range, which a wide IPv6 block must not reach.
            self.image.cidrs.entry(Prefix::IPV4).or_insert(IDENTITY_UNMATCHED);
        }
        identities
    }

    fn ranges(&mut self, node: &NodeView) {
        for range in &node.pod_ranges {
            self.image.ranges.insert(Prefix::from(*range), RANGE_PODS);
        }
        for address in &node.not_pods {
            self.image.ranges.insert(Prefix::from(IpNet::from(*address)), RANGE_EXEMPT);
        }
    }

    fn rules(&mut self, set: SetId, number: u64, identities: &BTreeMap<Identity, u64>) {
        let default = self.portmap(set, Identity::NOBODY);
        self.image.rules.insert(RuleKey { set: number, identity: IDENTITY_UNMATCHED }, default);
        for (identity, identity_number) in identities {
            if self.engine.is_nobody_to(set, *identity) {
                continue;
            }
            let portmap = self.portmap(set, *identity);
            if portmap != default {
                self.image.rules.insert(RuleKey { set: number, identity: *identity_number }, portmap);
            }
        }
    }

    fn portmap(&mut self, set: SetId, identity: Identity) -> u64 {
        let map = self.engine.port_map(set, identity);
        if let Some(number) = self.maps.get(&map) {
            return *number;
        }
        let rows = self.rows(&map);
        let number = self.namer.portmap(&rows);
        self.image.portmaps.insert(number, rows);
        self.maps.insert(map, number);
        number
    }

    /// The rows of a port map: one for everything, one for a protocol that mostly differs from that, and blocks of
    /// ports for what differs from its protocol.
    fn rows(&mut self, map: &PortMap) -> Vec<PortRow> {
        let root = self.value(map.other());
        let mut rows = vec![PortRow { protocol: None, port: 0, bits: 0, value: root }];
        for protocol in Protocol::ALL {
            let mut spans = Vec::new();
            let mut first = 0u16;
            for span in map.spans(protocol) {
                spans.push((first, span.last, self.value(span.decision)));
                first = span.last.saturating_add(1);
            }
            let mut ports: BTreeMap<PortMapValue, u32> = BTreeMap::new();
            for (first, last, value) in &spans {
                *ports.entry(*value).or_default() += u32::from(*last) - u32::from(*first) + 1;
            }
            let base = ports.into_iter().max_by_key(|(_, count)| *count).map_or(root, |(value, _)| value);
            let number = Some(protocol.number());
            if base != root {
                rows.push(PortRow { protocol: number, port: 0, bits: 0, value: base });
            }
            for (first, last, value) in spans.into_iter().filter(|(_, _, value)| *value != base) {
                let blocks = port_blocks(first, last).into_iter();
                rows.extend(blocks.map(|(port, bits)| PortRow { protocol: number, port, bits, value }));
            }
        }
        rows
    }

    fn value(&mut self, decision: Decision) -> PortMapValue {
        let rule = decision.rule.map_or(0, |rule| self.rule_number(rule));
        if decision.allow { PortMapValue::allow(rule) } else { PortMapValue::deny(rule) }
    }

    fn rule_number(&mut self, rule: RuleRef) -> u32 {
        let Some(policy) = self.engine.policy(rule.policy).map(|p| p.key()) else { return 0 };
        let number = self.namer.rule(&policy, rule);
        self.image.rule_names.entry(number).or_insert_with(|| RuleName {
            policy,
            direction: if rule.egress { Direction::Egress } else { Direction::Ingress },
            rule: rule.rule,
            source: self.engine.rule_source(rule).cloned(),
        });
        number
    }
}

/// The fewest aligned blocks that make up a range of ports, each as its first port and the bits that count.
fn port_blocks(first: u16, last: u16) -> Vec<(u16, u8)> {
    let mut blocks = Vec::new();
    let (mut next, last) = (u32::from(first), u32::from(last));
    while next <= last {
        let aligned = if next == 0 { 16 } else { next.trailing_zeros().min(16) };
        let fits = (last - next + 1).ilog2();
        let size = aligned.min(fits);
        if let (Ok(port), Ok(bits)) = (u16::try_from(next), u8::try_from(16 - size)) {
            blocks.push((port, bits));
        }
        next += 1 << size;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::port_blocks;

    fn check(first: u16, last: u16, expect: &[(u16, u8)]) {
        let blocks = port_blocks(first, last);
        assert_eq!(blocks, expect);
        let size: u32 = blocks.iter().map(|(_, bits)| 1u32 << (16 - bits)).sum();
        assert_eq!(size, u32::from(last - first) + 1);
    }

    #[test]
    fn ranges_become_aligned_blocks() {
        check(80, 80, &[(80, 16)]);
        check(0, 65535, &[(0, 0)]);
        check(65535, 65535, &[(65535, 16)]);
        check(1, 6, &[(1, 16), (2, 15), (4, 15), (6, 16)]);
        check(8000, 8031, &[(8000, 11)]);
        check(1024, 65535, &[(1024, 6), (2048, 5), (4096, 4), (8192, 3), (16384, 2), (32768, 1)]);
    }
}
