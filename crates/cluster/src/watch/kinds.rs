//! The kinds of objects that are watched, and where the API server has them.

use std::fmt;

use ringfence_k8s::kinds::{self, KINDS};

/// A kind of object that decides who may talk to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Namespaces.
    Namespace,
    /// Nodes.
    Node,
    /// Pods.
    Pod,
    /// NetworkPolicies.
    NetworkPolicy,
    /// ClusterNetworkPolicies.
    ClusterNetworkPolicy,
    /// AdminNetworkPolicies.
    AdminNetworkPolicy,
    /// BaselineAdminNetworkPolicies.
    BaselineAdminNetworkPolicy,
}

/// Which parts of a kind's objects matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The metadata.
    Plain,
    Pod,
    Node,
    /// The metadata and the whole spec.
    Spec,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::Namespace,
        Kind::Node,
        Kind::Pod,
        Kind::NetworkPolicy,
        Kind::ClusterNetworkPolicy,
        Kind::AdminNetworkPolicy,
        Kind::BaselineAdminNetworkPolicy,
    ];

    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Namespace => "Namespace",
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::NetworkPolicy => "NetworkPolicy",
            Kind::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Kind::AdminNetworkPolicy => "AdminNetworkPolicy",
            Kind::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
        }
    }

    /// In the plural, as in URLs.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Namespace => "namespaces",
            Kind::Node => "nodes",
            Kind::Pod => "pods",
            Kind::NetworkPolicy => "networkpolicies",
            Kind::ClusterNetworkPolicy => "clusternetworkpolicies",
            Kind::AdminNetworkPolicy => "adminnetworkpolicies",
            Kind::BaselineAdminNetworkPolicy => "baselineadminnetworkpolicies",
        }
    }

    /// Group and version in one, as in manifests: what the reader of manifests wants first.
    pub(crate) fn api_version(self) -> &'static str {
        let kind = KINDS.iter().find(|kind| kind.name == self.as_str());
        kind.and_then(|kind| kind.versions.first()).copied().unwrap_or("v1")
    }

    /// The API group; empty for the core's.
    pub fn group(self) -> &'static str {
        kinds::group(self.api_version())
    }

    /// The version of the API group.
    pub(crate) fn version(self) -> &'static str {
        self.api_version().rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is a policy of any kind.
    pub fn is_policy(self) -> bool {
        kinds::is_policy(self.as_str())
    }

    /// Whether there are clusters without it: it is installed, not built in.
    pub fn may_be_absent(self) -> bool {
        self.is_policy() && self != Kind::NetworkPolicy
    }

    pub(crate) fn shape(self) -> Shape {
        match self {
            Kind::Namespace => Shape::Plain,
            Kind::Pod => Shape::Pod,
            Kind::Node => Shape::Node,
            _ => Shape::Spec,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
