//! The BPF map calls that `libbpf-rs` wraps without their error number or their count: a full table must be told
//! from other failures, and a dump must tell its end from an error.
#![expect(unsafe_code, reason = "the C functions of libbpf")]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libbpf_rs::libbpf_sys;
use libbpf_rs::{MapCore, MapHandle, MapType};

/// A map whose values are not per CPU.
#[derive(Debug)]
pub(crate) struct RawMap {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
}

impl RawMap {
    pub(crate) fn new(map: &(impl MapCore + ?Sized)) -> io::Result<Self> {
        if map.map_type().is_percpu() || map.map_type() == MapType::RingBuf {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self {
            fd: map.as_fd().try_clone_to_owned()?,
            key_size: usize::try_from(map.key_size()).map_err(io::Error::other)?,
            value_size: usize::try_from(map.value_size()).map_err(io::Error::other)?,
        })
    }

    /// An array with one place for a map like `inner`.
    pub(crate) fn array_of_maps(inner: &MapHandle) -> io::Result<Self> {
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>().try_into().map_err(io::Error::other)?,
            inner_map_fd: inner.as_fd().as_raw_fd().try_into().map_err(io::Error::other)?,
            ..Default::default()
        };
        let outer = MapHandle::create(MapType::ArrayOfMaps, Some("rf_grace"), 4, 4, 1, &options)
            .map_err(io::Error::other)?;
        Self::new(&outer)
    }

    pub(crate) fn key_size(&self) -> usize {
        self.key_size
    }

    pub(crate) fn value_size(&self) -> usize {
        self.value_size
    }

    pub(crate) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.expect(key, value, 1)?;
        // SAFETY: both buffers have the sizes of this map's keys and values; the kernel only reads them.
        result(unsafe {
            libbpf_sys::bpf_map_update_elem(self.raw(), key.as_ptr().cast(), value.as_ptr().cast(), flags)
        })
    }

    /// Writes rows in order, and says how many were written before an error.
    pub(crate) fn update_batch(&self, keys: &[u8], values: &[u8], rows: u32) -> Result<(), (u32, io::Error)> {
        let wanted = usize::try_from(rows).map_err(|error| (0, io::Error::other(error)))?;
        self.expect(keys, values, wanted).map_err(|error| (0, error))?;
        let options = libbpf_sys::bpf_map_batch_opts {
            sz: size_of::<libbpf_sys::bpf_map_batch_opts>()
                .try_into()
                .map_err(|error| (0, io::Error::other(error)))?,
            ..Default::default()
        };
        let mut count = rows;
        // SAFETY: both buffers hold `rows` keys and values of this map; the kernel only reads them, and writes how
        // many it has handled to `count`.
        let ret = unsafe {
            libbpf_sys::bpf_map_update_batch(
                self.raw(),
                keys.as_ptr().cast::<c_void>(),
                values.as_ptr().cast::<c_void>(),
                &raw mut count,
                &raw const options,
            )
        };
        result(ret).map_err(|error| (count.min(rows), error))
    }

    /// Reads a row; `false` when there is none.
    pub(crate) fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        self.expect(key, value, 1)?;
        // SAFETY: both buffers have the sizes of this map's keys and values, and `value` may be written.
        let ret = unsafe {
            libbpf_sys::bpf_map_lookup_elem(self.raw(), key.as_ptr().cast(), value.as_mut_ptr().cast())
        };
        present(result(ret))
    }

    /// Deletes a row; `false` when there is none.
    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<bool> {
        if key.len() != self.key_size {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the buffer has the size of this map's keys; the kernel only reads it.
        present(result(unsafe { libbpf_sys::bpf_map_delete_elem(self.raw(), key.as_ptr().cast()) }))
    }

    /// The key after `previous`, or the first one; `false` at the end.
    pub(crate) fn next_key(&self, previous: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        if next.len() != self.key_size || previous.is_some_and(|key| key.len() != self.key_size) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let previous = previous.map_or(ptr::null(), <[u8]>::as_ptr);
        // SAFETY: `previous` is null or has the size of this map's keys, as `next` has, which may be written.
        present(result(unsafe {
            libbpf_sys::bpf_map_get_next_key(self.raw(), previous.cast(), next.as_mut_ptr().cast())
        }))
    }

    fn raw(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    fn expect(&self, keys: &[u8], values: &[u8], rows: usize) -> io::Result<()> {
        let fits = |bytes: &[u8], size: usize| size.checked_mul(rows) == Some(bytes.len());
        if fits(keys, self.key_size) && fits(values, self.value_size) {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }
}

impl AsFd for RawMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Since libbpf 1.0 every call returns the negative error number.
fn result(ret: i32) -> io::Result<()> {
    if ret < 0 { Err(io::Error::from_raw_os_error(-ret)) } else { Ok(()) }
}

fn present(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
