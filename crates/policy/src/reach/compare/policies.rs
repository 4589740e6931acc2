//! Which policies are not what they were, and whether the pods at hand can tell.

use std::collections::BTreeSet;

use crate::cluster::{ClusterPolicy, ClusterRule};
use crate::engine::Engine;
use crate::matchers::DistinctPeer;
use crate::model::{NetworkPolicy, Peers, Policy, PolicyId, PolicyKey, Ports, Rule};
use crate::policies::{cluster_rules, network_rules};
use crate::verdict::Direction;

/// A policy that came, went, or says something else than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// What it is called.
    pub key: PolicyKey,
    /// Its number in the old world.
    pub old: Option<PolicyId>,
    /// Its number in the new world.
    pub new: Option<PolicyId>,
    /// Whether it selects any pod, in one world or the other.
    pub selects: bool,
    /// What it says, and did not say before or the reverse, of pods, nodes or names of which there are none in either
    /// world: what that changes is not to be seen.
    pub unseen: Vec<DistinctPeer>,
}

/// The policies that differ between two worlds in more than their spelling, by key.
pub fn changed_policies(old: &Engine, new: &Engine) -> Vec<PolicyChange> {
    let keys: BTreeSet<PolicyKey> =
        [old, new].into_iter().flat_map(|engine| engine.policies().map(|(_, policy)| policy.key())).collect();
    let change = |key: PolicyKey| {
        let (before, after) = (old.find_policy(&key), new.find_policy(&key));
        let policy =
            |engine: &Engine, id: Option<PolicyId>| id.and_then(|id| engine.policy(id)).map(canonical);
        let (was, is) = (policy(old, before), policy(new, after));
        if was == is {
            return None;
        }
        let either = |peer: &DistinctPeer| [old, new].into_iter().any(|engine| is_met(engine, peer));
        let versions = || [&was, &is].into_iter().flatten();
        let [one, other] = [&was, &is].map(|policy| policy.as_ref().map(peers).unwrap_or_default());
        let unseen = one.symmetric_difference(&other).filter(|peer| !either(peer)).cloned().collect();
        let selects = versions().any(|policy| either(&subject(policy)));
        Some(PolicyChange { key, old: before, new: after, selects, unseen })
    };
    keys.into_iter().filter_map(change).collect()
}

/// Whether anything is matched: pods, nodes, or addresses, which always are there.
fn is_met(engine: &Engine, peer: &DistinctPeer) -> bool {
    match peer {
        DistinctPeer::PodsIn(..) | DistinctPeer::PodsAcross(_) => !peer.select(&engine.index).is_empty(),
        DistinctPeer::Block(_) => true,
        DistinctPeer::Nodes(_) | DistinctPeer::Domain(_) => !engine.prefixes_held(peer).0.is_empty(),
    }
}

fn subject(policy: &Policy) -> DistinctPeer {
    match policy {
        Policy::Network(policy) => {
            DistinctPeer::PodsIn(policy.name.namespace.clone(), policy.subject.clone())
        }
        Policy::Cluster(policy) => DistinctPeer::PodsAcross(policy.subject.clone()),
    }
}

/// The peers that a policy's rules name, each once.
fn peers(policy: &Policy) -> BTreeSet<DistinctPeer> {
    let mut found = BTreeSet::new();
    for direction in Direction::ALL {
        match policy {
            Policy::Network(policy) => {
                let rules = network_rules(policy, direction).unwrap_or_default();
                let peers = rules.iter().filter_map(|rule| match &rule.peers {
                    Peers::Any => None,
                    Peers::Of(peers) => Some(peers),
                });
                found.extend(peers.flatten().map(|peer| DistinctPeer::of(&policy.name.namespace, peer)));
            }
            Policy::Cluster(policy) => {
                let matches =
                    cluster_rules(policy, direction).iter().filter_map(|rule| rule.matches.as_ref());
                found.extend(matches.flat_map(|m| &m.peers).map(DistinctPeer::of_cluster));
            }
        }
    }
    found
}

/// A policy without its places and with everything whose order means nothing in one order.
fn canonical(policy: &Policy) -> Policy {
    match policy {
        Policy::Network(policy) => {
            let rules = |rules: &Option<Vec<Rule>>| {
                rules.as_ref().map(|rules| {
                    let mut rules: Vec<Rule> = rules.iter().map(canonical_rule).collect();
                    // Rules have no order of their own; any that does not depend on their places will do.
                    rules.sort_by_cached_key(|rule| format!("{rule:?}"));
                    rules.dedup();
                    rules
                })
            };
            Policy::Network(NetworkPolicy {
                ingress: rules(&policy.ingress),
                egress: rules(&policy.egress),
                source: None,
                ..policy.clone()
            })
        }
        Policy::Cluster(policy) => {
            let rules = |rules: &[ClusterRule]| rules.iter().map(canonical_cluster_rule).collect();
            Policy::Cluster(ClusterPolicy {
                ingress: rules(&policy.ingress),
                egress: rules(&policy.egress),
                source: None,
                ..policy.clone()
            })
        }
    }
}

fn canonical_rule(rule: &Rule) -> Rule {
    let peers = match &rule.peers {
        Peers::Any => Peers::Any,
        Peers::Of(peers) => Peers::Of(sorted(peers)),
    };
    Rule { peers, ports: canonical_ports(&rule.ports), source: None }
}

fn canonical_cluster_rule(rule: &ClusterRule) -> ClusterRule {
    let mut rule = ClusterRule { source: None, ..rule.clone() };
    if let Some(matches) = &mut rule.matches {
        matches.peers = sorted(&matches.peers);
        matches.ports = canonical_ports(&matches.ports);
    }
    rule
}

fn canonical_ports(ports: &Ports) -> Ports {
    match ports {
        Ports::Any => Ports::Any,
        Ports::Of(ports) => Ports::Of(sorted(ports)),
    }
}

fn sorted<T: Clone + Ord>(items: &[T]) -> Vec<T> {
    let items: BTreeSet<T> = items.iter().cloned().collect();
    items.into_iter().collect()
}
