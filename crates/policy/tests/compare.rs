//! Comparisons of random worlds against the naive engine: every pair of pods and every outside address, port by port.

#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_oracle::random::Random;
use ringfence_oracle::worlds::{Size, mutate, reorder, world};
use ringfence_oracle::{naive, questions};
use ringfence_policy::{
    Because, Comparison, End, Engine, Mapped, Part, Pod, PodId, ReachEnd, Shift, Spot, Traffic, World,
};

const WORLDS: u64 = 300;

#[test]
fn small_worlds() {
    check(&Size::small(), 8_000_000..8_000_000 + WORLDS * 2);
}

#[test]
fn clusters_with_addresses() {
    check(&Size::cluster(), 8_100_000..8_100_000 + WORLDS / 3);
}

#[test]
fn manifests_without_addresses() {
    check(&Size::manifests(), 8_200_000..8_200_000 + WORLDS / 3);
}

#[test]
fn another_spelling_is_equivalent() {
    for seed in 8_300_000..8_300_000 + WORLDS {
        let old = world(seed, &Size::default());
        let mut new = old.clone();
        reorder(&mut new, &mut Random::new(seed));
        let new = Mapped::new(Engine::new(new));
        let comparison = Comparison::new(&Mapped::new(Engine::new(old)), &new);
        assert!(comparison.is_unchanged(), "seed {seed}");
        assert_eq!((comparison.come.len(), comparison.gone.len()), (0, 0), "seed {seed}");
    }
}

fn check(size: &Size, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let old = world(seed, size);
        let mut new = old.clone();
        let mut random = Random::new(seed);
        for _ in 0..=seed % 3 {
            mutate(&mut new, size, &mut random);
        }
        if let Some(why) = wrong(&old, &new) {
            panic!("seed {seed}: {why}\nold {old:#?}\nnew {new:#?}");
        }
    }
}

fn wrong(old: &World, new: &World) -> Option<String> {
    let (before, after) = (Mapped::new(Engine::new(old.clone())), Mapped::new(Engine::new(new.clone())));
    let comparison = Comparison::new(&before, &after);
    let shifts: Vec<Shift<'_>> = comparison.shifts().collect();
    let by_pair: BTreeMap<(u32, u32), &[Part]> = shifts
        .iter()
        .filter_map(|s| match (s.from, s.to) {
            (Spot::Piece(from), Spot::Piece(to)) => Some(((from, to), s.parts)),
            _ => None,
        })
        .collect();
    let traffic: BTreeSet<Traffic> =
        questions::traffic(old).into_iter().chain(questions::traffic(new)).collect();
    let pods: Vec<Vec<(PodId, PodId)>> = (comparison.pieces.iter())
        .map(|piece| common(old, pods_of(&before, piece.old), new, pods_of(&after, piece.new)))
        .collect();
    let is_same =
        |a: &Pod, b: &Pod| (&a.namespace, &a.workload, &a.name) == (&b.namespace, &b.workload, &b.name);
    let in_both = old.pods.iter().filter(|pod| new.pods.iter().any(|other| is_same(pod, other))).count();
    if pods.iter().map(Vec::len).sum::<usize>() != in_both {
        return Some("not every pod is in one piece".to_owned());
    }
    for ((from, sources), (to, targets)) in
        (0u32..).zip(&pods).flat_map(|a| (0u32..).zip(&pods).map(move |b| (a, b)))
    {
        let parts = by_pair.get(&(from, to)).copied().unwrap_or_default();
        for traffic in &traffic {
            let changes: BTreeSet<Option<bool>> = (sources.iter())
                .flat_map(|one| targets.iter().map(move |other| (one, other)))
                .filter(|(one, other)| one != other)
                .filter(|(one, other)| !is_own_node(old, one.0, other.0) && !is_own_node(new, one.1, other.1))
                .map(|(one, other)| {
                    let pod = naive::End::Pod;
                    let was = naive::allowed(old, &pod(one.0), &pod(other.0), *traffic);
                    let is = naive::allowed(new, &pod(one.1), &pod(other.1), *traffic);
                    (was != is).then_some(is)
                })
                .collect();
            let said = said(parts, *traffic);
            if changes.len() > 1 || changes.first().is_some_and(|change| *change != said) {
                return Some(format!("{from} -> {to} {traffic:?}: {said:?}, should be {changes:?}"));
            }
        }
    }
    wrong_outside(old, new, &comparison, &pods, &shifts, &traffic)
        .or_else(|| wrong_cause(&before, &after, &comparison, &pods, &shifts))
}

