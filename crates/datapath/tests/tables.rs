//! The tables as they are written and read back: what is full, what conflicts, what is counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod support;

use std::time::Duration;

use ringfence_datapath::abi::{
    Address, CutKey, EndValue, EndpointWord, FlowKey, Op, PortMapKey, PortMapValue, Prefix, RANGE_PODS,
    RuleKey,
};
use ringfence_datapath::event::Hook;
use ringfence_datapath::kernel::Kernel;
use ringfence_datapath::options::{Options, Table};
use ringfence_datapath::{ApplyError, Tables};
use support::packet::Packet;
use support::{events_of, load, load_with, options, put_address, put_end, put_ports, put_rule};

fn address(number: u32) -> Address {
    let [a, b, c, d] = number.to_be_bytes();
    Address::v4(a, b, c, d)
}

fn prefix(text: &str) -> Prefix {
    text.parse::<ipnet::IpNet>().unwrap().into()
}

#[test]
fn what_is_written_is_read_back() {
    let word = EndpointWord::isolated(0x1234_5678_9abc_def0);
    let value = EndValue {
        identity: [5, 6],
        ingress: [word, EndpointWord::OPEN],
        egress: [EndpointWord::ABSENT, word],
    };
    let Some(mut kernel) = load_with(&[
        put_ports(PortMapKey::everything(u64::MAX), PortMapValue::deny(0)),
        put_ports(PortMapKey::ports(u64::MAX, 6, 1024, 6), PortMapValue::allow(9)),
        put_rule(0x40, 5, u64::MAX),
        Op::PutEnd { index: 3, value },
        put_address("10.0.0.1", 3),
        put_address("fd00::1", 3),
        Op::PutCidr { prefix: prefix("192.0.2.77/24"), identity: [7, 8] },
        Op::PutRange { prefix: prefix("fd00::/64"), flags: [RANGE_PODS, 0] },
        Op::Activate { slot: 1 },
    ]) else {
        return;
    };
    let cut = CutKey::new((Address::v4(10, 0, 0, 1), 80), (Address::v4(10, 0, 0, 2), 40_000), 6);
    kernel.cut(&cut, Duration::from_nanos(7)).unwrap();
    kernel.cut(&cut, Duration::from_nanos(5)).unwrap();
    let expected = Tables {
        cut: [(cut, 5)].into(),
        addresses: [Address::v4(10, 0, 0, 1), Address::from(support::ip("fd00::1"))]
            .map(|address| (address, 3))
            .into(),
        active: 1,
        ends: [(3, value)].into(),
        cidrs: [(prefix("192.0.2.0/24"), [7, 8])].into(),
        ranges: [(prefix("fd00::/64"), [RANGE_PODS, 0])].into(),
        rules: [(RuleKey { set: 0x40, identity: 5 }, u64::MAX)].into(),
        portmaps: [
            (PortMapKey::everything(u64::MAX), PortMapValue::deny(0)),
            (PortMapKey::ports(u64::MAX, 6, 1024, 6), PortMapValue::allow(9)),
        ]
        .into(),
    };
    assert_eq!(kernel.dump().unwrap(), expected);
    let usage: Vec<_> =
        kernel.usage().unwrap().iter().map(|usage| (usage.table.name(), usage.rows)).collect();
    let rows = [
        ("addresses", 2),
        ("ends", 1),
        ("cidrs", 1),
        ("ranges", 1),
        ("rules", 1),
        ("portmaps", 1),
        ("portblocks", 1),
        ("flows", 0),
        ("cut", 1),
    ];
    assert_eq!(usage, rows);

    let applied = kernel
        .apply(&[
            put_end(3, 0, EndpointWord::ABSENT, EndpointWord::ABSENT),
            Op::Activate { slot: 0 },
            Op::Grace,
            Op::DeleteAddress { address: Address::v4(10, 0, 0, 1) },
            Op::DeleteAddress { address: Address::from(support::ip("fd00::1")) },
            Op::DeleteRule { key: RuleKey { set: 0x40, identity: 5 } },
            Op::Grace,
            Op::DeletePortMap { key: PortMapKey::everything(u64::MAX) },
            Op::DeletePortMap { key: PortMapKey::ports(u64::MAX, 6, 1024, 6) },
            Op::DeleteCidr { prefix: prefix("192.0.2.0/24") },
            Op::DeleteRange { prefix: prefix("fd00::/64") },
            Op::DeleteRange { prefix: prefix("fd00::/64") },
        ])
        .unwrap();
    assert_eq!(applied.ops, 12);
    assert!(applied.grace > Duration::ZERO);
    assert_eq!(kernel.dump().unwrap(), Tables { cut: [(cut, 5)].into(), ..Tables::default() });
}

