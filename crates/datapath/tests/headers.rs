//! What the program makes of headers: the right ports behind options and extensions, and never a packet let through
//! to an isolated endpoint because it could not be read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod support;

use ringfence_datapath::abi::{EndpointWord, IDENTITY_ANY, Op, PortMapKey, PortMapValue};
use ringfence_datapath::event::{Direction, Family, Hook, Reason};
use ringfence_datapath::kernel::{Counters, Kernel};
use support::packet::{MORE_FRAGMENTS, Packet};
use support::{
    SCTP, TCP, UDP, events_of, family, forwarded, load_with, put_address, put_end, put_ports, put_rule,
};

const POD: &str = "10.0.0.1";
const POD6: &str = "fd00::1";
const OPEN: &str = "10.0.0.2";
const OPEN6: &str = "fd00::2";
const OUT: &str = "192.0.2.1";
const OUT6: &str = "2001:db8::1";
const GROUP: &str = "ff02::16";

/// An isolated pod that may talk with everyone on port 80 of the three protocols, by rules 1 to 3, and an open pod.
fn rows() -> Vec<Op> {
    let word = EndpointWord::isolated(0x40);
    vec![
        put_ports(PortMapKey::everything(1), PortMapValue::deny(0)),
        put_ports(PortMapKey::port(1, TCP, 80), PortMapValue::allow(1)),
        put_ports(PortMapKey::port(1, UDP, 80), PortMapValue::allow(2)),
        put_ports(PortMapKey::port(1, SCTP, 80), PortMapValue::allow(3)),
        put_ports(PortMapKey::protocol(1, 50), PortMapValue::allow(4)),
        put_ports(PortMapKey::protocol(1, 59), PortMapValue::allow(5)),
        put_rule(0x40, IDENTITY_ANY, 1),
        put_end(1, 0, word, word),
        put_end(2, 0, EndpointWord::OPEN, EndpointWord::OPEN),
        put_address(POD, 1),
        put_address(POD6, 1),
        put_address(OPEN, 2),
        put_address(OPEN6, 2),
    ]
}

/// The verdict, and the reason and rule of the one event.
fn outcome(kernel: &Kernel, packet: &[u8]) -> (bool, Reason, Option<u32>) {
    let (verdict, events) = events_of(kernel, Hook::Forward, packet);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].allowed, verdict);
    (verdict, events[0].reason, events[0].rule)
}

/// Every header that may stand between IP and the ports.
fn dressed(port: u16, v6: bool, make: fn(&str, &str, u16) -> Packet) -> Vec<Packet> {
    if v6 {
        let plain = make(OUT6, POD6, port);
        return vec![
            plain.clone(),
            plain.clone().with_padding_extension(0, 1),
            plain.clone().with_padding_extension(0, 32),
            plain.clone().with_padding_extension(43, 3),
            plain.clone().with_padding_extension(60, 2),
            // AH counts in words, and from two less.
            plain
                .clone()
                .with_extension(51, &[4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]),
            plain.clone().with_fragment_extension(0, true),
            plain.clone().with_fragment_extension(0, false),
            plain
                .with_padding_extension(0, 2)
                .with_padding_extension(60, 1)
                .with_padding_extension(43, 1)
                .with_fragment_extension(0, true)
                .with_extension(51, &[1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1])
                .with_padding_extension(60, 4),
        ];
    }
    let plain = make(OUT, POD, port);
    vec![
        plain.clone(),
        plain.clone().with_options(&[7, 4, 4, 0]),
        plain.clone().with_options(&[1; 40]),
        plain.with_fragment(MORE_FRAGMENTS),
    ]
}

#[test]
fn ports_are_found_behind_options_and_extensions() {
    let Some(kernel) = load_with(&rows()) else { return };
    for v6 in [false, true] {
        for (make, rule) in [
            (Packet::tcp as fn(&str, &str, u16) -> Packet, 1),
            (Packet::udp as fn(&str, &str, u16) -> Packet, 2),
            (Packet::sctp as fn(&str, &str, u16) -> Packet, 3),
        ] {
            for packet in dressed(80, v6, make) {
                let expected = (true, Reason::Rule, Some(rule));
                assert_eq!(outcome(&kernel, &packet.bytes()), expected, "{:?}", packet.extensions);
            }
            for packet in dressed(81, v6, make) {
                let expected = (false, Reason::Default, None);
                assert_eq!(outcome(&kernel, &packet.bytes()), expected, "{:?}", packet.extensions);
            }
        }
    }
}

