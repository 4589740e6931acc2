//! Port sets by number: thousands of pairs share a few, and what two of them have in common is found once.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::decide::Matching;
use crate::engine::{Engine, NamedId};
use crate::matchers::PeerId;
use crate::policies::SetId;
use crate::portmap::{Decision, PortMap};
use crate::portset::PortSet;
use crate::slots::number;

/// A port set's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PortSetId(u32);

impl PortSetId {
    /// Everything.
    pub(super) const ALL: PortSetId = PortSetId(0);
    /// Nothing.
    pub(super) const NONE: PortSetId = PortSetId(1);
    /// No number: not found out yet.
    pub(super) const UNKNOWN: PortSetId = PortSetId(u32::MAX);

    /// Its place in a list by number.
    pub(super) fn place(self) -> usize {
        self.0 as usize
    }
}

/// Port sets, each once.
#[derive(Debug, Clone)]
pub(super) struct PortSets {
    sets: Vec<Arc<PortSet>>,
    numbers: FxHashMap<Arc<PortSet>, PortSetId>,
    both: FxHashMap<(PortSetId, PortSetId), PortSetId>,
    either: FxHashMap<(PortSetId, PortSetId), PortSetId>,
}

impl PortSets {
    pub(super) fn new() -> PortSets {
        let mut sets = PortSets {
            sets: Vec::new(),
            numbers: FxHashMap::default(),
            both: FxHashMap::default(),
            either: FxHashMap::default(),
        };
        // In the order of their numbers.
        sets.number(PortSet::all());
        sets.number(PortMap::uniform(Decision::ISOLATED).allowed());
        sets
    }

    pub(super) fn get(&self, id: PortSetId) -> &PortSet {
        #[expect(clippy::indexing_slicing, reason = "numbers are given out by `number` alone, for this list")]
        &self.sets[id.place()]
    }

    pub(super) fn number(&mut self, set: PortSet) -> PortSetId {
        if let Some(known) = self.numbers.get(&set) {
            return *known;
        }
        let (id, set) = (PortSetId(number(self.sets.len())), Arc::new(set));
        self.sets.push(set.clone());
        self.numbers.insert(set, id);
        id
    }

    /// What is in both.
    pub(super) fn both(&mut self, one: PortSetId, other: PortSetId) -> PortSetId {
        match (one, other) {
            (PortSetId::NONE, _) | (_, PortSetId::NONE) => PortSetId::NONE,
            (PortSetId::ALL, only) | (only, PortSetId::ALL) => only,
            _ if one == other => one,
            _ => {
                let key = (one.min(other), one.max(other));
                if let Some(known) = self.both.get(&key) {
                    return *known;
                }
                let set = self.number(self.get(one).intersection(self.get(other)));
                self.both.insert(key, set);
                set
            }
        }
    }

    /// What is in one of them.
    pub(super) fn either(&mut self, one: PortSetId, other: PortSetId) -> PortSetId {
        match (one, other) {
            (PortSetId::ALL, _) | (_, PortSetId::ALL) => PortSetId::ALL,
            (PortSetId::NONE, only) | (only, PortSetId::NONE) => only,
            _ if one == other => one,
            _ => {
                let key = (one.min(other), one.max(other));
                if let Some(known) = self.either.get(&key) {
                    return *known;
                }
                let set = self.number(self.get(one).union(self.get(other)));
                self.either.insert(key, set);
                set
            }
        }
    }
}

/// Asks the engine, and paints the same rules only once.
pub(super) struct Asker<'e> {
    engine: &'e Engine,
    by_rules: FxHashMap<Matching, PortSetId>,
    pub(super) sets: PortSets,
}

impl<'e> Asker<'e> {
    pub(super) fn new(engine: &'e Engine) -> Asker<'e> {
        Asker { engine, by_rules: FxHashMap::default(), sets: PortSets::new() }
    }

    /// What may pass between the pods of a policy set and an end that these peers, of those that the set names, match, and
    /// that has these ports with a name.
    pub(super) fn met(&mut self, set: SetId, peers: &[PeerId], named: NamedId) -> PortSetId {
        self.of(self.engine.matching_peers(set, || peers.iter().copied(), named))
    }

    fn of(&mut self, rules: Matching) -> PortSetId {
        if let Some(known) = self.by_rules.get(&rules) {
            return *known;
        }
        let id = self.sets.number(self.engine.paint(&rules).allowed());
        self.by_rules.insert(rules, id);
        id
    }
}
