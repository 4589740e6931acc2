//! The ends of a counterexample: a pod of the input, one that could be created, or an address.

use std::net::IpAddr;

use ringfence_policy::{End, Labels, NAMESPACE_NAME_LABEL, NamedPort, Pod, PodId, Traffic};
use serde_json::{Value, json};

use super::scene::Scene;

/// One end of a counterexample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spot {
    Pod(PodId, Box<Pod>),
    New(Box<NewPod>),
    Address(IpAddr),
}

/// A pod that could be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewPod {
    /// With what matters of it alone.
    pub(super) pod: Pod,
    /// The labels of its namespace where that is not there yet either.
    pub(super) namespace: Option<Labels>,
}

impl Spot {
    /// What is at an end; `received` is what it receives, which alone gives port names a meaning.
    pub(super) fn new(scene: &Scene<'_>, end: End, received: Option<Traffic>) -> Option<Spot> {
        let id = match end {
            End::Address(address) => return Some(Spot::Address(address)),
            End::Pod(id) => id,
        };
        let engine = scene.engine();
        let mut pod = engine.pod(id)?.clone();
        if !scene.is_new(id) {
            return Some(Spot::Pod(id, Box::new(pod)));
        }
        let is_met = |p: &NamedPort| received == Some(Traffic::Port(p.protocol, p.port));
        pod.named_ports.retain(is_met);
        let is_new = scene.is_new_namespace(&pod.namespace);
        let namespace = is_new.then(|| engine.namespace_labels(&pod.namespace));
        Some(Spot::New(Box::new(NewPod { pod, namespace })))
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Spot::Address(address) => address.to_string(),
            Spot::Pod(_, pod) => {
                let (kind, name) = (pod.workload.kind.to_lowercase(), &pod.workload.name);
                format!("{}/{kind}/{name}", pod.namespace)
            }
            Spot::New(new) => new.text(),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        match self {
            Spot::Address(address) => json!({"address": address}),
            Spot::Pod(_, pod) => json!({
                "namespace": pod.namespace,
                "kind": pod.workload.kind,
                "name": pod.workload.name,
                "pod": pod.name,
            }),
            Spot::New(new) => {
                let port =
                    |p: &NamedPort| json!({"name": p.name, "protocol": p.protocol.as_str(), "port": p.port});
                json!({
                    "new": true,
                    "namespace": new.pod.namespace,
                    "namespaceLabels": new.namespace,
                    "labels": new.pod.labels,
                    "namedPorts": new.pod.named_ports.iter().map(port).collect::<Vec<_>>(),
                    "addresses": new.pod.addresses,
                })
            }
        }
    }
}

impl NewPod {
    fn text(&self) -> String {
        let list =
            |labels: &Labels| labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
        let Pod { namespace, labels, named_ports, addresses, .. } = &self.pod;
        let mut text = match &self.namespace {
            None => format!("a new pod in namespace {namespace}"),
            Some(labels) => {
                let mut labels = labels.clone();
                labels.remove(NAMESPACE_NAME_LABEL);
                let with = if labels.is_empty() { String::new() } else { format!(" ({})", list(&labels)) };
                format!("a new pod in a new namespace {namespace}{with}")
            }
        };
        text.push_str(&match labels.is_empty() {
            true => " without labels".to_owned(),
            false => format!(" with {}", list(labels)),
        });
        for address in addresses {
            text.push_str(&format!(" at {address}"));
        }
        // They are all names of the port that receives.
        if let Some(NamedPort { protocol, port, .. }) = named_ports.first() {
            let names: Vec<String> = named_ports.iter().map(|p| format!("`{}`", p.name)).collect();
            text.push_str(&format!(" that names {protocol} {port} {}", names.join(" and ")));
        }
        text
    }
}
