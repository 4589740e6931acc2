//! Services and Namespaces.

use ringfence_policy::Namespace;
use ringfence_policy::model::NAMESPACE_NAME_LABEL;

use super::context::{Context, Reported, all, field, key_span};
use super::meta::{Meta, Name};
use super::ports::PortOrName;
use crate::inventory::{FromOutside, Service, ServicePort, TargetPort};
use crate::node::{Entry, Node, Value};

impl Context<'_> {
    pub(crate) fn service(&mut self, object: &Node) -> Result<(Service, Meta), Reported> {
        let meta = self.meta(object, "Service", Name::Lenient)?;
        let entries = self.mapping(object, "Service")?;
        let spec = match field(entries, "spec") {
            Some(node) => self.mapping(node, "spec")?,
            None => &[],
        };
        let selector = field(spec, "selector").map(|node| self.labels(node, "selector")).transpose();
        let kind = match field(spec, "type") {
            Some(node) => self.string(node, "type"),
            None => Ok("ClusterIP"),
        };
        let headless = match field(spec, "clusterIP") {
            Some(node) => self.string(node, "clusterIP").map(|ip| ip == "None"),
            None => Ok(false),
        };
        let ports = match field(spec, "ports") {
            Some(node) => match self.sequence(node, "ports") {
                Ok(items) => all(items.iter().map(|item| self.service_port(item))),
                Err(reported) => Err(reported),
            },
            None => Ok(Vec::new()),
        };
        let from_outside = self.traffic_from_outside(spec);
        let kind = kind?;
        let service = Service {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            selector: selector?,
            kind: if kind.is_empty() { "ClusterIP" } else { kind }.to_owned(),
            headless: headless?,
            ports: ports?,
            from_outside: from_outside?,
            annotations: meta.annotations.clone(),
            source: self.source(object.span),
        };
        Ok((service, meta))
    }

    fn traffic_from_outside(&mut self, spec: &[Entry]) -> Result<FromOutside, Reported> {
        let mut found = FromOutside::default();
        if let Some(node) = field(spec, "externalIPs") {
            for item in self.sequence(node, "externalIPs")? {
                found.external_ips.push(self.string(item, "externalIPs")?.to_owned());
            }
        }
        if let Some(node) = field(spec, "externalTrafficPolicy") {
            found.keeps_client = match self.string(node, "externalTrafficPolicy")? {
                "Local" => true,
                "Cluster" | "" => false,
                other => {
                    let message = format!("`{other}` is no external traffic policy");
                    let help = Some("it is Cluster or Local".to_owned());
                    return Err(self.error("invalid-value", node.span, message, help));
                }
            };
        }
        if let Some(node) = field(spec, "loadBalancerSourceRanges") {
            let items = self.sequence(node, "loadBalancerSourceRanges")?;
            found.source_ranges = all(items.iter().map(|item| self.cidr(item, "loadBalancerSourceRanges")))?;
        }
        if let Some(node) = field(spec, "allocateLoadBalancerNodePorts") {
            found.without_node_ports = !self.boolean(node, "allocateLoadBalancerNodePorts")?;
        }
        Ok(found)
    }

    fn service_port(&mut self, node: &Node) -> Result<ServicePort, Reported> {
        let entries = self.mapping(node, "ports")?;
        let protocol = self.protocol(entries);
        let port = match field(entries, "port") {
            Some(node) => self.port_number(node, "port"),
            None => Err(self.error("missing-field", node.span, "a Service's port without `port`", None)),
        };
        let name = match field(entries, "name") {
            Some(node) => {
                self.string(node, "name").map(|n| Some(n).filter(|n| !n.is_empty()).map(str::to_owned))
            }
            None => Ok(None),
        };
        let target = match field(entries, "targetPort") {
            // The server takes 0 and the empty string for "the same as the Service's".
            Some(Node { value: Value::Int(0), .. }) | None => Ok(None),
            Some(Node { value: Value::String(s), .. }) if s.is_empty() => Ok(None),
            Some(node) => self.port_or_name(node, "targetPort").map(Some),
        };
        let node_port = match field(entries, "nodePort") {
            // The server takes 0 for a port of its own choice.
            Some(Node { value: Value::Int(0), .. }) | None => None,
            Some(node) => Some(self.port_number(node, "nodePort")?),
        };
        let port = port?;
        let target = match target? {
            None => TargetPort::Number(port),
            Some(PortOrName::Number(number)) => TargetPort::Number(number),
            Some(PortOrName::Name(name)) => TargetPort::Name(name),
        };
        Ok(ServicePort { name: name?, protocol: protocol?, port, target, node_port })
    }

    pub(crate) fn namespace(&mut self, object: &Node) -> Result<(Namespace, Meta), Reported> {
        let meta = self.meta(object, "Namespace", Name::Label)?;
        let mut labels = meta.labels.clone();
        // The server sets this label itself, whatever is written.
        if let Some(written) = labels.remove(NAMESPACE_NAME_LABEL)
            && written != meta.name
        {
            let span = object
                .get("metadata")
                .and_then(|m| m.get("labels"))
                .and_then(|l| self.mapping(l, "labels").ok())
                .and_then(|l| key_span(l, NAMESPACE_NAME_LABEL));
            let message =
                format!("the server sets `{NAMESPACE_NAME_LABEL}` to `{}`, not `{written}`", meta.name);
            self.warn("namespace-name-label", span.or(meta.span), message, None);
        }
        Ok((Namespace { name: meta.name.clone(), labels }, meta))
    }
}
