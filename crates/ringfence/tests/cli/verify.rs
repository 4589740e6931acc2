//! `ringfence verify`.

use serde_json::json;

use crate::{Run, fixtures, folder, run_in};

/// The fixture shop against these assertions.
fn verify(name: &str, assertions: &str, rest: &str) -> Run {
    let shop = std::fs::read(fixtures().join("shop.yaml")).unwrap();
    let folder = folder(name, &[("shop/shop.yaml", &shop), ("a.yaml", assertions.as_bytes())]);
    run_in(&folder, &format!("verify -a a.yaml shop {rest}"), "")
}

const HOLD: &str = "
assertions:
- name: web serves one network
  only:
    to: {namespace: shop, workload: web}
    from: {address: 192.0.2.0/24}
    ports: [8080]
- name: web uses api
  allow: {from: {workload: deployment/web}, to: {workload: api}, ports: 9000/tcp}
- deny: {from: external, to: [{labels: {app: db}}, {workload: api}]}
- deny: {from: {namespaceLabels: {team: sre}}, to: {namespace: shop}, ports: [icmp, 1-65535/tcp]}
";

#[test]
fn what_holds() {
    let run = verify("verify-hold", HOLD, "");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(
        run.out.ends_with(
            "4 of 4 assertions hold
"
        ),
        "{run:?}"
    );
}

#[test]
fn a_violation_has_a_connection_and_its_reasons() {
    let assertions = "
assertions:
- name: api uses db
  allow: {from: {workload: api}, to: {workload: db}, ports: [5432]}
- name: nobody reaches web
  deny: {from: any, to: {workload: web}}
- {name: db is closed, deny: {from: external, to: {workload: db}}}
";
    insta::assert_snapshot!(verify("verify-violated", assertions, "").shown());
    let got = verify("verify-violated", assertions, "-o json").json();
    assert_eq!(
        got["assertions"][0]["message"],
        "shop/deployment/api may not connect to shop/statefulset/db on TCP 5432"
    );
    assert_eq!(got["assertions"][2]["holds"], json!(true));
    let junit = verify("verify-violated", assertions, "-o junit").out;
    assert!(junit.contains("tests=\"3\" failures=\"2\""), "{junit}");
}

#[test]
fn only_keeps_out_everybody_else() {
    let assertions = "
assertions:
- name: api only from web
  only: {from: {workload: web}, to: {workload: api}, ports: [9000]}
- name: too narrow
  only: {from: {address: 192.0.2.0/25}, to: {workload: web}, ports: [8080]}
";
    let got = verify("verify-only", assertions, "-o json").json();
    assert_eq!(got["assertions"][0]["holds"], json!(true));
    assert_eq!(got["assertions"][1]["holds"], json!(false));
}

#[test]
fn what_selects_nothing_is_violated() {
    let assertions = "assertions:\n- deny: {from: external, to: {labels: {app: gone}}}\n";
    assert_eq!(verify("verify-empty", assertions, "").status, 1);
    assert_eq!(verify("verify-empty", assertions, "--allow-empty").status, 0);
    let pairless = "assertions:\n- deny: {from: external, to: external}\n";
    let run = verify("verify-pairless", pairless, "");
    assert!(run.status == 1 && run.out.contains("have no pair to check"), "{run:?}");
    assert_eq!(verify("verify-pairless", pairless, "--allow-empty").status, 0);
}

/// The counterexample is an address that is not meant, also where a range of the map is meant in part.
#[test]
fn a_range_that_is_meant_in_part_is_cut() {
    let check = |name: &str, only: &str, example: &str| {
        let assertions =
            format!("assertions:\n- only: {{from: {only}, to: {{workload: web}}, ports: [8080]}}\n");
        let got = verify(name, &assertions, "-o json").json();
        let message = format!("{example} may connect to shop/deployment/web on TCP 8080");
        assert_eq!(got["assertions"][0]["message"], message.as_str());
    };
    check("verify-part-1", "{address: 192.0.2.0/25}", "192.0.2.128/25");
    check("verify-part-2", "{address: 192.0.2.128/25}", "192.0.2.0/25");
    check("verify-part-3", "[{address: 192.0.2.0/26}, {address: 192.0.2.128/25}]", "192.0.2.64/26");
    let whole = "[{address: 192.0.2.0/25}, {address: 192.0.2.128/25}]";
    let assertions =
        format!("assertions:\n- only: {{from: {whole}, to: {{workload: web}}, ports: [8080]}}\n");
    assert_eq!(verify("verify-part-4", &assertions, "").status, 0);
}

