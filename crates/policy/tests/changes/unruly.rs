//! Changes that no orderly cluster makes. After each batch the engine is what a fresh compile of the world is, whose pods
//! and nodes come in another order, and says what the naive engine says.

use std::net::IpAddr;

use ringfence_oracle::agreement::compare;
use ringfence_oracle::unruly::Unruly;
use ringfence_policy::{
    Because, Direction, End, Engine, PodId, Policy, PolicyKey, Protocol, RuleRef, Side, Traffic,
};

use crate::Known;

/// Sequences, and batches in each.
const SEQUENCES: u64 = 60;
const BATCHES: usize = 25;

#[test]
fn unruly_changes() {
    for seed in 8_000_000..8_000_000 + SEQUENCES {
        let mut cluster = Unruly::new(seed);
        let mut known = Known::default();
        for batch in 0..BATCHES {
            let (changes, delta) = cluster.update();
            known.learn(cluster.engine(), &delta.addresses, &delta.prefixes);
            let place = format!("seed {seed}, batch {batch}: {changes:#?}");
            check(&cluster, &known, &place);
            let ids: Vec<PodId> = cluster.pods().collect();
            if let Err(wrong) = compare(&cluster.world(), cluster.engine(), &ids, seed) {
                panic!("{wrong}, {place}");
            }
        }
    }
}

#[track_caller]
fn check(cluster: &Unruly, known: &Known, place: &str) {
    let engine = cluster.engine();
    let fresh = Engine::new(cluster.world());
    assert_eq!(engine.statistics(), fresh.statistics(), "{place}");
    assert_eq!(*known, Known::of(&fresh), "not told, {place}");
    let ours: Vec<End> = cluster.pods().map(End::Pod).collect();
    let theirs: Vec<End> = (0u32..).map(|id| End::Pod(PodId(id))).take(ours.len()).collect();
    let outside = ["10.1.0.1", "172.16.0.1", "fd00:2::2", "192.0.2.7"].map(|a| a.parse::<IpAddr>());
    let outside: Vec<End> = outside.into_iter().flatten().map(End::Address).collect();
    let ends: Vec<(End, End)> =
        ours.into_iter().chain(outside.clone()).zip(theirs.into_iter().chain(outside)).collect();
    let traffics = [Traffic::Port(Protocol::Tcp, 80), Traffic::Port(Protocol::Udp, 53), Traffic::Other];
    for (from, fresh_from) in &ends {
        for (to, fresh_to) in &ends {
            for traffic in traffics {
                let ours = engine.verdict(*from, *to, traffic);
                let theirs = fresh.verdict(*fresh_from, *fresh_to, traffic);
                for direction in Direction::ALL {
                    assert_eq!(
                        said(engine, ours.side(direction)),
                        said(&fresh, theirs.side(direction)),
                        "{from:?} to {to:?} {traffic} {direction:?}, {place}"
                    );
                }
            }
        }
    }
}

type RuleName = (PolicyKey, bool, u32);

/// What a side says, by names and not by numbers.
fn said(engine: &Engine, side: &Side) -> (bool, bool, String, Vec<RuleName>) {
    let key = |id| engine.policy(id).map(Policy::key).unwrap_or_else(|| panic!("no policy {id:?}"));
    let name = |rule: &RuleRef| (key(rule.policy), rule.egress, rule.rule);
    let because = match &side.because {
        Because::Rule(rule) => format!("{:?}", name(rule)),
        Because::NoRule(policies) => format!("{:?}", policies.iter().map(|p| key(*p)).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    };
    (side.allowed, side.isolated, because, side.passed.iter().map(name).collect())
}
