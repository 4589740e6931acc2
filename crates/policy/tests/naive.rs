//! The engine against the naive engine, on random worlds: the same verdict on each side, the same isolation, a reason
//! that the naive engine finds too, and a map that says the same of every pair.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "naive/map.rs"]
mod map;

use ringfence_oracle::minimize::minimize;
use ringfence_oracle::worlds::{Size, world};
use ringfence_oracle::{agreement, naive, questions};
use ringfence_policy::{End, Engine, PodId, World};

/// Worlds of each size; the whole test asks more than a million questions.
const WORLDS: u64 = 1000;

#[test]
fn small_worlds() {
    compare(Size::small(), 1_000_000..1_000_000 + WORLDS / 2);
}

#[test]
fn clusters_with_addresses() {
    compare(Size::cluster(), 2_000_000..2_000_000 + WORLDS / 4);
}

#[test]
fn manifests_without_addresses() {
    compare(Size::manifests(), 3_000_000..3_000_000 + WORLDS / 4);
}

fn compare(size: Size, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let world = world(seed, &size);
        if let Some(first) = disagreement(&world, seed) {
            let small = minimize(world, |w| disagreement(w, seed).is_some());
            let why = disagreement(&small, seed).unwrap_or(first);
            panic!("seed {seed}: {why}\nin {small:#?}");
        }
    }
}

fn disagreement(world: &World, seed: u64) -> Option<String> {
    let engine = Engine::new(world.clone());
    let pods: Vec<PodId> = engine.pods().map(|(id, _)| id).collect();
    agreement::compare(world, &engine, &pods, seed)
        .err()
        .or_else(|| wrong_pods(world, &engine))
        .or_else(|| map::wrong(world, &engine))
}

/// Pods by whatever addresses they have: a connection has one family, and both sides must allow it in that one.
fn wrong_pods(world: &World, engine: &Engine) -> Option<String> {
    let pods = || (0..world.pods.len()).map(|place| PodId(place as u32));
    let traffic = questions::traffic(world);
    for (from, to) in pods().flat_map(|from| pods().map(move |to| (from, to))) {
        for traffic in traffic.iter().step_by(7) {
            let ours = engine.verdict(End::Pod(from), End::Pod(to), *traffic);
            let theirs = naive::allowed(world, &naive::End::Pod(from), &naive::End::Pod(to), *traffic);
            if ours.allowed() != theirs {
                return Some(format!("{from:?} -> {to:?} {traffic:?}: {ours:?}, should be {theirs}"));
            }
        }
    }
    None
}