#[test]
fn pods_that_could_be_created() {
    let check = |name: &str, assertion: &str, violation: Option<&str>| {
        let got = verify(name, &format!("assertions:\n- {assertion}\n"), "-o json").json();
        let got = &got["assertions"][0];
        assert_eq!(got.get("message").and_then(|m| m.as_str()), violation, "{got:#}");
    };
    // A pod that takes a label of the application is let in; the labels of the input's pods do not tell.
    check(
        "verify-new-1",
        "deny: {from: {anyPod: {namespace: shop}}, to: {workload: api}}",
        Some(
            "a new pod in namespace shop with app=prometheus may connect to shop/deployment/api on TCP 9100",
        ),
    );
    check(
        "verify-new-2",
        "deny: {from: {anyPod: {namespace: shop, labels: {app: x}}}, to: {workload: db}}",
        None,
    );
    check(
        "verify-new-3",
        "only: {from: {anyPod: {namespace: shop, labels: {app: apii}}}, to: {workload: db}, ports: [5432]}",
        None,
    );
    check(
        "verify-new-3b",
        "only: {from: {anyPod: {namespace: shop, labels: {app: apii, x: z}}}, to: {workload: db}, ports: [5432]}",
        Some("a new pod in namespace shop with app=apii may connect to shop/statefulset/db on TCP 5432"),
    );
    // What a port is called is the pod's to say.
    check(
        "verify-new-4",
        "deny: {from: {address: 192.0.2.7}, to: {anyPod: {namespace: shop, labels: {app: web}}}, ports: [22]}",
        Some(
            "192.0.2.7 may connect to a new pod in namespace shop with app=web that names TCP 22 `http` and `metrics` \
             on TCP 22",
        ),
    );
    check(
        "verify-new-5",
        "allow: {from: {address: 192.0.2.7}, to: {anyPod: {namespace: shop, labels: {app: web}}}, ports: [8080]}",
        Some("192.0.2.7 may not connect to a new pod in namespace shop with app=web on TCP 8080"),
    );
    // Namespaces, those that could be created too.
    check("verify-new-6", "deny: {from: {anyPod: {namespaceLabels: {team: sre}}}, to: {workload: db}}", None);
    check(
        "verify-new-7",
        "deny: {from: {anyPod: {newNamespaces: true}}, to: {workload: db}}",
        Some("a new pod in namespace shop with app=apii may connect to shop/statefulset/db on TCP 5432"),
    );
    let elsewhere = "{anyPod: {namespaceLabels: {team: x}, newNamespaces: true}}";
    check("verify-new-7b", &format!("deny: {{from: {elsewhere}, to: {{workload: db}}}}"), None);
    check(
        "verify-new-8",
        "deny: {from: {anyPod: {namespaceLabels: {team: x}, newNamespaces: true}}, to: {workload: prometheus}}",
        Some(
            "a new pod in a new namespace new (team=x) without labels may connect to \
             monitoring/deployment/prometheus on TCP 1",
        ),
    );
}