fn wrong_outside(
    old: &World,
    new: &World,
    comparison: &Comparison,
    pods: &[Vec<(PodId, PodId)>],
    shifts: &[Shift<'_>],
    traffic: &BTreeSet<Traffic>,
) -> Option<String> {
    let mut addresses = questions::interesting_addresses(old);
    addresses.extend(questions::interesting_addresses(new));
    for shift in shifts {
        if let (Spot::Outside(first, last), _) | (_, Spot::Outside(first, last)) = (shift.from, shift.to) {
            addresses.extend([first, last]);
        }
    }
    let inside = |world: &World, address: &IpAddr| {
        world.pods.iter().any(|p| p.addresses.contains(address))
            || world.nodes.iter().any(|n| n.addresses.contains(address))
    };
    addresses.retain(|address| !inside(old, address) && !inside(new, address));
    let holds = |spot: Spot, address: IpAddr| {
        matches!(spot, Spot::Outside(first, last)
            if first.is_ipv4() == address.is_ipv4() && first <= address && address <= last)
    };
    for (piece, pods) in (0u32..).zip(pods) {
        let _ = comparison.pieces.get(piece as usize)?;
        for address in &addresses {
            let parts = |outgoing: bool| {
                let found = shifts.iter().find(|s| {
                    let (pod, outside) = if outgoing { (s.from, s.to) } else { (s.to, s.from) };
                    pod == Spot::Piece(piece) && holds(outside, *address)
                });
                found.map(|s| s.parts).unwrap_or_default()
            };
            let (leaving, arriving) = (parts(true), parts(false));
            for (pod, traffic) in pods.iter().flat_map(|pod| traffic.iter().map(move |t| (pod, *t))) {
                let outside = naive::End::Outside(*address);
                let both = |from: bool| {
                    let ask = |world: &World, pod: PodId| {
                        let pod = naive::End::Pod(pod);
                        let (a, b) = if from { (&pod, &outside) } else { (&outside, &pod) };
                        naive::allowed(world, a, b, traffic)
                    };
                    let (was, is) = (ask(old, pod.0), ask(new, pod.1));
                    (was != is).then_some(is)
                };
                if (said(leaving, traffic), said(arriving, traffic)) != (both(true), both(false)) {
                    return Some(format!("piece {piece} and {address} {traffic:?}"));
                }
            }
        }
    }
    None
}

/// The cause is what the verdicts of both engines say.
fn wrong_cause(
    before: &Mapped,
    after: &Mapped,
    comparison: &Comparison,
    pods: &[Vec<(PodId, PodId)>],
    shifts: &[Shift<'_>],
) -> Option<String> {
    for shift in shifts {
        let (Spot::Piece(from), Spot::Piece(to)) = (shift.from, shift.to) else { continue };
        let pairs = pods[from as usize].iter().flat_map(|a| pods[to as usize].iter().map(move |b| (a, b)));
        let is_exempt = |because: &Because| matches!(because, Because::OwnNode | Because::NoSubject);
        for part in shift.parts {
            let cause = &comparison.causes[part.cause as usize];
            if cause.egress.is_none() && cause.ingress.is_none() {
                return Some(format!("{shift:?} has no cause"));
            }
            let traffic = part.ports.first().unwrap();
            let mut pairs = pairs.clone().filter(|(a, b)| a != b).peekable();
            let right = |((a, b), (c, d)): (&(PodId, PodId), &(PodId, PodId))| {
                let was = before.engine().verdict(End::Pod(*a), End::Pod(*c), traffic);
                let is = after.engine().verdict(End::Pod(*b), End::Pod(*d), traffic);
                let side = |one: &ringfence_policy::Side, other: &ringfence_policy::Side, said| {
                    let said: Option<&ringfence_policy::SideShift> = said;
                    said.is_none_or(|said| {
                        let same = |a: &Because, b: &Because| a == b || is_exempt(a) || is_exempt(b);
                        same(&said.before, &one.because) && same(&said.after, &other.because)
                    })
                };
                side(&was.egress, &is.egress, cause.egress.as_ref())
                    && side(&was.ingress, &is.ingress, cause.ingress.as_ref())
            };
            // With several families the engine's verdict may be of another one.
            let many = |pod: &PodId| before.engine().pod(*pod).is_some_and(|p| p.addresses.len() > 1);
            let single = pods.iter().flatten().all(|(a, _)| !many(a));
            if single && pairs.peek().is_some() && !pairs.any(right) {
                return Some(format!("{shift:?}: not because of {cause:?}"));
            }
        }
    }
    None
}

fn said(parts: &[Part], traffic: Traffic) -> Option<bool> {
    let said: Vec<bool> = parts.iter().filter(|p| p.ports.contains(traffic)).map(|p| p.gained).collect();
    assert!(said.len() <= 1, "twice: {parts:?}");
    said.first().copied()
}

fn pods_of(mapped: &Mapped, end: u32) -> Vec<PodId> {
    match &mapped.reach().ends[end as usize] {
        ReachEnd::Pods { pods, .. } => pods.clone(),
        ReachEnd::Outside { .. } => Vec::new(),
    }
}

/// The pods that both have, by name.
fn common(old: &World, before: Vec<PodId>, new: &World, after: Vec<PodId>) -> Vec<(PodId, PodId)> {
    let name = |world: &World, id: PodId| world.pods[id.0 as usize].name.clone();
    let with = |one: PodId| after.iter().find(|other| name(new, **other) == name(old, one)).copied();
    before.into_iter().filter_map(|one| Some((one, with(one)?))).collect()
}

fn is_own_node(world: &World, from: PodId, to: PodId) -> bool {
    let (from, to) = (&world.pods[from.0 as usize], &world.pods[to.0 as usize]);
    from.host_network && from.node.is_some() && from.node == to.node
}
