//! The BPF program in the kernel: loaded, attached, its tables changed and read, its packets tried. Dropping it
//! detaches the program and frees the tables, unless they are pinned (`takeover.rs`).
//!
//! It decides nothing: what is written comes from a plan, and is written in the plan's order.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use libbpf_rs::{
    MapCore, MapFlags, MapHandle, Object, ProgramInput, ProgramMut, RingBuffer, RingBufferBuilder,
};

use crate::abi::{CutKey, FlowKey, FlowValue, Op};
use crate::attach::{self, Attached};
use crate::event::{self, DecodeError, Event, Family, Hook};
use crate::mirror;
use crate::object::{self, PROGRAM};
use crate::options::{Options, Table};
use crate::pins::PinError;
use crate::tables::{Applied, ApplyError, Tables, Usage};
use crate::takeover::Pinning;

/// What can go wrong with the kernel, other than a change of its tables ([`ApplyError`]).
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("the BPF object of this build cannot be read")]
    Open { source: libbpf_rs::Error },
    #[error("the BPF object of this build has no {name}")]
    NotInObject { name: &'static str },
    #[error("{what} cannot be {value}")]
    Option { what: &'static str, value: String, source: libbpf_rs::Error },
    #[error("the kernel did not accept the BPF program; `requirements::check` tells what it lacks")]
    Load { source: libbpf_rs::Error },
    #[error(
        "could not attach at {hook:?} for {family:?}; is the kernel's module for defragmentation missing?"
    )]
    Attach { hook: Hook, family: Family, source: io::Error },
    #[error("could not try a packet of {length} bytes (the kernel wants 20, for IPv6 mostly 40)")]
    TestRun { length: usize, source: libbpf_rs::Error },
    #[error("could not read table {table}")]
    Read { table: Table, source: io::Error },
    #[error("could not read the counters")]
    Counters { source: libbpf_rs::Error },
    #[error("could not read the events")]
    Events { source: libbpf_rs::Error },
    #[error("could not set up the wait for packets under way")]
    Grace { source: io::Error },
    #[error("could not write table {table}")]
    Write { table: Table, source: io::Error },
    #[error("could not read the clock")]
    Clock { source: io::Error },
    #[error(transparent)]
    Pins(#[from] PinError),
}

/// The program and its tables.
#[derive(Debug)]
pub struct Kernel {
    // Dropped in this order: no packet reaches a program that is going away.
    pub(crate) links: Vec<Attached>,
    tables: Tables,
    pub(crate) object: Object,
    /// `None` where everything goes with this process.
    pub(crate) pinning: Option<Pinning>,
}

impl Kernel {
    /// Loads the program with empty tables. It decides nothing until it is attached.
    pub fn load(options: &Options) -> Result<Self, Error> {
        Self::load_object(object::open(options)?, options)
    }

    pub(crate) fn load_object(open: libbpf_rs::OpenObject, options: &Options) -> Result<Self, Error> {
        let object = open.load().map_err(|source| Error::Load { source })?;
        let tables = Tables::new(&object, options)?;
        Ok(Self { links: Vec::new(), tables, object, pinning: None })
    }

    /// Attaches the program in the network namespace of the calling thread, at every hook for both families, until this
    /// is dropped; all or nothing. Once attached, or pinned, this does nothing.
    pub fn attach(&mut self) -> Result<(), Error> {
        if self.links.is_empty() && !self.is_pinned() {
            self.links = attach::attach(self.program()?.as_fd())?;
        }
        Ok(())
    }

    /// Detaches the program: everything passes. What is pinned stays: see [`crate::pins::remove`].
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// Carries out operations in their order, up to the first that fails.
    pub fn apply(&mut self, ops: &[Op]) -> Result<Applied, ApplyError> {
        self.tables.apply(ops)
    }

    /// Refuses packets of a connection that was cut until this time of the monotonic clock: those that conntrack does
    /// not know and that begin no connection.
    pub fn cut(&self, key: &CutKey, until: Duration) -> Result<(), Error> {
        self.tables.cut(key, u64::try_from(until.as_nanos()).unwrap_or(u64::MAX))
    }

    /// What the program says of a packet, which begins with its IP header. It counts and tells as for a real one.
    pub fn test_run(&self, hook: Hook, family: Family, packet: &[u8]) -> Result<bool, Error> {
        Ok(self.test_run_repeated(hook, family, packet, 1)?.0)
    }

    /// The same many times over, with the mean time of one.
    pub fn test_run_repeated(
        &self,
        hook: Hook,
        family: Family,
        packet: &[u8],
        times: u32,
    ) -> Result<(bool, Duration), Error> {
        // `struct nf_hook_state`: hook, family, and pointers that are null.
        let mut state = [0; 48];
        state[0] = hook as u8;
        state[1] = family as u8;
        let frame = test_frame(hook, family, packet);
        let input = ProgramInput {
            context_in: Some(&mut state),
            data_in: Some(&frame),
            repeat: times,
            ..Default::default()
        };
        let output = self
            .program()?
            .test_run(input)
            .map_err(|source| Error::TestRun { length: packet.len(), source })?;
        Ok((output.return_value == 1, output.duration))
    }

