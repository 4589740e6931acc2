//! All pairs that may connect, one after the other: a row is made, listed and forgotten.

use std::rc::Rc;

use crate::portset::PortSet;
use crate::reach::portsets::{PortSetId, PortSets};
use crate::reach::row::RowMaker;
use crate::reach::{Connection, Reach, ReachEnd};

/// The pairs of a map that may connect, by place of the source and then of the destination.
#[derive(Debug)]
pub struct Connections<'r> {
    reach: &'r Reach,
    sets: PortSets,
    /// By end with pods.
    wanted: Vec<bool>,
    /// All ends with pods, and rows to them.
    every: (Vec<u32>, RowMaker<'r>),
    /// Those that are wanted, and rows to them.
    only: (Vec<u32>, RowMaker<'r>),
    arrivals: Arrivals,
    /// The next source.
    next: u32,
    /// What is found of the source before the next, and how far it is listed.
    found: Vec<(u32, PortSetId)>,
    listed: usize,
    /// The port sets that have been listed, by number.
    shared: Vec<Option<Rc<PortSet>>>,
}

impl<'r> Connections<'r> {
    pub(super) fn new(reach: &'r Reach, wanted: impl Fn(&ReachEnd) -> bool) -> Connections<'r> {
        let every: Vec<u32> = (0..reach.pods.len()).collect();
        let wanted: Vec<bool> = reach.ends.iter().take(every.len()).map(wanted).collect();
        let only: Vec<u32> =
            every.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(end, _)| *end).collect();
        let rows_to = |ends: Vec<u32>| {
            let rows = RowMaker::new(reach, &ends);
            (ends, rows)
        };
        Connections {
            reach,
            sets: reach.sets.clone(),
            arrivals: Arrivals::new(reach, &wanted),
            wanted,
            every: rows_to(every),
            only: rows_to(only),
            next: 0,
            found: Vec::new(),
            listed: 0,
            shared: Vec::new(),
        }
    }

    /// Finds where the next source may connect to. Whether there is one.
    fn advance(&mut self) -> bool {
        self.found.clear();
        self.listed = 0;
        let Reach { pods, outside, .. } = self.reach;
        let from = self.next;
        match from.checked_sub(pods.len()) {
            None => self.depart(from),
            Some(range) if range < outside.len() => self.arrivals.arrive(self.reach, range, &mut self.found),
            Some(_) => return false,
        }
        self.next += 1;
        true
    }

    fn share(&mut self, ports: PortSetId) -> Rc<PortSet> {
        if let Some(Some(set)) = self.shared.get(ports.place()) {
            return set.clone();
        }
        let set = Rc::new(self.sets.get(ports).clone());
        if self.shared.len() <= ports.place() {
            self.shared.resize(ports.place() + 1, None);
        }
        if let Some(place) = self.shared.get_mut(ports.place()) {
            *place = Some(set.clone());
        }
        set
    }

    /// Finds where an end with pods may connect to.
    fn depart(&mut self, from: u32) {
        let Reach { pods, outside, sides, .. } = self.reach;
        let Some(end) = pods.get(from) else { return };
        let wanted = self.wanted.get(from as usize) == Some(&true);
        let (ends, rows) = if wanted { &mut self.every } else { &mut self.only };
        let row = rows.make(end.sender, &mut self.sets);
        let (first, last) = end.own;
        let open = ends.iter().zip(row).filter(|(_, ports)| **ports != PortSetId::NONE);
        let others = open.filter(|(to, _)| **to < first || last < **to);
        self.found.extend(others.map(|(to, ports)| (*to, *ports)));
        if wanted {
            for span in outside.open(sides, end.egress) {
                self.found.extend((span.first..=span.last).map(|range| (pods.len() + range, span.ports)));
            }
        }
    }
}

impl Iterator for Connections<'_> {
    type Item = Connection;

    fn next(&mut self) -> Option<Connection> {
        let (to, ports) = loop {
            if let Some(found) = self.found.get(self.listed) {
                break *found;
            }
            if !self.advance() {
                return None;
            }
        };
        self.listed += 1;
        let allowed = self.share(ports);
        Some(Connection { from: self.next - 1, to, allowed })
    }
}

/// What may arrive from outside at the ends that are wanted.
#[derive(Debug)]
struct Arrivals {
    /// By policy set, the ends that it isolates.
    ends_of: Vec<Vec<u32>>,
    /// By end, what may come from nobody in particular; changed while a range is looked at.
    ports: Vec<PortSetId>,
    /// A bit for each end that something may reach: mostly few are left.
    open: Vec<u64>,
}

impl Arrivals {
    fn new(reach: &Reach, wanted: &[bool]) -> Arrivals {
        let mut arrivals = Arrivals {
            ends_of: vec![Vec::new(); reach.sides.defaults().len()],
            ports: vec![PortSetId::NONE; wanted.len()],
            open: vec![0; wanted.len().div_ceil(64)],
        };
        for ((place, end), wanted) in (0u32..).zip(reach.pods.ends()).zip(wanted) {
            if !wanted {
                continue;
            }
            if let Some(ends) = arrivals.ends_of.get_mut(end.ingress as usize) {
                ends.push(place);
            }
            set(&mut arrivals.ports, &mut arrivals.open, place, reach.sides.default_of(end.ingress));
        }
        arrivals
    }

    /// Finds where an outside range may connect to. The ranges are asked for in their order, none left out.
    fn arrive(&mut self, reach: &Reach, range: u32, found: &mut Vec<(u32, PortSetId)>) {
        for (policy_set, ports) in reach.outside.changes(range) {
            for end in self.ends_of.get(*policy_set as usize).into_iter().flatten() {
                set(&mut self.ports, &mut self.open, *end, *ports);
            }
        }
        for (word, bits) in (0u32..).zip(&self.open) {
            let mut bits = *bits;
            while bits != 0 {
                let end = word * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                found.extend(self.ports.get(end as usize).map(|ports| (end, *ports)));
            }
        }
    }
}

fn set(all: &mut [PortSetId], open: &mut [u64], end: u32, ports: PortSetId) {
    if let (Some(place), Some(word)) = (all.get_mut(end as usize), open.get_mut(end as usize / 64)) {
        *place = ports;
        let bit = 1 << (end % 64);
        if ports == PortSetId::NONE { *word &= !bit } else { *word |= bit }
    }
}
