//! `ringfence map --focus`, `--from`, `--to` and the questions beside the map.

use serde_json::{Value, json};

use crate::{run, run_with};

fn pairs(map: &Value) -> Vec<String> {
    let name = |end: &Value| match (&end["name"], &end["external"]) {
        (Value::String(name), _) => name.clone(),
        (_, Value::Array(range)) => range[0].as_str().unwrap().to_owned(),
        _ => "external".to_owned(),
    };
    let connections = map["connections"].as_array().unwrap();
    connections.iter().map(|c| format!("{} > {}", name(&c["from"]), name(&c["to"]))).collect()
}

fn rows(map: &Value) -> Vec<&str> {
    map["workloads"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap()).collect()
}

#[test]
fn from_and_to() {
    let map = run("map ways.yaml --from shop/api --to shop/ -o json").json();
    assert_eq!(
        (pairs(&map), rows(&map)),
        (vec!["api > db".to_owned(), "api > web".to_owned()], vec!["admin", "api", "db", "web"])
    );
    let map = run("map ways.yaml --from api --from web -n shop --to db -o json").json();
    assert_eq!((pairs(&map), rows(&map)), (vec!["api > db".to_owned()], vec!["api", "db", "web"]));
    let map = run("map ways.yaml --from 192.0.2.7 --to shop/db -o json").json();
    assert_eq!(pairs(&map), ["192.0.2.0 > db"]);
    let map = run("map ways.yaml --from external --to shop/db -o csv");
    assert!(map.out.ends_with("\r\n192.0.2.0/24,,,,shop/db,shop,StatefulSet,db,TCP 5432\r\n"), "{}", map.out);
    // A Service is its pods.
    let map = run("map ways.yaml --from external --to shop/svc/web -o csv");
    assert!(map.out.ends_with("\r\nexternal,,,,shop/web,shop,Deployment,web,TCP 8080\r\n"), "{}", map.out);
}

#[test]
fn focus_is_a_workload_or_a_namespace_and_its_neighbours() {
    let map = run("map ways.yaml --focus shop/db -o json").json();
    assert_eq!(rows(&map), ["edge-0", "controller", "api", "db", "web"]);
    assert!(pairs(&map).iter().all(|pair| pair.contains("db")), "{map}");
    let map = run("map ways.yaml --focus infra -o json").json();
    assert!(pairs(&map).iter().all(|pair| pair.contains("edge-0")), "{map}");
}

#[test]
fn names_that_mean_nothing_or_two_things() {
    let run_of = run("map ways.yaml --focus shop/dbb");
    assert_eq!(run_of.status, 2);
    assert!(run_of.err.contains("did you mean shop/db?"), "{}", run_of.err);
    let both = "
{kind: Namespace, apiVersion: v1, metadata: {name: web}}
---
{kind: Pod, apiVersion: v1, metadata: {name: web}, spec: {}}
";
    let run = run_with("map - --focus web", both);
    assert_eq!(run.status, 2);
    assert!(
        run.err.contains("error: `web` is a namespace and something in the default one\n"),
        "{}",
        run.err
    );
    assert_eq!(run_with("map - --focus web/", both).status, 0);
}

#[test]
fn reachable_step_by_step() {
    insta::assert_snapshot!(run("map ways.yaml --reachable-from ingress-nginx/controller").shown());
    let map = run("map ways.yaml --reachable-from ingress-nginx/controller -o json").json();
    let pod =
        |namespace: &str, kind: &str, name: &str| json!({"namespace": namespace, "kind": kind, "name": name});
    let controller = pod("ingress-nginx", "Deployment", "controller");
    assert_eq!(
        (&map["version"], &map["from"], &map["maxHops"]),
        (&json!(1), &json!([controller]), &Value::Null)
    );
    assert_eq!(
        map["reachable"].as_array().unwrap().last().unwrap(),
        &json!({
            "to": pod("shop", "StatefulSet", "db"),
            "hops": 2,
            "via": [controller, pod("shop", "Deployment", "api")],
            "allowed": [{"protocol": "TCP", "ports": [[5432, 5432]]}],
        })
    );
    let one = run("map ways.yaml --reachable-from ingress-nginx/controller --hops 1 -o json").json();
    assert!(one["reachable"].as_array().unwrap().iter().all(|r| r["hops"] == 1), "{one}");
    assert_eq!(run("map ways.yaml --hops 2").status, 2);
    assert_eq!(run("map ways.yaml --exposed --unprotected").status, 2);
}

