//! `ringfence check`: exit status, formats, suppression and fixes. What is found is tested in `ringfence-lint`.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use crate::{Run, folder, run_in, run_with};

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: postgres}}
  template:
    metadata: {labels: {app: postgres}}
    spec: {containers: [{name: a, image: a}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

const WRONG: &str = "\
# Who may use the database.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: db   # short
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app: postgress   # the database
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {name: shop}}
";

fn check(name: &str, policy: &str, more: &[(&str, &str)], arguments: &str) -> (std::path::PathBuf, Run) {
    let mut files = vec![("k8s/shop.yaml", SHOP.as_bytes()), ("k8s/policy.yaml", policy.as_bytes())];
    files.extend(more.iter().map(|(name, text)| (*name, text.as_bytes())));
    let folder = folder(&format!("check-{name}"), &files);
    let run = run_in(&folder, &format!("check k8s {arguments}"), "");
    (folder, run)
}

#[test]
fn for_people() {
    let (_, run) = check("full", WRONG, &[], "");
    assert_snapshot!(run.shown());
    let (_, run) = check("concise", WRONG, &[], "-o concise");
    assert_snapshot!(run.shown());
    let (_, run) = check("markdown", WRONG, &[], "-o markdown");
    assert_snapshot!(run.shown());
}

#[test]
fn for_ci() {
    let (_, run) = check("github", WRONG, &[], "-o github");
    assert_snapshot!(run.shown());
    let (_, run) = check("junit", WRONG, &[], "-o junit");
    assert_snapshot!(run.shown());
}

#[test]
fn the_exit_status_is_the_users_choice() {
    let status = |arguments: &str| check("status", WRONG, &[], arguments).1.status;
    assert_eq!(status(""), 1);
    assert_eq!(status("--fail-on error"), 0);
    assert_eq!(status("--fail-on note"), 1);
    assert_eq!(status("--fail-on never"), 0);
    let notes =
        WRONG.replace("postgress", "postgres").replace("name: shop}", "kubernetes.io/metadata.name: shop}");
    let status = |arguments: &str| check("status-notes", &notes, &[], arguments).1.status;
    assert_eq!((status(""), status("--fail-on note")), (0, 1));
}

#[test]
fn the_example_is_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let run = run_in(&root, "check examples/yelb --fail-on note", "");
    assert_eq!((run.status, run.out.as_str(), run.err.as_str()), (0, "no findings\n", ""));
}

#[test]
fn what_cannot_be_read_is_shown_with_a_code_and_nothing_else_is_said() {
    let broken = WRONG.replace("ingress:", "ingres:");
    let (_, run) = check("broken", &broken, &[], "-o concise");
    assert_eq!(run.status, 2);
    assert!(run.out.contains("k8s/policy.yaml:11:3: error[RF101]: unknown field `ingres`"), "{}", run.out);
    assert!(!run.out.contains("RF0"), "{}", run.out);
    let (_, run) = check("broken-skip", &broken, &[], "-o concise --skip-invalid");
    assert_eq!(run.status, 1);
    let run = run_with("check -", "kind: Pod\n");
    assert_eq!(run.status, 2);
    assert!(run.out.contains("error[RF100]"), "{run:?}");
    assert_eq!(run_with("check", "").status, 2, "no path");
}

#[test]
fn json_has_stable_keys() {
    let (_, run) = check("json", WRONG, &[], "-o json");
    let json = run.json();
    assert_eq!(json["version"], 1);
    assert_eq!(json["summary"]["warnings"], 2);
    let finding = json["findings"].as_array().unwrap().iter().find(|f| f["code"] == "RF011").unwrap();
    let keys: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
    let expect =
        ["code", "name", "level", "message", "reason", "help", "object", "place", "related", "edits"];
    assert_eq!(keys, expect);
    assert_eq!(finding["place"]["file"], "k8s/policy.yaml");
    assert_eq!((&finding["place"]["line"], &finding["place"]["column"]), (&10.into(), &7.into()));
    assert_eq!(finding["object"], "NetworkPolicy shop/db");
    assert_eq!(finding["edits"][0]["text"], "postgres");
}

#[test]
fn sarif_names_its_rules_and_places() {
    let suppressed = format!("# ringfence: ignore RF013 -- it will get the label\n{WRONG}");
    let (_, run) = check("sarif", &suppressed, &[], "-o sarif");
    let json = run.json();
    assert_eq!(json["version"], "2.1.0");
    let driver = &json["runs"][0]["tool"]["driver"];
    let results = json["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(driver["rules"][index]["id"], result["ruleId"]);
        let location = &result["locations"][0]["physicalLocation"];
        assert_eq!(location["artifactLocation"]["uri"], "k8s/policy.yaml");
        assert!(location["region"]["startLine"].as_u64().unwrap() > 0);
    }
    let accepted: Vec<_> = results.iter().filter(|r| r.get("suppressions").is_some()).collect();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0]["suppressions"][0]["justification"], "it will get the label");
    let fix = &results.iter().find(|r| r["ruleId"] == "RF011").unwrap()["fixes"][0]["artifactChanges"][0];
    assert_eq!(fix["replacements"][0]["insertedContent"]["text"], "postgres");
}

