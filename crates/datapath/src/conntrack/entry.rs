//! One connection of the kernel's table, from its netlink message, and the message that deletes it.
//!
//! It reads what it needs and no more: timeouts, marks and protocol states are left out.

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Status, Tuple,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use crate::abi::{Address, CutKey, PROTOCOLS_WITH_PORTS};

/// `enum ctattr_type`, `ctattr_tuple` and `ctattr_l4proto` in
/// <https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/netfilter/nfnetlink_conntrack.h>: those that the
/// library does not name.
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_ZONE: u16 = 3;
const CTA_PROTO_ICMP: [u16; 3] = [4, 5, 6];
const CTA_PROTO_ICMPV6: [u16; 3] = [7, 8, 9];

const ICMPV6: u8 = 58;

/// A connection that the kernel tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The protocol's number.
    pub protocol: u8,
    /// Who began it, before any translation of the source: as the program sees it.
    pub source: IpAddr,
    /// 0 for protocols without ports.
    pub source_port: u16,
    /// Whom it leads to, after a Service's translation: as the program sees it.
    pub destination: IpAddr,
    /// After the translation; 0 for protocols without ports.
    pub destination_port: u16,
    /// Whom it was sent to: a Service, or the destination itself.
    pub original_destination: IpAddr,
    /// The port it was sent to.
    pub original_destination_port: u16,
    /// Whom answers are sent to: the source, or what stands for it after a translation.
    pub reply_destination: IpAddr,
    /// The port that answers are sent to.
    pub reply_destination_port: u16,
    /// Of the first message, for ICMP of both families.
    pub icmp: Option<Icmp>,
    /// Its first packet has passed every hook.
    pub confirmed: bool,
    /// Packets were seen in both directions, so that it is not the first to go when the table is full.
    pub assured: bool,
    zones: Zones,
    /// Tells it from most later connections with the same addresses, but not from one in the same place of memory.
    id: Option<u32>,
}

/// What ICMP has instead of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Icmp {
    /// The message's type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The number of whoever sends echo requests.
    pub id: u16,
}

/// Tables within the table: for both directions, or for the original one alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Zones {
    both: Option<u16>,
    original: Option<u16>,
}

/// A message that is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry of the kernel's connection table has no {what}")]
pub struct Incomplete {
    /// What it has not.
    pub what: &'static str,
}

impl Entry {
    /// What to refuse so that nobody takes the connection up again from its other end, once it is deleted: its answers
    /// as the program sees them when nothing translates them any more. `None` for protocols without ports, whose
    /// directions cannot be told apart; there the policy alone decides.
    #[must_use]
    pub fn cut_key(&self) -> Option<CutKey> {
        PROTOCOLS_WITH_PORTS.contains(&self.protocol).then(|| {
            CutKey::new(
                (Address::from(self.destination), self.destination_port),
                (Address::from(self.reply_destination), self.reply_destination_port),
                self.protocol,
            )
        })
    }

    pub(crate) fn from_attributes(attributes: &[ConntrackAttribute]) -> Result<Self, Incomplete> {
        let mut original = None;
        let mut reply = None;
        let mut status = Status::empty();
        let (mut id, mut both) = (None, None);
        for attribute in attributes {
            match attribute {
                ConntrackAttribute::CtaTupleOrig(tuple) => original = Some(Half::read(tuple)?),
                ConntrackAttribute::CtaTupleReply(tuple) => reply = Some(Half::read(tuple)?),
                ConntrackAttribute::CtaStatus(bits) => status = *bits,
                ConntrackAttribute::Other(other) if other.kind() == CTA_ID => {
                    id = Some(u32::from_be_bytes(value(other, "number")?));
                }
                ConntrackAttribute::Other(other) if other.kind() == CTA_ZONE => {
                    both = Some(u16::from_be_bytes(value(other, "zone")?));
                }
                _ => {}
            }
        }
        let original = original.ok_or(Incomplete { what: "original direction" })?;
        let reply = reply.ok_or(Incomplete { what: "reply direction" })?;
        Ok(Self {
            protocol: original.protocol,
            source: original.source,
            source_port: original.source_port,
            destination: reply.source,
            destination_port: reply.source_port,
            original_destination: original.destination,
            original_destination_port: original.destination_port,
            reply_destination: reply.destination,
            reply_destination_port: reply.destination_port,
            icmp: original.icmp,
            confirmed: status.contains(Status::Confirmed),
            assured: status.contains(Status::Assured),
            zones: Zones { both, original: original.zone },
            id,
        })
    }

