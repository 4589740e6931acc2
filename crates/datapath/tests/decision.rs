//! What the program decides, by rows written by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod support;

use std::net::IpAddr;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use ringfence_datapath::Fate;
use ringfence_datapath::abi::{
    Address, CutKey, EndValue, EndpointWord, IDENTITY_ANY, Op, PortMapKey, PortMapValue, Prefix,
    RANGE_EXEMPT, RANGE_PODS, RuleKey,
};
use ringfence_datapath::event::{Direction, Event, Hook, Reason};
use ringfence_datapath::kernel::{Counters, Kernel};
use support::packet::Packet;
use support::{
    ICMP, SCTP, TCP, UDP, events_of, forwarded, load_with, put_address, put_end, put_peer, put_ports,
    put_rule, simple_portmaps,
};

const SET: u64 = 0x40;
const POD: &str = "10.0.0.1";
const POD6: &str = "fd00::1";
const OPEN_POD: &str = "10.0.0.2";
const FRIEND: &str = "10.0.1.1";
const FRIEND6: &str = "fd00:1::1";
const STRANGER: &str = "10.0.1.2";
const OUTSIDE: &str = "192.0.2.1";

fn prefix(text: &str) -> Prefix {
    text.parse::<ipnet::IpNet>().unwrap().into()
}

/// An isolated pod (endpoint 1) that lets its friend (identity 7) in and out, an open pod (endpoint 2), and a pod
/// range.
fn rows() -> Vec<Op> {
    let word = EndpointWord::isolated(SET);
    let mut ops = simple_portmaps();
    ops.extend([
        put_rule(SET, IDENTITY_ANY, 1),
        put_rule(SET, 7, 2),
        put_end(1, 0, word, word),
        put_end(2, 0, EndpointWord::OPEN, EndpointWord::OPEN),
        put_peer(3, 7),
        put_peer(4, 8),
        put_address(POD, 1),
        put_address(POD6, 1),
        put_address(OPEN_POD, 2),
        put_address(FRIEND, 3),
        put_address(FRIEND6, 3),
        put_address(STRANGER, 4),
        Op::PutRange { prefix: prefix("10.0.0.0/24"), flags: [RANGE_PODS; 2] },
        Op::PutRange { prefix: prefix("10.0.0.254/32"), flags: [RANGE_EXEMPT; 2] },
        Op::PutCidr { prefix: Prefix::IPV4, identity: [0, 0] },
    ]);
    ops
}

fn check(kernel: &Kernel, packet: &Packet, expected: bool) {
    let bytes = packet.bytes();
    assert_eq!(forwarded(kernel, &bytes), expected, "{} to {}", packet.source, packet.destination);
}

#[test]
fn identities_decide_in_both_directions() {
    let Some(kernel) = load_with(&rows()) else { return };
    check(&kernel, &Packet::tcp(FRIEND, POD, 80), true);
    check(&kernel, &Packet::tcp(POD, FRIEND, 80), true);
    check(&kernel, &Packet::tcp(FRIEND6, POD6, 80), true);
    check(&kernel, &Packet::tcp(POD6, FRIEND6, 80), true);
    check(&kernel, &Packet::ping(FRIEND, POD), true);
    check(&kernel, &Packet::ping(FRIEND6, POD6), true);
    for stranger in [STRANGER, OUTSIDE, OPEN_POD] {
        check(&kernel, &Packet::tcp(stranger, POD, 80), false);
        check(&kernel, &Packet::tcp(POD, stranger, 80), false);
        check(&kernel, &Packet::ping(stranger, POD), false);
    }
    for other in [STRANGER, OUTSIDE, FRIEND] {
        check(&kernel, &Packet::tcp(other, OPEN_POD, 80), true);
        check(&kernel, &Packet::udp(OPEN_POD, other, 80), true);
    }
    check(&kernel, &Packet::tcp(STRANGER, OUTSIDE, 80), true);
    check(&kernel, &Packet::tcp("fd00:9::1", POD6, 80), false);
    let expected = Counters { allowed: 12, denied: 10, ..Counters::default() };
    assert_eq!(kernel.counters().unwrap(), expected);
}

