//! Worlds that are small enough to be written by hand.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "what is written here is right")]

pub(crate) mod cluster;

use std::net::IpAddr;

use ringfence_oracle::naive::End;
use ringfence_policy::{
    IpBlock, LabelSelector, Labels, NamespaceScope, NetworkPolicy, Peer, Peers, Pod, PodId, PolicyName,
    PortMatch, PortRef, Ports, Protocol, Rule, Traffic, Workload, World,
};

pub(crate) const HTTP: Traffic = Traffic::Port(Protocol::Tcp, 80);

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn pod(name: &str, labels: &str, addresses: &[&str]) -> Pod {
    let (namespace, name) = name.split_once('/').unwrap();
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        workload: Workload { kind: "Pod".to_owned(), name: name.to_owned() },
        count: 1,
        labels: labels_of(labels),
        addresses: addresses.iter().map(|a| ip(a)).collect(),
        named_ports: Vec::new(),
        host_network: false,
        node: None,
    }
}

pub(crate) fn labels_of(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(crate) fn selector(text: &str) -> LabelSelector {
    LabelSelector::labels(labels_of(text))
}

pub(crate) fn ingress(namespace: &str, subject: &str, rules: Vec<Rule>) -> NetworkPolicy {
    NetworkPolicy {
        name: PolicyName { namespace: namespace.to_owned(), name: "policy".to_owned() },
        subject: selector(subject),
        ingress: Some(rules),
        egress: None,
        source: None,
    }
}

pub(crate) fn egress(namespace: &str, subject: &str, rules: Vec<Rule>) -> NetworkPolicy {
    NetworkPolicy { egress: Some(rules), ingress: None, ..ingress(namespace, subject, Vec::new()) }
}

pub(crate) fn from(peers: impl IntoIterator<Item = Peer>) -> Rule {
    Rule { peers: Peers::Of(peers.into_iter().collect()), ports: Ports::Any, source: None }
}

pub(crate) fn on(ports: impl IntoIterator<Item = (Protocol, PortRef)>) -> Rule {
    let ports = ports.into_iter().map(|(protocol, port)| PortMatch { protocol, port }).collect();
    Rule { peers: Peers::Any, ports: Ports::Of(ports), source: None }
}

pub(crate) fn block(cidr: &str, except: &[&str]) -> Peer {
    Peer::Block(IpBlock::new(cidr.parse().unwrap(), except.iter().map(|e| e.parse().unwrap())))
}

pub(crate) fn pods(namespaces: NamespaceScope, labels: &str) -> Peer {
    Peer::Pods { namespaces, pods: selector(labels) }
}

pub(crate) fn in_namespaces(labels: &str) -> Peer {
    pods(NamespaceScope::Matching(selector(labels)), "")
}

/// Two pods, `a/client` and `a/server`, and one policy.
pub(crate) fn pair(policy: NetworkPolicy) -> World {
    World {
        pods: vec![
            pod("a/client", "app=client", &["10.0.0.1", "fd00::1"]),
            pod("a/server", "app=server", &["10.0.0.2"]),
        ],
        policies: vec![policy],
        ..World::default()
    }
}

pub(crate) const CLIENT: End = End::Pod(PodId(0));
pub(crate) const SERVER: End = End::Pod(PodId(1));
