//! The address space as the address peers in force divide it.
//!
//! Every prefix that a block, an exception, a node or a DNS name brings is a node of a forest (prefixes nest or are
//! disjoint). The peers that hold an address follow from its longest prefix alone, so each prefix carries one *class*: the
//! set of peers that hold it. The same table, prefix by prefix, is what the kernel looks addresses up in.
//!
//! A change costs what lies inside the prefixes that it touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::matchers::PeerId;
use crate::slots::Interner;

/// A class of addresses: those that the same peers hold. 0 is the class that none holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub(crate) u32);

impl ClassId {
    /// The addresses that no peer holds.
    pub const NONE: ClassId = ClassId(0);
}

/// The division of both address families.
#[derive(Debug, Clone)]
pub struct AddressSpace {
    classes: Interner<[PeerId]>,
    prefixes: BTreeMap<Key, Prefix>,
    /// How many prefixes of each length there are, by family.
    lengths: [Vec<u32>; 2],
    /// Prefixes whose class must be found anew.
    dirty: BTreeSet<Key>,
}

/// A prefix, in the order in which one comes after all that contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    v6: bool,
    first: u128,
    length: u8,
}

/// What a prefix brings, and what follows.
#[derive(Debug, Clone, Default)]
struct Prefix {
    /// Peers that hold its addresses, as often as there are reasons.
    enters: Vec<PeerId>,
    /// Peers that do not hold them, though they hold those around.
    leaves: Vec<PeerId>,
    /// `None` before it is first found.
    class: Option<ClassId>,
}

/// Addresses from `first` to `last`, of one family, all of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    /// The first address.
    pub first: IpAddr,
    /// The last address, of the same family.
    pub last: IpAddr,
    /// Their class.
    pub class: ClassId,
}

impl Default for AddressSpace {
    fn default() -> Self {
        let mut classes: Interner<[PeerId]> = Interner::default();
        // Number 0, for good.
        classes.hold(&[], |c: &[PeerId]| Arc::from(c));
        let lengths = [vec![0; 33], vec![0; 129]];
        AddressSpace { classes, prefixes: BTreeMap::new(), lengths, dirty: BTreeSet::new() }
    }
}

impl AddressSpace {
    pub(crate) fn begin_update(&mut self) {
        self.classes.begin_update();
    }

    /// A peer holds these prefixes from now on, less these exceptions, once [`AddressSpace::settle`] has been called. It
    /// may hold a prefix for several reasons.
    pub(crate) fn add(&mut self, peer: PeerId, held: &[IpNet], except: &[IpNet]) {
        held.iter().for_each(|net| self.change(*net, |prefix| prefix.enters.push(peer)));
        except.iter().for_each(|net| self.change(*net, |prefix| prefix.leaves.push(peer)));
    }

    /// A peer holds these prefixes, less these exceptions, for one reason less.
    pub(crate) fn remove(&mut self, peer: PeerId, held: &[IpNet], except: &[IpNet]) {
        held.iter().for_each(|net| self.change(*net, |prefix| remove_one(&mut prefix.enters, peer)));
        except.iter().for_each(|net| self.change(*net, |prefix| remove_one(&mut prefix.leaves, peer)));
    }

    fn change(&mut self, net: IpNet, change: impl FnOnce(&mut Prefix)) {
        let key = Key::from(net);
        if !self.prefixes.contains_key(&key) {
            self.count(key, |n| n + 1);
        }
        change(self.prefixes.entry(key).or_default());
        self.dirty.insert(key);
    }

    fn count(&mut self, key: Key, by: impl Fn(u32) -> u32) {
        let [v4, v6] = &mut self.lengths;
        let counts = if key.v6 { v6 } else { v4 };
        if let Some(count) = counts.get_mut(usize::from(key.length)) {
            *count = by(*count);
        }
    }