#[test]
fn one_word_switches_everything() {
    let Some(mut kernel) = load_with(&rows()) else { return };
    let (newcomer, outside6) = ("10.0.9.1", "2001:db8::1");
    let now = |kernel: &Kernel, before: bool| {
        check(kernel, &Packet::tcp(FRIEND, POD, 80), before);
        check(kernel, &Packet::tcp(STRANGER, POD, 80), !before);
        check(kernel, &Packet::tcp(POD, OUTSIDE, 80), !before);
        check(kernel, &Packet::tcp(outside6, POD6, 80), !before);
        check(kernel, &Packet::tcp(newcomer, STRANGER, 80), before);
        check(kernel, &Packet::tcp(FRIEND, OPEN_POD, 80), before);
    };
    // In slot 1 friend and stranger have each other's identity, the pod may go out, the open pod lets nobody in.
    let set = EndpointWord::isolated(SET);
    let (open, absent) = (EndpointWord::OPEN, EndpointWord::ABSENT);
    let none = EndpointWord::isolated(0x80);
    kernel
        .apply(&[
            put_rule(0x80, IDENTITY_ANY, 1),
            Op::PutEnd {
                index: 1,
                value: EndValue { identity: [0; 2], ingress: [set; 2], egress: [set, open] },
            },
            Op::PutEnd {
                index: 2,
                value: EndValue { identity: [0; 2], ingress: [open, none], egress: [open; 2] },
            },
            Op::PutEnd {
                index: 3,
                value: EndValue { identity: [7, 8], ingress: [absent; 2], egress: [absent; 2] },
            },
            Op::PutEnd {
                index: 4,
                value: EndValue { identity: [8, 7], ingress: [absent; 2], egress: [absent; 2] },
            },
            Op::PutCidr { prefix: prefix("2001:db8::/32"), identity: [0, 7] },
            Op::PutRange { prefix: prefix("10.0.9.0/24"), flags: [RANGE_EXEMPT, RANGE_PODS] },
        ])
        .unwrap();
    now(&kernel, true);
    kernel.apply(&[Op::Activate { slot: 1 }]).unwrap();
    now(&kernel, false);
    kernel.apply(&[Op::Activate { slot: 0 }]).unwrap();
    now(&kernel, true);
}

#[test]
fn the_longest_block_gives_an_outside_address_its_identity() {
    let Some(mut kernel) = load_with(&rows()) else { return };
    kernel
        .apply(&[
            Op::PutCidr { prefix: prefix("192.0.2.0/24"), identity: [7, 0] },
            Op::PutCidr { prefix: prefix("192.0.2.128/25"), identity: [8, 0] },
            Op::PutCidr { prefix: prefix("::/0"), identity: [7, 0] },
            Op::PutCidr { prefix: prefix("2001:db8::/32"), identity: [8, 0] },
            // Pods have their own identity, whatever block they are in.
            Op::PutCidr { prefix: prefix("10.0.1.2/32"), identity: [7, 0] },
        ])
        .unwrap();
    check(&kernel, &Packet::tcp("192.0.2.1", POD, 80), true);
    check(&kernel, &Packet::tcp("192.0.2.129", POD, 80), false);
    check(&kernel, &Packet::tcp("192.0.3.1", POD, 80), false);
    check(&kernel, &Packet::tcp("2001:db9::1", POD6, 80), true);
    check(&kernel, &Packet::tcp("2001:db8::1", POD6, 80), false);
    check(&kernel, &Packet::tcp(STRANGER, POD, 80), false);
    // Without a row for all of IPv4, `::/0` covers it: they share the table.
    kernel.apply(&[Op::DeleteCidr { prefix: Prefix::IPV4 }]).unwrap();
    check(&kernel, &Packet::tcp("192.0.3.1", POD, 80), true);
}

