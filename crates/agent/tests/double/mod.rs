//! An API server double: it lists and watches as the real one does, and can be made to fail as the real one does.
//!
//! What it holds is changed from the test. Its faults are the ones that a watcher must survive: connections that break, a
//! history that is forgotten (410), kinds that are not there (404), lists in pages, and answers that take long.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

/// Kinds by the path of their list.
const KINDS: [(&str, &str, &str); 8] = [
    ("/api/v1/namespaces", "v1", "Namespace"),
    ("/api/v1/nodes", "v1", "Node"),
    ("/api/v1/pods", "v1", "Pod"),
    ("/api/v1/services", "v1", "Service"),
    ("/apis/networking.k8s.io/v1/networkpolicies", "networking.k8s.io/v1", "NetworkPolicy"),
    (
        "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",
        "policy.networking.k8s.io/v1alpha2",
        "ClusterNetworkPolicy",
    ),
    (
        "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies",
        "policy.networking.k8s.io/v1alpha1",
        "AdminNetworkPolicy",
    ),
    (
        "/apis/policy.networking.k8s.io/v1alpha1/baselineadminnetworkpolicies",
        "policy.networking.k8s.io/v1alpha1",
        "BaselineAdminNetworkPolicy",
    ),
];

type Key = (String, String);

#[derive(Default)]
struct State {
    version: u64,
    /// Nothing before this is remembered.
    oldest: u64,
    objects: BTreeMap<&'static str, BTreeMap<Key, Value>>,
    history: Vec<(u64, &'static str, &'static str, Value)>,
    absent: BTreeSet<&'static str>,
    /// A kind and the version in which alone it is served.
    elsewhere: Option<(String, String)>,
    is_down: bool,
    connections: Vec<TcpStream>,
    asked: Vec<String>,
    page: Option<usize>,
}

/// The double. Clones are one server.
#[derive(Clone)]
pub(crate) struct Double {
    state: Arc<(Mutex<State>, Condvar)>,
    pub(crate) address: SocketAddr,
}

impl Double {
    /// A server that holds nothing, on a port of the loopback interface.
    pub(crate) fn start() -> Double {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        state.0.lock().unwrap().version = 1;
        let double = Double { state, address };
        let server = double.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        double
    }

    /// A kubeconfig for it.
    pub(crate) fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
             clusters: [{{name: one, cluster: {{server: 'http://{}'}}}}]\n\
             contexts: [{{name: one, context: {{cluster: one, user: me}}}}]\n\
             users: [{{name: me, user: {{token: secret}}}}]\n",
            self.address
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    /// An object is as given from now on.
    pub(crate) fn put(&self, object: Value) {
        self.change(object, false);
    }

    /// An object is gone.
    pub(crate) fn delete(&self, object: Value) {
        self.change(object, true);
    }

