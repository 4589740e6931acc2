//! The naive engine on worlds small enough to check by hand: one case for each decision that a reader of the
//! specification of NetworkPolicy could take otherwise.

mod by_hand;

use by_hand::{
    CLIENT, HTTP, SERVER, block, egress, from, in_namespaces, ingress, ip, labels_of, on, pair, pod, pods,
};
use ringfence_oracle::naive::{
    Direction, End, RuleName, allowed, egress_allowed, ingress_allowed, isolated, isolating, matching_rules,
};
use ringfence_policy::model::NAMESPACE_NAME_LABEL;
use ringfence_policy::{
    LabelSelector, Labels, NamedPort, Namespace, NamespaceScope, NetworkPolicy, Node, Pod, PodId, PolicyKey,
    PolicyName, PortRange, PortRef, Protocol, Requirement, Traffic,
};

#[test]
fn isolation_is_of_one_direction() {
    let world = pair(ingress("a", "app=server", Vec::new()));
    assert!(isolated(&world, PodId(1), Direction::Ingress));
    assert!(!isolated(&world, PodId(1), Direction::Egress));
    assert!(!allowed(&world, &CLIENT, &SERVER, HTTP));
    assert!(egress_allowed(&world, &CLIENT, &SERVER, HTTP));
    assert!(allowed(&world, &SERVER, &CLIENT, HTTP));
}

#[test]
fn a_pod_reaches_itself_by_any_of_its_addresses() {
    let world = pair(NetworkPolicy { egress: Some(Vec::new()), ..ingress("a", "", Vec::new()) });
    for (from, to) in [
        (CLIENT, CLIENT),
        (End::PodAt(PodId(0), ip("10.0.0.1")), End::Outside(ip("fd00::1"))),
        (End::Outside(ip("10.0.0.1")), End::Outside(ip("10.0.0.1"))),
    ] {
        assert!(allowed(&world, &from, &to, Traffic::Other), "{from:?} {to:?}");
    }
    assert!(!allowed(&world, &CLIENT, &SERVER, Traffic::Other));
}

#[test]
fn the_own_node_comes_in_and_other_nodes_do_not() {
    let mut world = pair(ingress("a", "", Vec::new()));
    world.nodes = vec![
        Node {
            name: "one".to_owned(),
            labels: Labels::new(),
            addresses: vec![ip("192.168.0.1"), ip("10.0.0.254")],
        },
        Node { name: "two".to_owned(), labels: Labels::new(), addresses: vec![ip("192.168.0.2")] },
    ];
    world.pods[1].node = Some("one".to_owned());
    let agent = |node: Option<&str>| Pod {
        host_network: true,
        node: node.map(str::to_owned),
        ..pod("kube-system/agent", "app=client", &[])
    };
    world.pods.extend([agent(Some("one")), agent(Some("two")), agent(None)]);
    let comes_in = |from: End| ingress_allowed(&world, &from, &SERVER, HTTP);
    assert!(comes_in(End::Outside(ip("10.0.0.254"))));
    assert!(!comes_in(End::Outside(ip("192.168.0.2"))));
    assert!(comes_in(End::Pod(PodId(2))));
    assert!(comes_in(End::PodAt(PodId(2), ip("192.168.0.1"))));
    assert!(!comes_in(End::Pod(PodId(3))));
    assert!(!comes_in(End::Pod(PodId(4))));
    // The client's node is not known: no node is its own.
    assert!(!ingress_allowed(&world, &End::Pod(PodId(4)), &CLIENT, HTTP));
}

#[test]
fn the_own_node_is_no_exception_on_the_way_out() {
    let mut world = pair(egress("a", "", Vec::new()));
    world.nodes =
        vec![Node { name: "one".to_owned(), labels: Labels::new(), addresses: vec![ip("192.168.0.1")] }];
    world.pods[0].node = Some("one".to_owned());
    assert!(!egress_allowed(&world, &CLIENT, &End::Outside(ip("192.168.0.1")), HTTP));
}

