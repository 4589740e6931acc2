//! What would be decided without some policies and rules against an engine of a world that does not have them.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test")]

use ringfence_oracle::random::Random;
use ringfence_oracle::worlds::{Size, world};
use ringfence_policy::{
    Direction, End, Engine, Identity, NetworkPolicy, PodId, PolicyKey, PortSet, RuleRef, Without,
};

#[test]
fn thought_away_is_as_good_as_gone() {
    let (mut asked, mut changed) = (0, 0);
    for size in [Size::small(), Size::cluster(), Size::manifests()] {
        for seed in 0..200 {
            let world = world(seed, &size);
            let engine = Engine::new(world.clone());
            let mut random = Random::new(seed);
            let mut without = Without::default();
            let mut less = world.clone();
            less.policies.retain_mut(|policy| {
                let id = engine.find_policy(&PolicyKey::Network(policy.name.clone())).unwrap();
                if random.chance(20) {
                    without.policy(id);
                    return false;
                }
                for direction in Direction::ALL {
                    let mut place = 0;
                    let rules = rules_of(policy, direction);
                    rules.into_iter().for_each(|rules| {
                        rules.retain(|_| {
                            let rule =
                                RuleRef { policy: id, egress: direction == Direction::Egress, rule: place };
                            place += 1;
                            let goes = random.chance(20);
                            if goes {
                                without.rule(rule);
                            }
                            !goes
                        });
                    });
                }
                true
            });
            let gone = Engine::new(less);
            let nothing = Without::default();
            let ends: Vec<End> = engine.pods().map(|(id, _)| End::Pod(id)).collect();
            for (subject, direction) in
                engine.pods().flat_map(|(id, _)| Direction::ALL.map(|direction| (id, direction)))
            {
                let Some(set) = engine.policy_set(subject, direction) else { continue };
                let nobody = (Identity::NOBODY, Identity::NOBODY);
                let others = ends.iter().map(|end| (engine.identity(*end), gone.identity(*end)));
                for (identity, identity_gone) in others.chain([nobody]) {
                    let thought = engine.port_map_without(set, identity, &without).allowed();
                    let expected = allowed(&gone, subject, direction, identity_gone);
                    assert_eq!(thought, expected, "seed {seed}, {size:?}: {subject:?} {direction:?}");
                    let same = engine.port_map(set, identity).allowed() == expected;
                    assert_eq!(
                        engine.is_same_without(set, identity, &nothing, &without),
                        same,
                        "seed {seed}"
                    );
                    asked += 1;
                    changed += u32::from(!same);
                }
            }
        }
    }
    assert!(asked > 20_000 && changed > 2_000, "{changed} of {asked} changed");
}

fn rules_of(policy: &mut NetworkPolicy, direction: Direction) -> Option<&mut Vec<ringfence_policy::Rule>> {
    match direction {
        Direction::Ingress => policy.ingress.as_mut(),
        Direction::Egress => policy.egress.as_mut(),
    }
}

fn allowed(engine: &Engine, subject: PodId, direction: Direction, other: Identity) -> PortSet {
    match engine.policy_set(subject, direction) {
        Some(set) => engine.port_map(set, other).allowed(),
        None => PortSet::all(),
    }
}