#[test]
fn other_protocols_have_no_ports() {
    let Some(kernel) = load_with(&rows()) else { return };
    let esp = |packet: Packet| outcome(&kernel, &packet.bytes());
    let allowed = |rule| (true, Reason::Rule, Some(rule));
    assert_eq!(esp(Packet::new(OUT, POD, 50, vec![0; 3])), allowed(4));
    assert_eq!(esp(Packet::new(OUT6, POD6, 50, vec![0; 3])), allowed(4));
    assert_eq!(esp(Packet::new(OUT6, POD6, 59, vec![])), allowed(5));
    // Their ports are somebody's payload.
    let look_alike = Packet::tcp(OUT, POD, 80).payload;
    assert_eq!(esp(Packet::new(OUT, POD, 4, look_alike)), (false, Reason::Default, None));
}

#[test]
fn a_truncated_packet_never_reaches_an_isolated_endpoint() {
    let Some(kernel) = load_with(&rows()) else { return };
    let mut malformed = 0;
    for v6 in [false, true] {
        for make in [Packet::tcp, Packet::udp, Packet::sctp] {
            for packet in dressed(80, v6, make) {
                let bytes = packet.bytes();
                let shortest = bytes.len() - packet.payload.len()
                    + match packet.protocol {
                        TCP => 20,
                        UDP => 8,
                        _ => 12,
                    };
                for length in (if v6 { 40 } else { 20 })..bytes.len() {
                    let cut = &bytes[..length];
                    assert!(!forwarded(&kernel, cut), "{length} of {} bytes", bytes.len());
                    malformed += 1;
                    // The same with a length that does not lie.
                    let honest = with_honest_length(cut);
                    assert_eq!(forwarded(&kernel, &honest), length >= shortest, "{length} bytes");
                    malformed += u64::from(length < shortest);
                }
            }
        }
    }
    let counters = kernel.counters().unwrap();
    // Nobody reads the events here.
    let (allowed, events_lost) = (counters.allowed, counters.events_lost);
    assert_eq!(counters, Counters { allowed, malformed, events_lost, ..Counters::default() });
}

/// Says the packet's real length, as the one who cut it would.
fn with_honest_length(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let length = u16::try_from(bytes.len()).unwrap();
    match family(packet) {
        Family::V4 => bytes[2..4].copy_from_slice(&length.to_be_bytes()),
        // Nothing behind the header is said with an extension that fills it: 0 stands for a jumbogram.
        Family::V6 => bytes[4..6].copy_from_slice(&(length - 40).to_be_bytes()),
    }
    bytes
}

#[test]
fn a_defective_packet_is_denied_where_an_endpoint_is_isolated() {
    let Some(kernel) = load_with(&rows()) else { return };
    let defects = |source: &str, destination: &str, v6: bool| {
        let plain = Packet::tcp(source, destination, 80);
        let mut longer = plain.bytes();
        let mut shorter = plain.bytes();
        if v6 {
            longer[5] += 1;
            shorter[5] = 7;
            let many = (0..9).fold(plain.clone(), |packet, _| packet.with_padding_extension(60, 1));
            let mut beyond = plain.clone().with_padding_extension(60, 1);
            beyond.extensions[0].1[0] = 200;
            let cut = plain.clone().with_extension(60, &[0; 3]);
            return vec![longer, shorter, many.bytes(), beyond.bytes(), cut.bytes()];
        }
        longer[3] += 1;
        shorter[3] = 19;
        let mut beyond = plain.clone().with_options(&[1; 8]).bytes();
        beyond[0] = 0x4f;
        vec![longer, shorter, beyond]
    };
    for (v6, isolated, open, outside) in [(false, POD, OPEN, OUT), (true, POD6, OPEN6, OUT6)] {
        for bytes in [defects(isolated, outside, v6), defects(outside, isolated, v6)].concat() {
            assert_eq!(outcome(&kernel, &bytes), (false, Reason::Malformed, None), "{bytes:?}");
        }
        for bytes in [defects(open, outside, v6), defects(outside, open, v6)].concat() {
            assert_eq!(outcome(&kernel, &bytes), (true, Reason::Open, None));
        }
        for bytes in defects(outside, outside, v6) {
            assert_eq!(events_of(&kernel, Hook::Forward, &bytes), (true, vec![]));
        }
    }
}

