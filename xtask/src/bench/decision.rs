//! What one decision for a new connection takes in the kernel, its counters and its flow included. The kernel repeats
//! one packet and takes the time itself. The best of many runs is told: whatever else the machine does only ever adds.

use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use ringfence_datapath::event::{Family, Hook};
use ringfence_datapath::{Image, Kernel, NodeView, Options, Planner};
use ringfence_policy::{Engine, World};

use crate::bench::Effort;
use crate::bench::report::{Report, Row, Target, Unit};
use crate::bench::scenario::{self, Isolated, PORT, RANGE_PORT};
use crate::bench::statistics::{best, median};

const NODE: &str = "node";
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 3);
const OPEN: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 4);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

const TARGET: Target = Target::Below(500.0);

/// Adds a row for each kind of connection and number of policies.
pub(crate) fn measure(effort: &Effort, report: &mut Report) -> anyhow::Result<()> {
    for &count in effort.decision_policies {
        let (plain, ranges) = (kernel(count, Isolated::Both)?, kernel(count, Isolated::BothOnRanges)?);
        // A pod that an early policy lets in: the place in the list means nothing to a table, as the figures show.
        let other = scenario::other_address(count / 2);
        let cases = [
            ("no policy selects the pod", &plain, OUTSIDE, OPEN, PORT, true),
            ("allowed to one isolated pod", &plain, other, SERVER, PORT, true),
            ("allowed between two isolated pods", &plain, CLIENT, SERVER, PORT, true),
            ("denied: nobody that a policy knows", &plain, OUTSIDE, SERVER, PORT, false),
            ("denied: a port that no rule allows", &plain, other, SERVER, 22, false),
            ("policies with ranges, allowed to one", &ranges, other, SERVER, RANGE_PORT, true),
            ("policies with ranges, allowed between two", &ranges, CLIENT, SERVER, RANGE_PORT, true),
            ("policies with ranges, denied by port", &ranges, other, SERVER, 22, false),
        ];
        for (name, kernel, from, to, port, expected) in cases {
            let packet = tcp(from, to, port);
            let mut samples = Vec::new();
            for _ in 0..effort.decision_runs {
                let (allowed, mean) =
                    kernel.test_run_repeated(Hook::Forward, Family::V4, &packet, effort.decision_repeats)?;
                ensure!(allowed == expected, "{name}: the kernel said {allowed}");
                samples.push(mean.as_nanos() as f64);
            }
            report.add(Row {
                what: format!("decision, {name}"),
                policies: count as usize,
                value: best(&samples),
                unit: Unit::Nanoseconds,
                target: TARGET,
                beside: vec![("median", median(&samples), Unit::Nanoseconds)],
            });
        }
    }
    Ok(())
}

/// The program with the tables of a node on which client and server are isolated by so many policies.
fn kernel(count: u32, isolated: Isolated) -> anyhow::Result<Kernel> {
    let open = scenario::pod("open", NODE, OPEN, Default::default());
    let server = scenario::pod("server", NODE, SERVER, scenario::labels(true));
    let client = scenario::pod("client", NODE, CLIENT, scenario::labels(false));
    let world = World {
        pods: [open, server, client].into_iter().chain(scenario::others(count)).collect(),
        policies: scenario::policies(count, isolated),
        ..World::default()
    };
    let view = NodeView {
        name: NODE.into(),
        pod_ranges: vec![ipnet::Ipv4Net::new(SERVER, 24)?.trunc().into()],
        ..NodeView::default()
    };
    let image = Image::new(&Engine::new(world), &view);
    let mut kernel = Kernel::load(&Options::default()).context("the BPF program cannot be loaded")?;
    kernel.apply(&Planner::new().plan(&image)?)?;
    Ok(kernel)
}

/// The first packet of a connection.
fn tcp(source: Ipv4Addr, destination: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(40_000u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0]);
    packet
}
