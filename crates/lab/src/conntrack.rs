//! Forgets every tracked connection of a namespace.
//!
//! Probes use a new source port each time, so that none is taken for part of an earlier connection. Ports are finite,
//! though, and a caller who changes policies and asks again wants a clean start: a UDP flow, for one, is remembered
//! for half a minute and passes as established. So this is for between the rounds.

use std::io::{self, Read};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

// <https://docs.kernel.org/userspace-api/netlink/intro.html> and linux/netfilter/nfnetlink_conntrack.h
const AF_NETLINK: i32 = 16;
const NETLINK_NETFILTER: i32 = 12;
const CONNTRACK_DELETE: u16 = (1 << 8) | 2;
const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;

/// Runs inside the namespace. A deletion that names no connection means all of them.
pub(crate) fn flush() -> io::Result<()> {
    let mut socket =
        Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_NETFILTER)))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::with_capacity(20);
    request.extend(20u32.to_ne_bytes());
    request.extend(CONNTRACK_DELETE.to_ne_bytes());
    request.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    request.extend([0; 8]); // sequence and port: one request, one answer
    request.extend([0; 4]); // any address family, version 0, no resource
    socket.send(&request)?;
    let mut answer = [0; 256];
    let length = socket.read(&mut answer)?;
    // The header of 16 bytes, then the error: 0 or a negative errno.
    let error =
        answer.get(16..20).filter(|_| length >= 20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    match error {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
