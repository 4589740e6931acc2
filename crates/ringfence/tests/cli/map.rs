//! `ringfence map`.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{run, run_with};

fn names(map: &Value) -> Vec<String> {
    let rows = map["workloads"].as_array().unwrap();
    rows.iter().map(|w| format!("{}/{}", w["namespace"], w["name"]).replace('"', "")).collect()
}

#[test]
fn a_table_for_people() {
    insta::assert_snapshot!(run("map shop.yaml").shown());
}

#[test]
fn json_is_the_contract_of_the_manual() {
    let manifests = "
kind: Pod
apiVersion: v1
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: db, image: db}]}
---
kind: Deployment
apiVersion: apps/v1
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {hostNetwork: false, containers: [{name: web, image: web}]}
---
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {}}]
    ports: [{port: 5432}, {port: 5433}, {protocol: UDP}]
  - from: [{ipBlock: {cidr: 10.0.0.0/8}}]
";
    let run = run_with("map -o json -", manifests);
    let (db, web) = (
        json!({"namespace": "shop", "kind": "Pod", "name": "db"}),
        json!({"namespace": "shop", "kind": "Deployment", "name": "web"}),
    );
    let range = |first: &str, last: &str| json!({"external": [first, last]});
    let v6 = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    let (low, ten, high) = (
        range("0.0.0.0", "9.255.255.255"),
        range("10.0.0.0", "10.255.255.255"),
        range("11.0.0.0", "255.255.255.255"),
    );
    let pair = |from: &Value, to: &Value| json!({"from": from, "to": to, "allowed": "all"});
    let expect = json!({
        "version": 1,
        "workloads": [
            {"namespace": "shop", "kind": "Pod", "name": "db", "labels": {"app": "db"}, "pods": 1,
             "ingress": "isolated", "egress": "isolated", "hostNetwork": false},
            {"namespace": "shop", "kind": "Deployment", "name": "web", "labels": {"app": "web"}, "pods": 3,
             "ingress": "open", "egress": "open", "hostNetwork": false},
        ],
        "connections": [
            {"from": web, "to": db, "allowed": [
                {"protocol": "TCP", "ports": [[5432, 5433]]}, {"protocol": "UDP", "ports": [[0, 65535]]}]},
            pair(&web, &low), pair(&web, &ten), pair(&web, &high), pair(&web, &v6),
            pair(&low, &web), pair(&ten, &db), pair(&ten, &web), pair(&high, &web), pair(&v6, &web),
        ],
        "notes": [
            "1 policy has an ipBlock, and manifests do not say which addresses pods get: such blocks are matched \
             against outside addresses only; --pod-cidr tells where pods live"
        ],
    });
    assert_eq!(run.json(), expect);
    assert_eq!(run.status, 0);
    // Keys come in the manual's order, one entry a line.
    let order = r#"    {"namespace": "shop", "kind": "Pod", "name": "db", "labels": {"app": "db"}, "pods": 1, "ingress": "#;
    assert!(run.out.contains(order), "{}", run.out);
}

#[test]
fn pod_ranges_settle_what_blocks_match() {
    let without = run("map shop.yaml");
    assert!(without.err.contains("--pod-cidr"), "{}", without.err);
    let with = run("map shop.yaml --pod-cidr 192.0.2.0/24 -o json");
    assert_eq!(with.err, "");
    let from_pods = with.json()["connections"].as_array().unwrap().iter().any(|c| {
        c["from"]["name"] == "prometheus"
            && c["to"]["name"] == "web"
            && c["allowed"][0]["ports"] == json!([[8080, 8080]])
    });
    assert!(from_pods, "{}", with.out);
}

#[test]
fn a_namespace_narrows_to_what_touches_it() {
    let map = run("map shop.yaml -n monitoring -o json").json();
    assert_eq!(names(&map), ["monitoring/node-exporter", "monitoring/prometheus"]);
    let connections = map["connections"].as_array().unwrap();
    assert!(connections.iter().any(|c| c["from"]["namespace"] == "shop"));
    let touches = |c: &Value| [&c["from"], &c["to"]].iter().any(|e| e["namespace"] == "monitoring");
    assert!(connections.iter().all(touches));
}

#[test]
fn all_namespaces_are_shown_without_n_and_with_a() {
    let all = ["monitoring/node-exporter", "monitoring/prometheus", "shop/api", "shop/db", "shop/web"];
    assert_eq!(names(&run("map shop.yaml -o json").json()), all);
    assert_eq!(names(&run("map shop.yaml -o json -A -n monitoring").json()), all);
}