#[test]
fn host_network_pods_are_addresses() {
    let anyone = from([in_namespaces(""), pods(NamespaceScope::Own, "")]);
    let mut world =
        pair(ingress("a", "", vec![anyone, from([block("192.168.0.0/24", &["192.168.0.2/32"])])]));
    let agent = |address: &str| Pod { host_network: true, ..pod("a/agent", "app=client", &[address]) };
    world.pods.extend([agent("192.168.0.1"), agent("192.168.0.2")]);
    assert!(!isolated(&world, PodId(2), Direction::Ingress));
    assert!(allowed(&world, &End::Pod(PodId(2)), &SERVER, HTTP));
    assert!(!allowed(&world, &End::Pod(PodId(3)), &SERVER, HTTP));
    assert!(allowed(&world, &SERVER, &End::Pod(PodId(3)), HTTP));
}

#[test]
fn named_ports_belong_to_the_receiver() {
    let http = || PortRef::Named("http".to_owned());
    let named = |protocol, port| NamedPort { name: "http".to_owned(), protocol, port };
    for mut world in [
        pair(ingress("a", "app=server", vec![on([(Protocol::Tcp, http())])])),
        pair(egress("a", "app=client", vec![on([(Protocol::Tcp, http())])])),
    ] {
        world.pods[0].named_ports = vec![named(Protocol::Tcp, 1)];
        world.pods[1].named_ports =
            vec![named(Protocol::Tcp, 80), named(Protocol::Tcp, 81), named(Protocol::Udp, 82)];
        let passes = |protocol, port| allowed(&world, &CLIENT, &SERVER, Traffic::Port(protocol, port));
        let results: Vec<bool> =
            [(Protocol::Tcp, 80), (Protocol::Tcp, 81), (Protocol::Tcp, 82), (Protocol::Udp, 82)]
                .into_iter()
                .chain([(Protocol::Tcp, 1), (Protocol::Udp, 80)])
                .map(|(protocol, port)| passes(protocol, port))
                .collect();
        assert_eq!(results, [true, true, false, false, false, false]);
    }
    let mut world = pair(egress("a", "app=client", vec![on([(Protocol::Tcp, http())])]));
    world.pods[1].named_ports = vec![named(Protocol::Tcp, 80)];
    assert!(allowed(&world, &CLIENT, &End::Outside(ip("10.0.0.2")), HTTP));
    assert!(!allowed(&world, &CLIENT, &End::Outside(ip("203.0.113.1")), HTTP));
    world.pods[1].host_network = true;
    assert!(!allowed(&world, &CLIENT, &SERVER, HTTP));
}

#[test]
fn rules_with_ports_pass_nothing_without_ports() {
    let range = PortRef::Range(PortRange::new(1, 65535).unwrap());
    for (rules, icmp, sctp) in [
        (vec![on(Protocol::ALL.map(|protocol| (protocol, PortRef::All)))], false, true),
        (vec![on([(Protocol::Tcp, PortRef::All), (Protocol::Udp, range)])], false, false),
        (vec![from([block("0.0.0.0/0", &[])])], true, true),
        (vec![from([])], false, false),
        (vec![on([])], false, false),
    ] {
        let world = pair(ingress("a", "app=server", rules));
        assert_eq!(allowed(&world, &CLIENT, &SERVER, Traffic::Other), icmp);
        assert_eq!(allowed(&world, &CLIENT, &SERVER, Traffic::Port(Protocol::Sctp, 80)), sctp);
    }
}

#[test]
fn the_automatic_label_is_always_there() {
    let by_name = format!("{NAMESPACE_NAME_LABEL}=b");
    let mut world = pair(ingress("a", "", vec![from([in_namespaces(&by_name)])]));
    world.pods[0].namespace = "b".to_owned();
    assert!(allowed(&world, &CLIENT, &SERVER, HTTP));
    let wrong = labels_of(&format!("{NAMESPACE_NAME_LABEL}=c"));
    world.namespaces = vec![Namespace { name: "b".to_owned(), labels: wrong }];
    assert!(allowed(&world, &CLIENT, &SERVER, HTTP));
}

