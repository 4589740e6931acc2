//! What the kernel tells of a connection, from the bytes of its ring buffer. Total: any bytes give an event or an
//! error. It does not know pods or policies; `ringfence-flow` puts names to the numbers.

use std::net::IpAddr;
use std::time::Duration;

use zerocopy::FromBytes;

use crate::abi::{Address, RawEvent};

/// A new connection that was allowed or a packet that was denied, on one side.
///
/// An allowed connection is told once for each of its ends that is a local endpoint: two pods of one node give an
/// egress and an ingress event, as they would on two nodes. A denied packet is told once, from the side that denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the start of the monotonic clock.
    pub time: Duration,
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes to.
    pub destination: IpAddr,
    /// 0 for protocols without ports, and where the packet could not be read.
    pub source_port: u16,
    /// 0 for protocols without ports, and where the packet could not be read.
    pub destination_port: u16,
    /// The protocol's number.
    pub protocol: u8,
    /// The family of the hook that saw it.
    pub family: Family,
    /// Whether it passed.
    pub allowed: bool,
    /// Which side decided.
    pub direction: Direction,
    /// Where it was seen.
    pub hook: Hook,
    /// Why.
    pub reason: Reason,
    /// The rule that gave the verdict.
    pub rule: Option<u32>,
    /// The local endpoint whose side this is.
    pub endpoint: Option<u32>,
    /// Packets of this flow since its last event, this one not counted.
    pub suppressed: u32,
    /// Whom it was sent to, where that was translated on the way here: the address and port of a Service. The port is 0
    /// for protocols without.
    pub translated_from: Option<(IpAddr, u16)>,
}

/// An address family, by its netfilter number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `NFPROTO_IPV4`
    V4 = 2,
    /// `NFPROTO_IPV6`
    V6 = 10,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

/// A netfilter hook, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// To the node itself.
    LocalIn = 1,
    /// Through the node.
    Forward = 2,
    /// From the node itself.
    LocalOut = 3,
}

impl Hook {
    /// All where the program is attached.
    pub const ALL: [Self; 3] = [Self::LocalIn, Self::Forward, Self::LocalOut];
}

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The source's.
    Egress,
    /// The destination's.
    Ingress,
    /// Neither.
    None,
}

/// Why a packet passed or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No policy holds the endpoint in this direction.
    Open = 1,
    /// A rule says so.
    Rule,
    /// Policies hold the endpoint and none of their rules decides: denied where a NetworkPolicy is among them, and else
    /// allowed.
    Default,
    /// An address in this node's pod range that no endpoint has.
    UnknownEndpoint,
    /// The packet could not be read.
    Malformed,
    /// A fragment without ports.
    Fragment,
    /// The tables do not say: a defect of whoever wrote them.
    MissingRow,
    /// From the node itself to one of its pods.
    OwnNode,
    /// From a pod to itself, and no cluster-wide policy has a say.
    Itself,
    /// Its connection was cut, and it goes against its direction.
    Cut,
}

/// Bytes that are not an event of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Another length.
    #[error("an event of {found} bytes, where {} are expected", size_of::<RawEvent>())]
    Length {
        /// How many bytes there are.
        found: usize,
    },
    /// An unknown number.
    #[error("an event whose {field} is {found}")]
    Field {
        /// Which.
        field: &'static str,
        /// The number.
        found: u8,
    },
}

