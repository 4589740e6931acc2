//! The program at its hooks, for both families. A link is a file descriptor: while it is open, or pinned somewhere, the
//! program is attached.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::event::{Family, Hook};
use crate::kernel::Error;
use crate::sys;

/// After every destination NAT (-100), connection tracking (-200) and mangling (-150), so that addresses are the
/// pods' own; just before the filter chains (0) of whoever else has some; before source NAT (100).
/// `enum nf_ip_hook_priorities` in <https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/netfilter_ipv4.h>.
pub(crate) const PRIORITY: i32 = -1;

/// The kernel refuses a BPF program where somebody else has its priority at a hook, so whoever comes beside one takes the
/// next: another version of this program, which is about to be replaced, or a stranger.
const LAST_PRIORITY: i32 = -32;

/// `BPF_F_NETFILTER_IP_DEFRAG`: fragments are put together before this program and whatever follows sees them.
const DEFRAGMENT: u32 = 1;

/// The program at one hook, for one family.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) hook: Hook,
    pub(crate) family: Family,
    pub(crate) link: OwnedFd,
}

/// All places.
pub(crate) fn places() -> impl Iterator<Item = (Hook, Family)> {
    Family::ALL.into_iter().flat_map(|family| Hook::ALL.into_iter().map(move |hook| (hook, family)))
}

/// Attaches a program everywhere, in the network namespace of the calling thread; all or nothing.
pub(crate) fn attach(program: BorrowedFd<'_>) -> Result<Vec<Attached>, Error> {
    let mut priority = PRIORITY;
    loop {
        let attached: Result<_, _> = places().map(|place| attach_at(program, place, priority)).collect();
        match attached {
            Err(error) if is_taken(&error) && priority > LAST_PRIORITY => priority -= 1,
            result => return result,
        }
    }
}

/// Whether somebody hangs at a place with this priority, in the network namespace of the calling thread. The
/// kernel does not say so of a link, which can have been detached, or belong to another namespace; so it is tried.
pub(crate) fn is_attached(
    program: BorrowedFd<'_>,
    place: (Hook, Family),
    priority: i32,
) -> Result<bool, Error> {
    match attach_at(program, place, priority) {
        Ok(_) => Ok(false),
        Err(error) if is_taken(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

fn attach_at(program: BorrowedFd<'_>, place: (Hook, Family), priority: i32) -> Result<Attached, Error> {
    let (hook, family) = place;
    let link = sys::attach_netfilter(program, family as u32, hook as u32, priority, DEFRAGMENT)
        .map_err(|source| Error::Attach { hook, family, source })?;
    Ok(Attached { hook, family, link })
}

/// `nf_hook_entries_grow()` in <https://github.com/torvalds/linux/blob/v6.18/net/netfilter/core.c>.
fn is_taken(error: &Error) -> bool {
    let busy = |source: &io::Error| source.raw_os_error() == Some(Errno::EBUSY as i32);
    matches!(error, Error::Attach { source, .. } if busy(source))
}
