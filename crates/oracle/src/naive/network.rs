//! The tier of the NetworkPolicies: who is isolated, and what is let through.

use ringfence_policy::model::{NamespaceScope, NetworkPolicy, Peer, Peers, Pod, PolicyKey, Rule};

use super::{Direction, Question, RuleName};
use crate::matching::{ports_match, selects};
use crate::party::namespace_labels;

/// Whether some policy isolates the subject in the direction that is asked about: then this tier decides.
pub(super) fn isolates_subject(asked: &Question<'_>) -> bool {
    asked.world.policies.iter().any(|policy| isolates(policy, asked.subject, asked.direction))
}

/// Whether the policy isolates this pod, which has a network of its own, in this direction.
pub(super) fn isolates(policy: &NetworkPolicy, pod: &Pod, direction: Direction) -> bool {
    policy.name.namespace == pod.namespace
        && selects(&policy.subject, &pod.labels)
        && rules_of(policy, direction).is_some()
}

/// The rules of the policies that isolate the subject, which match the other end and the traffic.
pub(super) fn rules_that_allow(asked: &Question<'_>) -> Vec<RuleName> {
    let mut found = Vec::new();
    for policy in &asked.world.policies {
        if !isolates(policy, asked.subject, asked.direction) {
            continue;
        }
        for (place, rule) in (0..).zip(rules_of(policy, asked.direction).unwrap_or_default()) {
            if rule_matches(asked, policy, rule) {
                found.push(RuleName {
                    policy: PolicyKey::Network(policy.name.clone()),
                    egress: asked.direction == Direction::Egress,
                    rule: place,
                });
            }
        }
    }
    found
}

fn rule_matches(asked: &Question<'_>, policy: &NetworkPolicy, rule: &Rule) -> bool {
    let peer = match &rule.peers {
        Peers::Any => true,
        Peers::Of(peers) => peers.iter().any(|peer| peer_matches(asked, policy, peer)),
    };
    peer && ports_match(&rule.ports, asked.receiver, asked.traffic)
}

fn peer_matches(asked: &Question<'_>, policy: &NetworkPolicy, peer: &Peer) -> bool {
    match peer {
        Peer::Block(block) => asked.other.is_in_block(asked.world, block),
        Peer::Pods { namespaces, pods } => {
            let Some(pod) = asked.other.pod_of_its_own() else { return false };
            let namespace = match namespaces {
                NamespaceScope::Own => pod.namespace == policy.name.namespace,
                NamespaceScope::Matching(selector) => {
                    selects(selector, &namespace_labels(asked.world, &pod.namespace))
                }
            };
            namespace && selects(pods, &pod.labels)
        }
    }
}

fn rules_of(policy: &NetworkPolicy, direction: Direction) -> Option<&[Rule]> {
    match direction {
        Direction::Ingress => policy.ingress.as_deref(),
        Direction::Egress => policy.egress.as_deref(),
    }
}
