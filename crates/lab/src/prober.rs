//! Sends probes, thousands at a time, and says what came of each.
//!
//! One thread moves from namespace to namespace to open sockets, and waits for all of them in one place. Every probe
//! has a fresh source port and ends with a reset rather than with a lingering connection, so that what connection
//! tracking remembers of one is not mistaken for another.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringfence_policy::{Protocol, Traffic};
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::netns::Netns;
use crate::probe::{Outcome, Patience, Probe};
use crate::wiring::{SpaceId, Wiring};
use crate::{responder, sctp};

/// The source ports of probes. They wrap after fifty thousand probes of one source.
const FIRST_PORT: u32 = 10_000;
const PORTS: u32 = 50_000;

/// The most probes in flight. Each may take a descriptor on both sides.
const MOST_IN_FLIGHT: usize = 4096;

/// The most probes that were sent less than [`YOUNG`] ago. With more at once, answers would queue behind each other
/// for longer than the patience of a quick round, and look like silence.
const MOST_YOUNG: usize = 512;

/// What passes comes back in this time, and so makes room for the next; what is silent must not hold up the others.
const YOUNG: Duration = Duration::from_millis(60);

/// How often what may have been lost is sent again, where there is the time; TCP does by itself.
const AGAIN: Duration = Duration::from_millis(500);

const SCTP: socket2::Protocol = socket2::Protocol::SCTP;

/// Source ports given out so far, by namespace, over all rounds of a lab.
#[derive(Debug)]
pub(crate) struct SourcePorts(Vec<AtomicU32>);

impl SourcePorts {
    pub(crate) fn new(spaces: usize) -> SourcePorts {
        SourcePorts((0..spaces).map(|_| AtomicU32::new(0)).collect())
    }

    fn next(&self, space: SpaceId) -> u16 {
        let count = self.0.get(space.0).map_or(0, |c| c.fetch_add(1, Ordering::Relaxed));
        u16::try_from(FIRST_PORT + count % PORTS).unwrap_or_default()
    }
}

/// What a round needs.
pub(crate) struct Round<'a> {
    pub(crate) wiring: &'a Wiring,
    pub(crate) spaces: &'a [Netns],
    pub(crate) ports: &'a SourcePorts,
    pub(crate) patience: Patience,
}

/// Who waits for which INIT.
type Arrivals = Arc<Mutex<HashMap<u32, oneshot::Sender<String>>>>;

/// A probe on its way.
enum Sent {
    Tcp(TcpStream),
    Udp(UdpSocket),
    Ping(UdpSocket, [u8; 16]),
    Sctp(oneshot::Receiver<String>),
}

