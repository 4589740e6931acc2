//! The way from what the kernel holds to what an image says, such that no packet ever meets a half-written policy.
//!
//! Everything that a packet is judged by is kept in two *slots*, and one word says which slot is in force. A plan
//! writes port maps and rules (their numbers are given by content, so new content never takes the place of old), then
//! the slot that is not in force, and then activates it: one store, before which every packet is judged by the old
//! world and after which every packet is judged by the new one. Whoever dies half-way leaves the one or the other.
//! After a grace period, in which the last packet that read the old slot has gone, what nothing leads to any more is
//! deleted.
//!
//! An update costs what it changes: the slot that is written next differs from the image by this update and the one
//! before.
//!
//! Pure: the plan is a list of operations, carried out elsewhere. [`Tables`] carries them out too, for the tests.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::abi::{Address, EndValue, EndpointWord, Op, PortMapKey, PortMapValue, Prefix, SLOTS};
use crate::image::Image;
use crate::mirror::{Tables, longest};

/// Why there is no plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// The old and the new tables use one number for different content. Another
    /// [`salt`](crate::image::NodeView::salt) gives a new image without the clash.
    #[error("two different contents of the tables share the number {number:#x}")]
    Clash {
        /// The number.
        number: u64,
    },
}

/// Knows what the kernel holds, and plans what to change.
#[derive(Debug, Clone, Default)]
pub struct Planner {
    tables: Tables,
    /// Packets may still be reading what nothing leads to: whoever wrote the tables may have ended before the wait.
    unsettled: bool,
}

impl Planner {
    /// For empty tables.
    pub fn new() -> Planner {
        Planner::default()
    }

    /// For tables that were read back, as whoever wrote them left them.
    pub fn from_tables(tables: Tables) -> Planner {
        Planner { tables, unsettled: true }
    }

    /// What the kernel holds, if all plans so far were carried out.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The operations that bring the kernel to an image. The planner takes them as carried out.
    ///
    /// # Errors
    /// When a number stands for different content before and after; nothing is changed then.
    pub fn plan(&mut self, image: &Image) -> Result<Vec<Op>, PlanError> {
        self.check_clash(image)?;
        let mut ops = Vec::new();
        if self.unsettled {
            self.push(&mut ops, Op::Grace);
        }
        self.write_rules(image, &mut ops);
        let now = usize::from(self.tables.active == 1);
        if self.differs(image, now) {
            let next = 1 - now;
            self.write_ranges(image, now, next, &mut ops);
            self.write_cidrs(image, now, next, &mut ops);
            self.write_ends(image, now, next, &mut ops);
            self.push(&mut ops, Op::Activate { slot: u64::from(next == 1) });
            self.push(&mut ops, Op::Grace);
        }
        let before = ops.len();
        self.sweep(image, &mut ops);
        if ops.len() > before {
            // Elements are recycled at once; nobody may still be reading one when the next plan writes.
            self.push(&mut ops, Op::Grace);
        }
        let used: BTreeSet<u32> = self.tables.addresses.values().copied().collect();
        let freed: Vec<u32> = self.tables.ends.keys().filter(|i| !used.contains(i)).copied().collect();
        for index in freed {
            self.push(&mut ops, Op::PutEnd { index, value: EndValue::default() });
        }
        if self.unsettled && ops.len() == 1 {
            // Nothing but the wait, and nothing that it is for.
            ops.clear();
        } else {
            self.unsettled = false;
        }
        Ok(ops)
    }

    fn check_clash(&self, image: &Image) -> Result<(), PlanError> {
        let wanted = portmap_rows(image);
        for (key, value) in &self.tables.portmaps {
            // Rows may be missing where whoever wrote them died; one that says something else, or too much, is a clash.
            if image.portmaps.contains_key(&key.portmap()) && wanted.get(key) != Some(value) {
                return Err(PlanError::Clash { number: key.portmap() });
            }
        }
        for (key, portmap) in &image.rules {
            if self.tables.rules.get(key).is_some_and(|old| old != portmap) {
                return Err(PlanError::Clash { number: key.set });
            }
        }
        Ok(())
    }

