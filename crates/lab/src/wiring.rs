//! How a plan is wired: for each network namespace its kernel settings, links, addresses, routes, nftables rules and
//! listeners, as values.
//!
//! Pods are routed, as with most network plugins: each has one link to its node, a `/32` and a `/128`, and its node
//! as gateway. The nodes and the outside share a bridge in a namespace of its own. Executing this is
//! [`build`](crate::build)'s work.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::IpAddr;

use ringfence_policy::Protocol;

use crate::plan::{NodeId, Plan, PodId};
use crate::{nat, ranges};

/// A place in [`Wiring::spaces`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SpaceId(pub(crate) usize);

/// All namespaces of a lab, in an order in which each finds its own links made by an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wiring {
    pub(crate) spaces: Vec<Space>,
    nodes: Vec<SpaceId>,
    pods: Vec<SpaceId>,
}

/// One network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Space {
    /// How it is called in `ip netns` for a command run inside the lab, and in errors.
    pub(crate) name: String,
    /// Paths below `/proc/sys/net` and what to write there.
    pub(crate) sysctls: Vec<Sysctl>,
    /// Links made from here, before anything of `ip`.
    pub(crate) links: Vec<Link>,
    /// The lines of an `ip -batch` run.
    pub(crate) ip: String,
    /// The text of an `nft -f` run; empty for none.
    pub(crate) nft: String,
    /// What listens here.
    pub(crate) listeners: Vec<Listener>,
}

/// A kernel setting of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sysctl {
    pub(crate) path: String,
    pub(crate) value: &'static str,
    /// Whether the lab cannot do without; others are missing in some kernels.
    pub(crate) required: bool,
}

/// A veth pair, of which the other end is `eth0` of another namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) to: SpaceId,
}

/// A socket that answers with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) who: String,
}

const FABRIC: SpaceId = SpaceId(0);

/// The outside's namespace.
pub(crate) const OUTSIDE: SpaceId = SpaceId(1);

/// How the outside answers, and is called.
pub(crate) const OUTSIDE_NAME: &str = "outside";

/// Where everything that is sent to the outside is led to. Echo: the port for answering.
const OUTSIDE_PORT: u16 = 7;

impl Wiring {
    pub(crate) fn new(plan: &Plan) -> Wiring {
        let mut wiring = Wiring { spaces: vec![Space::default(), Space::default()], ..Wiring::default() };
        for node in &plan.nodes {
            let id = wiring.push(node.name.clone());
            wiring.nodes.push(id);
        }
        for pod in &plan.pods {
            let id = match wiring.node(pod.node) {
                Some(node) if pod.host_network => node,
                _ => wiring.push(format!("{}.{}", pod.namespace, pod.name)),
            };
            wiring.pods.push(id);
        }
        let first_pod = 2 + plan.nodes.len();
        for (i, space) in wiring.spaces.iter_mut().enumerate().skip(first_pod) {
            let pods = plan.pod_ids().filter(|(id, _)| wiring.pods.get(id.0) == Some(&SpaceId(i)));
            for (_, pod) in pods {
                wire_pod(space, plan, &pod.addresses);
                space.listeners = listeners(pod.ports.iter().map(|p| (p.protocol, p.port)), &pod.full_name());
            }
        }
        for i in 0..plan.nodes.len() {
            wiring.wire_node(plan, NodeId(i));
        }
        wiring.wire_outside(plan);
        wiring.wire_fabric();
        wiring
    }

    /// A node's namespace.
    pub(crate) fn node(&self, id: NodeId) -> Option<SpaceId> {
        self.nodes.get(id.0).copied()
    }

    /// A pod's namespace; its node's where it uses the node's network.
    pub(crate) fn pod(&self, id: PodId) -> Option<SpaceId> {
        self.pods.get(id.0).copied()
    }

    /// The namespaces that track connections.
    pub(crate) fn tracking(&self) -> impl Iterator<Item = SpaceId> {
        self.nodes.iter().copied().chain([OUTSIDE])
    }

