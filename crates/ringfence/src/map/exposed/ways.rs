//! The ways from outside into the cluster that manifests tell of, with the ports of the pods at their ends.

use ipnet::IpNet;
use ringfence_k8s::{Backend, Inventory, Leads, Route, Service, ServicePort};
use ringfence_policy::{Engine, PodId, Traffic};

use super::controllers::controllers;
use crate::explain::service;

/// A way to some pods.
#[derive(Debug)]
pub(super) struct Way {
    /// In words, such as `LoadBalancer Service shop/web, TCP 80 to 8080`.
    pub(super) text: String,
    /// The kind of its first object: `LoadBalancer`, `NodePort`, `ExternalIPs`, `Ingress`, `HTTPRoute` and so on.
    pub(super) kind: String,
    /// Its objects, as `Kind namespace/name`.
    pub(super) objects: Vec<String>,
    /// The pods at its end, each with what it receives.
    pub(super) pods: Vec<(PodId, Traffic)>,
    /// Whom the pods see.
    pub(super) by: By,
}

/// Who opens the connection to the pods.
#[derive(Debug)]
pub(super) enum By {
    /// The client, through a Service.
    Client(Door),
    /// A controller.
    Controller(Through),
}

/// What a Service does with those who come in.
#[derive(Debug)]
pub(super) struct Door {
    /// Whether a node may put its own address in the place of the client's.
    pub(super) hides_client: bool,
    /// From where it lets them in; none: from anywhere.
    pub(super) source_ranges: Vec<IpNet>,
}

/// Whose pods open the connection to the workload.
#[derive(Debug)]
pub(super) struct Through {
    /// What they serve, such as `Ingress shop/web`.
    pub(super) object: String,
    /// Those among the manifests; none where the controller is not in them.
    pub(super) pods: Vec<PodId>,
}

/// All ways, in the order of the manifests.
pub(super) fn find(engine: &Engine, inventory: &Inventory) -> Vec<Way> {
    let mut ways = Vec::new();
    for service in &inventory.services {
        for (port, door) in
            service.ports.iter().flat_map(|p| doors(service, p).into_iter().map(move |d| (p, d)))
        {
            ways.extend(by_service(engine, service, port, door));
        }
    }
    for route in &inventory.routes {
        ways.extend(route.backends.iter().filter_map(|backend| by_route(engine, inventory, route, backend)));
    }
    ways
}

/// How a Service can be reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    LoadBalancer,
    NodePort,
    ExternalIps,
}

/// The ways through a port of a Service. A load balancer comes with a port on every node, which passes it by.
fn doors(service: &Service, port: &ServicePort) -> Vec<Kind> {
    // kube-proxy serves neither.
    if service.headless || service.leads() == Leads::ExternalName {
        return Vec::new();
    }
    let mut doors = Vec::new();
    let balanced = service.kind == "LoadBalancer";
    if balanced {
        doors.push(Kind::LoadBalancer);
    }
    let asks_none = service.from_outside.without_node_ports && port.node_port.is_none();
    if service.kind == "NodePort" || (balanced && !asks_none) {
        doors.push(Kind::NodePort);
    }
    if !service.from_outside.external_ips.is_empty() {
        doors.push(Kind::ExternalIps);
    }
    doors
}

fn by_service(engine: &Engine, of: &Service, port: &ServicePort, door: Kind) -> Option<Way> {
    let (pods, to) = behind(engine, of, port)?;
    let name = format!("Service {}/{}", of.namespace, of.name);
    let (kind, text) = match (door, port.node_port) {
        (Kind::LoadBalancer, _) => {
            let internal = if is_internal(of) { "internal " } else { "" };
            (
                "LoadBalancer",
                format!("{internal}LoadBalancer {name}, {} {} to {to}", port.protocol, port.port),
            )
        }
        (Kind::NodePort, Some(number)) => {
            ("NodePort", format!("{} {name}, node port {number} to {to}", of.kind))
        }
        (Kind::NodePort, None) => {
            let text = format!("{} {name}, a node port for {} {} to {to}", of.kind, port.protocol, port.port);
            ("NodePort", text)
        }
        (Kind::ExternalIps, _) => {
            let addresses = of.from_outside.external_ips.join(", ");
            ("ExternalIPs", format!("ExternalIPs {name}, {addresses} {} to {to}", port.port))
        }
    };
    // The ranges are for the load balancer's address alone.
    let source_ranges = match door {
        Kind::LoadBalancer => of.from_outside.source_ranges.clone(),
        Kind::NodePort | Kind::ExternalIps => Vec::new(),
    };
    Some(Way {
        text,
        kind: kind.to_owned(),
        objects: vec![name],
        pods,
        by: By::Client(Door { hides_client: !of.from_outside.keeps_client, source_ranges }),
    })
}

