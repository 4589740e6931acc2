//! The kernel's tables as a value, with the kernel's look-up.
//!
//! The look-up is the same as that of the BPF program, step by step, so that one can be tested against the other and
//! every half-way state of a plan can be asked what it would do to a packet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::abi::{
    Address, CutKey, EndValue, EndpointWord, IDENTITY_ANY, IDENTITY_UNMATCHED, Op, PORTMAP_NO_BLOCKS,
    PORTMAP_NO_PORTS, PROTOCOLS_WITH_PORTS, PortMapKey, PortMapValue, Prefix, RANGE_PODS, RuleKey, SLOTS,
};
use crate::event::Hook;

/// What the kernel holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// The slot by which packets are judged.
    pub active: u64,
    /// Where a known address is found in `ends`.
    pub addresses: BTreeMap<Address, u32>,
    /// What holds for a known address.
    pub ends: BTreeMap<u32, EndValue>,
    /// The identities of other addresses.
    pub cidrs: BTreeMap<Prefix, [u64; SLOTS]>,
    /// Where unknown addresses are denied.
    pub ranges: BTreeMap<Prefix, [u32; SLOTS]>,
    /// The port map between a policy set and an identity.
    pub rules: BTreeMap<RuleKey, u64>,
    /// The rows of the port maps.
    pub portmaps: BTreeMap<PortMapKey, PortMapValue>,
    /// Until when packets of a connection that was cut are refused, in nanoseconds of the monotonic clock.
    pub cut: BTreeMap<CutKey, u64>,
}

/// A packet of no established connection, as the look-up sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Where it is seen.
    pub hook: Hook,
    /// Its source.
    pub source: IpAddr,
    /// Its destination, after a Service's translation.
    pub destination: IpAddr,
    /// The protocol's number.
    pub protocol: u8,
    /// The source port; meaningless for protocols without.
    pub source_port: u16,
    /// The destination port; meaningless for protocols without.
    pub port: u16,
    /// It says itself that it begins a connection: TCP's SYN, SCTP's INIT.
    pub opens: bool,
    /// When, in nanoseconds of the monotonic clock.
    pub time_ns: u64,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// Neither end is an isolated endpoint in its direction.
    Open,
    /// Both ends are one, and no cluster-wide policy has a say.
    Itself,
    /// To a pod from its own node.
    OwnNode,
    /// Every side that is isolated allows; this is what the side asked last says.
    Allowed {
        /// The rule's number, 0 for the default.
        rule: u32,
    },
    /// A side denies.
    Denied {
        /// The rule's number, 0 for the default.
        rule: u32,
    },
    /// An address in this node's range that is no endpoint.
    UnknownEndpoint,
    /// A row that every set must have is not there.
    MissingRow,
    /// Its connection was cut, and it goes against its direction.
    Cut,
}

impl Fate {
    /// Whether the packet passes.
    pub fn passes(self) -> bool {
        match self {
            Fate::Open | Fate::Itself | Fate::OwnNode | Fate::Allowed { .. } => true,
            Fate::Denied { .. } | Fate::UnknownEndpoint | Fate::MissingRow | Fate::Cut => false,
        }
    }
}

