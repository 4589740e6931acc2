//! Traffic between two pods: one stream, or new connections as fast as they come. It goes on by itself while others
//! read how much has passed.
//!
//! Every socket gives up after a while, so that nothing here waits for a packet that is dropped.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Scope;
use std::time::Duration;

use anyhow::Context;
use ringfence_lab::{Lab, Place};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::bench::scenario::PORT;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes of one connection.
    Stream,
    /// Connections: opened, accepted, closed by the server.
    Connections,
}

/// From where to where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) client: Place,
    pub(crate) server: Place,
    pub(crate) address: IpAddr,
}

/// How much has passed, and whether it is enough.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Bytes that arrived, or connections that were closed.
    passed: AtomicU64,
    /// Connections that did not come about.
    failed: AtomicU64,
    stop: AtomicBool,
}

/// Clients that open connections side by side.
const CLIENTS: usize = 4;
/// Threads that accept them.
const ACCEPTERS: usize = 2;
/// All ports, so that none is used twice within a window.
const PORTS: (&str, &str) = ("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535");
const PATIENCE: Duration = Duration::from_millis(500);
const BUFFER: usize = 256 * 1024;

impl Meter {
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Starts the traffic on threads of the scope, which end when the meter is stopped.
pub(crate) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    lab: &'scope Lab,
    kind: Kind,
    way: Way,
    meter: &'scope Meter,
) -> anyhow::Result<()> {
    let address = SocketAddr::new(way.address, PORT);
    // A socket stays in the network that it was made in, whoever uses it.
    let listener = lab.netns(way.server)?.run(|| listen(address))?.context("cannot listen in the lab")?;
    match kind {
        Kind::Stream => {
            let mut sender = lab.netns(way.client)?.run(|| connect(address))?.context("cannot connect")?;
            let (receiver, _) = listener.accept().context("cannot accept")?;
            let mut receiver = TcpStream::from(receiver);
            receiver.set_read_timeout(Some(PATIENCE))?;
            scope.spawn(move || {
                let buffer = vec![0; BUFFER];
                while meter.goes_on() && sender.write_all(&buffer).is_ok() {}
                // The other end has gone when it is too late.
                let _ = sender.shutdown(Shutdown::Both);
            });
            scope.spawn(move || receive(&mut receiver, meter));
        }
        Kind::Connections => {
            for _ in 0..ACCEPTERS {
                let listener = listener.try_clone()?;
                scope.spawn(move || accept(&listener, meter));
            }
            let netns = lab.netns(way.client)?;
            netns.run(|| fs::write(PORTS.0, PORTS.1))?.context("cannot set the client's ports")?;
            for _ in 0..CLIENTS {
                scope.spawn(move || {
                    // Without the namespace no connection is made, and the figures say so.
                    let _ = netns.run(|| open(address, meter));
                });
            }
        }
    }
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // It holds for accepting too.
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(1024)?;
    Ok(socket)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // The first holds for connecting too.
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::from(address))?;
    Ok(socket.into())
}

fn receive(receiver: &mut TcpStream, meter: &Meter) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match receiver.read(&mut buffer) {
            Ok(0) => return,
            Ok(bytes) => drop(meter.passed.fetch_add(bytes as u64, Ordering::Relaxed)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && meter.goes_on() => {}
            Err(_) => return,
        }
    }
}

/// Accepts and resets: a connection that ends with a reset leaves no state behind that would use up the ports.
fn accept(listener: &Socket, meter: &Meter) {
    while meter.goes_on() {
        if let Ok((socket, _)) = listener.accept() {
            // Gone already: nothing left to reset.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

/// Opens one connection after the other, each when the server has ended the one before.
fn open(address: SocketAddr, meter: &Meter) {
    while meter.goes_on() {
        let ended = match connect(address) {
            // The end comes as a reset.
            Ok(mut connection) => connection.read(&mut [0]).map(drop).or_else(reset),
            // It may be there before this thread has heard of the connection.
            Err(error) => reset(error),
        };
        let count = if ended.is_ok() { &meter.passed } else { &meter.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn reset(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::ConnectionReset { Ok(()) } else { Err(error) }
}
