//! The kernel's table of connections, read and deleted from over netlink: `nf_conntrack_netlink.c` in
//! <https://github.com/torvalds/linux/blob/v6.18/net/netfilter/nf_conntrack_netlink.c>.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use crate::conntrack::entry::{Entry, Incomplete};

/// What the kernel puts into one message of a dump at most: it takes the size of the buffer, up to 32 KiB.
const BUFFER: usize = 1 << 16;

/// How often a dump that was disturbed is begun again.
const ATTEMPTS: usize = 10;

/// What can go wrong with the kernel's table of connections.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ConnectionsError {
    #[error(
        "the kernel's connections cannot be asked for (it takes CAP_NET_ADMIN and the module nf_conntrack_netlink)"
    )]
    Open { source: io::Error },
    #[error("the kernel does not answer a question about its connections")]
    Exchange { source: io::Error },
    #[error("the kernel refused to {what}")]
    Refused { what: &'static str, source: io::Error },
    #[error("the kernel's connections were changing each of {ATTEMPTS} times that they were read")]
    Disturbed,
    #[error("the kernel's answer about its connections cannot be read")]
    Decode { source: netlink_packet_core::DecodeError },
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
}

/// The connections of one network namespace.
#[derive(Debug)]
pub struct Connections {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: u32,
}

/// What became of one reading of the table.
enum Dump {
    Whole(Vec<Entry>),
    Disturbed,
}

impl Connections {
    /// Of the network namespace of the calling thread.
    pub fn open() -> Result<Self, ConnectionsError> {
        let open = |source| ConnectionsError::Open { source };
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(open)?;
        socket.bind_auto().map_err(open)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(open)?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER), sequence: 0 })
    }

    /// All connections of both families. One that begins or ends meanwhile may be among them or not.
    pub fn dump(&mut self) -> Result<Vec<Entry>, ConnectionsError> {
        for _ in 0..ATTEMPTS {
            if let Dump::Whole(entries) = self.dump_once()? {
                return Ok(entries);
            }
        }
        Err(ConnectionsError::Disturbed)
    }

    /// Deletes a connection; `false` where it is gone already. The next packet is a new connection's: see
    /// [`Entry::cut_key`] for packets of the other direction. A later connection with the same addresses can be taken for
    /// it; what is permitted of that goes on.
    pub fn delete(&mut self, entry: &Entry) -> Result<bool, ConnectionsError> {
        let sequence = self.send(entry.deletion(), NLM_F_ACK)?;
        match self.acknowledged(sequence)? {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(ConnectionsError::Refused { what: "delete a connection", source }),
            Ok(()) => Ok(true),
        }
    }

    /// Deletes all connections of both families. What goes on is a new connection each.
    pub fn delete_all(&mut self) -> Result<(), ConnectionsError> {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
        let request = NetfilterMessage::new(header, ConntrackMessage::Delete(Vec::new()));
        let sequence = self.send(request, NLM_F_ACK)?;
        let refused = |source| ConnectionsError::Refused { what: "delete the connections", source };
        self.acknowledged(sequence)?.map_err(refused)
    }

    /// What the kernel says to a request that it acknowledges.
    fn acknowledged(&mut self, sequence: u32) -> Result<io::Result<()>, ConnectionsError> {
        loop {
            for message in self.receive().map_err(exchange)? {
                let message = message?;
                if message.header.sequence_number != sequence {
                    continue;
                }
                if let NetlinkPayload::Error(error) = message.payload {
                    return Ok(if error.code.is_none() { Ok(()) } else { Err(error.to_io()) });
                }
            }
        }
    }

    fn dump_once(&mut self) -> Result<Dump, ConnectionsError> {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
        let request = NetfilterMessage::new(header, ConntrackMessage::Get(Vec::new()));
        let sequence = self.send(request, NLM_F_DUMP)?;
        let mut entries = Vec::new();
        let mut is_disturbed = false;
        loop {
            let messages = match self.receive() {
                // The kernel had more to say than there was room for.
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    return Ok(Dump::Disturbed);
                }
                messages => messages.map_err(exchange)?,
            };
            for message in messages {
                let message = message?;
                // What is left of a dump that was given up.
                if message.header.sequence_number != sequence {
                    continue;
                }
                is_disturbed |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(NetfilterMessage {
                        inner: NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)),
                        ..
                    }) => entries.push(Entry::from_attributes(&attributes)?),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        let source = io::Error::from_raw_os_error(-done.code);
                        return disturbed_or(source);
                    }
                    NetlinkPayload::Done(_) if is_disturbed => return Ok(Dump::Disturbed),
                    NetlinkPayload::Done(_) => return Ok(Dump::Whole(entries)),
                    NetlinkPayload::Overrun(_) => is_disturbed = true,
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return disturbed_or(error.to_io());
                    }
                    _ => {}
                }
            }
        }
    }

    /// Sends a request, and says by which number its answers are known.
    fn send(&mut self, message: NetfilterMessage, flags: u16) -> Result<u32, ConnectionsError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        retried(|| self.socket.send(&bytes, 0)).map_err(exchange)?;
        Ok(self.sequence)
    }

    /// Waits for the kernel's next packet, and takes the messages out of it.
    fn receive(&mut self) -> io::Result<Messages<'_>> {
        let Self { socket, buffer, .. } = self;
        retried(|| {
            buffer.clear();
            socket.recv(buffer, 0)
        })?;
        Ok(Messages { rest: buffer })
    }
}

/// The messages of one packet.
struct Messages<'buffer> {
    rest: &'buffer [u8],
}

impl Iterator for Messages<'_> {
    type Item = Result<NetlinkMessage<NetfilterMessage>, ConnectionsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match NetlinkMessage::<NetfilterMessage>::deserialize(self.rest) {
            Ok(message) => {
                let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
                // Each begins at a multiple of four bytes.
                self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                Some(Ok(message))
            }
            Err(source) => {
                self.rest = &[];
                Some(Err(ConnectionsError::Decode { source }))
            }
        }
    }
}

fn exchange(source: io::Error) -> ConnectionsError {
    ConnectionsError::Exchange { source }
}

fn disturbed_or(source: io::Error) -> Result<Dump, ConnectionsError> {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EINTR | Errno::EAGAIN | Errno::EBUSY) => Ok(Dump::Disturbed),
        _ => Err(ConnectionsError::Refused { what: "list its connections", source }),
    }
}

/// Again, as long as a signal comes between.
fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