    /// What was counted, over all CPUs.
    pub fn counters(&self) -> Result<Counters, Error> {
        let map = self.map("counters")?;
        let sum = |index: u32| -> Result<u64, Error> {
            let values = map
                .lookup_percpu(&index.to_ne_bytes(), MapFlags::empty())
                .map_err(|source| Error::Counters { source })?;
            let words = values.iter().flatten().filter_map(|value| value.first_chunk::<8>());
            Ok(words.map(|word| u64::from_ne_bytes(*word)).fold(0, u64::wrapping_add))
        };
        Ok(Counters {
            allowed: sum(0)?,
            denied: sum(1)?,
            unknown_endpoint: sum(2)?,
            malformed: sum(3)?,
            fragment: sum(4)?,
            missing_row: sum(5)?,
            events_lost: sum(6)?,
            flows_lost: sum(7)?,
            cut: sum(8)?,
        })
    }

    /// A reader of the events; each goes to one reader only.
    pub fn events<'callback>(
        &self,
        mut callback: impl FnMut(Result<Event, DecodeError>) + 'callback,
    ) -> Result<Events<'callback>, Error> {
        let error = |source| Error::Events { source };
        let map = self.map("events")?;
        let mut builder = RingBufferBuilder::new();
        builder
            .add(&map, move |bytes| {
                callback(event::decode(bytes));
                0
            })
            .map_err(error)?;
        Ok(Events { ring: builder.build().map_err(error)? })
    }

    /// All rows.
    pub fn dump(&self) -> Result<mirror::Tables, Error> {
        self.tables.dump()
    }

    /// What has been seen.
    pub fn flows(&self) -> Result<BTreeMap<FlowKey, FlowValue>, Error> {
        self.tables.flows()
    }

    /// How full each table is. Reads every key: a matter of milliseconds, not for every packet.
    pub fn usage(&self) -> Result<Vec<Usage>, Error> {
        self.tables.usage()
    }

    pub(crate) fn program(&self) -> Result<ProgramMut<'_>, Error> {
        self.object
            .progs_mut()
            .find(|program| program.name() == PROGRAM)
            .ok_or(Error::NotInObject { name: PROGRAM })
    }

    fn map(&self, name: &'static str) -> Result<MapHandle, Error> {
        let map = self.object.maps().find(|map| map.name() == name).ok_or(Error::NotInObject { name })?;
        MapHandle::try_from(&map).map_err(|source| Error::Events { source })
    }
}

/// Reads events when asked to, and hands them to its callback.
#[derive(Debug)]
pub struct Events<'callback> {
    ring: RingBuffer<'callback>,
}

impl Events<'_> {
    /// Waits for events and reads them.
    pub fn poll(&self, timeout: Duration) -> Result<(), Error> {
        self.ring.poll(timeout).map_err(|source| Error::Events { source })
    }

    /// Reads the events that are there.
    pub fn consume(&self) -> Result<(), Error> {
        self.ring.consume().map_err(|source| Error::Events { source })
    }

    /// Becomes readable when there are events; for an event loop of the caller's.
    #[must_use]
    pub fn epoll_fd(&self) -> i32 {
        self.ring.epoll_fd()
    }
}

/// What the program has counted since it was loaded. Established connections are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// New connections that were allowed and have a local endpoint.
    pub allowed: u64,
    /// Packets denied by a rule, or by default.
    pub denied: u64,
    /// Packets denied because an address in the pods' range has no endpoint.
    pub unknown_endpoint: u64,
    /// Packets denied because they could not be read.
    pub malformed: u64,
    /// Packets denied because they are fragments without ports.
    pub fragment: u64,
    /// Packets denied because the tables do not say.
    pub missing_row: u64,
    /// Events that found no room.
    pub events_lost: u64,
    /// Flows that found no room; their events are not limited.
    pub flows_lost: u64,
    /// Packets denied because their connection was cut.
    pub cut: u64,
}

/// Except at LOCAL_OUT the kernel takes an Ethernet header off before it calls the program: `bpf_prog_test_run_nf()` in
/// <https://github.com/torvalds/linux/blob/v6.18/net/bpf/test_run.c>.
fn test_frame(hook: Hook, family: Family, packet: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + packet.len());
    if hook != Hook::LocalOut {
        frame.extend([0; 12]);
        frame.extend(match family {
            Family::V4 => [0x08, 0x00],
            Family::V6 => [0x86, 0xdd],
        });
    }
    frame.extend(packet);
    frame
}
