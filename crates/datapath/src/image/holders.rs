//! Who holds what: contents, each with a value of its own for as long as somebody holds it.
//!
//! Within an update contents may be let go and held again in any order; only at its end is settled what is new and what
//! is gone. So what merely changes hands is never made again.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Contents with a count of their holders, and a value of each once it is given one.
#[derive(Debug, Clone)]
pub(crate) struct Holders<K, V> {
    entries: FxHashMap<K, Entry<V>>,
    /// Those that came or may have gone since the last settling, in that order.
    pending: Vec<K>,
}

#[derive(Debug, Clone)]
struct Entry<V> {
    holders: u32,
    value: Option<V>,
    is_pending: bool,
}

/// What an update comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled<K, V> {
    /// Held, without a value so far.
    pub(crate) new: Vec<K>,
    /// Held no more, with the values that they had.
    pub(crate) gone: Vec<(K, V)>,
}

impl<K, V> Default for Holders<K, V> {
    fn default() -> Self {
        Holders { entries: FxHashMap::default(), pending: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, V: Copy> Holders<K, V> {
    /// One holder more.
    pub(crate) fn hold(&mut self, key: &K) {
        let entry = self.entry(key);
        entry.holders += 1;
    }

    /// One holder less.
    pub(crate) fn release(&mut self, key: &K) {
        let entry = self.entry(key);
        entry.holders = entry.holders.saturating_sub(1);
    }

    /// Gives a content its value, whether or not anybody holds it yet.
    pub(crate) fn set(&mut self, key: &K, value: V) {
        self.entry(key).value = Some(value);
    }

    /// The value of a content, if it has one.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.entries.get(key)?.value
    }

    /// All contents that have a value, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, V)> {
        self.entries.iter().filter_map(|(key, entry)| Some((key, entry.value?)))
    }

    /// How many contents there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Ends an update: forgets what nobody holds.
    pub(crate) fn settle(&mut self) -> Settled<K, V> {
        let mut settled = Settled { new: Vec::new(), gone: Vec::new() };
        for key in std::mem::take(&mut self.pending) {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.is_pending = false;
            match (entry.holders, entry.value) {
                (0, value) => {
                    self.entries.remove(&key);
                    settled.gone.extend(value.map(|value| (key, value)));
                }
                (_, None) => settled.new.push(key),
                (_, Some(_)) => {}
            }
        }
        settled
    }

    fn entry(&mut self, key: &K) -> &mut Entry<V> {
        let pending = &mut self.pending;
        let fresh = || Entry { holders: 0, value: None, is_pending: false };
        let entry = self.entries.entry(key.clone()).or_insert_with(fresh);
        if !std::mem::replace(&mut entry.is_pending, true) {
            pending.push(key.clone());
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::{Holders, Settled};

    #[test]
    fn what_changes_hands_stays() {
        let mut holders: Holders<char, u8> = Holders::default();
        holders.hold(&'a');
        holders.hold(&'b');
        assert_eq!(holders.settle(), Settled { new: vec!['a', 'b'], gone: vec![] });
        holders.set(&'a', 1);
        holders.set(&'b', 2);
        holders.release(&'a');
        holders.hold(&'a');
        holders.release(&'b');
        holders.hold(&'c');
        holders.release(&'c');
        assert_eq!(holders.settle(), Settled { new: vec![], gone: vec![('b', 2)] });
        assert_eq!((holders.get(&'a'), holders.get(&'b'), holders.len()), (Some(1), None, 1));
        holders.set(&'d', 4);
        assert_eq!(holders.settle(), Settled { new: vec![], gone: vec![('d', 4)] });
    }
}
