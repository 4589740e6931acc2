//! Manifests as people write them, right and wrong, each with the codes that `check` must give: these and no others.
//!
//! A file of `tests/corpus` has cases: a heading, a line `expect:` with the codes (or `nothing`), options, and YAML. The
//! base, `tests/corpus/base.yaml`, is read before each case that does not say `base: none`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "these are tests, also outside of their #[test] functions"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringfence_k8s::{ReadOptions, read};
use ringfence_lint::{CODES, Context, Options, check, reading, sort};
use ringfence_policy::Engine;

#[derive(Debug, Default)]
struct Case {
    file: String,
    name: String,
    expect: Vec<String>,
    base: bool,
    namespace: Option<String>,
    pod_cidrs: Vec<ipnet::IpNet>,
    /// What one of the messages must say.
    says: Option<String>,
    yaml: String,
}

#[test]
fn every_finding_is_right_and_none_is_missing() {
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let (mut right, mut found_all, mut expected_all) = (0, 0, 0);
    let mut wrong = Vec::new();
    let mut by_code: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        let (found, messages) = codes(case);
        if let Some(says) = case.says.as_ref().filter(|s| !messages.iter().any(|m| m.contains(s.as_str()))) {
            wrong.push(format!("{}: {}: no message says `{says}`: {messages:?}", case.file, case.name));
        }
        let mut left = found.clone();
        for code in &case.expect {
            expected_all += 1;
            if let Some(at) = left.iter().position(|c| c == code) {
                left.remove(at);
                right += 1;
                *by_code.entry(code.clone()).or_default() += 1;
            }
        }
        found_all += found.len();
        if found != case.expect {
            wrong.push(format!("{}: {}: expected {:?}, found {found:?}", case.file, case.name, case.expect));
        }
    }
    let ratio = |of: usize| if of == 0 { 1.0 } else { f64::from(right) / of as f64 };
    println!("{} manifests, {expected_all} findings expected, {found_all} found", cases.len());
    println!("precision {:.3}, recall {:.3}", ratio(found_all), ratio(expected_all));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!((ratio(found_all), ratio(expected_all)), (1.0, 1.0));
    let missing: Vec<&str> = CODES
        .iter()
        .map(|c| c.id)
        // Suppressions are the caller's, and tested with it.
        .filter(|id| *id != "RF110" && by_code.get(*id).copied().unwrap_or_default() < 2)
        .collect();
    assert!(missing.is_empty(), "fewer than two wrong manifests for {missing:?}");
}

/// The codes of what is found, sorted, and the messages.
fn codes(case: &Case) -> (Vec<String>, Vec<String>) {
    let base = std::fs::read_to_string(folder().join("base.yaml")).unwrap();
    let mut files = Vec::new();
    if case.base {
        files.push(("base.yaml", base));
    }
    files.push(("case.yaml", case.yaml.clone()));
    let default_namespace = case.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let read = read(files, &ReadOptions { default_namespace, keep_manifests: true });
    let mut findings = reading(&read.findings);
    if !read.has_errors() {
        let mut world = read.inventory.world();
        world.pod_cidrs.clone_from(&case.pod_cidrs);
        let engine = Engine::new(world);
        let options = Options { namespace: case.namespace.clone() };
        findings.extend(check(&Context::new(&read, &engine, options)));
    }
    sort(&mut findings);
    if std::env::var("SHOW").is_ok_and(|name| case.name.contains(&name)) {
        for f in &findings {
            println!(
                "{:?} {} {} {}\n   {}\n   {:?}",
                f.place.as_ref().map(|p| p.line),
                f.level,
                f.code.id,
                f.message,
                f.reason,
                f.help
            );
        }
    }
    let mut codes: Vec<String> = findings
        .iter()
        .map(|f| {
            if f.level == f.code.level { f.code.id.to_owned() } else { format!("{}:{}", f.code.id, f.level) }
        })
        .collect();
    codes.sort_unstable();
    (codes, findings.into_iter().map(|f| f.message).collect())
}

fn cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
        .collect();
    files.sort();
    files.iter().flat_map(|file| cases_of(file)).collect()
}

fn cases_of(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut cases: Vec<Case> = Vec::new();
    let mut in_yaml = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ").filter(|_| !in_yaml) {
            cases.push(Case { file: file.clone(), name: name.to_owned(), base: true, ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        match line {
            "```yaml" => in_yaml = true,
            "```" => in_yaml = false,
            line if in_yaml => {
                case.yaml.push_str(line);
                case.yaml.push('\n');
            }
            line => match line.split_once(": ") {
                Some(("expect", "nothing")) | None => {}
                Some(("expect", codes)) => {
                    case.expect = codes.split(", ").map(str::to_owned).collect();
                    case.expect.sort_unstable();
                }
                Some(("says", text)) => case.says = Some(text.to_owned()),
                Some(("base", "none")) => case.base = false,
                Some(("namespace", name)) => case.namespace = Some(name.to_owned()),
                Some(("pod-cidr", cidr)) => case.pod_cidrs.push(cidr.parse().unwrap()),
                Some((other, _)) => panic!("{file}: `{other}` in {}", case.name),
            },
        }
    }
    cases
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}
