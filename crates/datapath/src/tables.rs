//! The kernel's tables, written by operations and read back as values. It does not know what the rows mean, and
//! does not order operations: that is the planner's work.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use libbpf_rs::{MapCore, Object};
use nix::errno::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::abi::{
    Address, AddressValue, EndpointValue, EndpointWord, FlowKey, FlowValue, Op, PortMapKey, PortMapValue,
    Prefix, RuleKey,
};
use crate::grace::Grace;
use crate::kernel::Error;
use crate::options::{Options, Table};
use crate::sys::RawMap;
use crate::words::Words;

/// `BPF_ANY` and `BPF_NOEXIST` of `include/uapi/linux/bpf.h`.
const ANY: u64 = 0;
const NOEXIST: u64 = 1;

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
    /// Endpoint 0 stands for no endpoint.
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

/// All rows of the tables that are written from here. Array rows that are all zeros count as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the tables")]
pub struct Dump {
    pub addresses: BTreeMap<Address, AddressValue>,
    pub peers: BTreeMap<u32, [u64; 2]>,
    pub endpoints: BTreeMap<u32, EndpointValue>,
    pub cidrs: BTreeMap<Prefix, [u64; 2]>,
    pub ranges: BTreeMap<Prefix, u32>,
    pub rules: BTreeMap<RuleKey, u64>,
    pub portmaps: BTreeMap<PortMapKey, PortMapValue>,
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
    peers: Words,
    endpoints: Words,
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
        let words = |wanted: Table| {
            let (_, map, rows) = maps
                .iter()
                .find(|(table, ..)| *table == wanted)
                .ok_or(Error::NotInObject { name: wanted.name() })?;
            Words::new(map, *rows).map_err(|source| Error::Read { table: wanted, source })
        };
        let (peers, endpoints) = (words(Table::Peers)?, words(Table::Endpoints)?);
        Ok(Self { maps, peers, endpoints, grace: Grace::new().map_err(|source| Error::Grace { source })? })
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

    pub(crate) fn dump(&self) -> Result<Dump, Error> {
        Ok(Dump {
            addresses: self.rows(Table::Addresses)?,
            peers: self.peers.iter().filter(|(_, words)| *words != [0; 2]).collect(),
            endpoints: self.endpoints.iter().filter(|(_, words)| *words != [0; 2]).map(endpoint).collect(),
            cidrs: self.rows(Table::Cidrs)?,
            ranges: self.rows(Table::Ranges)?,
            rules: self.rows(Table::Rules)?,
            portmaps: self.rows(Table::PortMaps)?,
        })
    }

    pub(crate) fn flows(&self) -> Result<BTreeMap<FlowKey, FlowValue>, Error> {
        self.rows(Table::Flows)
    }

    pub(crate) fn usage(&self) -> Result<Vec<Usage>, Error> {
        let mut usage = Vec::new();
        for (table, map, size) in &self.maps {
            let used = |words: &Words| words.iter().filter(|(_, words)| *words != [0; 2]).count();
            let rows = match table {
                Table::Peers => used(&self.peers),
                Table::Endpoints => used(&self.endpoints),
                _ => {
                    let mut rows = 0;
                    self.each(*table, map, |_, _| rows += 1)?;
                    rows
                }
            };
            let rows = u32::try_from(rows).unwrap_or(u32::MAX);
            usage.push(Usage { table: *table, rows, size: *size });
        }
        Ok(usage)
    }

    fn apply_one(&mut self, at: usize, op: &Op, applied: &mut Applied) -> Result<(), ApplyError> {
        match op {
            Op::PutRule { key, portmap } => self.insert(at, Table::Rules, key.as_bytes(), portmap.as_bytes()),
            Op::PutAddress { address, value } => {
                self.insert(at, Table::Addresses, address.as_bytes(), value.as_bytes())
            }
            Op::DeletePortMap { key } => self.delete(at, Table::PortMaps, key.as_bytes()),
            Op::DeleteRule { key } => self.delete(at, Table::Rules, key.as_bytes()),
            Op::DeleteAddress { address } => self.delete(at, Table::Addresses, address.as_bytes()),
            Op::DeleteCidr { prefix } => self.delete(at, Table::Cidrs, prefix.as_bytes()),
            Op::DeleteRange { prefix } => self.delete(at, Table::Ranges, prefix.as_bytes()),
            Op::PutPeer { index, identity } => self.store(at, Table::Peers, &self.peers, *index, *identity),
            Op::PutEndpoint { index: 0, .. } => Err(ApplyError::Index { table: Table::Endpoints, at }),
            Op::PutEndpoint { index, word } => {
                self.store(at, Table::Endpoints, &self.endpoints, *index, [word.ingress.0, word.egress.0])
            }
            Op::Grace => {
                let start = Instant::now();
                self.grace.wait().map_err(|source| ApplyError::Grace { at, source })?;
                applied.grace += start.elapsed();
                Ok(())
            }
            // Rows for a batch.
            Op::PutPortMap { .. } | Op::PutCidr { .. } | Op::PutRange { .. } => Ok(()),
        }
    }

    fn store(
        &self,
        at: usize,
        table: Table,
        words: &Words,
        index: u32,
        row: [u64; 2],
    ) -> Result<(), ApplyError> {
        if words.store(index, row) {
            return Ok(());
        }
        let (_, size) = self.map(table, at)?;
        Err(ApplyError::Full { table, size, at })
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

fn endpoint((index, [ingress, egress]): (u32, [u64; 2])) -> (u32, EndpointValue) {
    (index, EndpointValue { ingress: EndpointWord(ingress), egress: EndpointWord(egress) })
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
            Op::PutPortMap { key, value } => row(Table::PortMaps, key.as_bytes(), value.as_bytes()),
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