impl Round<'_> {
    /// Sends all and waits for all; the outcomes are in the order of the probes, of which each names its source's
    /// namespace. Must run on a thread of its own, which ends up in any namespace.
    pub(crate) fn run(
        &self,
        probes: &[(SpaceId, Probe)],
        progress: &mut dyn FnMut(usize, usize),
    ) -> io::Result<Vec<Outcome>> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // All that is ready must be seen before any clock runs out, or it would count as silent after a stall.
        runtime.enable_all().max_io_events_per_tick(4 * MOST_IN_FLIGHT);
        runtime.build()?.block_on(self.send_all(probes, progress))
    }

    async fn send_all(
        &self,
        probes: &[(SpaceId, Probe)],
        progress: &mut dyn FnMut(usize, usize),
    ) -> io::Result<Vec<Outcome>> {
        let arrivals = Arrivals::default();
        let mut receivers = JoinSet::new();
        if probes.iter().any(|(_, p)| matches!(p.traffic, Traffic::Port(Protocol::Sctp, _))) {
            self.receive_sctp(&arrivals, &mut receivers)?;
        }
        // By source, so that the thread seldom moves.
        let mut order: Vec<usize> = (0..probes.len()).collect();
        order.sort_by_key(|i| probes.get(*i).map(|(space, _)| *space));
        let mut outcomes = vec![Outcome::Silent; probes.len()];
        let in_flight = Arc::new(Semaphore::new(in_flight()));
        let young = Arc::new(Semaphore::new(MOST_YOUNG.min(in_flight.available_permits())));
        let mut waiting = JoinSet::new();
        let mut done = 0;
        let mut here = None;
        for (count, i) in order.into_iter().enumerate() {
            let Some((space, probe)) = probes.get(i) else { continue };
            // The semaphores are never closed.
            let Ok(permit) = in_flight.clone().acquire_owned().await else { break };
            let Ok(is_young) = young.clone().acquire_owned().await else { break };
            if here != Some(*space) {
                let netns = self.spaces.get(space.0).ok_or(io::ErrorKind::NotFound)?;
                netns.enter().map_err(io::Error::other)?;
                here = Some(*space);
            }
            let tag = u32::try_from(i + 1).unwrap_or(u32::MAX);
            match self.send(*space, probe, tag, &arrivals) {
                Ok(sent) => {
                    let patience = self.patience.0;
                    waiting.spawn(async move {
                        let _permit = permit;
                        let mut outcome = pin!(sent.outcome(patience));
                        let early = timeout(YOUNG, outcome.as_mut()).await;
                        drop(is_young);
                        match early {
                            Ok(outcome) => (i, outcome),
                            Err(_) => (i, outcome.await),
                        }
                    });
                }
                Err(error) => set(&mut outcomes, i, from_error(&error)),
            }
            // Answers are collected on the way, or they would wait for the last probe.
            if count % 32 == 31 {
                yield_now().await;
            }
            while let Some(Ok((i, outcome))) = waiting.try_join_next() {
                set(&mut outcomes, i, outcome);
                done += 1;
            }
            if count % 256 == 255 {
                progress(done, probes.len());
            }
        }
        while let Some(joined) = waiting.join_next().await {
            let (i, outcome) = joined.map_err(io::Error::other)?;
            set(&mut outcomes, i, outcome);
            done += 1;
            if done % 256 == 0 {
                progress(done, probes.len());
            }
        }
        progress(probes.len(), probes.len());
        Ok(outcomes)
    }

    /// Runs inside the source's namespace.
    fn send(&self, space: SpaceId, probe: &Probe, tag: u32, arrivals: &Arrivals) -> io::Result<Sent> {
        let source = match probe.from {
            crate::Place::Outside(address) => address,
            _ if probe.to.is_ipv4() => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let v4 = probe.to.is_ipv4();
        match probe.traffic {
            Traffic::Port(Protocol::Tcp, port) => {
                let to = SocketAddr::new(probe.to, port);
                let socket = self.bound(space, to, Type::STREAM, source)?;
                // Closing resets: nothing lingers in TIME_WAIT, and connection tracking forgets soon.
                socket.set_linger(Some(Duration::ZERO))?;
                match socket.connect(&to.into()) {
                    Err(e) if e.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => {
                        return Err(e);
                    }
                    Err(_) | Ok(()) => {}
                }
                Ok(Sent::Tcp(TcpStream::from_std(socket.into())?))
            }
            Traffic::Port(Protocol::Udp, port) => {
                let to = SocketAddr::new(probe.to, port);
                let socket = self.bound(space, to, Type::DGRAM, source)?;
                socket.connect(&to.into())?;
                socket.send(b"probe")?;
                Ok(Sent::Udp(UdpSocket::from_std(socket.into())?))
            }
            Traffic::Port(Protocol::Sctp, port) => {
                let to = SocketAddr::new(probe.to, 0);
                let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(SCTP))?;
                socket.bind(&SocketAddr::new(source, 0).into())?;
                let (send, receive) = oneshot::channel();
                arrivals.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, send);
                socket.send_to(&sctp::init(self.ports.next(space), port, tag), &to.into())?;
                Ok(Sent::Sctp(receive))
            }
            Traffic::Other => {
                let to = SocketAddr::new(probe.to, 0);
                let protocol = if v4 { socket2::Protocol::ICMPV4 } else { socket2::Protocol::ICMPV6 };
                let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(protocol))?;
                socket.set_nonblocking(true)?;
                socket.bind(&SocketAddr::new(source, 0).into())?;
                socket.connect(&to.into())?;
                // Type, code, checksum and identifier (the kernel's to fill in), sequence, something to carry.
                let mut echo = [0; 16];
                echo.first_mut().into_iter().for_each(|kind| *kind = if v4 { 8 } else { 128 });
                socket.send(&echo)?;
                Ok(Sent::Ping(UdpSocket::from_std(socket.into())?, echo))
            }
        }
    }

    /// A socket with a source port that was not used for long.
    fn bound(&self, space: SpaceId, to: SocketAddr, kind: Type, source: IpAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), kind, None)?;
        socket.set_nonblocking(true)?;
        let mut result = Err(io::ErrorKind::AddrInUse.into());
        // Listeners may have some of the ports.
        for _ in 0..16 {
            result = socket.bind(&SocketAddr::new(source, self.ports.next(space)).into());
            if !result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse) {
                break;
            }
        }
        result.map(|()| socket)
    }

    /// Listens for INITs in every namespace.
    fn receive_sctp(&self, arrivals: &Arrivals, receivers: &mut JoinSet<()>) -> io::Result<()> {
        for (space, netns) in self.wiring.spaces.iter().zip(self.spaces) {
            netns.enter().map_err(io::Error::other)?;
            for domain in [Domain::IPV4, Domain::IPV6] {
                let socket = match Socket::new(domain, Type::RAW, Some(SCTP)) {
                    // A machine without IPv6.
                    Err(_) if domain == Domain::IPV6 => continue,
                    other => other?,
                };
                socket.set_nonblocking(true)?;
                socket.set_recv_buffer_size(1 << 20)?;
                // A raw socket is read like one for datagrams.
                let socket = UdpSocket::from_std(socket.into())?;
                let (who, arrivals) = (space.name.clone(), arrivals.clone());
                receivers.spawn(async move {
                    let mut packet = [0; 128];
                    while let Ok(length) = socket.recv(&mut packet).await {
                        let received = packet.get(..length).unwrap_or_default();
                        let tag = sctp::tag_of(received, domain == Domain::IPV4);
                        let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(waiting) = tag.and_then(|tag| arrivals.remove(&tag)) {
                            // It may have stopped waiting.
                            let _ = waiting.send(who.clone());
                        }
                    }
                });
            }
        }
        Ok(())
    }
}

