//! The model: what there is in a cluster, as far as policies can see it.
//!
//! These are plain values. Reading them from text or from an API server, and refusing what cannot be read, is done
//! before they are made; what is here is complete and cannot be malformed.

mod block;
mod ports;
mod selector;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use block::IpBlock;
pub use ports::{PortMatch, PortRange, PortRef, Ports};
pub use selector::{LabelSelector, Requirement};

use crate::cluster::{ClusterPolicy, ClusterPolicyName};

/// The labels of an object, by key.
pub type Labels = BTreeMap<String, String>;

/// One label, key and value.
pub type Label = (String, String);

/// The label that every namespace carries with its own name, written in its manifest or not.
///
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#automatic-labelling>
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Everything that decides who may talk to whom.
///
/// The order of its lists means nothing, but for the numbers of pods. So where several claim one address, which no cluster
/// should show but a stale one can, what they are decides whose it is: a node before pods, a pod with a network of its own
/// before one on its node's, and of these the first by namespace and name. The others keep what their selectors match and
/// are known without that address.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The namespaces. A pod or policy in a namespace that is not listed lives in one with only
    /// [`NAMESPACE_NAME_LABEL`].
    pub namespaces: Vec<Namespace>,
    /// The nodes. Only their addresses matter.
    pub nodes: Vec<Node>,
    /// The pods. A [`PodId`] is a place in this list.
    pub pods: Vec<Pod>,
    /// The network policies in force; each name once.
    pub policies: Vec<NetworkPolicy>,
    /// The policies of the whole cluster; each kind and name once.
    pub cluster_policies: Vec<ClusterPolicy>,
    /// The addresses that DNS names are known to lead to; each name once.
    pub names: Vec<ResolvedName>,
    /// Where pods without a known address live, as far as that is known. Empty: nothing is known of it.
    pub pod_cidrs: Vec<IpNet>,
}

impl World {
    /// The policies of every kind, each tier's among them.
    pub fn all_policies(&self) -> impl Iterator<Item = Policy> {
        let networks = self.policies.iter().cloned().map(Policy::Network);
        networks.chain(self.cluster_policies.iter().cloned().map(Policy::Cluster))
    }

    /// The same world under these policies alone.
    #[must_use]
    pub fn with_policies(mut self, policies: impl IntoIterator<Item = Policy>) -> World {
        (self.policies, self.cluster_policies) = (Vec::new(), Vec::new());
        for policy in policies {
            match policy {
                Policy::Network(policy) => self.policies.push(policy),
                Policy::Cluster(policy) => self.cluster_policies.push(policy),
            }
        }
        self
    }
}

/// A place in [`World::pods`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(pub u32);

/// A namespace and its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels as written; [`NAMESPACE_NAME_LABEL`] need not be among them.
    pub labels: Labels,
}

/// A node and its own addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Every address that the node itself uses, of both families.
    pub addresses: Vec<IpAddr>,
}

/// A DNS name and the addresses that it is known to lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedName {
    /// The name, without a star.
    pub name: String,
    /// Its addresses, of both families.
    pub addresses: Vec<IpAddr>,
}

/// A pod, or, from a manifest, a number of pods that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its own name; for pods from a workload's manifest, the workload's.
    pub name: String,
    /// The workload that it belongs to; a bare pod is its own.
    pub workload: Workload,
    /// How many alike pods this stands for: 1 for a real pod, the replicas for a workload's manifest.
    pub count: u32,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, at most one of each family. Empty: not known, as in manifests.
    pub addresses: Vec<IpAddr>,
    /// The container ports that have a name.
    pub named_ports: Vec<NamedPort>,
    /// Whether it uses its node's network: then it is its node's address and no selector matches it.
    pub host_network: bool,
    /// The node that it runs on, by name, if that is known.
    pub node: Option<String>,
}

/// What a pod belongs to: the unit that people name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// The kind as the API spells it, such as `Deployment`.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// A container port with a name, which a policy can refer to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The name.
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The number, 1 to 65535.
    pub port: u16,
}

/// The protocols that have ports and that a policy can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Every protocol, in the order in which they are listed to people.
    pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    /// The protocol number in the IP header.
    ///
    /// <https://www.iana.org/assignments/protocol-numbers>
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// The name as Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is sent, as far as a policy can tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// A connection to this port of the pod that receives it, after any Service's translation.
    Port(Protocol, u16),
    /// A protocol that no policy can name: ICMP, ICMPv6, GRE and so on.
    Other,
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Traffic::Port(protocol, port) => write!(f, "{protocol} {port}"),
            Traffic::Other => f.write_str("ICMP and other protocols"),
        }
    }
}

/// A `networking.k8s.io/v1` NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Its namespace and name.
    pub name: PolicyName,
    /// Which pods of its namespace it isolates.
    pub subject: LabelSelector,
    /// The inbound rules; `None` where the policy says nothing about that direction.
    pub ingress: Option<Vec<Rule>>,
    /// The outbound rules; `None` where the policy says nothing about that direction.
    pub egress: Option<Vec<Rule>>,
    /// Where it is written.
    pub source: Option<Source>,
}

/// A policy's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A policy of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// A namespace's.
    Network(NetworkPolicy),
    /// The cluster's.
    Cluster(ClusterPolicy),
}

impl Policy {
    /// What it is called.
    pub fn key(&self) -> PolicyKey {
        match self {
            Policy::Network(policy) => PolicyKey::Network(policy.name.clone()),
            Policy::Cluster(policy) => PolicyKey::Cluster(policy.name.clone()),
        }
    }

    /// Where it is written.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Policy::Network(policy) => policy.source.as_ref(),
            Policy::Cluster(policy) => policy.source.as_ref(),
        }
    }
}

/// What a policy of any kind is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKey {
    /// A NetworkPolicy.
    Network(PolicyName),
    /// A cluster-wide policy.
    Cluster(ClusterPolicyName),
}

impl fmt::Display for PolicyKey {
    /// `namespace/name`, or `Kind/name` for the cluster's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyKey::Network(name) => name.fmt(f),
            PolicyKey::Cluster(name) => name.fmt(f),
        }
    }
}

/// A place in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The file as the user named it; `-` for standard input.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One allow rule: these peers on these ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The other end.
    pub peers: Peers,
    /// The ports of the pod that receives the traffic.
    pub ports: Ports,
    /// Where it is written.
    pub source: Option<Source>,
}

/// The peers of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peers {
    /// Everybody: `from` or `to` absent or empty.
    Any,
    /// Any of these.
    Of(Vec<Peer>),
}

/// One peer of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods that `pods` selects in the namespaces that `namespaces` selects.
    Pods {
        /// In which namespaces.
        namespaces: NamespaceScope,
        /// Which pods there.
        pods: LabelSelector,
    },
    /// Addresses.
    Block(IpBlock),
}

/// The namespaces in which a peer's pods are looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceScope {
    /// The policy's own: no `namespaceSelector` is written.
    Own,
    /// Those that the selector matches.
    Matching(LabelSelector),
}

/// A policy's number in an [`Engine`](crate::Engine).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(pub(crate) u32);

/// Which rule: the policy, the direction and the rule's place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// The policy.
    pub policy: PolicyId,
    /// Whether it is one of the policy's egress rules.
    pub egress: bool,
    /// Index into the policy's rules of that direction.
    pub rule: u32,
}
