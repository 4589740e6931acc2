//! Real connections between network namespaces: a router with two pods behind it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ringfence_datapath::abi::{EndpointWord, IDENTITY_ANY, Op, PortMapKey, PortMapValue};

use super::netns::Netns;
use super::{ICMP, TCP, UDP, ip, put_address, put_end, put_ports, put_rule};

/// A denied packet is dropped silently: this is how long one waits for nothing.
pub(crate) const NOTHING: Duration = Duration::from_millis(300);

pub(crate) const CLIENT: [&str; 2] = ["10.0.1.1", "fd00:1::1"];
pub(crate) const SERVER: [&str; 2] = ["10.0.2.1", "fd00:2::1"];

/// The client is open. The server lets the client in on TCP 80, UDP 53 and with pings, and nobody out.
pub(crate) fn rows() -> Vec<Op> {
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

pub(crate) struct Net {
    pub(crate) router: Netns,
    pub(crate) client: Arc<Netns>,
    pub(crate) server: Arc<Netns>,
}

pub(crate) fn net() -> Net {
    let (router, client, server) = (Netns::new(), Arc::new(Netns::new()), Arc::new(Netns::new()));
    router.join(&client, "client", CLIENT, ["10.0.1.254", "fd00:1::fe"]);
    router.join(&server, "server", SERVER, ["10.0.2.254", "fd00:2::fe"]);
    router.sysctl("net/ipv4/ip_forward", "1");
    router.sysctl("net/ipv6/conf/all/forwarding", "1");
    Net { router, client, server }
}

pub(crate) fn connect(from: &Netns, to: IpAddr, port: u16) -> io::Result<TcpStream> {
    from.run(move || TcpStream::connect_timeout(&SocketAddr::new(to, port), NOTHING))
}

/// Everything that is sent comes back.
pub(crate) fn echoes(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

pub(crate) fn serve_tcp(netns: &Netns, address: IpAddr, port: u16) {
    let listener = netns.run(move || TcpListener::bind((address, port)).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
}

pub(crate) fn datagram_arrives(net: &Net, to: IpAddr, port: u16, size: usize) -> bool {
    let socket = net.server.run(move || UdpSocket::bind((to, port)).unwrap());
    socket.set_read_timeout(Some(NOTHING)).unwrap();
    net.client.run(move || {
        let any: IpAddr = if to.is_ipv4() { ip("0.0.0.0") } else { ip("::") };
        UdpSocket::bind((any, 0)).unwrap().send_to(&vec![7; size], (to, port)).unwrap();
    });
    let mut buffer = vec![0; size + 1];
    socket.recv(&mut buffer).is_ok_and(|length| length == size)
}

pub(crate) fn denied(result: io::Result<TcpStream>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
}
