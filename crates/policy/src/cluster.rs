//! The model of cluster-wide policies: ClusterNetworkPolicy, and the older kinds that mean the same.
//!
//! <https://network-policy-api.sigs.k8s.io/api-overview/>, `policy.networking.k8s.io/v1alpha2`.

use std::fmt;

use ipnet::IpNet;

use crate::model::{LabelSelector, Ports, Source};

/// A policy of the whole cluster: ordered rules that accept, deny or pass on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// Its kind and name.
    pub name: ClusterPolicyName,
    /// Whether it is asked before or after the NetworkPolicies.
    pub tier: ClusterTier,
    /// From 0, asked first, to 1000. Equal priorities of a tier are asked in the order of their names.
    pub priority: u16,
    /// The pods that it holds; never those on their node's network.
    pub subject: PodsAcross,
    /// The rules for what comes in, in the order in which they are asked. None: it says nothing about that direction.
    pub ingress: Vec<ClusterRule>,
    /// The rules for what goes out.
    pub egress: Vec<ClusterRule>,
    /// Where it is written.
    pub source: Option<Source>,
}

/// What a cluster-wide policy is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterPolicyName {
    /// The name.
    pub name: String,
    /// The kind: each has names of its own.
    pub kind: ClusterPolicyKind,
}

impl fmt::Display for ClusterPolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

/// The kinds of cluster-wide policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterPolicyKind {
    /// `policy.networking.k8s.io/v1alpha2`.
    ClusterNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`: the Admin tier.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`: the Baseline tier.
    BaselineAdminNetworkPolicy,
}

impl ClusterPolicyKind {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            ClusterPolicyKind::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            ClusterPolicyKind::AdminNetworkPolicy => "AdminNetworkPolicy",
            ClusterPolicyKind::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
        }
    }
}

/// The tiers around the NetworkPolicies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterTier {
    /// Asked before every NetworkPolicy, which cannot take back what is decided here.
    Admin,
    /// Asked where no NetworkPolicy isolates the pod in the direction.
    Baseline,
}

/// Pods that one selector matches in the namespaces that another matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodsAcross {
    /// In which namespaces.
    pub namespaces: LabelSelector,
    /// Which pods there.
    pub pods: LabelSelector,
}

/// One rule of a cluster-wide policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRule {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What becomes of what it matches.
    pub action: Action,
    /// What it matches; `None` where something in it is not known to this version. See [`ClusterRule::in_force`].
    pub matches: Option<ClusterMatch>,
    /// Where it is written.
    pub source: Option<Source>,
}

/// What a rule of a cluster-wide policy matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterMatch {
    /// The other end: any of these. None: nobody.
    pub peers: Vec<ClusterPeer>,
    /// The ports of the pod that receives the traffic.
    pub ports: Ports,
}

/// What a rule of a cluster-wide policy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The traffic passes; nothing further is asked on this side.
    Accept,
    /// The traffic is dropped; nothing further is asked.
    Deny,
    /// The rest of this tier is skipped.
    Pass,
}

impl Action {
    /// As `v1alpha2` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Accept => "Accept",
            Action::Deny => "Deny",
            Action::Pass => "Pass",
        }
    }
}

/// What a rule does as it must be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InForce<'r> {
    /// As it is written.
    AsWritten(Action, &'r ClusterMatch),
    /// Everything is denied: it would deny or pass on what this version does not know.
    DenyAll,
    /// Nothing is matched: it would accept what this version does not know.
    Nothing,
}

impl ClusterRule {
    /// What the rule does, with what is not known failing closed: an Accept rule then matches nothing, and any other
    /// denies everything at its place in the order. Domain names can only be accepted.
    pub fn in_force(&self) -> InForce<'_> {
        let known = self.matches.as_ref().filter(|m| {
            self.action == Action::Accept || !m.peers.iter().any(|p| matches!(p, ClusterPeer::Domain(_)))
        });
        match (known, self.action) {
            (Some(matches), action) => InForce::AsWritten(action, matches),
            (None, Action::Accept) => InForce::Nothing,
            (None, Action::Deny | Action::Pass) => InForce::DenyAll,
        }
    }
}

/// One peer of a rule of a cluster-wide policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterPeer {
    /// Pods; never those on their node's network.
    Pods(PodsAcross),
    /// Nodes by their labels: their own addresses.
    Nodes(LabelSelector),
    /// A range of addresses, of pods too. Host bits are masked.
    Network(IpNet),
    /// The addresses that a DNS name leads to.
    Domain(DomainPattern),
}

/// A DNS name, or with a leading `*.` every name of one or more labels before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainPattern {
    below: bool,
    name: String,
}

impl DomainPattern {
    /// The pattern that this text is; `None` where it is none. Case and a final dot mean nothing.
    pub fn parse(text: &str) -> Option<DomainPattern> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name = canonical_name(name);
        let is_label = |label: &str| {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
            label.bytes().all(inner) && edge(label.as_bytes().first()) && edge(label.as_bytes().last())
        };
        let labels = name.split('.');
        (labels.clone().count() >= 2 && labels.into_iter().all(is_label) && name.len() <= 253)
            .then_some(DomainPattern { below, name })
    }

    /// Whether a name is one that is meant.
    pub fn matches(&self, name: &str) -> bool {
        let name = canonical_name(name);
        match name.strip_suffix(&self.name) {
            Some("") => !self.below,
            Some(before) => self.below && before.len() > 1 && before.ends_with('.'),
            None => false,
        }
    }
}

/// In lower case, without a final dot.
fn canonical_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_or_more_labels() {
        let check = |pattern: &str, name: &str, expect: bool| {
            assert_eq!(DomainPattern::parse(pattern).unwrap().matches(name), expect, "{pattern} {name}");
        };
        check("kubernetes.io", "kubernetes.io", true);
        check("Kubernetes.io.", "KUBERNETES.IO", true);
        check("kubernetes.io", "www.kubernetes.io", false);
        check("kubernetes.io", "my-kubernetes.io", false);
        check("*.kubernetes.io", "kubernetes.io", false);
        check("*.kubernetes.io", ".kubernetes.io", false);
        check("*.kubernetes.io", "blog.kubernetes.io.", true);
        check("*.kubernetes.io", "latest.blog.kubernetes.io", true);
        check("*.kubernetes.io", "my-kubernetes.io", false);
    }

    #[test]
    fn what_is_no_domain() {
        for bad in
            ["", "*", "*.", "io", "*.io", "a.*.io", "*a.io", "a..io", ".a.io", "-a.io", "a-.io", "a b.io"]
        {
            assert_eq!(DomainPattern::parse(bad), None, "{bad}");
        }
    }
}
