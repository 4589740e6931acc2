//! A cluster as input: an API server double that has lists, pages, missing kinds and forbidden ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::{Run, folder, run_as, run_in};

/// Answers by path; what is not there is not found.
#[derive(Clone, Default)]
struct Double {
    lists: BTreeMap<String, (&'static str, Vec<Value>)>,
    /// Answered instead, whatever is there.
    answers: BTreeMap<&'static str, (u16, Value)>,
    /// What lists from their second page on are answered with, once.
    later: Option<(&'static str, u16)>,
    /// It tells group by group what it serves, as before Kubernetes 1.26.
    is_old: bool,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Double {
    fn new() -> Double {
        let mut double = Double::default();
        double.has("v1", "Namespace", "namespaces", vec![json!({"metadata": {"name": "shop"}})]);
        for (kind, plural) in
            [("Node", "nodes"), ("Service", "services"), ("ReplicationController", "replicationcontrollers")]
        {
            double.has("v1", kind, plural, vec![]);
        }
        let pod = |name: &str, app: &str, address: &str| {
            json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
                   "spec": {"containers": [{"name": "a", "image": "a"}]},
                   "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}})
        };
        let pods = vec![
            pod("web-1", "web", "10.0.0.1"),
            pod("db-0", "db", "10.0.0.2"),
            pod("job", "job", "10.0.0.3"),
        ];
        double.has("v1", "Pod", "pods", pods);
        double.has("apps/v1", "Deployment", "deployments", vec![]);
        double.has(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            "networkpolicies",
            vec![json!({"metadata": {"name": "db", "namespace": "shop"},
                        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"],
                                 "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                                              "ports": [{"protocol": "TCP", "port": 5432}]}]}})],
        );
        double
    }

    /// Serves a kind, with these objects.
    fn has(&mut self, version: &str, kind: &'static str, plural: &str, items: Vec<Value>) {
        let root = if version.contains('/') { "apis" } else { "api" };
        self.lists.insert(format!("/{root}/{version}/{plural}"), (kind, items));
    }

    /// Lets nobody list it.
    fn forbids(&mut self, path: &'static str) {
        self.answers.insert(path, status(403, "may not list it"));
    }

    /// What is served beyond the core's, as version, plural and kind.
    fn served(&self) -> Vec<(String, String, &'static str)> {
        let served = self.lists.iter().filter_map(|(path, (kind, _))| {
            let (version, plural) = path.strip_prefix("/apis/")?.rsplit_once('/')?;
            Some((version.to_owned(), plural.to_owned(), *kind))
        });
        served.filter(|(version, ..)| !version.contains("/namespaces/")).collect()
    }

    /// Serves until the test ends; runs a command against it.
    fn run(&self, name: &str, arguments: &str) -> Run {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
             clusters: [{{name: one, cluster: {{server: '{server}'}}}}]\n\
             contexts: [{{name: one, context: {{cluster: one, user: me}}}}]\n\
             users: [{{name: me, user: {{token: secret}}}}]\n"
        );
        let folder = folder(name, &[("config", config.as_bytes())]);
        let double = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let double = double.clone();
                std::thread::spawn(move || double.serve(stream));
            }
        });
        run_in(&folder, &format!("{arguments} --kubeconfig config"), "")
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut authorized = false;
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                authorized |= header.to_ascii_lowercase().starts_with("authorization: bearer secret");
                if header.trim().is_empty() {
                    break;
                }
            }
            let (code, body) = if authorized { self.answer(&target) } else { status(401, "Unauthorized") };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let stream = reader.get_mut();
            if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
                return;
            }
        }
    }

    fn answer(&self, target: &str) -> (u16, Value) {
        self.asked.lock().unwrap().push(target.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if let Some(answer) = self.answers.get(path) {
            return answer.clone();
        }
        let Some((kind, items)) = self.lists.get(path) else { return self.about_itself(path) };
        let version = path.trim_start_matches("/apis/").trim_start_matches("/api/");
        let version = version.rsplit_once('/').map_or(version, |(version, _)| version);
        let version = version.split("/namespaces/").next().unwrap_or(version);
        let kind = format!("{kind}List");
        let list = |items: &[Value], next: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"continue": next}, "items": items});
        // One item a page, where pages are asked for and there is more than one.
        let from: usize = query.split_once("continue=").map_or(0, |(_, token)| token.parse().unwrap());
        if let Some((of, code)) = self.later
            && from > 0
            && of == path
        {
            return status(code, "no such page");
        }
        if !query.contains("limit=") || items.len() <= 1 {
            return (200, list(items, ""));
        }
        let next = if from + 1 < items.len() { (from + 1).to_string() } else { String::new() };
        (200, list(&items[from..=from], &next))
    }

    /// Discovery: all at once, or group by group.
    fn about_itself(&self, path: &str) -> (u16, Value) {
        let served = self.served();
        let versions: BTreeSet<&String> = served.iter().map(|(version, ..)| version).collect();
        let of = |wanted: &str| {
            let of_version = served.iter().filter(|(version, ..)| version == wanted);
            of_version.cloned().collect::<Vec<_>>()
        };
        if path == "/apis" && self.is_old {
            let group = |version: &&String| json!({"name": version.split('/').next(), "versions": [{"groupVersion": version}]});
            let groups: Vec<Value> = versions.iter().map(group).collect();
            return (200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}));
        }
        if path == "/apis" {
            let group = |version: &&String| {
                let (name, short) = version.split_once('/').unwrap();
                let resource = |(_, plural, kind): (String, String, &str)| {
                    json!({"resource": plural, "responseKind": {"group": name, "version": short, "kind": kind},
                           "scope": "Namespaced", "verbs": ["list"]})
                };
                let resources: Vec<Value> = of(version).into_iter().map(resource).collect();
                json!({"metadata": {"name": name}, "versions": [{"version": short, "freshness": "Current", "resources": resources}]})
            };
            let groups: Vec<Value> = versions.iter().map(group).collect();
            return (
                200,
                json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": groups}),
            );
        }
        let resource = |(_, plural, kind): (String, String, &str)| json!({"name": plural, "namespaced": true, "kind": kind, "verbs": ["list"]});
        match path.strip_prefix("/apis/").map(of) {
            Some(resources) if !resources.is_empty() => {
                let resources: Vec<Value> = resources.into_iter().map(resource).collect();
                (200, json!({"kind": "APIResourceList", "apiVersion": "v1", "resources": resources}))
            }
            _ => status(404, "not found"),
        }
    }
}

