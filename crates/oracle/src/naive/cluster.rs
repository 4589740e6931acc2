//! The tiers of the cluster-wide policies: one policy after the other, one rule after the other, until one decides.

use ringfence_policy::cluster::{
    Action, ClusterMatch, ClusterPeer, ClusterPolicy, ClusterRule, ClusterTier, PodsAcross,
};
use ringfence_policy::model::{Pod, PolicyKey, World};

use super::{Direction, Question, RuleName};
use crate::matching::{is_domain, ports_match, selects};
use crate::party::namespace_labels;

/// Whether the tier allows it, and by which rule; `None` where it leaves the decision to the next tier. A Pass rule
/// that matches is added to those that did before.
pub(super) fn decide(
    asked: &Question<'_>,
    tier: ClusterTier,
    passed: &mut Vec<RuleName>,
) -> Option<(bool, RuleName)> {
    for policy in policies(asked, tier) {
        for (place, rule) in (0..).zip(rules_of(policy, asked.direction)) {
            let Some(action) = effect(asked, rule) else { continue };
            let name = RuleName {
                policy: PolicyKey::Cluster(policy.name.clone()),
                egress: asked.direction == Direction::Egress,
                rule: place,
            };
            match action {
                Action::Accept => return Some((true, name)),
                Action::Deny => return Some((false, name)),
                Action::Pass => {
                    passed.push(name);
                    return None;
                }
            }
        }
    }
    None
}

/// The policies of the tier that hold the subject, in the order in which they are asked: by priority, those of equal
/// priority by name, and those of one name by kind.
fn policies<'w>(asked: &Question<'w>, tier: ClusterTier) -> Vec<&'w ClusterPolicy> {
    let of_tier = asked.world.cluster_policies.iter().filter(|policy| policy.tier == tier);
    let mut found: Vec<&ClusterPolicy> =
        of_tier.filter(|policy| selects_pod(asked.world, &policy.subject, asked.subject)).collect();
    found.sort_by_key(|policy| (policy.priority, policy.name.name.as_str(), policy.name.kind));
    found
}

/// What the rule does with what is asked; `None` where it does not match. Where something in it is not known, it
/// fails closed: it may deny anything, and accept nothing. A domain name can be accepted only, so that one which is
/// to be denied or passed on is such a thing.
fn effect(asked: &Question<'_>, rule: &ClusterRule) -> Option<Action> {
    match (&rule.matches, rule.action) {
        (None, Action::Accept) => None,
        (None, Action::Deny | Action::Pass) => Some(Action::Deny),
        (Some(matches), Action::Deny | Action::Pass) if names_a_domain(matches) => Some(Action::Deny),
        (Some(matches), action) => is_met(asked, matches).then_some(action),
    }
}

fn names_a_domain(matches: &ClusterMatch) -> bool {
    matches.peers.iter().any(|peer| matches!(peer, ClusterPeer::Domain(_)))
}

fn is_met(asked: &Question<'_>, matches: &ClusterMatch) -> bool {
    matches.peers.iter().any(|peer| peer_matches(asked, peer))
        && ports_match(&matches.ports, asked.receiver, asked.traffic)
}

fn peer_matches(asked: &Question<'_>, peer: &ClusterPeer) -> bool {
    let (world, other) = (asked.world, &asked.other);
    match peer {
        ClusterPeer::Pods(across) => {
            other.pod_of_its_own().is_some_and(|pod| selects_pod(world, across, pod))
        }
        ClusterPeer::Nodes(selector) => other.is_node_among(world, selector),
        ClusterPeer::Network(network) => other.is_in_network(world, *network),
        ClusterPeer::Domain(pattern) => {
            let named = world.names.iter().filter(|known| is_domain(&pattern.to_string(), &known.name));
            named.flat_map(|known| &known.addresses).any(|address| other.has(*address))
        }
    }
}

/// Whether this pod, which has a network of its own, is one of these.
fn selects_pod(world: &World, across: &PodsAcross, pod: &Pod) -> bool {
    selects(&across.namespaces, &namespace_labels(world, &pod.namespace))
        && selects(&across.pods, &pod.labels)
}

fn rules_of(policy: &ClusterPolicy, direction: Direction) -> &[ClusterRule] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}
