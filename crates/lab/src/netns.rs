//! Network namespaces without a name: each lives as long as somebody holds its descriptor.
//!
//! So they need no cleaning up. When this process ends, by whatever signal, the kernel takes down the namespaces and
//! everything in them; the machine's own namespace and `/run/netns` are never touched.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// Why a namespace could not be made or entered.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The kernel refused.
    #[error(
        "making network namespaces was refused: the lab needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN); try sudo"
    )]
    NotRoot(#[source] io::Error),
    /// Something else failed.
    #[error("cannot {what} a network namespace")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// The code that ran in the namespace panicked.
    #[error("the work done inside a network namespace panicked")]
    Panicked,
}

impl NetnsError {
    fn new(what: &'static str, source: io::Error) -> NetnsError {
        match source.kind() {
            io::ErrorKind::PermissionDenied => NetnsError::NotRoot(source),
            _ => NetnsError::Failed { what, source },
        }
    }
}

/// A network namespace, held by a descriptor.
#[derive(Debug)]
pub struct Netns {
    file: File,
}

impl Netns {
    /// So many new ones. Each has only a loopback link, and that is down.
    pub(crate) fn create(count: usize) -> Result<Vec<Netns>, NetnsError> {
        // On a thread of its own: a namespace belongs to the thread, and this one is not needed afterwards.
        on_thread(|| {
            (0..count)
                .map(|_| {
                    unshare(CloneFlags::CLONE_NEWNET).map_err(|e| NetnsError::new("make", e.into()))?;
                    let file =
                        File::open("/proc/thread-self/ns/net").map_err(|e| NetnsError::new("hold", e))?;
                    Ok(Netns { file })
                })
                .collect()
        })?
    }

    /// Runs a closure on a thread of its own inside this namespace. Processes that it starts are inside too.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        on_thread(|| {
            self.enter()?;
            Ok(work())
        })?
    }

    /// Moves the calling thread into this namespace, for good.
    pub(crate) fn enter(&self) -> Result<(), NetnsError> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|e| NetnsError::new("enter", e.into()))
    }

    /// Another hold on the same namespace.
    pub(crate) fn try_clone(&self) -> Result<Netns, NetnsError> {
        let file = self.file.try_clone().map_err(|e| NetnsError::new("hold", e))?;
        Ok(Netns { file })
    }

    /// A path by which another process of this machine finds the namespace while this one lives.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }
}

fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("lab-netns".into()).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| NetnsError::new("start a thread for", e))?;
        thread.join().map_err(|_| NetnsError::Panicked)
    })
}