fn status(code: u16, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": message, "code": code}),
    )
}

#[test]
fn a_cluster_is_read_like_manifests() {
    let double = Double::new();
    let run = double.run("cluster", "explain shop/web-1 shop/db-0:5432");
    assert_eq!(
        (run.status, run.out.lines().next()),
        (0, Some("allowed: shop/web-1 may connect to shop/db-0 on TCP 5432")),
        "{run:?}"
    );
    let run = double.run("cluster-denied", "explain shop/job shop/db-0:5432");
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.out.contains("shop/db ingress rule 0\n"), "{run:?}");
    assert!(run.out.contains("path: /spec/ingress/0/from/-"), "{run:?}");
    let asked = double.asked.lock().unwrap().clone();
    assert!(asked.contains(&"/api/v1/pods?limit=500&continue=2".to_owned()), "pages: {asked:?}");
}

#[test]
fn every_question_can_be_put_to_a_cluster() {
    let double = Double::new();
    let run = double.run("cluster-check", "check --fail-on never -o json");
    assert_eq!((run.status, run.json()["version"].as_u64()), (0, Some(1)), "{run:?}");
    let run = double.run("cluster-normalize", "normalize");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.out.contains("kind: NetworkPolicy\nmetadata:\n  name: db\n  namespace: shop\n"), "{run:?}");
    let assertions = folder(
        "cluster-assertions",
        &[("a.yaml", b"assertions:\n- {name: db, deny: {from: {workload: job}, to: {workload: db-0}, ports: [5432]}}\n")],
    );
    let run = double.run("cluster-verify", &format!("verify -a {}", assertions.join("a.yaml").display()));
    assert_eq!(run.status, 0, "{run:?}");
    let run = double.run("cluster-diff", "diff cluster: cluster:one");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.out.starts_with("equivalent: "), "{run:?}");
    let run = double.run("cluster-diff-other", "diff cluster: cluster:other");
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.err.contains("NEW (cluster:other)"), "{run:?}");
    // There are no files to mend.
    assert_eq!(double.run("cluster-fix", "check --fix").status, 2);
}

