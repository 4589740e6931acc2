//! Connections in bundles: first by destination, then those destinations together that the same sources reach.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_policy::{PortRange, PortSet, Protocol};

use super::matrix::{Allowed, Matrix};
use super::units::Found;
use super::{Island, Net, Spot};
use crate::ports::PortList;

/// What is told of a net beside its ends. Denials come after what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    is_denied: bool,
    label: String,
}

/// Destinations, and the sources of each.
type Reached = BTreeMap<Spot, BTreeSet<Spot>>;

/// All nets, in a fixed order.
pub(super) fn nets(matrix: &Matrix, islands: &[Island], units: &[Found]) -> Vec<Net> {
    let mut bundles: BTreeMap<(Told, Vec<Spot>), Reached> = BTreeMap::new();
    let destinations = (0..units.len()).map(Spot::Unit).chain([Spot::Outside]);
    for to in destinations {
        for (told, sources) in all_arriving(matrix, units, to) {
            let short = shortened(&sources, to, islands, units, 1);
            bundles.entry((told, short)).or_default().insert(to, sources);
        }
    }
    let nets = bundles.into_iter().map(|((told, short), reached)| {
        // One source that makes its namespace complete is better named itself, if nothing is gained otherwise.
        let from = match reached.iter().next() {
            Some((to, sources)) if reached.len() == 1 => shortened(sources, *to, islands, units, 2),
            _ => short,
        };
        let to = shortened_destinations(&reached.into_keys().collect(), &from, islands, units);
        Net { from, to, label: told.label, is_denied: told.is_denied }
    });
    nets.collect()
}

/// What arrives at a destination, and from where. Small sets of ports are taken apart where that makes them those of
/// more sources: the port for metrics is one net, whoever else may use the service's own port.
fn all_arriving(matrix: &Matrix, units: &[Found], to: Spot) -> Vec<(Told, BTreeSet<Spot>)> {
    let mut found: BTreeMap<Told, BTreeSet<Spot>> = BTreeMap::new();
    let mut small: Vec<(Spot, &PortSet)> = Vec::new();
    for (from, range, allowed) in flows(matrix, units, to) {
        match (matrix.ports(allowed), range) {
            (None, _) if allowed == Allowed::DENIED => {
                // Apart, so that what all of a namespace lacks is one line.
                let is_outside = from == Spot::Outside || to == Spot::Outside;
                let label = if is_outside { "denied outside" } else { "denied" };
                let told = Told { is_denied: true, label: label.to_owned() };
                found.entry(told).or_default().insert(from);
            }
            (None, _) => {}
            (Some(set), None) if is_small(set) => small.push((from, set)),
            (Some(set), range) => {
                let ports = PortList::from(set).to_text();
                let label = range.map_or(ports.clone(), |range| format!("{range}: {ports}"));
                found.entry(Told { is_denied: false, label }).or_default().insert(from);
            }
        }
    }
    for (sources, ports) in parts(&small) {
        let told = Told { is_denied: false, label: ports.to_text() };
        found.entry(told).or_default().extend(sources);
    }
    found.into_iter().collect()
}

/// From where something leads to a destination, with the outside range if only one is meant.
fn flows<'m>(
    matrix: &'m Matrix,
    units: &'m [Found],
    to: Spot,
) -> impl Iterator<Item = (Spot, Option<&'m str>, Allowed)> {
    let from_units = units.iter().enumerate().flat_map(move |(place, unit)| {
        let from = Spot::Unit(place);
        let flows: Vec<(Spot, Option<&str>, Allowed)> = match to {
            Spot::Unit(to) if to != place => units
                .get(to)
                .map(|to| (from, None, matrix.at(unit.first(), to.first())))
                .into_iter()
                .collect(),
            Spot::Outside => {
                let flows = matrix.leaving(unit.first()).iter();
                flows.map(|(range, allowed)| (from, range.as_deref(), *allowed)).collect()
            }
            _ => Vec::new(),
        };
        flows
    });
    let arriving: Vec<(Spot, Option<&str>, Allowed)> = match to {
        Spot::Unit(to) => {
            let flows = units.get(to).map_or(&[][..], |to| matrix.arriving(to.first()));
            flows.iter().map(|(range, allowed)| (Spot::Outside, range.as_deref(), *allowed)).collect()
        }
        _ => Vec::new(),
    };
    from_units.chain(arriving)
}

