//! Connections to a Service, whose address is translated on the way: what is told of them, what the kernel's table says,
//! and that they are cut like others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod support;

use std::net::IpAddr;
use std::process::Command;

use ringfence_datapath::abi::{Address, CutKey};
use ringfence_datapath::conntrack::{Connections, Conntrack, cut};
use ringfence_datapath::event::Event;
use support::net::{CLIENT, Net, SERVER, connect, denied, echoes, net, rows, serve_tcp};
use support::{TCP, UDP, ip, load, options};

const SERVICE: [&str; 2] = ["10.96.0.1", "fd00:96::1"];
const ROUTER: [&str; 2] = ["10.0.2.254", "fd00:2::fe"];

/// Where to, whether it passed, and where to before.
type Told = (IpAddr, u16, bool, Option<(IpAddr, u16)>);

/// Ports 443 and 444 of the Service lead to 80 and 81 of the server. So does 445 to 80, and hides the client.
fn translate(net: &Net) {
    let mut rules = "table inet services {
        chain before { type nat hook prerouting priority dstnat;\n"
        .to_owned();
    for (family, at) in [("ip", 0), ("ip6", 1)] {
        let (service, server) =
            (SERVICE[at], if at == 0 { SERVER[0].into() } else { format!("[{}]", SERVER[1]) });
        for (port, to) in [(443, 80), (444, 81), (445, 80)] {
            let tcp = format!("{family} daddr {service} meta l4proto {{ tcp, udp }} th dport {port}");
            rules += &format!("{tcp} dnat {family} to {server}:{to}\n");
        }
    }
    rules += "}
        chain after { type nat hook postrouting priority srcnat;
            meta l4proto tcp ct original proto-dst 445 masquerade\n}\n}";
    net.router.run(move || assert!(Command::new("nft").arg(rules).status().unwrap().success()));
}

#[test]
fn a_service_is_told_by_its_own_address() {
    let Some(mut kernel) = load(&options()) else { return };
    let net = net();
    translate(&net);
    let kernel = net.router.run(move || {
        Conntrack::ensure().unwrap().keep();
        kernel.apply(&rows()).unwrap();
        kernel.attach().unwrap();
        kernel
    });
    let (sender, receiver) = std::sync::mpsc::channel();
    let events = kernel.events(move |event| sender.send(event.unwrap()).unwrap()).unwrap();
    // Of a port that this reaches, the destinations that are told: as the program judges, and as it was sent.
    let told = |protocol: u8, port: u16| -> Vec<Told> {
        events.consume().unwrap();
        let mut told: Vec<_> = receiver
            .try_iter()
            .filter(|event: &Event| event.protocol == protocol && event.destination_port == port)
            .map(|event| (event.destination, event.destination_port, event.allowed, event.translated_from))
            .collect();
        told.dedup();
        told
    };
    for at in [0, 1] {
        let [service, server, client] = [SERVICE, SERVER, CLIENT].map(|addresses| ip(addresses[at]));
        serve_tcp(&net.server, server, 80);
        serve_tcp(&net.server, server, 81);

        echoes(&mut connect(&net.client, server, 80).unwrap());
        assert_eq!(told(TCP, 80), [(server, 80, true, None)]);
        let mut stream = connect(&net.client, service, 443).unwrap();
        echoes(&mut stream);
        assert_eq!(told(TCP, 80), [(server, 80, true, Some((service, 443)))]);
        assert!(denied(connect(&net.client, service, 444)));
        assert_eq!(told(TCP, 81), [(server, 81, false, Some((service, 444)))]);
        let mut hidden = connect(&net.client, service, 445).unwrap();
        echoes(&mut hidden);
        assert_eq!(told(TCP, 80), [(server, 80, true, Some((service, 445)))]);
        net.client.run(move || {
            std::net::UdpSocket::bind((client, 0)).unwrap().send_to(&[1], (service, 444)).unwrap();
        });
        let mut udp = Vec::new();
        support::wait_for(|| {
            udp = told(UDP, 81);
            !udp.is_empty()
        });
        assert_eq!(udp, [(server, 81, false, Some((service, 444)))]);

        // What the kernel's table says: as the program sees it, and as it was sent.
        let [port, hidden_port] = [&stream, &hidden].map(|stream| stream.local_addr().unwrap().port());
        let entries = net.router.run(|| Connections::open().unwrap().dump().unwrap());
        let find = |port| *entries.iter().find(|e| e.source == client && e.source_port == port).unwrap();
        let (plain, masked) = (find(port), find(hidden_port));
        for (entry, service_port) in [(plain, 443), (masked, 445)] {
            assert_eq!((entry.destination, entry.destination_port), (server, 80));
            let original = (entry.original_destination, entry.original_destination_port);
            assert_eq!(original, (service, service_port));
        }
        let router = ip(ROUTER[at]);
        assert_eq!([plain, masked].map(|e| e.reply_destination), [client, router]);
        let answers = |to: IpAddr, port| CutKey::new((server.into(), 80), (Address::from(to), port), TCP);
        assert_eq!(plain.cut_key(), Some(answers(client, port)));
        assert_eq!(masked.cut_key(), Some(answers(router, masked.reply_destination_port)));

        // Cut, and taken up again by the direction that is permitted, by the same translation.
        let mut connections = net.router.run(|| Connections::open().unwrap());
        assert!(cut(&kernel, &mut connections, &plain).unwrap());
        echoes(&mut stream);
        assert_eq!(told(TCP, 80), [(server, 80, true, Some((service, 443)))]);
        assert_eq!(kernel.counters().unwrap().cut, 0);
    }
}