#[test]
fn an_old_server_tells_group_by_group_what_it_serves() {
    let mut double = Double { is_old: true, ..Double::new() };
    double.has(
        "cilium.io/v2",
        "CiliumNetworkPolicy",
        "ciliumnetworkpolicies",
        vec![json!({"metadata": {"name": "c"}})],
    );
    let run = double.run("cluster-old", "explain shop/web-1 shop/db-0:5432");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.err.contains("CiliumNetworkPolicy of cilium.io is another product's policy"), "{run:?}");
}

#[test]
fn a_list_whose_pages_are_gone_is_asked_for_again() {
    let double = Double { later: Some(("/api/v1/pods", 410)), ..Double::new() };
    let run = double.run("cluster-gone", "explain shop/web-1 shop/db-0:5432");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(double.asked.lock().unwrap().contains(&"/api/v1/pods".to_owned()));
}

#[test]
fn half_a_list_and_no_list_are_errors() {
    let double = Double { later: Some(("/api/v1/pods", 404)), ..Double::new() };
    let run = double.run("cluster-half", "map");
    assert_eq!((run.status, run.out.as_str()), (2, ""), "{run:?}");
    assert!(run.err.ends_with("/api/v1/pods with: no such page\n"), "{run:?}");
    for (place, (path, answer)) in [
        ("/api/v1/pods", json!({})),
        ("/api/v1/pods", json!({"kind": "PodList"})),
        ("/api/v1/pods", json!({"kind": "Pod", "items": []})),
        ("/apis/networking.k8s.io/v1/networkpolicies", json!([])),
        ("/apis", json!({})),
        ("/apis", json!({"kind": "APIGroupList"})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut double = Double::new();
        double.answers.insert(path, (200, answer.clone()));
        let run = double.run(&format!("cluster-strange-{place}"), "map");
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{answer}: {run:?}");
        assert!(run.err.contains(&format!(" answered {path} with: something that ")), "{answer}: {run:?}");
    }
}

#[test]
fn what_verdicts_need_must_be_readable() {
    let mut double = Double::new();
    double.forbids("/apis/networking.k8s.io/v1/networkpolicies");
    let run = double.run("cluster-forbidden", "map");
    assert_eq!((run.status, run.out.as_str()), (2, ""), "{run:?}");
    assert!(run.err.starts_with("error: networkpolicies.networking.k8s.io may not be listed"), "{run:?}");
    assert!(run.err.contains("docs/cluster.md"), "{run:?}");
    // What only gives names is left out, and said.
    let mut double = Double::new();
    double.forbids("/apis/apps/v1/deployments");
    let run = double.run("cluster-names", "map");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.err.starts_with("note: deployments.apps may not be listed, and are left out"), "{run:?}");
    // A cluster without the kind, and one that does not say what it serves.
    let mut double = Double::new();
    double.lists.remove("/apis/networking.k8s.io/v1/networkpolicies");
    let run = double.run("cluster-without", "map");
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.err.contains("networkpolicies with: no such kind of object"), "{run:?}");
    let mut double = Double::new();
    double.forbids("/apis");
    let run = double.run("cluster-silent", "map");
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.err.starts_with("error: what the cluster serves (/apis) may not be listed"), "{run:?}");
}

