//! Runs `specs/*.md`: manifests are read, compiled, and asked.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test"
)]

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ringfence_k8s::{Level, ReadOptions, Reading, read};
use ringfence_oracle::naive::RuleName;
use ringfence_oracle::spec::{self, Case, Denial, Place, Verdict};
use ringfence_policy::{Because, End, Engine, PolicyKey, Side};

#[test]
fn every_spec_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| {
        let is_spec = |name: &str| name.ends_with(".md") && name != "README.md";
        f.file_name().and_then(|name| name.to_str()).is_some_and(is_spec)
    });
    files.sort();
    let (mut cases, mut wrong) = (0, Vec::new());
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let parsed =
            spec::parse(&fs::read_to_string(file).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        for case in parsed {
            cases += 1;
            wrong.extend(run(&case).into_iter().map(|e| format!("{name}:{}: {}: {e}", case.line, case.name)));
        }
    }
    assert!(cases >= 70, "only {cases} specs were found");
    assert!(wrong.is_empty(), "{} of {cases} specs:\n{}", wrong.len(), wrong.join("\n"));
}

fn run(case: &Case) -> Vec<String> {
    let reading = read([("spec.yaml", case.yaml.as_str())], &ReadOptions::default());
    let mut wrong = wrong_findings(case, &reading);
    let mut world = reading.inventory.world();
    world.nodes.extend(case.options.nodes.clone());
    world.names.extend(case.options.names.clone());
    world.pod_cidrs.extend(&case.options.pod_cidrs);
    let engine = Engine::new(world);
    for assertion in &case.verdicts {
        let (from, to) = match (ends(&engine, &assertion.from), ends(&engine, &assertion.to)) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(e), _) | (_, Err(e)) => {
                wrong.push(format!("line {}: {e}", assertion.line));
                continue;
            }
        };
        for from in &from {
            for to in &to {
                let verdict = engine.verdict(*from, *to, assertion.traffic);
                let sides = [&verdict.egress, &verdict.ingress];
                if !holds(&engine, sides, &assertion.verdict) {
                    wrong.push(format!("line {}: {from:?} -> {to:?}: {verdict:?}", assertion.line));
                }
            }
        }
    }
    wrong
}

fn holds(engine: &Engine, sides: [&Side; 2], expect: &Verdict) -> bool {
    let decides = |side: &Side, name: &RuleName| match &side.because {
        Because::Rule(rule) => {
            engine.policy(rule.policy).is_some_and(|p| p.key() == name.policy)
                && (rule.egress, rule.rule) == (name.egress, name.rule)
        }
        _ => false,
    };
    match expect {
        Verdict::Allowed { by } => {
            sides.iter().all(|s| s.allowed)
                && by.iter().all(|name| sides.iter().any(|side| decides(side, name)))
        }
        Verdict::AllowedByDefault => {
            sides.iter().all(|s| s.allowed && !s.isolated && !matches!(s.because, Because::Rule(_)))
        }
        Verdict::Denied { by } => {
            sides.iter().any(|s| !s.allowed)
                && by.iter().all(|denial| {
                    sides.iter().filter(|s| !s.allowed).any(|side| match (&side.because, denial) {
                        (_, Denial::Rule(name)) => decides(side, name),
                        (Because::NoRule(policies), Denial::Isolated(name)) => {
                            let keys = policies.iter().filter_map(|p| Some(engine.policy(*p)?.key()));
                            keys.into_iter().any(|key| key == PolicyKey::Network(name.clone()))
                        }
                        _ => false,
                    })
                })
        }
    }
}

fn wrong_findings(case: &Case, reading: &Reading) -> Vec<String> {
    let mut wrong = Vec::new();
    let expected = case.findings.as_deref().unwrap_or_default();
    let is = |finding: &ringfence_k8s::Finding, expect: &spec::Finding| {
        let level = match expect.level {
            spec::Level::Error => Level::Error,
            spec::Level::Warning => Level::Warning,
        };
        let (line, column) = expect.place;
        finding.level == level
            && finding.message.contains(&expect.message)
            && finding.place.as_ref().is_some_and(|p| p.line == line && column.is_none_or(|c| p.column == c))
    };
    for expect in expected {
        if !reading.findings.iter().any(|f| is(f, expect)) {
            wrong.push(format!("line {}: no such finding: {expect:?}", expect.line));
        }
    }
    for finding in reading.findings.iter().filter(|f| f.level == Level::Error) {
        if !expected.iter().any(|e| is(finding, e)) {
            wrong.push(format!("not expected: {finding}"));
        }
    }
    if !wrong.is_empty() {
        wrong.extend(reading.findings.iter().map(|f| format!("  was found: {f}")));
    }
    wrong
}

fn ends(engine: &Engine, place: &Place) -> Result<Vec<End>, String> {
    match place {
        Place::Address(address) => Ok(vec![End::Address(*address)]),
        Place::External => {
            let known = |a: &IpAddr| {
                engine.pod_at(*a).is_some()
                    || engine.nodes().any(|n| n.addresses.contains(a))
                    || engine.pod_cidrs().iter().any(|r| r.contains(a))
            };
            let edges = engine.address_space().ranges().into_iter().flat_map(|r| [r.first, r.last]);
            Ok(edges.filter(|a| !known(a)).map(End::Address).collect())
        }
        Place::Named { namespace, kind, name } => {
            let pods: Vec<End> = engine
                .pods()
                .filter(|(_, p)| {
                    p.namespace == *namespace
                        && (p.workload.name == *name || p.name == *name)
                        && kind
                            .as_ref()
                            .is_none_or(|k| p.workload.kind == *k || (k == "Pod" && p.name == *name))
                })
                .map(|(id, _)| End::Pod(id))
                .collect();
            if pods.is_empty() { Err(format!("{namespace}/{name}: no such pod")) } else { Ok(pods) }
        }
    }
}