    /// Whether packets would be judged otherwise under the image than under a slot.
    fn differs(&self, image: &Image, slot: usize) -> bool {
        let addresses = self.tables.addresses.keys().chain(image.peers.keys());
        let cidrs = self.tables.cidrs.keys().chain(image.cidrs.keys());
        let ranges = self.tables.ranges.keys().chain(image.ranges.keys());
        addresses.into_iter().any(|a| self.end_in(*a, slot) != wanted_end(image, *a))
            || cidrs.into_iter().any(|p| cidr_in(&self.tables, *p, slot) != wanted_cidr(image, *p))
            || ranges.into_iter().any(|p| range_in(&self.tables, *p, slot) != wanted_range(image, *p))
    }

    fn write_rules(&mut self, image: &Image, ops: &mut Vec<Op>) {
        for (number, rows) in &image.portmaps {
            for row in rows {
                let key = row.key(*number);
                if self.tables.portmaps.get(&key) != Some(&row.value) {
                    self.push(ops, Op::PutPortMap { key, value: row.value });
                }
            }
        }
        for (key, portmap) in &image.rules {
            if !self.tables.rules.contains_key(key) {
                self.push(ops, Op::PutRule { key: *key, portmap: *portmap });
            }
        }
    }

    fn write_ranges(&mut self, image: &Image, now: usize, next: usize, ops: &mut Vec<Op>) {
        let old = self.tables.clone_lpm();
        let prefixes: BTreeSet<Prefix> = old.ranges.keys().chain(image.ranges.keys()).copied().collect();
        for prefix in prefixes.into_iter().rev() {
            let flags = pair(now, range_in(&old, prefix, now), next, wanted_range(image, prefix));
            if self.tables.ranges.get(&prefix) != Some(&flags) {
                self.push(ops, Op::PutRange { prefix, flags });
            }
        }
    }

    fn write_cidrs(&mut self, image: &Image, now: usize, next: usize, ops: &mut Vec<Op>) {
        // Each prefix carries, for either slot, what its addresses have there; so one that only one of the two worlds
        // has may come and go without a packet noticing.
        let old = self.tables.clone_lpm();
        let prefixes: BTreeSet<Prefix> = old.cidrs.keys().chain(image.cidrs.keys()).copied().collect();
        for prefix in prefixes.into_iter().rev() {
            let identity = pair(now, cidr_in(&old, prefix, now), next, wanted_cidr(image, prefix));
            if self.tables.cidrs.get(&prefix) != Some(&identity) {
                self.push(ops, Op::PutCidr { prefix, identity });
            }
        }
    }

    fn write_ends(&mut self, image: &Image, now: usize, next: usize, ops: &mut Vec<Op>) {
        let mut free = Free::new(self.tables.addresses.values().copied());
        let addresses: BTreeSet<Address> =
            self.tables.addresses.keys().chain(image.peers.keys()).copied().collect();
        for address in addresses {
            let (old, new) = (self.end_in(address, now), wanted_end(image, address));
            let value = EndValue {
                identity: pair(now, old.identity, next, new.identity),
                ingress: pair(now, old.ingress, next, new.ingress),
                egress: pair(now, old.egress, next, new.egress),
            };
            match self.tables.addresses.get(&address).copied() {
                Some(index) if self.tables.ends.get(&index).copied().unwrap_or_default() == value => {}
                Some(index) => self.push(ops, Op::PutEnd { index, value }),
                None => {
                    let index = free.take();
                    self.push(ops, Op::PutEnd { index, value });
                    self.push(ops, Op::PutAddress { address, index });
                }
            }
        }
    }

    /// Deletes what the image does not have.
    fn sweep(&mut self, image: &Image, ops: &mut Vec<Op>) {
        fn gone<'a, K: Ord + Copy + 'a>(
            keys: impl Iterator<Item = &'a K>,
            keep: impl Fn(&K) -> bool,
        ) -> Vec<K> {
            keys.filter(|k| !keep(k)).copied().collect()
        }
        for address in gone(self.tables.addresses.keys(), |a| image.peers.contains_key(a)) {
            self.push(ops, Op::DeleteAddress { address });
        }
        for key in gone(self.tables.rules.keys(), |k| image.rules.contains_key(k)) {
            self.push(ops, Op::DeleteRule { key });
        }
        let rows = portmap_rows(image);
        for key in gone(self.tables.portmaps.keys(), |k| rows.contains_key(k)) {
            self.push(ops, Op::DeletePortMap { key });
        }
        for prefix in gone(self.tables.cidrs.keys(), |p| image.cidrs.contains_key(p)) {
            self.push(ops, Op::DeleteCidr { prefix });
        }
        for prefix in gone(self.tables.ranges.keys(), |p| image.ranges.contains_key(p)) {
            self.push(ops, Op::DeleteRange { prefix });
        }
    }