#[test]
fn a_full_table_is_an_error_that_names_it() {
    let Some(mut kernel) = load(&options()) else { return };
    let full = |kernel: &mut Kernel, size: u32, make: &dyn Fn(u32) -> Op| {
        let ops: Vec<_> = (0..=size).map(make).collect();
        match kernel.apply(&ops) {
            Err(ApplyError::Full { table, size: told, at }) => {
                assert_eq!((told, at), (size, size as usize));
                table
            }
            other => panic!("{other:?}"),
        }
    };
    let tables = [
        full(&mut kernel, 64, &|n| Op::PutAddress { address: address(n), index: 1 }),
        full(&mut kernel, 64, &|n| Op::PutCidr {
            prefix: prefix(&format!("10.0.{n}.0/24")),
            identity: [1, 1],
        }),
        full(&mut kernel, 16, &|n| Op::PutRange { prefix: prefix(&format!("10.0.{n}.0/24")), flags: [1, 1] }),
        full(&mut kernel, 64, &|n| put_rule(0x40, n.into(), 1)),
        full(&mut kernel, 256, &|n| {
            put_ports(PortMapKey::port(1, 6, u16::try_from(n).unwrap()), PortMapValue::deny(0))
        }),
        full(&mut kernel, 128, &|n| {
            put_ports(PortMapKey::ports(1, 6, u16::try_from(2 * n).unwrap(), 15), PortMapValue::deny(0))
        }),
    ];
    let expected =
        [Table::Addresses, Table::Cidrs, Table::Ranges, Table::Rules, Table::PortMaps, Table::PortBlocks];
    assert_eq!(tables, expected);
    let beyond = kernel.apply(&[put_end(64, 0, EndpointWord::OPEN, EndpointWord::OPEN)]);
    assert!(matches!(beyond, Err(ApplyError::Full { table: Table::Ends, size: 64, at: 0 })), "{beyond:?}");
    let zero = kernel.apply(&[put_end(0, 0, EndpointWord::OPEN, EndpointWord::OPEN)]);
    assert!(matches!(zero, Err(ApplyError::Index { table: Table::Ends, at: 0 })), "{zero:?}");
    // What fitted is there, and what is there may be written again.
    assert_eq!(kernel.dump().unwrap().portmaps.len(), 256 + 128);
    kernel.apply(&[put_rule(0x40, 3, 1), put_end(63, 2, EndpointWord::OPEN, EndpointWord::OPEN)]).unwrap();
}

#[test]
fn rows_of_hashes_never_change() {
    let Some(mut kernel) = load_with(&[put_rule(0x40, 1, 1), put_address("10.0.0.1", 1)]) else { return };
    kernel.apply(&[put_rule(0x40, 1, 1), put_address("10.0.0.1", 1)]).unwrap();
    let rule = kernel.apply(&[put_rule(0x40, 2, 1), put_rule(0x40, 1, 2)]);
    assert!(matches!(rule, Err(ApplyError::Conflict { table: Table::Rules, at: 1 })), "{rule:?}");
    let address = kernel.apply(&[put_address("10.0.0.1", 2)]);
    assert!(matches!(address, Err(ApplyError::Conflict { table: Table::Addresses, at: 0 })), "{address:?}");
}

#[test]
fn events_of_a_flow_are_limited_and_counted() {
    let Some(mut kernel) = load(&Options { event_interval: Duration::from_secs(3600), ..options() }) else {
        return;
    };
    let open = put_end(1, 0, EndpointWord::OPEN, EndpointWord::OPEN);
    kernel.apply(&[put_address("10.0.0.1", 1), open]).unwrap();
    let packet = Packet::tcp("192.0.2.1", "10.0.0.1", 80).bytes();
    let (_, events) = events_of(&kernel, Hook::Forward, &packet);
    assert_eq!(events.len(), 1);
    for _ in 0..4 {
        assert_eq!(events_of(&kernel, Hook::Forward, &packet), (true, vec![]));
    }
    let flows = kernel.flows().unwrap();
    let key = FlowKey {
        source: Address::v4(192, 0, 2, 1),
        destination: Address::v4(10, 0, 0, 1),
        port: 80,
        protocol: 6,
        outcome: 0b101,
    };
    assert_eq!(flows.len(), 1);
    let flow = flows[&key];
    assert_eq!((flow.packets, flow.bytes, flow.told), (5, 200, 1));
    // Another port is another flow.
    let other = Packet::tcp("192.0.2.1", "10.0.0.1", 81).bytes();
    assert_eq!(events_of(&kernel, Hook::Forward, &other).1.len(), 1);
}

#[test]
fn an_event_says_how_many_were_suppressed() {
    let interval = Duration::from_millis(20);
    let Some(mut kernel) = load(&Options { event_interval: interval, ..options() }) else { return };
    let open = put_end(1, 0, EndpointWord::OPEN, EndpointWord::OPEN);
    kernel.apply(&[put_address("10.0.0.1", 1), open]).unwrap();
    let packet = Packet::tcp("192.0.2.1", "10.0.0.1", 80).bytes();
    let (mut told, mut packets) = (0, 0);
    while told < 3 {
        let (_, events) = events_of(&kernel, Hook::Forward, &packet);
        packets += 1;
        if let [event] = events.as_slice() {
            told += 1;
            packets -= event.suppressed + 1;
            assert_eq!(packets, 0, "every packet is in one event");
        }
    }
}

#[test]
fn lost_events_are_counted_and_told_later() {
    let Some(mut kernel) = load(&Options { event_bytes: 4096, ..options() }) else { return };
    let open = put_end(1, 0, EndpointWord::OPEN, EndpointWord::OPEN);
    kernel.apply(&[put_address("10.0.0.1", 1), open]).unwrap();
    let packet = Packet::tcp("192.0.2.1", "10.0.0.1", 80).bytes();
    for _ in 0..100 {
        assert!(kernel.test_run(Hook::Forward, support::family(&packet), &packet).unwrap());
    }
    // An event takes 80 bytes and a header of 8.
    let lost = kernel.counters().unwrap().events_lost;
    assert!((54..=55).contains(&lost), "{lost}");
    let (_, events) = events_of(&kernel, Hook::Forward, &packet);
    assert_eq!(u64::from(events[0].suppressed), lost);
}

#[test]
fn every_table_says_its_size() {
    let sizes = Options::default().sizes();
    assert_eq!(sizes.len(), Table::ALL.len() + 1);
    assert!(sizes.iter().map(|size| size.bytes).sum::<u64>() < 256 << 20);
}