#[test]
fn one_namespace_is_enough_for_who_asks_for_it() {
    let mut double = Double::new();
    for (version, plural) in [("/api/v1", "pods"), ("/apis/networking.k8s.io/v1", "networkpolicies")] {
        let list = double.lists[&format!("{version}/{plural}")].clone();
        double.lists.insert(format!("{version}/namespaces/shop/{plural}"), list);
    }
    double.forbids("/api/v1/pods");
    double.forbids("/apis/networking.k8s.io/v1/networkpolicies");
    let run = double.run("cluster-namespace", "explain job db-0:5432 -n shop");
    assert_eq!(run.status, 1, "{run:?}");
    let note =
        "note: in namespace shop only may be listed: pods, networkpolicies.networking.k8s.io; the answer";
    assert!(run.err.starts_with(note), "{run:?}");
    assert_eq!(double.run("cluster-namespaces", "explain shop/job shop/db-0:5432").status, 2);
}

/// A policy of the whole cluster that is in nobody's way.
fn cluster_policy(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"tier": "Admin", "priority": 1,
           "subject": {"namespaces": {"matchLabels": {"no": "such"}}},
           "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]}})
}

const POLICIES: &str = "policy.networking.k8s.io";

#[test]
fn cluster_wide_policies_that_may_not_be_read_are_an_error() {
    let mut double = Double::new();
    double.has(
        &format!("{POLICIES}/v1alpha2"),
        "ClusterNetworkPolicy",
        "clusternetworkpolicies",
        vec![cluster_policy("a")],
    );
    assert_eq!(double.run("cluster-wide-read", "map").status, 0);
    double.forbids("/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies");
    assert_eq!(double.run("cluster-wide", "map").status, 2);
}