impl Sent {
    async fn outcome(self, patience: Duration) -> Outcome {
        match self {
            Sent::Tcp(stream) => tcp(stream, patience).await,
            Sent::Udp(socket) => {
                let mut name = [0; 512];
                match exchange(&socket, b"probe", &mut name, patience).await {
                    Some(Ok(length)) => {
                        let name = String::from_utf8_lossy(name.get(..length).unwrap_or_default());
                        Outcome::Answered(name.into_owned())
                    }
                    other => without_answer(other),
                }
            }
            Sent::Ping(socket, echo) => match exchange(&socket, &echo, &mut [0; 64], patience).await {
                Some(Ok(_)) => Outcome::Echoed,
                other => without_answer(other),
            },
            Sent::Sctp(arrival) => match timeout(patience, arrival).await {
                Ok(Ok(who)) => Outcome::Arrived(who),
                Ok(Err(_)) | Err(_) => Outcome::Silent,
            },
        }
    }
}

async fn tcp(mut stream: TcpStream, patience: Duration) -> Outcome {
    let deadline = Instant::now() + patience;
    match timeout_at(deadline, stream.writable()).await {
        Err(_) => return Outcome::Silent,
        Ok(Err(error)) => return from_error(&error),
        Ok(Ok(())) => {}
    }
    if let Ok(Some(error)) | Err(error) = stream.take_error() {
        return from_error(&error);
    }
    // Connected: it passed, whether the name comes or not.
    let mut answer = Vec::with_capacity(512);
    let read = async {
        while stream.read_buf(&mut answer).await? > 0 && responder::name_in(&answer).is_none() {}
        io::Result::Ok(())
    };
    // What counts is what has been read by then.
    let _ = timeout_at(deadline, read).await;
    Outcome::Answered(responder::name_in(&answer).unwrap_or_default())
}

/// Waits for the answer to a datagram that has been sent, and sends it again now and then.
async fn exchange(
    socket: &UdpSocket,
    request: &[u8],
    answer: &mut [u8],
    patience: Duration,
) -> Option<io::Result<usize>> {
    let send_again = async {
        loop {
            sleep(AGAIN).await;
            // What is wrong with the socket, receiving says too.
            let _ = socket.send(request).await;
        }
    };
    let receive = async {
        tokio::select! {
            received = socket.recv(answer) => received,
            () = send_again => Err(io::ErrorKind::TimedOut.into()),
        }
    };
    timeout(patience, receive).await.ok()
}

fn without_answer(received: Option<io::Result<usize>>) -> Outcome {
    match received {
        Some(Err(error)) => from_error(&error),
        Some(Ok(_)) | None => Outcome::Silent,
    }
}

fn from_error(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Outcome::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Outcome::Unreachable,
        // Not permitted is what the sender hears of a packet that is dropped in its own namespace.
        io::ErrorKind::TimedOut | io::ErrorKind::PermissionDenied => Outcome::Silent,
        _ => Outcome::Failed(error.to_string()),
    }
}

fn set(outcomes: &mut [Outcome], i: usize, outcome: Outcome) {
    if let Some(slot) = outcomes.get_mut(i) {
        *slot = outcome;
    }
}

/// How many probes at once: a third of the descriptors that this process may have.
fn in_flight() -> usize {
    let (limit, _) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    usize::try_from(limit / 3).unwrap_or(MOST_IN_FLIGHT).clamp(64, MOST_IN_FLIGHT)
}

/// Lets this process have as many descriptors as the lab may need, or as many as it can get.
pub(crate) fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
    const WANTED: u64 = 65_536;
    if let Ok((soft, hard)) = getrlimit(RLIMIT_NOFILE) {
        let raised = (soft < WANTED).then(|| setrlimit(RLIMIT_NOFILE, WANTED, hard.max(WANTED)));
        if raised.is_some_and(|r| r.is_err()) {
            // Not privileged to raise the hard limit: up to it, then. Probes adapt to what there is.
            let _ = setrlimit(RLIMIT_NOFILE, hard, hard);
        }
    }
}
