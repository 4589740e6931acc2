//! The wait between unlinking a row and deleting it, until every packet that was under way has been decided.
//!
//! The kernel waits for those before it returns from a change of a map of maps, so that whoever made the change may
//! rely on it: `maybe_wait_bpf_programs()` in <https://github.com/torvalds/linux/blob/v6.18/kernel/bpf/syscall.c>.
//! On Linux 6.18 that is an ordinary grace period, some 10 milliseconds; later kernels make it an expedited one, a hundred
//! times as fast: <https://github.com/torvalds/linux/commit/ff34657aa72a4dab9c2fd38e1b31a506951f4b1c>.
//! `membarrier(MEMBARRIER_CMD_GLOBAL)` takes as long, and would not do: it is refused with `nohz_full`, and waits for
//! nothing on a single CPU: <https://github.com/torvalds/linux/blob/v6.18/kernel/sched/membarrier.c>.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use libbpf_rs::libbpf_sys::bpf_map_create_opts;
use libbpf_rs::{MapHandle, MapType};
use zerocopy::IntoBytes;

use crate::sys::RawMap;

/// A map of maps that nobody reads.
#[derive(Debug)]
pub(crate) struct Grace {
    outer: RawMap,
    inner: MapHandle,
}

impl Grace {
    pub(crate) fn new() -> io::Result<Self> {
        let options = bpf_map_create_opts {
            sz: size_of::<bpf_map_create_opts>().try_into().map_err(io::Error::other)?,
            ..Default::default()
        };
        let inner = MapHandle::create(MapType::Array, Some("rf_grace_inner"), 4, 4, 1, &options)
            .map_err(io::Error::other)?;
        Ok(Self { outer: RawMap::array_of_maps(&inner)?, inner })
    }

    pub(crate) fn wait(&self) -> io::Result<()> {
        let inner = self.inner.as_fd().as_raw_fd();
        self.outer.update(0u32.as_bytes(), inner.as_bytes(), 0)
    }
}
