//! Policies of the whole cluster that are small enough to be written by hand.

use ringfence_oracle::naive::End;
use ringfence_policy::{
    Action, ClusterMatch, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterRule,
    ClusterTier, DomainPattern, NetworkPolicy, Node, PodsAcross, PortMatch, Ports, World,
};

use super::{ingress, ip, labels_of, pair};

pub(crate) const OUTSIDE: End = End::Outside(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)));

/// A policy for every pod.
pub(crate) fn policy(name: &str, tier: ClusterTier, priority: u16) -> ClusterPolicy {
    ClusterPolicy {
        name: ClusterPolicyName { name: name.to_owned(), kind: ClusterPolicyKind::ClusterNetworkPolicy },
        tier,
        priority,
        subject: PodsAcross::default(),
        ingress: Vec::new(),
        egress: Vec::new(),
        source: None,
    }
}

pub(crate) fn admin(priority: u16, name: &str, ingress: Vec<ClusterRule>) -> ClusterPolicy {
    ClusterPolicy { ingress, ..policy(name, ClusterTier::Admin, priority) }
}

pub(crate) fn baseline(priority: u16, name: &str, ingress: Vec<ClusterRule>) -> ClusterPolicy {
    ClusterPolicy { ingress, ..policy(name, ClusterTier::Baseline, priority) }
}

pub(crate) fn rule(action: Action, peers: impl IntoIterator<Item = ClusterPeer>) -> ClusterRule {
    let matches = ClusterMatch { peers: peers.into_iter().collect(), ports: Ports::Any };
    ClusterRule { name: None, action, matches: Some(matches), source: None }
}

pub(crate) fn unknown(action: Action) -> ClusterRule {
    ClusterRule { name: None, action, matches: None, source: None }
}

/// A rule for every pod.
pub(crate) fn all(action: Action) -> ClusterRule {
    rule(action, [ClusterPeer::Pods(PodsAcross::default())])
}

pub(crate) fn on(ports: impl IntoIterator<Item = PortMatch>, rule: ClusterRule) -> ClusterRule {
    let peers = rule.matches.unwrap().peers;
    let matches = ClusterMatch { peers, ports: Ports::Of(ports.into_iter().collect()) };
    ClusterRule { matches: Some(matches), ..rule }
}

pub(crate) fn network(cidr: &str) -> ClusterPeer {
    ClusterPeer::Network(cidr.parse().unwrap())
}

pub(crate) fn domain(pattern: &str) -> ClusterPeer {
    ClusterPeer::Domain(DomainPattern::parse(pattern).unwrap())
}

pub(crate) fn node(name: &str, labels: &str, addresses: &[&str]) -> Node {
    let addresses = addresses.iter().map(|a| ip(a)).collect();
    Node { name: name.to_owned(), labels: labels_of(labels), addresses }
}

/// `a/client`, `a/server`, and these policies.
pub(crate) fn world(cluster_policies: Vec<ClusterPolicy>, policies: Vec<NetworkPolicy>) -> World {
    World { cluster_policies, policies, ..pair(ingress("elsewhere", "", Vec::new())) }
}
