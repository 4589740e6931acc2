//! What a Service leads to: the pods that it selects, and the port that each of them receives, as the endpoints controller
//! and kube-proxy have it. The only place that says so; which pods there are is the caller's to know.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/service/>

use ringfence_policy::{Labels, NamedPort, Traffic};

use crate::inventory::{Backend, BackendPort, Inventory, Service, ServicePort, TargetPort};

/// What becomes of a connection to a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// To the pods that it selects: its ports are translated to theirs.
    ToPods,
    /// To the pods that it selects, by their own addresses, without translation (`clusterIP: None`).
    Headless,
    /// To whatever somebody has written as its endpoints: it has no selector.
    Elsewhere,
    /// Nowhere in the cluster: it is another name for something outside.
    ExternalName,
}

impl Inventory {
    /// The Service of a name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.iter().find(|s| s.namespace == namespace && s.name == name)
    }

    /// The Service and the port of it that a route leads to; without a port, its first one.
    pub fn behind(&self, backend: &Backend) -> Option<(&Service, &ServicePort)> {
        let service = self.service(&backend.namespace, &backend.service)?;
        let port = match &backend.port {
            Some(BackendPort::Number(number)) => service.ports.iter().find(|p| p.port == *number),
            Some(BackendPort::Name(name)) => service.ports.iter().find(|p| p.name.as_ref() == Some(name)),
            None => service.ports.first(),
        };
        Some((service, port?))
    }
}

impl Service {
    /// What becomes of a connection to it.
    pub fn leads(&self) -> Leads {
        // The type goes before the selector: the server keeps one beside it, and no endpoints are made of it.
        if self.kind == "ExternalName" {
            Leads::ExternalName
        } else if self.selector.as_ref().is_none_or(Labels::is_empty) {
            Leads::Elsewhere
        } else if self.headless {
            Leads::Headless
        } else {
            Leads::ToPods
        }
    }

    /// Whether it selects a pod of a namespace with these labels.
    pub fn selects(&self, namespace: &str, labels: &Labels) -> bool {
        let Some(selector) = self.selector_in_force() else { return false };
        self.namespace == namespace && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// The labels that its pods have; `None` where it selects none by itself.
    pub fn selector_in_force(&self) -> Option<&Labels> {
        match self.leads() {
            Leads::ToPods | Leads::Headless => self.selector.as_ref(),
            Leads::Elsewhere | Leads::ExternalName => None,
        }
    }

    /// Whether every node lets in what is sent to it (`LoadBalancer` and `NodePort`).
    pub fn is_on_nodes(&self) -> bool {
        matches!(self.kind.as_str(), "LoadBalancer" | "NodePort")
    }
}

impl ServicePort {
    /// The number of the port on a pod with these named ports; `None` where the pod has none of the target's name and
    /// this protocol. Such a pod is no endpoint of the port.
    pub fn number_on(&self, named_ports: &[NamedPort]) -> Option<u16> {
        match &self.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => {
                let named = named_ports.iter().find(|n| n.name == *name && n.protocol == self.protocol);
                named.map(|n| n.port)
            }
        }
    }

    /// What such a pod receives of it.
    pub fn traffic_on(&self, named_ports: &[NamedPort]) -> Option<Traffic> {
        self.number_on(named_ports).map(|number| Traffic::Port(self.protocol, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::FromOutside;
    use ringfence_policy::Protocol;

    fn service(kind: &str, headless: bool, selector: Option<&[(&str, &str)]>) -> Service {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Service {
            namespace: "shop".into(),
            name: "web".into(),
            selector: selector.map(labels),
            kind: kind.into(),
            headless,
            ports: Vec::new(),
            from_outside: FromOutside::default(),
            annotations: Labels::new(),
            source: None,
        }
    }

    #[test]
    fn only_a_selector_selects() {
        let web = Some(&[("app", "web")][..]);
        let check = |kind, headless, selector, leads, selects| {
            let service = service(kind, headless, selector);
            assert_eq!(service.leads(), leads, "{service:?}");
            let labels = Labels::from([("app".into(), "web".into()), ("x".into(), "y".into())]);
            assert_eq!(service.selects("shop", &labels), selects, "{service:?}");
            assert!(!service.selects("elsewhere", &labels), "{service:?}");
            assert!(!service.selects("shop", &Labels::new()), "{service:?}");
        };
        check("ClusterIP", false, web, Leads::ToPods, true);
        check("LoadBalancer", false, web, Leads::ToPods, true);
        check("ClusterIP", true, web, Leads::Headless, true);
        check("ClusterIP", false, Some(&[]), Leads::Elsewhere, false);
        check("ClusterIP", true, None, Leads::Elsewhere, false);
        check("ExternalName", false, web, Leads::ExternalName, false);
    }

    #[test]
    fn a_name_is_looked_up_on_each_pod_with_its_protocol() {
        let port = |protocol, target| ServicePort { name: None, protocol, port: 80, target, node_port: None };
        let named = |name: &str, protocol, port| NamedPort { name: name.into(), protocol, port };
        let pod = [named("dns", Protocol::Tcp, 5353), named("dns", Protocol::Udp, 53)];
        let name = || TargetPort::Name("dns".into());
        assert_eq!(port(Protocol::Udp, name()).number_on(&pod), Some(53));
        assert_eq!(port(Protocol::Tcp, name()).traffic_on(&pod), Some(Traffic::Port(Protocol::Tcp, 5353)));
        assert_eq!(port(Protocol::Sctp, name()).number_on(&pod), None);
        assert_eq!(port(Protocol::Tcp, name()).number_on(&[]), None);
        assert_eq!(port(Protocol::Tcp, TargetPort::Number(8080)).number_on(&[]), Some(8080));
    }
}
