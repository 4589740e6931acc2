//! Small changes to a cluster-wide policy.

use ringfence_policy::cluster::{ClusterPolicy, ClusterPolicyKind, ClusterRule, ClusterTier};
use ringfence_policy::model::Ports;

use crate::worlds::mutate::drop_one;
use crate::worlds::policies::Maker;

/// The policy with one change, under the same name.
pub(super) fn mutate_cluster_policy(policy: &ClusterPolicy, maker: &mut Maker<'_>) -> ClusterPolicy {
    let mut policy = policy.clone();
    let is_of_any_tier = policy.name.kind == ClusterPolicyKind::ClusterNetworkPolicy;
    match maker.random.below(10) {
        0..3 => policy.priority = maker.priority(),
        3 if is_of_any_tier => {
            policy.tier = match policy.tier {
                ClusterTier::Admin => ClusterTier::Baseline,
                ClusterTier::Baseline => ClusterTier::Admin,
            };
        }
        4 => policy.subject = maker.across(),
        _ => {
            let egress = maker.random.chance(60);
            let rules = if egress { &mut policy.egress } else { &mut policy.ingress };
            mutate_rules(rules, egress, maker);
        }
    }
    policy
}

fn mutate_rules(rules: &mut Vec<ClusterRule>, egress: bool, maker: &mut Maker<'_>) {
    let place = maker.random.below(rules.len());
    match maker.random.below(7) {
        0 => {
            let rule = maker.cluster_rule(egress);
            rules.insert(maker.random.below(rules.len() + 1), rule);
        }
        1 => drop_one(rules, maker.random),
        // Order means something here.
        2 => maker.random.shuffle(rules),
        kind => {
            let Some(rule) = rules.get_mut(place) else { return };
            match (kind, &mut rule.matches) {
                (3, _) => rule.action = maker.action(),
                (4, matches) => *matches = None,
                (5, Some(matches)) => matches.ports = Ports::Any,
                (6, Some(matches)) => drop_one(&mut matches.peers, maker.random),
                _ => *rule = maker.cluster_rule(egress),
            }
        }
    }
}
