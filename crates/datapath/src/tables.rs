//! The kernel's tables, written by operations and read back as values. It does not know what the rows mean, and
//! does not order operations: that is the planner's work.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use libbpf_rs::{MapCore, Object};
use nix::errno::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::abi::{CutKey, EndValue, FlowKey, FlowValue, Op, PortMapKey};
use crate::grace::Grace;
use crate::kernel::Error;
use crate::mirror;
use crate::options::{Options, Table};
use crate::sys::RawMap;
use crate::words::Words;

/// `BPF_ANY` and `BPF_NOEXIST` of `include/uapi/linux/bpf.h`.
const ANY: u64 = 0;
const NOEXIST: u64 = 1;

/// The words of an [`EndValue`].
const END_WORDS: usize = size_of::<EndValue>() / size_of::<u64>();

/// The map with the slot that is in force.
const ACTIVE: &str = "active";

/// Rows written by one call into the kernel.
const BATCH: usize = 1024;

/// What [`Kernel::apply`](crate::kernel::Kernel::apply) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Operations, all of them.
    pub ops: usize,
    /// How long was waited for packets under way.
    pub grace: Duration,
}

/// An operation that failed. The ones before it are done, the ones after it are not.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// No room.
    #[error(
        "table {table} is full: it holds {size} rows (operation {at}). Restart the agent with a larger one; \
         nothing after this was written"
    )]
    Full {
        /// Which table.
        table: Table,
        /// How many rows it can hold.
        size: u32,
        /// The operation's place in the list.
        at: usize,
    },
    /// Hash rows never change; whoever planned this was wrong about what is there.
    #[error("table {table} already has another value for this key (operation {at})")]
    Conflict {
        /// Which table.
        table: Table,
        /// The operation's place in the list.
        at: usize,
    },
    /// Index 0 stands for no endpoint.
    #[error("index 0 of table {table} is never used (operation {at})")]
    Index {
        /// Which table.
        table: Table,
        /// The operation's place in the list.
        at: usize,
    },
    /// The kernel refused.
    #[error("the kernel refused to change table {table} (operation {at})")]
    Kernel {
        /// Which table.
        table: Table,
        /// The operation's place in the list.
        at: usize,
        /// What it said.
        source: io::Error,
    },
    /// Without the wait nothing may be deleted.
    #[error("could not wait for the packets under way (operation {at})")]
    Grace {
        /// The operation's place in the list.
        at: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which.
    pub table: Table,
    /// Rows in it; for arrays, rows that are not all zeros.
    pub rows: u32,
    /// Rows it can hold.
    pub size: u32,
}

#[derive(Debug)]
pub(crate) struct Tables {
    maps: Vec<(Table, RawMap, u32)>,
    ends: Words<END_WORDS>,
    active: Words<1>,
    grace: Grace,
}

impl Tables {
    pub(crate) fn new(object: &Object, options: &Options) -> Result<Self, Error> {
        let mut maps = Vec::new();
        for table in Table::ALL {
            let map = object
                .maps()
                .find(|map| map.name() == table.name())
                .ok_or(Error::NotInObject { name: table.name() })?;
            let raw = RawMap::new(&map).map_err(|source| Error::Read { table, source })?;
            maps.push((table, raw, options.entries(table)));
        }
        let missing = |name| Error::NotInObject { name };
        let read = |source| Error::Read { table: Table::Ends, source };
        let (_, map, rows) =
            maps.iter().find(|(table, ..)| *table == Table::Ends).ok_or(missing(Table::Ends.name()))?;
        let ends = Words::new(map, *rows).map_err(read)?;
        let map = object.maps().find(|map| map.name() == ACTIVE).ok_or(missing(ACTIVE))?;
        let active = RawMap::new(&map).and_then(|map| Words::new(&map, 1)).map_err(read)?;
        Ok(Self { maps, ends, active, grace: Grace::new().map_err(|source| Error::Grace { source })? })
    }

    pub(crate) fn apply(&mut self, ops: &[Op]) -> Result<Applied, ApplyError> {
        let mut applied = Applied::default();
        let mut batch = Batch::default();
        for (at, op) in ops.iter().enumerate() {
            match Row::of(op) {
                Some(row) => {
                    if !batch.takes(&row) {
                        self.flush(&mut batch)?;
                    }
                    batch.push(at, row);
                }
                None => {
                    self.flush(&mut batch)?;
                    self.apply_one(at, op, &mut applied)?;
                }
            }
        }
        self.flush(&mut batch)?;
        applied.ops = ops.len();
        Ok(applied)
    }