    fn push(&mut self, name: String) -> SpaceId {
        self.spaces.push(Space { name, ..Space::default() });
        SpaceId(self.spaces.len() - 1)
    }

    fn wire_fabric(&mut self) {
        let ends: Vec<SpaceId> = std::iter::once(OUTSIDE).chain(self.nodes.iter().copied()).collect();
        let mut space = Space { name: "fabric".into(), sysctls: base_sysctls(true, "0"), ..Space::default() };
        // Snooping would hold back neighbour discovery until it has seen who listens to what.
        line(&mut space.ip, format_args!("link add br0 type bridge mcast_snooping 0"));
        line(&mut space.ip, format_args!("link set br0 up"));
        for to in ends {
            let name = format!("port{}", to.0);
            line(&mut space.ip, format_args!("link set {name} master br0 up"));
            space.links.push(Link { name, to });
        }
        if let Some(fabric) = self.spaces.get_mut(FABRIC.0) {
            *fabric = space;
        }
    }

    fn wire_outside(&mut self, plan: &Plan) {
        let mut space = Space { name: OUTSIDE_NAME.into(), ..Space::default() };
        space.sysctls = base_sysctls(plan.dual_stack, "0");
        // An IPv6 address that is only a local route cannot be bound to otherwise.
        space.sysctls.push(Sysctl { path: "ipv6/ip_nonlocal_bind".into(), value: "1", required: false });
        let ip = &mut space.ip;
        line(ip, format_args!("link set lo up"));
        join_fabric(ip, &plan.families((ranges::OUTSIDE_V4, ranges::OUTSIDE_V6)));
        route_to_pods(ip, plan, None);
        for address in &plan.outside {
            line(ip, format_args!("route add local {address} dev lo"));
        }
        space.nft = nat::outside(OUTSIDE_PORT);
        let ports = [(Protocol::Tcp, OUTSIDE_PORT), (Protocol::Udp, OUTSIDE_PORT)];
        space.listeners = listeners(ports, OUTSIDE_NAME);
        if let Some(outside) = self.spaces.get_mut(OUTSIDE.0) {
            *outside = space;
        }
    }

    fn wire_node(&mut self, plan: &Plan, id: NodeId) {
        let (Some(node), Some(space_id)) = (plan.node(id), self.node(id)) else { return };
        let mut space = Space { name: node.name.clone(), ..Space::default() };
        // Strict reverse path filtering, as nodes have it: a pod cannot use another's address.
        space.sysctls = base_sysctls(plan.dual_stack, "1");
        space.sysctls.push(Sysctl { path: "ipv4/ip_forward".into(), value: "1", required: true });
        if plan.dual_stack {
            space.sysctls.push(Sysctl {
                path: "ipv6/conf/all/forwarding".into(),
                value: "1",
                required: true,
            });
        }
        let ip = &mut space.ip;
        line(ip, format_args!("link set lo up"));
        line(ip, format_args!("addr add {}/32 dev lo scope link", ranges::POD_GATEWAY_V4));
        join_fabric(ip, &node.addresses);
        line(ip, format_args!("route add default via {}", ranges::OUTSIDE_V4));
        // An address of this node that no pod has would go round between the node and the outside.
        let (v4, v6) = ranges::node_pods(id.0);
        line(ip, format_args!("route add unreachable {v4}"));
        if plan.dual_stack {
            line(ip, format_args!("route add default via {}", ranges::OUTSIDE_V6));
            line(ip, format_args!("route add unreachable {v6}"));
        }
        route_to_pods(ip, plan, Some(id));
        for (pod_id, pod) in plan.pod_ids().filter(|(_, p)| p.node == id && !p.host_network) {
            let Some(to) = self.pod(pod_id) else { continue };
            let name = format!("veth{}", pod_id.0);
            line(ip, format_args!("link set {name} up"));
            if plan.dual_stack {
                line(ip, format_args!("addr add {}/64 dev {name} nodad", ranges::POD_GATEWAY_V6));
            }
            for address in &pod.addresses {
                let source = node.addresses.iter().find(|a| a.is_ipv4() == address.is_ipv4());
                let Some(source) = source else { continue };
                line(ip, format_args!("route add {address} dev {name} src {source}"));
            }
            space.links.push(Link { name, to });
        }
        space.nft = nat::node(plan, id);
        for ((_, protocol, port), holder) in plan.node_ports().into_iter().filter(|((n, ..), _)| *n == id) {
            let who = plan.pod(holder).map_or_else(String::new, |p| p.full_name());
            space.listeners.append(&mut listeners([(protocol, port)], &who));
        }
        if let Some(slot) = self.spaces.get_mut(space_id.0) {
            *slot = space;
        }
    }
}

