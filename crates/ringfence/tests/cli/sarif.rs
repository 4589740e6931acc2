//! SARIF as its schema wants it: which properties each object has and must have, and what code scanning asks beyond that.

use std::path::Path;

use serde_json::Value;

use crate::{folder, run_in};

/// An object of the format: what it must have, what it may have, and the objects and lists of objects inside.
struct Shape {
    must: &'static [&'static str],
    may: &'static [&'static str],
    inside: &'static [(&'static str, &'static Shape)],
}

const fn shape(
    must: &'static [&'static str],
    may: &'static [&'static str],
    inside: &'static [(&'static str, &'static Shape)],
) -> Shape {
    Shape { must, may, inside }
}

// The schema has more of each; these are the parts that are written, with what must be there.
static MESSAGE: Shape = shape(&["text"], &["markdown"], &[]);
static REGION: Shape = shape(&["startLine", "startColumn", "endLine", "endColumn"], &[], &[]);
static ARTIFACT: Shape = shape(&["uri"], &[], &[]);
static PHYSICAL: Shape =
    shape(&["artifactLocation", "region"], &[], &[("artifactLocation", &ARTIFACT), ("region", &REGION)]);
static LOGICAL: Shape = shape(&["fullyQualifiedName"], &["kind"], &[]);
static LOCATION: Shape = shape(
    &[],
    &["physicalLocation", "logicalLocations", "message"],
    &[("physicalLocation", &PHYSICAL), ("logicalLocations", &LOGICAL), ("message", &MESSAGE)],
);
static REPLACEMENT: Shape = shape(
    &["deletedRegion", "insertedContent"],
    &[],
    &[("deletedRegion", &REGION), ("insertedContent", &MESSAGE)],
);
static CHANGE: Shape = shape(
    &["artifactLocation", "replacements"],
    &[],
    &[("artifactLocation", &ARTIFACT), ("replacements", &REPLACEMENT)],
);
static FIX: Shape = shape(
    &["artifactChanges", "description"],
    &[],
    &[("artifactChanges", &CHANGE), ("description", &MESSAGE)],
);
static SUPPRESSION: Shape = shape(&["kind", "justification"], &[], &[]);
static PRINTS: Shape = shape(&["ringfence/v1"], &[], &[]);
static RESULT: Shape = shape(
    &["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"],
    &["relatedLocations", "fixes", "suppressions"],
    &[
        ("message", &MESSAGE),
        ("locations", &LOCATION),
        ("relatedLocations", &LOCATION),
        ("fixes", &FIX),
        ("suppressions", &SUPPRESSION),
        ("partialFingerprints", &PRINTS),
    ],
);
static CONFIGURATION: Shape = shape(&["level"], &[], &[]);
static RULE: Shape = shape(
    &["id", "name", "shortDescription", "fullDescription", "help", "defaultConfiguration"],
    &[],
    &[
        ("shortDescription", &MESSAGE),
        ("fullDescription", &MESSAGE),
        ("help", &MESSAGE),
        ("defaultConfiguration", &CONFIGURATION),
    ],
);
static DRIVER: Shape =
    shape(&["name", "semanticVersion", "informationUri", "rules"], &[], &[("rules", &RULE)]);
static TOOL: Shape = shape(&["driver"], &[], &[("driver", &DRIVER)]);
static DESCRIPTOR: Shape = shape(&["id", "index"], &[], &[]);
static NOTIFICATION: Shape =
    shape(&["descriptor", "level", "message"], &[], &[("descriptor", &DESCRIPTOR), ("message", &MESSAGE)]);
static INVOCATION: Shape = shape(
    &["executionSuccessful", "toolConfigurationNotifications"],
    &[],
    &[("toolConfigurationNotifications", &NOTIFICATION)],
);
static RUN: Shape = shape(
    &["tool", "results", "columnKind"],
    &["invocations"],
    &[("tool", &TOOL), ("results", &RESULT), ("invocations", &INVOCATION)],
);
static LOG: Shape = shape(&["$schema", "version", "runs"], &[], &[("runs", &RUN)]);

