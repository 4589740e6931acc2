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
pub mod apart;
mod canvas;
pub mod change;
pub mod cluster;
pub mod decide;
pub mod ends;
pub mod engine;
mod index;
mod matchers;
pub mod misses;
pub mod model;
mod policies;
pub mod portmap;
pub mod portset;
pub mod reach;
mod slots;
pub mod statistics;
mod update;
pub mod verdict;
mod without;

pub use addresses::{AddressRange, AddressSpace, ClassId};
pub use apart::{possible_labels, unlike};
pub use change::{Change, Delta};
pub use cluster::{
    Action, ClusterMatch, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterRule,
    ClusterTier, DomainPattern, InForce, PodsAcross,
};
pub use decide::Usual;
pub use ends::{End, Identity};
pub use engine::Engine;
pub use matchers::{DistinctPeer, PeerId};
pub use misses::{Difference, NearMiss};
pub use model::{
    IpBlock, Label, LabelSelector, Labels, NAMESPACE_NAME_LABEL, NamedPort, Namespace, NamespaceScope,
    NetworkPolicy, Node, Peer, Peers, Pod, PodId, Policy, PolicyId, PolicyKey, PolicyName, PortMatch,
    PortRange, PortRef, Ports, Protocol, Requirement, ResolvedName, Rule, RuleRef, Source, Traffic, Workload,
    World,
};
pub use policies::SetId;
pub use portmap::{Decision, PortMap, Span};
pub use portset::PortSet;
pub use reach::compare::{
    Cause, Comparison, Mapped, Part, Piece, PolicyChange, Shift, SideShift, Spot, changed_policies,
};
pub use reach::{Connection, Connections, Reach, ReachEnd, Rows, View};
pub use statistics::Statistics;
pub use verdict::{Because, Direction, Side, Tier, Verdict};
pub use without::Without;
