//! The program attached, and real connections between network namespaces: a router with two pods behind it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod support;

use ringfence_datapath::abi::EndpointWord;
use ringfence_datapath::conntrack::Conntrack;
use ringfence_datapath::kernel::Kernel;
use ringfence_datapath::requirements;
use support::net::{CLIENT, SERVER, connect, datagram_arrives, denied, echoes, net, rows, serve_tcp};
use support::{ip, load, options, put_end};

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