impl Tables {
    /// Carries out one operation of a plan.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::PutPortMap { key, value } => drop(self.portmaps.insert(*key, *value)),
            Op::DeletePortMap { key } => drop(self.portmaps.remove(key)),
            Op::PutRule { key, portmap } => drop(self.rules.insert(*key, *portmap)),
            Op::DeleteRule { key } => drop(self.rules.remove(key)),
            // Rows of an array are always there; those of zeros say nothing.
            Op::PutEnd { index, value } if *value == EndValue::default() => drop(self.ends.remove(index)),
            Op::PutEnd { index, value } => drop(self.ends.insert(*index, *value)),
            Op::PutAddress { address, index } => drop(self.addresses.insert(*address, *index)),
            Op::DeleteAddress { address } => drop(self.addresses.remove(address)),
            Op::PutCidr { prefix, identity } => drop(self.cidrs.insert(*prefix, *identity)),
            Op::DeleteCidr { prefix } => drop(self.cidrs.remove(prefix)),
            Op::PutRange { prefix, flags } => drop(self.ranges.insert(*prefix, *flags)),
            Op::DeleteRange { prefix } => drop(self.ranges.remove(prefix)),
            Op::Activate { slot } => self.active = *slot,
            Op::Grace => {}
        }
    }

    /// What the kernel does with a packet that conntrack does not know as established.
    pub fn fate(&self, packet: &Packet) -> Fate {
        if self.is_cut(packet) {
            return Fate::Cut;
        }
        let slot = usize::from(self.active == 1);
        let (source, destination) = (Address::from(packet.source), Address::from(packet.destination));
        let (from, to) = (self.end(source), self.end(destination));
        let [egress, ingress] = [word(from, slot, |e| e.egress), word(to, slot, |e| e.ingress)];
        if source == destination && egress.is_present() {
            return self.hairpin([egress, ingress], self.identity(source, slot), packet);
        }
        let mut fate = Fate::Open;
        if packet.hook != Hook::LocalOut {
            if egress.is_isolated() {
                match self.decide(egress, self.identity(destination, slot), packet) {
                    Fate::Allowed { rule } => fate = Fate::Allowed { rule },
                    denied => return denied,
                }
            } else if !egress.is_present() && self.in_pod_range(source, slot) {
                return Fate::UnknownEndpoint;
            }
        }
        if packet.hook != Hook::LocalIn {
            if ingress.is_present() && packet.hook == Hook::LocalOut {
                return Fate::OwnNode;
            }
            if ingress.is_isolated() {
                return self.decide(ingress, self.identity(source, slot), packet);
            }
            if !ingress.is_present() && packet.hook == Hook::Forward && self.in_pod_range(destination, slot) {
                return Fate::UnknownEndpoint;
            }
        }
        fate
    }

    /// The identity that an address has in a slot.
    pub fn identity(&self, address: Address, slot: usize) -> u64 {
        let pair =
            self.end(address).map(|end| end.identity).or_else(|| longest(&self.cidrs, address).copied());
        pair.and_then(|p| p.get(slot).copied()).unwrap_or(IDENTITY_UNMATCHED)
    }

    /// The rows of a port map.
    pub(crate) fn rows_of(&self, portmap: u64) -> impl Iterator<Item = (PortMapKey, PortMapValue)> {
        self.portmaps.range(PortMapKey::all_of(portmap)).map(|(key, value)| (*key, *value))
    }

    fn is_cut(&self, packet: &Packet) -> bool {
        let has_ports =
            PROTOCOLS_WITH_PORTS.contains(&packet.protocol) && packet.source_port | packet.port != 0;
        if packet.opens || !has_ports {
            return false;
        }
        let source = (Address::from(packet.source), packet.source_port);
        let destination = (Address::from(packet.destination), packet.port);
        let until = self.cut.get(&CutKey::new(source, destination, packet.protocol));
        until.is_some_and(|until| packet.time_ns < *until)
    }

    fn end(&self, address: Address) -> Option<EndValue> {
        Some(self.ends.get(self.addresses.get(&address)?).copied().unwrap_or_default())
    }

    fn in_pod_range(&self, address: Address, slot: usize) -> bool {
        longest(&self.ranges, address).and_then(|flags| flags.get(slot)) == Some(&RANGE_PODS)
    }

    /// A pod that reaches itself through a Service: what it sends to its own address is not seen here. It does so where
    /// no cluster-wide policy says otherwise, and only those have rows.
    fn hairpin(&self, words: [EndpointWord; 2], identity: u64, packet: &Packet) -> Fate {
        let mut fate = Fate::Itself;
        for word in words.into_iter().filter(|word| word.is_isolated()) {
            let Some(portmap) = self.rules.get(&RuleKey::hairpin(word.set(), identity)) else { continue };
            match self.look_up_port(*portmap, packet) {
                Fate::Allowed { rule } => fate = Fate::Allowed { rule },
                denied => return denied,
            }
        }
        fate
    }

    fn decide(&self, word: EndpointWord, identity: u64, packet: &Packet) -> Fate {
        let set = word.set();
        let own = self.rules.get(&RuleKey { set, identity });
        let portmap = own.or_else(|| self.rules.get(&RuleKey { set, identity: IDENTITY_ANY }));
        portmap.map_or(Fate::MissingRow, |portmap| self.look_up_port(*portmap, packet))
    }

    fn look_up_port(&self, portmap: u64, packet: &Packet) -> Fate {
        let port = if PROTOCOLS_WITH_PORTS.contains(&packet.protocol) { packet.port } else { 0 };
        let has = |without: u64| portmap & without == 0;
        let single = has(PORTMAP_NO_PORTS).then(|| PortMapKey::port(portmap, packet.protocol, port));
        let blocks = (0..16u8).rev().filter(|_| has(PORTMAP_NO_BLOCKS));
        let blocks = blocks.map(|bits| PortMapKey::ports(portmap, packet.protocol, port, bits));
        let rows = single.into_iter().chain(blocks).chain([PortMapKey::everything(portmap)]);
        match rows.into_iter().find_map(|key| self.portmaps.get(&key)) {
            Some(value) if value.allows() => Fate::Allowed { rule: value.rule },
            Some(value) => Fate::Denied { rule: value.rule },
            None => Fate::MissingRow,
        }
    }
}

/// A direction's word in a slot.
fn word(
    end: Option<EndValue>,
    slot: usize,
    direction: impl Fn(EndValue) -> [EndpointWord; SLOTS],
) -> EndpointWord {
    end.map(direction).and_then(|words| words.get(slot).copied()).unwrap_or(EndpointWord::ABSENT)
}

/// The value of the longest prefix that holds an address.
pub(crate) fn longest<T>(table: &BTreeMap<Prefix, T>, address: Address) -> Option<&T> {
    let holding = (0..=128u32).rev().map(|bits| Prefix::around(address, bits));
    holding.into_iter().find_map(|prefix| table.get(&prefix))
}
