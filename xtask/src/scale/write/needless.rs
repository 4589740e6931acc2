//! What `check` calls needless is needless: without all of it, random worlds answer as before. And the reverse: how much of
//! what could go is told.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_k8s::{ReadOptions, Reading, read};
use ringfence_lint::{Context, Finding, Options, check};
use ringfence_oracle::naive;
use ringfence_oracle::questions::questions;
use ringfence_oracle::random::Random;
use ringfence_oracle::worlds::{self, Size};
use ringfence_policy::{
    Direction, Engine, Identity, LabelSelector, Labels, Namespace, NamespaceScope, NetworkPolicy, Peer,
    Peers, Pod, PodId, PolicyKey, PolicyName, Ports, Requirement, Rule, RuleRef, Without, Workload, World,
};

use super::{cluster_policy, files};

/// Worlds of each size.
const SEEDS: u64 = 300;

#[test]
fn what_is_needless_changes_nothing() {
    let (mut policies, mut rules, mut asked) = (0, 0, 0);
    for_worlds(|seed, world, reading, found| {
        let Needless { whole, parts } = Needless::of(found, reading);
        (policies, rules) = (policies + whole.len(), rules + parts.len());
        let mut less = world.clone();
        less.policies.retain(|p| !whole.contains(&p.name));
        for policy in &mut less.policies {
            let name = policy.name.clone();
            for (direction, rules) in
                [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
            {
                let mut place = 0;
                rules.iter_mut().for_each(|rules| {
                    rules.retain(|_| {
                        place += 1;
                        !parts.contains(&(name.clone(), direction, place - 1))
                    });
                });
            }
        }
        if whole.is_empty() && parts.is_empty() {
            return;
        }
        let engine = Engine::new(with_more_pods(world, seed));
        let number = |name: &PolicyName| engine.find_policy(&PolicyKey::Network(name.clone())).unwrap();
        let mut without = Without::default();
        whole.iter().for_each(|name| without.policy(number(name)));
        for (name, direction, rule) in &parts {
            let egress = *direction == Direction::Egress;
            without.rule(RuleRef { policy: number(name), egress, rule: *rule as u32 });
        }
        assert!(
            is_same(&engine, &without),
            "seed {seed}, for pods to come: {whole:?} and {parts:?} in {world:#?}"
        );
        for (from, to, traffic) in questions(world, seed) {
            for direction in naive::Direction::ALL {
                let before = naive::decision(world, direction, &from, &to, traffic).allowed;
                let after = naive::decision(&less, direction, &from, &to, traffic).allowed;
                assert_eq!(
                    before, after,
                    "seed {seed}: {from:?} -> {to:?} {traffic} {direction:?} without {whole:?} and {parts:?} in {world:#?}"
                );
                asked += 1;
            }
        }
    });
    println!("{policies} policies and {rules} rules, {asked} questions");
    assert!(policies > 50 && rules > 50, "{policies} policies and {rules} rules");
}

#[test]
fn most_of_what_is_needless_is_told() {
    let (mut told, mut missed) = (0, 0);
    for_worlds(|seed, world, reading, found| {
        let gone = Needless::of(found, reading).whole;
        told += gone.len();
        let mut less = with_more_pods(world, seed);
        // Of these it says other things, or nothing.
        less.policies.retain(|p| !gone.contains(&p.name) && !opens(p) && holds_some(world, p));
        let engine = Engine::new(less.clone());
        for policy in less.policies.iter().filter(|p| !denies_all(p)) {
            let id = engine.find_policy(&PolicyKey::Network(policy.name.clone())).unwrap();
            let mut without = Without::default();
            without.policy(id);
            missed += usize::from(is_same(&engine, &without));
        }
    });
    println!("{told} policies are told, {missed} more could go");
    assert!(missed * 5 < told, "{told} are told, {missed} more could go");
}

/// Random worlds, as far as they can be read back from manifests, with what `check` finds in them.
fn for_worlds(mut judge: impl FnMut(u64, &World, &Reading, &[Finding])) {
    for size in [Size::manifests(), Size { policies: 14, pods: 8, namespaces: 2, ..Size::default() }] {
        for seed in 0..SEEDS {
            let mut made = worlds::world(seed, &size);
            // Rules that fail closed hold something that nobody can write.
            made.cluster_policies.retain(|policy| cluster_policy::cluster_policy(policy).is_ok());
            repeat_some(&mut made, seed);
            let mut texts = Vec::new();
            let collect = &mut |name, text| {
                texts.push((name, text));
                Ok(())
            };
            files(&made, collect).unwrap();
            let reading = read(texts, &ReadOptions { keep_manifests: true, ..ReadOptions::default() });
            let mut world = reading.inventory.world();
            (world.pod_cidrs, world.names) = (made.pod_cidrs, made.names);
            let engine = Engine::new(world.clone());
            let found = check(&Context::new(&reading, &engine, Options::default()));
            judge(seed, &world, &reading, &found);
        }
    }
}

/// Policies that say what others say already, or a part of it, which seldom happens by chance.
fn repeat_some(world: &mut World, seed: u64) {
    let mut random = Random::new(seed);
    let mut more = Vec::new();
    for policy in &world.policies {
        if !random.chance(40) {
            continue;
        }
        let mut again = policy.clone();
        again.name.name = format!("{}-{}", random.pick(&["a", "z"]), policy.name.name);
        for rules in [&mut again.ingress, &mut again.egress].into_iter().flatten() {
            rules.retain(|_| random.chance(70));
        }
        if random.chance(30) {
            let narrow = Requirement::In("app".to_owned(), ["a".to_owned()].into());
            let requirements = policy.subject.requirements().iter().cloned();
            again.subject = LabelSelector::new(requirements.chain([narrow]));
        }
        more.push(again);
    }
    world.policies.extend(more);
}

/// What is to go: policies, and places of rules in others.
struct Needless {
    whole: BTreeSet<PolicyName>,
    parts: BTreeSet<(PolicyName, Direction, usize)>,
}

impl Needless {
    fn of(found: &[Finding], reading: &Reading) -> Needless {
        let policies: BTreeMap<String, &NetworkPolicy> =
            reading.inventory.policies.iter().map(|p| (format!("NetworkPolicy {}", p.name), p)).collect();
        let mut needless = Needless { whole: BTreeSet::new(), parts: BTreeSet::new() };
        for finding in found {
            let policy = || policies[finding.object.as_deref().unwrap()];
            match finding.code.id {
                "RF070" => drop(needless.whole.insert(policy().name.clone())),
                "RF071" => {
                    let line = finding.place.as_ref().unwrap().line;
                    let rules = Direction::ALL.into_iter().flat_map(|d| {
                        rules_of(policy(), d).iter().enumerate().map(move |(place, rule)| (d, place, rule))
                    });
                    let is_meant = |rule: &Rule| rule.source.as_ref().unwrap().line == line;
                    let meant: Vec<_> = rules.filter(|(.., rule)| is_meant(rule)).collect();
                    let [(direction, place, _)] = meant[..] else { panic!("{finding:?} means {meant:?}") };
                    needless.parts.insert((policy().name.clone(), direction, place));
                }
                _ => {}
            }
        }
        needless
    }
}

fn rules_of(policy: &NetworkPolicy, direction: Direction) -> &[Rule] {
    match direction {
        Direction::Ingress => policy.ingress.as_deref().unwrap_or_default(),
        Direction::Egress => policy.egress.as_deref().unwrap_or_default(),
    }
}

fn opens(policy: &NetworkPolicy) -> bool {
    let all = |rule: &Rule| rule.peers == Peers::Any && rule.ports == Ports::Any;
    Direction::ALL.into_iter().any(|d| rules_of(policy, d).iter().any(all))
}

fn denies_all(policy: &NetworkPolicy) -> bool {
    [&policy.ingress, &policy.egress].into_iter().flatten().any(Vec::is_empty)
}

fn holds_some(world: &World, policy: &NetworkPolicy) -> bool {
    let holds = |p: &Pod| {
        !p.host_network && p.namespace == policy.name.namespace && policy.subject.matches(&p.labels)
    };
    world.pods.iter().any(holds)
}

/// Whether without some policies every pod may do with everybody what it may with them.
fn is_same(engine: &Engine, without: &Without) -> bool {
    let nothing = Without::default();
    let pods: Vec<PodId> = engine.pods().map(|(id, _)| id).collect();
    let sets: BTreeSet<_> = pods
        .iter()
        .flat_map(|p| Direction::ALL.into_iter().filter_map(|d| engine.policy_set(*p, d)))
        .collect();
    let mut others: BTreeSet<Identity> =
        pods.iter().map(|p| engine.identity(ringfence_policy::End::Pod(*p))).collect();
    others.insert(Identity::NOBODY);
    others.extend(engine.address_space().prefixes().map(|(_, class)| engine.class_identity(class)));
    sets.iter().all(|set| others.iter().all(|other| engine.is_same_without(*set, *other, &nothing, without)))
}

/// The world with pods and namespaces of any labels that its selectors know.
fn with_more_pods(world: &World, seed: u64) -> World {
    let mut random = Random::new(seed);
    let mut world = world.clone();
    let mut words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut learn = |selector: &LabelSelector| {
        for requirement in selector.requirements() {
            let values = words.entry(requirement.key().to_owned()).or_default();
            if let Requirement::In(_, some) | Requirement::NotIn(_, some) = requirement {
                values.extend(some.iter().cloned());
            }
            values.insert("other".to_owned());
        }
    };
    for policy in &world.policies {
        learn(&policy.subject);
        for rule in Direction::ALL.into_iter().flat_map(|d| rules_of(policy, d)) {
            let Peers::Of(peers) = &rule.peers else { continue };
            for peer in peers {
                if let Peer::Pods { namespaces, pods } = peer {
                    learn(pods);
                    if let NamespaceScope::Matching(namespaces) = namespaces {
                        learn(namespaces);
                    }
                }
            }
        }
    }
    words.remove(ringfence_policy::model::NAMESPACE_NAME_LABEL);
    let labels = |random: &mut Random| -> Labels {
        let some = words.iter().filter_map(|(key, values)| {
            let values: Vec<&String> = values.iter().collect();
            random.chance(60).then(|| (key.clone(), (*random.pick(&values)).clone()))
        });
        some.collect()
    };
    for number in 0..6 {
        let labels = labels(&mut random);
        world.namespaces.push(Namespace { name: format!("more-{number}"), labels });
    }
    let homes: Vec<String> = world.namespaces.iter().map(|n| n.name.clone()).collect();
    for number in 0..150 {
        let name = format!("more-{number}");
        world.pods.push(Pod {
            namespace: random.pick(&homes).clone(),
            name: name.clone(),
            workload: Workload { kind: "Pod".to_owned(), name },
            count: 1,
            labels: labels(&mut random),
            addresses: Vec::new(),
            named_ports: Vec::new(),
            host_network: false,
            node: None,
        });
    }
    world
}
