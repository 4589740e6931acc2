//! Open connections that a policy no longer permits are ended, from both of their ends, and those beside them are not
//! touched: with real connections through a router. And the kernel's table of connections, as it is read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};
use ringfence_datapath::abi::{EndpointWord, IDENTITY_ANY, Op, PortMapKey, PortMapValue};
use ringfence_datapath::conntrack::{Connections, Conntrack, Entry, Icmp, cut};
use ringfence_datapath::kernel::Kernel;
use support::net::{CLIENT, Net, SERVER, net};
use support::{
    ICMP, ICMPV6, TCP, UDP, ip, is_root, load, options, put_address, put_end, put_ports, put_rule,
};

/// By the first policy the server lets the client in on TCP and UDP 80 and 90, by the second on 90 alone. Whatever the
/// policy, the server may send to the client.
fn rows() -> Vec<Op> {
    let word = EndpointWord::isolated(0x40);
    let mut ops = vec![put_ports(PortMapKey::everything(3), PortMapValue::allow(3))];
    for (portmap, ports) in [(1, vec![80, 90]), (2, vec![90])] {
        ops.push(put_ports(PortMapKey::everything(portmap), PortMapValue::deny(0)));
        for port in ports {
            ops.extend(
                [TCP, UDP].map(|p| put_ports(PortMapKey::port(portmap, p, port), PortMapValue::allow(1))),
            );
        }
    }
    ops.extend([
        put_rule(0x40, IDENTITY_ANY, 1),
        put_rule(0x80, IDENTITY_ANY, 2),
        put_rule(0xc0, IDENTITY_ANY, 3),
        put_end(1, 7, EndpointWord::isolated(0xc0), EndpointWord::OPEN),
        put_end(2, 8, word, EndpointWord::isolated(0xc0)),
    ]);
    ops.extend(CLIENT.map(|address| put_address(address, 1)));
    ops.extend(SERVER.map(|address| put_address(address, 2)));
    ops
}

fn prepared(loose: &'static str) -> Option<(Net, Kernel)> {
    let mut kernel = load(&options())?;
    let net = net();
    let kernel = net.router.run(move || {
        Conntrack::ensure().unwrap().keep();
        kernel.apply(&rows()).unwrap();
        kernel.attach().unwrap();
        kernel
    });
    net.router.sysctl("net/netfilter/nf_conntrack_tcp_loose", loose);
    Some((net, kernel))
}

/// Both ends of a connection send the byte that is in force, all the time, and count which bytes they receive.
struct Talk {
    threads: Vec<JoinHandle<()>>,
    received: [Arc<[AtomicU32; 3]>; 2],
    sent: [Arc<[AtomicU32; 3]>; 2],
}

/// What is sent now, and whether it goes on.
#[derive(Clone)]
struct Word {
    now: Arc<AtomicU8>,
    stop: Arc<AtomicBool>,
}

trait Line: Send + 'static {
    fn write(&mut self, byte: u8) -> bool;
    fn read(&mut self, bytes: &mut [u8]) -> usize;
    fn other(&self) -> Self;
}

impl Line for TcpStream {
    fn write(&mut self, byte: u8) -> bool {
        self.write_all(&[byte]).is_ok()
    }
    fn read(&mut self, bytes: &mut [u8]) -> usize {
        Read::read(self, bytes).unwrap_or(0)
    }
    fn other(&self) -> Self {
        self.set_nodelay(true).unwrap();
        self.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        self.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        self.try_clone().unwrap()
    }
}

impl Line for UdpSocket {
    fn write(&mut self, byte: u8) -> bool {
        self.send(&[byte]).is_ok()
    }
    fn read(&mut self, bytes: &mut [u8]) -> usize {
        self.recv(&mut bytes[..1]).unwrap_or(0)
    }
    fn other(&self) -> Self {
        self.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        self.try_clone().unwrap()
    }
}

