//! The naive engine on worlds small enough to check by hand: whom and what the rules of a ClusterNetworkPolicy match.

mod by_hand;

use by_hand::cluster::{OUTSIDE, admin, all, domain, network, node, on, rule, unknown, world};
use by_hand::{CLIENT, HTTP, SERVER, ip, pod, selector};
use ringfence_oracle::naive::{End, allowed, egress_allowed};
use ringfence_policy::{
    Action, ClusterPeer, ClusterPolicy, LabelSelector, NamedPort, Pod, PodId, PortMatch, PortRef, Protocol,
    ResolvedName, Traffic, World,
};

#[test]
fn host_network_pods_are_neither_subjects_nor_pods_as_peers() {
    let mut made = world(vec![admin(0, "x", vec![all(Action::Deny)])], Vec::new());
    assert!(!allowed(&made, &CLIENT, &SERVER, HTTP));
    made.pods[0].host_network = true;
    assert!(allowed(&made, &CLIENT, &SERVER, HTTP));
    made.pods[0].host_network = false;
    made.pods[1].host_network = true;
    assert!(allowed(&made, &CLIENT, &SERVER, HTTP));
}

/// What goes out of the client: to everything that is not listed it is denied.
fn only_to(peer: ClusterPeer) -> World {
    let rules = vec![rule(Action::Accept, [peer]), unknown(Action::Deny)];
    world(vec![ClusterPolicy { egress: rules, ..admin(0, "x", Vec::new()) }], Vec::new())
}

#[test]
fn node_peers_are_the_addresses_of_nodes() {
    let host = |node: Option<&str>, addresses: &[&str]| Pod {
        host_network: true,
        node: node.map(str::to_owned),
        ..pod("a/host", "", addresses)
    };
    let ends = |selected: LabelSelector| {
        let mut made = only_to(ClusterPeer::Nodes(selected));
        made.nodes = vec![
            node("one", "role=worker", &["192.168.0.1", "fd00:168::1"]),
            node("two", "", &["192.168.0.2"]),
            node("unseen", "role=worker", &[]),
        ];
        made.pods.extend([
            host(Some("one"), &[]),
            host(Some("two"), &[]),
            host(Some("unseen"), &[]),
            host(Some("unlisted"), &[]),
            host(None, &[]),
            host(None, &["192.168.0.1"]),
        ]);
        let addresses = ["192.168.0.1", "fd00:168::1", "192.168.0.2", "192.168.0.3", "10.0.0.2"];
        let addresses: Vec<bool> =
            addresses.iter().map(|a| egress_allowed(&made, &CLIENT, &End::Outside(ip(a)), HTTP)).collect();
        let pods: Vec<bool> =
            (1..8).map(|id| egress_allowed(&made, &CLIENT, &End::Pod(PodId(id)), HTTP)).collect();
        (addresses, pods)
    };
    let (addresses, pods) = ends(selector("role=worker"));
    assert_eq!(addresses, [true, true, false, false, false]);
    assert_eq!(pods, [false, true, false, true, false, false, true]);
    let (addresses, pods) = ends(LabelSelector::everything());
    assert_eq!(addresses, [true, true, true, false, false]);
    assert_eq!(pods, [false, true, true, true, true, true, true]);
}

#[test]
fn networks_match_whatever_has_the_address() {
    let made = only_to(network("10.0.0.3/24"));
    let to = |text: &str| egress_allowed(&made, &CLIENT, &End::Outside(ip(text)), HTTP);
    assert!(egress_allowed(&made, &CLIENT, &SERVER, HTTP));
    assert!(to("10.0.0.2") && to("10.0.0.0") && to("10.0.0.255"));
    assert!(!to("10.0.1.0") && !to("::a00:2"));
    assert!(egress_allowed(&made, &CLIENT, &End::Outside(ip("10.0.0.9")), Traffic::Other));
}

