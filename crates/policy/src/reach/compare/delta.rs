//! What changes between some routes and others: by port, with the cause.

use rustc_hash::FxHashMap;

use super::sides::{Route, Sides};
use super::{Cause, Part, SideShift};
use crate::model::{PortRange, Protocol, Traffic};
use crate::portset::PortSet;
use crate::slots::number;

/// The deltas that were asked for, each once.
#[derive(Debug)]
pub(super) struct Deltas {
    list: Vec<Vec<Part>>,
    by_parts: FxHashMap<Vec<Part>, u32>,
    by_routes: FxHashMap<(Vec<Route>, Vec<Route>), u32>,
    causes: Vec<Cause>,
    by_cause: FxHashMap<Cause, u32>,
}

/// What is found of one cause while ports are walked.
#[derive(Debug)]
struct Found {
    gained: bool,
    cause: u32,
    ranges: Vec<(Protocol, PortRange)>,
    other: bool,
}

impl Deltas {
    /// The delta without a part.
    pub(super) const NOTHING: u32 = 0;

    pub(super) fn new() -> Deltas {
        Deltas {
            list: vec![Vec::new()],
            by_parts: FxHashMap::from_iter([(Vec::new(), Deltas::NOTHING)]),
            by_routes: FxHashMap::default(),
            causes: Vec::new(),
            by_cause: FxHashMap::default(),
        }
    }

    pub(super) fn finish(self) -> (Vec<Vec<Part>>, Vec<Cause>) {
        (self.list, self.causes)
    }

    /// What changes between the routes of the old world and those of the new.
    pub(super) fn find(
        &mut self,
        before: &[Route],
        after: &[Route],
        old: &Sides<'_>,
        new: &Sides<'_>,
    ) -> u32 {
        let key = (before.to_vec(), after.to_vec());
        if let Some(known) = self.by_routes.get(&key) {
            return *known;
        }
        let mut found = Vec::new();
        for protocol in Protocol::ALL {
            let mut first = 0u16;
            for last in borders(protocol, before, old, after, new) {
                let range = PortRange::new(first, last);
                if let Some(found) = self.change(&mut found, Traffic::Port(protocol, last), &key, old, new) {
                    found.ranges.extend(range.map(|range| (protocol, range)));
                }
                first = last.saturating_add(1);
            }
        }
        if let Some(found) = self.change(&mut found, Traffic::Other, &key, old, new) {
            found.other = true;
        }
        let parts = found.into_iter().map(|found| Part {
            gained: found.gained,
            ports: PortSet::new(found.ranges, found.other),
            cause: found.cause,
        });
        let parts: Vec<Part> = parts.collect();
        let list = &mut self.list;
        let delta = *self.by_parts.entry(parts).or_insert_with_key(|parts| {
            list.push(parts.clone());
            number(list.len() - 1)
        });
        self.by_routes.insert(key, delta);
        delta
    }

    /// Where some traffic belongs, if it passes in one of the worlds only.
    fn change<'f>(
        &mut self,
        found: &'f mut Vec<Found>,
        traffic: Traffic,
        (before, after): &(Vec<Route>, Vec<Route>),
        old: &Sides<'_>,
        new: &Sides<'_>,
    ) -> Option<&'f mut Found> {
        let passes = |sides: &Sides<'_>, route: &&Route| {
            [route.egress, route.ingress].into_iter().all(|side| sides.map(side).decide(traffic).allow)
        };
        let was = before.iter().find(|route| passes(old, route));
        let is = after.iter().find(|route| passes(new, route));
        let same_family = |routes: &[Route], route: &Route| {
            routes.iter().find(|r| r.family == route.family).or(routes.first()).copied()
        };
        let (before, after) = match (was, is) {
            (None, Some(after)) => (same_family(before, after)?, *after),
            (Some(before), None) => (*before, same_family(after, before)?),
            _ => return None,
        };
        let gained = is.is_some();
        let side = |one: u32, other: u32| {
            let allow = |sides: &Sides<'_>, side: u32| sides.map(side).decide(traffic).allow;
            (allow(old, one) != allow(new, other))
                .then(|| SideShift { before: old.because(one, traffic), after: new.because(other, traffic) })
        };
        let cause =
            Cause { egress: side(before.egress, after.egress), ingress: side(before.ingress, after.ingress) };
        let causes = &mut self.causes;
        let cause = *self.by_cause.entry(cause).or_insert_with_key(|cause| {
            causes.push(cause.clone());
            number(causes.len() - 1)
        });
        let known = found.iter().position(|f| f.gained == gained && f.cause == cause);
        let place = known.unwrap_or(found.len());
        if known.is_none() {
            found.push(Found { gained, cause, ranges: Vec::new(), other: false });
        }
        found.get_mut(place)
    }
}

/// The last ports of the ranges in which every side says one thing.
fn borders(
    protocol: Protocol,
    before: &[Route],
    old: &Sides<'_>,
    after: &[Route],
    new: &Sides<'_>,
) -> Vec<u16> {
    let mut borders = Vec::new();
    for (routes, sides) in [(before, old), (after, new)] {
        for side in routes.iter().flat_map(|route| [route.egress, route.ingress]) {
            borders.extend(sides.map(side).spans(protocol).iter().map(|span| span.last));
        }
    }
    borders.sort_unstable();
    borders.dedup();
    borders
}
