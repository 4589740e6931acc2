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

#[test]
fn unprotected() {
    insta::assert_snapshot!(run("map shop.yaml --unprotected").out, @"
    WORKLOAD                   PODS   INGRESS        EGRESS
    monitoring/node-exporter   1      host network   host network
    monitoring/prometheus      1      open           open
    shop/api                   1      isolated       open
    shop/web                   2      isolated       open

    4 of 5 workloads are not isolated in a direction, 2 in neither.
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
