//! The pods that serve an Ingress or a Gateway's routes, as far as labels tell: those that open connections to workloads.

use ringfence_k8s::{Inventory, Route};
use ringfence_policy::{Engine, PodId};

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
pub(super) fn controllers(engine: &Engine, inventory: &Inventory, route: &Route) -> Vec<PodId> {
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
