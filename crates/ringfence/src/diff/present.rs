//! What is only on one side, and objects that are not what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ringfence_policy::{Comparison, DistinctPeer, LabelSelector, Labels, Mapped, PortSet, ReachEnd};

use super::model::{Line, Lines, lines};
use crate::reference::{Reference, Referrer};

/// A workload that one side lacks, or pods of one, with its connections on the other.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) reference: Reference,
    pub(super) lines: Vec<Line>,
}

/// These ends with their connections. A connection between two of them is the source's.
pub(super) fn present(mapped: &Mapped, referrer: &Referrer<'_>, ends: &[u32]) -> Vec<Present> {
    if ends.is_empty() {
        return Vec::new();
    }
    let reach = mapped.reach();
    let reference = |place: u32| match reach.ends.get(place as usize) {
        Some(ReachEnd::Pods { namespace, workload, pods, whole }) => {
            referrer.workload(namespace, workload, pods, *whole)
        }
        _ => Reference::External,
    };
    let mut places = BTreeSet::new();
    for end in ends {
        if let Some(ReachEnd::Pods { pods, .. }) = reach.ends.get(*end as usize) {
            places.extend(pods.first().copied());
        }
    }
    let wanted = |end: &ReachEnd| matches!(end, ReachEnd::Pods { pods, .. } if pods.first().is_some_and(|pod| places.contains(pod)));
    let outside = |place: u32| match reach.ends.get(place as usize) {
        Some(ReachEnd::Outside { first, last }) => Some((*first, *last)),
        _ => None,
    };
    let connections: Vec<(u32, u32, Rc<PortSet>)> =
        reach.connections_of(wanted).map(|c| (c.from, c.to, c.allowed)).collect();
    let mut found: BTreeMap<u32, Lines<'_>> = ends.iter().map(|end| (*end, Lines::new())).collect();
    for (from, to, allowed) in &connections {
        let owner = if ends.contains(from) { from } else { to };
        let inside = |place: u32| outside(place).is_none().then_some(place);
        let key = (inside(*from), inside(*to), &**allowed);
        let ranges = found.entry(*owner).or_default().entry(key).or_default();
        ranges.extend(outside(*from).or(outside(*to)));
    }
    let present = |(end, found)| Present { reference: reference(end), lines: lines(found, reference) };
    found.into_iter().map(present).collect()
}

/// Namespaces and workloads that both sides have and that policies may see otherwise, in words.
pub(super) fn changed_objects(
    old: &Mapped,
    new: &Mapped,
    comparison: &Comparison,
    pieces: &[(Reference, &str)],
) -> Vec<String> {
    let mut changed = Vec::new();
    let namespaces: BTreeSet<&str> = pieces.iter().map(|(_, namespace)| *namespace).collect();
    for namespace in namespaces {
        let labels = [old, new].map(|mapped| mapped.engine().namespace_labels(namespace));
        changed.extend(labels_text(&labels).map(|text| format!("namespace {namespace}: {text}")));
    }
    let first = |mapped: &Mapped, end: u32| match mapped.reach().ends.get(end as usize) {
        Some(ReachEnd::Pods { pods, .. }) => pods.first().and_then(|pod| mapped.engine().pod(*pod)).cloned(),
        _ => None,
    };
    for (piece, (reference, _)) in comparison.pieces.iter().zip(pieces) {
        let (Some(before), Some(after)) = (first(old, piece.old), first(new, piece.new)) else { continue };
        let mut texts = Vec::from_iter(labels_text(&[before.labels, after.labels]));
        if before.host_network != after.host_network {
            let verb = if after.host_network { "now uses" } else { "no longer uses" };
            texts.push(format!("{verb} its node's network"));
        }
        if before.named_ports != after.named_ports {
            texts.push("other named ports".to_owned());
        }
        if !texts.is_empty() {
            changed.push(format!("{}: {}", reference.text(), texts.join("; ")));
        }
    }
    changed
}

/// Such as `label app: web, was www`.
fn labels_text([before, after]: &[Labels; 2]) -> Option<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let text = |key: &&String| match (before.get(*key), after.get(*key)) {
        (Some(was), Some(is)) if was == is => None,
        (Some(was), Some(is)) => Some(format!("label {key}={is}, was {was}")),
        (None, Some(is)) => Some(format!("label {key}={is} is new")),
        (Some(was), None) => Some(format!("label {key}={was} is gone")),
        (None, None) => None,
    };
    let texts: Vec<String> = keys.iter().filter_map(text).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Whom a peer means.
pub(super) fn peer_text(peer: &DistinctPeer) -> String {
    let selector = |selector: &LabelSelector| {
        if selector.is_everything() { String::new() } else { format!(" with {selector}") }
    };
    match peer {
        DistinctPeer::PodsIn(namespace, pods) => format!("pods{} in namespace {namespace}", selector(pods)),
        DistinctPeer::PodsAcross(across) if across.namespaces.is_everything() => {
            format!("pods{} in any namespace", selector(&across.pods))
        }
        DistinctPeer::PodsAcross(across) => {
            format!("pods{} in namespaces{}", selector(&across.pods), selector(&across.namespaces))
        }
        DistinctPeer::Block(block) => format!("addresses in {block}"),
        DistinctPeer::Nodes(nodes) => format!("nodes{}", selector(nodes)),
        DistinctPeer::Domain(domain) => format!("{domain} (--resolve tells its addresses)"),
    }
}
