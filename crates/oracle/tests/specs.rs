//! Every file in `specs/` can be read, and speaks of nothing that its manifests do not hold.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a spec that cannot be read is a failure")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ringfence_oracle::spec::{Case, Denial, Place, Verdict, parse};
use ringfence_policy::PolicyKey;

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "md") && !file.ends_with("README.md"));
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let read = parse(&fs::read_to_string(&file).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        cases.extend(read.into_iter().map(|case| (name.clone(), case)));
    }
    cases
}

#[test]
fn names_are_those_of_the_manifests() {
    let cases = cases();
    assert!(cases.len() > 50, "{} cases", cases.len());
    for (file, case) in cases {
        let place = format!("{file}:{}", case.line);
        let names: BTreeSet<&str> =
            case.yaml.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.')).collect();
        let check = |namespace: &str, name: &str| {
            let known = names.contains(name) && (namespace == "default" || names.contains(namespace));
            assert!(known, "{place}: no {namespace}/{name} in its manifests");
        };
        for assertion in &case.verdicts {
            for end in [&assertion.from, &assertion.to] {
                if let Place::Named { namespace, name, .. } = end {
                    check(namespace, name);
                }
            }
            let check_policy = |policy: &PolicyKey| match policy {
                PolicyKey::Network(name) => check(&name.namespace, &name.name),
                PolicyKey::Cluster(name) => check(name.kind.as_str(), &name.name),
            };
            match &assertion.verdict {
                Verdict::AllowedByDefault => {}
                Verdict::Allowed { by } => by.iter().for_each(|rule| check_policy(&rule.policy)),
                Verdict::Denied { by } => by.iter().for_each(|denial| match denial {
                    Denial::Isolated(name) => check(&name.namespace, &name.name),
                    Denial::Rule(rule) => check_policy(&rule.policy),
                }),
            }
        }
    }
}

#[test]
fn findings_are_on_lines_that_there_are() {
    for (file, case) in cases() {
        for finding in case.findings.iter().flatten() {
            let (line, column) = finding.place;
            let text = case.yaml.lines().nth(line as usize - 1);
            let text = text.unwrap_or_else(|| panic!("{file}:{}: no such line", finding.line));
            let column = column.unwrap_or(1) as usize;
            let before = text.chars().nth(column.wrapping_sub(2));
            let starts = text.chars().nth(column - 1).is_some_and(|c| column == 1 || !c.is_whitespace());
            assert!(
                starts && before.is_none_or(|c| " {[".contains(c)),
                "{file}:{}: nothing begins there",
                finding.line
            );
        }
    }
}
