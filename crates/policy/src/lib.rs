//! What a network policy means: the model and the engine.
//!
//! A [`World`] is what there is: namespaces, nodes, pods and policies. An [`Engine`] is a compiled world that answers
//! who may talk to whom, and always says why. Everything here is pure: no I/O, no async, no Kubernetes objects and no
//! text formats; reading those is the work of `ringfence-k8s`, carrying the answers into the kernel that of
//! `ringfence-datapath`.
//!
//! The meaning is that of the Kubernetes API text for `networking.k8s.io/v1` NetworkPolicy and of the SIG Network text for
//! `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy.

pub mod addresses;
pub mod cluster;
mod compile;
pub mod engine;
mod index;
pub mod misses;
pub mod model;
pub mod portmap;
pub mod reach;
pub mod verdict;

pub use addresses::{AddressRange, AddressSpace, ClassId, PeerId};
pub use cluster::{
    Action, ClusterMatch, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterRule,
    ClusterTier, DomainPattern, InForce, PodsAcross,
};
pub use engine::{DistinctPeer, End, Engine, Identity, SetId};
pub use misses::{Difference, NearMiss};
pub use model::{
    IpBlock, Label, LabelSelector, Labels, NamedPort, Namespace, NamespaceScope, NetworkPolicy, Node, Peer,
    Peers, Pod, PodId, Policy, PolicyKey, PolicyName, PortMatch, PortRange, PortRef, Ports, Protocol,
    Requirement, ResolvedName, Rule, RuleRef, Source, Traffic, Workload, World,
};
pub use portmap::{Decision, PortMap, PortSet, RuleId, Span};
pub use reach::{Connection, Connections, Reach, ReachEnd, Rows, View};
pub use verdict::{Because, Direction, Side, Verdict};