    /// What holds for an address in a slot, whether it is known or only inside a block.
    fn end_in(&self, address: Address, slot: usize) -> End {
        let value = self.tables.addresses.get(&address).and_then(|index| self.tables.ends.get(index));
        let word = |words: [EndpointWord; SLOTS]| words.get(slot).copied().unwrap_or_default();
        End {
            identity: self.tables.identity(address, slot),
            ingress: value.map_or(EndpointWord::ABSENT, |v| word(v.ingress)),
            egress: value.map_or(EndpointWord::ABSENT, |v| word(v.egress)),
        }
    }

    fn push(&mut self, ops: &mut Vec<Op>, op: Op) {
        self.tables.apply(&op);
        ops.push(op);
    }
}

/// What holds for an address in one world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    identity: u64,
    ingress: EndpointWord,
    egress: EndpointWord,
}

fn wanted_end(image: &Image, address: Address) -> End {
    let known = image.peers.get(&address).or_else(|| longest(&image.cidrs, address));
    let word = |set: Option<u64>| set.map_or(EndpointWord::OPEN, EndpointWord::isolated);
    let local = image.endpoints.get(&address);
    End {
        identity: known.copied().unwrap_or_default(),
        ingress: local.map_or(EndpointWord::ABSENT, |e| word(e.ingress)),
        egress: local.map_or(EndpointWord::ABSENT, |e| word(e.egress)),
    }
}

fn cidr_in(tables: &Tables, prefix: Prefix, slot: usize) -> u64 {
    longest_within(&tables.cidrs, prefix)
        .and_then(|identities| identities.get(slot))
        .copied()
        .unwrap_or_default()
}

fn wanted_cidr(image: &Image, prefix: Prefix) -> u64 {
    longest_within(&image.cidrs, prefix).copied().unwrap_or_default()
}

fn range_in(tables: &Tables, prefix: Prefix, slot: usize) -> u32 {
    longest_within(&tables.ranges, prefix).and_then(|flags| flags.get(slot)).copied().unwrap_or_default()
}

fn wanted_range(image: &Image, prefix: Prefix) -> u32 {
    longest_within(&image.ranges, prefix).copied().unwrap_or_default()
}

fn pair<T: Copy + Default>(now: usize, old: T, next: usize, new: T) -> [T; SLOTS] {
    let mut pair = [T::default(); SLOTS];
    for (slot, value) in [(now, old), (next, new)] {
        if let Some(place) = pair.get_mut(slot) {
            *place = value;
        }
    }
    pair
}

/// The value of the longest prefix that holds all of a prefix.
fn longest_within<T>(table: &BTreeMap<Prefix, T>, prefix: Prefix) -> Option<&T> {
    let holding = (0..=prefix.bits()).rev().map(|bits| Prefix::around(prefix.first(), bits));
    holding.into_iter().find_map(|p| table.get(&p))
}

fn portmap_rows(image: &Image) -> BTreeMap<PortMapKey, PortMapValue> {
    let rows =
        image.portmaps.iter().flat_map(|(number, rows)| rows.iter().map(|r| (r.key(*number), r.value)));
    rows.collect()
}

/// Gives out indices that are not in use, the lowest first.
struct Free {
    used: BTreeSet<u32>,
    next: u32,
}

impl Free {
    fn new(used: impl Iterator<Item = u32>) -> Free {
        Free { used: used.collect(), next: 1 }
    }

    fn take(&mut self) -> u32 {
        while self.used.contains(&self.next) {
            self.next += 1;
        }
        let index = self.next;
        self.next += 1;
        index
    }
}