    /// The message that deletes this connection.
    pub(crate) fn deletion(&self) -> NetfilterMessage {
        let family = match self.source {
            IpAddr::V4(_) => NetfilterProtoFamily::IPv4,
            IpAddr::V6(_) => NetfilterProtoFamily::IPv6,
        };
        let mut protocol = vec![ProtoTuple::Protocol(Protocol::from(self.protocol))];
        match self.icmp {
            Some(Icmp { kind, code, id }) => {
                let [id_kind, type_kind, code_kind] = icmp_kinds(self.protocol);
                protocol.extend([
                    ProtoTuple::Other(DefaultNla::new(id_kind, id.to_be_bytes().into())),
                    ProtoTuple::Other(DefaultNla::new(type_kind, vec![kind])),
                    ProtoTuple::Other(DefaultNla::new(code_kind, vec![code])),
                ]);
            }
            None => protocol.extend([
                ProtoTuple::SourcePort(self.source_port),
                ProtoTuple::DestinationPort(self.original_destination_port),
            ]),
        }
        let addresses =
            vec![IPTuple::SourceAddress(self.source), IPTuple::DestinationAddress(self.original_destination)];
        let mut tuple = vec![Tuple::Ip(addresses), Tuple::Proto(protocol)];
        let number = |kind, number: u16| DefaultNla::new(kind, number.to_be_bytes().into());
        tuple.extend(self.zones.original.map(|zone| Tuple::Other(number(CTA_TUPLE_ZONE, zone))));
        let mut attributes = vec![ConntrackAttribute::CtaTupleOrig(tuple)];
        attributes.extend(self.zones.both.map(|zone| ConntrackAttribute::Other(number(CTA_ZONE, zone))));
        let id = self.id.map(|id| DefaultNla::new(CTA_ID, id.to_be_bytes().into()));
        attributes.extend(id.map(ConntrackAttribute::Other));
        NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), ConntrackMessage::Delete(attributes))
    }
}

/// One direction.
struct Half {
    protocol: u8,
    source: IpAddr,
    source_port: u16,
    destination: IpAddr,
    destination_port: u16,
    icmp: Option<Icmp>,
    zone: Option<u16>,
}

impl Half {
    fn read(tuple: &[Tuple]) -> Result<Self, Incomplete> {
        let (mut source, mut destination, mut protocol) = (None, None, None);
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut half = Self {
            protocol: 0,
            source: nobody,
            source_port: 0,
            destination: nobody,
            destination_port: 0,
            icmp: None,
            zone: None,
        };
        for part in tuple {
            match part {
                Tuple::Ip(addresses) => {
                    for address in addresses {
                        match address {
                            IPTuple::SourceAddress(address) => source = Some(*address),
                            IPTuple::DestinationAddress(address) => destination = Some(*address),
                            _ => {}
                        }
                    }
                }
                Tuple::Proto(parts) => {
                    for part in parts {
                        match part {
                            ProtoTuple::Protocol(number) => protocol = Some(u8::from(*number)),
                            ProtoTuple::SourcePort(port) => half.source_port = *port,
                            ProtoTuple::DestinationPort(port) => half.destination_port = *port,
                            ProtoTuple::Other(other) => half.read_icmp(other)?,
                            _ => {}
                        }
                    }
                }
                Tuple::Other(other) if other.kind() == CTA_TUPLE_ZONE => {
                    half.zone = Some(u16::from_be_bytes(value(other, "zone")?));
                }
                _ => {}
            }
        }
        half.source = source.ok_or(Incomplete { what: "source" })?;
        half.destination = destination.ok_or(Incomplete { what: "destination" })?;
        half.protocol = protocol.ok_or(Incomplete { what: "protocol" })?;
        if !PROTOCOLS_WITH_PORTS.contains(&half.protocol) && half.icmp.is_some() {
            (half.source_port, half.destination_port) = (0, 0);
        }
        Ok(half)
    }

