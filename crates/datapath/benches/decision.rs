//! What one decision takes, with the rows of 10 and of 10,000 policies: the target is half a microsecond for a new
//! connection, its counters and its flow included, and no more for many policies than for few. The kernel repeats
//! one packet and takes the time itself; events are limited as they are by default. What is told is the best of many
//! runs: whatever else the machine does only ever adds.

use std::process::ExitCode;
use std::time::Duration;

use ringfence_datapath::abi::{
    Address, EndValue, EndpointWord, Op, PortMapKey, PortMapValue, Prefix, RuleKey,
};
use ringfence_datapath::event::{Family, Hook};
use ringfence_datapath::kernel::{Error, Kernel};
use ringfence_datapath::options::Options;
use ringfence_datapath::tables::ApplyError;

const RUNS: u32 = 30;
const REPEATS: u32 = 100_000;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Kernel(#[from] Error),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

fn main() -> ExitCode {
    // `cargo test --benches` asks only whether it runs.
    let runs = if std::env::args().any(|argument| argument == "--test") { 1 } else { RUNS };
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return ExitCode::SUCCESS;
    }
    for policies in [10, 10_000] {
        if let Err(error) = measure(policies, runs) {
            eprintln!("{error}: {error:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(policies: u32, runs: u32) -> Result<(), Failure> {
    let mut kernel = Kernel::load(&Options::default())?;
    let start = std::time::Instant::now();
    let ops = rows(policies);
    kernel.apply(&ops)?;
    println!("{policies} policies: {} rows written in {:?}", ops.len(), start.elapsed());
    let unlimited = Options { event_interval: Duration::ZERO, ..Options::default() };
    let mut every_event = Kernel::load(&unlimited)?;
    every_event.apply(&ops)?;

    let pod = Address::v4(10, 0, 0, 1);
    let same_node = Address::v4(10, 0, 0, 2);
    let peer = address(policies / 2);
    let outside = Address::v4(192, 0, 2, 1);
    let cases = [
        ("open, one local pod", tcp(outside, Address::v4(10, 0, 0, 3), 80)),
        ("allowed, one local pod", tcp(peer, pod, 8080)),
        ("allowed, two local pods", tcp(same_node, pod, 8080)),
        ("denied by default", tcp(outside, pod, 8080)),
        ("neither end is local", tcp(outside, peer, 80)),
    ];
    for (name, packet) in cases {
        let (allowed, limited) = best(&kernel, &packet, runs)?;
        let (_, every) = best(&every_event, &packet, runs)?;
        println!(
            "  {name:<24} {:<5} {:>4} ns (ring full, an attempt for each packet: {:>4} ns)",
            if allowed { "pass" } else { "drop" },
            limited.as_nanos(),
            every.as_nanos()
        );
    }
    Ok(())
}

fn best(kernel: &Kernel, packet: &[u8], runs: u32) -> Result<(bool, Duration), Error> {
    let mut best = (false, Duration::MAX);
    for _ in 0..runs {
        let (allowed, mean) = kernel.test_run_repeated(Hook::Forward, Family::V4, packet, REPEATS)?;
        best = (allowed, best.1.min(mean));
    }
    Ok(best)
}

/// For every policy an identity with its peer, a block of addresses, a rule and a port map of eight rows; all of
/// them select the same local pods.
fn rows(policies: u32) -> Vec<Op> {
    const SET: u64 = 0x40;
    let isolated = EndpointWord::isolated(SET);
    let mut ops = vec![
        Op::PutPortMap { key: PortMapKey::everything(1), value: PortMapValue::deny(0) },
        Op::PutRule { key: RuleKey { set: SET, identity: 0 }, portmap: 1 },
    ];
    for (pod, word) in [(1u8, isolated), (2, isolated), (3, EndpointWord::OPEN)] {
        let value = EndValue { identity: [2; 2], ingress: [word; 2], egress: [word; 2] };
        ops.push(Op::PutEnd { index: pod.into(), value });
        ops.push(Op::PutAddress { address: Address::v4(10, 0, 0, pod), index: pod.into() });
    }
    for number in 0..policies {
        let id = u64::from(number) + 2;
        let value = EndValue { identity: [id; 2], ..EndValue::default() };
        ops.push(Op::PutEnd { index: number + 4, value });
        ops.push(Op::PutAddress { address: address(number), index: number + 4 });
        let [a, b, c, _] = (number << 8).to_be_bytes();
        if let Ok(net) = ipnet::IpNet::new([100 | a, b, c, 0].into(), 24) {
            ops.push(Op::PutCidr { prefix: Prefix::from(net), identity: [id; 2] });
        }
        ops.push(Op::PutRule { key: RuleKey { set: SET, identity: id }, portmap: id });
        ops.push(Op::PutPortMap { key: PortMapKey::everything(id), value: PortMapValue::deny(0) });
        for port in [80, 443, 5432, 6379, 8080, 9090, 10250] {
            ops.push(Op::PutPortMap {
                key: PortMapKey::port(id, 6, port),
                value: PortMapValue::allow(number + 1),
            });
        }
    }
    ops
}

fn address(number: u32) -> Address {
    let [_, b, c, d] = number.to_be_bytes();
    Address::v4(10, 64 | b, c, d)
}

fn tcp(source: Address, destination: Address, port: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend(source.0.iter().skip(12));
    packet.extend(destination.0.iter().skip(12));
    packet.extend(40_000u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0]);
    packet
}
