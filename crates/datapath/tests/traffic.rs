//! The program attached, and real connections between network namespaces: a router with two pods behind it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod support;

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ringfence_datapath::abi::{EndpointWord, IDENTITY_ANY, Op, PortMapKey, PortMapValue};
use ringfence_datapath::conntrack::Conntrack;
use ringfence_datapath::kernel::Kernel;
use ringfence_datapath::requirements;
use support::netns::Netns;
use support::{ICMP, TCP, UDP, ip, load, options, put_address, put_end, put_ports, put_rule};

/// A denied packet is dropped silently: this is how long one waits for nothing.
const NOTHING: Duration = Duration::from_millis(300);

const CLIENT: [&str; 2] = ["10.0.1.1", "fd00:1::1"];
const SERVER: [&str; 2] = ["10.0.2.1", "fd00:2::1"];

/// The client is open. The server lets the client in on TCP 80, UDP 53 and with pings, and nobody out.
fn rows() -> Vec<Op> {
    let word = EndpointWord::isolated(0x40);
    let mut ops = vec![
        put_ports(PortMapKey::everything(1), PortMapValue::deny(0)),
        put_ports(PortMapKey::everything(2), PortMapValue::deny(0)),
        put_ports(PortMapKey::port(2, TCP, 80), PortMapValue::allow(1)),
        put_ports(PortMapKey::port(2, UDP, 53), PortMapValue::allow(2)),
        put_ports(PortMapKey::protocol(2, ICMP), PortMapValue::allow(3)),
        put_rule(0x40, IDENTITY_ANY, 1),
        put_rule(0x40, 7, 2),
        put_rule(0x80, IDENTITY_ANY, 1),
        put_end(1, 7, EndpointWord::OPEN, EndpointWord::OPEN),
        put_end(2, 0, word, EndpointWord::isolated(0x80)),
    ];
    ops.extend(CLIENT.map(|address| put_address(address, 1)));
    ops.extend(SERVER.map(|address| put_address(address, 2)));
    ops
}

struct Net {
    router: Netns,
    client: Arc<Netns>,
    server: Arc<Netns>,
}

fn net() -> Net {
    let (router, client, server) = (Netns::new(), Arc::new(Netns::new()), Arc::new(Netns::new()));
    router.join(&client, "client", CLIENT, ["10.0.1.254", "fd00:1::fe"]);
    router.join(&server, "server", SERVER, ["10.0.2.254", "fd00:2::fe"]);
    router.sysctl("net/ipv4/ip_forward", "1");
    router.sysctl("net/ipv6/conf/all/forwarding", "1");
    Net { router, client, server }
}

fn connect(from: &Netns, to: IpAddr, port: u16) -> io::Result<TcpStream> {
    from.run(move || TcpStream::connect_timeout(&SocketAddr::new(to, port), NOTHING))
}

/// Everything that is sent comes back.
fn echoes(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

fn serve_tcp(netns: &Netns, address: IpAddr, port: u16) {
    let listener = netns.run(move || TcpListener::bind((address, port)).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
}

fn datagram_arrives(net: &Net, to: IpAddr, port: u16, size: usize) -> bool {
    let socket = net.server.run(move || UdpSocket::bind((to, port)).unwrap());
    socket.set_read_timeout(Some(NOTHING)).unwrap();
    net.client.run(move || {
        let any: IpAddr = if to.is_ipv4() { ip("0.0.0.0") } else { ip("::") };
        UdpSocket::bind((any, 0)).unwrap().send_to(&vec![7; size], (to, port)).unwrap();
    });
    let mut buffer = vec![0; size + 1];
    socket.recv(&mut buffer).is_ok_and(|length| length == size)
}

fn denied(result: io::Result<TcpStream>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

#[test]
fn real_connections_are_allowed_denied_and_kept() {
    let Some(kernel) = load(&options()) else { return };
    assert_eq!(requirements::missing(), []);
    let net = net();
    let (conntrack, mut kernel) = net.router.run(move || {
        let conntrack = Conntrack::ensure().unwrap();
        let mut kernel: Kernel = kernel;
        kernel.apply(&rows()).unwrap();
        kernel.attach().unwrap();
        (conntrack, kernel)
    });
    let mut open = Vec::new();
    for (server, client) in SERVER.map(ip).into_iter().zip(CLIENT.map(ip)) {
        serve_tcp(&net.server, server, 80);
        serve_tcp(&net.server, server, 81);
        serve_tcp(&net.client, client, 80);

        let mut stream = connect(&net.client, server, 80).unwrap();
        echoes(&mut stream);
        open.push(stream);
        assert!(denied(connect(&net.client, server, 81)));
        assert!(denied(connect(&net.server, client, 80)));
        // The node itself always gets through.
        echoes(&mut connect(&net.router, server, 81).unwrap());

        assert!(datagram_arrives(&net, server, 53, 100));
        assert!(!datagram_arrives(&net, server, 54, 100));
        // In three fragments, which are put together before they are judged.
        assert!(datagram_arrives(&net, server, 53, 4000));
        assert!(!datagram_arrives(&net, server, 54, 4000));
    }
    let counters = kernel.counters().unwrap();
    assert_eq!((counters.malformed, counters.fragment, counters.missing_row), (0, 0, 0));
    assert!(counters.denied >= 8, "{counters:?}");

    // An open connection goes on when nothing new may be opened.
    kernel.apply(&[put_end(2, 0, EndpointWord::isolated(0x80), EndpointWord::OPEN)]).unwrap();
    open.iter_mut().for_each(echoes);
    assert!(denied(connect(&net.client, ip(SERVER[0]), 80)));
    assert!(connect(&net.server, ip(CLIENT[0]), 80).is_ok());

    drop(kernel);
    assert!(connect(&net.client, ip(SERVER[0]), 81).is_ok());
    assert!(connect(&net.client, ip(SERVER[1]), 81).is_ok());
    net.router.run(move || drop(conntrack));
    let left =
        net.router.run(|| std::process::Command::new("nft").args(["list", "tables"]).output().unwrap());
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}
