//! Reading what runs pods, Services and Namespaces, and the world that they make.

#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use ringfence_k8s::{ReadOptions, Reading, TargetPort, read};

fn reading(text: &str) -> Reading {
    read([("f", text)], &ReadOptions::default())
}

fn found(reading: &Reading) -> Vec<String> {
    let place = |f: &ringfence_k8s::Finding| {
        f.place.as_ref().map_or("?".to_owned(), |p| format!("{}:{}", p.line, p.column))
    };
    reading.findings.iter().map(|f| format!("{} {} {}", place(f), f.level, f.code)).collect()
}

/// The pods of the world as `workload kind/name xcount {labels} [ports]`.
fn pods(reading: &Reading) -> Vec<String> {
    let labels = |l: &ringfence_policy::Labels| {
        l.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
    };
    reading
        .inventory
        .world()
        .pods
        .iter()
        .map(|p| {
            let ports: Vec<String> =
                p.named_ports.iter().map(|n| format!("{}={}/{}", n.name, n.port, n.protocol)).collect();
            let host = if p.host_network { " host" } else { "" };
            format!(
                "{}/{}/{} x{} {{{}}} [{}]{host}",
                p.namespace,
                p.workload.kind,
                p.workload.name,
                p.count,
                labels(&p.labels),
                ports.join(",")
            )
        })
        .collect()
}

#[track_caller]
fn check(text: &str, expect: &[&str], findings: &[&str]) {
    let reading = reading(text);
    assert_eq!(found(&reading), findings, "{text}\n{:#?}", reading.findings);
    assert_eq!(pods(&reading), expect, "{text}");
}

#[test]
fn controllers() {
    let spec = "{replicas: 3, template: {metadata: {labels: {a: b}}}}";
    for (version, kind) in [
        ("apps/v1", "Deployment"),
        ("extensions/v1beta1", "Deployment"),
        ("apps/v1beta2", "StatefulSet"),
        ("apps/v1", "ReplicaSet"),
        ("v1", "ReplicationController"),
    ] {
        check(
            &format!(
                "{{apiVersion: {version}, kind: {kind}, metadata: {{name: w, namespace: ns}}, spec: {spec}}}"
            ),
            &[&format!("ns/{kind}/w x3 {{a=b}} []")],
            &[],
        );
    }
    check(
        &format!("{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: w}}, spec: {spec}}}"),
        &["default/DaemonSet/w x1 {a=b} []"],
        &[],
    );
    check(
        "{apiVersion: batch/v1, kind: Job, metadata: {name: w}, spec: {completions: 5, template: {metadata: {labels: {a: b}}}}}",
        &["default/Job/w x1 {a=b,batch.kubernetes.io/job-name=w,job-name=w} []"],
        &[],
    );
    check(
        "{apiVersion: batch/v1beta1, kind: CronJob, metadata: {name: w}, spec: {jobTemplate: {spec: {template: {metadata: {labels: {a: b}}}}}}}",
        &["default/CronJob/w x1 {a=b} []"],
        &[],
    );
    check(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 0, template: {}}}",
        &[],
        &[],
    );
    check(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {template: {metadata: null, spec: {}}}}",
        &["default/Deployment/w x1 {} []"],
        &[],
    );
}

#[test]
fn broken_workloads_are_errors_with_a_place() {
    let deployment = |spec: &str, findings: &[&str]| {
        check(
            &format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: w\nspec:\n{spec}"),
            &[],
            findings,
        );
    };
    deployment("  replicas: 1\n", &["4:9 error missing-field"]);
    deployment("  replicas: '1'\n  template: {}\n", &["6:13 error wrong-type"]);
    deployment("  replicas: -1\n  template: {}\n", &["6:13 error invalid-replicas"]);
    deployment("  template: []\n", &["6:13 error wrong-type"]);
    deployment("  template: {metadata: {labels: {a: 1}}}\n", &["6:37 error wrong-type"]);
    deployment("  template: {metadata: {labels: {a: x y}}}\n", &["6:37 error invalid-label"]);
    deployment("  template: {spec: {hostNetwork: \"true\"}}\n", &["6:34 error wrong-type"]);
    deployment("  template: {spec: {containers: {}}}\n", &["6:33 error wrong-type"]);
    deployment(
        "  template:\n    spec:\n      containers:\n      - ports:\n        - containerPort: 0\n",
        &["10:26 error invalid-port"],
    );
    deployment(
        "  template:\n    spec:\n      containers:\n      - ports:\n        - containerport: 80\n",
        &["10:11 error missing-field"],
    );
    check("apiVersion: v1\nkind: Pod\nmetadata: {name: 1}\n", &[], &["3:18 error wrong-type"]);
    check(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: A}\n",
        &["default/Pod/A x1 {} []"],
        &["3:18 warning invalid-name"],
    );
}

#[test]
fn ports_of_containers_and_sidecars() {
    check(
        "apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  hostNetwork: true
  initContainers:
  - name: setup
    ports: [{name: setup, containerPort: 1}]
  - name: sidecar
    restartPolicy: Always
    ports: [{name: metrics, containerPort: 9090}]
  containers:
  - ports:
    - {name: http, containerPort: 80}
    - {name: dns, containerPort: 53, protocol: UDP}
    - {containerPort: 81}
",
        &["default/Pod/p x1 {} [http=80/TCP,dns=53/UDP,metrics=9090/TCP] host"],
        &[],
    );
}