#[test]
fn without_addresses_a_packet_is_denied_everywhere() {
    let Some(kernel) = load_with(&rows()) else { return };
    let denied = |hook, family, bytes: &[u8]| {
        assert!(!kernel.test_run(hook, family, bytes).unwrap(), "{hook:?} {family:?}");
    };
    let mut version = Packet::tcp(OUT, OUT, 80).bytes();
    version[0] = 0x65;
    let mut short_header = Packet::tcp(OUT, OUT, 80).bytes();
    short_header[0] = 0x44;
    let mut version6 = Packet::tcp(OUT6, OUT6, 80).bytes();
    version6[0] = 0x45;
    let mut mapped = Packet::tcp(OUT6, OPEN6, 80).bytes();
    mapped[8..24].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
    for hook in Hook::ALL {
        denied(hook, Family::V4, &version);
        denied(hook, Family::V4, &short_header);
        denied(hook, Family::V6, &version6);
        denied(hook, Family::V6, &mapped);
    }
    // Only here does the kernel try an IPv6 packet without a whole header.
    let whole = Packet::tcp(OUT6, OPEN6, 80).bytes();
    (20..40).for_each(|length| denied(Hook::LocalOut, Family::V6, &whole[..length]));
    let expected = Counters { malformed: 12 + 20, ..Counters::default() };
    assert_eq!(kernel.counters().unwrap(), expected);
    let (_, events) = events_of(&kernel, Hook::Forward, &mapped);
    assert_eq!(events[0].direction, Direction::None);
    assert_eq!(events[0].source, support::ip("::"));
}

#[test]
fn later_fragments_are_denied_where_an_endpoint_is_isolated() {
    let Some(kernel) = load_with(&rows()) else { return };
    let later = |source: &str, destination: &str| {
        let packet = Packet::udp(source, destination, 80);
        match source.contains(':') {
            true => packet.with_padding_extension(0, 1).with_fragment_extension(3, false).bytes(),
            false => packet.with_fragment(3).bytes(),
        }
    };
    for (isolated, open, outside) in [(POD, OPEN, OUT), (POD6, OPEN6, OUT6)] {
        let denied = (false, Reason::Fragment, None);
        assert_eq!(outcome(&kernel, &later(outside, isolated)), denied);
        assert_eq!(outcome(&kernel, &later(isolated, outside)), denied);
        assert_eq!(outcome(&kernel, &later(outside, open)), (true, Reason::Open, None));
        assert!(
            kernel
                .test_run(Hook::LocalOut, family(&later(outside, isolated)), &later(outside, isolated))
                .unwrap()
        );
    }
    let expected = Counters { allowed: 4, fragment: 4, ..Counters::default() };
    assert_eq!(kernel.counters().unwrap(), expected);
}

#[test]
fn ipv6_housekeeping_passes_on_its_own_link_only() {
    let Some(kernel) = load_with(&rows()) else { return };
    let sent = |source, destination, kind, hop_limit| {
        let packet = Packet::icmpv6(source, destination, kind, hop_limit).bytes();
        let (verdict, events) = events_of(&kernel, Hook::Forward, &packet);
        assert_eq!(events.is_empty(), verdict);
        verdict
    };
    let passes = |kind, hop_limit| sent(OUT6, POD6, kind, hop_limit);
    for kind in 133..=137 {
        assert!(passes(kind, 255), "{kind}");
        assert!(!passes(kind, 254), "{kind}");
    }
    for kind in [130, 131, 132, 143] {
        assert!(sent(POD6, GROUP, kind, 1), "{kind}");
        assert!(!sent(POD6, GROUP, kind, 64), "{kind}");
        // Sent with one more, and counted down on the way from one pod to another.
        assert!(!passes(kind, 1), "{kind}");
        assert!(!sent(POD6, OUT6, kind, 1), "{kind}");
        assert!(!passes(kind, 64), "{kind}");
    }
    for kind in [128, 129, 138, 1, 2, 3, 4, 144, 0] {
        assert!(!passes(kind, 255), "{kind}");
        assert!(!passes(kind, 1), "{kind}");
    }
    // MLD behind its router alert; neighbour discovery in a fragment is forged (RFC 6980).
    let mld = Packet::icmpv6(POD6, GROUP, 143, 1).with_extension(0, &[0, 5, 2, 0, 0, 1, 0]);
    assert!(forwarded(&kernel, &mld.bytes()));
    let fragment = Packet::icmpv6(OUT6, POD6, 135, 255).with_fragment_extension(0, false);
    assert!(!forwarded(&kernel, &fragment.bytes()));
    // The same numbers mean nothing in IPv4.
    assert!(!forwarded(
        &kernel,
        &Packet { protocol: 58, hop_limit: 255, ..icmp_like(OUT, POD, 135) }.bytes()
    ));
}

fn icmp_like(source: &str, destination: &str, kind: u8) -> Packet {
    let mut packet = Packet::new(source, destination, 58, vec![0; 24]);
    packet.payload[0] = kind;
    packet
}