/// Whether a load balancer is for the network around the cluster only, by what the documentation of its provider says.
fn is_internal(service: &Service) -> bool {
    const ANNOTATIONS: [(&str, &str); 5] = [
        ("service.beta.kubernetes.io/aws-load-balancer-scheme", "internal"),
        ("service.beta.kubernetes.io/aws-load-balancer-internal", "true"),
        ("service.beta.kubernetes.io/azure-load-balancer-internal", "true"),
        ("networking.gke.io/load-balancer-type", "Internal"),
        ("cloud.google.com/load-balancer-type", "Internal"),
    ];
    ANNOTATIONS.iter().any(|(key, value)| service.annotations.get(*key).is_some_and(|v| v == value))
}

/// The pods behind a port of a Service with what they receive, and that port in words.
fn behind(engine: &Engine, of: &Service, port: &ServicePort) -> Option<(Vec<(PodId, Traffic)>, String)> {
    let pods = service::pods(engine, of).into_iter();
    let pods: Vec<(PodId, Traffic)> =
        pods.filter_map(|pod| Some((pod, service::pod_port(engine, port, pod)?))).collect();
    let mut ports: Vec<Traffic> = pods.iter().map(|(_, traffic)| *traffic).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<String> = ports.iter().map(Traffic::to_string).collect();
    (!pods.is_empty()).then(|| (pods, ports.join(" or ")))
}

fn by_route(engine: &Engine, inventory: &Inventory, route: &Route, backend: &Backend) -> Option<Way> {
    let (of, port) = inventory.behind(backend)?;
    let (pods, to) = behind(engine, of, port)?;
    let object = format!("{} {}/{}", route.kind, route.namespace, route.name);
    let service = format!("Service {}/{}", of.namespace, of.name);
    let asked = match (&backend.host, &backend.path) {
        (Some(host), Some(path)) => format!(" ({host}{path})"),
        (Some(host), None) => format!(" ({host})"),
        (None, Some(path)) => format!(" ({path})"),
        (None, None) => String::new(),
    };
    let gateways = gateways(inventory, route);
    let gateway = if gateways.is_empty() { String::new() } else { format!(" of {}", gateways.join(", ")) };
    let mut objects = vec![object.clone()];
    objects.extend(gateways);
    objects.push(service.clone());
    Some(Way {
        text: format!("{object}{asked}{gateway}, {service} port {} to {to}", port.port),
        kind: route.kind.clone(),
        objects,
        pods,
        by: By::Controller(Through { object, pods: controllers(engine, inventory, route) }),
    })
}

fn gateways(inventory: &Inventory, route: &Route) -> Vec<String> {
    let name = |parent: &ringfence_k8s::RouteParent| {
        let of = |g: &&ringfence_k8s::Gateway| g.namespace == parent.namespace && g.name == parent.name;
        let listens = inventory.gateways.iter().find(of).map(|gateway| {
            let ports: Vec<String> =
                gateway.listeners.iter().map(|l| format!("{} {}", l.protocol, l.port)).collect();
            ports.join(", ")
        });
        let listens = listens.filter(|l| !l.is_empty()).map(|l| format!(" ({l})")).unwrap_or_default();
        format!("Gateway {}/{}{listens}", parent.namespace, parent.name)
    };
    route.parents.iter().map(name).collect()
}
