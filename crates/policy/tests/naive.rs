//! The engine against the naive engine, on random worlds: the same verdict on each side, the same isolation, a reason
//! that the naive engine finds too, and a map that says the same of every pair.

#![allow(clippy::panic, reason = "a test")]

#[path = "naive/map.rs"]
mod map;

use ringfence_oracle::minimize::minimize;
use ringfence_oracle::worlds::{Size, world};
use ringfence_oracle::{naive, questions};
use ringfence_policy::{Because, Direction, End, Engine, PodId, Side, Traffic, World};

/// Worlds of each size; the whole test asks more than a million questions.
const WORLDS: u64 = 1000;

#[test]
fn small_worlds() {
    compare(&Size::small(), 1_000_000..1_000_000 + WORLDS / 2);
}

#[test]
fn clusters_with_addresses() {
    compare(&Size::cluster(), 2_000_000..2_000_000 + WORLDS / 4);
}

#[test]
fn manifests_without_addresses() {
    compare(&Size::manifests(), 3_000_000..3_000_000 + WORLDS / 4);
}

fn compare(size: &Size, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let world = world(seed, size);
        if let Some(first) = disagreement(&world, seed) {
            let small = minimize(world, |w| disagreement(w, seed).is_some());
            let why = disagreement(&small, seed).unwrap_or(first);
            panic!("seed {seed}: {why}\nin {small:#?}");
        }
    }
}

fn disagreement(world: &World, seed: u64) -> Option<String> {
    let engine = Engine::new(world.clone());
    for place in 0..world.pods.len() {
        let pod = PodId(place as u32);
        for (direction, theirs) in
            [(Direction::Ingress, naive::Direction::Ingress), (Direction::Egress, naive::Direction::Egress)]
        {
            let ours =
                engine.policy_set(pod, direction).map(|s| engine.policies(s).to_vec()).unwrap_or_default();
            let mut sorted = ours.clone();
            sorted.sort_unstable();
            if sorted != naive::isolating(world, pod, theirs) {
                return Some(format!("{pod:?} {direction:?}: isolated by {ours:?}"));
            }
        }
    }
    for (from, to, traffic) in questions::questions(world, seed) {
        let verdict = engine.verdict(end(from), end(to), traffic);
        let sides = [
            (&verdict.egress, naive::egress_allowed(world, &from, &to, traffic), naive::Direction::Egress),
            (&verdict.ingress, naive::ingress_allowed(world, &from, &to, traffic), naive::Direction::Ingress),
        ];
        for (side, allowed, direction) in sides {
            if side.allowed != allowed {
                return Some(format!(
                    "{from:?} -> {to:?} {traffic:?} {direction:?}: {side:?}, should be {allowed}"
                ));
            }
            if let Some(wrong) = wrong_reason(world, side, &from, &to, traffic, direction) {
                return Some(format!("{from:?} -> {to:?} {traffic:?} {direction:?}: {side:?}: {wrong}"));
            }
        }
    }
    wrong_pods(world, &engine).or_else(|| map::wrong(world, &engine))
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

fn wrong_reason(
    world: &World,
    side: &Side,
    from: &naive::End,
    to: &naive::End,
    traffic: Traffic,
    direction: naive::Direction,
) -> Option<&'static str> {
    match &side.because {
        Because::Rule(rule) => {
            let rules = naive::matching_rules(world, direction, from, to, traffic);
            (!rules.contains(rule)).then_some("the rule does not match")
        }
        Because::NoRule(policies) => policies.is_empty().then_some("denied, and nothing isolates"),
        Because::NotIsolated | Because::NoSubject => side.isolated.then_some("isolated, and said not to be"),
        Because::Itself | Because::OwnNode => (!side.allowed).then_some("denied by an exemption"),
    }
}

fn end(end: naive::End) -> End {
    match end {
        naive::End::Pod(pod) => End::Pod(pod),
        naive::End::PodAt(_, address) | naive::End::Outside(address) => End::Address(address),
    }
}
