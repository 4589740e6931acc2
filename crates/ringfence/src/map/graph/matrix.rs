//! What is allowed between each two of what is shown, in numbers that are equal where the same is allowed.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use ringfence_policy::{PortSet, ReachEnd};

use crate::map::Map;
use crate::ranges::{self, Range};

/// A set of ports that something shown may use; or that nothing may, where that is to be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::map) struct Allowed(u32);

impl Allowed {
    /// Nothing, or nothing that is shown.
    pub(in crate::map) const NOTHING: Allowed = Allowed(0);
    /// Denied, and to be drawn.
    pub(in crate::map) const DENIED: Allowed = Allowed(1);
}

/// What one end shares with outside: by range, named only where they fare differently.
pub(in crate::map) type Flows = Vec<(Option<String>, Allowed)>;

/// The connections between the rows of a map, by place of the rows.
#[derive(Debug)]
pub(in crate::map) struct Matrix {
    size: usize,
    cells: Vec<Allowed>,
    arriving: Vec<Flows>,
    leaving: Vec<Flows>,
    sets: Vec<Rc<PortSet>>,
}

/// The ranges of outside by what they may do with one end.
type ByPorts = BTreeMap<Allowed, Vec<Range>>;

impl Matrix {
    pub(in crate::map) fn new(map: &Map<'_>, with_denied: bool) -> Matrix {
        let size = map.rows.len();
        let mut row_of = vec![None; map.reach.ends.len()];
        for (row, shown) in map.rows.iter().enumerate() {
            if let Some(place) = row_of.get_mut(shown.place as usize) {
                *place = Some(row);
            }
        }
        let mut matrix = Matrix {
            size,
            cells: vec![Allowed::NOTHING; size * size],
            arriving: vec![Flows::new(); size],
            leaving: vec![Flows::new(); size],
            sets: Vec::new(),
        };
        let mut numbers: HashMap<Rc<PortSet>, Allowed> = HashMap::new();
        let mut outside: [Vec<ByPorts>; 2] = [vec![ByPorts::new(); size], vec![ByPorts::new(); size]];
        let [arriving, leaving] = &mut outside;
        for connection in map.connections() {
            let allowed = *numbers.entry(connection.allowed.clone()).or_insert_with(|| {
                matrix.sets.push(connection.allowed.clone());
                Allowed(u32::try_from(matrix.sets.len() + 1).unwrap_or(u32::MAX))
            });
            let row = |end: u32| row_of.get(end as usize).copied().flatten();
            let range = |end: u32| match map.reach.ends.get(end as usize) {
                Some(ReachEnd::Outside { first, last }) => Some((*first, *last)),
                _ => None,
            };
            match (row(connection.from), row(connection.to)) {
                (Some(from), Some(to)) => matrix.put(from, to, allowed),
                (None, Some(to)) => add(arriving, to, allowed, range(connection.from)),
                (Some(from), None) => add(leaving, from, allowed, range(connection.to)),
                (None, None) => {}
            }
        }
        let ranges = map.reach.ends.iter().filter(|e| matches!(e, ReachEnd::Outside { .. })).count();
        for (flows, found) in [(&mut matrix.arriving, arriving), (&mut matrix.leaving, leaving)] {
            for (flows, found) in flows.iter_mut().zip(found) {
                *flows = named(found, ranges);
            }
        }
        if with_denied {
            matrix.deny(map);
        }
        matrix
    }

    /// Notes what is denied: within a namespace, and where nothing may pass between an end and all of outside.
    fn deny(&mut self, map: &Map<'_>) {
        let outside: Vec<u32> = (0u32..)
            .zip(&map.reach.ends)
            .filter(|(_, end)| matches!(end, ReachEnd::Outside { .. }))
            .map(|(place, _)| place)
            .collect();
        for (from, source) in map.rows.iter().enumerate() {
            for (to, destination) in map.rows.iter().enumerate() {
                let is_pair = from != to
                    && source.namespace == destination.namespace
                    && source.workload != destination.workload;
                let is_shown = map.selection.has(map.reach, source.place, destination.place);
                if is_pair && is_shown && self.at(from, to) == Allowed::NOTHING {
                    self.put(from, to, Allowed::DENIED);
                }
            }
            let arrives = outside.iter().any(|out| map.selection.has(map.reach, *out, source.place));
            let leaves = outside.iter().any(|out| map.selection.has(map.reach, source.place, *out));
            for (flows, is_shown) in [(&mut self.arriving, arrives), (&mut self.leaving, leaves)] {
                if let Some(flows) = flows.get_mut(from).filter(|f| is_shown && f.is_empty()) {
                    flows.push((None, Allowed::DENIED));
                }
            }
        }
    }

    pub(in crate::map) fn size(&self) -> usize {
        self.size
    }

    /// What may pass from one row to another.
    pub(in crate::map) fn at(&self, from: usize, to: usize) -> Allowed {
        self.cells.get(from * self.size + to).copied().unwrap_or(Allowed::NOTHING)
    }

    /// What may come from outside.
    pub(in crate::map) fn arriving(&self, to: usize) -> &[(Option<String>, Allowed)] {
        self.arriving.get(to).map_or(&[], |flows| flows)
    }

    /// What may go outside.
    pub(in crate::map) fn leaving(&self, from: usize) -> &[(Option<String>, Allowed)] {
        self.leaving.get(from).map_or(&[], |flows| flows)
    }

    /// The ports; `None` where nothing may pass.
    pub(in crate::map) fn ports(&self, allowed: Allowed) -> Option<&PortSet> {
        let place = allowed.0.checked_sub(2)?;
        self.sets.get(place as usize).map(|set| &**set)
    }

    fn put(&mut self, from: usize, to: usize, allowed: Allowed) {
        if let Some(cell) = self.cells.get_mut(from * self.size + to) {
            *cell = allowed;
        }
    }
}

fn add(all: &mut [ByPorts], row: usize, allowed: Allowed, range: Option<Range>) {
    if let (Some(by_ports), Some(range)) = (all.get_mut(row), range) {
        by_ports.entry(allowed).or_default().push(range);
    }
}

/// What an end shares with outside. `ranges` is how many there are.
fn named(found: &ByPorts, ranges: usize) -> Flows {
    const SHOWN: usize = 2;
    let text = |of: &[Range]| {
        let joined = ranges::joined(of);
        let mut text: Vec<String> =
            joined.iter().take(SHOWN).map(|(first, last)| ranges::text(*first, *last)).collect();
        if joined.len() > SHOWN {
            text.push(format!("{} more ranges", joined.len() - SHOWN));
        }
        text.join(", ")
    };
    found.iter().map(|(allowed, of)| ((of.len() < ranges).then(|| text(of)), *allowed)).collect()
}
