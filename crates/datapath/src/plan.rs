//! The way from what the kernel holds to what an image says, such that no packet ever meets a half-written policy.
//!
//! New port maps and rules are written first: nothing leads to them yet. Then come identities, then the endpoints are
//! switched, each direction by one store of 8 bytes. After a grace period, in which the last packet that saw the old
//! state has gone, what nothing leads to any more is deleted.
//!
//! Identities are what several policy sets share, so they are kept twice, in two *slots*. Where policy sets and
//! identities change together, the new identities go into the slot that no endpoint reads, and the word that switches
//! an endpoint's policy set switches its slot too: an endpoint sees the old sets with the old identities, or the new
//! with the new. Where only one of the two changes, no switch of slots is needed: numbers are given by content, so a
//! set's number already fixes what it says to every identity.
//!
//! Pure: the plan is a list of operations, carried out elsewhere. [`Tables`] carries them out too, for the tests.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::abi::{Address, AddressValue, EndpointValue, EndpointWord, Op, PortMapKey, PortMapValue, Prefix, RANGE_PODS};
use crate::image::Image;
use crate::tables::{Tables, longest};

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

/// The policy set that denies everything; no content is ever given this number by chance (see [`Planner::recover`]).
const DENY_ALL: u64 = 4;

/// Knows what the kernel holds, and plans what to change.
#[derive(Debug, Clone, Default)]
pub struct Planner {
    tables: Tables,
}

impl Planner {
    /// For empty tables.
    pub fn new() -> Planner {
        Planner::default()
    }

