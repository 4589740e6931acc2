//! Which workloads share a box: those of a namespace that nothing shown tells apart.

use std::collections::BTreeMap;

use super::matrix::{Allowed, Matrix};
use super::{Island, Member, Unit};
use crate::map::{Map, Row};
use crate::ports::PortList;

/// A box, and the rows in it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) shown: Unit,
    pub(super) rows: Vec<usize>,
}

impl Found {
    /// The row that stands for all of them.
    pub(super) fn first(&self) -> usize {
        self.rows.first().copied().unwrap_or_default()
    }
}

/// The most names in one box.
const MAX_MEMBERS: usize = 8;

/// The boxes and their namespaces.
pub(super) fn find(map: &Map<'_>, matrix: &Matrix) -> (Vec<Island>, Vec<Found>) {
    let mut by_namespace: BTreeMap<&str, Vec<Vec<usize>>> = BTreeMap::new();
    for (row, shown) in map.rows.iter().enumerate() {
        let groups = by_namespace.entry(&shown.namespace).or_default();
        let known = groups.iter_mut().find(|group| {
            let first = group.first().and_then(|first| map.rows.get(*first));
            group.len() < MAX_MEMBERS
                && first.is_some_and(|first| looks_like(first, shown))
                && fits(matrix, group, row)
        });
        match known {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let (mut islands, mut units): (Vec<Island>, Vec<Found>) = (Vec::new(), Vec::new());
    for (namespace, groups) in by_namespace {
        let island = islands.len();
        let first = units.len();
        units.extend(groups.into_iter().map(|rows| unit(map, matrix, island, rows)));
        islands.push(Island { namespace: namespace.to_owned(), units: (first..units.len()).collect() });
    }
    (islands, units)
}

fn looks_like(one: &Row, other: &Row) -> bool {
    (one.ingress, one.egress, one.host_network) == (other.ingress, other.egress, other.host_network)
}

/// Whether a row shares everything with the rows of a group: the same from and to all others, and one thing among them.
fn fits(matrix: &Matrix, group: &[usize], row: usize) -> bool {
    let (Some(first), second) = (group.first().copied(), group.get(1).copied()) else { return true };
    let within = match second {
        Some(second) => matrix.at(first, second),
        None => matrix.at(first, row),
    };
    let among = group.iter().all(|m| matrix.at(*m, row) == within && matrix.at(row, *m) == within);
    among
        && matrix.arriving(first) == matrix.arriving(row)
        && matrix.leaving(first) == matrix.leaving(row)
        && (0..matrix.size()).filter(|other| *other != row && !group.contains(other)).all(|other| {
            matrix.at(first, other) == matrix.at(row, other)
                && matrix.at(other, first) == matrix.at(other, row)
        })
}

fn unit(map: &Map<'_>, matrix: &Matrix, island: usize, rows: Vec<usize>) -> Found {
    let shown: Vec<&Row> = rows.iter().filter_map(|row| map.rows.get(*row)).collect();
    let within = match rows.as_slice() {
        [first, second, ..] => matrix.at(*first, *second),
        _ => Allowed::NOTHING,
    };
    let first = shown.first();
    Found {
        shown: Unit {
            island,
            members: shown.iter().map(|r| Member::new(&r.reference, &r.workload.kind, r.pods)).collect(),
            ingress: first.map_or("open", |r| r.ingress),
            egress: first.map_or("open", |r| r.egress),
            host_network: first.is_some_and(|r| r.host_network),
            among: matrix.ports(within).map(|set| PortList::from(set).to_text()),
            among_denied: within == Allowed::DENIED,
            denied_from: Vec::new(),
        },
        rows,
    }
}
