//! `ringfence explain`.

use serde_json::json;

use crate::{folder, run, run_in, run_with};

/// Asks among the pods of the shop; the status and the first line of the answer.
fn check(question: &str, status: i32, first_line: &str) {
    let run = run(&format!("explain {question} shop.yaml -n shop"));
    assert_eq!((run.status, run.out.lines().next().unwrap_or_default()), (status, first_line), "{}", run.err);
}

/// Asks what has no answer; the error and the help.
fn refuse(question: &str, lines: &[&str]) {
    let run = run(&format!("explain {question} shop.yaml -n shop"));
    assert_eq!((run.status, run.out.as_str()), (2, ""));
    assert_eq!(run.err.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn the_first_line_is_the_verdict() {
    check("web api:9000", 0, "allowed: shop/web may connect to shop/api on TCP 9000");
    check("web api:http", 0, "allowed: shop/web may connect to shop/api on TCP 9000");
    check("web api:9000/udp", 1, "denied: shop/web may not connect to shop/api on UDP 9000");
    check("web api:ICMP", 1, "denied: shop/web may not connect to shop/api with ICMP (ping)");
    check("web api", 0, "allowed: shop/web may connect to shop/api on TCP 9000, and on nothing else");
    check("api db", 1, "denied: shop/api may not connect to shop/db on any port");
    check(
        "web monitoring/prometheus",
        0,
        "allowed: shop/web may connect to monitoring/prometheus on every port, ICMP too",
    );
}

#[test]
fn ends_by_kind_address_and_name() {
    check(
        "shop/deployment/web shop/deploy/api:9000",
        0,
        "allowed: shop/web may connect to shop/api on TCP 9000",
    );
    check("deploy/web api:9000", 0, "allowed: shop/web may connect to shop/api on TCP 9000");
    check("192.0.2.7 web:http", 0, "allowed: 192.0.2.7 may connect to shop/web on TCP 8080");
    check("198.51.100.1 web:8080", 1, "denied: 198.51.100.1 may not connect to shop/web on TCP 8080");
    check("api [2001:db8::1]:443", 0, "allowed: shop/api may connect to 2001:db8::1 on TCP 443");
    check("db 2001:db8::1", 1, "denied: shop/db may not connect to 2001:db8::1 on any port");
    check("external api:9000", 1, "denied: external may not connect to shop/api on TCP 9000");
    check("web external:443", 0, "allowed: shop/web may connect to external on TCP 443");
}

#[test]
fn the_default_namespace_may_be_left_out() {
    let pod = "{kind: Pod, apiVersion: v1, metadata: {name: a}, spec: {containers: [{name: a, image: a}]}}";
    assert_eq!(run_with("explain default/a 10.0.0.1:80 -", pod).status, 0);
    assert_eq!(run_with("explain a 10.0.0.1:80 -", pod).status, 0);
}

#[test]
fn a_service_is_translated_to_the_ports_of_its_pods() {
    check("web svc/backend:80", 0, "allowed: shop/web may connect to Service shop/backend on TCP 80");
    check(
        "web shop/service/backend:http",
        0,
        "allowed: shop/web may connect to Service shop/backend on TCP 80",
    );
    check("web backend", 0, "allowed: shop/web may connect to Service shop/backend on some ports");
    check("web backend:metrics", 1, "denied: shop/web may not connect to Service shop/backend on TCP 9100");
    check("web svc/db:5432", 1, "denied: shop/web may not connect to Service shop/db on TCP 5432");
    insta::assert_snapshot!(run("explain shop/web shop/backend shop.yaml").shown());
    let json = run("explain shop/web shop/backend:80 shop.yaml -o json").json();
    assert_eq!(json["service"], json!({"namespace": "shop", "name": "backend"}));
    assert_eq!(json["servicePort"], json!({"name": "http", "protocol": "TCP", "port": 80}));
    assert_eq!((&json["port"], &json["to"]["name"]), (&json!(9000), &json!("api")));
}

#[test]
fn a_port_that_only_the_service_has_is_pointed_out() {
    let run = run("explain shop/web shop/api:80 shop.yaml");
    assert_eq!(
        run.err,
        "note: 80 is the port of Service shop/backend, its pods listen on TCP 9000: shop/service/backend:80 asks \
         about the Service\n"
    );
}

#[test]
fn names_that_are_not_there() {
    refuse(
        "webb api:80",
        &["error: nothing in the manifests is called `shop/webb`", "help: did you mean shop/web?"],
    );
    refuse(
        "prometheus api:80",
        &[
            "error: nothing in the manifests is called `shop/prometheus`",
            "help: did you mean monitoring/prometheus?",
        ],
    );
    refuse(
        "web elsewhere/thing:80",
        &[
            "error: nothing in the manifests is called `elsewhere/thing`",
            "help: nothing is in namespace `elsewhere`; there are: monitoring, shop",
        ],
    );
    refuse(
        "web api:grpc",
        &[
            "error: shop/api has no port called `grpc`",
            "help: its ports with a name: http (TCP 9000), metrics (TCP 9100)",
        ],
    );
    refuse(
        "web backend:81",
        &[
            "error: Service shop/backend has no such port",
            "help: its ports: http (TCP 80 to http), metrics (TCP 9100 to 9100)",
        ],
    );
    refuse(
        "web legacy:80",
        &[
            "error: Service shop/legacy has no selector: the manifests do not say where it leads",
            "help: give the address of its endpoint, or external",
        ],
    );
    refuse(
        "svc/backend db:5432",
        &[
            "error: Service shop/backend only receives connections",
            "help: its pods can be a source: shop/api",
        ],
    );
}

#[test]
fn questions_that_are_none() {
    refuse(
        "external external:80",
        &[
            "error: both ends are outside: no policy sees such a connection",
            "help: name a workload or a Service as one of the ends",
        ],
    );
    refuse(
        "web:80 api",
        &[
            "error: `web:80`: the source of a connection has no port",
            "help: policies see only the port of the destination: leave the source's out",
        ],
    );
    refuse(
        "a/b/c/d api",
        &[
            "error: `a/b/c/d` is not an end of a connection",
            "help: write NAMESPACE/NAME or NAMESPACE/KIND/NAME, an address, or external (any outside address)",
        ],
    );
    refuse("web api:99999", &["error: `99999` is not a port", "help: ports go from 1 to 65535"]);
}

#[test]
fn an_ambiguous_name_lists_what_it_can_mean() {
    let workload = |kind: &str| {
        format!(
            "{{kind: {kind}, apiVersion: apps/v1, metadata: {{name: web}}, spec: {{selector: {{matchLabels: {{a: b}}}}, \
             template: {{metadata: {{labels: {{a: b}}}}, spec: {{containers: [{{name: a, image: a}}]}}}}}}}}\n---\n"
        )
    };
    let manifests = workload("Deployment") + &workload("DaemonSet");
    let run = run_with("explain web external -", &manifests);
    assert_eq!(
        (run.status, run.err.as_str()),
        (
            2,
            "error: `web` can mean more than one thing\n\
             help: write one of: default/daemonset/web, default/deployment/web\n"
        )
    );
    let run = run_with("explain ds/web deploy/web:80 -", &manifests);
    let first = "allowed: default/daemonset/web may connect to default/deployment/web on TCP 80";
    assert_eq!((run.status, run.out.lines().next()), (0, Some(first)));
}

#[test]
fn both_sides_say_why() {
    insta::assert_snapshot!(run("explain shop/db shop/api:http shop.yaml").shown());
}

#[test]
fn a_namespace_that_the_rule_does_not_look_in() {
    insta::assert_snapshot!(run("explain monitoring/prometheus shop/api:metrics shop.yaml").shown());
}

/// The deciding tier and rule, what Pass left to the next tier, and a change that was tried.
#[test]
fn every_tier_says_why() {
    for (name, question) in [
        ("admin_denies", "ops/shell shop/db:5432"),
        ("passed_on", "shop/web shop/db:5432"),
        ("baseline_denies", "shop/web 203.0.113.9:443"),
        ("a_node", "shop/web 192.0.2.10:443"),
        ("a_domain_name", "shop/web 203.0.113.7:443 --resolve registry.example.com=203.0.113.7"),
    ] {
        insta::assert_snapshot!(name, run(&format!("explain {question} tiers.yaml")).shown());
    }
    let json = run("explain shop/web shop/db:5432 tiers.yaml -o json").json();
    let because = &json["ingress"]["because"];
    assert_eq!((&because["tier"], &because["passedBy"][0]["rule"]), (&json!("NetworkPolicy"), &json!(0)));
    assert_eq!(because["skipped"][0]["name"], json!("nobody-else"));
    let json = run("explain ops/shell shop/db:5432 tiers.yaml -o json").json();
    let because = &json["ingress"]["because"];
    assert_eq!(
        (&because["tier"], &because["policy"], &because["name"], &because["action"]),
        (&json!("Admin"), &json!("ClusterNetworkPolicy/prod-closed"), &json!("nobody-else"), &json!("Deny"))
    );
    assert_eq!(json["change"]["patches"][0]["patch"][0]["path"], json!("/spec/ingress/1"));
}

#[test]
fn outside_addresses_that_fare_differently() {
    insta::assert_snapshot!(run("explain external shop/web:http shop.yaml").shown());
    let json = run("explain external shop/web:http shop.yaml -o json").json();
    let cases: Vec<_> = json["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["from"]["external"][0], &c["verdict"]))
        .collect();
    assert_eq!(
        cases,
        [
            (&json!("0.0.0.0"), &json!("denied")),
            (&json!("192.0.2.0"), &json!("allowed")),
            (&json!("192.0.3.0"), &json!("denied")),
            (&json!("::"), &json!("denied")),
        ]
    );
    assert_eq!(json["verdict"], "denied");
}

#[test]
fn pods_on_their_nodes_network() {
    insta::assert_snapshot!(run("explain monitoring/node-exporter shop/api:9000 shop.yaml").shown());
}

#[test]
fn replicas_of_one_workload_are_different_pods() {
    let run = run("explain shop/web shop/web:9 shop.yaml");
    assert_eq!(run.status, 1);
    let note = "note: this is about two different pods of one workload: a pod always reaches itself";
    assert_eq!(run.err.lines().next(), Some(note));
    check("api api:9", 0, "allowed: shop/api may connect to shop/api on TCP 9");
}

/// Pods of one workload with the policy that keeps them apart, and the Service that leads to them.
fn a_workload_with_addresses(pods: &[&str]) -> String {
    let mut text = String::from(
        "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}\n\
         ---\n{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: apart}, \
         spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, \
         ingress: [{action: Deny, from: [{namespaces: {}}]}]}}\n",
    );
    for (number, address) in pods.iter().enumerate() {
        text += &format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: web-{number}, labels: {{app: web}}, ownerReferences: \
             [{{controller: true, kind: StatefulSet, name: web}}]}}, spec: {{containers: [{{name: c, image: c}}]}}, \
             status: {{podIP: {address}}}}}\n"
        );
    }
    text
}