#[test]
fn pods_of_a_cluster_belong_to_their_controller() {
    let text = "
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec: {replicas: 2, template: {metadata: {labels: {app: web}}}}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {name: web-abc12, ownerReferences: [{kind: Deployment, name: web, controller: true}]}
  spec: {replicas: 2, template: {metadata: {labels: {app: web, pod-template-hash: abc12}}}}
- apiVersion: v1
  kind: Pod
  metadata:
    name: web-abc12-x
    labels: {app: web, pod-template-hash: abc12}
    ownerReferences: [{kind: ReplicaSet, name: web-abc12, controller: true}]
  spec: {nodeName: n1}
  status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: gone, ownerReferences: [{kind: ReplicaSet, name: other-1, controller: true}]}
  status: {phase: Succeeded}
- apiVersion: v1
  kind: Pod
  metadata: {name: odd, ownerReferences: [{kind: ReplicaSet, name: other-1, controller: true}, {kind: X, name: w}]}
";
    let reading = reading(text);
    assert_eq!(found(&reading), [""; 0]);
    assert_eq!(
        pods(&reading),
        [
            "default/Deployment/web x1 {app=web,pod-template-hash=abc12} []",
            "default/ReplicaSet/other-1 x1 {} []",
        ]
    );
    let world = reading.inventory.world();
    assert_eq!(world.pods[0].node.as_deref(), Some("n1"));
    assert_eq!(
        world.pods[0].addresses,
        ["10.0.0.1".parse::<std::net::IpAddr>().unwrap(), "fd00::1".parse().unwrap()]
    );
}

#[test]
fn controllers_that_other_controllers_own_are_not_counted_twice() {
    let text = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 2, template: {}}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-1, ownerReferences: [{kind: Deployment, name: web, controller: true}]}, spec: {replicas: 2, template: {}}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: api-1, ownerReferences: [{kind: Deployment, name: api, controller: true}]}, spec: {replicas: 1, template: {}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: self, ownerReferences: [{kind: Pod, name: self, controller: true}]}}
";
    check(
        text,
        &["default/Deployment/web x2 {} []", "default/Deployment/api x1 {} []", "default/Pod/self x1 {} []"],
        &[],
    );
}

#[test]
fn services() {
    let text = "
apiVersion: v1
kind: Service
metadata: {name: s, namespace: ns, annotations: {io.example/x: 'true'}}
spec:
  clusterIP: None
  selector: {app: a}
  ports:
  - {port: 80}
  - {port: 81, targetPort: 8081, protocol: UDP, name: x}
  - {port: 82, targetPort: http}
";
    let reading = reading(text);
    assert_eq!(found(&reading), [""; 0]);
    let service = &reading.inventory.services[0];
    assert_eq!((service.kind.as_str(), service.headless, service.ports.len()), ("ClusterIP", true, 3));
    let targets: Vec<&TargetPort> = service.ports.iter().map(|p| &p.target).collect();
    assert_eq!(
        targets,
        [&TargetPort::Number(80), &TargetPort::Number(8081), &TargetPort::Name("http".into())]
    );
    assert_eq!(service.annotations.get("io.example/x").map(String::as_str), Some("true"));
    let bad = |ports: &str, findings: &[&str]| {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec:\n  ports: {ports}\n");
        let reading = self::reading(&text);
        assert_eq!(found(&reading), findings, "{text}");
        assert!(reading.inventory.services.is_empty());
    };
    bad("[{port: '80'}]", &["5:18 error wrong-type"]);
    bad("[{targetPort: 80}]", &["5:11 error missing-field"]);
    bad("[{port: 80, targetPort: '80'}]", &["5:34 error invalid-port"]);
    bad("[{port: 80, protocol: tcp}]", &["5:32 error invalid-protocol"]);
    bad("{}", &["5:10 error wrong-type"]);
}

#[test]
fn namespaces() {
    let text = "
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {team: x, kubernetes.io/metadata.name: b}}
---
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {team: w}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: z}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ''}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: A}}
";
    let reading = reading(text);
    assert_eq!(
        found(&reading),
        ["4:39 warning namespace-name-label", "8:18 warning duplicate-name", "14:52 error invalid-name",]
    );
    let names: Vec<(String, usize)> =
        reading.inventory.world().namespaces.iter().map(|n| (n.name.clone(), n.labels.len())).collect();
    assert_eq!(names, [("a".to_owned(), 1), ("z".to_owned(), 0), ("default".to_owned(), 0)]);
    assert_eq!(reading.inventory.namespaces[0].labels["team"], "w");
}

#[test]
fn the_default_namespace_can_be_chosen() {
    let options = ReadOptions { default_namespace: "shop".into(), ..ReadOptions::default() };
    let reading = read([("f", "{apiVersion: v1, kind: Pod, metadata: {name: p}}")], &options);
    assert_eq!(reading.inventory.workloads[0].namespace, "shop");
}