impl Talk {
    fn new<L: Line>(ends: [L; 2], word: &Word) -> Talk {
        let counts = || Arc::new([0; 3].map(AtomicU32::new));
        let mut talk =
            Talk { threads: Vec::new(), received: [counts(), counts()], sent: [counts(), counts()] };
        for (at, line) in ends.into_iter().enumerate() {
            let (mut reader, mut writer) = (line.other(), line);
            let (received, sent) = (talk.received[at].clone(), talk.sent[at].clone());
            let (reading, writing) = (word.clone(), word.clone());
            talk.threads.push(std::thread::spawn(move || {
                while !writing.stop.load(Ordering::SeqCst) {
                    let byte = writing.now.load(Ordering::SeqCst);
                    let count = u32::from(writer.write(byte));
                    sent[usize::from(byte)].fetch_add(count, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }));
            talk.threads.push(std::thread::spawn(move || {
                let mut bytes = [0; 256];
                // A while longer than the other end sends, for what is under way.
                let mut quiet = 0;
                while quiet < 4 {
                    let length = reader.read(&mut bytes);
                    for byte in &bytes[..length] {
                        received[usize::from(*byte)].fetch_add(1, Ordering::SeqCst);
                    }
                    quiet = match length {
                        0 if reading.stop.load(Ordering::SeqCst) => quiet + 1,
                        _ => 0,
                    };
                    if length == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }));
        }
        talk
    }

    /// How often each end has received a byte.
    fn heard(&self, byte: usize) -> [u32; 2] {
        self.received.each_ref().map(|counts| counts[byte].load(Ordering::SeqCst))
    }

    /// How often each end has sent one.
    fn said(&self, byte: usize) -> [u32; 2] {
        self.sent.each_ref().map(|counts| counts[byte].load(Ordering::SeqCst))
    }

    fn wait(&self, byte: usize, count: u32) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.heard(byte).iter().any(|heard| *heard < count) {
            assert!(Instant::now() < deadline, "{:?} of {count}", self.heard(byte));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(&mut self) {
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn tcp(net: &Net, address: IpAddr, port: u16) -> [TcpStream; 2] {
    let listener = net.server.run(move || TcpListener::bind((address, port)).unwrap());
    let client = net.client.run(move || TcpStream::connect((address, port)).unwrap());
    [client, listener.accept().unwrap().0]
}

fn udp(net: &Net, client: IpAddr, address: IpAddr, port: u16) -> [UdpSocket; 2] {
    let server = net.server.run(move || UdpSocket::bind((address, port)).unwrap());
    let client = net.client.run(move || {
        let socket = UdpSocket::bind((client, 0)).unwrap();
        socket.connect((address, port)).unwrap();
        socket
    });
    client.send(&[0]).unwrap();
    let (length, from) = server.recv_from(&mut [0; 8]).unwrap();
    assert_eq!(length, 1);
    server.connect(from).unwrap();
    [client, server]
}

/// Before the policy 1 is sent, and 2 after; 0 does not count.
fn connections_are_cut(loose: &'static str, with_cut: bool) -> Option<[[u32; 2]; 2]> {
    let (net, mut kernel) = prepared(loose)?;
    let word = Word { now: Arc::new(AtomicU8::new(1)), stop: Arc::default() };
    let (mut to_cut, mut to_keep) = (Vec::new(), Vec::new());
    for (client, server) in CLIENT.map(ip).into_iter().zip(SERVER.map(ip)) {
        for (port, talks) in [(80, &mut to_cut), (90, &mut to_keep)] {
            talks.push((TCP, Talk::new(tcp(&net, server, port), &word)));
            talks.push((UDP, Talk::new(udp(&net, client, server, port), &word)));
        }
    }
    to_cut.iter().chain(&to_keep).for_each(|(_, talk)| talk.wait(1, 20));

    // The policy, and what an agent does after it.
    let (ended, took, kernel) = net.router.run(move || {
        let start = Instant::now();
        let word = EndpointWord::isolated(0x80);
        kernel.apply(&[put_end(2, 8, word, EndpointWord::isolated(0xc0))]).unwrap();
        let mut connections = Connections::open().unwrap();
        let mut ended = 0;
        for entry in connections.dump().unwrap().iter().filter(|entry| entry.destination_port == 80) {
            let was_there = match with_cut {
                true => cut(&kernel, &mut connections, entry).unwrap(),
                false => connections.delete(entry).unwrap(),
            };
            ended += u32::from(was_there);
        }
        (ended, start.elapsed(), kernel)
    });
    println!("loose {loose}: {ended} connections cut {took:?} after the policy");
    assert_eq!(ended, 4);
    word.now.store(2, Ordering::SeqCst);
    // Long enough for TCP to send again several times.
    to_keep.iter().for_each(|(_, talk)| talk.wait(2, 400));
    word.stop.store(true, Ordering::SeqCst);
    to_cut.iter_mut().chain(&mut to_keep).for_each(|(_, talk)| talk.end());
    for (protocol, talk) in &to_keep {
        for byte in [1, 2] {
            let [client, server] = talk.said(byte);
            assert_eq!(talk.heard(byte), [server, client], "protocol {protocol} lost a packet");
        }
    }
    assert_eq!(kernel.counters().unwrap().cut > 0, with_cut);
    // What each end has heard of the other since, over both families.
    let heard = |wanted: u8| {
        let of = to_cut.iter().filter(|(protocol, _)| *protocol == wanted);
        of.map(|(_, talk)| talk.heard(2)).fold([0, 0], |sum, heard| [sum[0] + heard[0], sum[1] + heard[1]])
    };
    Some([heard(TCP), heard(UDP)])
}

#[test]
fn a_connection_is_cut_from_both_ends() {
    for loose in ["1", "0"] {
        let Some(heard) = connections_are_cut(loose, true) else { return };
        assert_eq!(heard, [[0, 0], [0, 0]], "loose {loose}: TCP and UDP, client and server");
    }
}

/// Why deleting alone is not enough: what the server sends revives the connection, or comes through by itself.
#[test]
fn a_connection_that_is_only_forgotten_lives_on() {
    for loose in ["1", "0"] {
        let Some([tcp, udp]) = connections_are_cut(loose, false) else { return };
        assert!(tcp[0] > 0 && udp[0] > 0 && udp[1] > 0, "loose {loose}: {tcp:?} {udp:?}");
        assert_eq!(tcp[1] > 0, loose == "1", "{tcp:?}");
    }
}

/// A router that tracks connections, and enforces nothing.
fn tracking() -> Option<Net> {
    is_root().then(|| {
        let net = net();
        net.router.run(|| Conntrack::ensure().unwrap().keep());
        net.router.sysctl("net/netfilter/nf_conntrack_udp_timeout", "600");
        net
    })
}

fn dump(net: &Net) -> Vec<Entry> {
    net.router.run(|| Connections::open().unwrap().dump().unwrap())
}

/// Sends an echo request with the number 77.
fn ping(to: IpAddr, kind: u8) {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket = socket(family, SockType::Raw, SockFlag::empty(), protocol).unwrap();
    // For IPv6 the kernel writes the checksum.
    let [high, low] = (!((u16::from(kind) << 8) + 77)).to_be_bytes();
    let message = [kind, 0, high, low, 0, 77, 0, 0];
    sendto(socket.as_raw_fd(), &message, &SockaddrStorage::from(SocketAddr::new(to, 0)), MsgFlags::empty())
        .unwrap();
}

#[test]
fn every_kind_of_connection_is_read_and_deleted() {
    let Some(net) = tracking() else { return };
    let mut expected = Vec::new();
    for (client, server) in CLIENT.map(ip).into_iter().zip(SERVER.map(ip)) {
        let ends = tcp(&net, server, 80);
        let ports = [ends[0].local_addr().unwrap().port(), 80];
        expected.push((TCP, client, server, ports, None));
        let ends = udp(&net, client, server, 53);
        ends[1].send(&[1]).unwrap();
        assert_eq!(ends[0].recv(&mut [0; 2]).unwrap(), 1);
        expected.push((UDP, client, server, [ends[0].local_addr().unwrap().port(), 53], None));
        let (protocol, kind) = if client.is_ipv4() { (ICMP, 8) } else { (ICMPV6, 128) };
        net.client.run(move || ping(server, kind));
        expected.push((protocol, client, server, [0, 0], Some(Icmp { kind, code: 0, id: 77 })));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while dump(&net).len() < expected.len() {
        assert!(Instant::now() < deadline, "{:?}", dump(&net));
    }
    let found = dump(&net);
    let describe = |entry: &Entry| {
        let ports = [entry.source_port, entry.destination_port];
        (entry.protocol, entry.source, entry.destination, ports, entry.icmp)
    };
    let key = |one: &(u8, IpAddr, IpAddr, [u16; 2], Option<Icmp>)| (one.1, one.0);
    let mut described: Vec<_> = found.iter().map(describe).collect();
    described.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(described, expected);
    for entry in &found {
        let same = (entry.original_destination, entry.original_destination_port);
        assert_eq!(same, (entry.destination, entry.destination_port));
        assert!(entry.confirmed);
    }
    let deleted = net.router.run(move || {
        let mut connections = Connections::open().unwrap();
        let mut twice = || found.iter().map(|entry| connections.delete(entry).unwrap()).collect::<Vec<_>>();
        [twice(), twice()]
    });
    assert_eq!(deleted, [vec![true; 6], vec![false; 6]]);
    assert_eq!(dump(&net), []);
}

#[test]
fn a_hundred_thousand_connections_are_read() {
    let Some(net) = tracking() else { return };
    let count = || {
        net.router.run(|| {
            let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap();
            count.trim().parse::<usize>().unwrap()
        })
    };
    let mut sent = 0;
    while count() < 100_000 {
        assert!(sent < 20, "{} connections", count());
        sent += 1;
        net.client.run(|| {
            let sockets = [4001, 4002, 4003].map(|port| UdpSocket::bind((ip(CLIENT[0]), port)).unwrap());
            for port in 1..=40_000 {
                for socket in &sockets {
                    // What finds no room is sent in the next round.
                    drop(socket.send_to(&[1], (ip(SERVER[0]), port)));
                }
            }
        });
    }
    let start = Instant::now();
    let entries = dump(&net);
    println!("{} connections in {:?}", entries.len(), start.elapsed());
    assert_eq!(entries.len(), count());
    let different: BTreeSet<_> =
        entries.iter().map(|entry| (entry.source_port, entry.destination_port)).collect();
    assert_eq!(different.len(), entries.len());
    assert!(entries.iter().all(|entry| entry.protocol == UDP && entry.source == ip(CLIENT[0])));
}
