//! Objects of a world as the API spells them: those that every cluster has.

use ringfence_policy::{
    IpBlock, LabelSelector, Labels, Namespace, NamespaceScope, NetworkPolicy, Node, Peer, Peers, Pod,
    PortRef, Ports, Requirement, Rule,
};
use serde_json::{Map, Value, json};

/// The label that a Deployment's ReplicaSets and their pods share.
const TEMPLATE_HASH: &str = "pod-template-hash";

pub(super) fn namespace(namespace: &Namespace) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": namespace.name, "labels": namespace.labels},
    })
}

pub(super) fn node(node: &Node) -> Value {
    let address = |a: &std::net::IpAddr| json!({"type": "InternalIP", "address": a.to_string()});
    let addresses: Vec<Value> = node.addresses.iter().map(address).collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node.name, "labels": node.labels},
        "status": {"addresses": addresses},
    })
}

/// A pod as it runs, with its owner.
pub(super) fn pod(pod: &Pod) -> Value {
    let mut metadata = json!({"namespace": pod.namespace, "name": pod.name, "labels": pod.labels});
    if let Some(owner) = owner(pod) {
        set(&mut metadata, "ownerReferences", json!([owner]));
    }
    let mut container = json!({"name": "main", "image": "registry.example/main"});
    let port = |p: &ringfence_policy::NamedPort| json!({"name": p.name, "containerPort": p.port, "protocol": p.protocol.as_str()});
    let ports: Vec<Value> = pod.named_ports.iter().map(port).collect();
    if !ports.is_empty() {
        set(&mut container, "ports", Value::Array(ports));
    }
    let mut spec = json!({"containers": [container]});
    if let Some(node) = &pod.node {
        set(&mut spec, "nodeName", json!(node));
    }
    if pod.host_network {
        set(&mut spec, "hostNetwork", json!(true));
    }
    let mut status = json!({"phase": "Running"});
    if let Some(first) = pod.addresses.first() {
        let addresses: Vec<Value> = pod.addresses.iter().map(|a| json!({"ip": a.to_string()})).collect();
        set(&mut status, "podIP", json!(first.to_string()));
        set(&mut status, "podIPs", Value::Array(addresses));
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
}

/// A Deployment owns its pods through a ReplicaSet of the template's hash, where the pods bear one.
fn owner(pod: &Pod) -> Option<Value> {
    let (kind, name) = (pod.workload.kind.as_str(), pod.workload.name.as_str());
    let (kind, name) = match pod.labels.get(TEMPLATE_HASH).filter(|_| kind == "Deployment") {
        _ if kind == "Pod" => return None,
        Some(hash) => ("ReplicaSet", format!("{name}-{hash}")),
        None => (kind, name.to_owned()),
    };
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    Some(json!({"apiVersion": version, "kind": kind, "name": name, "controller": true}))
}

pub(super) fn network_policy(policy: &NetworkPolicy) -> Value {
    let types: Vec<&str> =
        [policy.ingress.as_ref().map(|_| "Ingress"), policy.egress.as_ref().map(|_| "Egress")]
            .into_iter()
            .flatten()
            .collect();
    let mut spec = json!({"podSelector": selector(&policy.subject), "policyTypes": types});
    for (name, peers, rules) in [("ingress", "from", &policy.ingress), ("egress", "to", &policy.egress)] {
        if let Some(rules) = rules.as_ref().filter(|rules| !rules.is_empty()) {
            set(&mut spec, name, rules.iter().map(|r| rule(r, peers)).collect());
        }
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": policy.name.namespace, "name": policy.name.name},
        "spec": spec,
    })
}

fn rule(rule: &Rule, peers: &str) -> Value {
    let mut out = json!({});
    if let Peers::Of(of) = &rule.peers {
        set(&mut out, peers, of.iter().map(peer).collect());
    }
    if let Ports::Of(ports) = &rule.ports {
        set(&mut out, "ports", ports.iter().map(|p| port(p.protocol.as_str(), &p.port)).collect());
    }
    out
}

fn peer(peer: &Peer) -> Value {
    let mut out = json!({});
    match peer {
        Peer::Block(block) => set(&mut out, "ipBlock", ip_block(block)),
        Peer::Pods { namespaces, pods } => {
            if let NamespaceScope::Matching(namespaces) = namespaces {
                set(&mut out, "namespaceSelector", selector(namespaces));
            }
            if *namespaces == NamespaceScope::Own || !pods.is_everything() {
                set(&mut out, "podSelector", selector(pods));
            }
        }
    }
    out
}

fn ip_block(block: &IpBlock) -> Value {
    let mut out = json!({"cidr": block.cidr().to_string()});
    let except: Vec<String> = block.except().iter().map(ToString::to_string).collect();
    if !except.is_empty() {
        set(&mut out, "except", json!(except));
    }
    out
}

fn port(protocol: &str, port: &PortRef) -> Value {
    let mut out = json!({"protocol": protocol});
    match port {
        PortRef::All => {}
        PortRef::Named(name) => set(&mut out, "port", json!(name)),
        PortRef::Range(range) => {
            set(&mut out, "port", json!(range.first()));
            if range.first() != range.last() {
                set(&mut out, "endPort", json!(range.last()));
            }
        }
    }
    out
}

/// A `LabelSelector`: what asks for one value as a label, all else as expressions.
pub(super) fn selector(selector: &LabelSelector) -> Value {
    let mut labels = Labels::new();
    let mut expressions: Vec<Value> = Vec::new();
    for requirement in selector.requirements() {
        let (operator, values) = match requirement {
            Requirement::In(key, values) => match values.first().filter(|_| values.len() == 1) {
                Some(value) if !labels.contains_key(key) => {
                    labels.insert(key.clone(), value.clone());
                    continue;
                }
                _ => ("In", Some(values)),
            },
            Requirement::NotIn(_, values) => ("NotIn", Some(values)),
            Requirement::Exists(_) => ("Exists", None),
            Requirement::DoesNotExist(_) => ("DoesNotExist", None),
        };
        let mut expression = json!({"key": requirement.key(), "operator": operator});
        if let Some(values) = values {
            set(&mut expression, "values", json!(values));
        }
        expressions.push(expression);
    }
    let parts = [
        ("matchLabels", (!labels.is_empty()).then(|| json!(labels))),
        ("matchExpressions", (!expressions.is_empty()).then_some(Value::Array(expressions))),
    ];
    Value::Object(parts.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect::<Map<_, _>>())
}

/// Adds a field.
pub(super) fn set(object: &mut Value, field: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(field.to_owned(), value);
    }
}
