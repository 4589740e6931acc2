//! Verdicts held against the naive engine, which loops over all pods, addresses and ports of interest: on random worlds
//! with random assertions. Of pods that could be created: whatever random pod is added, it breaks nothing of what is said to
//! hold; and what is said to break it does.

mod random;
mod truth;

use ringfence_oracle::random::Random;
use ringfence_oracle::worlds::{Size, world};
use ringfence_policy::{Engine, Mapped, Namespace, Pod, World};

use super::check::{self, Example, Verdict};
use super::read::Assertion;
use super::spot::Spot;
use truth::{Truth, Who};

/// How many worlds of each size.
const WORLDS: u64 = 120;

#[test]
fn verdicts_are_those_of_the_naive_engine() {
    let (mut holds, mut violated) = (0, 0);
    for size in [Size::small(), Size::cluster(), Size::manifests()] {
        for seed in 0..WORLDS {
            let world = world(7_000_000 + seed, &size);
            let mut random = Random::new(seed);
            let mapped = Mapped::new(Engine::new(world.clone()));
            let assertions: Vec<Assertion> =
                (0..4).map(|_| random::assertion(&world, mapped.engine(), &mut random, false)).collect();
            for outcome in check::all(&mapped, &assertions, true) {
                let at = || format!("seed {seed} {size:?}: {:#?}", outcome.assertion);
                let mut truth = Truth::new(&world, outcome.assertion, &mut random);
                match &outcome.verdict {
                    Verdict::Holds => {
                        let wrong = truth.first_wrong();
                        assert_eq!(wrong, None, "{}", at());
                        holds += 1;
                    }
                    Verdict::Violated(violation) => {
                        let example = violation.example.as_ref().unwrap();
                        assert!(is_real(&world, outcome.assertion, example), "{example:#?} {}", at());
                        violated += 1;
                    }
                    Verdict::NotProven(why) => panic!("{why}: {}", at()),
                }
            }
        }
    }
    assert!(holds > 150 && violated > 300, "{holds} hold, {violated} are violated");
}

#[test]
fn no_pod_that_could_be_created_breaks_what_holds() {
    let (mut holds, mut violated, mut tried) = (0, 0, 0);
    for size in [Size::small(), Size::cluster(), Size { host_network: false, ..Size::manifests() }] {
        for seed in 0..WORLDS {
            let world = world(8_000_000 + seed, &size);
            let mut random = Random::new(seed);
            let mapped = Mapped::new(Engine::new(world.clone()));
            let assertions: Vec<Assertion> =
                (0..4).map(|_| random::assertion(&world, mapped.engine(), &mut random, true)).collect();
            for outcome in check::all(&mapped, &assertions, true) {
                let at = || format!("seed {seed} {size:?}: {:#?}\nin {world:#?}", outcome.assertion);
                match &outcome.verdict {
                    Verdict::Holds => {
                        holds += 1;
                        for _ in 0..12 {
                            let mut larger = world.clone();
                            let (new, names) = random::new_pods(&mut larger, mapped.engine(), &mut random);
                            let mut truth = Truth::new(&larger, outcome.assertion, &mut random);
                            (truth.new_pods, truth.new_namespaces) = (new, names);
                            tried += 1;
                            assert_eq!(truth.first_wrong(), None, "{:#?} {}", larger.pods, at());
                        }
                    }
                    Verdict::Violated(violation) => {
                        let example = violation.example.as_ref().unwrap();
                        assert!(is_real(&world, outcome.assertion, example), "{example:#?} {}", at());
                        violated += 1;
                    }
                    Verdict::NotProven(_) => {}
                }
            }
        }
    }
    assert!(holds > 100 && violated > 300 && tried > 1000, "{holds} hold, {violated} violated, {tried}");
}

/// Whether the naive engine finds that the connection breaks the assertion, with what is new in the world.
fn is_real(world: &World, assertion: &Assertion, example: &Example) -> bool {
    let mut world = world.clone();
    let (count, mut new) = (world.pods.len(), Vec::new());
    let mut add = |spot: &Spot| match spot {
        Spot::Address(address) => Who::Address(*address),
        Spot::Pod(id, _) => Who::Pod(*id),
        Spot::New(pod) => {
            let name = &pod.pod.namespace;
            if let Some(labels) = &pod.namespace {
                assert!(!world.namespaces.iter().any(|n| n.name == *name && n.labels != *labels));
                world.namespaces.retain(|n| n.name != *name);
                world.namespaces.push(Namespace { name: name.clone(), labels: labels.clone() });
                new.push(name.clone());
            }
            world.pods.push(Pod::clone(&pod.pod));
            Who::Pod(ringfence_policy::PodId(world.pods.len() as u32 - 1))
        }
    };
    let (from, to) = (add(&example.from), add(&example.to));
    let mut truth = Truth::new(&world, assertion, &mut Random::new(1));
    truth.new_pods = (count..world.pods.len()).map(|i| ringfence_policy::PodId(i as u32)).collect();
    truth.new_namespaces = new;
    truth.is_wrong(from, to, example.traffic)
}