#[test]
fn ports_and_protocols() {
    let Some(mut kernel) = load_with(&rows()) else { return };
    kernel
        .apply(&[
            put_ports(PortMapKey::everything(3), PortMapValue::deny(0)),
            put_ports(PortMapKey::port(3, TCP, 80), PortMapValue::allow(10)),
            put_ports(PortMapKey::ports(3, TCP, 0x8000, 4), PortMapValue::allow(11)),
            put_ports(PortMapKey::port(3, TCP, 0x8001), PortMapValue::deny(12)),
            put_ports(PortMapKey::port(3, UDP, 53), PortMapValue::allow(13)),
            put_ports(PortMapKey::protocol(3, SCTP), PortMapValue::allow(14)),
            put_ports(PortMapKey::protocol(3, ICMP), PortMapValue::allow(15)),
            put_peer(5, 9),
            put_rule(SET, 9, 3),
            put_address("10.0.1.9", 5),
            put_address("fd00:1::9", 5),
        ])
        .unwrap();
    let check = |packet: Packet, allowed: bool, rule: Option<u32>| {
        let (verdict, events) = events_of(&kernel, Hook::Forward, &packet.bytes());
        let told: Vec<_> = events.iter().map(|event| (event.allowed, event.rule, event.reason)).collect();
        let reason = if rule.is_some() { Reason::Rule } else { Reason::Default };
        let port = u16::from_be_bytes([packet.payload[2], packet.payload[3]]);
        assert_eq!(verdict, allowed, "protocol {} port {port}", packet.protocol);
        assert_eq!(told, [(allowed, rule, reason)], "protocol {} port {port}", packet.protocol);
    };
    let from = "10.0.1.9";
    check(Packet::tcp(from, POD, 80), true, Some(10));
    check(Packet::tcp(from, POD, 81), false, None);
    check(Packet::tcp(from, POD, 0), false, None);
    check(Packet::tcp(from, POD, 0x8000), true, Some(11));
    check(Packet::tcp(from, POD, 0x8fff), true, Some(11));
    check(Packet::tcp(from, POD, 0x9000), false, None);
    check(Packet::tcp(from, POD, 0x8001), false, Some(12));
    check(Packet::udp(from, POD, 80), false, None);
    check(Packet::udp(from, POD, 53), true, Some(13));
    check(Packet::tcp(from, POD, 53), false, None);
    check(Packet::sctp(from, POD, 9999), true, Some(14));
    check(Packet::ping(from, POD), true, Some(15));
    check(Packet::new(from, POD, 47, vec![0; 8]), false, None);
    // ICMPv6 is another protocol than ICMP.
    check(Packet::ping("fd00:1::9", POD6), false, None);
    check(Packet::tcp("fd00:1::9", POD6, 80), true, Some(10));
}

