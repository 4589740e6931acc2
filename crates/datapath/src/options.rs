//! How large the tables are. Every table is bounded, its size is known before anything is loaded, and so is the
//! memory that all of them can take.

use std::fmt;
use std::time::Duration;

/// Sizes and settings that cannot be changed once the program is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Addresses of pods, of the whole cluster.
    pub addresses: u32,
    /// What holds for those addresses; one less than this, because index 0 stands for none.
    pub ends: u32,
    /// Blocks of addresses that policies name.
    pub cidrs: u32,
    /// Ranges of this node's pods, and exemptions from them.
    pub ranges: u32,
    /// Pairs of policy set and identity.
    pub rules: u32,
    /// Single ports over all port maps, and one row for each map.
    pub portmaps: u32,
    /// Protocols and blocks of ports over all port maps.
    pub portblocks: u32,
    /// Flows remembered; the least recently used one makes room.
    pub flows: u32,
    /// Connections that were cut and must not be taken up again; the least recently used one makes room.
    pub cut: u32,
    /// Bytes of the events' ring: a power of two, and a multiple of the page size.
    pub event_bytes: u32,
    /// A flow makes at most one event in this time.
    pub event_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addresses: 1 << 18,
            ends: 1 << 18,
            cidrs: 1 << 15,
            ranges: 1 << 8,
            rules: 1 << 20,
            portmaps: 1 << 18,
            portblocks: 1 << 18,
            flows: 1 << 16,
            cut: 1 << 16,
            event_bytes: 1 << 20,
            event_interval: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// The size of every table, and what it takes of memory when full.
    #[must_use]
    pub fn sizes(&self) -> Vec<TableSize> {
        let mut sizes: Vec<_> = Table::ALL
            .into_iter()
            .map(|table| {
                let entries = self.entries(table);
                let bytes = u64::from(entries) * table.bytes_per_entry();
                TableSize { name: table.name(), entries, bytes }
            })
            .collect();
        sizes.push(TableSize { name: "events", entries: self.event_bytes, bytes: self.event_bytes.into() });
        sizes
    }

    /// Sets how many rows a table can hold.
    pub fn set_entries(&mut self, table: Table, rows: u32) {
        let entries = match table {
            Table::Addresses => &mut self.addresses,
            Table::Ends => &mut self.ends,
            Table::Cidrs => &mut self.cidrs,
            Table::Ranges => &mut self.ranges,
            Table::Rules => &mut self.rules,
            Table::PortMaps => &mut self.portmaps,
            Table::PortBlocks => &mut self.portblocks,
            Table::Flows => &mut self.flows,
            Table::Cut => &mut self.cut,
        };
        *entries = rows;
    }

    pub(crate) fn entries(&self, table: Table) -> u32 {
        match table {
            Table::Addresses => self.addresses,
            Table::Ends => self.ends,
            Table::Cidrs => self.cidrs,
            Table::Ranges => self.ranges,
            Table::Rules => self.rules,
            Table::PortMaps => self.portmaps,
            Table::PortBlocks => self.portblocks,
            Table::Flows => self.flows,
            Table::Cut => self.cut,
        }
    }
}

/// How large a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Its name, as `bpftool map` shows it.
    pub name: &'static str,
    /// How many rows it holds at most; for the events, bytes.
    pub entries: u32,
    /// What it takes of memory when full, about.
    pub bytes: u64,
}

impl fmt::Display for TableSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} {:>9} rows, at most {:>7} KiB", self.name, self.entries, self.bytes.div_ceil(1024))
    }
}

/// A table of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The indices of addresses.
    Addresses,
    /// What holds for them.
    Ends,
    /// The identities of blocks of addresses.
    Cidrs,
    /// Where this node's pods live.
    Ranges,
    /// Which port map holds between a policy set and an identity.
    Rules,
    /// The verdicts for single ports, and for everything else.
    PortMaps,
    /// The verdicts for protocols and blocks of ports.
    PortBlocks,
    /// What has been seen.
    Flows,
    /// What was cut.
    Cut,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Addresses,
        Self::Ends,
        Self::Cidrs,
        Self::Ranges,
        Self::Rules,
        Self::PortMaps,
        Self::PortBlocks,
        Self::Flows,
        Self::Cut,
    ];

    /// Its name in the kernel.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::Ends => "ends",
            Self::Cidrs => "cidrs",
            Self::Ranges => "ranges",
            Self::Rules => "rules",
            Self::PortMaps => "portmaps",
            Self::PortBlocks => "portblocks",
            Self::Flows => "flows",
            Self::Cut => "cut",
        }
    }

    /// Key and value, and what the kernel adds: 48 bytes for an element of a hash and a bucket of 16, 40 for a node
    /// of a trie (and as many inner nodes as rows, at worst), rounded up to what its allocator hands out.
    fn bytes_per_entry(self) -> u64 {
        match self {
            Self::Addresses | Self::Rules | Self::PortMaps => 96 + 16,
            Self::Ends => 48,
            Self::Cidrs | Self::Ranges | Self::PortBlocks => 2 * 96,
            Self::Flows => 128 + 16,
            Self::Cut => 96 + 16,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