    pub(crate) fn dump(&self) -> Result<mirror::Tables, Error> {
        let mut portmaps = self.rows(Table::PortMaps)?;
        portmaps.append(&mut self.rows(Table::PortBlocks)?);
        Ok(mirror::Tables {
            addresses: self.rows(Table::Addresses)?,
            active: self.active.iter().map(|(_, [slot])| slot).sum(),
            ends: self.used_ends().map(|(index, words)| (index, zerocopy::transmute!(words))).collect(),
            cidrs: self.rows(Table::Cidrs)?,
            ranges: self.rows(Table::Ranges)?,
            rules: self.rows(Table::Rules)?,
            portmaps,
            cut: self.rows(Table::Cut)?,
        })
    }

    pub(crate) fn flows(&self) -> Result<BTreeMap<FlowKey, FlowValue>, Error> {
        self.rows(Table::Flows)
    }

    pub(crate) fn cut(&self, key: &CutKey, until_ns: u64) -> Result<(), Error> {
        let table = Table::Cut;
        let (map, _) = self.find(table).ok_or(Error::NotInObject { name: table.name() })?;
        map.update(key.as_bytes(), until_ns.as_bytes(), ANY).map_err(|source| Error::Write { table, source })
    }

    pub(crate) fn usage(&self) -> Result<Vec<Usage>, Error> {
        let mut usage = Vec::new();
        for (table, map, size) in &self.maps {
            let mut rows = 0;
            match table {
                Table::Ends => rows = self.used_ends().count(),
                _ => self.each(*table, map, |_, _| rows += 1)?,
            }
            let rows = u32::try_from(rows).unwrap_or(u32::MAX);
            usage.push(Usage { table: *table, rows, size: *size });
        }
        Ok(usage)
    }

    fn apply_one(&mut self, at: usize, op: &Op, applied: &mut Applied) -> Result<(), ApplyError> {
        match op {
            Op::PutRule { key, portmap } => self.insert(at, Table::Rules, key.as_bytes(), portmap.as_bytes()),
            Op::PutAddress { address, index } => {
                self.insert(at, Table::Addresses, address.as_bytes(), index.as_bytes())
            }
            Op::DeletePortMap { key } => self.delete(at, port_table(*key), key.as_bytes()),
            Op::DeleteRule { key } => self.delete(at, Table::Rules, key.as_bytes()),
            Op::DeleteAddress { address } => self.delete(at, Table::Addresses, address.as_bytes()),
            Op::DeleteCidr { prefix } => self.delete(at, Table::Cidrs, prefix.as_bytes()),
            Op::DeleteRange { prefix } => self.delete(at, Table::Ranges, prefix.as_bytes()),
            Op::PutEnd { index: 0, .. } => Err(ApplyError::Index { table: Table::Ends, at }),
            Op::PutEnd { index, value } => self.put_end(at, *index, *value),
            Op::Activate { slot } => {
                // Packets find ranges and blocks by searching, and a CPU that reads out of order may have begun to
                // search before it read the slot. On x86 none does.
                if !cfg!(target_arch = "x86_64") {
                    self.wait(at, applied)?;
                }
                self.active.store(0, [slot & 1]);
                Ok(())
            }
            Op::Grace => self.wait(at, applied),
            // Rows for a batch.
            Op::PutPortMap { .. } | Op::PutCidr { .. } | Op::PutRange { .. } => Ok(()),
        }
    }

    fn wait(&self, at: usize, applied: &mut Applied) -> Result<(), ApplyError> {
        let start = Instant::now();
        self.grace.wait().map_err(|source| ApplyError::Grace { at, source })?;
        applied.grace += start.elapsed();
        Ok(())
    }

    fn put_end(&self, at: usize, index: u32, value: EndValue) -> Result<(), ApplyError> {
        if self.ends.store(index, zerocopy::transmute!(value)) {
            return Ok(());
        }
        let (_, size) = self.map(Table::Ends, at)?;
        Err(ApplyError::Full { table: Table::Ends, size, at })
    }