/// Pods of one workload that policies tell apart reach each other, which the map does not list.
#[test]
fn a_step_may_lead_to_other_pods_of_the_same_workload() {
    let pod = |name: &str, labels: &str, owner: &str| {
        format!(
            "{{kind: Pod, apiVersion: v1, metadata: {{name: {name}, labels: {{{labels}}}{owner}}}, spec: {{}}}}\n---\n"
        )
    };
    let owner =
        ", ownerReferences: [{kind: StatefulSet, apiVersion: apps/v1, name: db, uid: u, controller: true}]";
    let policy = |name: &str, to: &str, from: &str| {
        format!(
            "{{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: {{name: {name}}}, spec: {{podSelector: \
             {{matchLabels: {{{to}}}}}, policyTypes: [Ingress], ingress: [{{from: [{{podSelector: {{matchLabels: {{{from}}}}}}}], \
             ports: [{{port: 5432}}]}}]}}}}\n---\n"
        )
    };
    let text = [
        pod("web", "app: web", ""),
        pod("db-0", "app: db, role: primary", owner),
        pod("db-1", "app: db, role: replica", owner),
        policy("primary", "role: primary", "app: web"),
        policy("replica", "role: replica", "role: primary"),
    ];
    let run = run_with("map - --reachable-from web -o csv", &text.concat());
    let found: Vec<&str> = run.out.lines().skip(1).map(|line| line.trim_end()).collect();
    assert_eq!(
        found,
        [
            "1,default/db (db-0),TCP 5432,default/web",
            "1,external,all,default/web",
            "2,default/db (db-1),TCP 5432,default/web > default/db (db-0)",
        ],
        "{}",
        run.err
    );
}