/// Reads one record of the ring buffer.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let raw = RawEvent::read_from_bytes(bytes).map_err(|_| DecodeError::Length { found: bytes.len() })?;
    let unknown = |field, found| DecodeError::Field { field, found };
    Ok(Event {
        time: Duration::from_nanos(raw.time_ns),
        source: raw.source.into(),
        destination: raw.destination.into(),
        source_port: raw.source_port,
        destination_port: raw.destination_port,
        protocol: raw.protocol,
        family: match raw.family {
            4 => Family::V4,
            6 => Family::V6,
            other => return Err(unknown("family", other)),
        },
        allowed: match raw.verdict {
            0 => false,
            1 => true,
            other => return Err(unknown("verdict", other)),
        },
        direction: match raw.direction {
            0 => Direction::Egress,
            1 => Direction::Ingress,
            2 => Direction::None,
            other => return Err(unknown("direction", other)),
        },
        hook: match raw.hook {
            1 => Hook::LocalIn,
            2 => Hook::Forward,
            3 => Hook::LocalOut,
            other => return Err(unknown("hook", other)),
        },
        reason: match raw.reason {
            1 => Reason::Open,
            2 => Reason::Rule,
            3 => Reason::Default,
            4 => Reason::UnknownEndpoint,
            5 => Reason::Malformed,
            6 => Reason::Fragment,
            7 => Reason::MissingRow,
            8 => Reason::OwnNode,
            9 => Reason::Itself,
            10 => Reason::Cut,
            other => return Err(unknown("reason", other)),
        },
        rule: (raw.rule != 0).then_some(raw.rule),
        endpoint: (raw.endpoint != 0).then_some(raw.endpoint),
        suppressed: raw.suppressed,
        translated_from: translated_from(&raw),
    })
}

/// Zeros, where conntrack knows no connection, are nobody's address.
fn translated_from(raw: &RawEvent) -> Option<(IpAddr, u16)> {
    let original = (raw.original, raw.original_port);
    let is_known = raw.original != Address([0; 16]);
    (is_known && original != (raw.destination, raw.destination_port))
        .then(|| (raw.original.into(), raw.original_port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    fn raw() -> RawEvent {
        RawEvent {
            time_ns: 5,
            source: Address::v4(10, 0, 0, 1),
            destination: Address::v4(10, 0, 0, 2),
            source_port: 40000,
            destination_port: 80,
            protocol: 6,
            family: 4,
            verdict: 1,
            direction: 1,
            hook: 2,
            reason: 2,
            original_port: 443,
            rule: 7,
            endpoint: 3,
            suppressed: 9,
            original: Address::v4(10, 96, 0, 1),
        }
    }

    #[test]
    fn reads_every_field() {
        let expected = Event {
            time: Duration::from_nanos(5),
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            source_port: 40000,
            destination_port: 80,
            protocol: 6,
            family: Family::V4,
            allowed: true,
            direction: Direction::Ingress,
            hook: Hook::Forward,
            reason: Reason::Rule,
            rule: Some(7),
            endpoint: Some(3),
            suppressed: 9,
            translated_from: Some(([10, 96, 0, 1].into(), 443)),
        };
        assert_eq!(decode(raw().as_bytes()), Ok(expected));
    }

    #[test]
    fn only_what_was_translated_has_another_destination() {
        let of = |original, original_port| {
            decode(RawEvent { original, original_port, ..raw() }.as_bytes()).unwrap().translated_from
        };
        let destination = Address::v4(10, 0, 0, 2);
        assert_eq!(of(Address([0; 16]), 0), None);
        assert_eq!(of(destination, 80), None);
        assert_eq!(of(destination, 81), Some(([10, 0, 0, 2].into(), 81)));
    }

    #[test]
    fn unknown_numbers_are_errors() {
        let of = |field, found| Err(DecodeError::Field { field, found });
        assert_eq!(decode(RawEvent { family: 5, ..raw() }.as_bytes()), of("family", 5));
        assert_eq!(decode(RawEvent { verdict: 2, ..raw() }.as_bytes()), of("verdict", 2));
        assert_eq!(decode(RawEvent { direction: 3, ..raw() }.as_bytes()), of("direction", 3));
        assert_eq!(decode(RawEvent { hook: 0, ..raw() }.as_bytes()), of("hook", 0));
        assert_eq!(decode(RawEvent { reason: 0, ..raw() }.as_bytes()), of("reason", 0));
        assert_eq!(decode(RawEvent { reason: 11, ..raw() }.as_bytes()), of("reason", 11));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..130)) {
            let decoded = decode(&bytes);
            prop_assert_eq!(bytes.len() == 80, decoded != Err(DecodeError::Length { found: bytes.len() }));
        }
    }
}
