//! The kernel against the engine and the mirror, on a thousand random worlds: one program goes from world to world by
//! plans, and is asked with packets what the engine is asked with ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod promises;
mod support;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ringfence_datapath::event::{Event, Reason};
use ringfence_datapath::{Fate, Image, Options, Planner};
use ringfence_oracle::worlds::{Size, world};
use ringfence_policy::Engine;
use support::passes;

const WORLDS: u64 = 1000;

#[test]
fn the_kernel_says_what_the_engine_says() {
    let options = Options { flows: 1 << 12, event_interval: Duration::ZERO, ..Options::default() };
    let Some(mut kernel) = support::load(&options) else { return };
    let (sender, told) = channel();
    let events = kernel.events(move |event| sender.send(event.unwrap()).unwrap()).unwrap();
    let mut planner = Planner::new();
    let mut asked = 0;
    for seed in 0..WORLDS {
        let engine = Engine::new(world(9_000_000 + seed, &Size::cluster()));
        let nodes = promises::nodes(&engine);
        if nodes == 0 {
            continue;
        }
        let node = usize::try_from(seed).unwrap() % nodes;
        let image = Image::new(&engine, &promises::node_view(&engine, node));
        let mut before = planner.tables().clone();
        let ops = planner.plan(&image).unwrap();
        if seed % 20 == 1 {
            // Step by step, as if whoever writes could die after each: old until the switch, and new from there.
            let packets = promises::packets(&engine, node, seed, 12);
            for op in &ops {
                kernel.apply(std::slice::from_ref(op)).unwrap();
                before.apply(op);
                for expected in &packets {
                    let passed = passes(&kernel, &expected.packet);
                    assert_eq!(passed, before.fate(&expected.packet).passes(), "seed {seed} after {op:?}");
                }
            }
        } else {
            kernel.apply(&ops).unwrap();
        }
        events.consume().unwrap();
        told.try_iter().for_each(drop);
        for expected in promises::packets(&engine, node, seed, 120) {
            let sent = expected.packet;
            let passed = passes(&kernel, &sent);
            events.consume().unwrap();
            let place = || format!("seed {seed}: {sent:?}");
            assert_eq!(fate(passed, &told), planner.tables().fate(&sent), "{}", place());
            assert!(expected.is(planner.tables().fate(&sent), &engine, &image), "{}", place());
            asked += 1;
        }
        if seed % 50 == 0 {
            assert_eq!(&kernel.dump().unwrap(), planner.tables(), "seed {seed}");
        }
    }
    assert!(asked > 50_000, "only {asked} packets");
    let counters = kernel.counters().unwrap();
    assert_eq!((counters.missing_row, counters.malformed, counters.unknown_endpoint), (0, 0, 0));
}

/// What the kernel has told of a packet, in the words of the mirror.
fn fate(passed: bool, told: &Receiver<Event>) -> Fate {
    let events: Vec<Event> = told.try_iter().collect();
    assert!(events.iter().all(|e| e.allowed == passed) && (passed || events.len() == 1), "{events:?}");
    // Sides that had no say come after those that had.
    let says = |e: &&Event| !matches!(e.reason, Reason::Open | Reason::Itself);
    match events.iter().rfind(says).or(events.last()).map(|e| (e.reason, e.rule)) {
        None | Some((Reason::Open, None)) => Fate::Open,
        Some((Reason::Itself, None)) => Fate::Itself,
        Some((Reason::OwnNode, None)) => Fate::OwnNode,
        Some((Reason::Rule, Some(rule))) if passed => Fate::Allowed { rule },
        Some((Reason::Rule, Some(rule))) => Fate::Denied { rule },
        Some((Reason::Default, None)) if passed => Fate::Allowed { rule: 0 },
        Some((Reason::Default, None)) => Fate::Denied { rule: 0 },
        Some(other) => panic!("{other:?} of {events:?}"),
    }
}