    /// For tables that were read back, as whoever wrote them left them.
    pub fn from_tables(tables: Tables) -> Planner {
        Planner { tables }
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
        self.recover(&mut ops);
        self.write_rules(image, &mut ops);
        self.switch(image, &mut ops);
        ops.push(Op::Grace);
        let before = ops.len();
        self.sweep(image, &mut ops);
        if ops.len() > before {
            // Elements are recycled at once; nobody may still be reading one when the next plan writes.
            ops.push(Op::Grace);
        } else if before == 1 {
            ops.clear();
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

    /// Where whoever wrote the tables died between two endpoints, both slots are in use and none is free for new
    /// identities. The endpoints that still read the older slot are then closed until the plan is through: what they
    /// denied stays denied.
    fn recover(&mut self, ops: &mut Vec<Op>) {
        let words = |v: &EndpointValue| [v.ingress, v.egress];
        let isolated = self.tables.endpoints.values().flat_map(words).filter(|w| w.is_isolated());
        let slots: BTreeSet<usize> = isolated.map(|w| w.slot()).collect();
        if slots.len() < 2 {
            return;
        }
        let everything = PortMapKey::everything(DENY_ALL);
        let key = crate::abi::RuleKey { set: DENY_ALL, identity: crate::abi::IDENTITY_UNMATCHED };
        self.push(ops, Op::PutPortMap { key: everything, value: PortMapValue::deny(0) });
        self.push(ops, Op::PutRule { key, portmap: DENY_ALL });
        let closed = |w: EndpointWord| {
            if w.is_isolated() && w.slot() == 0 { EndpointWord::isolated(DENY_ALL, 1) } else { w }
        };
        for (index, value) in self.tables.endpoints.clone() {
            let word = EndpointValue { ingress: closed(value.ingress), egress: closed(value.egress) };
            if word != value {
                self.push(ops, Op::PutEndpoint { index, word });
            }
        }
        self.push(ops, Op::Grace);
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

    fn switch(&mut self, image: &Image, ops: &mut Vec<Op>) {
        let now = self.slot();
        let next = if self.sets_change(image) && self.identities_change(image, now) { 1 - now } else { now };
        let fill = |old: u64, new: u64| {
            let mut pair = [new; 2];
            if next != now
                && let Some(slot) = pair.get_mut(now)
            {
                *slot = old;
            }
            pair
        };

        for (prefix, flags) in &image.ranges {
            if self.tables.ranges.get(prefix) != Some(flags) {
                self.push(ops, Op::PutRange { prefix: *prefix, flags: *flags });
            }
        }
        self.write_cidrs(image, now, next, &fill, ops);
        self.write_addresses(image, now, next, &fill, ops);

        for (address, value) in self.tables.addresses.clone() {
            let Some(endpoint) = image.endpoints.get(&address) else { continue };
            let word = endpoint_word(endpoint.ingress, endpoint.egress, next);
            if self.tables.endpoints.get(&value.endpoint) != Some(&word) {
                self.push(ops, Op::PutEndpoint { index: value.endpoint, word });
            }
        }
    }

    fn write_cidrs(
        &mut self,
        image: &Image,
        now: usize,
        next: usize,
        fill: &impl Fn(u64, u64) -> [u64; 2],
        ops: &mut Vec<Op>,
    ) {
        // Each prefix carries, for either slot, what its addresses have there; longer ones come first, so that no address
        // is found for a moment by a shorter one.
        let prefixes: BTreeSet<Prefix> = self.tables.cidrs.keys().chain(image.cidrs.keys()).copied().collect();
        let old = self.tables.cidrs.clone();
        for prefix in prefixes.into_iter().rev() {
            let before = longest_within(&old, prefix).and_then(|pair| pair.get(now)).copied().unwrap_or_default();
            let after = longest_within(&image.cidrs, prefix).copied().unwrap_or_default();
            let identity = fill(before, after);
            let known = self.tables.cidrs.get(&prefix);
            let right = |pair: &[u64; 2]| pair.get(next) == identity.get(next) && pair.get(now) == identity.get(now);
            if !known.is_some_and(right) {
                self.push(ops, Op::PutCidr { prefix, identity });
            }
        }
    }

    fn write_addresses(
        &mut self,
        image: &Image,
        now: usize,
        next: usize,
        fill: &impl Fn(u64, u64) -> [u64; 2],
        ops: &mut Vec<Op>,
    ) {
        let mut free = Indices::new(&self.tables);
        let mut moved = Vec::new();
        // Of an address that is nobody's any more, the new sets must not see what an earlier world left in their slot.
        for (address, known) in self.tables.addresses.clone() {
            if !image.peers.contains_key(&address) {
                let before = self.tables.identity(address, now);
                let after = longest(&image.cidrs, address).copied().unwrap_or_default();
                let identity = fill(before, after);
                if self.tables.peers.get(&known.peer) != Some(&identity) {
                    self.push(ops, Op::PutPeer { index: known.peer, identity });
                }
            }
        }
        for (address, identity) in &image.peers {
            let before = self.tables.identity(*address, now);
            let pair = fill(before, *identity);
            let local = image.endpoints.get(address);
            match self.tables.addresses.get(address).copied() {
                Some(known) => {
                    let have = self.tables.peers.get(&known.peer).copied().unwrap_or_default();
                    if have.get(now) != pair.get(now) || have.get(next) != pair.get(next) {
                        self.push(ops, Op::PutPeer { index: known.peer, identity: pair });
                    }
                    if (known.endpoint != 0) != local.is_some() {
                        moved.push(*address);
                    }
                }
                None => self.add_address(image, *address, pair, next, &mut free, ops),
            }
        }
        if moved.is_empty() {
            return;
        }
        // A pod's address that moved to or from this node: its row is replaced, closed meanwhile.
        for address in &moved {
            self.push(ops, Op::PutRange { prefix: Prefix::around(*address, 128), flags: RANGE_PODS });
            self.push(ops, Op::DeleteAddress { address: *address });
        }
        self.push(ops, Op::Grace);
        for address in moved {
            let identity = image.peers.get(&address).copied().unwrap_or_default();
            self.add_address(image, address, [identity; 2], next, &mut free, ops);
            let prefix = Prefix::around(address, 128);
            match image.ranges.get(&prefix) {
                Some(flags) => self.push(ops, Op::PutRange { prefix, flags: *flags }),
                None => self.push(ops, Op::DeleteRange { prefix }),
            }
        }
    }

    fn add_address(
        &mut self,
        image: &Image,
        address: Address,
        identity: [u64; 2],
        slot: usize,
        free: &mut Indices,
        ops: &mut Vec<Op>,
    ) {
        let peer = free.peers.take();
        self.push(ops, Op::PutPeer { index: peer, identity });
        let endpoint = match image.endpoints.get(&address) {
            None => 0,
            Some(local) => {
                let index = free.endpoints.take();
                self.push(ops, Op::PutEndpoint { index, word: endpoint_word(local.ingress, local.egress, slot) });
                index
            }
        };
        self.push(ops, Op::PutAddress { address, value: AddressValue { peer, endpoint } });
    }

    /// Deletes what the image does not have.
    fn sweep(&mut self, image: &Image, ops: &mut Vec<Op>) {
        let addresses: Vec<(Address, AddressValue)> = self.tables.addresses.iter().map(|(a, v)| (*a, *v)).collect();
        for (address, value) in addresses {
            if !image.peers.contains_key(&address) {
                self.push(ops, Op::DeleteAddress { address });
                if value.endpoint != 0 {
                    // Its index is used again only by a later plan, after the grace period that ends this one.
                    self.push(ops, Op::PutEndpoint { index: value.endpoint, word: EndpointValue::default() });
                }
            }
        }
        let rules: Vec<_> = self.tables.rules.keys().filter(|k| !image.rules.contains_key(k)).copied().collect();
        for key in rules {
            self.push(ops, Op::DeleteRule { key });
        }
        let wanted = portmap_rows(image);
        let portmaps: Vec<_> = self.tables.portmaps.keys().filter(|k| !wanted.contains_key(k)).copied().collect();
        for key in portmaps {
            self.push(ops, Op::DeletePortMap { key });
        }
        let cidrs: Vec<_> = self.tables.cidrs.keys().filter(|k| !image.cidrs.contains_key(k)).copied().collect();
        for prefix in cidrs {
            self.push(ops, Op::DeleteCidr { prefix });
        }
        let ranges: Vec<_> = self.tables.ranges.keys().filter(|k| !image.ranges.contains_key(k)).copied().collect();
        for prefix in ranges {
            self.push(ops, Op::DeleteRange { prefix });
        }
    }

    /// The slot that the endpoints read.
    fn slot(&self) -> usize {
        let words = self.tables.endpoints.values().flat_map(|v| [v.ingress, v.egress]);
        words.filter(|w| w.is_isolated()).map(EndpointWord::slot).next().unwrap_or(0)
    }

    fn sets_change(&self, image: &Image) -> bool {
        self.tables.addresses.iter().filter(|(_, v)| v.endpoint != 0).any(|(address, value)| {
            let word = self.tables.endpoints.get(&value.endpoint).copied().unwrap_or_default();
            let wanted = image.endpoints.get(address).map(|e| (e.ingress, e.egress));
            let set = |w: EndpointWord| w.is_isolated().then_some(w.set());
            wanted.is_some_and(|w| w != (set(word.ingress), set(word.egress)))
        })
    }

    fn identities_change(&self, image: &Image, slot: usize) -> bool {
        let cidrs: BTreeSet<&Prefix> = self.tables.cidrs.keys().chain(image.cidrs.keys()).collect();
        let addresses: BTreeSet<&Address> = self.tables.addresses.keys().chain(image.peers.keys()).collect();
        cidrs.into_iter().any(|prefix| {
            let old = longest_within(&self.tables.cidrs, *prefix).and_then(|p| p.get(slot));
            old.copied().unwrap_or_default() != longest_within(&image.cidrs, *prefix).copied().unwrap_or_default()
        }) || addresses.into_iter().any(|address| {
            let known = image.peers.get(address).copied();
            let wanted = known.unwrap_or_else(|| longest(&image.cidrs, *address).copied().unwrap_or_default());
            self.tables.identity(*address, slot) != wanted
        })
    }

    fn push(&mut self, ops: &mut Vec<Op>, op: Op) {
        self.tables.apply(&op);
        ops.push(op);
    }
}

fn endpoint_word(ingress: Option<u64>, egress: Option<u64>, slot: usize) -> EndpointValue {
    let slot = u8::from(slot == 1);
    let word = |set: Option<u64>| set.map_or(EndpointWord::OPEN, |set| EndpointWord::isolated(set, slot));
    EndpointValue { ingress: word(ingress), egress: word(egress) }
}

/// The value of the longest prefix that holds all of a prefix.
fn longest_within<T>(table: &BTreeMap<Prefix, T>, prefix: Prefix) -> Option<&T> {
    let holding = (0..=prefix.bits()).rev().map(|bits| Prefix::around(prefix.first(), bits));
    holding.into_iter().find_map(|p| table.get(&p))
}

fn portmap_rows(image: &Image) -> BTreeMap<PortMapKey, PortMapValue> {
    let rows = image.portmaps.iter().flat_map(|(number, rows)| rows.iter().map(|r| (r.key(*number), r.value)));
    rows.collect()
}

/// Gives out indices that are not in use, the lowest first.
struct Free {
    used: BTreeSet<u32>,
    next: u32,
}

impl Free {
    fn new(used: impl Iterator<Item = u32>, first: u32) -> Free {
        Free { used: used.collect(), next: first }
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

/// The free indices of the two arrays. 0 is no endpoint.
struct Indices {
    peers: Free,
    endpoints: Free,
}

impl Indices {
    fn new(tables: &Tables) -> Indices {
        Indices {
            peers: Free::new(tables.addresses.values().map(|v| v.peer), 0),
            endpoints: Free::new(tables.addresses.values().map(|v| v.endpoint), 1),
        }
    }
}