#[test]
fn unprotected() {
    insta::assert_snapshot!(run("map shop.yaml --unprotected").out, @"
    WORKLOAD                   PODS   INGRESS        EGRESS
    monitoring/node-exporter   1      host network   host network
    monitoring/prometheus      1      open           open
    shop/api                   1      isolated       open
    shop/web                   2      isolated       open

    4 of 5 workloads are not isolated in at least one direction, 2 of them in none.
    ");
    let map = run("map shop.yaml --unprotected -o json").json();
    assert_eq!(map["unprotected"][1]["ingress"], json!("open"));
}

#[test]
fn exposed_by_every_way() {
    insta::assert_snapshot!(run("map ways.yaml --exposed").out);
    let map = run("map ways.yaml --exposed -o json").json();
    let found: Vec<String> = map["exposed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| format!("{} {} {}", e["workload"]["name"], e["way"]["kind"], e["verdict"]).replace('"', ""))
        .collect();
    assert_eq!(
        found,
        [
            "edge-0 Direct allowed",
            "controller Direct allowed",
            "admin NodePort denied",
            "admin Ingress denied",
            "api Ingress allowed",
            "api HTTPRoute denied",
            "db ExternalIPs allowed",
            "db TCPRoute denied",
            "db Direct allowed",
            "web LoadBalancer allowed",
            "web NodePort allowed",
            "web Direct allowed",
        ]
    );
    let refused = run("map ways.yaml --exposed -o svg");
    assert!(refused.err.contains("error: --exposed has no -o svg\n"), "{}", refused.err);
}

#[test]
fn a_controller_that_is_not_there_is_told() {
    let text = "
{kind: Pod, apiVersion: v1, metadata: {name: web, labels: {app: web}}, spec: {}}
---
{kind: Service, apiVersion: v1, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
---
{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: {name: deny}, spec: {podSelector: {}}}
";
    let run = run_with("map - --exposed -o csv", text);
    insta::assert_snapshot!(run.out.replace("\r\n", "\n"), @r#"
    workload,ports,from,way,verdict,because
    default/web,TCP 80,external,"Ingress default/web, Service default/web port 80 to TCP 80",unknown,through Ingress default/web: the controller's pods need to reach it
    "#);
}

#[test]
fn services_that_show_their_clients_and_those_that_show_a_node() {
    insta::assert_snapshot!(run("map doors.yaml --exposed").out);
    let map = run("map doors.yaml --exposed -o json").json();
    let found: Vec<String> = map["exposed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let way = &e["way"];
            format!("{} {} {} {}", e["workload"]["name"], way["kind"], way["clientAddress"], e["from"])
                .replace('"', "")
        })
        .collect();
    assert_eq!(
        found,
        [
            "closed NodePort hidden all",
            "inner LoadBalancer hidden [203.0.113.0/24]",
            "inner NodePort hidden all",
            "inner Direct null [10.0.0.0,10.0.0.2-10.0.0.255]",
            "web LoadBalancer kept [192.0.2.128/25]",
            "web NodePort kept [192.0.2.0/24]",
            "web LoadBalancer hidden [192.0.2.0/24]",
            "web LoadBalancer kept all",
            "web Direct null [192.0.2.0/24]",
        ]
    );
}

#[test]
fn a_service_that_a_server_would_refuse_is_an_error() {
    let service = |spec: &str| {
        let text = format!("{{kind: Service, apiVersion: v1, metadata: {{name: web}}, spec: {{{spec}}}}}");
        let run = run_with("map - --exposed", &text);
        (run.status, run.err)
    };
    for (spec, message) in [
        ("externalTrafficPolicy: local", "`local` is no external traffic policy"),
        ("loadBalancerSourceRanges: [192.0.2.0/33]", "`192.0.2.0/33` is no address range"),
        ("allocateLoadBalancerNodePorts: maybe", "true or false"),
    ] {
        let (status, err) = service(spec);
        assert!(status == 2 && err.contains(message), "{spec}: {status} {err}");
    }
    assert_eq!(service("externalTrafficPolicy: \"\"").0, 0);
}

/// An Ingress for a page of its own controller, which a policy isolates.
#[test]
fn a_controller_and_its_own_workload() {
    let verdict = |kind: &str, spec: &str, policy: &str| {
        let text = format!(
            "
kind: {kind}
apiVersion: apps/v1
metadata: {{name: controller}}
spec:
  {spec}
  selector: {{matchLabels: {{app.kubernetes.io/name: traefik}}}}
  template:
    metadata: {{labels: {{app.kubernetes.io/name: traefik}}}}
    spec: {{}}
---
kind: Service
apiVersion: v1
metadata: {{name: page}}
spec: {{selector: {{app.kubernetes.io/name: traefik}}, ports: [{{port: 9000}}]}}
---
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {{name: page}}
spec: {{defaultBackend: {{service: {{name: page, port: {{number: 9000}}}}}}}}
---
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: {{name: all}}
spec: {{podSelector: {{}}, policyTypes: [Ingress]{policy}}}
"
        );
        let run = run_with("map - --exposed -o json", &text);
        assert_eq!(run.status, 0, "{}", run.err);
        let map = run.json();
        let line = &map["exposed"][0];
        let because = line["because"].as_str().unwrap().replace("through Ingress default/page; ", "");
        format!("{}: {because}", line["verdict"].as_str().unwrap())
    };
    let others =
        "denied: default/controller may reach itself, but not its other pods: isolated by default/all (-:22)";
    assert_eq!(verdict("Deployment", "replicas: 2", ""), others);
    assert_eq!(verdict("DaemonSet", "", ""), others);
    assert_eq!(
        verdict("Deployment", "replicas: 1", ""),
        "allowed: default/controller may reach it: a pod always reaches itself"
    );
    let own = ", ingress: [{from: [{podSelector: {}}], ports: [{port: 9000}]}]";
    let may = "allowed: default/controller may reach it: default/all ingress rule 0, -:25";
    assert_eq!(verdict("Deployment", "replicas: 2", own), may);
    let port = ", ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]";
    assert_eq!(verdict("Deployment", "replicas: 2", port), others);
}

/// A block over two ranges of pods is no way from outside; one beyond them is, for what is beyond.
#[test]
fn where_pods_live_is_not_outside() {
    let shop = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {containers: [{name: c}]}\n---\n\
                apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\n\
                spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/23}}]}]}\n";
    let exposed = |ranges: &str| run_with(&format!("map --exposed - {ranges}"), shop).out;
    let both = exposed("--pod-cidr 10.0.0.0/24 --pod-cidr 10.0.1.0/24");
    assert!(both.contains("0 of 1 workloads can be reached"), "{both}");
    let one = exposed("--pod-cidr 10.0.0.0/24");
    assert!(one.contains("1 of 1 workloads") && one.contains("   10.0.1.0/24   "), "{one}");
}