#[test]
fn a_pod_without_an_address_is_in_networks_that_hold_all_it_could_have() {
    let check = |cidr: &str, pod_cidr: Option<&str>, expect: [bool; 2]| {
        let mut made = only_to(network(cidr));
        made.pods[1].addresses.clear();
        made.pod_cidrs = pod_cidr.into_iter().map(|c| c.parse().unwrap()).collect();
        let own = egress_allowed(&made, &CLIENT, &SERVER, HTTP);
        made.pods[1].host_network = true;
        let host = egress_allowed(&made, &CLIENT, &SERVER, HTTP);
        assert_eq!([own, host], expect, "{cidr} with {pod_cidr:?}");
    };
    check("0.0.0.0/0", None, [true, true]);
    check("::/0", Some("10.0.0.0/16"), [true, true]);
    check("10.0.0.0/8", None, [false, false]);
    check("10.0.0.0/8", Some("10.0.0.0/16"), [true, false]);
    check("10.0.0.0/16", Some("10.0.0.0/8"), [false, false]);
}

#[test]
fn domains_are_the_addresses_that_their_names_lead_to() {
    let reached = |pattern: &str| {
        let mut made = only_to(domain(pattern));
        let name = |name: &str, addresses: &[&str]| ResolvedName {
            name: name.to_owned(),
            addresses: addresses.iter().map(|a| ip(a)).collect(),
        };
        made.names = vec![
            name("example.com", &["203.0.113.1"]),
            name("API.example.com.", &["203.0.113.2", "10.0.0.2"]),
            name("v1.api.example.com", &["192.168.0.1"]),
            name("www.example.org", &["203.0.113.2"]),
        ];
        made.nodes = vec![node("one", "", &["192.168.0.1"])];
        made.pods.push(pod("a/no-address", "", &[]));
        let ends = ["203.0.113.1", "203.0.113.2", "192.168.0.1", "10.0.0.2", "203.0.113.9"];
        let ends = ends.iter().map(|a| End::Outside(ip(a))).chain([SERVER, End::Pod(PodId(2))]);
        ends.map(|to| if egress_allowed(&made, &CLIENT, &to, HTTP) { '+' } else { '-' }).collect::<String>()
    };
    assert_eq!(reached("example.com"), "+------");
    assert_eq!(reached("api.example.com"), "-+-+-+-");
    assert_eq!(reached("*.example.com"), "-+++-+-");
    assert_eq!(reached("*.api.example.com"), "--+----");
    assert_eq!(reached("*.example.org"), "-+-----");
    assert_eq!(reached("example.net"), "-------");
}

#[test]
fn ports_are_those_of_the_receiver() {
    let entry = |protocol, port| PortMatch { protocol, port };
    let named = Protocol::ALL.map(|protocol| entry(protocol, PortRef::Named("http".to_owned())));
    let named_port = |protocol, port| NamedPort { name: "http".to_owned(), protocol, port };
    let rules = || vec![on(named.clone(), rule(Action::Deny, [network("0.0.0.0/0")]))];
    for policy in [admin(0, "x", rules()), ClusterPolicy { egress: rules(), ..admin(0, "x", Vec::new()) }] {
        let mut made = world(vec![policy], Vec::new());
        made.pods[0].named_ports = vec![named_port(Protocol::Tcp, 1)];
        made.pods[1].named_ports = vec![named_port(Protocol::Tcp, 80), named_port(Protocol::Sctp, 81)];
        let denied = |to: &End, protocol, port| !allowed(&made, &CLIENT, to, Traffic::Port(protocol, port));
        assert!(denied(&SERVER, Protocol::Tcp, 80) && denied(&SERVER, Protocol::Sctp, 81));
        assert!(!denied(&SERVER, Protocol::Tcp, 1) && !denied(&SERVER, Protocol::Udp, 80));
        assert!(!denied(&OUTSIDE, Protocol::Tcp, 80));
        assert!(allowed(&made, &CLIENT, &SERVER, Traffic::Other));
    }
    // ICMP passes and is dropped without ports only.
    let any = world(vec![admin(0, "x", vec![all(Action::Deny)])], Vec::new());
    assert!(!allowed(&any, &CLIENT, &SERVER, Traffic::Other));
    let every_port = Protocol::ALL.map(|protocol| entry(protocol, PortRef::All));
    let any_port = world(vec![admin(0, "x", vec![on(every_port, all(Action::Deny))])], Vec::new());
    assert!(allowed(&any_port, &CLIENT, &SERVER, Traffic::Other));
    assert!(!allowed(&any_port, &CLIENT, &SERVER, Traffic::Port(Protocol::Sctp, 9)));
}
