//! Ingresses and Gateway routes: which Services they lead to, from which hosts and paths.
//!
//! They are no policies, so a field that is not known here is not this reader's business; but what names a Service is
//! read whole, or it is an error.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/service-resources/ingress-v1/>,
//! <https://gateway-api.sigs.k8s.io/reference/spec/>

use super::context::{Context, Reported, all, field};
use super::meta::{Meta, Name};
use super::ports::PortOrName;
use crate::inventory::{Backend, BackendPort, Gateway, Listener, Route, RouteParent};
use crate::node::{Entry, Node};

/// Where a backend is met.
#[derive(Debug, Clone, Copy, Default)]
struct At<'n> {
    host: Option<&'n str>,
    path: Option<&'n str>,
}

impl Context<'_> {
    pub(crate) fn ingress(&mut self, object: &Node) -> Result<(Route, Meta), Reported> {
        let meta = self.meta(object, "Ingress", Name::Lenient)?;
        let entries = self.mapping(object, "Ingress")?;
        let spec = self.optional_mapping(entries, "spec")?;
        let mut backends = Vec::new();
        // What `extensions/v1beta1` called `backend` is the default one, too.
        for name in ["defaultBackend", "backend"] {
            if let Some(node) = field(spec, name) {
                backends.extend(self.ingress_backend(node, At::default(), &meta.namespace)?);
            }
        }
        for rule in self.optional_items(spec, "rules")? {
            let rule = self.mapping(rule, "rules")?;
            let host = self.optional_string(rule, "host")?;
            let http = self.optional_mapping(rule, "http")?;
            for node in self.optional_items(http, "paths")? {
                let path = self.mapping(node, "paths")?;
                let at = At { host, path: self.optional_string(path, "path")? };
                let Some(backend) = field(path, "backend") else {
                    return Err(self.error("missing-field", node.span, "a path without `backend`", None));
                };
                backends.extend(self.ingress_backend(backend, at, &meta.namespace)?);
            }
        }
        let by_annotation = meta.annotations.get("kubernetes.io/ingress.class").map(String::as_str);
        let class = self.optional_string(spec, "ingressClassName")?.or(by_annotation).map(str::to_owned);
        let route = Route {
            namespace: meta.namespace.clone(),
            kind: "Ingress".to_owned(),
            name: meta.name.clone(),
            class,
            parents: Vec::new(),
            backends,
            source: self.source(object.span),
        };
        Ok((route, meta))
    }

    /// A backend of an Ingress; `None` where it is no Service.
    fn ingress_backend(
        &mut self,
        node: &Node,
        at: At<'_>,
        namespace: &str,
    ) -> Result<Option<Backend>, Reported> {
        let entries = self.mapping(node, "backend")?;
        let (name, port) = match (field(entries, "service"), field(entries, "serviceName")) {
            (Some(service), _) => {
                let of_service = self.mapping(service, "service")?;
                let Some(name) = field(of_service, "name") else {
                    return Err(self.error("missing-field", service.span, "`service` without `name`", None));
                };
                let port = self.optional_mapping(of_service, "port")?;
                let port = match (field(port, "number"), field(port, "name")) {
                    (Some(number), _) => Some(BackendPort::Number(self.port_number(number, "number")?)),
                    (None, Some(name)) => Some(BackendPort::Name(self.string(name, "name")?.to_owned())),
                    (None, None) => None,
                };
                (name, port)
            }
            (None, Some(name)) => {
                let port = match field(entries, "servicePort") {
                    Some(node) => Some(match self.port_or_name(node, "servicePort")? {
                        PortOrName::Number(number) => BackendPort::Number(number),
                        PortOrName::Name(name) => BackendPort::Name(name),
                    }),
                    None => None,
                };
                (name, port)
            }
            (None, None) if field(entries, "resource").is_some() => return Ok(None),
            (None, None) => {
                return Err(self.error("missing-field", node.span, "`backend` without `service`", None));
            }
        };
        Ok(Some(Backend {
            namespace: namespace.to_owned(),
            service: self.string(name, "name")?.to_owned(),
            port,
            host: at.host.map(str::to_owned),
            path: at.path.map(str::to_owned),
            source: self.source(node.span),
        }))
    }

    /// A route of the Gateway API: HTTPRoute, GRPCRoute, TCPRoute, TLSRoute, UDPRoute.
    pub(crate) fn gateway_route(
        &mut self,
        object: &Node,
        kind: &'static str,
    ) -> Result<(Route, Meta), Reported> {
        let meta = self.meta(object, kind, Name::Lenient)?;
        let entries = self.mapping(object, kind)?;
        let spec = self.optional_mapping(entries, "spec")?;
        let parents = self.optional_items(spec, "parentRefs")?;
        let parents = all(parents.iter().map(|node| self.parent(node, &meta.namespace)))?;
        let mut hosts = Vec::new();
        for host in self.optional_items(spec, "hostnames")? {
            hosts.push(self.string(host, "hostnames")?);
        }
        let hosts = if hosts.is_empty() { vec![None] } else { hosts.into_iter().map(Some).collect() };
        let mut backends = Vec::new();
        for rule in self.optional_items(spec, "rules")? {
            let rule = self.mapping(rule, "rules")?;
            let mut paths = Vec::new();
            for found in self.optional_items(rule, "matches")? {
                let found = self.mapping(found, "matches")?;
                paths.push(match field(found, "path") {
                    Some(path) => {
                        let path = self.mapping(path, "path")?;
                        self.optional_string(path, "value")?
                    }
                    None => None,
                });
            }
            if paths.is_empty() {
                paths.push(None);
            }
            for node in self.optional_items(rule, "backendRefs")? {
                for host in &hosts {
                    for path in &paths {
                        let at = At { host: *host, path: *path };
                        backends.extend(self.backend_ref(node, at, &meta.namespace)?);
                    }
                }
            }
        }
        let route = Route {
            namespace: meta.namespace.clone(),
            kind: kind.to_owned(),
            name: meta.name.clone(),
            class: None,
            parents: parents.into_iter().flatten().collect(),
            backends,
            source: self.source(object.span),
        };
        Ok((route, meta))
    }

    /// The Gateway that a route belongs to; `None` for parents of other kinds, such as a mesh's Service.
    fn parent(&mut self, node: &Node, namespace: &str) -> Result<Option<RouteParent>, Reported> {
        let entries = self.mapping(node, "parentRefs")?;
        let kind = self.optional_string(entries, "kind")?.unwrap_or("Gateway");
        let Some(name) = field(entries, "name") else {
            return Err(self.error("missing-field", node.span, "a parent without `name`", None));
        };
        let name = self.string(name, "name")?.to_owned();
        let namespace = self.optional_string(entries, "namespace")?.unwrap_or(namespace).to_owned();
        Ok((kind == "Gateway").then_some(RouteParent { namespace, name }))
    }

    /// A backend of a route; `None` where it is no Service.
    fn backend_ref(&mut self, node: &Node, at: At<'_>, namespace: &str) -> Result<Option<Backend>, Reported> {
        let entries = self.mapping(node, "backendRefs")?;
        let kind = self.optional_string(entries, "kind")?.unwrap_or("Service");
        let Some(name) = field(entries, "name") else {
            return Err(self.error("missing-field", node.span, "a backend without `name`", None));
        };
        let service = self.string(name, "name")?.to_owned();
        let namespace = self.optional_string(entries, "namespace")?.unwrap_or(namespace).to_owned();
        let port = match field(entries, "port") {
            Some(node) => Some(BackendPort::Number(self.port_number(node, "port")?)),
            None => None,
        };
        Ok((kind == "Service").then(|| Backend {
            namespace,
            service,
            port,
            host: at.host.map(str::to_owned),
            path: at.path.map(str::to_owned),
            source: self.source(node.span),
        }))
    }

    pub(crate) fn gateway(&mut self, object: &Node) -> Result<(Gateway, Meta), Reported> {
        let meta = self.meta(object, "Gateway", Name::Lenient)?;
        let entries = self.mapping(object, "Gateway")?;
        let spec = self.optional_mapping(entries, "spec")?;
        let mut listeners = Vec::new();
        for node in self.optional_items(spec, "listeners")? {
            let entries = self.mapping(node, "listeners")?;
            let Some(port) = field(entries, "port") else {
                return Err(self.error("missing-field", node.span, "a listener without `port`", None));
            };
            let port = self.port_number(port, "port")?;
            let protocol = self.optional_string(entries, "protocol")?.unwrap_or("HTTP").to_owned();
            listeners.push(Listener { port, protocol });
        }
        let gateway = Gateway {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            class: self.optional_string(spec, "gatewayClassName")?.map(str::to_owned),
            listeners,
            source: self.source(object.span),
        };
        Ok((gateway, meta))
    }

    fn optional_mapping<'n>(&mut self, entries: &'n [Entry], name: &str) -> Result<&'n [Entry], Reported> {
        field(entries, name).map_or(Ok(&[]), |node| self.mapping(node, name))
    }

    fn optional_items<'n>(&mut self, entries: &'n [Entry], name: &str) -> Result<&'n [Node], Reported> {
        field(entries, name).map_or(Ok(&[]), |node| self.sequence(node, name))
    }

    fn optional_string<'n>(&mut self, entries: &'n [Entry], name: &str) -> Result<Option<&'n str>, Reported> {
        let written = field(entries, name).map(|node| self.string(node, name)).transpose()?;
        Ok(written.filter(|text| !text.is_empty()))
    }
}
