//! Plans that fail half-way: what was in force stays, and what comes next finds its way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod promises;
mod support;

use ringfence_datapath::abi::Op;
use ringfence_datapath::{
    ApplyError, Enforcer, EnforcerError, Image, NodeView, Options, PlanError, Planner, Tables,
};
use ringfence_oracle::worlds::{Size, mutate, world};
use ringfence_policy::Engine;

/// Whether the kernel does what an engine says.
fn check(enforcer: &Enforcer, engine: &Engine, seed: u64) {
    for expected in promises::packets(engine, 0, seed, 60) {
        let sent = expected.packet;
        let passes = support::passes(enforcer.kernel(), &sent);
        assert_eq!(passes, expected.passes, "seed {seed}: {sent:?}");
    }
}

fn engine(seed: u64, mutations: usize) -> Engine {
    let size = Size::cluster();
    let mut made = world(seed, &size);
    let mut random = ringfence_oracle::random::Random::new(seed);
    (0..mutations).for_each(|_| mutate(&mut made, &size, &mut random));
    Engine::new(made)
}

fn view(engine: &Engine) -> NodeView {
    promises::node_view(engine, 0)
}

#[test]
fn a_full_table_leaves_what_was_in_force_and_no_rubbish() {
    let small = Options { rules: 40, portmaps: 160, ..support::options() };
    let (mut failed, mut recovered) = (0, 0);
    for seed in 0..40 {
        let first = engine(11_000_000 + seed, 0);
        if promises::nodes(&first) == 0 {
            continue;
        }
        let Some(kernel) = support::load(&small) else { return };
        let name = view(&first).name;
        let mut enforcer = Enforcer::new(kernel, view(&first));
        let mut in_force = None;
        let mut after_failure = false;
        for step in 0..6 {
            // One world and now and then a quite different one, which often has no room beside it.
            let next =
                if step % 2 == 0 { engine(11_000_000 + seed, step) } else { engine(11_500_000 + seed, step) };
            if next.nodes().next().is_none_or(|n| n.name != name) {
                continue;
            }
            match enforcer.switch(&next) {
                Ok(_) => {
                    enforcer.sweep().unwrap();
                    recovered += u32::from(after_failure);
                    after_failure = false;
                    in_force = Some(next);
                }
                Err(EnforcerError::Switch { source: ApplyError::Full { .. } }) => {
                    failed += 1;
                    after_failure = true;
                    if let Some(engine) = &in_force {
                        let image = Image::new(engine, enforcer.view());
                        let tables = enforcer.kernel().dump().unwrap();
                        assert_eq!(tables.rules, image.rules, "seed {seed}");
                        assert_eq!(tables.addresses.len(), image.peers.len(), "seed {seed}");
                    }
                }
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
            if let Some(engine) = &in_force {
                check(&enforcer, engine, seed);
            }
        }
    }
    assert!(failed > 10 && recovered > 3, "{failed} failed, {recovered} of them recovered");
}

#[test]
fn a_clash_of_numbers_is_got_round() {
    let engine = engine(12_000_000, 0);
    let Some(mut kernel) = support::load(&Options::default()) else { return };
    let view = view(&engine);
    let image = Image::new(&engine, &view);
    let (key, portmap) = image.rules.iter().next().expect("the world has policies");
    let other = Op::PutRule { key: *key, portmap: portmap + 1 };
    kernel.apply(std::slice::from_ref(&other)).unwrap();

    let mut tables = Tables::default();
    tables.apply(&other);
    let clash = Planner::from_tables(tables).plan(&image);
    assert_eq!(clash, Err(PlanError::Clash { number: key.set }));

    let mut enforcer = Enforcer::new(kernel, view.clone());
    enforcer.switch(&engine).unwrap();
    enforcer.sweep().unwrap();
    assert_ne!(enforcer.view().salt, view.salt);
    check(&enforcer, &engine, 1);
    let expected = Image::new(&engine, enforcer.view());
    assert_eq!(enforcer.kernel().dump().unwrap().rules, expected.rules);
}

#[test]
fn tables_of_another_process_are_taken_over() {
    let (old, new) = (engine(13_000_000, 0), engine(13_000_000, 4));
    let Some(mut kernel) = support::load(&Options::default()) else { return };
    let view = view(&old);
    let ops = Planner::new().plan(&Image::new(&old, &view)).unwrap();
    kernel.apply(&ops[..ops.len() - 1]).unwrap();
    let mut enforcer = Enforcer::new(kernel, view);
    check(&enforcer, &old, 2);
    enforcer.switch(&new).unwrap();
    check(&enforcer, &new, 3);
    enforcer.sweep().unwrap();
    check(&enforcer, &new, 4);
    assert_eq!(enforcer.switch(&new).unwrap(), 0);
}