#[test]
fn a_pod_that_is_named_by_its_address() {
    let one = a_workload_with_addresses(&["10.0.0.1"]);
    let check = |text: &str, question: &str, status: i32| {
        assert_eq!(run_with(&format!("explain {question} -"), text).status, status, "{question}");
    };
    check(&one, "web web:80", 0);
    check(&one, "10.0.0.1 web:80", 0);
    // Through a Service its packets leave it and come back.
    check(&one, "statefulset/web svc/web:80", 1);
    check(&one, "10.0.0.1 svc/web:80", 1);
    // There is another pod that it can mean.
    let two = a_workload_with_addresses(&["10.0.0.1", "10.0.0.2"]);
    check(&two, "statefulset/web statefulset/web:80", 1);
    for address in ["10.0.0.1", "10.0.0.2"] {
        check(&two, &format!("{address} statefulset/web:80"), 1);
        check(&two, &format!("{address} svc/web:80"), 1);
        check(&two, &format!("statefulset/web {address}:80"), 1);
        check(&two, &format!("{address} {address}:80"), 0);
    }
}

#[test]
fn what_no_rule_decides_has_its_reason_too() {
    let pods = a_workload_with_addresses(&["10.0.0.1", "10.0.0.2"]).replace(
        "action: Deny, from: [{namespaces: {}}]",
        "action: Deny, from: [{namespaces: {}}], protocols: [{udp: {destinationPort: {number: 53}}}]",
    );
    let closed = "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: closed}, spec: {podSelector: {}}}\n";
    let isolated = format!("{pods}{closed}");
    let check = |text: &str, lines: &[&str]| {
        let out = run_with("explain 10.0.0.1 10.0.0.2 -", text).out;
        for line in lines {
            assert!(out.lines().any(|l| l == *line), "{line}\n{out}");
        }
    };
    let rest = "all TCP, UDP 0-52,54-65535, all SCTP, ICMP and others";
    check(&pods, &[&format!("  allowed: {rest}: no rule decides this (default)")]);
    check(
        &isolated,
        &[
            "  tier NetworkPolicy: isolated for ingress by",
            &format!("  denied: {rest}: no ingress rule of these policies allows this"),
        ],
    );
    let json = run_with("explain 10.0.0.1 10.0.0.2 - -o json", &isolated).json();
    assert_eq!(json["ingress"]["because"]["rest"]["tier"], "NetworkPolicy");
}