#[test]
fn a_namespace_without_workloads_says_so() {
    let run = run("map shop.yaml -n nowhere");
    assert_eq!((run.status, run.out.as_str()), (0, ""));
    assert!(run.err.starts_with("note: no workloads in namespace nowhere\n"), "{}", run.err);
}

#[test]
fn pods_of_one_workload_that_policies_tell_apart_stay_apart() {
    let run = run("map canary.yaml");
    insta::assert_snapshot!(run.shown());
    let map = crate::run("map canary.yaml -o json").json();
    assert_eq!(map["workloads"][0]["podNames"], json!(["web-1"]));
    assert_eq!(map["workloads"][1]["podNames"], json!(["web-2"]));
    assert_eq!(map["connections"][0]["from"]["podNames"], json!(["web-1"]));
}

#[test]
fn no_connection_at_all() {
    let deny = "
{kind: Pod, apiVersion: v1, metadata: {name: a, labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";
    insta::assert_snapshot!(run_with("map -", deny).shown(), @"
    NAMESPACE   WORKLOAD   PODS   INGRESS    EGRESS
    default     pod/a      1      isolated   isolated

    No connections are allowed.
    --- standard error
    --- status 0
    ");
}

#[test]
fn each_pod_by_itself() {
    let run = run("map canary.yaml --pods");
    insta::assert_snapshot!(run.shown(), @"
    NAMESPACE   POD         PODS   INGRESS    EGRESS
    a           pod/web-1   1      open       open
    a           pod/web-2   1      isolated   open

    FROM       TO         PORTS
    a/web-1    a/web-2    TCP 80
    a/web-1    external   all
    a/web-2    a/web-1    all
    a/web-2    external   all
    external   a/web-1    all
    external   a/web-2    TCP 80
    --- standard error
    --- status 0
    ");
    let map = crate::run("map canary.yaml --pods -o json").json();
    let pod = |name: &str| json!({"namespace": "a", "kind": "Pod", "name": name});
    assert_eq!(
        map["workloads"][1],
        json!({"namespace": "a", "kind": "Pod", "name": "web-2", "labels": {"app": "web", "canary": "1"}, "pods": 1,
               "ingress": "isolated", "egress": "open", "hostNetwork": false,
               "workload": {"kind": "StatefulSet", "name": "web"}})
    );
    assert_eq!(
        map["connections"][0],
        json!({"from": pod("web-1"), "to": pod("web-2"), "allowed": [{"protocol": "TCP", "ports": [[80, 80]]}]})
    );
}

#[test]
fn pods_of_manifests_are_called_as_their_workloads() {
    let workload = |kind: &str, replicas: u32| {
        format!(
            "
apiVersion: apps/v1
kind: {kind}
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: web}}]}}}}
---"
        )
    };
    let both = workload("Deployment", 3) + &workload("StatefulSet", 2);
    insta::assert_snapshot!(run_with("map - --pods", &both).shown(), @"
    NAMESPACE   POD                         PODS   INGRESS   EGRESS
    default     pod/web (deployment/web)    3      open      open
    default     pod/web (statefulset/web)   2      open      open

    FROM                      TO                        PORTS
    default/deployment/web    default/statefulset/web   all
    default/deployment/web    external                  all
    default/statefulset/web   default/deployment/web    all
    default/statefulset/web   external                  all
    external                  default/deployment/web    all
    external                  default/statefulset/web   all
    --- standard error
    --- status 0
    ");
    let map = run_with("map - --pods -o json", &both).json();
    let web = |kind: &str| {
        let workload = json!({"kind": kind, "name": "web"});
        json!({"namespace": "default", "kind": "Pod", "name": "web", "workload": workload})
    };
    assert_eq!(map["workloads"][0]["pods"], json!(3));
    assert_eq!(
        map["connections"][0],
        json!({"from": web("Deployment"), "to": web("StatefulSet"), "allowed": "all"})
    );
}

#[test]
fn pods_of_a_namespace() {
    let map = run("map shop.yaml --pods -n monitoring -o json").json();
    assert_eq!(names(&map), ["monitoring/node-exporter", "monitoring/prometheus"]);
    let run = run("map shop.yaml --pods -n nowhere");
    assert!(run.err.starts_with("note: no pods in namespace nowhere\n"), "{}", run.err);
}

/// Far more than fits into a pipe.
#[test]
fn a_reader_may_leave_early() {
    let pods: String = (0..200)
        .map(|n| {
            format!(
                "{{kind: Pod, apiVersion: v1, metadata: {{name: p{n}}}, spec: {{containers: [{{name: c, image: c}}]}}}}\n---\n"
            )
        })
        .collect();
    for format in ["json", "table"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["map", "-", "-o", format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(pods.as_bytes()).unwrap();
        let mut first = [0; 1];
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut first).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{format}");
    }
}
