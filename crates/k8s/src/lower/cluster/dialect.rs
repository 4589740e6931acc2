//! What the three kinds spell differently, and how much of each thing they take.

use ringfence_policy::{Action, ClusterPolicyKind, ClusterTier};

use crate::lower::context::Grammar;

/// One kind of cluster-wide policy, as its API version spells it.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub(super) kind: ClusterPolicyKind,
    /// The kind with its article.
    pub(super) a: &'static str,
    /// The tier, where it is not written.
    pub(super) tier: Option<ClusterTier>,
    /// The fields of `spec`.
    pub(super) spec: &'static [&'static str],
    /// Those of them that must be there.
    pub(super) spec_required: &'static [&'static str],
    /// The actions of a rule.
    pub(super) actions: &'static [(&'static str, Action)],
    /// The field of a rule that holds its ports.
    pub(super) ports: &'static str,
    /// What an item of that can hold, exactly one of these.
    pub(super) port_kinds: &'static [&'static str],
    /// That of them which is a port's name.
    pub(super) named_port: &'static str,
    /// The kinds of peers in `to`; those in `from` are [`INGRESS_PEERS`].
    pub(super) egress_peers: &'static [&'static str],
    /// The selectors that `pods` must have.
    pub(super) pods_required: &'static [&'static str],
    /// How many rules, peers and ports there may be.
    pub(super) most: usize,
    /// The schema.
    pub(super) grammar: Grammar,
}

/// The kinds of peers in `from`, and of subjects.
pub(super) const INGRESS_PEERS: [&str; 2] = ["namespaces", "pods"];

/// How many networks or domain names one peer may have, in every version.
pub(super) const MOST_ADDRESSES: usize = 25;

/// How long a rule's name may be, in characters.
pub(super) const MOST_OF_A_NAME: usize = 100;

/// ClusterNetworkPolicy of `v1alpha2`.
pub(crate) static CLUSTER: Dialect = Dialect {
    kind: ClusterPolicyKind::ClusterNetworkPolicy,
    a: "a ClusterNetworkPolicy",
    tier: None,
    spec: &["tier", "priority", "subject", "ingress", "egress"],
    spec_required: &["tier", "priority", "subject"],
    actions: &[("Accept", Action::Accept), ("Deny", Action::Deny), ("Pass", Action::Pass)],
    ports: "protocols",
    port_kinds: &["tcp", "udp", "sctp", "destinationNamedPort"],
    named_port: "destinationNamedPort",
    egress_peers: &["namespaces", "pods", "nodes", "networks", "domainNames"],
    pods_required: &["podSelector"],
    most: 25,
    grammar: Grammar { custom: true, belongs: belongs_in_v1alpha2 },
};

/// AdminNetworkPolicy of `v1alpha1`.
pub(crate) static ADMIN: Dialect = Dialect {
    kind: ClusterPolicyKind::AdminNetworkPolicy,
    a: "an AdminNetworkPolicy",
    tier: Some(ClusterTier::Admin),
    spec: &["priority", "subject", "ingress", "egress"],
    spec_required: &["priority", "subject"],
    actions: &[("Allow", Action::Accept), ("Deny", Action::Deny), ("Pass", Action::Pass)],
    ports: "ports",
    port_kinds: &["portNumber", "namedPort", "portRange"],
    named_port: "namedPort",
    egress_peers: &["namespaces", "pods", "nodes", "networks", "domainNames"],
    pods_required: &["namespaceSelector", "podSelector"],
    most: 100,
    grammar: Grammar { custom: true, belongs: belongs_in_v1alpha1 },
};

/// BaselineAdminNetworkPolicy of `v1alpha1`: the one that there is.
pub(crate) static BASELINE: Dialect = Dialect {
    kind: ClusterPolicyKind::BaselineAdminNetworkPolicy,
    a: "a BaselineAdminNetworkPolicy",
    tier: Some(ClusterTier::Baseline),
    spec: &["subject", "ingress", "egress"],
    spec_required: &["subject"],
    actions: &[("Allow", Action::Accept), ("Deny", Action::Deny)],
    ports: "ports",
    port_kinds: &["portNumber", "namedPort", "portRange"],
    named_port: "namedPort",
    egress_peers: &["namespaces", "pods", "nodes", "networks"],
    pods_required: &["namespaceSelector", "podSelector"],
    most: 100,
    grammar: Grammar { custom: true, belongs: belongs_in_baseline },
};

/// Where a field belongs, for one that was found elsewhere.
fn belongs_in_v1alpha2(field: &str) -> Option<&'static str> {
    Some(match field {
        "tier" => "in `spec`",
        "tcp" | "udp" | "sctp" | "destinationNamedPort" => "in an item of `protocols`",
        "protocols" => "in an item of `ingress` or `egress`, beside `from` or `to`",
        "destinationPort" => "in `tcp`, `udp` or `sctp`",
        "number" | "range" => "in `destinationPort`",
        "start" | "end" => "in `range`",
        "ports" => "to other kinds; here it is `protocols`",
        "portNumber" | "portRange" => "to v1alpha1; here it is `tcp: {destinationPort: ...}`",
        "namedPort" => "to v1alpha1; here it is `destinationNamedPort`",
        "port" | "endPort" | "protocol" => "to other kinds; here it is `tcp: {destinationPort: ...}`",
        _ => return belongs_in_any(field),
    })
}

fn belongs_in_v1alpha1(field: &str) -> Option<&'static str> {
    Some(match field {
        "domainNames" => "in an item of `to`",
        _ => return belongs_in_baseline(field),
    })
}

fn belongs_in_baseline(field: &str) -> Option<&'static str> {
    Some(match field {
        "portNumber" | "portRange" | "namedPort" => "in an item of `ports`",
        "ports" => "in an item of `ingress` or `egress`, beside `from` or `to`",
        "port" => "in `portNumber`",
        "protocol" => "in `portNumber` or `portRange`",
        "start" | "end" => "in `portRange`",
        "endPort" => "to NetworkPolicy; here it is `portRange`",
        "protocols" => "to v1alpha2; here it is `ports`",
        "tier" => "to v1alpha2; here the kind says it",
        "domainNames" => return None,
        _ => return belongs_in_any(field),
    })
}

fn belongs_in_any(field: &str) -> Option<&'static str> {
    Some(match field {
        "subject" | "ingress" | "egress" => "in `spec`",
        "from" => "in an item of `ingress`",
        "to" => "in an item of `egress`",
        "action" => "in an item of `ingress` or `egress`",
        "namespaces" | "pods" => "in `subject`, or in an item of `from` or `to`",
        "nodes" | "networks" | "domainNames" => "in an item of `to`",
        "podSelector" => "in `pods`",
        "namespaceSelector" => "in `pods`; under `namespaces` the selector stands directly",
        "matchLabels" | "matchExpressions" => "in a selector: in `namespaces`, or in a selector of `pods`",
        "ipBlock" | "cidr" | "except" => "to NetworkPolicy; here it is `networks`, in an item of `to`",
        "policyTypes" => "to NetworkPolicy; here a policy holds in the directions in which it has rules",
        "namespace" | "labels" | "annotations" => "in `metadata`",
        _ => return None,
    })
}
