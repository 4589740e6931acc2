//! What the lab will hold: nodes, pods, Services and their addresses, decided before anything is made.
//!
//! Pure: the same inventory and options always give the same plan. How the pieces are wired is
//! [`wiring`](crate::wiring)'s to say.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ringfence_k8s::{ContainerPort, Inventory, Leads, Workload, inventory};
use ringfence_policy::Protocol;

use crate::note::Note;
use crate::ranges;

/// What the lab is to be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The names of the nodes, at least one.
    pub nodes: Vec<String>,
    /// IPv6 beside IPv4.
    pub dual_stack: bool,
    /// The most pods that one workload gets. More of the same cost time and show nothing new; two show what is
    /// between replicas. A DaemonSet has one on each node all the same.
    pub max_replicas: u32,
    /// The addresses of the world outside: each answers on every TCP and UDP port, and can be a probe's source.
    pub outside: Vec<IpAddr>,
}

impl Default for Options {
    fn default() -> Options {
        Options { nodes: node_names(2), dual_stack: false, max_replicas: 2, outside: Vec::new() }
    }
}

/// Names for so many nodes: `node-1`, `node-2`, ...
pub fn node_names(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("node-{n}")).collect()
}

/// A place in [`Plan::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// A place in [`Plan::pods`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(pub usize);

/// What there is in a lab.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The nodes, in the order of [`Options::nodes`].
    pub nodes: Vec<Node>,
    /// The pods, by workload in the order of the inventory.
    pub pods: Vec<Pod>,
    /// The Services, in the order of the inventory.
    pub services: Vec<Service>,
    /// The addresses of the outside, without repetition.
    pub outside: Vec<IpAddr>,
    /// Whether there is IPv6.
    pub dual_stack: bool,
    /// Where the lab differs from what was asked.
    pub notes: Vec<Note>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its workload: a place in [`Inventory::workloads`].
    pub workload: usize,
    /// The node that it runs on.
    pub node: NodeId,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Its addresses, IPv4 first; its node's where it uses the node's network.
    pub addresses: Vec<IpAddr>,
    /// The ports on which it answers.
    pub ports: Vec<ContainerPort>,
}

impl Pod {
    /// How it is named to people, and in what it answers.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its addresses, IPv4 first; none where it is headless or selects nothing.
    pub addresses: Vec<IpAddr>,
    /// The pods that it selects.
    pub pods: Vec<PodId>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service and what is behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// The protocol.
    pub protocol: Protocol,
    /// The port on the Service's address.
    pub port: u16,
    /// The pods behind it, each with its own port.
    pub backends: Vec<(PodId, u16)>,
}

/// Why there can be no such lab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No node or too many of them.
    #[error("a lab has 1 to {max} nodes, not {0}", max = ranges::MAX_NODES)]
    Nodes(usize),
    /// Two nodes of one name.
    #[error("two nodes are named {0}")]
    NodeTwice(String),
    /// One node's range is full.
    #[error("{0} would hold more than {max} pods: use more nodes or fewer replicas", max = ranges::MAX_PODS_PER_NODE)]
    NodeFull(String),
    /// The Services' range is full.
    #[error("more than {max} Services", max = ranges::MAX_SERVICES)]
    Services,
}

impl Plan {
    /// The lab for these manifests.
    pub fn new(inventory: &Inventory, options: &Options) -> Result<Plan, PlanError> {
        if options.nodes.is_empty() || options.nodes.len() > ranges::MAX_NODES {
            return Err(PlanError::Nodes(options.nodes.len()));
        }
        let mut names = HashSet::new();
        if let Some(twice) = options.nodes.iter().find(|n| !names.insert(*n)) {
            return Err(PlanError::NodeTwice(twice.clone()));
        }
        let mut plan = Plan { dual_stack: options.dual_stack, ..Plan::default() };
        for (i, name) in options.nodes.iter().enumerate() {
            let addresses = plan.families(ranges::node(i));
            plan.nodes.push(Node { name: name.clone(), addresses });
        }
        plan.place_pods(inventory, options)?;
        plan.note_taken_ports();
        plan.place_services(inventory)?;
        for &address in &options.outside {
            if !ranges::can_be_outside(address) || (address.is_ipv6() && !plan.dual_stack) {
                plan.notes.push(Note::NotOutside(address));
            } else if !plan.outside.contains(&address) {
                plan.outside.push(address);
            }
        }
        Ok(plan)
    }

