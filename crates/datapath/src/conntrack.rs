//! The kernel's connection tracking: that it happens, and its table, read and deleted from ([`Connections`]).
//!
//! The kernel tracks connections in a network namespace only where something asks
//! for their state; kube-proxy does, but not on every node, and without tracking every reply would be a new
//! connection to be decided. So one rule in an nftables table of our own asks, and decides nothing. See `nf_ct_netns_get()` in
//! <https://github.com/torvalds/linux/blob/v6.18/net/netfilter/nf_conntrack_proto.c>.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::kernel::{self, Kernel};

mod connections;
mod entry;

pub use connections::{Connections, ConnectionsError};
pub use entry::{Entry, Icmp, Incomplete};

const TABLE: &str = "ringfence";

/// `continue` goes on as if the rule were not there; it is the question about the state that counts.
const RULES: &str = "table inet ringfence
delete table inet ringfence
table inet ringfence {
    comment \"asks for connection tracking; drops nothing\"
    chain tracking {
        type filter hook prerouting priority filter; policy accept;
        ct state invalid continue
    }
}
";

/// What went wrong with `nft`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not installed, or not to be run.
    #[error("the program `nft` does not run; install nftables (Debian, Ubuntu: `apt install nftables`)")]
    Missing {
        /// Why.
        source: io::Error,
    },
    /// It refused.
    #[error("`nft` refused: {message}")]
    Refused {
        /// Its own words.
        message: String,
    },
}

/// How long a cut of UDP holds, whose packets do not tell a new connection from an old one: a little longer than the
/// kernel itself would remember the connection (`nf_conntrack_udp_timeout_stream`).
const UDP_CUT: Duration = Duration::from_secs(180);
/// How long one of protocols holds whose connections begin with a packet of their own, which a cut does not concern: as
/// long as the kernel would remember one (`nf_conntrack_tcp_timeout_established`).
const CUT: Duration = Duration::from_secs(432_000);

const UDP: u8 = 17;

/// Why a connection was not cut.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CutError {
    #[error(transparent)]
    Table(#[from] kernel::Error),
    #[error(transparent)]
    Connections(#[from] ConnectionsError),
}

/// Ends a connection that no policy permits any more: first the program is told to refuse what comes from its other end,
/// then the kernel forgets it, so that its next packet is judged as a new connection's. `false` where it was gone.
pub fn cut(kernel: &Kernel, connections: &mut Connections, entry: &Entry) -> Result<bool, CutError> {
    if let Some(key) = entry.cut_key() {
        let time = if entry.protocol == UDP { UDP_CUT } else { CUT };
        kernel.cut(&key, now()?.saturating_add(time))?;
    }
    Ok(connections.delete(entry)?)
}

/// The clock of the program, of events and of cuts.
fn now() -> Result<Duration, kernel::Error> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_err(|errno| kernel::Error::Clock { source: errno.into() })?;
    Ok(Duration::from(now))
}

/// Connections are tracked as long as this lives, in the network namespace of the thread that made it. Drop it on a
/// thread of that namespace.
#[derive(Debug)]
#[must_use = "tracking ends when this is dropped"]
pub struct Conntrack {
    remove: bool,
}

impl Conntrack {
    /// Asks for tracking in the network namespace of the calling thread. Asking again replaces the table, in one
    /// step.
    pub fn ensure() -> Result<Self, Error> {
        nft(&["-f", "-"], RULES)?;
        Ok(Self { remove: true })
    }

    /// Leaves the table in place, for enforcement that goes on without this process.
    pub fn keep(mut self) {
        self.remove = false;
    }

    /// Removes the table of the calling thread's network namespace, whoever made it. No table is no error.
    pub fn remove() -> Result<(), Error> {
        nft(&["-f", "-"], &format!("table inet {TABLE}\ndelete table inet {TABLE}\n"))
    }
}

impl Drop for Conntrack {
    fn drop(&mut self) {
        if self.remove {
            // Nobody is left to be told, and the table drops nothing.
            drop(Self::remove());
        }
    }
}

fn nft(arguments: &[&str], input: &str) -> Result<(), Error> {
    let missing = |source| Error::Missing { source };
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // When it does not read, it says why below.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Refused { message: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}
