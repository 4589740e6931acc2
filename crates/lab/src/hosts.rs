//! The names of a lab, as the text of `/etc/hosts`.
//!
//! There is no DNS server in a lab; a file does for names that do not change.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::IpAddr;

use crate::plan::{Plan, Service};
use crate::ranges;
use crate::wiring::OUTSIDE_NAME;

const DOMAIN: &str = "cluster.local";

/// The names as they are seen from a namespace of the cluster, or from a node or the outside.
///
/// A Service is `name`, `name.namespace`, `name.namespace.svc` and with the cluster's domain behind; a headless one
/// is the addresses of its pods, and each of these has its own name before the Service's. A pod is `name` and
/// `name.namespace`. Short names belong to the own namespace first; what is left of them to whoever comes first.
pub(crate) fn text(plan: &Plan, namespace: Option<&str>) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    let mut short = HashSet::from(["localhost".to_owned()]);
    let mut add = |addresses: &[IpAddr], name: &str, mut names: Vec<String>| {
        if short.insert(name.to_owned()) {
            names.push(name.to_owned());
        }
        if names.is_empty() || names.iter().any(|n| !is_name(n)) {
            return;
        }
        for address in addresses {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{address} {}", names.join(" "));
        }
    };
    let own = |other: &str| namespace == Some(other);
    for own_turn in [true, false] {
        for service in plan.services.iter().filter(|s| own(&s.namespace) == own_turn) {
            let pods = service.pods.iter().filter_map(|id| plan.pod(*id));
            if service.addresses.is_empty() {
                let addresses: Vec<IpAddr> = pods.clone().flat_map(|p| p.addresses.iter().copied()).collect();
                add(&addresses, &service.name, service_names(service, &service.name));
                for pod in pods {
                    let name = format!("{}.{}", pod.name, service.name);
                    add(&pod.addresses, &name, service_names(service, &name));
                }
            } else {
                add(&service.addresses, &service.name, service_names(service, &service.name));
            }
        }
        for pod in plan.pods.iter().filter(|p| own(&p.namespace) == own_turn) {
            add(&pod.addresses, &pod.name, vec![format!("{}.{}", pod.name, pod.namespace)]);
        }
    }
    for node in &plan.nodes {
        add(&node.addresses, &node.name, Vec::new());
    }
    add(&plan.families((ranges::OUTSIDE_V4, ranges::OUTSIDE_V6)), OUTSIDE_NAME, Vec::new());
    text
}

fn service_names(service: &Service, name: &str) -> Vec<String> {
    let namespace = &service.namespace;
    vec![
        format!("{name}.{namespace}.svc.{DOMAIN}"),
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}"),
    ]
}

/// A manifest can hold anything; a line of this file can not.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Node, NodeId, Pod, PodId};

    #[test]
    fn short_names_are_the_own_namespaces() {
        let pod = |namespace: &str, name: &str, address: &str| Pod {
            namespace: namespace.into(),
            name: name.into(),
            workload: 0,
            node: NodeId(0),
            host_network: false,
            addresses: vec![address.parse().unwrap()],
            ports: vec![],
        };
        let service = |namespace: &str, address: Option<&str>, pod: usize| Service {
            namespace: namespace.into(),
            name: "web".into(),
            addresses: address.into_iter().map(|a| a.parse().unwrap()).collect(),
            pods: vec![PodId(pod)],
            ports: vec![],
        };
        let plan = Plan {
            nodes: vec![Node { name: "node-1".into(), addresses: vec!["172.30.0.2".parse().unwrap()] }],
            pods: vec![pod("a", "web-0", "10.244.1.2"), pod("b", "web-0", "10.244.1.3")],
            services: vec![service("a", Some("10.96.1.0"), 0), service("b", None, 1)],
            ..Plan::default()
        };
        let expect = "127.0.0.1 localhost\n\
            ::1 localhost ip6-localhost ip6-loopback\n\
            10.244.1.3 web.b.svc.cluster.local web.b.svc web.b web\n\
            10.244.1.3 web-0.web.b.svc.cluster.local web-0.web.b.svc web-0.web.b web-0.web\n\
            10.244.1.3 web-0.b web-0\n\
            10.96.1.0 web.a.svc.cluster.local web.a.svc web.a\n\
            10.244.1.2 web-0.a\n\
            172.30.0.2 node-1\n\
            172.30.0.1 outside\n";
        assert_eq!(text(&plan, Some("b")), expect);
    }
}
