//! What can be reached step by step: the blast radius. Whether a step may be made is what [`Reach`] says.
//!
//! A step is a connection on any port. Outside can be reached, but no step goes on from there, unless it is the start.

mod own;

use ringfence_policy::{PortSet, ReachEnd};
use serde_json::{Value, json};

use self::own::Own;
use super::Map;
use super::listing::Listing;
use super::selection::Ends;
use crate::ports::PortList;
use crate::ranges;
use crate::reference::Reference;

/// How an end is reached first.
#[derive(Debug, Clone)]
struct Found {
    hops: u32,
    /// The end before it.
    before: u32,
    allowed: PortSet,
}

/// Everything that can be reached from some ends, in at most so many steps.
pub(super) fn listing(map: &Map<'_>, start: &Ends, start_name: &str, most: Option<u32>) -> Listing {
    let found = search(map, start, most);
    let mut order: Vec<(u32, u32)> =
        (0u32..).zip(&found).filter_map(|(end, f)| Some((f.as_ref()?.hops, end))).collect();
    order.sort_unstable();
    let ends = shown(map, &order, &found);
    let rows: Vec<Vec<String>> = ends
        .iter()
        .map(|end| {
            let via: Vec<String> = end.via.iter().map(Reference::text).collect();
            vec![end.hops.to_string(), end.text.clone(), end.ports.to_text(), via.join(" > ")]
        })
        .collect();
    let workloads = order.iter().filter(|(_, end)| !is_outside(map, *end)).count();
    let others = (0u32..)
        .zip(&map.reach.ends)
        .filter(|(place, end)| matches!(end, ReachEnd::Pods { .. }) && !start.has(*place));
    let furthest = order.last().map_or(0, |(hops, _)| *hops);
    let bound = most.map_or(String::new(), |most| format!(" within {most}"));
    let summary = format!(
        "{workloads} of {} others can be reached from {start_name}{bound}, the furthest in {furthest} {}.",
        others.count(),
        if furthest == 1 { "hop" } else { "hops" },
    );
    let json = json!({
        "version": 1,
        "from": start.places().map(|place| reference(map, place).to_json()).collect::<Vec<Value>>(),
        "maxHops": most,
        "reachable": ends.iter().map(Shown::json).collect::<Vec<Value>>(),
    });
    Listing { headings: vec!["HOPS", "REACHED", "PORTS", "VIA"], rows, summary, json }
}

/// By end, how it is reached. The ends of one step are looked at in their order, so that the path is always the same.
fn search(map: &Map<'_>, start: &Ends, most: Option<u32>) -> Vec<Option<Found>> {
    let rows = map.reach.rows();
    let own = Own::new(map);
    let mut found: Vec<Option<Found>> = vec![None; map.reach.ends.len()];
    let mut edge: Vec<u32> = start.places().collect();
    let mut left: Vec<u32> = (0u32..).zip(&map.reach.ends).map(|(place, _)| place).collect();
    left.retain(|place| !start.has(*place));
    let mut hops = 0;
    while !edge.is_empty() && most.is_none_or(|most| hops < most) {
        hops += 1;
        let mut next = Vec::new();
        left.retain(|to| {
            let step = |from: &u32| {
                let allowed = rows.allowed(*from, *to).or_else(|| own.allowed(*from, *to))?;
                Some(Found { hops, before: *from, allowed: allowed.clone() })
            };
            let Some(step) = edge.iter().find_map(step) else { return true };
            if let Some(found) = found.get_mut(*to as usize) {
                *found = Some(step);
            }
            if !is_outside(map, *to) {
                next.push(*to);
            }
            false
        });
        edge = next;
    }
    found
}

/// A line of the answer.
#[derive(Debug)]
struct Shown {
    hops: u32,
    text: String,
    to: Value,
    via: Vec<Reference>,
    ports: PortList,
}

impl Shown {
    fn json(&self) -> Value {
        let via: Vec<Value> = self.via.iter().map(Reference::to_json).collect();
        json!({"to": self.to, "hops": self.hops, "via": via, "allowed": self.ports.to_json()})
    }
}

/// The lines. Outside ranges that are reached in the same way are joined.
fn shown(map: &Map<'_>, order: &[(u32, u32)], found: &[Option<Found>]) -> Vec<Shown> {
    let mut lines = Vec::new();
    let mut outside: Vec<(&Found, Vec<ranges::Range>)> = Vec::new();
    let get = |end: u32| found.get(end as usize).and_then(Option::as_ref);
    for (hops, end) in order {
        let Some(of) = get(*end) else { continue };
        if let Some(ReachEnd::Outside { first, last }) = map.reach.ends.get(*end as usize) {
            let same = |(f, _): &&mut (&Found, Vec<ranges::Range>)| {
                (f.hops, f.before, &f.allowed) == (of.hops, of.before, &of.allowed)
            };
            match outside.iter_mut().find(same) {
                Some((_, ranges)) => ranges.push((*first, *last)),
                None => outside.push((of, vec![(*first, *last)])),
            }
            continue;
        }
        let to = reference(map, *end);
        lines.push(Shown {
            hops: *hops,
            text: to.text(),
            to: to.to_json(),
            via: via(map, of, found),
            ports: PortList::from(&of.allowed),
        });
    }
    let all = map.reach.ends.iter().filter(|end| matches!(end, ReachEnd::Outside { .. })).count();
    for (of, ranges) in outside {
        let whole = ranges.len() == all;
        let joined = ranges::joined(&ranges).into_iter().map(|(a, b)| Reference::Outside(a, b));
        let references: Vec<Reference> = if whole { vec![Reference::External] } else { joined.collect() };
        lines.extend(references.into_iter().map(|to| Shown {
            hops: of.hops,
            text: to.text(),
            to: to.to_json(),
            via: via(map, of, found),
            ports: PortList::from(&of.allowed),
        }));
    }
    // By hops; among themselves as they are.
    lines.sort_by_key(|line| line.hops);
    lines
}

/// The ends on the way, the start first.
fn via(map: &Map<'_>, of: &Found, found: &[Option<Found>]) -> Vec<Reference> {
    let before = |end: &u32| found.get(*end as usize).and_then(Option::as_ref).map(|f| f.before);
    let mut path: Vec<Reference> =
        std::iter::successors(Some(of.before), before).map(|end| reference(map, end)).collect();
    path.reverse();
    path
}

fn reference(map: &Map<'_>, end: u32) -> Reference {
    map.references.get(end as usize).cloned().unwrap_or(Reference::External)
}

fn is_outside(map: &Map<'_>, end: u32) -> bool {
    matches!(map.reach.ends.get(end as usize), Some(ReachEnd::Outside { .. }))
}
