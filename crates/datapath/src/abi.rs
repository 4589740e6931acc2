//! What the kernel program and this crate agree on: the keys and values of its tables, the words of its events,
//! and the operations that change the tables. The other half is `bpf/abi.h`; sizes are asserted on both sides.
//!
//! Both families share every table: an IPv4 address `a.b.c.d` is kept as `::ffff:a.b.c.d`, and an IPv4 prefix has
//! 96 added to its length. So `::/0` covers IPv4 too: whoever writes an IPv6 prefix shorter than 96 bits that
//! contains `::ffff:0:0/96` must also write [`Prefix::IPV4`] with what is meant for IPv4.
//!
//! What a packet is judged by is kept in two slots, and one word says which is in force. A plan writes the other slot
//! and then switches by [`Op::Activate`], one store, so that a packet sees all of the old world or all of the new.
//!
//! Hash entries are immutable: the kernel recycles an element at once, so that a reader of an entry that was
//! replaced or deleted could see another key's value. What changes in place are only 8-byte words in arrays, and an
//! entry is deleted only after an [`Op::Grace`] during which nothing led to it.
//!
//! It decides nothing, and knows no policy.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One change of the kernel's tables. A plan is a list of these, applied in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Writes one row of a port map, in place of what is there.
    PutPortMap {
        /// Port map, protocol and port range.
        key: PortMapKey,
        /// The verdict for it.
        value: PortMapValue,
    },
    /// Deletes one row of a port map. No row is no error.
    DeletePortMap {
        /// The row.
        key: PortMapKey,
    },
    /// Writes which port map holds between a policy set and an identity. Another value there is an error.
    PutRule {
        /// Policy set and identity.
        key: RuleKey,
        /// The port map's id.
        portmap: u64,
    },
    /// Deletes what holds between a policy set and an identity. No row is no error.
    DeleteRule {
        /// Policy set and identity.
        key: RuleKey,
    },
    /// Writes both slots of what holds for a known address, each word in one store.
    PutEnd {
        /// Its index, as in [`Op::PutAddress`].
        index: u32,
        /// What holds.
        value: EndValue,
    },
    /// Writes at which index an address is found. Another index there is an error.
    PutAddress {
        /// The address.
        address: Address,
        /// Its index.
        index: u32,
    },
    /// Forgets an address. No row is no error.
    DeleteAddress {
        /// The address.
        address: Address,
    },
    /// Writes both slots of the identity of a block of addresses, in place of what is there.
    PutCidr {
        /// The block.
        prefix: Prefix,
        /// The identity in each slot.
        identity: [u64; SLOTS],
    },
    /// Forgets a block of addresses. No row is no error.
    DeleteCidr {
        /// The block.
        prefix: Prefix,
    },
    /// Says for both slots whether the addresses of a block are this node's pods, in place of what is there.
    PutRange {
        /// The block.
        prefix: Prefix,
        /// [`RANGE_PODS`] or [`RANGE_EXEMPT`], in each slot.
        flags: [u32; SLOTS],
    },
    /// Forgets a range. No row is no error.
    DeleteRange {
        /// The block.
        prefix: Prefix,
    },
    /// From here on every packet is judged by this slot: one store of 8 bytes.
    Activate {
        /// 0 or 1.
        slot: u64,
    },
    /// Waits until no packet still reads what was there before.
    Grace,
}

impl Op {
    /// Whether this is the operation from which on the new world is in force.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        matches!(self, Self::Activate { .. })
    }
}

/// An unknown address in this block is denied: it can only be a pod that was not announced yet, or is gone.
pub const RANGE_PODS: u32 = 1;
/// This block lies inside a range of pods but is not pods: the node's own gateway address, for one.
pub const RANGE_EXEMPT: u32 = 0;

/// The protocol numbers whose ports are read. Every other protocol is looked up with port 0.
pub const PROTOCOLS_WITH_PORTS: [u8; 3] = [6, 17, 132];

