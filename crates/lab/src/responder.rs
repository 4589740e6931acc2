//! Everything that listens in the lab, served by one thread.
//!
//! A TCP connection gets a short answer at once that names who answers, and is HTTP enough for `curl`; a UDP datagram
//! gets the same name back. Sockets stay in the namespace in which they were made, wherever they are served from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use ringfence_policy::Protocol;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::netns::{Netns, NetnsError};
use crate::wiring::{Listener, Space};

/// How long a client may take to hang up after it has its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Room for a burst of probes: as many as the kernel allows by default.
const BACKLOG: i32 = 4096;

/// Why something does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    /// Its namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The socket could not be opened.
    #[error("{who} cannot listen on {protocol} {port}")]
    Listen {
        /// Who would have answered.
        who: String,
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The thread or its runtime could not be started.
    #[error("cannot start the thread that answers for the pods")]
    Start(#[source] io::Error),
}

/// An open socket and the name that it answers with.
#[derive(Debug)]
pub(crate) struct Open {
    socket: Socket,
    protocol: Protocol,
    who: String,
}

/// Opens a namespace's listeners.
pub(crate) fn open(space: &Space, netns: &Netns, dual_stack: bool) -> Result<Vec<Open>, ResponderError> {
    if space.listeners.is_empty() {
        return Ok(Vec::new());
    }
    netns.run(|| {
        let open = |listener: &Listener| {
            let Listener { protocol, port, who } = listener.clone();
            match listen(protocol, port, dual_stack) {
                Ok(socket) => Ok(Open { socket, protocol, who }),
                Err(source) => Err(ResponderError::Listen { who, protocol, port, source }),
            }
        };
        space.listeners.iter().map(open).collect()
    })?
}

/// A bound socket on every address; with both families, one socket serves both.
fn listen(protocol: Protocol, port: u16, dual_stack: bool) -> io::Result<Socket> {
    let any = if dual_stack { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let kind = if protocol == Protocol::Tcp { Type::STREAM } else { Type::DGRAM };
    let socket = Socket::new(Domain::for_address(SocketAddr::new(any, port)), kind, None)?;
    if dual_stack {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    if protocol == Protocol::Tcp {
        socket.set_reuse_address(true)?;
    } else {
        // Probes come in bursts. More than the limit of the machine is not granted, which is no error.
        socket.set_recv_buffer_size(4 << 20)?;
    }
    socket.bind(&SocketAddr::new(any, port).into())?;
    if protocol == Protocol::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// The thread that answers. Dropping it closes every socket.
#[derive(Debug)]
pub(crate) struct Responder {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    pub(crate) fn start(sockets: Vec<Open>) -> Result<Responder, ResponderError> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ResponderError::Start)?;
        let listeners = {
            let _inside = runtime.enter();
            sockets
                .into_iter()
                .map(Served::new)
                .collect::<io::Result<Vec<_>>>()
                .map_err(ResponderError::Start)?
        };
        let serve = move || {
            runtime.block_on(async {
                for listener in listeners {
                    tokio::spawn(listener.run());
                }
                // Ended by a message or by the sender's end, both mean the same.
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("lab-responder".into()).spawn(serve);
        Ok(Responder { stop: Some(stop), thread: Some(thread.map_err(ResponderError::Start)?) })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported by its own message.
            let _ = thread.join();
        }
    }
}

enum Served {
    Tcp(TcpListener, String),
    Udp(UdpSocket, String),
}

impl Served {
    /// Must be called inside a runtime.
    fn new(open: Open) -> io::Result<Served> {
        match open.protocol {
            Protocol::Tcp => Ok(Served::Tcp(TcpListener::from_std(open.socket.into())?, open.who)),
            Protocol::Udp | Protocol::Sctp => {
                Ok(Served::Udp(UdpSocket::from_std(open.socket.into())?, open.who))
            }
        }
    }

    async fn run(self) {
        match self {
            Served::Tcp(listener, who) => {
                let answer: std::sync::Arc<[u8]> = answer(&who).into_bytes().into();
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => drop(tokio::spawn(greet(stream, answer.clone()))),
                        // The client has gone already, or descriptors are short for a moment.
                        Err(_) => sleep(Duration::from_millis(1)).await,
                    }
                }
            }
            Served::Udp(socket, who) => {
                let mut buffer = [0; 64];
                loop {
                    // Errors are those of earlier answers: the client has gone.
                    if let Ok((_, from)) = socket.recv_from(&mut buffer).await {
                        let _ = socket.send_to(who.as_bytes(), from).await;
                    }
                }
            }
        }
    }
}

/// The answer on TCP: an HTTP response whose body is the name.
fn answer(who: &str) -> String {
    let length = who.len() + 1;
    format!(
        "HTTP/1.0 200 OK\r\nServer: ringfence-lab\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{who}\n"
    )
}

/// The name in an answer on TCP, or `None` where it has not arrived whole.
pub(crate) fn name_in(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    body.strip_suffix('\n').map(str::to_owned)
}

/// Answers, and lets the client hang up first: closing with unread data would reset the connection under the answer.
async fn greet(mut stream: TcpStream, answer: std::sync::Arc<[u8]>) {
    let exchange = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        let mut rest = [0; 512];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever goes wrong is the client's to see.
    let _ = timeout(PATIENCE, exchange).await;
}