#[test]
fn hooks_ask_only_the_side_that_is_there() {
    let Some(kernel) = load_with(&rows()) else { return };
    let check = |hook, packet: Packet, expected, told: &[(Direction, Reason)]| {
        let (verdict, events) = events_of(&kernel, hook, &packet.bytes());
        let found: Vec<_> = events.iter().map(|event| (event.direction, event.reason)).collect();
        assert_eq!((verdict, found.as_slice()), (expected, told), "{hook:?} {}", packet.source);
        assert!(events.iter().all(|event| event.hook == hook && event.allowed == expected));
    };
    use Direction::{Egress, Ingress};
    use Reason::{Default, Itself, Open, OwnNode, Rule, UnknownEndpoint};
    check(Hook::LocalOut, Packet::tcp(OUTSIDE, POD, 80), true, &[(Ingress, OwnNode)]);
    check(Hook::LocalOut, Packet::tcp(OUTSIDE, "10.0.0.9", 80), true, &[]);
    check(Hook::LocalOut, Packet::tcp(OUTSIDE, STRANGER, 80), true, &[]);
    check(Hook::LocalIn, Packet::tcp(POD, OUTSIDE, 80), false, &[(Egress, Default)]);
    check(Hook::LocalIn, Packet::tcp(POD, FRIEND, 80), true, &[(Egress, Rule)]);
    check(Hook::LocalIn, Packet::tcp(OPEN_POD, OUTSIDE, 80), true, &[(Egress, Open)]);
    check(Hook::LocalIn, Packet::tcp(STRANGER, OUTSIDE, 80), true, &[]);
    check(Hook::Forward, Packet::tcp(POD, POD, 80), true, &[(Direction::None, Itself)]);
    check(Hook::Forward, Packet::tcp(FRIEND, FRIEND, 80), true, &[]);
    check(Hook::Forward, Packet::tcp(OPEN_POD, POD, 80), false, &[(Ingress, Default)]);
    check(Hook::Forward, Packet::tcp(POD, OPEN_POD, 80), false, &[(Egress, Default)]);
    check(Hook::Forward, Packet::tcp(FRIEND, POD, 80), true, &[(Ingress, Rule)]);
    // An address of the pods' range that nobody has.
    check(Hook::Forward, Packet::tcp("10.0.0.9", STRANGER, 80), false, &[(Egress, UnknownEndpoint)]);
    check(Hook::LocalIn, Packet::tcp("10.0.0.9", OUTSIDE, 80), false, &[(Egress, UnknownEndpoint)]);
    check(Hook::Forward, Packet::tcp(STRANGER, "10.0.0.9", 80), false, &[(Ingress, UnknownEndpoint)]);
    check(Hook::Forward, Packet::tcp("10.0.0.9", "10.0.0.9", 80), false, &[(Egress, UnknownEndpoint)]);
    check(Hook::Forward, Packet::tcp("10.0.0.254", STRANGER, 80), true, &[]);
    check(Hook::LocalIn, Packet::tcp("10.0.0.254", "10.0.0.254", 80), true, &[]);
    let expected = Counters { allowed: 5, denied: 3, unknown_endpoint: 4, ..Counters::default() };
    assert_eq!(kernel.counters().unwrap(), expected);
}

/// Through a Service a pod reaches itself, unless its sets have rows for that.
#[test]
fn a_pod_and_itself() {
    // Pod 5 has identity 7 and other sets for either direction.
    let (into, out) = (0x80, 0xc0);
    let mut ops = rows();
    ops.extend([put_rule(into, IDENTITY_ANY, 1), put_rule(out, IDENTITY_ANY, 1), put_address("10.0.0.3", 5)]);
    ops.push(put_end(5, 7, EndpointWord::isolated(into), EndpointWord::isolated(out)));
    let Some(mut kernel) = load_with(&ops) else { return };
    use Direction::{Egress, Ingress};
    use Reason::{Default, Fragment, Itself, Rule};
    let check = |kernel: &Kernel, packet: Packet, expected, told: &[(Direction, Reason, Option<u32>)]| {
        let (verdict, events) = events_of(kernel, Hook::Forward, &packet.bytes());
        let found: Vec<_> = events.iter().map(|e| (e.direction, e.reason, e.rule)).collect();
        assert_eq!((verdict, found.as_slice()), (expected, told));
        assert!(events.iter().all(|e| e.endpoint == Some(5)));
    };
    let own = || Packet::tcp("10.0.0.3", "10.0.0.3", 80);
    let fragment = || own().with_fragment(100);
    let itself = [(Direction::None, Itself, None)];
    check(&kernel, own(), true, &itself);
    check(&kernel, fragment(), true, &itself);
    // Of another identity, and what is for any.
    kernel
        .apply(&[put_rule(out | 1, 8, 1), put_rule(out | 1, IDENTITY_ANY, 1), put_rule(into, 7, 1)])
        .unwrap();
    check(&kernel, own(), true, &itself);
    // Allowed out by rule 2, and nothing said of in.
    kernel.apply(&[put_rule(out | 1, 7, 2)]).unwrap();
    check(&kernel, own(), true, &[(Egress, Rule, Some(2)), (Ingress, Itself, None)]);
    check(&kernel, fragment(), false, &[(Egress, Fragment, None)]);
    // Denied in.
    kernel.apply(&[put_rule(into | 1, 7, 1)]).unwrap();
    check(&kernel, own(), false, &[(Ingress, Default, None)]);
    kernel.apply(&[Op::DeleteRule { key: RuleKey::hairpin(out, 7) }]).unwrap();
    check(&kernel, own(), false, &[(Ingress, Default, None)]);
    // A pod that no policy holds.
    let open = put_end(5, 7, EndpointWord::OPEN, EndpointWord::OPEN);
    kernel.apply(&[open]).unwrap();
    check(&kernel, own(), true, &itself);
    let expected = Counters { allowed: 5, denied: 2, fragment: 1, ..Counters::default() };
    assert_eq!(kernel.counters().unwrap(), expected);
}