/// The identity of whoever is matched by no peer of any policy.
pub const IDENTITY_UNMATCHED: u64 = 0;

/// Stands in a policy set's rows for every identity without a row of its own. Nobody has it.
pub const IDENTITY_ANY: u64 = 1;

/// Set in the number of a port map that has no row for one port: none is looked for.
pub const PORTMAP_NO_PORTS: u64 = 1 << 63;
/// Set in the number of a port map that has no row for a protocol or a block of its ports: none is looked for.
pub const PORTMAP_NO_BLOCKS: u64 = 1 << 62;

/// An address of either family.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// An IPv4 address.
    #[must_use]
    pub const fn v4(a: u8, b: u8, c: u8, d: u8) -> Self {
        Self(Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets())
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => Self(v6.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from(address.0).to_canonical()
    }
}

/// A block of addresses of either family: the key of the tables that match by the longest prefix.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Prefix {
    len: u32,
    address: [u8; 16],
}

impl Prefix {
    /// All of IPv4.
    pub const IPV4: Self = Self { len: 96, address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0] };

    /// Its length in bits, 96 more than written for IPv4.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.len
    }

    /// Its first address.
    #[must_use]
    pub fn first(self) -> Address {
        Address(self.address)
    }

    /// The block of this length (at most 128) that holds an address.
    #[must_use]
    pub fn around(address: Address, bits: u32) -> Self {
        let len = bits.min(128);
        let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
        Self { len, address: (u128::from_be_bytes(address.0) & mask).to_be_bytes() }
    }

    /// Whether the address lies inside.
    #[must_use]
    pub fn contains(self, address: Address) -> bool {
        let differing = u128::from_be_bytes(self.address) ^ u128::from_be_bytes(address.0);
        differing.leading_zeros() >= self.len
    }
}

/// Bits after the prefix are cleared.
impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Self {
        let mapped = if matches!(net, IpNet::V4(_)) { 96 } else { 0 };
        Self { len: u32::from(net.prefix_len()) + mapped, address: Address::from(net.trunc().addr()).0 }
    }
}

/// As an IPv4 block when it lies inside [`Prefix::IPV4`].
impl From<Prefix> for IpNet {
    fn from(prefix: Prefix) -> Self {
        let bits = u8::try_from(prefix.len.min(128)).unwrap_or(128);
        match IpAddr::from(prefix.first()) {
            IpAddr::V4(v4) if bits >= 96 => ipnet::Ipv4Net::new_assert(v4, bits - 96).into(),
            IpAddr::V4(v4) => ipnet::Ipv6Net::new_assert(v4.to_ipv6_mapped(), bits).into(),
            IpAddr::V6(v6) => ipnet::Ipv6Net::new_assert(v6, bits).into(),
        }
    }
}

/// How often identities and endpoints are kept: packets are judged by one slot while the other is written.
pub const SLOTS: usize = 2;

/// What holds for a known address, in each slot.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct EndValue {
    /// Its identity as the other end of a connection.
    pub identity: [u64; SLOTS],
    /// For connections to it.
    pub ingress: [EndpointWord; SLOTS],
    /// For connections from it.
    pub egress: [EndpointWord; SLOTS],
}

/// What holds for a local endpoint in one direction: bit 0 isolated (held by policies, of whatever
/// tier), bit 1 set for every local endpoint, and the policy set's id in the bits above.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct EndpointWord(pub u64);

impl EndpointWord {
    /// No local endpoint.
    pub const ABSENT: Self = Self(0);
    /// A local endpoint that is not isolated: everything passes.
    pub const OPEN: Self = Self(2);
    /// The bits of a word that are not the policy set's id, and are clear in every policy set's id.
    pub const RESERVED: u64 = 3;

    /// Isolated, under a policy set (whose two low bits are ignored).
    #[must_use]
    pub fn isolated(set: u64) -> Self {
        Self(set | Self::RESERVED)
    }

