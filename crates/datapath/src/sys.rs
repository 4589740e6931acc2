//! The BPF calls that `libbpf-rs` wraps without their error number or their count: a full table must be told from other
//! failures, a dump must tell its end from an error, and a hook that is taken from one that cannot be had.
#![expect(unsafe_code, reason = "the C functions of libbpf")]

use std::ffi::{CString, c_void};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
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

/// What a file of the BPF file system stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ObjectKind {
    Link,
    Map,
    Other,
}

/// Attaches a program at a netfilter hook, in the network namespace of the calling thread.
pub(crate) fn attach_netfilter(
    program: BorrowedFd<'_>,
    family: u32,
    hook: u32,
    priority: i32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>().try_into().map_err(io::Error::other)?,
        ..Default::default()
    };
    options.__bindgen_anon_1.netfilter = libbpf_sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_5 {
        pf: family,
        hooknum: hook,
        priority,
        flags,
    };
    // SAFETY: the kernel only reads the options, of which the netfilter ones are those of this kind of link.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), 0, libbpf_sys::BPF_NETFILTER, &raw const options)
    };
    result(fd)?;
    // SAFETY: a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Detaches what a link holds, at once. By itself the kernel does so a while after nobody has the link any more.
pub(crate) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the kernel is handed nothing but a number.
    result(unsafe { libbpf_sys::bpf_link_detach(link.as_raw_fd()) })
}

/// Makes a file of the BPF file system, by which an object stays when nobody has it open.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the kernel only reads the path, which ends with a zero.
    result(unsafe { libbpf_sys::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) })
}

/// Opens the object behind a file of the BPF file system.
pub(crate) fn open_pinned(path: &Path) -> io::Result<(OwnedFd, ObjectKind)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the kernel only reads the path, which ends with a zero.
    let fd = unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) };
    result(fd)?;
    // SAFETY: a new descriptor, which nobody else has.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // The kernel answers a question about an object whatever it is, so one has to know it before. As bpftool does.
    let name = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    let name = name.to_string_lossy();
    let kind = match () {
        () if name.contains("bpf-link") || name.contains("bpf_link") => ObjectKind::Link,
        () if name.contains("bpf-map") => ObjectKind::Map,
        () => ObjectKind::Other,
    };
    Ok((fd, kind))
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
