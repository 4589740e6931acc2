//! What the kernel tests share: packets made by hand, and a program with a few rows to try them on.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod net;
pub(crate) mod netns;
pub(crate) mod packet;

use std::net::IpAddr;
use std::time::Duration;

use ringfence_datapath::abi::{Address, EndValue, EndpointWord, Op, PortMapKey, PortMapValue, RuleKey};
use ringfence_datapath::event::{Event, Family, Hook};
use ringfence_datapath::kernel::Kernel;
use ringfence_datapath::options::Options;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;

/// Waits until something holds.
pub(crate) fn wait_for(mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "it does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Small tables, and an event for every packet.
pub(crate) fn options() -> Options {
    Options {
        addresses: 64,
        ends: 64,
        cidrs: 64,
        ranges: 16,
        rules: 64,
        portmaps: 256,
        portblocks: 128,
        flows: 1024,
        cut: 64,
        event_bytes: 1 << 16,
        event_interval: Duration::ZERO,
    }
}

/// Loads the program, or says that the test is skipped: that is a failure under CI.
pub(crate) fn load(options: &Options) -> Option<Kernel> {
    is_root().then(|| Kernel::load(options).expect("the program loads"))
}

/// Else a test says that it is skipped.
pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "needs root, and CI must not skip it");
        eprintln!("skipped: needs root");
    }
    root
}

pub(crate) fn load_with(ops: &[Op]) -> Option<Kernel> {
    let mut kernel = load(&options())?;
    kernel.apply(ops).expect("the rows fit");
    Some(kernel)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn put_address(address: &str, index: u32) -> Op {
    Op::PutAddress { address: Address::from(ip(address)), index }
}

/// The same in both slots.
pub(crate) fn put_end(index: u32, identity: u64, ingress: EndpointWord, egress: EndpointWord) -> Op {
    let value = EndValue { identity: [identity; 2], ingress: [ingress; 2], egress: [egress; 2] };
    Op::PutEnd { index, value }
}

/// A known address that is no local endpoint.
pub(crate) fn put_peer(index: u32, identity: u64) -> Op {
    put_end(index, identity, EndpointWord::ABSENT, EndpointWord::ABSENT)
}

pub(crate) fn put_rule(set: u64, identity: u64, portmap: u64) -> Op {
    Op::PutRule { key: RuleKey { set, identity }, portmap }
}

pub(crate) fn put_ports(key: PortMapKey, value: PortMapValue) -> Op {
    Op::PutPortMap { key, value }
}

/// Port maps 1 (nothing) and 2 (everything, by rule 2).
pub(crate) fn simple_portmaps() -> Vec<Op> {
    vec![
        put_ports(PortMapKey::everything(1), PortMapValue::deny(0)),
        put_ports(PortMapKey::everything(2), PortMapValue::allow(2)),
    ]
}

pub(crate) fn family(packet: &[u8]) -> Family {
    if packet[0] >> 4 == 6 { Family::V6 } else { Family::V4 }
}

pub(crate) fn forwarded(kernel: &Kernel, packet: &[u8]) -> bool {
    kernel.test_run(Hook::Forward, family(packet), packet).expect("the packet can be tried")
}

/// Tries a packet, and says what was told of it.
pub(crate) fn events_of(kernel: &Kernel, hook: Hook, packet: &[u8]) -> (bool, Vec<Event>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let events = kernel.events(move |event| sender.send(event.unwrap()).unwrap()).unwrap();
    // What earlier packets left behind.
    events.consume().unwrap();
    receiver.try_iter().for_each(drop);
    let verdict = kernel.test_run(hook, family(packet), packet).unwrap();
    events.consume().unwrap();
    drop(events);
    (verdict, receiver.try_iter().collect())
}

/// What the kernel does with a packet that is described as the mirror takes it.
pub(crate) fn passes(kernel: &Kernel, sent: &ringfence_datapath::Packet) -> bool {
    let (from, to) = (sent.source.to_string(), sent.destination.to_string());
    let packet = match sent.protocol {
        TCP => packet::Packet::tcp(&from, &to, sent.port),
        UDP => packet::Packet::udp(&from, &to, sent.port),
        SCTP => packet::Packet::sctp(&from, &to, sent.port),
        _ => packet::Packet::ping(&from, &to),
    };
    let bytes = packet.bytes();
    kernel.test_run(sent.hook, family(&bytes), &bytes).unwrap()
}
