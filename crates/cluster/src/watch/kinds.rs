//! The kinds of objects that are watched, and where the API server has them.

use std::fmt;

/// A kind of object that decides who may talk to whom, or tells what an address is called.
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
    /// Services.
    Service,
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
    pub const ALL: [Kind; 8] = [
        Kind::Namespace,
        Kind::Node,
        Kind::Pod,
        Kind::NetworkPolicy,
        Kind::ClusterNetworkPolicy,
        Kind::AdminNetworkPolicy,
        Kind::BaselineAdminNetworkPolicy,
        Kind::Service,
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
            Kind::Service => "Service",
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
            Kind::Service => "services",
        }
    }

    /// The API group; empty for the core's.
    pub fn group(self) -> &'static str {
        match self {
            Kind::Namespace | Kind::Node | Kind::Pod | Kind::Service => "",
            Kind::NetworkPolicy => "networking.k8s.io",
            _ => "policy.networking.k8s.io",
        }
    }

    /// The version of the API group.
    pub fn version(self) -> &'static str {
        match self {
            Kind::Namespace | Kind::Node | Kind::Pod | Kind::Service | Kind::NetworkPolicy => "v1",
            Kind::ClusterNetworkPolicy => "v1alpha2",
            Kind::AdminNetworkPolicy | Kind::BaselineAdminNetworkPolicy => "v1alpha1",
        }
    }

    /// Whether it is a policy of any kind.
    pub fn is_policy(self) -> bool {
        self == Kind::NetworkPolicy || self.may_be_absent()
    }

    /// Whether there are clusters without it: it is installed, not built in.
    pub fn may_be_absent(self) -> bool {
        self.group() == "policy.networking.k8s.io"
    }

    /// Whether verdicts depend on it. What does not only gives names.
    pub fn decides(self) -> bool {
        self != Kind::Service
    }

    pub(crate) fn shape(self) -> Shape {
        match self {
            Kind::Namespace => Shape::Plain,
            Kind::Pod => Shape::Pod,
            Kind::Node => Shape::Node,
            _ => Shape::Spec,
        }
    }

    /// Group and version in one, as in manifests.
    pub(crate) fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
