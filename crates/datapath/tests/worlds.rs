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

use ringfence_datapath::{Image, Kernel, Options, Planner};
use ringfence_oracle::worlds::{Size, world};
use ringfence_policy::Engine;
use support::passes;

const WORLDS: u64 = 1000;

#[test]
fn the_kernel_says_what_the_engine_says() {
    let Some(mut kernel) = support::load(&Options { flows: 1 << 12, ..Options::default() }) else { return };
    let mut planner = Planner::new();
    let mut asked = 0;
    let size = Size { cluster_policies: 0, names: false, ..Size::cluster() };
    for seed in 0..WORLDS {
        let engine = Engine::new(world(9_000_000 + seed, &size));
        let nodes = engine.world().nodes.len();
        if nodes == 0 {
            continue;
        }
        let node = usize::try_from(seed).unwrap() % nodes;
        let image = Image::new(&engine, &promises::node_view(engine.world(), node));
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
        asked += ask(&kernel, &planner, &engine, node, seed);
        if seed % 50 == 0 {
            assert_eq!(&kernel.dump().unwrap(), planner.tables(), "seed {seed}");
        }
    }
    assert!(asked > 50_000, "only {asked} packets");
    let counters = kernel.counters().unwrap();
    assert_eq!((counters.missing_row, counters.malformed, counters.unknown_endpoint), (0, 0, 0));
}

fn ask(kernel: &Kernel, planner: &Planner, engine: &Engine, node: usize, seed: u64) -> u32 {
    let mut asked = 0;
    for expected in promises::packets(engine, node, seed, 120) {
        let sent = expected.packet;
        let passed = passes(kernel, &sent);
        assert_eq!(
            passed,
            planner.tables().fate(&sent).passes(),
            "seed {seed}: mirror and kernel differ: {sent:?}"
        );
        assert_eq!(passed, expected.passes, "seed {seed}: engine and kernel differ: {sent:?}");
        asked += 1;
    }
    asked
}
