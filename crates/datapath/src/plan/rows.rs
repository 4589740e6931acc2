//! Which rows a plan must look at, and which places of an array are free.

use std::collections::BTreeSet;

use crate::abi::{Address, Prefix, RuleKey};
use crate::image::{Image, ImageChanges};
use crate::mirror::Tables;

/// Keys of tables and images.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) addresses: BTreeSet<Address>,
    pub(crate) cidrs: BTreeSet<Prefix>,
    pub(crate) ranges: BTreeSet<Prefix>,
    pub(crate) rules: BTreeSet<RuleKey>,
    /// Numbers of port maps.
    pub(crate) portmaps: BTreeSet<u64>,
}

impl Rows {
    /// Every row of both.
    pub(crate) fn all(tables: &Tables, image: &Image) -> Rows {
        Rows {
            addresses: tables.addresses.keys().chain(image.peers.keys()).copied().collect(),
            cidrs: tables.cidrs.keys().chain(image.cidrs.keys()).copied().collect(),
            ranges: tables.ranges.keys().chain(image.ranges.keys()).copied().collect(),
            rules: tables.rules.keys().chain(image.rules.keys()).copied().collect(),
            portmaps: tables
                .portmaps
                .keys()
                .map(|key| key.portmap())
                .chain(image.portmaps.keys().copied())
                .collect(),
        }
    }

    /// These rows, and those that an image's update has written.
    pub(crate) fn and_written(mut self, changes: &ImageChanges) -> Rows {
        self.addresses.extend(changes.peers.keys().chain(changes.endpoints.keys()));
        self.cidrs.extend(changes.cidrs.keys());
        self.rules.extend(changes.rules.keys());
        self.portmaps.extend(changes.portmaps.keys());
        self
    }
}

/// Gives out indices that are not in use, the lowest first. 0 never is: it stands for no endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Free {
    below: BTreeSet<u32>,
    next: u32,
}

impl Default for Free {
    fn default() -> Self {
        Free { below: BTreeSet::new(), next: 1 }
    }
}

impl Free {
    pub(crate) fn new(used: impl Iterator<Item = u32>) -> Free {
        let used: BTreeSet<u32> = used.collect();
        let next = used.last().map_or(1, |last| last.saturating_add(1));
        Free { below: (1..next).filter(|index| !used.contains(index)).collect(), next }
    }

    pub(crate) fn take(&mut self) -> u32 {
        self.below.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    pub(crate) fn give_back(&mut self, index: u32) {
        if index < self.next {
            self.below.insert(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Free;

    #[test]
    fn the_lowest_first_and_none_twice() {
        let mut free = Free::new([2, 4].into_iter());
        free.give_back(6);
        assert_eq!([free.take(), free.take(), free.take(), free.take()], [1, 3, 5, 6]);
        free.give_back(2);
        assert_eq!([free.take(), free.take()], [2, 7]);
        assert_eq!(Free::default().take(), 1);
    }
}
