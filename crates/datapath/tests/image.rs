//! The image's look-up against the engine, and every half-way state of a plan against the worlds before and after.

mod promises;

use std::collections::BTreeMap;

use promises::{node_view, nodes, packets};
use ringfence_datapath::abi::Op;
use ringfence_datapath::{Fate, Image, Planner, Tables};
use ringfence_oracle::random::Random;
use ringfence_oracle::worlds::{Size, mutate, world};
use ringfence_policy::{Engine, World};

#[test]
fn look_up_says_what_the_engine_says() {
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..1000 {
        let world = world(5_000_000 + seed, &size());
        let engine = Engine::new(world);
        for node in 0..nodes(&engine) {
            let image = Image::new(&engine, &node_view(&engine, node));
            let mut planner = Planner::new();
            planner.plan(&image).unwrap();
            for expected in packets(&engine, node, seed, 150) {
                let fate = planner.tables().fate(&expected.packet);
                assert!(
                    expected.is(fate, &engine, &image),
                    "seed {seed} {:?}: {fate:?}, should pass: {}, by {:?}",
                    expected.packet,
                    expected.passes,
                    expected.rule
                );
                let kind = match fate {
                    Fate::Itself => "to itself",
                    _ if expected.packet.source == expected.packet.destination && fate.passes() => {
                        "to itself as policies allow"
                    }
                    _ if expected.packet.source == expected.packet.destination => "not to itself",
                    Fate::Allowed { rule: 0 } => "allowed by default",
                    Fate::Allowed { .. } => "allowed by a rule",
                    Fate::Denied { rule: 0 } => "denied by default",
                    Fate::Denied { .. } => "denied by a rule",
                    _ => "by no set",
                };
                *kinds.entry(kind).or_default() += 1;
            }
        }
    }
    println!("{kinds:?}");
    assert!(kinds.len() == 8 && kinds.values().all(|n| *n > 1_000), "{kinds:?}");
}

/// Until the one store that switches, every packet has its old fate, and from then on its new one.
#[test]
fn no_half_written_policy_is_ever_seen() {
    let mut steps = 0;
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let before = world(6_000_000 + seed, &size());
        let mut after = changed(&before, &mut random);
        come_and_go(&mut after, &mut random);
        move_one(&mut after, &mut random);
        let (old, new) = (Engine::new(before), Engine::new(after));
        for node in 0..nodes(&old).min(nodes(&new)) {
            let mut planner = Planner::new();
            planner.plan(&Image::new(&old, &node_view(&old, node))).unwrap();
            let mut tables = planner.tables().clone();
            let ops = planner.plan(&Image::new(&new, &node_view(&new, node))).unwrap();
            let mut asked = packets(&old, node, seed, 60);
            asked.extend(packets(&new, node, seed + 1, 60));
            let fates: Vec<(Fate, Fate)> =
                asked.iter().map(|e| (tables.fate(&e.packet), planner.tables().fate(&e.packet))).collect();
            let mut switched = false;
            for (place, op) in ops.iter().enumerate() {
                tables.apply(op);
                assert!(!(switched && matches!(op, Op::Activate { .. })), "switched twice");
                switched |= matches!(op, Op::Activate { .. });
                for (expected, (was, will_be)) in asked.iter().zip(&fates) {
                    let fate = tables.fate(&expected.packet);
                    assert_eq!(
                        fate,
                        if switched { *will_be } else { *was },
                        "seed {seed} node {node}: {:?} after {place}: {op:?}\n{ops:#?}",
                        expected.packet
                    );
                    steps += 1;
                }
            }
            assert_eq!(&tables, planner.tables());
        }
    }
    assert!(steps > 100_000, "only {steps} states looked at");
}

/// Whoever carried out a plan dies after any of its operations; the next one, who knows the tables alone, brings them
/// to a third world. Every packet has the fate of one of the worlds, at every step.
#[test]
fn death_half_way_opens_nothing() {
    let mut deaths = 0;
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let first = world(7_000_000 + seed, &size());
        let second = changed(&first, &mut random);
        let mut third = changed(&second, &mut random);
        come_and_go(&mut third, &mut random);
        move_one(&mut third, &mut random);
        let engines = [first, second, third].map(Engine::new);
        let [one, two, three] = &engines;
        if engines.iter().any(|e| nodes(e) == 0) {
            continue;
        }
        let image = |engine: &Engine| Image::new(engine, &node_view(engine, 0));
        let mut planner = Planner::new();
        planner.plan(&image(one)).unwrap();
        let start = planner.tables().clone();
        let ops = planner.plan(&image(two)).unwrap();
        let asked: Vec<_> = engines.iter().flat_map(|e| packets(e, 0, seed, 40)).collect();
        let complete = |engine: &Engine| {
            let mut planner = Planner::new();
            planner.plan(&image(engine)).unwrap();
            planner.tables().clone()
        };
        let fresh = engines.each_ref().map(complete);
        for _ in 0..3 {
            let survived = random.below(ops.len() + 1);
            let mut tables = start.clone();
            ops[..survived].iter().for_each(|op| tables.apply(op));
            let mut heir = Planner::from_tables(tables.clone());
            let rest = heir.plan(&image(three)).unwrap();
            for op in &rest {
                tables.apply(op);
                for expected in &asked {
                    let fate = tables.fate(&expected.packet);
                    let known = fresh.iter().any(|t: &Tables| t.fate(&expected.packet) == fate);
                    assert!(known, "seed {seed}: {:?} is {fate:?} after {op:?}", expected.packet);
                }
            }
            for expected in packets(three, 0, seed, 40) {
                assert_eq!(
                    tables.fate(&expected.packet).passes(),
                    expected.passes,
                    "seed {seed} {:?}",
                    expected.packet
                );
            }
            deaths += 1;
        }
    }
    assert!(deaths > 200);
}

/// Nothing to do, nothing done.
#[test]
fn an_equal_image_plans_nothing() {
    for seed in 0..50 {
        let engine = Engine::new(world(8_000_000 + seed, &size()));
        if nodes(&engine) == 0 {
            continue;
        }
        let image = Image::new(&engine, &node_view(&engine, 0));
        let mut planner = Planner::new();
        planner.plan(&image).unwrap();
        assert_eq!(planner.plan(&image).unwrap(), []);
    }
}

fn size() -> Size {
    Size::cluster()
}

fn changed(world: &World, random: &mut Random) -> World {
    let mut changed = world.clone();
    for _ in 0..=random.below(3) {
        mutate(&mut changed, &size(), random);
    }
    changed
}

/// A pod goes now and then, and so a pod comes when the worlds are taken the other way round.
fn come_and_go(world: &mut World, random: &mut Random) {
    if world.pods.len() > 1 && random.chance(40) {
        world.pods.remove(random.below(world.pods.len()));
    }
}

/// A pod's address turns up on another node.
fn move_one(world: &mut World, random: &mut Random) {
    let place = random.below(world.pods.len());
    if let (Some(pod), Some(node)) = (world.pods.get_mut(place), random.pick_any(&world.nodes)) {
        pod.node = Some(node.name.clone());
    }
}