#[test]
fn two_local_pods_are_told_from_both_sides() {
    let mut ops = rows();
    ops.extend([put_rule(0x80, IDENTITY_ANY, 2), put_address("10.0.0.3", 5)]);
    ops.push(put_end(5, 7, EndpointWord::OPEN, EndpointWord::isolated(0x80)));
    let Some(kernel) = load_with(&ops) else { return };
    let (verdict, events) = events_of(&kernel, Hook::Forward, &Packet::tcp("10.0.0.3", POD, 80).bytes());
    assert!(verdict);
    let told: Vec<_> =
        events.iter().map(|event| (event.direction, event.endpoint, event.reason, event.rule)).collect();
    let sides = [
        (Direction::Egress, Some(5), Reason::Rule, Some(2)),
        (Direction::Ingress, Some(1), Reason::Rule, Some(2)),
    ];
    assert_eq!(told, sides);
    assert_eq!(events[0].source, support::ip("10.0.0.3"));
    assert_eq!(events[0].destination, support::ip(POD));
    assert_eq!((events[0].source_port, events[0].destination_port, events[0].protocol), (40_000, 80, TCP));
}

#[test]
fn what_the_tables_do_not_say_is_denied() {
    let Some(mut kernel) = load_with(&rows()) else { return };
    let missing = |kernel: &Kernel, from: &str| {
        let (verdict, events) = events_of(kernel, Hook::Forward, &Packet::tcp(from, POD, 80).bytes());
        assert!(!verdict);
        assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::MissingRow]);
    };
    // No row for the set at all, and none for the port map.
    kernel.apply(&[put_end(1, 0, EndpointWord::isolated(0x80), EndpointWord::OPEN)]).unwrap();
    missing(&kernel, FRIEND);
    kernel.apply(&[put_rule(0x80, IDENTITY_ANY, 99)]).unwrap();
    missing(&kernel, FRIEND);
    // No row for this identity: as for any.
    kernel.apply(&[put_ports(PortMapKey::protocol(99, TCP), PortMapValue::allow(1))]).unwrap();
    check(&kernel, &Packet::tcp(FRIEND, POD, 80), true);
    check(&kernel, &Packet::udp(FRIEND, POD, 80), false);
    // An index beyond the table is no endpoint's.
    kernel.apply(&[put_address("10.0.0.5", 64)]).unwrap();
    check(&kernel, &Packet::tcp("10.0.0.5", OPEN_POD, 80), false);
    let expected = Counters { allowed: 1, missing_row: 3, unknown_endpoint: 1, ..Counters::default() };
    assert_eq!(kernel.counters().unwrap(), expected);
    kernel.apply(&[Op::DeleteAddress { address: Address::from(support::ip(POD)) }]).unwrap();
    let (verdict, events) = events_of(&kernel, Hook::Forward, &Packet::tcp(FRIEND, POD, 80).bytes());
    assert_eq!((verdict, events[0].reason), (false, Reason::UnknownEndpoint));
}

