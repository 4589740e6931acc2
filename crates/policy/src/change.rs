//! Changes of a world, and what they change in its answers. Plain values.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Namespace, Node, Pod, PodId, Policy, PolicyKey, ResolvedName};

/// One change of what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A pod comes. [`Delta::added`] has its number.
    AddPod(Pod),
    /// A pod is as given from now on. A number that no pod has changes nothing.
    SetPod(PodId, Pod),
    /// A pod is gone.
    RemovePod(PodId),
    /// A namespace comes, or has other labels.
    SetNamespace(Namespace),
    /// A namespace is gone; pods that are still in it live in one with only its automatic label.
    RemoveNamespace(String),
    /// A node comes, or has other labels or addresses.
    SetNode(Node),
    /// A node is gone.
    RemoveNode(String),
    /// A policy comes, or says something else.
    SetPolicy(Policy),
    /// A policy is gone.
    RemovePolicy(PolicyKey),
    /// A DNS name leads to these addresses from now on; none: it is forgotten.
    SetName(ResolvedName),
    /// Where pods without a known address live.
    SetPodCidrs(Vec<IpNet>),
}

/// What an update has changed in an engine's answers, for those who keep something that follows from them.
///
/// For every other address and prefix, and every other pair of a policy set and an identity, the answers are what they
/// were. Numbers (of pods, policy sets and identities) that an update frees mean nothing else until the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// The pods that came, in the order of the changes.
    pub added: Vec<PodId>,
    /// Addresses that came, went, or have another owner, identity or policy set. Sorted.
    pub addresses: Vec<IpAddr>,
    /// Prefixes that came, went, or have another class. Sorted.
    pub prefixes: Vec<IpNet>,
}

impl Delta {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.addresses.is_empty() && self.prefixes.is_empty()
    }
}