fn wire_pod(space: &mut Space, plan: &Plan, addresses: &[IpAddr]) {
    space.sysctls = base_sysctls(plan.dual_stack, "0");
    let ip = &mut space.ip;
    line(ip, format_args!("link set lo up"));
    for address in addresses {
        let rest = if address.is_ipv4() { "/32 dev eth0" } else { "/128 dev eth0 nodad" };
        line(ip, format_args!("addr add {address}{rest}"));
    }
    line(ip, format_args!("link set eth0 up"));
    line(ip, format_args!("route add {} dev eth0 scope link", ranges::POD_GATEWAY_V4));
    line(ip, format_args!("route add default via {}", ranges::POD_GATEWAY_V4));
    if plan.dual_stack {
        line(ip, format_args!("route add default via {} dev eth0", ranges::POD_GATEWAY_V6));
    }
}

fn join_fabric(ip: &mut String, addresses: &[IpAddr]) {
    for address in addresses {
        match address {
            IpAddr::V4(v4) => line(ip, format_args!("addr add {v4}/24 dev eth0")),
            IpAddr::V6(v6) => {
                line(ip, format_args!("addr add {v6}/64 dev eth0 nodad"));
                line(ip, format_args!("addr add {}/64 dev eth0 nodad", ranges::link_local(*v6)));
            }
        }
    }
    line(ip, format_args!("link set eth0 up"));
}

fn route_to_pods(ip: &mut String, plan: &Plan, except: Option<NodeId>) {
    for (i, node) in plan.nodes.iter().enumerate().filter(|(i, _)| Some(NodeId(*i)) != except) {
        let (v4, v6) = ranges::node_pods(i);
        for address in &node.addresses {
            let range = if address.is_ipv4() { &v4 } else { &v6 };
            line(ip, format_args!("route add {range} via {address}"));
        }
    }
}

/// TCP and UDP; for SCTP there is no socket in most kernels, and probes bring their own receiver.
fn listeners(ports: impl IntoIterator<Item = (Protocol, u16)>, who: &str) -> Vec<Listener> {
    let mut seen = HashSet::new();
    ports
        .into_iter()
        .filter(|(protocol, _)| *protocol != Protocol::Sctp)
        .filter(|port| seen.insert(*port))
        .map(|(protocol, port)| Listener { protocol, port, who: who.to_owned() })
        .collect()
}