#[test]
fn a_change_of_policies_with_one_generated_name() {
    let pod = |number: u32, name: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}, number: \"{number}\"}}, \
             ownerReferences: [{{controller: true, kind: StatefulSet, name: {}}}]}}, \
             spec: {{containers: [{{name: c, image: c}}]}}}}\n---\n",
            name.split('-').next().unwrap_or(name)
        )
    };
    let policy = |number: u32| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{generateName: closed-}}, \
             spec: {{podSelector: {{matchLabels: {{number: \"{number}\"}}}}}}}}\n---\n"
        )
    };
    let text = [pod(0, "client"), pod(1, "db-1"), pod(2, "db-2"), policy(2), policy(1)].concat();
    let answer = run_with("explain client db:80 - -o json", &text).json();
    let patches = answer["change"]["patches"].as_array().unwrap();
    let names: Vec<&str> = patches.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["closed-(2)", "closed-"], "each of the two pods has one that must let it in");
}

#[test]
fn pods_of_one_workload_that_fare_differently() {
    let run = run("explain external a/web:81 canary.yaml");
    assert_eq!(run.status, 1);
    let lines: Vec<&str> = run.out.lines().take(3).collect();
    assert_eq!(
        lines,
        [
            "denied: external may not always connect to a/web on TCP 81",
            "  allowed: to a/web (web-1) from 0.0.0.0/0, ::/0",
            "  denied: to a/web (web-2) from 0.0.0.0/0, ::/0",
        ]
    );
    assert_eq!(crate::run("explain external a/web-1:81 canary.yaml").status, 0);
    assert_eq!(crate::run("explain 192.0.2.1 10.0.0.2:81 canary.yaml").status, 1);
}

#[test]
fn an_address_in_the_pod_range_without_a_pod() {
    let run = run("explain 10.0.0.9 a/web-1:81 canary.yaml --pod-cidr 10.0.0.0/24");
    assert_eq!(run.status, 0);
    assert_eq!(
        run.err,
        "note: 10.0.0.9 is in the pod range 10.0.0.0/24, but no pod here is known to have it: taken for an outside \
         address\n"
    );
}

#[test]
fn json_of_a_denial() {
    let run = run("explain shop/api shop/db:5432 shop.yaml -o json");
    let expect = json!({
        "version": 1,
        "verdict": "denied",
        "from": {"namespace": "shop", "kind": "Deployment", "name": "api"},
        "to": {"namespace": "shop", "kind": "StatefulSet", "name": "db"},
        "protocol": "TCP",
        "port": 5432,
        "egress": {"verdict": "allowed", "isolated": false, "because": {"tier": "default"}},
        "ingress": {
            "verdict": "denied",
            "isolated": true,
            "because": {"tier": "NetworkPolicy", "isolatedBy": ["shop/db", "shop/default-deny"]},
            "nearMisses": [{
                "policy": "shop/db", "rule": 0, "source": "shop.yaml:174",
                "differs": "podLabel", "wants": "app=apii", "has": "app=api",
                "fix": "spell `apii` and `api` alike, if they are meant to be one, or add the peer \
                        `- podSelector: {matchLabels: {app: api}}` to the rule's `from`",
            }],
        },
        "change": {
            "verified": true,
            "patches": [{
                "kind": "NetworkPolicy", "namespace": "shop", "name": "db", "source": "shop.yaml:165",
                "patch": [{
                    "op": "add", "path": "/spec/ingress/0/from/-",
                    "value": {"podSelector": {"matchLabels": {"app": "api"}}},
                }],
            }],
        },
    });
    assert_eq!((run.json(), run.status), (expect, 1));
}

#[test]
fn json_of_all_ports() {
    let run = run("explain shop/web shop/api shop.yaml -o json");
    let json = run.json();
    let tcp = json!([{"protocol": "TCP", "ports": [[9000, 9000]]}]);
    assert_eq!((&json["protocol"], &json["port"], &json["allowed"]), (&json!(null), &json!(null), &tcp));
    assert_eq!(
        json["ingress"]["because"],
        json!({
            "tier": "NetworkPolicy", "policy": "shop/api", "rule": 0, "action": "Allow", "source": "shop.yaml:156",
            "rules": [{
                "tier": "NetworkPolicy", "policy": "shop/api", "rule": 0, "action": "Allow", "source": "shop.yaml:156", "allowed": tcp,
            }],
            "isolatedBy": ["shop/api", "shop/default-deny"],
        })
    );
}

/// Every fix that is proposed is tried: written down as a rule, it allows what was denied.
#[test]
fn fixes_allow_what_was_denied() {
    let denied = [
        ("shop/api", "shop/db:5432"),
        ("shop/db", "shop/api:9000"),
        ("monitoring/prometheus", "shop/api:metrics"),
        ("monitoring/prometheus", "shop/web:8080"),
        ("shop/web", "shop/api:80"),
        ("198.51.100.1", "shop/api:9000"),
        ("2001:db8::1", "shop/db:5432"),
        ("external", "shop/api:9000"),
    ];
    let shop = std::fs::read(crate::fixtures().join("shop.yaml")).unwrap();
    let mut tried = 0;
    for (from, to) in denied {
        let answer = run(&format!("explain {from} {to} shop.yaml -o json"));
        assert_eq!(answer.status, 1, "{from} {to}");
        let json = answer.json();
        for miss in json["ingress"]["nearMisses"].as_array().unwrap() {
            let fix = miss["fix"].as_str().unwrap();
            let quoted: Vec<&str> = fix.split('`').filter(|part| part.starts_with("- ")).collect();
            let rule = match quoted.as_slice() {
                [rule] if fix.contains("add the rule") => (*rule).to_owned(),
                [port] if fix.contains("ports") => format!("- ports:\n    {port}"),
                peers => format!("- from:\n    {}", peers.join("\n    ")),
            };
            let app = if to.contains("/db") {
                "db"
            } else if to.contains("/web") {
                "web"
            } else {
                "api"
            };
            let policy = format!(
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: fix, namespace: shop}}\n\
                 spec:\n  podSelector: {{matchLabels: {{app: {app}}}}}\n  policyTypes: [Ingress]\n  ingress:\n  {rule}\n\
                 ---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: out, namespace: shop}}\n\
                 spec:\n  podSelector: {{matchLabels: {{app: db}}}}\n  policyTypes: [Egress]\n  egress: [{{}}]\n"
            );
            let folder = folder("fixes", &[("shop.yaml", &shop), ("fix.yaml", policy.as_bytes())]);
            let after = run_in(&folder, &format!("explain {from} {to} ."), "");
            assert_eq!(after.status, 0, "{fix}\n{policy}\n{}{}", after.out, after.err);
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried}");
}

/// Two commands, one answer: what `map` shows between two workloads is what `explain` says without a port.
#[test]
fn map_and_explain_agree() {
    let map = run("map shop.yaml -o json").json();
    let called = |end: &serde_json::Value| {
        format!("{}/{}/{}", end["namespace"], end["kind"], end["name"]).replace('"', "")
    };
    let workloads: Vec<String> = map["workloads"].as_array().unwrap().iter().map(called).collect();
    for from in &workloads {
        for to in workloads.iter().filter(|to| *to != from) {
            let connections = map["connections"].as_array().unwrap();
            let shown = connections.iter().find(|c| called(&c["from"]) == *from && called(&c["to"]) == *to);
            let explained = run(&format!("explain {from} {to} shop.yaml -o json"));
            let allowed = shown.map_or(json!([]), |c| c["allowed"].clone());
            assert_eq!(explained.json()["allowed"], allowed, "{from} {to}");
            assert_eq!(explained.status, i32::from(shown.is_none()), "{from} {to}");
        }
    }
}
