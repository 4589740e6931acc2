//! The nftables rules of the lab: Services as kube-proxy does them, and an outside that answers on every port.
//!
//! No policy is enforced here. The rules also are what makes a namespace track connections, which enforcement needs.

use std::fmt::Write;
use std::net::IpAddr;

use ringfence_policy::Protocol;

use crate::plan::{NodeId, Plan, PodId, ServicePort};
use crate::ranges;

/// The name of the lab's table in each namespace that has one.
pub const TABLE: &str = "ringfence_lab";

/// The rules of a node.
///
/// A connection to a Service is led to one of its backends at random, before routing, for pods and for the node
/// itself. One that comes back to the pod that opened it gets the node's address as source, or the pod would answer
/// itself past the node. One to a Service that nobody is behind is refused.
pub(crate) fn node(plan: &Plan, node: NodeId) -> String {
    let mut chains = String::new();
    let (mut entries4, mut entries6) = (Vec::new(), Vec::new());
    let mut count = 0;
    for service in &plan.services {
        for (port, address) in
            service.ports.iter().flat_map(|p| service.addresses.iter().map(move |a| (p, a)))
        {
            let Some(rule) = backends(plan, port, address.is_ipv4()) else { continue };
            let _ = writeln!(chains, " chain service{count} {{ {rule}; }}");
            let entry = format!("{address} . {} . {} : goto service{count}", l4(port.protocol), port.port);
            if address.is_ipv4() {
                entries4.push(entry)
            } else {
                entries6.push(entry)
            }
            count += 1;
        }
    }
    let own = |v4: bool| plan.node(node).and_then(|n| n.addresses.iter().find(|a| a.is_ipv4() == v4));
    let hairpins = |v4: bool| -> Vec<String> {
        let local = plan.pods.iter().filter(|p| p.node == node && !p.host_network);
        let addresses = local.flat_map(|p| p.addresses.iter().filter(|a| a.is_ipv4() == v4));
        addresses.map(|a| format!("{a} . {a}")).collect()
    };
    let mut text = format!("table inet {TABLE} {{\n");
    let mut add = |line: String| {
        let _ = writeln!(text, " {line}");
    };
    add(named("map services4", "type ipv4_addr . inet_proto . inet_service : verdict", &entries4));
    add(named("map services6", "type ipv6_addr . inet_proto . inet_service : verdict", &entries6));
    add(named("set hairpins4", "type ipv4_addr . ipv4_addr", &hairpins(true)));
    add(named("set hairpins6", "type ipv6_addr . ipv6_addr", &hairpins(false)));
    for (chain, hook) in [("from_network", "prerouting"), ("from_node", "output")] {
        add(format!("chain {chain} {{ type nat hook {hook} priority -100;"));
        add("  ip daddr . meta l4proto . th dport vmap @services4;".into());
        add("  ip6 daddr . meta l4proto . th dport vmap @services6; }".into());
    }
    add("chain back_to_itself { type nat hook postrouting priority 100;".into());
    if let Some(address) = own(true) {
        add(format!("  ct status dnat ip saddr . ip daddr @hairpins4 snat ip to {address};"));
    }
    if let Some(address) = own(false) {
        add(format!("  ct status dnat ip6 saddr . ip6 daddr @hairpins6 snat ip6 to {address};"));
    }
    add("}".into());
    for (chain, hook) in [("no_backend_from_network", "forward"), ("no_backend_from_node", "output")] {
        add(format!("chain {chain} {{ type filter hook {hook} priority 0;"));
        add(format!("  ip daddr {} reject;", ranges::SERVICE_RANGE_V4));
        add(format!("  ip6 daddr {} reject; }}", ranges::SERVICE_RANGE_V6));
    }
    // The chains that the maps lead to must stand before them.
    text = text.replacen('\n', &format!("\n{chains}"), 1);
    text.push_str("}\n");
    text
}

/// The rules of the outside: every port of every address leads to one listener.
pub(crate) fn outside(port: u16) -> String {
    format!(
        "table inet {TABLE} {{\n chain every_port {{ type nat hook prerouting priority -100;\n  \
         meta l4proto {{ tcp, udp }} redirect to :{port}; }}\n}}\n"
    )
}

/// What leads to the backends of one family, or `None` where there is none.
fn backends(plan: &Plan, port: &ServicePort, v4: bool) -> Option<String> {
    let address = |id: &PodId| -> Option<IpAddr> {
        plan.pod(*id)?.addresses.iter().copied().find(|a| a.is_ipv4() == v4)
    };
    let ends: Vec<_> = port.backends.iter().filter_map(|(id, port)| Some((address(id)?, *port))).collect();
    let entries: Vec<String> =
        ends.iter().enumerate().map(|(i, (address, port))| format!("{i} : {address} . {port}")).collect();
    let (family, protocol) = (if v4 { "ip" } else { "ip6" }, l4(port.protocol));
    (!ends.is_empty()).then(|| {
        let map = format!("numgen random mod {} map {{ {} }}", ends.len(), entries.join(", "));
        format!("meta l4proto {protocol} dnat {family} to {map}")
    })
}

fn named(kind: &str, typed: &str, elements: &[String]) -> String {
    if elements.is_empty() {
        return format!("{kind} {{ {typed}; }}");
    }
    format!("{kind} {{ {typed}; elements = {{ {} }}; }}", elements.join(", "))
}

fn l4(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Node, Pod, Service};

    #[test]
    fn a_service_leads_to_its_backends_each_with_its_port() {
        let pod = |name: &str, node: usize, address: &str| Pod {
            namespace: "shop".into(),
            name: name.into(),
            workload: 0,
            node: NodeId(node),
            host_network: false,
            addresses: vec![address.parse().unwrap()],
            ports: vec![],
        };
        let port = |protocol, port, backends: &[(usize, u16)]| ServicePort {
            protocol,
            port,
            backends: backends.iter().map(|(pod, port)| (PodId(*pod), *port)).collect(),
        };
        let plan = Plan {
            nodes: vec![Node { name: "one".into(), addresses: vec!["172.30.0.2".parse().unwrap()] }],
            pods: vec![pod("a", 0, "10.244.1.2"), pod("b", 1, "10.244.2.2")],
            services: vec![Service {
                namespace: "shop".into(),
                name: "web".into(),
                addresses: vec!["10.96.1.0".parse().unwrap()],
                pods: vec![],
                ports: vec![
                    port(Protocol::Tcp, 80, &[(0, 8080), (1, 8081)]),
                    port(Protocol::Udp, 53, &[]),
                    port(Protocol::Sctp, 9, &[(1, 9)]),
                ],
            }],
            ..Plan::default()
        };
        let expect = "table inet ringfence_lab {\n \
            chain service0 { meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8081 }; }\n \
            chain service1 { meta l4proto sctp dnat ip to numgen random mod 1 map { 0 : 10.244.2.2 . 9 }; }\n \
            map services4 { type ipv4_addr . inet_proto . inet_service : verdict; \
            elements = { 10.96.1.0 . tcp . 80 : goto service0, 10.96.1.0 . sctp . 9 : goto service1 }; }\n \
            map services6 { type ipv6_addr . inet_proto . inet_service : verdict; }\n \
            set hairpins4 { type ipv4_addr . ipv4_addr; elements = { 10.244.1.2 . 10.244.1.2 }; }\n";
        let text = node(&plan, NodeId(0));
        assert!(text.starts_with(expect), "{text}");
    }
}