/// A pod that could be created may get any address of the ranges of pods, those too that a block lets in.
#[test]
fn addresses_of_pods_that_could_be_created() {
    let manifests = "
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - from: [{ipBlock: {cidr: 10.0.0.0/24}}, {ipBlock: {cidr: 10.0.2.0/23, except: [10.0.3.0/24]}}]
    ports: [{port: 5432}]
";
    let check = |name: &str, kind: &str, arguments: &str, violation: Option<&str>| {
        let assertions = format!(
            "assertions:\n- {kind}: {{from: {{anyPod: {{}}}}, to: {{workload: db}}, ports: [5432]}}\n"
        );
        let files: [(&str, &[u8]); 2] = [("m.yaml", manifests.as_bytes()), ("a.yaml", assertions.as_bytes())];
        let run = run_in(&folder(name, &files), &format!("verify -a a.yaml m.yaml -o json {arguments}"), "");
        let got = run.json();
        assert_eq!(got["assertions"][0].get("message").and_then(|m| m.as_str()), violation, "{run:?}");
    };
    let new = |address: &str, may: &str| {
        format!("a new pod in namespace shop without labels at {address} {may} to shop/pod/db on TCP 5432")
    };
    let denied = |address: &str| new(address, "may not connect");
    let allowed = |address: &str| new(address, "may connect");
    check("verify-at-1", "deny", "--pod-cidr 10.0.1.0/24", None);
    check("verify-at-2", "deny", "--pod-cidr 10.0.2.0/23", Some(&allowed("10.0.2.0")));
    check("verify-at-3", "allow", "--pod-cidr 10.0.2.0/23", Some(&denied("10.0.3.0")));
    check("verify-at-4", "allow", "--pod-cidr 10.0.0.128/25 --pod-cidr 10.0.2.128/25", None);
    check("verify-at-5", "deny", "--pod-cidr 10.0.1.0/24 --pod-cidr 10.0.2.9/32", Some(&allowed("10.0.2.9")));
}

#[test]
fn too_many_kinds_of_pods_are_not_proven() {
    let mut manifests = String::new();
    for number in 0..13 {
        manifests.push_str(&format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{number}, namespace: many}}, \
              spec: {{podSelector: {{matchLabels: {{l{number}: x}}}}, policyTypes: [Egress]}}}}\n---\n"
        ));
    }
    manifests.push_str("{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: many}}\n");
    let assertions = "assertions:\n- deny: {from: {anyPod: {namespace: many}}, to: {workload: db}}\n";
    let files: [(&str, &[u8]); 2] = [("m.yaml", manifests.as_bytes()), ("a.yaml", assertions.as_bytes())];
    let folder = folder("verify-many", &files);
    let run = run_in(&folder, "verify -a a.yaml m.yaml --allow-empty", "");
    assert!(run.status == 1 && run.out.contains("not proven: policies tell apart more than 4096"), "{run:?}");
    let junit = run_in(&folder, "verify -a a.yaml m.yaml -o junit", "");
    assert!(junit.out.contains("failures=\"0\" errors=\"1\""), "{junit:?}");
}

#[test]
fn zones_are_by_a_label_of_the_pod_or_its_namespace() {
    let check = |name: &str, head: &str, assertion: &str, status: i32| {
        let run = verify(name, &format!("{head}\nassertions:\n- {assertion}\n"), "");
        assert_eq!(run.status, status, "{run:?}");
    };
    check("verify-zone-1", "zoneLabel: team", "deny: {from: {zone: sre}, to: {workload: db}}", 0);
    check("verify-zone-2", "zoneLabel: app", "deny: {from: {zone: web}, to: {zone: db}}", 0);
    check("verify-zone-3", "zoneLabel: app", "deny: {from: {zone: web}, to: {zone: api}}", 1);
    check("verify-zone-4", "zoneLabel: team", "deny: {from: {anyPod: {zone: sre}}, to: {workload: db}}", 1);
    // A pod of another namespace can take the label itself.
    let assertion = "deny: {from: {anyPod: {namespace: monitoring, zone: sre}}, to: {workload: db}}";
    check("verify-zone-7", "zoneLabel: team", assertion, 0);
    check("verify-zone-5", "", "deny: {from: {zone: web}, to: {zone: db}}", 2);
    check("verify-zone-6", "zoneLabel: app", "deny: {from: {zone: wep}, to: {zone: db}}", 2);
}

