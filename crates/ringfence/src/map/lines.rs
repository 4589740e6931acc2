//! The connections as lines for people: all outside ranges are one end where every one of them fares alike.

use std::rc::Rc;

use ringfence_policy::{Connection, PortSet, ReachEnd};

use super::Map;

/// The connections, with all outside ranges as one end where the same is allowed for every one of them.
pub(super) struct Merged<'m, 'r> {
    map: &'m Map<'r>,
    /// The place of the first outside range.
    outside: u32,
    /// By end: whether it may be reached from all outside alike, and may reach all of it alike.
    alike: Vec<(bool, bool)>,
}

impl<'m, 'r> Merged<'m, 'r> {
    pub(super) fn new(map: &'m Map<'r>) -> Merged<'m, 'r> {
        let reach = map.reach;
        // Where single ranges are asked for, they are shown as they are.
        let whole = !map.selection.splits_outside();
        let alike: Vec<(bool, bool)> = (0u32..)
            .zip(&reach.ends)
            .take_while(|(_, end)| matches!(end, ReachEnd::Pods { .. }))
            .map(|(place, _)| {
                (whole && reach.is_open_to_all_outside(place), whole && reach.may_reach_all_outside(place))
            })
            .collect();
        Merged { map, outside: u32::try_from(alike.len()).unwrap_or(u32::MAX), alike }
    }

    /// The lines: places among the references, and one more for all of outside.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, usize, Rc<PortSet>)> {
        let external = self.map.references.len();
        let alike = |end: u32| self.alike.get(end as usize).copied().unwrap_or_default();
        self.map.connections().filter_map(move |Connection { from, to, allowed }| {
            // All of outside is where the first of its ranges would be.
            let (source, destination) = match (from >= self.outside, to >= self.outside) {
                (true, _) if alike(to).0 => ((from == self.outside).then_some(external)?, to as usize),
                (_, true) if alike(from).1 => (from as usize, (to == self.outside).then_some(external)?),
                _ => (from as usize, to as usize),
            };
            Some((source, destination, allowed))
        })
    }
}
