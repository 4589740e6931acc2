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
//! before, and only there a plan looks.
//!
//! Pure: the plan is a list of operations, carried out elsewhere. [`Tables`] carries them out too, for the tests.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::abi::{Address, EndValue, EndpointWord, Op, PortMapKey, PortMapValue, Prefix, SLOTS};
use crate::image::{Image, ImageChanges};
use crate::mirror::{Tables, longest};
use rows::{Free, Rows};

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
    free: Free,
    /// Where the slot that is not in force says something else than the image planned last, so that the next plan must
    /// look there too; `None` where no image was planned yet.
    behind: Option<Rows>,
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
        let free = Free::new(tables.addresses.values().copied());
        Planner { tables, free, behind: None, unsettled: true }
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
        self.plan_rows(image, Rows::all(&self.tables, image))
    }

    /// The same, where the image is the one that was planned last but for these changes. It costs what they are.
    ///
    /// # Errors
    /// As above.
    pub fn follow(&mut self, image: &Image, changes: &ImageChanges) -> Result<Vec<Op>, PlanError> {
        match self.behind.clone() {
            Some(behind) => self.plan_rows(image, behind.and_written(changes)),
            None => self.plan(image),
        }
    }

    fn plan_rows(&mut self, image: &Image, rows: Rows) -> Result<Vec<Op>, PlanError> {
        self.check_clash(image, &rows)?;
        let mut ops = Vec::new();
        if self.unsettled {
            self.push(&mut ops, Op::Grace);
        }
        self.write_rules(image, &rows, &mut ops);
        let now = usize::from(self.tables.active == 1);
        if self.differs(image, &rows, now) {
            let next = 1 - now;
            self.write_ranges(image, &rows, now, next, &mut ops);
            self.write_cidrs(image, &rows, now, next, &mut ops);
            self.write_ends(image, &rows, now, next, &mut ops);
            self.push(&mut ops, Op::Activate { slot: u64::from(next == 1) });
            self.push(&mut ops, Op::Grace);
        }
        let before = ops.len();
        let mut freed = self.sweep(image, &rows, &mut ops);
        if ops.len() > before {
            // Elements are recycled at once; nobody may still be reading one when the next plan writes.
            self.push(&mut ops, Op::Grace);
        }
        if self.behind.is_none() {
            // Whoever wrote the tables may have died before writing an address's row, or after deleting it.
            let used: BTreeSet<u32> = self.tables.addresses.values().copied().collect();
            freed.extend(self.tables.ends.keys().filter(|index| !used.contains(index)));
        }
        for index in freed {
            self.free.give_back(index);
            if self.tables.ends.contains_key(&index) {
                self.push(&mut ops, Op::PutEnd { index, value: EndValue::default() });
            }
        }
        if self.unsettled && ops.len() == 1 {
            // Nothing but the wait, and nothing that it is for.
            ops.clear();
        } else {
            self.unsettled = false;
        }
        self.behind = Some(self.left_behind(image, rows));
        Ok(ops)
    }

    fn check_clash(&self, image: &Image, rows: &Rows) -> Result<(), PlanError> {
        for number in &rows.portmaps {
            let Some(wanted) = image.portmaps.get(number) else { continue };
            let wanted: BTreeMap<PortMapKey, PortMapValue> =
                wanted.iter().map(|row| (row.key(*number), row.value)).collect();
            // Rows may be missing where whoever wrote them died; one that says something else, or too much, is a clash.
            if self.tables.rows_of(*number).any(|(key, value)| wanted.get(&key) != Some(&value)) {
                return Err(PlanError::Clash { number: *number });
            }
        }
        for key in &rows.rules {
            if let (Some(wanted), Some(old)) = (image.rules.get(key), self.tables.rules.get(key))
                && wanted != old
            {
                return Err(PlanError::Clash { number: key.set });
            }
        }
        Ok(())
    }

    /// Whether packets would be judged otherwise under the image than under a slot.
    fn differs(&self, image: &Image, rows: &Rows, slot: usize) -> bool {
        rows.addresses.iter().any(|a| self.end_in(*a, slot) != wanted_end(image, *a))
            || rows.cidrs.iter().any(|p| cidr_in(&self.tables, *p, slot) != wanted_cidr(image, *p))
            || rows.ranges.iter().any(|p| range_in(&self.tables, *p, slot) != wanted_range(image, *p))
    }

    /// Of some rows those that the next plan must look at whatever changes.
    fn left_behind(&self, image: &Image, mut rows: Rows) -> Rows {
        fn agree<T: PartialEq>(slots: [T; SLOTS]) -> bool {
            let [one, other] = slots;
            one == other
        }
        let Tables { addresses, ends, cidrs, ranges, .. } = &self.tables;
        rows.addresses.retain(|address| match addresses.get(address) {
            Some(index) => {
                ends.get(index).is_some_and(|e| !agree(e.identity) || !agree(e.ingress) || !agree(e.egress))
            }
            // Where it makes no difference an address waits for the next switch.
            None => image.peers.contains_key(address),
        });
        let is_behind = |row: Option<bool>, is_wanted: bool| row.map_or(is_wanted, |agrees| !agrees);
        rows.cidrs.retain(|p| is_behind(cidrs.get(p).copied().map(agree), image.cidrs.contains_key(p)));
        rows.ranges.retain(|p| is_behind(ranges.get(p).copied().map(agree), image.ranges.contains_key(p)));
        rows.rules.clear();
        rows.portmaps.clear();
        rows
    }

    fn write_rules(&mut self, image: &Image, rows: &Rows, ops: &mut Vec<Op>) {
        for number in &rows.portmaps {
            for row in image.portmaps.get(number).into_iter().flat_map(|rows| rows.iter()) {
                let key = row.key(*number);
                if self.tables.portmaps.get(&key) != Some(&row.value) {
                    self.push(ops, Op::PutPortMap { key, value: row.value });
                }
            }
        }
        for key in &rows.rules {
            if let Some(portmap) = image.rules.get(key)
                && !self.tables.rules.contains_key(key)
            {
                self.push(ops, Op::PutRule { key: *key, portmap: *portmap });
            }
        }
    }

    fn write_ranges(&mut self, image: &Image, rows: &Rows, now: usize, next: usize, ops: &mut Vec<Op>) {
        // As with blocks.
        for prefix in rows.ranges.iter().rev().copied() {
            let flags = pair(now, range_in(&self.tables, prefix, now), next, wanted_range(image, prefix));
            if self.tables.ranges.get(&prefix) != Some(&flags) {
                self.push(ops, Op::PutRange { prefix, flags });
            }
        }
    }

    fn write_cidrs(&mut self, image: &Image, rows: &Rows, now: usize, next: usize, ops: &mut Vec<Op>) {
        // Each prefix carries, for either slot, what its addresses have there; so one that only one of the two worlds
        // has may come and go without a packet noticing, and what is found for `now` stays what it is meanwhile.
        for prefix in rows.cidrs.iter().rev().copied() {
            let identity = pair(now, cidr_in(&self.tables, prefix, now), next, wanted_cidr(image, prefix));
            if self.tables.cidrs.get(&prefix) != Some(&identity) {
                self.push(ops, Op::PutCidr { prefix, identity });
            }
        }
    }

    fn write_ends(&mut self, image: &Image, rows: &Rows, now: usize, next: usize, ops: &mut Vec<Op>) {
        for address in rows.addresses.iter().copied() {
            let (old, new) = (self.end_in(address, now), wanted_end(image, address));
            let value = EndValue {
                identity: pair(now, old.identity, next, new.identity),
                ingress: pair(now, old.ingress, next, new.ingress),
                egress: pair(now, old.egress, next, new.egress),
            };
            match self.tables.addresses.get(&address).copied() {
                Some(index) if self.tables.ends.get(&index).copied().unwrap_or_default() == value => {}
                Some(index) => self.push(ops, Op::PutEnd { index, value }),
                None if image.peers.contains_key(&address) => {
                    let index = self.free.take();
                    self.push(ops, Op::PutEnd { index, value });
                    self.push(ops, Op::PutAddress { address, index });
                }
                // It came and went while nothing was written.
                None => {}
            }
        }
    }

    /// Deletes what the image does not have. The indices that were in use for it.
    fn sweep(&mut self, image: &Image, rows: &Rows, ops: &mut Vec<Op>) -> BTreeSet<u32> {
        let mut freed = BTreeSet::new();
        for address in rows.addresses.iter().copied().filter(|a| !image.peers.contains_key(a)) {
            if let Some(index) = self.tables.addresses.get(&address) {
                freed.insert(*index);
                self.push(ops, Op::DeleteAddress { address });
            }
        }
        for key in rows.rules.iter().copied().filter(|k| !image.rules.contains_key(k)) {
            if self.tables.rules.contains_key(&key) {
                self.push(ops, Op::DeleteRule { key });
            }
        }
        for number in rows.portmaps.iter().filter(|n| !image.portmaps.contains_key(n)) {
            let keys: Vec<PortMapKey> = self.tables.rows_of(*number).map(|(key, _)| key).collect();
            keys.into_iter().for_each(|key| self.push(ops, Op::DeletePortMap { key }));
        }
        for prefix in rows.cidrs.iter().copied().filter(|p| !image.cidrs.contains_key(p)) {
            if self.tables.cidrs.contains_key(&prefix) {
                self.push(ops, Op::DeleteCidr { prefix });
            }
        }
        for prefix in rows.ranges.iter().copied().filter(|p| !image.ranges.contains_key(p)) {
            if self.tables.ranges.contains_key(&prefix) {
                self.push(ops, Op::DeleteRange { prefix });
            }
        }
        freed
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
