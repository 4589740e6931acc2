//! What must hold of the tiers on every world, whatever the policies of the cluster say.

use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use ringfence_oracle::naive::{self, Decision, Direction, End, RuleName, Tier, allowed, decision};
use ringfence_oracle::questions::questions;
use ringfence_oracle::random::Random;
use ringfence_oracle::strategies::any_world;
use ringfence_policy::{
    Action, ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterRule, ClusterTier, PodsAcross,
    PolicyKey, Traffic, World,
};

/// So many questions of each world.
const ASKED: usize = 150;

fn ask(world: &World, seed: u64) -> Vec<(End, End, Traffic)> {
    questions(world, seed).into_iter().take(ASKED).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    /// Each tier decides only where the one before it does not, and says by which rule.
    #[test]
    fn tiers_are_asked_in_order(world in any_world(), seed in any::<u64>()) {
        for (from, to, traffic) in ask(&world, seed) {
            for direction in Direction::ALL {
                let made = decision(&world, direction, &from, &to, traffic);
                let rules = naive::matching_rules(&world, direction, &from, &to, traffic);
                let end = if direction == Direction::Egress { from } else { to };
                let isolated = match end {
                    End::Pod(pod) | End::PodAt(pod, _) => Some(naive::isolated(&world, pod, direction)),
                    End::Outside(_) => None,
                };
                prop_assert_eq!(wrong(&world, direction, &made, &rules, isolated), None, "{:?}", made);
            }
        }
    }

    /// Where a policy of the cluster has no part in a decision, the decision is the same without it.
    #[test]
    fn a_policy_without_a_part_is_not_missed(world in any_world(), seed in any::<u64>()) {
        for left_out in &world.cluster_policies {
            let mut smaller = world.clone();
            smaller.cluster_policies.retain(|policy| policy != left_out);
            let key = PolicyKey::Cluster(left_out.name.clone());
            for (from, to, traffic) in ask(&world, seed) {
                for direction in Direction::ALL {
                    let made = decision(&world, direction, &from, &to, traffic);
                    if made.rule.iter().chain(&made.passed).all(|rule| rule.policy != key) {
                        prop_assert_eq!(&made, &decision(&smaller, direction, &from, &to, traffic));
                    }
                }
            }
        }
    }

    /// What is not known never opens anything.
    #[test]
    fn what_is_not_known_allows_nothing_more(world in any_world(), seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let mut unknown = world.clone();
        for policy in &mut unknown.cluster_policies {
            for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                if random.chance(30) {
                    rule.matches = None;
                }
            }
        }
        let opened = ask(&world, seed).into_iter().find(|(from, to, traffic)| {
            allowed(&unknown, from, to, *traffic) && !allowed(&world, from, to, *traffic)
        });
        prop_assert_eq!(opened, None);
    }

    /// Where the first rule of all denies everything, only what is exempt comes in.
    #[test]
    fn nothing_gets_past_the_first_denial(mut world in any_world(), seed in any::<u64>()) {
        world.cluster_policies.push(ClusterPolicy {
            name: ClusterPolicyName { name: "0".to_owned(), kind: ClusterPolicyKind::ClusterNetworkPolicy },
            tier: ClusterTier::Admin,
            priority: 0,
            subject: PodsAcross::default(),
            ingress: vec![ClusterRule { name: None, action: Action::Pass, matches: None, source: None }],
            egress: Vec::new(),
            source: None,
        });
        for (from, to, traffic) in ask(&world, seed) {
            let made = decision(&world, Direction::Ingress, &from, &to, traffic);
            prop_assert_eq!(made.allowed, made.tier == Tier::Default);
        }
    }
}

/// What is wrong with a decision. `rules` are the NetworkPolicy rules that match; `isolated` is whether
/// NetworkPolicies isolate the pod on this side, where the end is called as a pod.
fn wrong(
    world: &World,
    direction: Direction,
    made: &Decision,
    rules: &[RuleName],
    isolated: Option<bool>,
) -> Option<&'static str> {
    let tier_of = |rule: &RuleName| {
        let named = |policy: &&ClusterPolicy| PolicyKey::Cluster(policy.name.clone()) == rule.policy;
        world.cluster_policies.iter().find(named).map(|policy| policy.tier)
    };
    let decided_by = made.rule.as_ref().and_then(tier_of);
    let right = match made.tier {
        Tier::Admin => decided_by == Some(ClusterTier::Admin),
        Tier::NetworkPolicy => {
            made.allowed == made.rule.is_some()
                && made.rule.as_ref() == rules.first()
                && isolated != Some(false)
        }
        Tier::Baseline => decided_by == Some(ClusterTier::Baseline) && isolated != Some(true),
        Tier::Default => made.allowed && made.rule.is_none(),
    };
    if !right {
        return Some("the tier does not decide so");
    }
    if made.rule.iter().chain(&made.passed).any(|rule| rule.egress != (direction == Direction::Egress)) {
        return Some("a rule of the other direction");
    }
    match made.passed.iter().map(tier_of).collect::<Vec<_>>().as_slice() {
        [] => None,
        [Some(ClusterTier::Admin)] if made.tier != Tier::Admin => None,
        [Some(ClusterTier::Baseline)] | [Some(ClusterTier::Admin), Some(ClusterTier::Baseline)]
            if made.tier == Tier::Default =>
        {
            None
        }
        _ => Some("a rule cannot have passed it on"),
    }
}
