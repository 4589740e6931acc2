//! Numbered things that come and go: [`Slots`] numbers objects, [`Interner`] numbers contents and counts who holds them.
//!
//! A number that becomes free is given out again, so that nothing grows with time, but not before the next update: who
//! is told of an update can rely on each number meaning one thing before and after it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// A place in a list as a 32-bit number; no world holds four thousand million of anything.
pub(crate) fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Objects by number.
#[derive(Debug, Clone)]
pub(crate) struct Slots<T> {
    entries: Vec<Option<T>>,
    /// The lowest first, so that a cluster that shrinks and grows keeps its numbers dense.
    free: BinaryHeap<Reverse<u32>>,
    retired: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { entries: Vec::new(), free: BinaryHeap::new(), retired: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Numbers freed by earlier updates can be given out again.
    pub(crate) fn begin_update(&mut self) {
        self.free.extend(self.retired.drain(..).map(Reverse));
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(Reverse(id)) = self.free.pop()
            && let Some(entry) = self.entries.get_mut(id as usize)
        {
            *entry = Some(value);
            return id;
        }
        self.entries.push(Some(value));
        number(self.entries.len() - 1)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.entries.get_mut(id as usize)?.take()?;
        self.retired.push(id);
        Some(value)
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.entries.get_mut(id as usize)?.as_mut()
    }

    /// All that are there, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(&self.entries).filter_map(|(id, entry)| Some((id, entry.as_ref()?)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len() - self.retired.len()
    }
}

/// Contents by number, each once, with a count of those who hold it.
#[derive(Debug)]
pub(crate) struct Interner<T: ?Sized> {
    numbers: FxHashMap<Arc<T>, u32>,
    slots: Slots<Held<T>>,
}

#[derive(Debug)]
struct Held<T: ?Sized> {
    value: Arc<T>,
    holders: u32,
}

impl<T: ?Sized> Clone for Interner<T> {
    fn clone(&self) -> Self {
        Interner { numbers: self.numbers.clone(), slots: self.slots.clone() }
    }
}

impl<T: ?Sized> Clone for Held<T> {
    fn clone(&self) -> Self {
        Held { value: self.value.clone(), holders: self.holders }
    }
}

impl<T: ?Sized + Hash + Eq> Default for Interner<T> {
    fn default() -> Self {
        Interner { numbers: FxHashMap::default(), slots: Slots::default() }
    }
}

impl<T: ?Sized + Hash + Eq> Interner<T> {
    pub(crate) fn begin_update(&mut self) {
        self.slots.begin_update();
    }

    /// The number of a content, held once more, and whether it is new.
    pub(crate) fn hold(&mut self, value: &T, make: impl FnOnce(&T) -> Arc<T>) -> (u32, bool) {
        if let Some(id) = self.numbers.get(value).copied() {
            self.hold_again(id);
            return (id, false);
        }
        let value = make(value);
        let id = self.slots.insert(Held { value: value.clone(), holders: 1 });
        self.numbers.insert(value, id);
        (id, true)
    }

    /// One holder more for a number that is held.
    pub(crate) fn hold_again(&mut self, id: u32) {
        if let Some(held) = self.slots.get_mut(id) {
            held.holders += 1;
        }
    }

    /// One holder less; the content, if that was the last.
    pub(crate) fn release(&mut self, id: u32) -> Option<Arc<T>> {
        let held = self.slots.get_mut(id)?;
        held.holders = held.holders.saturating_sub(1);
        if held.holders > 0 {
            return None;
        }
        let held = self.slots.remove(id)?;
        self.numbers.remove(&*held.value);
        Some(held.value)
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.slots.get(id).map(|held| &*held.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().map(|(id, held)| (id, &*held.value))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_one_thing_during_an_update() {
        let mut slots = Slots::default();
        let (a, b) = (slots.insert('a'), slots.insert('b'));
        assert_eq!(slots.remove(a), Some('a'));
        assert_eq!(slots.insert('c'), 2, "not the number that was just freed");
        slots.begin_update();
        assert_eq!(slots.insert('d'), a);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(a, &'d'), (b, &'b'), (2, &'c')]);
        assert_eq!((slots.len(), slots.remove(9)), (3, None));
    }

    #[test]
    fn contents_go_with_their_last_holder() {
        let mut interner: Interner<[u8]> = Interner::default();
        let make = |value: &[u8]| Arc::from(value);
        let (one, new) = interner.hold(&[1], make);
        assert!(new);
        assert_eq!(interner.hold(&[1], make), (one, false));
        assert_eq!(interner.release(one), None);
        assert_eq!(interner.get(one), Some(&[1][..]));
        assert_eq!(interner.release(one).as_deref(), Some(&[1][..]));
        assert_eq!((interner.get(one), interner.len()), (None, 0));
        let (other, _) = interner.hold(&[2], make);
        assert_ne!(other, one);
    }
}
