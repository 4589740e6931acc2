//! Which ends of two maps are the same.

use std::collections::{BTreeMap, BTreeSet};

use super::Mapped;
use crate::model::Pod;
use crate::reach::ReachEnd;
use crate::slots::number;

/// Pods of a workload that both worlds have, and that no policy tells apart in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its place in the old map. Other pieces may be part of the same end.
    pub old: u32,
    /// Its place in the new map.
    pub new: u32,
    /// Whether it is more than one pod, or may be: then its pods' connections among each other are compared too. A
    /// controller with one pod has two of them while it replaces one.
    pub many: bool,
}

type Key<'m> = (&'m str, &'m str, &'m str);

/// The pieces, then what is left of either.
pub(super) fn matched(old: &Mapped, new: &Mapped) -> (Vec<Piece>, Vec<u32>, Vec<u32>) {
    let (before, after) = (workloads(old), workloads(new));
    let mut pieces = Vec::new();
    let mut rest = [BTreeSet::new(), BTreeSet::new()];
    let [gone, come] = &mut rest;
    for (key, ends) in &before {
        let found = after.get(key).map(|others| pairs(old, ends, new, others)).unwrap_or_default();
        gone.extend(ends.iter().filter(|end| !found.iter().any(|(old, _)| old == *end)));
        let others = after.get(key).into_iter().flatten();
        come.extend(others.filter(|end| !found.iter().any(|(_, new)| new == *end)));
        pieces.extend(found.into_iter().map(|(one, other)| Piece {
            old: one,
            new: other,
            many: is_many(old, one) || is_many(new, other),
        }));
    }
    come.extend(after.iter().filter(|(key, _)| !before.contains_key(*key)).flat_map(|(_, ends)| ends));
    let [gone, come] = rest.map(|set| set.into_iter().collect());
    (pieces, gone, come)
}

/// The ends of each workload, by namespace, name and kind.
fn workloads(mapped: &Mapped) -> BTreeMap<Key<'_>, Vec<u32>> {
    let mut workloads: BTreeMap<Key<'_>, Vec<u32>> = BTreeMap::new();
    for (place, end) in mapped.reach.ends.iter().enumerate() {
        if let ReachEnd::Pods { namespace, workload, .. } = end {
            workloads.entry((namespace, &workload.name, &workload.kind)).or_default().push(number(place));
        }
    }
    workloads
}

/// The ends that have pods in common, by their names. Where none has (a controller names its pods anew), an end that is
/// its whole workload stands for all pods of it.
fn pairs(old: &Mapped, before: &[u32], new: &Mapped, after: &[u32]) -> Vec<(u32, u32)> {
    let is_whole = |ends: &[u32]| ends.len() == 1;
    if is_whole(before) && is_whole(after) {
        return before.iter().copied().zip(after.iter().copied()).collect();
    }
    let mut places: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for end in after {
        for pod in pods(new, *end) {
            places.entry(&pod.name).or_default().push(*end);
        }
    }
    let mut found: BTreeSet<(u32, u32)> = BTreeSet::new();
    for end in before {
        for pod in pods(old, *end) {
            found.extend(places.get(pod.name.as_str()).into_iter().flatten().map(|other| (*end, *other)));
        }
    }
    if found.is_empty() && (is_whole(before) || is_whole(after)) {
        found.extend(before.iter().flat_map(|one| after.iter().map(move |other| (*one, *other))));
    }
    found.into_iter().collect()
}

fn pods(mapped: &Mapped, end: u32) -> impl Iterator<Item = &Pod> {
    let ids = match mapped.reach.ends.get(end as usize) {
        Some(ReachEnd::Pods { pods, .. }) => pods.as_slice(),
        _ => &[],
    };
    ids.iter().filter_map(|id| mapped.engine.pod(*id))
}

fn is_many(mapped: &Mapped, end: u32) -> bool {
    let mut pods = pods(mapped, end);
    let first = pods.next();
    pods.next().is_some() || first.is_some_and(|pod| pod.count > 1 || pod.workload.kind != "Pod")
}

/// Where the pods of an end run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'m> {
    /// The node whose network they all use.
    pub(super) host_of: Option<&'m str>,
    /// The node on which they all run, on a network of their own.
    on: Option<&'m str>,
}

impl<'m> Placed<'m> {
    pub(super) fn new(mapped: &'m Mapped, end: u32) -> Placed<'m> {
        let mut pods = pods(mapped, end);
        let first = pods.next();
        let node = first.and_then(|pod| pod.node.as_deref());
        let node = node.filter(|node| pods.all(|pod| pod.node.as_deref() == Some(*node)));
        let is_host = first.is_some_and(|pod| pod.host_network);
        Placed { host_of: node.filter(|_| is_host), on: node.filter(|_| !is_host) }
    }

    /// Whether every connection from here to there is a node's to its own pods, which no policy holds.
    pub(super) fn is_node_of(&self, to: &Placed<'_>) -> bool {
        self.host_of.is_some() && self.host_of == to.on
    }
}
