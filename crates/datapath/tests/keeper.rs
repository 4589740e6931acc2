//! An image that follows an engine's changes against one that is made anew: the same image, the same plans, and nothing
//! left over.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod promises;

use std::collections::BTreeMap;

use promises::packets;
use ringfence_datapath::{Fate, Image, ImageKeeper, NodeView, Planner};
use ringfence_oracle::changes::Watch;
use ringfence_oracle::unruly::Unruly;
use ringfence_oracle::worlds::{Size, steps};
use ringfence_policy::{Delta, Engine, World};

/// Sequences of each size, of about a dozen worlds.
const SEQUENCES: u64 = 60;

#[test]
fn clusters() {
    check(&Size::cluster(), 14_000_000);
}

#[test]
fn small_clusters() {
    check(&Size { namespaces: 2, nodes: 2, pods: 4, policies: 3, ..Size::cluster() }, 15_000_000);
}

#[test]
fn large_clusters() {
    let large = Size { namespaces: 6, nodes: 3, pods: 40, policies: 20, ..Size::cluster() };
    check(&large, 16_000_000);
}

#[test]
fn manifests_where_some_addresses_are_known() {
    check(&Size::default(), 17_000_000);
}

#[test]
fn unruly_changes() {
    for seed in 18_000_000..18_000_000 + SEQUENCES {
        let mut cluster = Unruly::new(seed);
        let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
        for step in 0..25 {
            let (changes, delta) = cluster.update();
            let engine = cluster.engine();
            for name in engine.pods().filter_map(|(_, pod)| pod.node.as_ref()) {
                nodes.entry(name.clone()).or_insert_with(|| Node::new(engine, name));
            }
            let fresh = Engine::new(cluster.world());
            for (name, node) in &mut nodes {
                node.follow(engine, &delta, || format!("seed {seed}, step {step}, {name} after {changes:?}"));
                assert_eq!(node.keeper.image(), &Image::new(&fresh, &node.view), "seed {seed}, step {step}");
            }
        }
    }
}

/// A node's image and two planners: one that looks at everything, and one that looks at what has changed.
struct Node {
    view: NodeView,
    keeper: ImageKeeper,
    whole: Planner,
    small: Planner,
}

impl Node {
    fn new(engine: &Engine, name: &str) -> Node {
        let view = NodeView {
            name: name.to_owned(),
            pod_ranges: vec!["10.244.0.0/16".parse().unwrap()],
            not_pods: vec!["10.244.0.1".parse().unwrap()],
            ..NodeView::default()
        };
        let keeper = ImageKeeper::new(engine, &view);
        let mut whole = Planner::new();
        whole.plan(keeper.image()).unwrap();
        Node { small: whole.clone(), view, keeper, whole }
    }

    /// Follows the engine, and holds the image and the plan against whole ones; how many operations the plan has.
    #[track_caller]
    fn follow(&mut self, engine: &Engine, delta: &Delta, place: impl Fn() -> String) -> usize {
        self.keeper.update(engine, delta);
        let expected = ImageKeeper::new(engine, &self.view);
        assert_eq!(self.keeper.image(), expected.image(), "{}", place());
        assert_eq!(self.keeper.kept(), expected.kept(), "{}", place());
        let small = self.small.follow(self.keeper.image(), self.keeper.changes()).unwrap();
        self.keeper.accept();
        let whole = self.whole.plan(expected.image()).unwrap();
        assert_eq!(small, whole, "{}", place());
        assert_eq!(self.small.tables(), self.whole.tables(), "{}", place());
        small.len()
    }
}

fn check(size: &Size, seeds: u64) {
    let (mut updates, mut ops) = (0, 0);
    for seed in seeds..seeds + SEQUENCES {
        let mut engine = Engine::new(World::default());
        let mut watch = Watch::default();
        let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
        let mut worlds = steps(seed, size);
        worlds.push(World::default());
        for (step, world) in worlds.iter().enumerate() {
            // Now all changes at once, now one by one.
            for batch in watch.batches(world, seed + step as u64, step % 2 == 0) {
                let delta = engine.apply(batch.clone());
                watch.told(&batch, &delta.added);
                for name in world.pods.iter().filter_map(|pod| pod.node.as_ref()) {
                    // One that begins now is told of the update all the same.
                    nodes.entry(name.clone()).or_insert_with(|| Node::new(&engine, name));
                }
                for (name, node) in &mut nodes {
                    let place = || format!("seed {seed}, step {step}, {name} after {batch:?}");
                    ops += node.follow(&engine, &delta, place);
                    updates += 1;
                }
            }
            let fresh = Engine::new(world.clone());
            for (name, node) in &nodes {
                let expected = Image::new(&fresh, &node.view);
                assert_eq!(node.keeper.image(), &expected, "seed {seed}, step {step}, {name}");
            }
            for (place, name) in engine.nodes().map(|node| node.name.clone()).enumerate() {
                let Some(node) = nodes.get(&name) else { continue };
                for expected in packets(&engine, place, seed, 20) {
                    let fate = node.small.tables().fate(&expected.packet);
                    let unknown = fate == Fate::UnknownEndpoint;
                    let told = unknown || expected.is(fate, &engine, node.keeper.image());
                    assert!(told, "seed {seed}, step {step}: {:?} {fate:?}", expected.packet);
                }
            }
        }
    }
    println!("{updates} updates, {ops} operations");
    assert!(updates > 5_000 && ops > 20_000, "{updates} updates, {ops} operations");
}
