//! What runs pods: bare Pods and the templates of controllers.

use std::net::IpAddr;

use ringfence_policy::Labels;

use super::context::{Context, Reported, all, field, key_span};
use super::meta::{Meta, Name};
use crate::inventory::{ContainerPort, Owner, Workload};
use crate::node::{Entry, Node};

/// The label that a Deployment's ReplicaSets and their pods share.
const TEMPLATE_HASH: &str = "pod-template-hash";

impl Context<'_> {
    /// A controller of pods. Its template is at `spec.template`, a CronJob's at `spec.jobTemplate.spec.template`.
    pub(crate) fn controller(
        &mut self,
        object: &Node,
        kind: &'static str,
    ) -> Result<(Workload, Meta), Reported> {
        let meta = self.meta(object, kind, Name::Lenient)?;
        let entries = self.mapping(object, kind)?;
        let mut spec = self.part(entries, "spec", kind, &meta)?;
        let replicas = match (kind, field(spec, "replicas")) {
            ("Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController", Some(node)) => {
                self.replicas(node)
            }
            _ => Ok(1),
        };
        if kind == "CronJob" {
            let template = self.part(spec, "jobTemplate", kind, &meta)?;
            spec = self.part(template, "spec", kind, &meta)?;
        }
        let template = self.part(spec, "template", kind, &meta)?;
        let mut labels = self.template_labels(template)?;
        if kind == "Job" {
            // The Job controller puts these on its pods.
            for key in ["job-name", "batch.kubernetes.io/job-name"] {
                labels.entry(key.to_owned()).or_insert_with(|| meta.name.clone());
            }
        }
        let pod = match field(template, "spec") {
            Some(node) => self.mapping(node, "spec")?,
            None => &[],
        };
        let owner = meta.owner.clone().map(|(kind, name)| Owner { kind, name });
        let workload = Workload {
            namespace: meta.namespace.clone(),
            kind: kind.to_owned(),
            name: meta.name.clone(),
            labels,
            replicas: replicas?,
            ports: self.pod_ports(pod)?,
            host_network: self.host_network(pod)?,
            addresses: Vec::new(),
            node: None,
            owner,
            source: self.source(object.span),
        };
        Ok((workload, meta))
    }

    pub(crate) fn pod(&mut self, object: &Node) -> Result<(Workload, Meta), Reported> {
        let meta = self.meta(object, "Pod", Name::Lenient)?;
        let entries = self.mapping(object, "Pod")?;
        let spec = match field(entries, "spec") {
            Some(node) => self.mapping(node, "spec")?,
            None => &[],
        };
        let status = match field(entries, "status") {
            Some(node) => self.mapping(node, "status")?,
            None => &[],
        };
        let over = match field(status, "phase") {
            Some(node) => matches!(self.string(node, "phase")?, "Succeeded" | "Failed"),
            None => false,
        };
        let node = match field(spec, "nodeName") {
            Some(node) => Some(self.string(node, "nodeName")?).filter(|n| !n.is_empty()).map(str::to_owned),
            None => None,
        };
        let workload = Workload {
            namespace: meta.namespace.clone(),
            kind: "Pod".to_owned(),
            name: meta.name.clone(),
            replicas: u32::from(!over),
            ports: self.pod_ports(spec)?,
            host_network: self.host_network(spec)?,
            addresses: self.addresses(status)?,
            node,
            owner: meta.owner.clone().map(|owner| deployment_of(owner, &meta.labels)),
            labels: meta.labels.clone(),
            source: self.source(object.span),
        };
        Ok((workload, meta))
    }

    /// The fields of a part that must be there.
    fn part<'n>(
        &mut self,
        entries: &'n [Entry],
        name: &str,
        kind: &str,
        meta: &Meta,
    ) -> Result<&'n [Entry], Reported> {
        match field(entries, name) {
            Some(node) => self.mapping(node, name),
            None => {
                let span = key_span(entries, name).or(meta.span);
                Err(self.error("missing-field", span, format!("{kind} without `{name}`"), None))
            }
        }
    }

    fn replicas(&mut self, node: &Node) -> Result<u32, Reported> {
        let number = self.integer(node, "replicas")?;
        u32::try_from(number).ok().filter(|n| i32::try_from(*n).is_ok()).ok_or_else(|| {
            self.error("invalid-replicas", node.span, format!("`replicas` {number} is out of range"), None)
        })
    }

    fn template_labels(&mut self, template: &[Entry]) -> Result<Labels, Reported> {
        let Some(metadata) = field(template, "metadata") else { return Ok(Labels::new()) };
        let metadata = self.mapping(metadata, "metadata")?;
        self.metadata_fields(metadata, Name::Lenient)?;
        field(metadata, "labels").map_or(Ok(Labels::new()), |node| self.labels(node, "labels"))
    }

    fn host_network(&mut self, spec: &[Entry]) -> Result<bool, Reported> {
        field(spec, "hostNetwork").map_or(Ok(false), |node| self.boolean(node, "hostNetwork"))
    }

    /// The ports of all containers that run beside each other: sidecars among the init containers too.
    fn pod_ports(&mut self, spec: &[Entry]) -> Result<Vec<ContainerPort>, Reported> {
        let mut ports = Vec::new();
        for list in ["containers", "initContainers"] {
            let Some(node) = field(spec, list) else { continue };
            for container in self.sequence(node, list)? {
                let container = self.mapping(container, list)?;
                let sidecar = field(container, "restartPolicy").and_then(Node::as_str) == Some("Always");
                if let Some(node) = field(container, "ports").filter(|_| list == "containers" || sidecar) {
                    let items = self.sequence(node, "ports")?;
                    ports.extend(all(items.iter().map(|item| self.container_port(item)))?);
                }
            }
        }
        Ok(ports)
    }

    fn container_port(&mut self, node: &Node) -> Result<ContainerPort, Reported> {
        let entries = self.mapping(node, "ports")?;
        let protocol = self.protocol(entries);
        let port = match field(entries, "containerPort") {
            Some(node) => self.port_number(node, "containerPort"),
            None => {
                let help = super::names::near_miss("containerPort", entries.iter().map(|e| e.key.as_str()))
                    .map(|near| format!("`{near}` is no field of a container's port"));
                Err(self.error("missing-field", node.span, "a port without `containerPort`", help))
            }
        };
        let name = match field(entries, "name") {
            Some(node) => match self.string(node, "name") {
                Ok("") => Ok(None),
                Ok(name) => self.port_name(node, name).map(Some),
                Err(reported) => Err(reported),
            },
            None => Ok(None),
        };
        Ok(ContainerPort { name: name?, protocol: protocol?, port: port? })
    }

    pub(crate) fn port_name(&mut self, node: &Node, name: &str) -> Result<String, Reported> {
        super::names::port_name(name).map(|()| name.to_owned()).map_err(|why| {
            self.error("invalid-port", node.span, format!("`{name}` is no port name: {why}"), None)
        })
    }

    /// A Node: of its addresses those that packets can carry, not host names.
    pub(crate) fn cluster_node(&mut self, object: &Node) -> Result<(ringfence_policy::Node, Meta), Reported> {
        let meta = self.meta(object, "Node", Name::Lenient)?;
        let mut addresses = Vec::new();
        if let Some(list) = object.get("status").and_then(|s| s.get("addresses")) {
            for item in self.sequence(list, "addresses")? {
                let entries = self.mapping(item, "addresses")?;
                let of_type = field(entries, "type").map(|n| self.string(n, "type")).transpose()?;
                if let (Some("InternalIP" | "ExternalIP"), Some(node)) = (of_type, field(entries, "address"))
                {
                    addresses.extend(self.address(node)?);
                }
            }
        }
        Ok((ringfence_policy::Node { name: meta.name.clone(), labels: meta.labels.clone(), addresses }, meta))
    }

    fn addresses(&mut self, status: &[Entry]) -> Result<Vec<IpAddr>, Reported> {
        let mut addresses = Vec::new();
        if let Some(node) = field(status, "podIP") {
            addresses.extend(self.address(node)?);
        }
        if let Some(node) = field(status, "podIPs") {
            for item in self.sequence(node, "podIPs")? {
                if let Some(ip) = field(self.mapping(item, "podIPs")?, "ip") {
                    addresses.extend(self.address(ip)?);
                }
            }
        }
        let mut seen = Vec::with_capacity(addresses.len());
        for address in addresses {
            if !seen.contains(&address) {
                seen.push(address);
            }
        }
        Ok(seen)
    }

    fn address(&mut self, node: &Node) -> Result<Option<IpAddr>, Reported> {
        match self.string(node, "podIP")? {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                self.error("invalid-address", node.span, format!("`{text}` is no address"), None)
            }),
        }
    }
}

/// A pod's owner; for a ReplicaSet that bears the pod's template hash, the Deployment that it belongs to.
fn deployment_of((kind, name): (String, String), labels: &Labels) -> Owner {
    let deployment = labels
        .get(TEMPLATE_HASH)
        .filter(|hash| kind == "ReplicaSet" && !hash.is_empty())
        .and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-'))
        .filter(|name| !name.is_empty());
    match deployment {
        Some(name) => Owner { kind: "Deployment".to_owned(), name: name.to_owned() },
        None => Owner { kind, name },
    }
}