#[test]
fn a_block_and_a_pod_of_two_families() {
    let mut world = pair(ingress("a", "app=server", vec![from([block("fd00::/16", &[])])]));
    // The server has an IPv4 address alone, so the client's other address is of no use.
    assert!(!allowed(&world, &CLIENT, &SERVER, HTTP));
    world.pods[1].addresses.push(ip("fd00::2"));
    assert!(allowed(&world, &CLIENT, &SERVER, HTTP));
    assert!(!allowed(&world, &End::PodAt(PodId(0), ip("10.0.0.1")), &SERVER, HTTP));
    assert!(allowed(&world, &End::PodAt(PodId(0), ip("fd00::1")), &SERVER, HTTP));
    let world = pair(ingress("a", "app=server", vec![from([pods(NamespaceScope::Own, "app=client")])]));
    assert!(allowed(&world, &End::PodAt(PodId(0), ip("10.0.0.1")), &SERVER, HTTP));
    assert!(allowed(&world, &End::Outside(ip("fd00::1")), &SERVER, HTTP));
}

#[test]
fn a_pod_without_an_address_is_in_blocks_that_hold_all_it_could_have() {
    let check = |cidr: &str, except: &[&str], pod_cidrs: &[&str], expect: bool| {
        let mut world = pair(ingress("a", "app=server", vec![from([block(cidr, except)])]));
        world.pods[0].addresses.clear();
        world.pod_cidrs = pod_cidrs.iter().map(|c| c.parse().unwrap()).collect();
        assert_eq!(
            allowed(&world, &CLIENT, &SERVER, HTTP),
            expect,
            "{cidr} except {except:?} in {pod_cidrs:?}"
        );
        world.pods[0].host_network = true;
        let whole = cidr.ends_with("/0") && except.is_empty();
        assert_eq!(allowed(&world, &CLIENT, &SERVER, HTTP), whole, "{cidr} on the node's network");
    };
    check("0.0.0.0/0", &[], &[], true);
    check("::/0", &[], &[], true);
    check("::/0", &[], &["10.0.0.0/16"], true);
    check("10.0.0.0/8", &[], &[], false);
    check("10.0.0.0/8", &[], &["10.0.0.0/16"], true);
    check("10.0.0.0/8", &[], &["10.0.0.0/16", "fd00::/48"], true);
    check("10.0.0.0/8", &[], &["10.0.0.0/16", "172.16.0.0/16"], false);
    check("10.0.0.0/16", &[], &["10.0.0.0/8"], false);
    check("10.0.0.0/8", &["10.0.3.0/24"], &["10.0.0.0/16"], false);
    check("10.0.0.0/8", &["10.1.0.0/16"], &["10.0.0.0/16"], true);
    check("0.0.0.0/0", &["169.254.169.254/32"], &[], false);
    check("0.0.0.0/0", &["169.254.169.254/32"], &["10.0.0.0/16"], true);
}

#[test]
fn selectors_without_the_key() {
    let values = || ["x".to_owned()].into();
    let app = || "app".to_owned();
    for (requirement, with, other, without) in [
        (Requirement::In(app(), values()), true, false, false),
        (Requirement::NotIn(app(), values()), false, true, true),
        (Requirement::Exists(app()), true, true, false),
        (Requirement::DoesNotExist(app()), false, false, true),
    ] {
        let mut policy = ingress("a", "", Vec::new());
        policy.subject = LabelSelector::new([requirement]);
        let mut world = pair(policy);
        world.pods = ["app=x", "app=y", ""].map(|labels| pod("a/pod", labels, &[])).to_vec();
        let isolated = [0, 1, 2].map(|id| isolated(&world, PodId(id), Direction::Ingress));
        assert_eq!(isolated, [with, other, without]);
    }
}

#[test]
fn the_rules_that_match_are_named() {
    let rules =
        vec![on([(Protocol::Udp, PortRef::All)]), from([pods(NamespaceScope::Own, "app=client")]), from([])];
    let world = pair(ingress("a", "app=server", rules));
    let found = matching_rules(&world, Direction::Ingress, &CLIENT, &SERVER, HTTP);
    let name = PolicyName { namespace: "a".to_owned(), name: "policy".to_owned() };
    assert_eq!(isolating(&world, PodId(1), Direction::Ingress), std::slice::from_ref(&name));
    assert_eq!(found, [RuleName { policy: PolicyKey::Network(name), egress: false, rule: 1 }]);
}