    fn change(&self, mut object: Value, gone: bool) {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let path = KINDS.iter().find(|(.., k)| *k == kind).unwrap().0;
        let text = |v: &Value, key: &str| v["metadata"][key].as_str().unwrap_or_default().to_owned();
        let key = (text(&object, "namespace"), text(&object, "name"));
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("{}-{}", key.0, key.1));
        }
        let objects = state.objects.entry(path).or_default();
        let what = match (objects.contains_key(&key), gone) {
            (_, true) => "DELETED",
            (true, _) => "MODIFIED",
            (false, _) => "ADDED",
        };
        match gone {
            true => drop(objects.remove(&key)),
            false => drop(objects.insert(key, object.clone())),
        }
        state.history.push((version, path, what, object));
        drop(state);
        self.state.1.notify_all();
    }

    /// A kind is not known to the server, or is again.
    pub(crate) fn absent(&self, kind: &str, absent: bool) {
        let path = KINDS.iter().find(|(.., k)| *k == kind).unwrap().0;
        let mut state = self.lock();
        match absent {
            true => state.absent.insert(path),
            false => state.absent.remove(path),
        };
        if absent {
            state.objects.remove(path);
        }
        drop(state);
        self.disconnect();
    }

    /// A kind of the cluster's policies is served in another version only.
    pub(crate) fn elsewhere(&self, kind: &str, version: &str) {
        self.absent(kind, true);
        self.lock().elsewhere = Some((kind.to_owned(), version.to_owned()));
    }

    /// What is told of the groups and their kinds.
    fn discovery(&self, path: &str) -> Option<Value> {
        let (kind, version) = self.lock().elsewhere.clone()?;
        let group_version = format!("policy.networking.k8s.io/{version}");
        if path == "/apis/policy.networking.k8s.io" {
            return Some(json!({"kind": "APIGroup", "name": "policy.networking.k8s.io",
                               "versions": [{"groupVersion": group_version, "version": version}]}));
        }
        (path == format!("/apis/{group_version}")).then(|| {
            let resource = json!({"name": kind.to_lowercase(), "kind": kind, "namespaced": false, "verbs": ["list", "watch"]});
            json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": [resource]})
        })
    }

    /// All connections break.
    pub(crate) fn disconnect(&self) {
        for stream in self.lock().connections.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.state.1.notify_all();
    }

    /// The server is away, or back.
    pub(crate) fn down(&self, down: bool) {
        self.lock().is_down = down;
        if down {
            self.disconnect();
        }
    }

    /// What happened so far is forgotten: whoever asks for it must list anew.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.version += 1;
        state.oldest = state.version;
        state.history.clear();
    }

    /// Lists come in pages of this size.
    pub(crate) fn page(&self, size: usize) {
        self.lock().page = Some(size);
    }

    /// What was asked for so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(whole) = stream.try_clone() else { return };
        self.answer_all(stream);
        // A copy is kept for `disconnect`, and would keep the connection open without anybody behind it.
        let _ = whole.shutdown(Shutdown::Both);
    }

    fn answer_all(&self, stream: TcpStream) {
        let Ok(kept) = stream.try_clone() else { return };
        {
            let mut state = self.lock();
            if state.is_down {
                return;
            }
            state.connections.push(kept);
        }
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            loop {
                let mut header = String::new();
                if reader.read_line(&mut header).unwrap_or(0) == 0 {
                    return;
                }
                if header.trim().is_empty() {
                    break;
                }
            }
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            self.lock().asked.push(target.clone());
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let query: BTreeMap<&str, &str> = query.split('&').filter_map(|p| p.split_once('=')).collect();
            if let Some(answer) = self.discovery(path) {
                let _ = respond(reader.get_mut(), 200, &answer);
                continue;
            }
            let Some((path, version, kind)) = KINDS.iter().find(|(p, ..)| *p == path) else {
                let _ = respond(reader.get_mut(), 404, &status(404, "NotFound"));
                continue;
            };
            if self.lock().absent.contains(path) {
                let _ = respond(reader.get_mut(), 404, &status(404, "NotFound"));
                continue;
            }
            if query.get("watch") == Some(&"true") || query.get("watch") == Some(&"1") {
                let from = query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
                let _ = self.watch(reader.get_mut(), path, from);
                return;
            }
            let body = self.list(path, version, kind, query.get("continue").and_then(|c| c.parse().ok()));
            if respond(reader.get_mut(), 200, &body).is_err() {
                return;
            }
        }
    }

    fn list(&self, path: &str, version: &str, kind: &str, from: Option<usize>) -> Value {
        let state = self.lock();
        let all: Vec<Value> = state.objects.get(path).into_iter().flat_map(|o| o.values().cloned()).collect();
        let from = from.unwrap_or(0);
        let size = state.page.unwrap_or(usize::MAX);
        let items: Vec<Value> = all.iter().skip(from).take(size).cloned().map(bare).collect();
        let end = from + items.len();
        let go_on = if end < all.len() { end.to_string() } else { String::new() };
        json!({"kind": format!("{kind}List"), "apiVersion": version,
               "metadata": {"resourceVersion": state.version.to_string(), "continue": go_on}, "items": items})
    }

    fn watch(&self, stream: &mut TcpStream, path: &str, from: u64) -> std::io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        let mut told = from;
        let mut state = self.lock();
        loop {
            if told < state.oldest {
                let error = json!({"type": "ERROR", "object": status(410, "Expired")});
                return chunk(stream, &error).and_then(|()| stream.write_all(b"0\r\n\r\n"));
            }
            let news: Vec<(u64, &str, Value)> = (state.history.iter())
                .filter(|(version, p, ..)| *version > told && *p == path)
                .map(|(version, _, what, object)| (*version, *what, object.clone()))
                .collect();
            let latest = state.version;
            drop(state);
            for (version, what, object) in news {
                chunk(stream, &json!({"type": what, "object": object}))?;
                told = version;
            }
            if told < latest {
                // As the real one tells now and then how far it is, so that not everything is asked for again.
                let kind = KINDS.iter().find(|(p, ..)| *p == path).map(|(_, version, kind)| (version, kind));
                let (version, kind) = kind.unwrap();
                let meta = json!({"resourceVersion": latest.to_string()});
                chunk(
                    stream,
                    &json!({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": version, "metadata": meta}}),
                )?;
                told = latest;
            }
            state = self.lock();
            if state.is_down {
                return Ok(());
            }
            if state.version == told {
                state = self.state.1.wait_timeout(state, Duration::from_millis(500)).unwrap().0;
            }
        }
    }
}

/// In a list an object does not say what it is.
fn bare(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code})
}

fn respond(stream: &mut TcpStream, code: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn chunk(stream: &mut TcpStream, value: &Value) -> std::io::Result<()> {
    let text = format!("{value}\n");
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"kind": "Namespace", "metadata": {"name": name}})
}

pub(crate) fn node(name: &str, range: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": range, "podCIDRs": [range]}, "status": {}})
}

pub(crate) fn pod(namespace: &str, name: &str, node: &str, address: &str) -> Value {
    let app = name.split('-').next().unwrap();
    json!({"kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
           "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
           "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}})
}

/// A policy by which the pods of one app are reached from another one only, on one port.
pub(crate) fn policy(namespace: &str, name: &str, to: &str, from: &str, port: u16) -> Value {
    json!({"kind": "NetworkPolicy", "metadata": {"name": name, "namespace": namespace},
           "spec": {"podSelector": {"matchLabels": {"app": to}}, "policyTypes": ["Ingress"],
                    "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": from}}}],
                                 "ports": [{"protocol": "TCP", "port": port}]}]}})
}
