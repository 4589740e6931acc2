//! A cluster as input: an API server double that has lists, pages, missing kinds and forbidden ones.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::{Run, folder, run_in};

/// Answers by path; what is not there is not found.
#[derive(Clone, Default)]
struct Double {
    lists: BTreeMap<&'static str, Vec<Value>>,
    forbidden: Vec<&'static str>,
    /// The first list of this path breaks off after its first page.
    gone: Option<&'static str>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Double {
    fn new() -> Double {
        let mut double = Double::default();
        double.has("/api/v1/namespaces", "Namespace", vec![json!({"metadata": {"name": "shop"}})]);
        double.has("/api/v1/nodes", "Node", vec![]);
        let pod = |name: &str, app: &str, address: &str| {
            json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
                   "spec": {"containers": [{"name": "a", "image": "a"}]},
                   "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}})
        };
        double.has(
            "/api/v1/pods",
            "Pod",
            vec![
                pod("web-1", "web", "10.0.0.1"),
                pod("db-0", "db", "10.0.0.2"),
                pod("job", "job", "10.0.0.3"),
            ],
        );
        double.has(
            "/apis/networking.k8s.io/v1/networkpolicies",
            "NetworkPolicy",
            vec![json!({"metadata": {"name": "db", "namespace": "shop"},
                        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"],
                                 "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                                              "ports": [{"protocol": "TCP", "port": 5432}]}]}})],
        );
        double
    }

    fn has(&mut self, path: &'static str, kind: &str, items: Vec<Value>) {
        let _ = kind;
        self.lists.insert(path, items);
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
        if self.forbidden.contains(&path) {
            return status(403, "may not list it");
        }
        let Some(items) = self.lists.get(path) else { return status(404, "not found") };
        let kind = match path.rsplit('/').next() {
            Some("networkpolicies") => "NetworkPolicyList",
            Some("pods") => "PodList",
            Some("namespaces") => "NamespaceList",
            Some("clusternetworkpolicies") => "ClusterNetworkPolicyList",
            _ => "NodeList",
        };
        let version = path.trim_start_matches("/apis/").trim_start_matches("/api/");
        let version = version.rsplit_once('/').map_or(version, |(version, _)| version);
        let version = version.split("/namespaces/").next().unwrap_or(version);
        let list = |items: &[Value], next: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"continue": next}, "items": items});
        // One item a page, where pages are asked for and there is more than one.
        let from: usize = query.split_once("continue=").map_or(0, |(_, token)| token.parse().unwrap());
        if from > 0 && self.gone == Some(path) {
            return status(410, "too old");
        }
        if !query.contains("limit=") || items.len() <= 1 {
            return (200, list(items, ""));
        }
        let next = if from + 1 < items.len() { (from + 1).to_string() } else { String::new() };
        (200, list(&items[from..=from], &next))
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
fn a_list_whose_pages_are_gone_is_asked_for_again() {
    let double = Double { gone: Some("/api/v1/pods"), ..Double::new() };
    let run = double.run("cluster-gone", "explain shop/web-1 shop/db-0:5432");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(double.asked.lock().unwrap().contains(&"/api/v1/pods".to_owned()));
}

#[test]
fn what_verdicts_need_must_be_readable() {
    let mut double = Double::new();
    double.forbidden.push("/apis/networking.k8s.io/v1/networkpolicies");
    let run = double.run("cluster-forbidden", "map");
    assert_eq!((run.status, run.out.as_str()), (2, ""), "{run:?}");
    assert!(run.err.starts_with("error: networkpolicies.networking.k8s.io may not be listed"), "{run:?}");
    assert!(run.err.contains("docs/cluster.md"), "{run:?}");
    // What only gives names is left out, and said.
    let mut double = Double::new();
    double.forbidden.push("/apis/apps/v1/deployments");
    let run = double.run("cluster-names", "map");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.err.starts_with("note: deployments.apps may not be listed, and are left out"), "{run:?}");
}

#[test]
fn cluster_wide_policies_that_may_not_be_read_are_an_error() {
    let mut double = Double::new();
    double.forbidden.push("/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies");
    assert_eq!(double.run("cluster-wide", "map").status, 2);
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