    /// Whether it is a local endpoint's.
    #[must_use]
    pub fn is_present(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether it is isolated.
    #[must_use]
    pub fn is_isolated(self) -> bool {
        self.0 & 1 != 0
    }

    /// Its policy set.
    #[must_use]
    pub fn set(self) -> u64 {
        self.0 & !Self::RESERVED
    }
}

/// A policy set and an identity.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RuleKey {
    /// The policy set, its two low bits clear; bit 0 is set for what holds between the set's own pods and themselves.
    pub set: u64,
    /// The identity of the other end, or [`IDENTITY_ANY`], which stands for identities without a row.
    pub identity: u64,
}

impl RuleKey {
    /// For a pod of a policy set that reaches itself, with the identity that it has. Without a row it does.
    #[must_use]
    pub fn hairpin(set: u64, identity: u64) -> Self {
        Self { set: set | 1, identity }
    }
}

/// A block of protocols and ports in a port map, matched by the longest prefix: every protocol, every port of one
/// protocol, or an aligned block of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortMapKey {
    len: u32,
    portmap: [u8; 8],
    protocol: u8,
    port: [u8; 2],
    pad: u8,
}

/// Port map by port map.
impl Ord for PortMapKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |key: &Self| (key.portmap(), key.len, key.protocol, key.port, key.pad);
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for PortMapKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PortMapKey {
    const PORTMAP_BITS: u32 = 64;
    const PROTOCOL_BITS: u32 = 72;
    const PORT_BITS: u32 = 88;

    /// Every protocol and port.
    #[must_use]
    pub fn everything(portmap: u64) -> Self {
        Self { len: Self::PORTMAP_BITS, portmap: portmap.to_ne_bytes(), protocol: 0, port: [0; 2], pad: 0 }
    }

    /// Every port of one protocol.
    #[must_use]
    pub fn protocol(portmap: u64, protocol: u8) -> Self {
        Self { len: Self::PROTOCOL_BITS, protocol, ..Self::everything(portmap) }
    }

    /// The ports whose first `bits` bits (at most 16) are those of `port`.
    #[must_use]
    pub fn ports(portmap: u64, protocol: u8, port: u16, bits: u8) -> Self {
        let bits = u32::from(bits.min(16));
        let mask = u16::MAX.checked_shl(16 - bits).unwrap_or(0);
        let port = (port & mask).to_be_bytes();
        Self { len: Self::PROTOCOL_BITS + bits, port, ..Self::protocol(portmap, protocol) }
    }

    /// One port: also what a packet is looked up with.
    #[must_use]
    pub fn port(portmap: u64, protocol: u8, port: u16) -> Self {
        Self { len: Self::PORT_BITS, port: port.to_be_bytes(), ..Self::protocol(portmap, protocol) }
    }

    /// Every key of a port map.
    pub(crate) fn all_of(portmap: u64) -> RangeInclusive<Self> {
        let portmap = portmap.to_ne_bytes();
        let first = Self { len: 0, portmap, protocol: 0, port: [0; 2], pad: 0 };
        let last = Self { len: u32::MAX, portmap, protocol: u8::MAX, port: [u8::MAX; 2], pad: u8::MAX };
        first..=last
    }

    /// The port map.
    #[must_use]
    pub fn portmap(self) -> u64 {
        u64::from_ne_bytes(self.portmap)
    }

    /// The protocol's number; `None` for every protocol.
    #[must_use]
    pub fn protocol_number(self) -> Option<u8> {
        (self.len >= Self::PROTOCOL_BITS).then_some(self.protocol)
    }

    /// The first port, and how many bits of it count (0 to 16).
    #[must_use]
    pub fn port_block(self) -> (u16, u32) {
        (u16::from_be_bytes(self.port), self.len.saturating_sub(Self::PROTOCOL_BITS))
    }

    /// How many bits of port map, protocol and port count: the longest match wins.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.len
    }

    /// Whether it is for one port: nothing matches longer.
    #[must_use]
    pub fn is_port(self) -> bool {
        self.len == Self::PORT_BITS
    }

    /// Whether it is for every protocol and port: everything else matches longer.
    #[must_use]
    pub fn is_everything(self) -> bool {
        self.len == Self::PORTMAP_BITS
    }
}