    fn used_ends(&self) -> impl Iterator<Item = (u32, [u64; END_WORDS])> + '_ {
        self.ends.iter().filter(|(_, words)| *words != [0; END_WORDS])
    }

    /// Writes a row that must not be there with another value.
    fn insert(&self, at: usize, table: Table, key: &[u8], value: &[u8]) -> Result<(), ApplyError> {
        let Err(error) = self.update(at, table, key, value, NOEXIST) else { return Ok(()) };
        let ApplyError::Kernel { source, .. } = &error else { return Err(error) };
        if source.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        let (map, _) = self.map(table, at)?;
        let mut there = vec![0; value.len()];
        match map.lookup(key, &mut there) {
            Ok(true) if there == value => Ok(()),
            Ok(_) => Err(ApplyError::Conflict { table, at }),
            Err(source) => Err(ApplyError::Kernel { table, at, source }),
        }
    }

    fn update(
        &self,
        at: usize,
        table: Table,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), ApplyError> {
        let (map, size) = self.map(table, at)?;
        let mut attempts = 0;
        loop {
            let Err(source) = map.update(key, value, flags) else { return Ok(()) };
            attempts += 1;
            match source.raw_os_error().map(Errno::from_raw) {
                // A hash table says the former, a trie the latter.
                Some(Errno::E2BIG | Errno::ENOSPC) => return Err(ApplyError::Full { table, size, at }),
                // The allocator behind tables without preallocation refills itself from an interrupt, and a burst
                // can be faster: https://lore.kernel.org/bpf/20220902211058.60789-1-alexei.starovoitov@gmail.com/
                Some(Errno::ENOMEM | Errno::EBUSY | Errno::EAGAIN) if attempts < 100 => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return Err(ApplyError::Kernel { table, at, source }),
            }
        }
    }

    fn delete(&self, at: usize, table: Table, key: &[u8]) -> Result<(), ApplyError> {
        let (map, _) = self.map(table, at)?;
        map.delete(key).map(drop).map_err(|source| ApplyError::Kernel { table, at, source })
    }

    fn flush(&self, batch: &mut Batch) -> Result<(), ApplyError> {
        let Batch { table, places, keys, values } = std::mem::take(batch);
        let (Some(table), Some(&first)) = (table, places.first()) else { return Ok(()) };
        let (map, _) = self.map(table, first)?;
        let rows = u32::try_from(places.len()).unwrap_or(u32::MAX);
        if map.update_batch(&keys, &values, rows).is_ok() {
            return Ok(());
        }
        // One by one tells which row it is. Writing a row again changes nothing.
        let rows = keys.chunks_exact(map.key_size()).zip(values.chunks_exact(map.value_size()));
        places.iter().zip(rows).try_for_each(|(at, (key, value))| self.update(*at, table, key, value, ANY))
    }

    fn rows<K, V>(&self, table: Table) -> Result<BTreeMap<K, V>, Error>
    where
        K: FromBytes + Ord,
        V: FromBytes,
    {
        let wrong_size = || Error::Read { table, source: io::ErrorKind::InvalidData.into() };
        let (map, _) = self.find(table).ok_or(Error::NotInObject { name: table.name() })?;
        let mut rows = BTreeMap::new();
        let mut readable = true;
        self.each(table, map, |key, value| match (K::read_from_bytes(key), V::read_from_bytes(value)) {
            (Ok(key), Ok(value)) => drop(rows.insert(key, value)),
            _ => readable = false,
        })?;
        if readable { Ok(rows) } else { Err(wrong_size()) }
    }

    fn each(&self, table: Table, map: &RawMap, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), Error> {
        let read = |source| Error::Read { table, source };
        let mut previous = None;
        let mut key = vec![0; map.key_size()];
        let mut value = vec![0; map.value_size()];
        while map.next_key(previous.as_deref(), &mut key).map_err(read)? {
            // A flow can make room for another one meanwhile.
            if map.lookup(&key, &mut value).map_err(read)? {
                visit(&key, &value);
            }
            previous = Some(key.clone());
        }
        Ok(())
    }

    fn find(&self, table: Table) -> Option<(&RawMap, u32)> {
        self.maps.iter().find(|(one, ..)| *one == table).map(|(_, map, size)| (map, *size))
    }

    fn map(&self, table: Table, at: usize) -> Result<(&RawMap, u32), ApplyError> {
        let missing = || ApplyError::Kernel { table, at, source: io::ErrorKind::NotFound.into() };
        self.find(table).ok_or_else(missing)
    }
}

/// Where a row of a port map is: the search by prefix is slow, and for most rows a hash will do.
fn port_table(key: PortMapKey) -> Table {
    if key.is_port() || key.is_everything() { Table::PortMaps } else { Table::PortBlocks }
}

/// A row that may be written over in place, in a table that takes many at once.
struct Row {
    table: Table,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Row {
    fn of(op: &Op) -> Option<Self> {
        let row =
            |table, key: &[u8], value: &[u8]| Some(Self { table, key: key.into(), value: value.into() });
        match op {
            Op::PutPortMap { key, value } => row(port_table(*key), key.as_bytes(), value.as_bytes()),
            Op::PutCidr { prefix, identity } => row(Table::Cidrs, prefix.as_bytes(), identity.as_bytes()),
            Op::PutRange { prefix, flags } => row(Table::Ranges, prefix.as_bytes(), flags.as_bytes()),
            _ => None,
        }
    }
}

/// Rows of one table, not yet written.
#[derive(Default)]
struct Batch {
    table: Option<Table>,
    places: Vec<usize>,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Batch {
    fn takes(&self, row: &Row) -> bool {
        self.table.is_none_or(|table| table == row.table) && self.places.len() < BATCH
    }

    fn push(&mut self, at: usize, row: Row) {
        self.table = Some(row.table);
        self.places.push(at);
        self.keys.extend(row.key);
        self.values.extend(row.value);
    }
}
