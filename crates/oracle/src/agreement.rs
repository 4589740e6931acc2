//! What the engine says of each side of a connection, with its reasons, held against the naive engine.

use ringfence_policy::{Because, Direction, End, Engine, PodId, PolicyKey, RuleRef, Side, Tier, World};

use crate::naive::{self, RuleName};
use crate::party::pod_at;
use crate::questions::questions;

/// Asks both engines the questions of a seed: how many sides they agree on, or the first on which they do not, in words.
/// `ids` are the engine's pods in the order of the world.
///
/// # Errors
/// Where they do not agree.
pub fn compare(world: &World, engine: &Engine, ids: &[PodId], seed: u64) -> Result<usize, String> {
    for (place, id) in (0u32..).map(PodId).zip(ids) {
        for direction in Direction::ALL {
            let ours = engine.isolating(*id, direction).iter();
            let ours: Vec<PolicyKey> = ours.filter_map(|p| Some(engine.policy(*p)?.key())).collect();
            let theirs = naive::isolating(world, place, naive_direction(direction)).into_iter();
            let theirs: Vec<PolicyKey> = theirs.map(PolicyKey::Network).collect();
            if ours != theirs {
                return Err(format!("{place:?} {direction:?}: isolated by {ours:?}, should be {theirs:?}"));
            }
        }
    }
    let mut sides = 0;
    for (from, to, traffic) in questions(world, seed) {
        let verdict = engine.verdict(end(from, ids), end(to, ids), traffic);
        for direction in Direction::ALL {
            let side = verdict.side(direction);
            let theirs = naive::decision(world, naive_direction(direction), &from, &to, traffic);
            let rules = || naive::matching_rules(world, naive_direction(direction), &from, &to, traffic);
            let isolated = match direction {
                Direction::Egress => subject(from, world),
                Direction::Ingress => subject(to, world),
            };
            let isolated = isolated.is_some_and(|p| naive::isolated(world, p, naive_direction(direction)));
            if !agrees(engine, side, &theirs, rules) || side.isolated != isolated {
                return Err(format!(
                    "{from:?} -> {to:?} {traffic:?} {direction:?}: {side:?}, should be {theirs:?}"
                ));
            }
            sides += 1;
        }
        let naive::End::PodAt(..) = to else { continue };
        let verdict = engine.hairpin_verdict(end(to, ids), traffic);
        for direction in Direction::ALL {
            let side = verdict.side(direction);
            let theirs = naive::hairpin(world, naive_direction(direction), &to, traffic);
            if !agrees(engine, side, &theirs, Vec::new) {
                return Err(format!(
                    "{to:?} to itself {traffic:?} {direction:?}: {side:?}, should be {theirs:?}"
                ));
            }
            sides += 1;
        }
    }
    Ok(sides)
}

/// Whether a side's answer and its reasons are those of the naive engine, of whose NetworkPolicies' rules any that allow
/// it will do.
fn agrees(engine: &Engine, side: &Side, theirs: &naive::Decision, rules: impl Fn() -> Vec<RuleName>) -> bool {
    let (tier, rule) = reason(engine, side);
    let passed: Vec<RuleName> = side.passed.iter().filter_map(|r| name(engine, *r)).collect();
    let same_rule = match (&rule, tier) {
        (Some(rule), naive::Tier::NetworkPolicy) => rules().contains(rule),
        _ => rule == theirs.rule,
    };
    (side.allowed, tier, &passed) == (theirs.allowed, theirs.tier, &theirs.passed) && same_rule
}

fn reason(engine: &Engine, side: &Side) -> (naive::Tier, Option<RuleName>) {
    match &side.because {
        Because::Rule(rule) => {
            let tier = match engine.rule_tier(*rule) {
                Tier::Admin => naive::Tier::Admin,
                Tier::NetworkPolicy => naive::Tier::NetworkPolicy,
                Tier::Baseline => naive::Tier::Baseline,
                Tier::Default => naive::Tier::Default,
            };
            (tier, name(engine, *rule))
        }
        Because::NoRule(_) => (naive::Tier::NetworkPolicy, None),
        Because::Itself | Because::OwnNode | Because::NoSubject | Because::NotIsolated => {
            (naive::Tier::Default, None)
        }
    }
}

fn name(engine: &Engine, rule: RuleRef) -> Option<RuleName> {
    let policy = engine.policy(rule.policy)?.key();
    Some(RuleName { policy, egress: rule.egress, rule: rule.rule })
}

/// The pod that a question is about.
fn subject(end: naive::End, world: &World) -> Option<PodId> {
    match end {
        naive::End::Pod(pod) | naive::End::PodAt(pod, _) => Some(pod),
        naive::End::Outside(address) => pod_at(world, address).map(|(pod, _)| pod),
    }
}

fn naive_direction(direction: Direction) -> naive::Direction {
    match direction {
        Direction::Ingress => naive::Direction::Ingress,
        Direction::Egress => naive::Direction::Egress,
    }
}

/// The same end for the engine; `ids` are its pods in the order of the world.
///
/// # Panics
/// If the end is a pod that the world does not have.
#[expect(
    clippy::indexing_slicing,
    reason = "a question about a pod that is not there is a mistake in the test"
)]
pub fn end(end: naive::End, ids: &[PodId]) -> End {
    match end {
        naive::End::Pod(pod) => End::Pod(ids[pod.0 as usize]),
        naive::End::PodAt(_, address) | naive::End::Outside(address) => End::Address(address),
    }
}
