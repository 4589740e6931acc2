//! Which kinds of objects there are for the reader, in which versions, and what is made of all others.
//!
//! The reader of manifests goes by it, and so does whoever asks an API server for what the reader wants.

use crate::lower::names;

/// What the reader makes of objects of a kind in a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// They are read.
    Read(&'static Kind),
    /// The kind is read, but not in this version of Kubernetes' own: an error, as what they say would be lost.
    OtherVersion(&'static Kind),
    /// A kind of Kubernetes' own policies that is not known here: an error, as without it every verdict could be wrong.
    UnknownPolicy,
    /// Another product's policies: passed over with a warning.
    ForeignPolicy,
    /// They do not matter here.
    PassedOver,
}

/// A kind that is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The name as the API spells it.
    pub name: &'static str,
    /// The API versions in which it exists or existed and is read, such as `apps/v1`; what to write comes first.
    pub versions: &'static [&'static str],
}

/// The kinds that are read.
pub const KINDS: &[Kind] = &[
    kind("Pod", &["v1"]),
    kind("Deployment", &["apps/v1", "apps/v1beta2", "apps/v1beta1", "extensions/v1beta1"]),
    kind("StatefulSet", &["apps/v1", "apps/v1beta2", "apps/v1beta1"]),
    kind("DaemonSet", &["apps/v1", "apps/v1beta2", "extensions/v1beta1"]),
    kind("ReplicaSet", &["apps/v1", "apps/v1beta2", "extensions/v1beta1"]),
    kind("ReplicationController", &["v1"]),
    kind("Job", &["batch/v1"]),
    kind("CronJob", &["batch/v1", "batch/v1beta1", "batch/v2alpha1"]),
    kind("Service", &["v1"]),
    kind("Ingress", &["networking.k8s.io/v1", "networking.k8s.io/v1beta1", "extensions/v1beta1"]),
    kind("Gateway", GATEWAY_VERSIONS),
    kind("HTTPRoute", GATEWAY_VERSIONS),
    kind("GRPCRoute", GATEWAY_VERSIONS),
    kind("TCPRoute", GATEWAY_VERSIONS),
    kind("TLSRoute", GATEWAY_VERSIONS),
    kind("UDPRoute", GATEWAY_VERSIONS),
    kind("Namespace", &["v1"]),
    kind("Node", &["v1"]),
    kind("NetworkPolicy", &["networking.k8s.io/v1", "extensions/v1beta1"]),
    kind("ClusterNetworkPolicy", &["policy.networking.k8s.io/v1alpha2"]),
    kind("AdminNetworkPolicy", &["policy.networking.k8s.io/v1alpha1"]),
    kind("BaselineAdminNetworkPolicy", &["policy.networking.k8s.io/v1alpha1"]),
];

const fn kind(name: &'static str, versions: &'static [&'static str]) -> Kind {
    Kind { name, versions }
}

/// The group of the Gateway API. Its kinds are no policies: what is not known of them is passed over.
const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// The versions of the Gateway API; not each kind is in each.
const GATEWAY_VERSIONS: &[&str] = &[
    "gateway.networking.k8s.io/v1",
    "gateway.networking.k8s.io/v1beta1",
    "gateway.networking.k8s.io/v1alpha3",
    "gateway.networking.k8s.io/v1alpha2",
    "gateway.networking.k8s.io/v1alpha1",
];

/// The group of SIG Network's own policies. A kind of it that is not known here is not passed over.
const POLICY_GROUP: &str = "policy.networking.k8s.io";

/// Other products' policies whose kind does not end in `NetworkPolicy`.
const FOREIGN_POLICIES: &[&str] = &["CiliumClusterwideNetworkPolicy", "EgressFirewall"];

/// What the reader makes of objects of a kind in a version, such as `Deployment` in `apps/v1`.
pub fn meaning(version: &str, kind: &str) -> Meaning {
    let is_builtin = is_builtin(version);
    if let Some(known) = known(kind) {
        if known.versions.contains(&version) {
            return Meaning::Read(known);
        }
        // Versions of the Gateway API come and go, and none of its kinds decides a verdict.
        let is_gateway = group(version) == GATEWAY_GROUP && known.versions == GATEWAY_VERSIONS;
        if is_builtin && !is_gateway {
            return Meaning::OtherVersion(known);
        }
    } else if group(version) == POLICY_GROUP {
        return Meaning::UnknownPolicy;
    }
    if !is_builtin && (kind.ends_with("NetworkPolicy") || FOREIGN_POLICIES.contains(&kind)) {
        return Meaning::ForeignPolicy;
    }
    Meaning::PassedOver
}

/// Whether objects of a kind that is read are policies.
pub fn is_policy(kind: &str) -> bool {
    kind.ends_with("NetworkPolicy")
}

/// The kind of this name, in whatever group.
pub(crate) fn known(kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.name == kind)
}

/// The kind that was probably meant by a name that is none, where the group is one that has it or none at all.
pub(crate) fn near_kind(version: &str, kind: &str) -> Option<&'static str> {
    if known(kind).is_some() || !is_builtin(version) {
        return None;
    }
    names::near_miss(kind, KINDS.iter().map(|k| k.name))
}

/// The group of a version; empty for the core's.
pub fn group(version: &str) -> &str {
    version.split_once('/').map_or("", |(group, _)| group)
}

/// Whether a version is one of SIG Network's own policies.
pub(crate) fn is_of_policies(version: &str) -> bool {
    group(version) == POLICY_GROUP
}

/// Whether a version belongs to Kubernetes itself, or tries to.
fn is_builtin(version: &str) -> bool {
    let group = group(version);
    !group.contains('.') || group.ends_with(".k8s.io")
}