    /// Finds the classes of all that was changed; the prefixes that have another class, or came or went.
    pub(crate) fn settle(&mut self) -> Vec<IpNet> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut changed = Vec::new();
        for key in &dirty {
            let bare = self.prefixes.get(key).is_some_and(|p| p.enters.is_empty() && p.leaves.is_empty());
            if bare && let Some(gone) = self.prefixes.remove(key) {
                self.count(*key, |n| n.saturating_sub(1));
                if let Some(class) = gone.class {
                    self.release(class);
                    changed.push(key.net());
                }
            }
        }
        let mut settled: Option<Key> = None;
        for root in dirty {
            if settled.is_some_and(|done| done.contains(root)) {
                continue;
            }
            settled = Some(root);
            self.settle_inside(root, &mut changed);
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// The classes of a prefix and of all inside it.
    fn settle_inside(&mut self, root: Key, changed: &mut Vec<IpNet>) {
        let around = self.longest(root.first, root.v6, root.length).map_or(ClassId::NONE, |(_, class)| class);
        let mut ancestors: Vec<(Key, ClassId)> = Vec::new();
        let AddressSpace { classes, prefixes, .. } = self;
        let mut members: Vec<PeerId> = Vec::new();
        for (key, prefix) in prefixes.range_mut(root..=root.last_inside()) {
            while ancestors.last().is_some_and(|(outer, _)| !outer.contains(*key)) {
                ancestors.pop();
            }
            let outer = ancestors.last().map_or(around, |(_, class)| *class);
            members.clear();
            members.extend(classes.get(outer.0).unwrap_or_default());
            members.extend(&prefix.enters);
            members.retain(|peer| !prefix.leaves.contains(peer));
            members.sort_unstable();
            members.dedup();
            let class = ClassId(classes.hold(&members, |m: &[PeerId]| Arc::from(m)).0);
            if prefix.class != Some(class) {
                changed.push(key.net());
            }
            if let Some(before) = prefix.class.replace(class) {
                classes.release(before.0);
            }
            ancestors.push((*key, class));
        }
    }

    /// The class of an address.
    pub fn class(&self, address: IpAddr) -> ClassId {
        let width = if address.is_ipv4() { 32 } else { 128 };
        self.longest(number(address), address.is_ipv6(), width + 1).map_or(ClassId::NONE, |(_, class)| class)
    }

    /// The longest prefix that holds an address and has fewer than `below` bits.
    fn longest(&self, address: u128, v6: bool, below: u8) -> Option<(Key, ClassId)> {
        let below = below.checked_sub(1)?;
        let last = Key { v6, first: address, length: below };
        let (before, prefix) = self.prefixes.range(..=last).next_back().filter(|(k, _)| k.v6 == v6)?;
        if before.length <= below && before.holds(address) {
            return Some((*before, prefix.class.unwrap_or(ClassId::NONE)));
        }
        // All that hold the address hold this neighbour too, so none is longer than what the two have in common.
        let width = before.width();
        let differ = before.first ^ address;
        let common = u32::from(width).saturating_sub(u128::BITS - differ.leading_zeros());
        let longest = u8::try_from(common).unwrap_or(u8::MAX).min(before.length).min(below);
        let [v4_lengths, v6_lengths] = &self.lengths;
        let counts = if v6 { v6_lengths } else { v4_lengths };
        (0..=longest).rev().filter(|l| counts.get(usize::from(*l)).is_some_and(|n| *n > 0)).find_map(
            |length| {
                let key = Key { v6, first: address & mask(width, length), length };
                Some((key, self.prefixes.get(&key)?.class.unwrap_or(ClassId::NONE)))
            },
        )
    }

    /// The class of something of which only the set of peers that hold it is known, held once more.
    pub(crate) fn hold(&mut self, peers: &[PeerId]) -> ClassId {
        ClassId(self.classes.hold(peers, |p: &[PeerId]| Arc::from(p)).0)
    }

    /// One holder more of a class.
    pub(crate) fn hold_again(&mut self, class: ClassId) {
        self.classes.hold_again(class.0);
    }

    /// One holder less of a class.
    pub(crate) fn release(&mut self, class: ClassId) {
        self.classes.release(class.0);
    }

    /// The peers that hold the addresses of a class, sorted.
    pub fn peers(&self, class: ClassId) -> &[PeerId] {
        self.classes.get(class.0).unwrap_or_default()
    }

    /// Every prefix that a peer brings, with the class of the addresses whose longest prefix it is. Sorted by family,
    /// address and length.
    pub fn prefixes(&self) -> impl Iterator<Item = (IpNet, ClassId)> {
        self.prefixes.iter().map(|(key, prefix)| (key.net(), prefix.class.unwrap_or(ClassId::NONE)))
    }

    /// The class of a prefix, if a peer brings it.
    pub fn class_of_prefix(&self, prefix: IpNet) -> Option<ClassId> {
        self.prefixes.get(&Key::from(prefix))?.class
    }

    /// How many classes there are.
    pub(crate) fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Both families in ranges of one class each, in order, without a gap.
    pub fn ranges(&self) -> Vec<AddressRange> {
        let mut ranges = Vec::new();
        for v6 in [false, true] {
            let mut cells = Cells { v6, starts: vec![(0, ClassId::NONE)] };
            let mut ancestors: Vec<(Key, ClassId)> = Vec::new();
            for (key, prefix) in self.prefixes.iter().filter(|(k, _)| k.v6 == v6) {
                while let Some((outer, _)) = ancestors.last()
                    && !outer.contains(*key)
                {
                    cells.leave(&mut ancestors);
                }
                let class = prefix.class.unwrap_or(ClassId::NONE);
                cells.start(key.first, class);
                ancestors.push((*key, class));
            }
            while !ancestors.is_empty() {
                cells.leave(&mut ancestors);
            }
            ranges.extend(cells.ranges());
        }
        ranges
    }
}

/// The ranges of one family while they are made: where each begins.
struct Cells {
    v6: bool,
    starts: Vec<(u128, ClassId)>,
}

impl Cells {
    /// From here on addresses have this class: the innermost prefix comes last.
    fn start(&mut self, first: u128, class: ClassId) {
        if self.starts.last().is_some_and(|(at, _)| *at == first) {
            self.starts.pop();
        }
        if self.starts.last().is_none_or(|(_, before)| *before != class) {
            self.starts.push((first, class));
        }
    }

