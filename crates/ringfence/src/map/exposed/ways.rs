//! The ways from outside into the cluster that manifests tell of, with the ports of the pods at their ends.

use ringfence_k8s::{Backend, Inventory, Leads, Route, Service, ServicePort};
use ringfence_policy::{Engine, PodId, Traffic};

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
    /// The pods from which it comes, where it is not outside itself: those of the controller.
    pub(super) through: Option<Through>,
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
        for kind in doors(service) {
            ways.extend(service.ports.iter().filter_map(|port| by_service(engine, service, port, &kind)));
        }
    }
    for route in &inventory.routes {
        ways.extend(route.backends.iter().filter_map(|backend| by_route(engine, inventory, route, backend)));
    }
    ways
}

/// How a Service can be reached from outside.
fn doors(service: &Service) -> Vec<String> {
    let mut doors = Vec::new();
    if service.is_on_nodes() {
        doors.push(service.kind.clone());
    }
    if !service.external_ips.is_empty() && service.leads() != Leads::ExternalName {
        doors.push("ExternalIPs".to_owned());
    }
    doors
}

fn by_service(engine: &Engine, of: &Service, port: &ServicePort, door: &str) -> Option<Way> {
    let (pods, to) = behind(engine, of, port)?;
    let at = match (door, port.node_port) {
        ("NodePort", Some(node_port)) => format!("node port {node_port}"),
        ("ExternalIPs", _) => format!("{} {}", of.external_ips.join(", "), port.port),
        _ => format!("{} {}", port.protocol, port.port),
    };
    let name = format!("{}/{}", of.namespace, of.name);
    Some(Way {
        text: format!("{door} Service {name}, {at} to {to}"),
        kind: door.to_owned(),
        objects: vec![format!("Service {name}")],
        pods,
        through: None,
    })
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
        through: Some(Through { object, pods: controllers(engine, inventory, route) }),
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

/// Labels by which the pods of well-known controllers can be told, and the classes that they serve.
const CONTROLLERS: [(&str, &str, &[&str]); 13] = [
    ("app.kubernetes.io/name", "ingress-nginx", &["nginx"]),
    ("app.kubernetes.io/name", "nginx-ingress", &["nginx"]),
    ("app", "ingress-nginx", &["nginx"]),
    ("app.kubernetes.io/name", "traefik", &["traefik"]),
    ("app.kubernetes.io/name", "haproxy-ingress", &["haproxy"]),
    ("app.kubernetes.io/name", "kubernetes-ingress", &["haproxy"]),
    ("app.kubernetes.io/name", "kong", &["kong"]),
    ("app.kubernetes.io/name", "envoy", &["contour"]),
    ("app", "envoy", &["contour"]),
    ("app.kubernetes.io/name", "contour", &["contour"]),
    ("istio", "ingressgateway", &["istio"]),
    (
        "ingresscontroller.operator.openshift.io/deployment-ingresscontroller",
        "default",
        &["openshift-default"],
    ),
    ("app.kubernetes.io/name", "nginx-gateway-fabric", &["nginx"]),
];

/// Labels that carry the name of the Gateway that a pod serves.
const OF_GATEWAY: [&str; 2] =
    ["gateway.networking.k8s.io/gateway-name", "gateway.envoyproxy.io/owning-gateway-name"];

/// The pods that serve a route, as far as labels tell.
fn controllers(engine: &Engine, inventory: &Inventory, route: &Route) -> Vec<PodId> {
    let of_class = |class: Option<&str>| -> Vec<PodId> {
        let serves = |labels: &ringfence_policy::Labels, by_class: bool| {
            CONTROLLERS.iter().any(|(key, value, classes)| {
                labels.get(*key).is_some_and(|v| v == value)
                    && (!by_class || class.is_some_and(|class| classes.iter().any(|c| class.starts_with(c))))
            })
        };
        let of = |by_class: bool| -> Vec<PodId> {
            engine.pods().filter(|(_, pod)| serves(&pod.labels, by_class)).map(|(id, _)| id).collect()
        };
        // A class of another name may be served by any controller there is.
        Some(of(true)).filter(|pods| !pods.is_empty()).unwrap_or_else(|| of(false))
    };
    if route.kind == "Ingress" {
        return of_class(route.class.as_deref());
    }
    let mut pods = Vec::new();
    for parent in &route.parents {
        let own = engine
            .pods()
            .filter(|(_, pod)| OF_GATEWAY.iter().any(|label| pod.labels.get(*label) == Some(&parent.name)));
        let own: Vec<PodId> = own.map(|(id, _)| id).collect();
        if own.is_empty() {
            let gateway = inventory.gateways.iter();
            let mut of = gateway.filter(|g| g.namespace == parent.namespace && g.name == parent.name);
            pods.extend(of_class(of.next().and_then(|g| g.class.as_deref())));
        } else {
            pods.extend(own);
        }
    }
    pods.sort_unstable();
    pods.dedup();
    pods
}