impl Shape {
    fn check(&self, value: &Value, at: &str) {
        if let Value::Array(items) = value {
            items.iter().enumerate().for_each(|(i, item)| self.check(item, &format!("{at}[{i}]")));
            return;
        }
        let object = value.as_object().unwrap_or_else(|| panic!("{at} is no object: {value}"));
        for key in self.must {
            let value = object.get(*key).unwrap_or_else(|| panic!("{at} has no {key}"));
            assert!(!value.is_null() && value != "", "{at}.{key} is empty");
        }
        for (key, value) in object {
            let known = self.must.iter().chain(self.may).any(|k| k == key);
            assert!(known, "{at} has {key}");
            if let Some((_, shape)) = self.inside.iter().find(|(k, _)| k == key) {
                shape.check(value, &format!("{at}.{key}"));
            }
        }
    }
}

/// A slip, a stray dash, a port of a Service, a rule that is covered, and a suppression with quotes in its reason.
const POLICIES: &str = r#"apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: a, image: a, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
# ringfence: ignore RF001 -- the server's "default" is <meant> & known
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - ports: [{port: 80}]
  - ports: [{port: htt}]
  - from: [{ipBlock: {cidr: 0.0.0.0/0}}, {podSelector: {matchLabels: {app: wbe}}}]
"#;

fn sarif(at: &Path, arguments: &str) -> Value {
    let run = run_in(at, arguments, "");
    let json = run.json();
    LOG.check(&json, "$");
    for result in json["runs"][0]["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(json["runs"][0]["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        let region = &result["locations"][0]["physicalLocation"]["region"];
        let line = |key: &str| region[key].as_u64().unwrap();
        assert!(line("startLine") >= 1 && line("startColumn") >= 1 && line("endLine") >= line("startLine"));
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
    }
    json
}

fn uris(json: &Value) -> Vec<&str> {
    let results = json["runs"][0]["results"].as_array().unwrap();
    let places = results.iter().map(|r| &r["locations"][0]["physicalLocation"]["artifactLocation"]);
    let mut uris: Vec<&str> = places.filter_map(|place| place["uri"].as_str()).collect();
    uris.dedup();
    uris
}

#[test]
fn every_object_is_as_the_schema_has_it() {
    let at = folder("sarif-shape", &[("dir with space/ünï/a#b%c.yaml", POLICIES.as_bytes())]);
    let json = sarif(&at, "check . -o sarif");
    assert_eq!(uris(&json), ["dir%20with%20space/%C3%BCn%C3%AF/a%23b%25c.yaml"]);
    let results = json["runs"][0]["results"].as_array().unwrap();
    let has = |key: &str| results.iter().any(|r| r.get(key).is_some());
    assert!(has("fixes") && has("relatedLocations") && has("suppressions"), "{results:#?}");
    let mut prints: Vec<&str> =
        results.iter().map(|r| r["partialFingerprints"]["ringfence/v1"].as_str().unwrap()).collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), results.len());
}

#[test]
fn what_cannot_be_read_and_nothing_at_all_are_as_the_schema_has_it() {
    let at = folder("sarif-broken", &[("broken.yaml", b"a: [1"), ("empty.yaml", b"")]);
    let json = sarif(&at, "check broken.yaml -o sarif");
    assert_eq!(json["runs"][0]["results"][0]["level"], "error");
    assert_eq!(uris(&sarif(&at, "check empty.yaml -o sarif")), Vec::<&str>::new());
}

#[test]
fn an_entry_of_the_config_that_suppresses_nothing_is_no_result() {
    let config = b"[[ignore]]\ncode = \"RF060\"\nreason = \"none is here\"\n";
    let at = folder("sarif-config", &[("web.yaml", POLICIES.as_bytes()), ("ringfence.toml", config)]);
    let json = sarif(&at, "check . -o sarif");
    let told = &json["runs"][0]["invocations"][0]["toolConfigurationNotifications"];
    assert_eq!((&told[0]["descriptor"]["id"], told[1].is_null()), (&"RF110".into(), true), "{told}");
}

#[test]
fn a_path_below_the_current_folder_is_relative_to_it() {
    let at = folder("sarif-absolute", &[("web.yaml", POLICIES.as_bytes())]);
    let path = at.canonicalize().unwrap();
    let json = sarif(&path, &format!("check {}/web.yaml -o sarif", path.display()));
    assert_eq!(uris(&json), ["web.yaml"]);
}