    fn read_icmp(&mut self, attribute: &DefaultNla) -> Result<(), Incomplete> {
        let mut icmp = self.icmp.unwrap_or_default();
        let is = |at: usize| {
            [CTA_PROTO_ICMP, CTA_PROTO_ICMPV6].iter().any(|k| k.get(at) == Some(&attribute.kind()))
        };
        if is(0) {
            icmp.id = u16::from_be_bytes(value(attribute, "ICMP number")?);
        } else if is(1) {
            let [kind] = value(attribute, "ICMP type")?;
            icmp.kind = kind;
        } else if is(2) {
            let [code] = value(attribute, "ICMP code")?;
            icmp.code = code;
        } else {
            return Ok(());
        }
        self.icmp = Some(icmp);
        Ok(())
    }
}

fn icmp_kinds(protocol: u8) -> [u16; 3] {
    if protocol == ICMPV6 { CTA_PROTO_ICMPV6 } else { CTA_PROTO_ICMP }
}

/// An attribute's value, of exactly this length.
fn value<const N: usize>(attribute: &DefaultNla, what: &'static str) -> Result<[u8; N], Incomplete> {
    let mut value = [0; N];
    if attribute.value_len() != N {
        return Err(Incomplete { what });
    }
    attribute.emit_value(&mut value);
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

    use netlink_packet_netfilter::NetfilterMessageInner;

    use super::*;

    fn tuple(ends: [&str; 2], protocol: Vec<ProtoTuple>) -> Vec<Tuple> {
        let [source, destination] = ends.map(|end| end.parse().unwrap());
        vec![
            Tuple::Ip(vec![IPTuple::SourceAddress(source), IPTuple::DestinationAddress(destination)]),
            Tuple::Proto(protocol),
        ]
    }

    fn ports(protocol: Protocol, source: u16, destination: u16) -> Vec<ProtoTuple> {
        vec![
            ProtoTuple::Protocol(protocol),
            ProtoTuple::SourcePort(source),
            ProtoTuple::DestinationPort(destination),
        ]
    }

    fn other(kind: u16, bytes: &[u8]) -> DefaultNla {
        DefaultNla::new(kind, bytes.to_vec())
    }

    /// From a pod to a Service, which leads to another pod, and sees the node's address.
    fn translated() -> Vec<ConntrackAttribute> {
        vec![
            ConntrackAttribute::CtaTupleOrig(tuple(
                ["10.0.0.1", "10.96.0.1"],
                ports(Protocol::Tcp, 40000, 443),
            )),
            ConntrackAttribute::CtaTupleReply(tuple(
                ["10.0.1.1", "10.9.9.9"],
                ports(Protocol::Tcp, 8443, 55555),
            )),
            ConntrackAttribute::CtaStatus(Status::Confirmed | Status::Assured | Status::DstNat),
            ConntrackAttribute::Other(other(CTA_ID, &[1, 2, 3, 4])),
            ConntrackAttribute::Other(other(CTA_ZONE, &[0, 7])),
        ]
    }

    #[test]
    fn reads_a_translated_connection() {
        let entry = Entry::from_attributes(&translated()).unwrap();
        let expected = Entry {
            protocol: 6,
            source: [10, 0, 0, 1].into(),
            source_port: 40000,
            destination: [10, 0, 1, 1].into(),
            destination_port: 8443,
            original_destination: [10, 96, 0, 1].into(),
            original_destination_port: 443,
            reply_destination: [10, 9, 9, 9].into(),
            reply_destination_port: 55555,
            icmp: None,
            confirmed: true,
            assured: true,
            zones: Zones { both: Some(7), original: None },
            id: Some(0x0102_0304),
        };
        assert_eq!(entry, expected);
        let key = CutKey::new((Address::v4(10, 0, 1, 1), 8443), (Address::v4(10, 9, 9, 9), 55555), 6);
        assert_eq!(entry.cut_key(), Some(key));
    }

    #[test]
    fn a_deletion_names_the_original_direction_the_zone_and_the_number() {
        let entry = Entry::from_attributes(&translated()).unwrap();
        let NetfilterMessageInner::Conntrack(ConntrackMessage::Delete(attributes)) = entry.deletion().inner
        else {
            panic!("another message");
        };
        let expected = [0, 4, 3].map(|at: usize| translated().remove(at));
        assert_eq!(attributes, expected);
    }

    #[test]
    fn icmp_has_no_ports_and_is_left_to_the_policy() {
        for (protocol, kinds) in [(Protocol::Icmp, CTA_PROTO_ICMP), (Protocol::Ipv6Icmp, CTA_PROTO_ICMPV6)] {
            let message = |kind: u8| {
                vec![
                    ProtoTuple::Protocol(protocol),
                    ProtoTuple::Other(other(kinds[0], &[1, 2])),
                    ProtoTuple::Other(other(kinds[1], &[kind])),
                    ProtoTuple::Other(other(kinds[2], &[0])),
                ]
            };
            let ends = ["fd00::1", "fd00::2"];
            let attributes = [
                ConntrackAttribute::CtaTupleOrig(tuple(ends, message(128))),
                ConntrackAttribute::CtaTupleReply(tuple(["fd00::2", "fd00::1"], message(129))),
            ];
            let entry = Entry::from_attributes(&attributes).unwrap();
            assert_eq!(entry.icmp, Some(Icmp { kind: 128, code: 0, id: 0x0102 }));
            assert_eq!((entry.source_port, entry.destination_port, entry.cut_key()), (0, 0, None));
            let NetfilterMessageInner::Conntrack(ConntrackMessage::Delete(deletion)) = entry.deletion().inner
            else {
                panic!("another message");
            };
            assert_eq!(deletion, attributes[..1]);
        }
    }

    #[test]
    fn a_zone_of_one_direction_is_kept() {
        let mut original = tuple(["10.0.0.1", "10.0.0.2"], ports(Protocol::Udp, 1, 2));
        original.push(Tuple::Other(other(CTA_TUPLE_ZONE, &[0, 9])));
        let reply = tuple(["10.0.0.2", "10.0.0.1"], ports(Protocol::Udp, 2, 1));
        let attributes =
            [ConntrackAttribute::CtaTupleOrig(original), ConntrackAttribute::CtaTupleReply(reply)];
        let NetfilterMessageInner::Conntrack(ConntrackMessage::Delete(deletion)) =
            Entry::from_attributes(&attributes).unwrap().deletion().inner
        else {
            panic!("another message");
        };
        assert_eq!(deletion, attributes[..1]);
    }

    #[test]
    fn what_is_incomplete_is_an_error() {
        let without = |at: usize| {
            let mut attributes = translated();
            attributes.remove(at);
            Entry::from_attributes(&attributes).unwrap_err().what
        };
        assert_eq!([without(0), without(1)], ["original direction", "reply direction"]);
        let short = [ConntrackAttribute::Other(other(CTA_ZONE, &[7]))];
        assert_eq!(Entry::from_attributes(&short).unwrap_err().what, "zone");
    }
}