    fn leave(&mut self, ancestors: &mut Vec<(Key, ClassId)>) {
        let Some((key, _)) = ancestors.pop() else { return };
        let around = ancestors.last().map_or(ClassId::NONE, |(_, class)| *class);
        let end = mask(key.width(), key.width());
        let last = key.last_address();
        if last < end {
            self.start(last + 1, around);
        }
    }

    fn ranges(self) -> impl Iterator<Item = AddressRange> {
        let (width, v6) = (if self.v6 { 128 } else { 32 }, self.v6);
        let lasts: Vec<u128> =
            self.starts.iter().skip(1).map(|(first, _)| first - 1).chain([mask(width, width)]).collect();
        self.starts.into_iter().zip(lasts).map(move |((first, class), last)| AddressRange {
            first: address(first, v6),
            last: address(last, v6),
            class,
        })
    }
}

impl Key {
    fn width(self) -> u8 {
        if self.v6 { 128 } else { 32 }
    }

    fn holds(self, address: u128) -> bool {
        address & mask(self.width(), self.length) == self.first
    }

    fn contains(self, other: Key) -> bool {
        self.v6 == other.v6 && self.length <= other.length && self.holds(other.first)
    }

    fn last_address(self) -> u128 {
        self.first | (mask(self.width(), self.width()) & !mask(self.width(), self.length))
    }

    /// The last key that a prefix inside this one can have.
    fn last_inside(self) -> Key {
        Key { v6: self.v6, first: self.last_address(), length: self.width() }
    }

    fn net(self) -> IpNet {
        let address = address(self.first, self.v6);
        IpNet::new(address, self.length).unwrap_or(IpNet::from(address))
    }
}

impl From<IpNet> for Key {
    fn from(net: IpNet) -> Key {
        Key { v6: net.addr().is_ipv6(), first: number(net.network()), length: net.prefix_len() }
    }
}

/// The leading bits of an address of `width` bits.
fn mask(width: u8, length: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width.clamp(1, 128)));
    let rest = u32::from(width.saturating_sub(length));
    all & u128::MAX.checked_shl(rest).unwrap_or(0)
}