/// Results for code scanning point into the file of assertions.
#[test]
fn sarif_points_at_the_assertion() {
    let assertions = "assertions:\n- {name: open, deny: {from: any, to: {workload: web}}}\n";
    let run = verify("verify-sarif", assertions, "-o sarif");
    assert_eq!(run.status, 1);
    let got = &run.json()["runs"][0];
    assert_eq!(got["results"].as_array().unwrap().len(), 1);
    let result = &got["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a.yaml");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&json!(2), &json!(3)));
    let index = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(got["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    let text = result["message"]["text"].as_str().unwrap();
    assert!(text.contains("open\n\n192.0.2.0/24 may connect"), "{text}");
}

/// A node's way to its own pods is nothing that policies can close: it is left out, and that is said.
#[test]
fn a_node_and_its_own_pods() {
    let pod = |name: &str, more: &str, address: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop}}, spec: {{nodeName: n1{more}}}, \
              status: {{podIP: {address}}}}}\n---\n"
        )
    };
    let deny = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, \
                spec: {podSelector: {}}}";
    let manifests =
        [pod("agent", ", hostNetwork: true", "192.168.0.1"), pod("db", "", "10.0.0.1"), deny.to_owned()];
    let manifests = manifests.concat();
    let assertions = "assertions:\n- {name: a, deny: {from: {namespace: shop}, to: {workload: db}}}\n\
                      - {name: b, only: {from: any, to: {workload: agent}}}\n\
                      - {name: c, deny: {from: any, to: {workload: db}}}\n";
    let files: [(&str, &[u8]); 2] = [("m.yaml", manifests.as_bytes()), ("a.yaml", assertions.as_bytes())];
    let run = run_in(&folder("verify-own-node", &files), "verify -a a.yaml m.yaml", "");
    assert!(run.out.contains("violated: a (a.yaml:2)\n  `from` and `to` have no pair to check"), "{run:?}");
    assert!(
        run.out.contains("holds: c\n  a node's way to its own pods, which no policy can close"),
        "{run:?}"
    );
}

#[test]
fn a_slip_is_an_error_with_its_place() {
    let check = |name: &str, text: &str, place: &str, message: &str| {
        let run = verify(name, text, "");
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{run:?}");
        assert!(run.err.contains(message) && run.err.contains(place), "{run:?}");
    };
    check("verify-key", "assertions:\n- deny: {form: any, to: any}\n", "a.yaml:2:10", "did you mean `from`?");
    let text = "assertions:\n- deny: {from: any, to: {workload: bd}}\n";
    check("verify-name", text, "a.yaml:2:36", "no pod of the input has the workload `bd`");
    check(
        "verify-port",
        "assertions:\n- deny: {from: any, to: any, ports: [0]}\n",
        "a.yaml:2:38",
        "this is no port",
    );
    check("verify-no-items", "assertions: []\n", "a.yaml", "there are no assertions in this file");
    check("verify-none", "assertion: []\n", "a.yaml:1:1", "did you mean `assertions`?");
    let text = "assertions:\n- deny: {from: any, to: {anyPod: {workload: web}}}\n";
    check("verify-any-pod-1", text, "a.yaml:2:35", "`workload` is not known here");
    let text = "assertions:\n- deny: {from: any, to: {anyPod: {namespace: shpo}}}\n";
    check("verify-any-pod-2", text, "a.yaml:2:46", "did you mean `shop`?");
    let text = "assertions:\n- deny: {from: any, to: {anyPod: {}, namespace: shop}}\n";
    check("verify-any-pod-3", text, "a.yaml:2:38", "`namespace` is not known here");
    let both = "{anyPod: {newNamespaces: true}}";
    let text = format!("assertions:\n- deny: {{from: {both}, to: {both}}}\n");
    check("verify-any-pod-4", &text, "a.yaml:2:9", "only one end can have `newNamespaces`");
    check(
        "verify-head",
        "kind: Other\nassertions: []\n",
        "a.yaml:1:7",
        "`kind` of assertions is `Assertions`",
    );
}