fn base_sysctls(dual_stack: bool, rp_filter: &'static str) -> Vec<Sysctl> {
    // Probes ping without raw sockets, and so can every user of a command in here.
    let ping = Sysctl { path: "ipv4/ping_group_range".into(), value: "0 2147483647", required: true };
    let mut all = vec![
        // A refusal that is held back looks like a denial.
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv4/icmp_msgs_per_sec", "1000000"),
        ("ipv4/icmp_msgs_burst", "100000"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", rp_filter),
    ];
    if dual_stack {
        // Addresses work at once, and nobody asks for routers that there are not.
        all.extend([
            ("ipv6/conf/all/accept_dad", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/dad_transmits", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
        ]);
    } else {
        all.extend([("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")]);
    }
    let all = all.into_iter().map(|(path, value)| Sysctl { path: path.into(), value, required: false });
    std::iter::once(ping).chain(all).collect()
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Node, Pod};

    fn plan() -> Plan {
        let addresses = |text: &str| text.split(' ').map(|a| a.parse().unwrap()).collect::<Vec<IpAddr>>();
        let pod = |name: &str, node: usize, host_network: bool, at: &str| Pod {
            namespace: "shop".into(),
            name: name.into(),
            workload: 0,
            node: NodeId(node),
            host_network,
            addresses: addresses(at),
            ports: vec![ringfence_k8s::ContainerPort { name: None, protocol: Protocol::Tcp, port: 80 }],
        };
        Plan {
            nodes: vec![
                Node { name: "one".into(), addresses: addresses("172.30.0.2 fd00:172:30::2") },
                Node { name: "two".into(), addresses: addresses("172.30.0.3 fd00:172:30::3") },
            ],
            pods: vec![
                pod("web", 0, false, "10.244.1.2 fd00:10:244:1::2"),
                pod("agent", 0, true, "172.30.0.2 fd00:172:30::2"),
            ],
            outside: addresses("198.51.100.7 2001:db8::7"),
            dual_stack: true,
            ..Plan::default()
        }
    }

    #[test]
    fn a_pod_on_its_nodes_network_has_no_namespace() {
        let wiring = Wiring::new(&plan());
        let names: Vec<&str> = wiring.spaces.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["fabric", "outside", "one", "two", "shop.web"]);
        assert_eq!(wiring.pod(PodId(1)), wiring.node(NodeId(0)));
        let listeners: Vec<&str> =
            wiring.spaces.iter().flat_map(|s| &s.listeners).map(|l| l.who.as_str()).collect();
        assert_eq!(listeners, ["outside", "outside", "shop/agent", "shop/web"]);
    }

    #[test]
    fn a_node_routes_to_its_pods_the_other_node_and_the_outside() {
        let wiring = Wiring::new(&plan());
        let node = &wiring.spaces[2];
        assert_eq!(node.links, [Link { name: "veth0".into(), to: SpaceId(4) }]);
        let expect = "link set lo up\n\
            addr add 169.254.1.1/32 dev lo scope link\n\
            addr add 172.30.0.2/24 dev eth0\n\
            addr add fd00:172:30::2/64 dev eth0 nodad\n\
            addr add fe80::2/64 dev eth0 nodad\n\
            link set eth0 up\n\
            route add default via 172.30.0.1\n\
            route add unreachable 10.244.1.0/24\n\
            route add default via fd00:172:30::1\n\
            route add unreachable fd00:10:244:1::/64\n\
            route add 10.244.2.0/24 via 172.30.0.3\n\
            route add fd00:10:244:2::/64 via fd00:172:30::3\n\
            link set veth0 up\n\
            addr add fe80::1/64 dev veth0 nodad\n\
            route add 10.244.1.2 dev veth0 src 172.30.0.2\n\
            route add fd00:10:244:1::2 dev veth0 src fd00:172:30::2\n";
        assert_eq!(node.ip, expect);
    }

    #[test]
    fn the_outside_has_its_addresses_and_a_way_to_every_pod() {
        let wiring = Wiring::new(&plan());
        let expect = "link set lo up\n\
            addr add 172.30.0.1/24 dev eth0\n\
            addr add fd00:172:30::1/64 dev eth0 nodad\n\
            addr add fe80::1/64 dev eth0 nodad\n\
            link set eth0 up\n\
            route add 10.244.1.0/24 via 172.30.0.2\n\
            route add fd00:10:244:1::/64 via fd00:172:30::2\n\
            route add 10.244.2.0/24 via 172.30.0.3\n\
            route add fd00:10:244:2::/64 via fd00:172:30::3\n\
            route add local 198.51.100.7 dev lo\n\
            route add local 2001:db8::7 dev lo\n";
        assert_eq!(wiring.spaces[OUTSIDE.0].ip, expect);
    }
}