fn remove_one(list: &mut Vec<PeerId>, peer: PeerId) {
    if let Some(at) = list.iter().position(|p| *p == peer) {
        list.swap_remove(at);
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn address(number: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from(number))
    } else {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IpBlock;

    fn block(cidr: &str, except: &[&str]) -> IpBlock {
        IpBlock::new(cidr.parse().unwrap(), except.iter().map(|e| e.parse().unwrap()))
    }

    fn add(space: &mut AddressSpace, peer: u32, block: &IpBlock) {
        space.add(PeerId(peer), &[block.cidr()], block.except());
    }

    fn remove(space: &mut AddressSpace, peer: u32, block: &IpBlock) {
        space.remove(PeerId(peer), &[block.cidr()], block.except());
    }

    fn space(blocks: &[(&str, &[&str])]) -> AddressSpace {
        let mut space = AddressSpace::default();
        for (place, (cidr, except)) in (0u32..).zip(blocks) {
            add(&mut space, place, &block(cidr, except));
        }
        space.settle();
        space
    }

    fn check(space: &AddressSpace, address: &str, blocks: &[u32]) {
        let got: Vec<u32> = space.peers(space.class(address.parse().unwrap())).iter().map(|p| p.0).collect();
        assert_eq!(got, blocks, "{address}");
    }

    #[test]
    fn exceptions_leave_their_own_block_only() {
        let space =
            space(&[("10.0.0.0/8", &["10.1.0.0/16"]), ("10.1.0.0/16", &["10.1.1.0/24"]), ("0.0.0.0/0", &[])]);
        check(&space, "9.255.255.255", &[2]);
        check(&space, "10.0.0.0", &[0, 2]);
        check(&space, "10.1.0.0", &[1, 2]);
        check(&space, "10.1.1.7", &[2]);
        check(&space, "10.1.2.0", &[1, 2]);
        check(&space, "10.2.0.0", &[0, 2]);
        check(&space, "11.0.0.0", &[2]);
        check(&space, "::1", &[]);
    }

    #[test]
    fn prefixes_that_end_together_and_the_last_address() {
        let space = space(&[("255.255.255.0/24", &[]), ("255.255.255.255/32", &[]), ("ffff::/16", &[])]);
        check(&space, "255.255.254.255", &[]);
        check(&space, "255.255.255.254", &[0]);
        check(&space, "255.255.255.255", &[0, 1]);
        check(&space, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[2]);
        check(&space, "fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[]);
    }

    #[test]
    fn ranges_cover_both_families_without_a_gap() {
        let space = space(&[("10.0.0.0/8", &[]), ("10.0.0.0/9", &[])]);
        let ranges: Vec<String> = space.ranges().iter().map(|r| format!("{}-{}", r.first, r.last)).collect();
        assert_eq!(
            ranges,
            [
                "0.0.0.0-9.255.255.255",
                "10.0.0.0-10.127.255.255",
                "10.128.0.0-10.255.255.255",
                "11.0.0.0-255.255.255.255",
                "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
            ]
        );
    }

    #[test]
    fn changes_cost_what_lies_inside() {
        let nets = |nets: &[&str]| nets.iter().map(|n| n.parse().unwrap()).collect::<Vec<IpNet>>();
        let mut space = space(&[("10.0.0.0/8", &[]), ("10.1.0.0/16", &[]), ("11.0.0.0/8", &[])]);
        space.begin_update();
        add(&mut space, 7, &block("10.0.0.0/9", &["10.1.1.0/24"]));
        assert_eq!(space.settle(), nets(&["10.0.0.0/9", "10.1.0.0/16", "10.1.1.0/24"]));
        check(&space, "10.1.2.3", &[0, 1, 7]);
        check(&space, "10.1.1.3", &[0, 1]);
        check(&space, "10.200.0.0", &[0]);
        space.begin_update();
        remove(&mut space, 7, &block("10.0.0.0/9", &["10.1.1.0/24"]));
        assert_eq!(space.settle(), nets(&["10.0.0.0/9", "10.1.0.0/16", "10.1.1.0/24"]));
        check(&space, "10.1.2.3", &[0, 1]);
        check(&space, "10.1.1.3", &[0, 1]);
        assert_eq!((space.prefixes().count(), space.class_count()), (3, 4));
    }

    #[test]
    fn nothing_is_around_a_whole_family() {
        let mut space = space(&[("::/0", &[]), ("::/0", &["fd00::/8"])]);
        remove(&mut space, 1, &block("::/0", &["fd00::/8"]));
        space.settle();
        check(&space, "::1", &[0]);
        check(&space, "fd00::1", &[0]);
    }

    #[test]
    fn an_address_may_be_held_for_two_reasons() {
        let mut space = AddressSpace::default();
        let address = IpNet::from("192.0.2.1".parse::<IpAddr>().unwrap());
        space.add(PeerId(3), &[address], &[]);
        space.add(PeerId(3), &[address], &[]);
        space.settle();
        space.remove(PeerId(3), &[address], &[]);
        assert_eq!(space.settle(), []);
        check(&space, "192.0.2.1", &[3]);
        space.remove(PeerId(3), &[address], &[]);
        assert_eq!(space.settle(), [address]);
        check(&space, "192.0.2.1", &[]);
    }
}