    /// A pod.
    pub fn pod(&self, id: PodId) -> Option<&Pod> {
        self.pods.get(id.0)
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// The ranges from which a node's pods have their addresses.
    pub fn pod_ranges(&self, id: NodeId) -> Vec<IpNet> {
        let (v4, v6) = ranges::node_pods(id.0);
        let families = [Some(v4), self.dual_stack.then_some(v6)];
        families.into_iter().flatten().filter_map(|range| range.parse().ok()).collect()
    }

    /// The pods with their ids.
    pub fn pod_ids(&self) -> impl Iterator<Item = (PodId, &Pod)> {
        self.pods.iter().enumerate().map(|(i, p)| (PodId(i), p))
    }

    /// The ports on which something listens in each node's own network, with the pod that does.
    pub(crate) fn node_ports(&self) -> BTreeMap<(NodeId, Protocol, u16), PodId> {
        let mut taken = BTreeMap::new();
        for (id, pod) in self.pod_ids().filter(|(_, p)| p.host_network) {
            for port in &pod.ports {
                taken.entry((pod.node, port.protocol, port.port)).or_insert(id);
            }
        }
        taken
    }

    /// The addresses that something has here, of those that it would have with both families.
    pub(crate) fn families(&self, (v4, v6): (Ipv4Addr, Ipv6Addr)) -> Vec<IpAddr> {
        let mut addresses = vec![IpAddr::V4(v4)];
        if self.dual_stack {
            addresses.push(IpAddr::V6(v6));
        }
        addresses
    }

    fn place_pods(&mut self, inventory: &Inventory, options: &Options) -> Result<(), PlanError> {
        let mut names = HashSet::new();
        let mut on_node = vec![0usize; self.nodes.len()];
        let mut next = 0;
        // Bare pods first: their names are given, a controller's pods take what is left.
        let (bare, made): (Vec<_>, Vec<_>) = inventory
            .pods()
            .into_iter()
            .partition(|(i, _)| inventory.workloads.get(*i).is_some_and(|w| w.kind == "Pod"));
        let mut pods = Vec::new();
        for (index, _) in bare.into_iter().chain(made) {
            let Some(workload) = inventory.workloads.get(index) else { continue };
            let full_name = format!("{}/{}", workload.namespace, workload.name);
            let wanted = workload.node.as_ref().and_then(|w| self.nodes.iter().position(|n| n.name == *w));
            if let (Some(node), None) = (&workload.node, wanted) {
                self.notes.push(Note::NoSuchNode { workload: full_name.clone(), node: node.clone() });
            }
            let per_node = workload.kind == "DaemonSet" && wanted.is_none() && workload.replicas > 0;
            let count = if per_node {
                self.nodes.len()
            } else {
                let pods = workload.replicas.min(options.max_replicas);
                if pods < workload.replicas {
                    let replicas = workload.replicas;
                    self.notes.push(Note::ReplicasCapped { workload: full_name, replicas, pods });
                }
                pods as usize
            };
            for i in 0..count {
                let node = if per_node { i } else { wanted.unwrap_or(next % self.nodes.len()) };
                if wanted.is_none() && !per_node {
                    next += 1;
                }
                let name = unique_name(&mut names, workload, i);
                pods.push(self.place(&mut on_node, workload, index, node, name)?);
            }
        }
        pods.sort_by_key(|p| p.workload);
        self.pods = pods;
        Ok(())
    }

    fn place(
        &self,
        on_node: &mut [usize],
        workload: &Workload,
        index: usize,
        node: usize,
        name: String,
    ) -> Result<Pod, PlanError> {
        let addresses = if workload.host_network {
            self.families(ranges::node(node))
        } else {
            let used = on_node.get_mut(node).ok_or(PlanError::Nodes(node))?;
            if *used >= ranges::MAX_PODS_PER_NODE {
                return Err(PlanError::NodeFull(
                    self.nodes.get(node).map_or_else(String::new, |n| n.name.clone()),
                ));
            }
            *used += 1;
            self.families(ranges::pod(node, *used - 1))
        };
        let mut seen = HashSet::new();
        let ports =
            workload.ports.iter().filter(|p| seen.insert((&p.name, p.protocol, p.port))).cloned().collect();
        Ok(Pod {
            namespace: workload.namespace.clone(),
            name,
            workload: index,
            node: NodeId(node),
            host_network: workload.host_network,
            addresses,
            ports,
        })
    }

    fn note_taken_ports(&mut self) {
        let taken = self.node_ports();
        let mut notes = Vec::new();
        for (id, pod) in self.pod_ids().filter(|(_, p)| p.host_network) {
            for port in &pod.ports {
                let holder = taken.get(&(pod.node, port.protocol, port.port)).filter(|h| **h != id);
                if let Some(by) = holder.and_then(|h| self.pod(*h)) {
                    notes.push(Note::PortTaken {
                        pod: pod.full_name(),
                        by: by.full_name(),
                        protocol: port.protocol,
                        port: port.port,
                    });
                }
            }
        }
        self.notes.append(&mut notes);
    }

    fn place_services(&mut self, inventory: &Inventory) -> Result<(), PlanError> {
        let mut allocated = 0;
        for service in &inventory.services {
            let pods = self.selected(service, inventory);
            let addresses = if service.leads() != Leads::ToPods {
                Vec::new()
            } else if allocated >= ranges::MAX_SERVICES {
                return Err(PlanError::Services);
            } else {
                allocated += 1;
                self.families(ranges::service(allocated - 1))
            };
            let mut ports = Vec::new();
            let named = |id: &PodId| {
                let workload = self.pod(*id).and_then(|pod| inventory.workloads.get(pod.workload));
                (*id, workload.map(Workload::named_ports).unwrap_or_default())
            };
            let named: Vec<_> = pods.iter().map(named).collect();
            for port in &service.ports {
                let backends: Vec<_> =
                    named.iter().filter_map(|(id, named)| Some((*id, port.number_on(named)?))).collect();
                if backends.is_empty() && !addresses.is_empty() {
                    self.notes.push(Note::NoBackend {
                        service: format!("{}/{}", service.namespace, service.name),
                        protocol: port.protocol,
                        port: port.port,
                    });
                }
                ports.push(ServicePort { protocol: port.protocol, port: port.port, backends });
            }
            let (namespace, name) = (service.namespace.clone(), service.name.clone());
            self.services.push(Service { namespace, name, addresses, pods, ports });
        }
        Ok(())
    }

    fn selected(&self, service: &inventory::Service, inventory: &Inventory) -> Vec<PodId> {
        let selects = |pod: &Pod| {
            let workload = inventory.workloads.get(pod.workload);
            workload.is_some_and(|w| service.selects(&w.namespace, &w.labels))
        };
        self.pod_ids().filter(|(_, pod)| selects(pod)).map(|(id, _)| id).collect()
    }
}

/// `web` for a bare pod, `web-0` for a controller's; two controllers of one name are told apart by their kind.
fn unique_name(names: &mut HashSet<(String, String)>, workload: &Workload, index: usize) -> String {
    let first =
        if workload.kind == "Pod" { workload.name.clone() } else { format!("{}-{index}", workload.name) };
    let kind = workload.kind.to_lowercase();
    let others = (index..).map(|i| format!("{}-{kind}-{i}", workload.name));
    let mut candidates = std::iter::once(first).chain(others);
    candidates.find(|name| names.insert((workload.namespace.clone(), name.clone()))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_k8s::{ServicePort as K8sServicePort, TargetPort};
    use ringfence_policy::Labels;

    fn workload(kind: &str, name: &str, replicas: u32) -> Workload {
        Workload {
            namespace: "shop".into(),
            kind: kind.into(),
            name: name.into(),
            labels: Labels::from([("app".into(), name.into())]),
            replicas,
            ports: vec![],
            host_network: false,
            addresses: vec![],
            node: None,
            owner: None,
            source: None,
        }
    }

    fn plan(workloads: Vec<Workload>) -> Plan {
        let options = Options { outside: vec!["10.96.0.1".parse().unwrap()], ..Options::default() };
        Plan::new(&Inventory { workloads, ..Inventory::default() }, &options).unwrap()
    }

    fn placed(plan: &Plan) -> Vec<(&str, usize, String)> {
        plan.pods.iter().map(|p| (p.name.as_str(), p.node.0, p.addresses[0].to_string())).collect()
    }

    #[test]
    fn pods_go_round_the_nodes_and_keep_off_taken_names() {
        let fixed = Workload { node: Some("node-2".into()), ..workload("Pod", "web-0", 1) };
        let lost = Workload { node: Some("elsewhere".into()), ..workload("Pod", "lost", 1) };
        let workloads = vec![workload("Deployment", "web", 5), fixed, lost, workload("DaemonSet", "log", 1)];
        let plan = plan(workloads);
        let expect = [
            ("web-deployment-0", 1, "10.244.2.3"),
            ("web-1", 0, "10.244.1.3"),
            ("web-0", 1, "10.244.2.2"),
            ("lost", 0, "10.244.1.2"),
            ("log-0", 0, "10.244.1.4"),
            ("log-1", 1, "10.244.2.4"),
        ];
        assert_eq!(placed(&plan), expect.map(|(name, node, address)| (name, node, address.to_owned())));
        let notes: Vec<String> = plan.notes.iter().map(Note::to_string).collect();
        assert_eq!(
            notes,
            [
                "shop/lost names node elsewhere, which the lab does not have; placed on another",
                "shop/web has 2 pods here instead of 5",
                "10.96.0.1 cannot be an outside address here: not unicast, or of a range that the lab uses",
            ]
        );
    }

    #[test]
    fn a_workload_that_is_scaled_down_has_no_pod() {
        assert_eq!(
            placed(&plan(vec![workload("Deployment", "web", 0), workload("DaemonSet", "log", 0)])),
            []
        );
    }

    #[test]
    fn a_named_target_is_looked_up_on_each_pod_with_its_protocol() {
        let port = |name: &str, protocol, port| ContainerPort { name: Some(name.into()), protocol, port };
        let labelled = |name: &str, port: ContainerPort| {
            let labels = Labels::from([("tier".into(), "front".into())]);
            Workload { labels, ports: vec![port], ..workload("Pod", name, 1) }
        };
        let inventory = Inventory {
            workloads: vec![
                labelled("a", port("http", Protocol::Tcp, 8080)),
                labelled("b", port("http", Protocol::Tcp, 80)),
                labelled("c", port("http", Protocol::Udp, 80)),
                Workload { namespace: "other".into(), ..labelled("d", port("http", Protocol::Tcp, 80)) },
            ],
            services: vec![ringfence_k8s::Service {
                namespace: "shop".into(),
                name: "front".into(),
                selector: Some(Labels::from([("tier".into(), "front".into())])),
                kind: "ClusterIP".into(),
                headless: false,
                annotations: Labels::new(),
                from_outside: Default::default(),
                ports: vec![K8sServicePort {
                    name: None,
                    protocol: Protocol::Tcp,
                    port: 1,
                    target: TargetPort::Name("http".into()),
                    node_port: None,
                }],
                source: None,
            }],
            ..Inventory::default()
        };
        let plan = Plan::new(&inventory, &Options::default()).unwrap();
        let backends = vec![(PodId(0), 8080), (PodId(1), 80)];
        assert_eq!(plan.services[0].ports, [ServicePort { protocol: Protocol::Tcp, port: 1, backends }]);
        assert_eq!(plan.services[0].pods, [PodId(0), PodId(1), PodId(2)]);
    }

    #[test]
    fn impossible_labs_are_refused() {
        let refuse = |options: Options, replicas| {
            let workloads = vec![workload("Deployment", "web", replicas)];
            Plan::new(&Inventory { workloads, ..Inventory::default() }, &options).unwrap_err().to_string()
        };
        let nodes = |nodes: &[&str]| nodes.iter().map(|n| (*n).to_owned()).collect();
        assert_eq!(
            refuse(Options { nodes: nodes(&[]), ..Options::default() }, 1),
            "a lab has 1 to 250 nodes, not 0"
        );
        assert_eq!(
            refuse(Options { nodes: nodes(&["a", "a"]), ..Options::default() }, 1),
            "two nodes are named a"
        );
        assert_eq!(
            refuse(Options { nodes: nodes(&["a"]), max_replicas: 1000, ..Options::default() }, 300),
            "a would hold more than 250 pods: use more nodes or fewer replicas"
        );
    }
}