/// A packet of a connection, from its first bytes on: flags for TCP, the first chunk's type for SCTP.
fn later(mut packet: Packet, kind: u8) -> Packet {
    let at = if packet.protocol == TCP { 13 } else { 12 };
    packet.payload[at] = kind;
    packet
}

/// What program and mirror make of a packet, which must be the same.
fn fate(kernel: &Kernel, packet: &Packet, opens: bool) -> (Fate, Vec<Event>) {
    let port = |at: usize| match packet.protocol {
        TCP | UDP | SCTP => u16::from_be_bytes([packet.payload[at], packet.payload[at + 1]]),
        _ => 0,
    };
    let (source, destination) = (packet.source, packet.destination);
    let time_ns = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos() as u64;
    let described = ringfence_datapath::Packet {
        hook: Hook::Forward,
        source,
        destination,
        protocol: packet.protocol,
        source_port: port(0),
        port: port(2),
        opens,
        time_ns,
    };
    let fate = kernel.dump().unwrap().fate(&described);
    let (passes, events) = events_of(kernel, Hook::Forward, &packet.bytes());
    assert_eq!(passes, fate.passes(), "{described:?}: {fate:?}");
    (fate, events)
}

#[test]
fn a_connection_that_was_cut_is_not_taken_up_from_its_other_end() {
    let Some(kernel) = load_with(&rows()) else { return };
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let hour = Duration::from_secs(3600);
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    let ends = |from: &str, to: &str| [from, to].map(|end| Address::from(end.parse::<IpAddr>().unwrap()));
    for (from, to) in [(FRIEND, POD), (FRIEND6, POD6)] {
        let [source, destination] = ends(from, to);
        for protocol in [TCP, UDP, SCTP] {
            let key = CutKey::new((source, 40_000), (destination, 80), protocol);
            let cases: Vec<(Packet, bool)> = match protocol {
                TCP => {
                    let packet = |flags| later(Packet::tcp(from, to, 80), flags);
                    vec![
                        (packet(SYN), true),
                        (packet(SYN | ACK), false),
                        (packet(ACK), false),
                        (packet(0x04), false),
                        (packet(SYN | 0xc0), true),
                    ]
                }
                UDP => vec![(Packet::udp(from, to, 80), false)],
                _ => {
                    let packet = |chunk| later(Packet::sctp(from, to, 80), chunk);
                    let mut short = Packet::sctp(from, to, 80);
                    short.payload.truncate(12);
                    vec![(packet(1), true), (packet(0), false), (packet(3), false), (short, false)]
                }
            };
            for (packet, opens) in cases {
                let passes = Fate::Allowed { rule: 2 };
                assert_eq!(fate(&kernel, &packet, opens).0, passes, "before");
                kernel.cut(&key, now + hour).unwrap();
                let (found, events) = fate(&kernel, &packet, opens);
                assert_eq!(found, if opens { passes } else { Fate::Cut }, "{protocol} {opens}");
                if !opens {
                    let told = (events[0].reason, events[0].direction, events[0].rule);
                    assert_eq!((events.len(), told), (1, (Reason::Cut, Direction::None, None)));
                }
                // Another port, and the other direction.
                assert_eq!(fate(&kernel, &Packet::udp(from, to, 81), false).0, passes);
                assert_eq!(fate(&kernel, &Packet::udp(to, from, 80), false).0, passes);
                // It was long ago.
                kernel.cut(&key, now).unwrap();
                assert_eq!(fate(&kernel, &packet, opens).0, passes, "after");
            }
        }
    }
    let counters = kernel.counters().unwrap();
    assert_eq!((counters.cut, counters.denied), (2 * (3 + 1 + 3), 0));
}