#[test]
fn policies_in_a_version_or_of_a_kind_that_is_not_read() {
    // Of what there is none, nothing is lost.
    for (place, (kind, plural, code)) in [
        ("ClusterNetworkPolicy", "clusternetworkpolicies", "unknown-version"),
        ("TenantPolicy", "tenantpolicies", "unsupported-kind"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut double = Double::new();
        double.has(&format!("{POLICIES}/v1"), kind, plural, vec![]);
        let run = double.run(&format!("cluster-none-of-{place}"), "map");
        assert_eq!((run.status, run.err.as_str()), (0, ""), "{run:?}");
        double.has(&format!("{POLICIES}/v1"), kind, plural, vec![cluster_policy("a")]);
        let run = double.run(&format!("cluster-some-of-{place}"), "map");
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{run:?}");
        assert!(run.err.contains(&format!("error[{code}]")) && run.err.contains("not supported"), "{run:?}");
        assert_eq!(double.run(&format!("cluster-skip-{place}"), "map --skip-invalid").status, 0);
    }
    // Beside one that is read, what only the other says is not seen.
    let mut double = Double::new();
    for version in ["v1alpha2", "v1"] {
        double.has(
            &format!("{POLICIES}/{version}"),
            "ClusterNetworkPolicy",
            "clusternetworkpolicies",
            vec![cluster_policy("a")],
        );
    }
    let run = double.run("cluster-both", "map");
    assert_eq!(
        (run.status, run.err.as_str()),
        (
            0,
            "note: clusternetworkpolicies.policy.networking.k8s.io are read in policy.networking.k8s.io/v1alpha2; what they say only in policy.networking.k8s.io/v1 is not seen\n"
        ),
        "{run:?}"
    );
}

#[test]
fn other_products_policies_are_warned_of() {
    let mut double = Double::new();
    let calico = "crd.projectcalico.org/v1";
    double.has("cilium.io/v2", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies", vec![]);
    double.has(
        calico,
        "NetworkPolicy",
        "networkpolicies",
        vec![json!({"metadata": {"name": "a"}}), json!({"metadata": {"name": "b"}})],
    );
    double.has(calico, "IPPool", "ippools", vec![json!({"metadata": {"name": "a"}})]);
    let run = double.run("cluster-foreign", "map");
    assert_eq!(run.status, 0, "{run:?}");
    assert_eq!(run.err.matches("warning[foreign-policy]").count(), 1, "{run:?}");
    assert!(
        run.err.contains("NetworkPolicy of crd.projectcalico.org is another product's policy"),
        "{run:?}"
    );
    let asked = double.asked.lock().unwrap().clone();
    assert!(!asked.iter().any(|path| path.contains("ippools")), "{asked:?}");
    assert!(asked.contains(&format!("/apis/{calico}/networkpolicies?limit=1")), "one is enough: {asked:?}");
    // Unknown is not none.
    double.forbids("/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies");
    let run = double.run("cluster-foreign-forbidden", "map");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(
        run.err.contains("note: ciliumclusterwidenetworkpolicies.cilium.io are another product's"),
        "{run:?}"
    );
}

#[test]
fn ways_in_by_gateways() {
    let mut double = Double::new();
    let gateway = "gateway.networking.k8s.io";
    double.has(
        "v1",
        "Service",
        "services",
        vec![json!({"metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})],
    );
    double.has(
        &format!("{gateway}/v1"),
        "Gateway",
        "gateways",
        vec![json!({"metadata": {"name": "front", "namespace": "shop"},
        "spec": {"gatewayClassName": "c", "listeners": [{"name": "l", "port": 443, "protocol": "HTTPS"}]}})],
    );
    double.has(&format!("{gateway}/v1alpha2"), "TCPRoute", "tcproutes", vec![json!({"metadata": {"name": "way", "namespace": "shop"},
        "spec": {"parentRefs": [{"name": "front"}], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}})]);
    let run = double.run("cluster-gateway", "map --exposed");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.out.contains("TCPRoute"), "{run:?}");
    double.forbids("/apis/gateway.networking.k8s.io/v1alpha2/tcproutes");
    let run = double.run("cluster-gateway-forbidden", "map --exposed");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(
        run.err.contains("note: tcproutes.gateway.networking.k8s.io may not be listed, and are left out"),
        "{run:?}"
    );
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_an_error() {
    let files: [(&str, &[u8]); 2] = [("broken", b"clusters: [\n"), (".kube/config", b"clusters: [\n")];
    let folder = folder("cluster-broken", &files);
    let home = folder.to_str().unwrap();
    for (arguments, kubeconfig, why) in [
        ("map --kubeconfig broken", "", "the kubeconfig broken cannot be used: failed to parse"),
        ("map --kubeconfig missing", "", "the kubeconfig missing cannot be used: failed to read"),
        ("map", "broken", "the kubeconfig cannot be used: failed to parse"),
        ("map", "missing", "the kubeconfig cannot be used: "),
        // Its usual place.
        ("map", "", "the kubeconfig cannot be used: failed to parse"),
    ] {
        let run = run_as(&folder, arguments, "", &[("HOME", home), ("KUBECONFIG", kubeconfig)]);
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{arguments}, {kubeconfig:?}: {run:?}");
        assert!(run.err.starts_with(&format!("error: {why}")), "{arguments}, {kubeconfig:?}: {run:?}");
    }
}

#[test]
fn no_cluster_to_be_asked() {
    let run = run_in(&folder("cluster-none", &[]), "map --kubeconfig missing", "");
    assert_eq!(run.status, 2);
    assert!(run.err.starts_with("error: the kubeconfig missing cannot be used"), "{run:?}");
    let config = "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
                  clusters: [{name: one, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                  contexts: [{name: one, context: {cluster: one, user: me}}]\nusers: [{name: me, user: {}}]\n";
    let run =
        run_in(&folder("cluster-away", &[("config", config.as_bytes())]), "map --kubeconfig config", "");
    assert_eq!(run.status, 2);
    assert!(run.err.starts_with("error: http://127.0.0.1:1 does not answer"), "{run:?}");
}
