//! The address space as the `ipBlock`s in force divide it.
//!
//! Every prefix that a block or an exception names is a node of a forest (prefixes nest or are disjoint). The blocks
//! that hold an address follow from its longest prefix alone, so each prefix carries one *class*: the set of blocks
//! that hold it. The same table, prefix by prefix, is what the kernel looks addresses up in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::model::IpBlock;

/// A peer's number among the distinct peers of all policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// A class of addresses: those that the same blocks hold. 0 is the class that no block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

impl ClassId {
    /// The addresses that no block holds.
    pub const NONE: ClassId = ClassId(0);
}

/// The division of both address families.
#[derive(Debug, Clone)]
pub struct AddressSpace {
    classes: Vec<Box<[PeerId]>>,
    by_content: FxHashMap<Box<[PeerId]>, ClassId>,
    prefixes: Vec<(IpNet, ClassId)>,
    v4: Vec<Cell>,
    v6: Vec<Cell>,
}

/// From `first` to where the next cell begins.
#[derive(Debug, Clone, Copy)]
struct Cell {
    first: u128,
    class: ClassId,
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

impl AddressSpace {
    /// The division that these blocks make.
    pub(crate) fn new<'a>(blocks: impl IntoIterator<Item = (PeerId, &'a IpBlock)>) -> AddressSpace {
        let mut edges: FxHashMap<IpNet, Edge> = FxHashMap::default();
        for (peer, block) in blocks {
            edges.entry(block.cidr()).or_default().enters.push(peer);
            for except in block.except() {
                edges.entry(*except).or_default().leaves.push(peer);
            }
        }
        let mut sorted: Vec<(IpNet, Edge)> = edges.into_iter().collect();
        // By family, then by first address, then the wider prefix first: a prefix comes after all that contain it.
        sorted.sort_by_key(|(net, _)| (net.addr(), net.prefix_len()));

        let mut space = AddressSpace {
            classes: vec![Box::default()],
            by_content: FxHashMap::from_iter([(Box::default(), ClassId::NONE)]),
            prefixes: Vec::with_capacity(sorted.len()),
            v4: vec![Cell { first: 0, class: ClassId::NONE }],
            v6: vec![Cell { first: 0, class: ClassId::NONE }],
        };
        let mut ancestors: Vec<(IpNet, ClassId)> = Vec::new();
        for (net, edge) in &sorted {
            while let Some((outer, _)) = ancestors.last()
                && !outer.contains(net)
            {
                space.leave(&mut ancestors);
            }
            let around = ancestors.last().map_or(ClassId::NONE, |(_, class)| *class);
            let mut members = space.blocks(around).to_vec();
            members.extend(&edge.enters);
            members.retain(|peer| !edge.leaves.contains(peer));
            members.sort_unstable();
            members.dedup();
            let class = space.intern(members);
            space.prefixes.push((*net, class));
            space.cells_mut(net).push(Cell { first: number(net.network()), class });
            ancestors.push((*net, class));
        }
        while !ancestors.is_empty() {
            space.leave(&mut ancestors);
        }
        for cells in [&mut space.v4, &mut space.v6] {
            // Of several cells at one address the last pushed is the innermost.
            cells.reverse();
            cells.sort_by_key(|c| c.first);
            cells.dedup_by_key(|c| c.first);
            cells.dedup_by_key(|c| c.class);
        }
        space
    }

    /// The class of an address.
    pub fn class(&self, address: IpAddr) -> ClassId {
        let (cells, at) = match address {
            IpAddr::V4(_) => (&self.v4, number(address)),
            IpAddr::V6(_) => (&self.v6, number(address)),
        };
        let after = cells.partition_point(|c| c.first <= at);
        after.checked_sub(1).and_then(|i| cells.get(i)).map_or(ClassId::NONE, |c| c.class)
    }

    /// The class of something of which only the set of blocks that hold it is known.
    pub(crate) fn intern(&mut self, blocks: Vec<PeerId>) -> ClassId {
        let blocks = blocks.into_boxed_slice();
        if let Some(id) = self.by_content.get(&blocks) {
            return *id;
        }
        let id = ClassId(u32::try_from(self.classes.len()).unwrap_or(u32::MAX));
        self.classes.push(blocks.clone());
        self.by_content.insert(blocks, id);
        id
    }

    /// The blocks that hold the addresses of a class, sorted.
    pub fn blocks(&self, class: ClassId) -> &[PeerId] {
        self.classes.get(class.0 as usize).map_or(&[], |c| c)
    }

    /// Every prefix that a block or exception names, with the class of the addresses whose longest prefix it is.
    /// Sorted by family, address and length.
    pub fn prefixes(&self) -> &[(IpNet, ClassId)] {
        &self.prefixes
    }

    /// Both families in ranges of one class each, in order, without a gap.
    pub fn ranges(&self) -> Vec<AddressRange> {
        let family = |cells: &[Cell], end: u128, address: fn(u128) -> IpAddr| -> Vec<AddressRange> {
            let lasts = cells.iter().skip(1).map(|next| next.first.saturating_sub(1)).chain([end]);
            cells
                .iter()
                .zip(lasts)
                .map(|(cell, last)| AddressRange {
                    first: address(cell.first),
                    last: address(last),
                    class: cell.class,
                })
                .collect()
        };
        let mut ranges = family(&self.v4, u128::from(u32::MAX), v4_address);
        ranges.extend(family(&self.v6, u128::MAX, v6_address));
        ranges
    }

    fn leave(&mut self, ancestors: &mut Vec<(IpNet, ClassId)>) {
        let Some((net, _)) = ancestors.pop() else { return };
        let around = ancestors.last().map_or(ClassId::NONE, |(_, class)| *class);
        let end = match net {
            IpNet::V4(_) => u128::from(u32::MAX),
            IpNet::V6(_) => u128::MAX,
        };
        let last = number(net.broadcast());
        if last < end {
            self.cells_mut(&net).push(Cell { first: last + 1, class: around });
        }
    }

    fn cells_mut(&mut self, net: &IpNet) -> &mut Vec<Cell> {
        match net {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        }
    }
}

#[derive(Debug, Default)]
struct Edge {
    enters: Vec<PeerId>,
    leaves: Vec<PeerId>,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn v4_address(number: u128) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)))
}

fn v6_address(number: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(blocks: &[(&str, &[&str])]) -> AddressSpace {
        let blocks: Vec<IpBlock> = blocks
            .iter()
            .map(|(cidr, except)| {
                IpBlock::new(cidr.parse().unwrap(), except.iter().map(|e| e.parse().unwrap()))
            })
            .collect();
        AddressSpace::new(blocks.iter().enumerate().map(|(i, b)| (PeerId(i as u32), b)))
    }

    fn check(space: &AddressSpace, address: &str, blocks: &[u32]) {
        let got: Vec<u32> = space.blocks(space.class(address.parse().unwrap())).iter().map(|p| p.0).collect();
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
}
