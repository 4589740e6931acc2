//! The model: what there is in a cluster, as far as policies can see it.
//!
//! These are plain values. Reading them from text or from an API server, and refusing what cannot be read, is done
//! before they are made; what is here is complete and cannot be malformed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

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

/// An `ipBlock`: the addresses of a range, less some ranges inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    cidr: IpNet,
    except: Vec<IpNet>,
}

impl IpBlock {
    /// A block. Host bits are masked; exceptions are sorted, and those outside the block have no effect.
    pub fn new(cidr: IpNet, except: impl IntoIterator<Item = IpNet>) -> IpBlock {
        let cidr = cidr.trunc();
        let except: BTreeSet<IpNet> = except
            .into_iter()
            .map(|e| if e.contains(&cidr) { cidr } else { e.trunc() })
            .filter(|e| cidr.contains(e))
            .collect();
        IpBlock { cidr, except: except.into_iter().collect() }
    }

    /// The range.
    pub fn cidr(&self) -> IpNet {
        self.cidr
    }

    /// What is taken out of it.
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }

    /// Whether the block holds this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|e| e.contains(&address))
    }

    /// Whether the block holds every address of a range.
    pub fn covers(&self, range: IpNet) -> bool {
        self.cidr.contains(&range) && !self.except.iter().any(|e| e.contains(&range) || range.contains(e))
    }

    /// Whether the block is a whole address family without exception: everybody.
    pub fn is_everyone(&self) -> bool {
        self.cidr.prefix_len() == 0 && self.except.is_empty()
    }
}

impl fmt::Display for IpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        for (i, e) in self.except.iter().enumerate() {
            write!(f, "{}{e}", if i == 0 { " except " } else { ", " })?;
        }
        Ok(())
    }
}

/// The ports of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ports {
    /// Every port of every protocol, ICMP and the like too: `ports` absent or empty.
    Any,
    /// Any of these.
    Of(Vec<PortMatch>),
}

impl Ports {
    /// Whether this traffic is meant. `named` are the ports with a name of the pod that receives.
    pub fn matches(&self, traffic: Traffic, named: &[NamedPort]) -> bool {
        match self {
            Ports::Any => true,
            Ports::Of(ports) => ports.iter().any(|port| port.matches(traffic, named)),
        }
    }
}

impl PortMatch {
    /// Whether this traffic is meant. `named` are the ports with a name of the pod that receives.
    pub fn matches(&self, traffic: Traffic, named: &[NamedPort]) -> bool {
        let Traffic::Port(protocol, number) = traffic else { return false };
        protocol == self.protocol
            && match &self.port {
                PortRef::All => true,
                PortRef::Range(range) => range.contains(number),
                PortRef::Named(name) => {
                    named.iter().any(|n| n.name == *name && n.protocol == protocol && n.port == number)
                }
            }
    }
}

/// One entry of a rule's ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMatch {
    /// The protocol.
    pub protocol: Protocol,
    /// Which ports of it.
    pub port: PortRef,
}

impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            PortRef::All => write!(f, "{} (all ports)", self.protocol),
            PortRef::Range(range) => write!(f, "{} {range}", self.protocol),
            PortRef::Named(name) => write!(f, "{} {name}", self.protocol),
        }
    }
}

/// How a policy names ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRef {
    /// All of the protocol's.
    All,
    /// By number.
    Range(PortRange),
    /// By the name of a container port of the pod that receives the traffic.
    Named(String),
}

/// A range of ports, both ends included, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: PortRange = PortRange { first: 0, last: u16::MAX };

    /// The range, or `None` where `last` is below `first`.
    pub fn new(first: u16, last: u16) -> Option<PortRange> {
        (first <= last).then_some(PortRange { first, last })
    }

    /// A range of one port.
    pub fn single(port: u16) -> PortRange {
        PortRange { first: port, last: port }
    }

    /// The first port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether the port is in the range.
    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A selector over labels: all its requirements must hold. Empty: it matches everything.
///
/// `matchLabels` and `matchExpressions` are one list here, sorted and without repetition, so that two spellings of one
/// selector are equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// The selector that asks all of these.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> LabelSelector {
        let set: BTreeSet<Requirement> = requirements.into_iter().collect();
        LabelSelector { requirements: set.into_iter().collect() }
    }

    /// The selector that matches everything.
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }

    /// The selector that `matchLabels` with these labels is.
    pub fn labels<K: Into<String>, V: Into<String>>(
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> LabelSelector {
        LabelSelector::new(
            labels.into_iter().map(|(k, v)| Requirement::In(k.into(), BTreeSet::from([v.into()]))),
        )
    }

    /// What is asked, all of it.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these labels matches.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// One requirement of a selector. `NotIn` and `DoesNotExist` hold for objects without the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The label has one of these values.
    In(String, BTreeSet<String>),
    /// The label has none of these values, or is absent.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
}

impl Requirement {
    /// The label's key.
    pub fn key(&self) -> &str {
        match self {
            Requirement::In(key, _)
            | Requirement::NotIn(key, _)
            | Requirement::Exists(key)
            | Requirement::DoesNotExist(key) => key,
        }
    }

    /// The one label that an object must carry to meet it, if there is one such label.
    pub(crate) fn only_label(&self) -> Option<(&str, &str)> {
        let Requirement::In(key, values) = self else { return None };
        let mut values = values.iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        Some((key, value))
    }

    /// Whether an object with these labels meets it.
    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

impl fmt::Display for Requirement {
    /// As `kubectl -l` spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match self {
            Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            Requirement::In(key, values) => write!(f, "{key} in ({})", list(values)),
            Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", list(values)),
            Requirement::Exists(key) => f.write_str(key),
            Requirement::DoesNotExist(key) => write!(f, "!{key}"),
        }
    }
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