/// What a port map says of a block of ports.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PortMapValue {
    verdict: u8,
    pad: [u8; 3],
    /// The rule that gave the verdict; 0 where none did.
    pub rule: u32,
}

impl PortMapValue {
    /// Allowed by a rule, or by default with rule 0.
    #[must_use]
    pub fn allow(rule: u32) -> Self {
        Self { verdict: 1, pad: [0; 3], rule }
    }

    /// Denied by a rule, or by default with rule 0.
    #[must_use]
    pub fn deny(rule: u32) -> Self {
        Self { verdict: 0, pad: [0; 3], rule }
    }

    /// Whether it allows.
    #[must_use]
    pub fn allows(self) -> bool {
        self.verdict == 1
    }
}

/// What events are counted under, and limited by: a connection without its source port, and what became of it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FlowKey {
    /// Where it comes from.
    pub source: Address,
    /// Where it goes to.
    pub destination: Address,
    /// The destination port, 0 for protocols without.
    pub port: u16,
    /// The protocol's number.
    pub protocol: u8,
    /// Bit 0: allowed. Bits 1 to 3: whose sides it was told from, egress, ingress, neither.
    pub outcome: u8,
}

/// What has been seen of a flow.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct FlowValue {
    /// New connections, or denied packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last was seen, in nanoseconds of the monotonic clock.
    pub last_seen_ns: u64,
    /// When the last event was sent.
    pub last_event_ns: u64,
    /// Packets up to then.
    pub told: u64,
}

/// Packets that belong to a connection which was cut, and go against its direction.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct CutKey {
    source: Address,
    destination: Address,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
    pad: [u8; 3],
}

impl CutKey {
    /// From one address and port to another, as the program sees them.
    #[must_use]
    pub fn new(source: (Address, u16), destination: (Address, u16), protocol: u8) -> Self {
        Self {
            source: source.0,
            destination: destination.0,
            source_port: source.1,
            destination_port: destination.1,
            protocol,
            pad: [0; 3],
        }
    }
}

/// An event as the kernel writes it. [`crate::event`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RawEvent {
    /// Nanoseconds of the monotonic clock.
    pub time_ns: u64,
    /// Where it comes from.
    pub source: Address,
    /// Where it goes to.
    pub destination: Address,
    /// The source port, 0 for protocols without.
    pub source_port: u16,
    /// The destination port, 0 for protocols without.
    pub destination_port: u16,
    /// The protocol's number.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// 1 allowed, 0 denied.
    pub verdict: u8,
    /// 0 egress, 1 ingress, 2 none.
    pub direction: u8,
    /// The netfilter hook's number.
    pub hook: u8,
    /// Why.
    pub reason: u8,
    /// The destination port before its translation, 0 for protocols without.
    pub original_port: u16,
    /// The rule that gave the verdict, or 0.
    pub rule: u32,
    /// The local endpoint whose side this is, or 0.
    pub endpoint: u32,
    /// Packets of this flow since its last event, this one not counted.
    pub suppressed: u32,
    /// The destination before its translation; zeros where conntrack knows no connection.
    pub original: Address,
}

const _: () = {
    assert!(size_of::<Address>() == 16);
    assert!(size_of::<Prefix>() == 20);
    assert!(size_of::<EndValue>() == 48);
    assert!(size_of::<RuleKey>() == 16);
    assert!(size_of::<PortMapKey>() == 16);
    assert!(size_of::<PortMapValue>() == 8);
    assert!(size_of::<FlowKey>() == 36);
    assert!(size_of::<FlowValue>() == 40);
    assert!(size_of::<CutKey>() == 40);
    assert!(size_of::<RawEvent>() == 80);
};