#[test]
fn suppression_by_comment() {
    let lines = |policy: &str| {
        let (_, run) = check("comments", policy, &[], "-o concise");
        run.out
    };
    let above = WRONG
        .replace("      app: postgress", "      # ringfence: ignore RF011 -- later\n      app: postgress");
    let out = lines(&above);
    assert!(!out.contains("RF011") && out.contains("1 suppressed"), "{out}");
    let behind = WRONG.replace("# the database", "# ringfence: ignore RF011 -- later");
    assert!(!lines(&behind).contains("RF011"));
    let top = format!(
        "# ringfence: ignore RF011, RF013, RF001 -- all of it is planned\n{}",
        WRONG.trim_start_matches("# Who may use the database.\n")
    );
    assert_eq!(lines(&top), "no findings, 3 suppressed\n");
    let without_reason = WRONG.replace("# the database", "# ringfence: ignore RF011");
    let out = lines(&without_reason);
    assert!(out.contains("RF011") && out.contains("RF110]: a suppression without a reason"), "{out}");
    let unused = WRONG.replace("# the database", "# ringfence: ignore RF060 -- never");
    assert!(lines(&unused).contains("note[RF110]: RF060 has nothing to suppress here"));
    let unknown = WRONG.replace("# the database", "# ringfence: ignore RF999 -- never");
    assert!(lines(&unknown).contains("`RF999` is no code of check"));
}

#[test]
fn suppression_by_config() {
    let config = "[levels]\nRF001 = \"off\"\nRF013 = \"error\"\n\n\
                  [[ignore]]\ncode = \"RF011\"\npolicy = \"shop/*\"\nreason = \"later\"\n\n\
                  [[ignore]]\ncode = \"RF060\"\nreason = \"never there\"\n";
    let (folder, run) = check("config", WRONG, &[("ringfence.toml", config)], "-o concise");
    assert_eq!(run.status, 1);
    let place = fs::canonicalize(&folder).unwrap().join("ringfence.toml");
    assert_eq!(
        run.out,
        format!(
            "k8s/policy.yaml:13:41: error[RF013]: namespace shop has no label `name`\n\
             ringfence: note[RF110]: RF060 in {}, ignore 2 suppresses nothing\n\
             1 error, 1 note, 1 suppressed\n",
            place.display()
        )
    );
    let (_, run) = check("config-bad", WRONG, &[("ringfence.toml", "[[ignore]]\ncode = \"RF011\"\n")], "");
    assert_eq!(run.status, 2);
    assert!(run.err.contains("the ignore of RF011 has no `reason`"), "{}", run.err);
    let (_, run) = check(
        "config-named",
        WRONG,
        &[("a.toml", "[levels]\nRF001 = \"off\"\n")],
        "--config a.toml -o concise",
    );
    assert!(!run.out.contains("RF001"), "{}", run.out);
}

#[test]
fn fixes_keep_comments_and_layout() {
    let (folder, run) = check("fix", WRONG, &[], "--fix -o concise");
    assert_eq!((run.status, run.out.as_str()), (0, "no findings\n"));
    assert_eq!(run.err.lines().count(), 3, "{}", run.err);
    let fixed = fs::read_to_string(folder.join("k8s/policy.yaml")).unwrap();
    assert_snapshot!(fixed);
    let again = run_in(&folder, "check k8s --fix --fail-on note", "");
    assert_eq!((again.status, again.err.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(folder.join("k8s/policy.yaml")).unwrap(), fixed);
    assert_eq!(fs::read_dir(folder.join("k8s")).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn fixes_in_json_and_with_a_namespace() {
    let json = r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
  "metadata": {"name": "db"},
  "spec": {"podSelector": {"matchLabels": {"app": "postgress"}}, "ingress": []}}
"#;
    let (folder, run) = check("fix-json", "", &[("k8s/db.json", json)], "--fix -n shop -o concise");
    assert_eq!((run.status, run.out.as_str()), (0, "no findings\n"), "{}", run.err);
    assert_snapshot!(fs::read_to_string(folder.join("k8s/db.json")).unwrap());
    let piped = run_with("check - --fix -n shop -o concise", WRONG);
    assert!(piped.err.contains("standard input cannot be mended"), "{}", piped.err);
}

#[test]
fn pages_of_codes() {
    let run = run_with("check --explain rf030", "");
    assert_eq!(run.status, 0);
    assert!(run.out.starts_with("# RF030: a Service's port where the pod's port is meant\n"), "{}", run.out);
    let all = run_with("check --explain", "");
    assert!(all.out.contains("RF072 note     no-default-deny"), "{}", all.out);
    let unknown = run_with("check --explain RF999", "");
    assert_eq!((unknown.status, unknown.out.as_str()), (2, ""));
}
