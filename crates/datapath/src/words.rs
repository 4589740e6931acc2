//! The tables that change in place: arrays of whole words, mapped into this process, so that each word
//! is changed by one store. A change through the system call would be a `memcpy()`, which some CPUs do byte by byte,
//! and a packet could see half of a word: `copy_map_value()` in
//! <https://github.com/torvalds/linux/blob/v6.18/include/linux/bpf.h>.
#![expect(unsafe_code, reason = "memory shared with the kernel")]

use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::sys::RawMap;

/// An array whose rows have `N` words.
#[derive(Debug)]
pub(crate) struct Words<const N: usize> {
    start: NonNull<[AtomicU64; N]>,
    rows: usize,
    bytes: NonZeroUsize,
}

// SAFETY: the memory is the map's, is mapped as long as this lives, and is reached through atomics only.
unsafe impl<const N: usize> Send for Words<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Words<N> {}

impl<const N: usize> Words<N> {
    /// Maps an array of `rows` rows.
    pub(crate) fn new(map: &RawMap, rows: u32) -> io::Result<Self> {
        if map.value_size() != size_of::<[AtomicU64; N]>() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let rows = usize::try_from(rows).map_err(io::Error::other)?;
        let bytes = rows
            .checked_mul(size_of::<[AtomicU64; N]>())
            .and_then(NonZeroUsize::new)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice takes nothing away. The kernel checks that the map
        // has as many bytes.
        let start = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, map, 0)? };
        Ok(Self { start: start.cast(), rows, bytes })
    }

    /// Changes a row, one store for each word; `false` where there is no such row. What was written before, here or
    /// by system calls, is seen by whoever sees these words.
    pub(crate) fn store(&self, index: u32, words: [u64; N]) -> bool {
        let Some(row) = self.row(index) else { return false };
        for (place, word) in row.iter().zip(words) {
            place.store(word, Ordering::Release);
        }
        true
    }

    /// All rows, with their index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, [u64; N])> + '_ {
        (0..).map_while(|index| {
            let row = self.row(index)?;
            Some((index, row.each_ref().map(|word| word.load(Ordering::Acquire))))
        })
    }

    fn row(&self, index: u32) -> Option<&[AtomicU64; N]> {
        let index = usize::try_from(index).ok().filter(|index| *index < self.rows)?;
        // SAFETY: the mapping has `rows` rows, begins at a page and lives as long as `self`. The kernel and its
        // programs reach it by whole words, as atomics do.
        Some(unsafe { self.start.add(index).as_ref() })
    }
}

impl<const N: usize> Drop for Words<N> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nothing borrows from it any more.
        let unmapped = unsafe { munmap(self.start.cast(), self.bytes.get()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
