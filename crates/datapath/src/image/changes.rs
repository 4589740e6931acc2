//! What an update has changed in an image: the rows, with what they were before.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::abi::{Address, Prefix, RuleKey};
use crate::image::{Endpoint, Image, PortRow, RuleName};

/// The rows of an image that were written since it was last brought into force. By table, and as in [`Image`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageChanges {
    pub(crate) endpoints: Written<Address, Endpoint>,
    pub(crate) peers: Written<Address, u64>,
    pub(crate) cidrs: Written<Prefix, u64>,
    pub(crate) rules: Written<RuleKey, u64>,
    pub(crate) portmaps: Written<u64, Arc<[PortRow]>>,
    pub(crate) rule_names: Written<u32, RuleName>,
}

/// The written rows of one table, each with what was there before the first time; `None`: no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written<K, V> {
    before: BTreeMap<K, Option<V>>,
}

impl<K, V> Default for Written<K, V> {
    fn default() -> Self {
        Written { before: BTreeMap::new() }
    }
}

impl<K: Copy + Ord, V: Eq> Written<K, V> {
    /// Writes a row, or takes it out.
    pub(crate) fn write(&mut self, rows: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
        if rows.get(&key) == value.as_ref() {
            return;
        }
        let before = match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
        self.before.entry(key).or_insert(before);
    }

    /// The rows that were written.
    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.before.keys().copied()
    }

    fn undo(self, rows: &mut BTreeMap<K, V>) {
        for (key, before) in self.before {
            match before {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
    }
}

impl ImageChanges {
    /// The rules that came, went, or are written elsewhere.
    pub(crate) fn rules_named(&self) -> impl Iterator<Item = u32> {
        self.rule_names.keys()
    }

    /// Makes an image what it was before.
    pub(crate) fn undo(self, image: &mut Image) {
        self.endpoints.undo(&mut image.endpoints);
        self.peers.undo(&mut image.peers);
        self.cidrs.undo(&mut image.cidrs);
        self.rules.undo(&mut image.rules);
        self.portmaps.undo(&mut image.portmaps);
        self.rule_names.undo(&mut image.rule_names);
    }
}
