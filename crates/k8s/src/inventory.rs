//! What the manifests hold, as far as traffic is concerned: the result of reading, before any question is asked.

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::{
    ClusterPolicy, Labels, NamedPort, Namespace, NetworkPolicy, Node, Policy, Protocol, Source,
};

/// Everything that was read, in the order in which it was found.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Namespaces: those that were declared, and those that objects name without a declaration.
    pub namespaces: Vec<Namespace>,
    /// Nodes, with their own addresses.
    pub nodes: Vec<Node>,
    /// What runs pods.
    pub workloads: Vec<Workload>,
    /// Services.
    pub services: Vec<Service>,
    /// Ingresses and Gateway routes: ways from outside to Services.
    pub routes: Vec<Route>,
    /// Gateways.
    pub gateways: Vec<Gateway>,
    /// Network policies, each name once.
    pub policies: Vec<NetworkPolicy>,
    /// Policies of the whole cluster, each kind and name once, in the order of the text.
    pub cluster_policies: Vec<ClusterPolicy>,
}

impl Inventory {
    /// The policies of every kind.
    pub fn all_policies(&self) -> Vec<Policy> {
        let networks = self.policies.iter().cloned().map(Policy::Network);
        networks.chain(self.cluster_policies.iter().cloned().map(Policy::Cluster)).collect()
    }
}

/// An object that runs pods: a bare Pod, or the template of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// The kind as the API spells it, such as `Deployment`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The labels of its pods.
    pub labels: Labels,
    /// How many pods; 0 where it is scaled down. A DaemonSet counts as 1.
    pub replicas: u32,
    /// The ports that its containers declare, in order.
    pub ports: Vec<ContainerPort>,
    /// Whether its pods use their node's network.
    pub host_network: bool,
    /// The addresses of a pod read from a cluster; empty in manifests.
    pub addresses: Vec<IpAddr>,
    /// The node of a pod that names one.
    pub node: Option<String>,
    /// The controller that owns the object, such as a pod's Deployment; `None` where it stands for itself.
    pub owner: Option<Owner>,
    /// Where it is written.
    pub source: Option<Source>,
}

impl Workload {
    /// The ports that have a name.
    pub fn named_ports(&self) -> Vec<NamedPort> {
        self.ports
            .iter()
            .filter_map(|p| {
                p.name.as_ref().map(|name| NamedPort {
                    name: name.clone(),
                    protocol: p.protocol,
                    port: p.port,
                })
            })
            .collect()
    }
}

/// The controller that owns an object, in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// A port that a container declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The pods behind it; `None` or empty: it selects none by itself.
    pub selector: Option<Labels>,
    /// The type, such as `ClusterIP`.
    pub kind: String,
    /// Whether it is headless (`clusterIP: None`): a name for pod addresses, without translation.
    pub headless: bool,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// What it says of traffic from outside the cluster.
    pub from_outside: FromOutside,
    /// Its annotations.
    pub annotations: Labels,
    /// Where it is written.
    pub source: Option<Source>,
}

/// What a Service says of traffic from outside the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FromOutside {
    /// Addresses outside the cluster's own on which it is reached (`externalIPs`), as written.
    pub external_ips: Vec<String>,
    /// Whether only nodes that run its pods take such traffic, so that the client's address arrives
    /// (`externalTrafficPolicy: Local`). Otherwise any node takes it, and may put its own address in the client's place.
    pub keeps_client: bool,
    /// From where its load balancer is to take connections (`loadBalancerSourceRanges`); none: from anywhere.
    pub source_ranges: Vec<IpNet>,
    /// Whether its load balancer asks for no node ports (`allocateLoadBalancerNodePorts: false`). Those that are written
    /// are open all the same.
    pub without_node_ports: bool,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The protocol.
    pub protocol: Protocol,
    /// The port on the Service's address.
    pub port: u16,
    /// The port on the pod.
    pub target: TargetPort,
    /// The port on every node, where one is written.
    pub node_port: Option<u16>,
}

/// How a Service names the port of its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By the name of a container port.
    Name(String),
}

/// An Ingress or a route of the Gateway API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its namespace.
    pub namespace: String,
    /// The kind, such as `Ingress` or `HTTPRoute`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The class of an Ingress: which controller serves it.
    pub class: Option<String>,
    /// The Gateways that a route belongs to.
    pub parents: Vec<RouteParent>,
    /// Where it leads: one entry for each host and path.
    pub backends: Vec<Backend>,
    /// Where it is written.
    pub source: Option<Source>,
}

/// The Gateway that a route belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteParent {
    /// Its namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// A Service that a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// Which of its ports.
    pub port: Option<BackendPort>,
    /// The host name that is asked for; `None`: any.
    pub host: Option<String>,
    /// The path; `None`: any, or there are no paths.
    pub path: Option<String>,
    /// Where it is written.
    pub source: Option<Source>,
}

/// How a route names a port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendPort {
    /// By number.
    Number(u16),
    /// By the name that the Service gives it.
    Name(String),
}

/// A Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Its class: which controller serves it.
    pub class: Option<String>,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// Where it is written.
    pub source: Option<Source>,
}

/// A port on which a Gateway listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The protocol, as the Gateway API spells it.
    pub protocol: String,
}
