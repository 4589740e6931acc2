//! `ringfence diff`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::{Run, fixtures, folder, run, run_in};

/// Two folders: the fixture shop, and the same with these words replaced.
fn shops(name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let old = std::fs::read_to_string(fixtures().join("shop.yaml")).unwrap();
    let mut new = old.clone();
    for (was, is) in changes {
        assert!(new.contains(was), "{was}");
        new = new.replace(was, is);
    }
    folder(name, &[("old/shop.yaml", old.as_bytes()), ("new/shop.yaml", new.as_bytes())])
}

fn diff(folder: &Path, rest: &str) -> Run {
    run_in(folder, &format!("diff {rest}"), "")
}

const WIDER: (&str, &str) = ("cidr: 192.0.2.0/24", "cidr: 192.0.2.0/23");
const TYPO: (&str, &str) = ("app: apii", "app: api");
const NARROWER: (&str, &str) = ("    - port: 9000\n", "    - port: 9001\n");

#[test]
fn a_table_for_people() {
    let folder = shops("diff-table", &[WIDER, TYPO, NARROWER]);
    insta::assert_snapshot!(diff(&folder, "old new").shown());
}

#[test]
fn markdown_for_a_pull_request() {
    let folder = shops("diff-markdown", &[WIDER, NARROWER]);
    insta::assert_snapshot!(diff(&folder, "old new -o markdown").shown());
}

#[test]
fn json_names_the_cause_on_both_sides() {
    let folder = shops("diff-json", &[NARROWER]);
    let run = diff(&folder, "old new -o json");
    assert_eq!(run.status, 1);
    let workload = |name: &str| json!({"namespace": "shop", "kind": "Deployment", "name": name});
    let isolated = json!({"tier": "NetworkPolicy", "isolatedBy": ["shop/api", "shop/default-deny"]});
    let rule = |file: &str| {
        json!({"tier": "NetworkPolicy", "policy": "shop/api", "rule": 0, "action": "Allow",
               "source": format!("{file}/shop.yaml:156")})
    };
    let line = |port: u16, before: &serde_json::Value, after: &serde_json::Value| {
        json!([{"from": workload("web"), "to": workload("api"),
                "allowed": [{"protocol": "TCP", "ports": [[port, port]]}], "risk": "withinNamespace",
                "because": {"ingress": {"before": before, "after": after}}}])
    };
    let got = run.json();
    assert_eq!(got["gained"], line(9001, &isolated, &rule("new")));
    assert_eq!(got["lost"], line(9000, &rule("old"), &isolated));
    assert_eq!((&got["version"], &got["equivalent"]), (&json!(1), &json!(false)));
    assert_eq!(got["policies"][0]["change"], "changed");
}

#[test]
fn another_spelling_is_equivalent() {
    let folder = shops(
        "diff-spelling",
        &[(
            "  - from:\n    - ipBlock:\n        cidr: 192.0.2.0/24\n    ports:\n    - port: http",
            "  - {ports: [{port: http, protocol: TCP}], from: [{ipBlock: {cidr: 192.0.2.0/25}}, {ipBlock: {cidr: 192.0.2.128/25}}]}",
        )],
    );
    let run = diff(&folder, "old new");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.out.starts_with("equivalent: "), "{run:?}");
    assert_eq!(diff(&folder, "old new -o json").json()["equivalent"], json!(true));
}

#[test]
fn what_no_pod_shows_cannot_be_told() {
    let folder = shops("diff-untold", &[("app: apii", "app: apiii")]);
    let run = diff(&folder, "old new");
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.out.starts_with("it cannot be told: "), "{run:?}");
    assert!(run.out.contains("pods with app=apiii in namespace shop, and there is none"), "{run:?}");
}

#[test]
fn new_and_gone_workloads_are_told_apart_from_policies() {
    let folder = shops("diff-workloads", &[("name: prometheus\n  namespace", "name: thanos\n  namespace")]);
    let got = diff(&folder, "old new -o json").json();
    assert_eq!((&got["gained"], &got["lost"], &got["policies"]), (&json!([]), &json!([]), &json!([])));
    assert_eq!((&got["come"][0]["name"], &got["gone"][0]["name"]), (&json!("thanos"), &json!("prometheus")));
    assert!(!got["come"][0]["connections"].as_array().unwrap().is_empty());
}

#[test]
fn standard_input_is_one_side() {
    let shop = std::fs::read_to_string(fixtures().join("shop.yaml")).unwrap();
    assert_eq!(run_in(&fixtures(), "diff shop.yaml -", &shop).status, 0);
    let both = run("diff - -");
    assert_eq!(both.status, 2);
    assert!(both.err.contains("cannot both be standard input"), "{both:?}");
}

#[test]
fn a_git_revision_is_read_without_a_checkout() {
    let folder = shops("diff-git", &[WIDER]);
    let git = |arguments: &str| {
        let status = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
            .args(arguments.split(' '))
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
    };
    git("init");
    git("add .");
    git("commit -m one");
    assert_eq!(diff(&folder, "git:HEAD:old/ old").status, 0);
    assert_eq!(diff(&folder, "git:HEAD:old git:HEAD:old/shop.yaml").status, 0);
    // From below the root too, by a path from there or from here.
    let below = folder.join("old");
    for place in ["git:HEAD:old", "git:HEAD:./", "git:HEAD:."] {
        let run = diff(&below, &format!("{place} ."));
        assert_eq!(run.status, 0, "{place}: {run:?}");
    }
    let run = diff(&folder, "git:HEAD:old new -o json");
    assert_eq!(run.status, 1, "{run:?}");
    assert_eq!(run.json()["policies"][0]["old"], json!("git:HEAD:old/shop.yaml:132"));
    let refuse = |place: &str, message: &str| {
        let run = diff(&folder, &format!("{place} new"));
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.err.contains(message), "{run:?}");
    };
    refuse("git:nowhere:old", "git knows no revision `nowhere`");
    refuse("git:HEAD:older", "there is no `older` in revision HEAD");
    refuse("git::old", "names no git revision");
}

#[test]
fn what_cannot_be_read_is_no_answer() {
    let folder = folder("diff-broken", &[("old/a.yaml", b"kind: [\n"), ("new/a.yaml", b"kind: Pod\n")]);
    let run = diff(&folder, "old new");
    assert_eq!((run.status, run.out.as_str()), (2, ""), "{run:?}");
    assert!(run.err.contains("OLD (old)"), "{run:?}");
}