/// Whether a set is some single ports and ranges, not all of a protocol.
fn is_small(set: &PortSet) -> bool {
    !set.other() && Protocol::ALL.iter().all(|p| set.ranges(*p) != [PortRange::ALL])
}

/// Sets of ports in parts: which sources share which ports.
fn parts(sets: &[(Spot, &PortSet)]) -> BTreeMap<Vec<Spot>, PortList> {
    let mut parts: BTreeMap<Vec<Spot>, PortList> = BTreeMap::new();
    for protocol in Protocol::ALL {
        let ranges = || sets.iter().flat_map(|(_, set)| set.ranges(protocol));
        // Where some set begins, or has just ended.
        let mut cuts: BTreeSet<u32> = ranges().map(|r| u32::from(r.first())).collect();
        cuts.extend(ranges().map(|r| u32::from(r.last()) + 1));
        let nexts = cuts.iter().skip(1);
        for (first, next) in cuts.iter().zip(nexts) {
            let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(next - 1)) else { continue };
            let Some(range) = PortRange::new(first, last) else { continue };
            let has = |set: &PortSet| set.ranges(protocol).iter().any(|r| r.contains(first));
            let sources: Vec<Spot> = sets.iter().filter(|(_, set)| has(set)).map(|(from, _)| *from).collect();
            if !sources.is_empty() {
                parts.entry(sources).or_default().push(protocol, range);
            }
        }
    }
    parts
}

/// Sources with whole namespaces, or everything, as one, where at least `least` of them are sources. A destination counts
/// as its own source: what it may do with itself is not shown.
fn shortened(
    sources: &BTreeSet<Spot>,
    to: Spot,
    islands: &[Island],
    units: &[Found],
    least: usize,
) -> Vec<Spot> {
    let has = |unit: usize| sources.contains(&Spot::Unit(unit)) || to == Spot::Unit(unit);
    shorten(sources, islands, units, least, has)
}

/// Destinations with whole namespaces, or everything, as one.
fn shortened_destinations(
    to: &BTreeSet<Spot>,
    from: &[Spot],
    islands: &[Island],
    units: &[Found],
) -> Vec<Spot> {
    let has = |unit: usize| to.contains(&Spot::Unit(unit)) || from == [Spot::Unit(unit)];
    shorten(to, islands, units, 2, has)
}

/// Workloads on their node's network are no part of a whole: policies do not see them as pods, and so they mostly fare
/// otherwise. They are named themselves.
fn shorten(
    spots: &BTreeSet<Spot>,
    islands: &[Island],
    units: &[Found],
    least: usize,
    has: impl Fn(usize) -> bool,
) -> Vec<Spot> {
    let is_part = |unit: usize| units.get(unit).is_some_and(|unit| !unit.shown.host_network);
    let (in_units, mut short): (Vec<Spot>, Vec<Spot>) =
        spots.iter().partition(|spot| matches!(spot, Spot::Unit(unit) if is_part(*unit)));
    let parts = (0..units.len()).filter(|unit| is_part(*unit));
    if islands.len() > 1 && in_units.len() > least && parts.clone().all(&has) {
        short.push(Spot::Everything);
    } else {
        for (place, island) in islands.iter().enumerate() {
            let parts = || island.units.iter().copied().filter(|unit| is_part(*unit));
            let there = || parts().filter(|unit| spots.contains(&Spot::Unit(*unit)));
            if parts().count() > 1 && there().count() >= least && parts().all(&has) {
                short.push(Spot::Island(place));
            } else {
                short.extend(there().map(Spot::Unit));
            }
        }
    }
    short.sort_unstable();
    short
}
