//! Cluster-wide policies for a cluster that is already there, and the DNS names that they can speak of.

use std::net::IpAddr;

use ringfence_policy::cluster::{
    Action, ClusterMatch, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterRule,
    ClusterTier, DomainPattern, PodsAcross,
};
use ringfence_policy::model::{LabelSelector, PortMatch, PortRef, Ports, Protocol, ResolvedName, Source};

use super::policies::Maker;
use crate::worlds::cluster::PORT_NAMES;

/// The names that may be known. Neither case nor a final dot means anything.
const NAMES: [&str; 6] = [
    "api.example.com",
    "www.example.com",
    "example.com",
    "v1.api.example.com",
    "example.org",
    "WWW.Example.ORG.",
];
/// What rules say of names; one that nothing has is among them.
const PATTERNS: [&str; 8] = [
    "api.example.com",
    "www.example.com",
    "*.example.com",
    "*.api.example.com",
    "Example.org",
    "*.example.org.",
    "*.example.net",
    "example.com",
];
/// Few of them, so that equal ones meet.
const PRIORITIES: [u16; 7] = [0, 1, 10, 10, 50, 100, 1000];

impl Maker<'_> {
    /// The cluster-wide policies of the world.
    pub(super) fn cluster_policies(&mut self) -> Vec<ClusterPolicy> {
        let mut policies: Vec<ClusterPolicy> = Vec::new();
        // None now and then; mostly enough to be asked one after the other.
        let fewest = if self.random.chance(20) { 0 } else { self.size.cluster_policies / 2 };
        for _ in 0..self.random.between(fewest, self.size.cluster_policies) {
            let policy = self.cluster_policy(&policies);
            policies.push(policy);
        }
        policies
    }

    /// One more beside these.
    pub(super) fn cluster_policy(&mut self, others: &[ClusterPolicy]) -> ClusterPolicy {
        let (name, tier) = self.name_and_tier(others);
        let (ingress, egress) = *self.random.pick(&[
            (true, false),
            (false, true),
            (false, true),
            (true, true),
            (true, true),
            (true, true),
            (false, false),
        ]);
        let line = others.len() as u32 + 1;
        ClusterPolicy {
            name,
            tier,
            priority: self.priority(),
            subject: self.across(),
            ingress: if ingress { self.cluster_rules(false) } else { Vec::new() },
            egress: if egress { self.cluster_rules(true) } else { Vec::new() },
            source: self.random.chance(50).then(|| Source { file: "cluster.yaml".into(), line }),
        }
    }

    pub(super) fn priority(&mut self) -> u16 {
        *self.random.pick(&PRIORITIES)
    }

    /// A kind and a name that none of the others has, and a tier that the kind can be of. The names' order is not that
    /// in which the policies are made, and one name is now and then of two kinds.
    fn name_and_tier(&mut self, others: &[ClusterPolicy]) -> (ClusterPolicyName, ClusterTier) {
        let (kind, tier) = match self.random.below(10) {
            0..2 => (ClusterPolicyKind::AdminNetworkPolicy, ClusterTier::Admin),
            2 => (ClusterPolicyKind::BaselineAdminNetworkPolicy, ClusterTier::Baseline),
            3..6 => (ClusterPolicyKind::ClusterNetworkPolicy, ClusterTier::Baseline),
            _ => (ClusterPolicyKind::ClusterNetworkPolicy, ClusterTier::Admin),
        };
        // A server takes only one of the old kind for the Baseline tier, by this name.
        let default = ClusterPolicyName { name: "default".to_owned(), kind };
        let is_taken = |name: &ClusterPolicyName| others.iter().any(|other| other.name == *name);
        if kind == ClusterPolicyKind::BaselineAdminNetworkPolicy || self.random.chance(10) {
            if !is_taken(&default) {
                return (default, tier);
            }
            if kind == ClusterPolicyKind::BaselineAdminNetworkPolicy {
                return self.name_and_tier(others);
            }
        }
        let mut name = match self.random.pick_any(others) {
            Some(other) if self.random.chance(20) => other.name.name.clone(),
            _ => format!("{}-policy", self.random.pick(&["a", "b", "m", "y", "z"])),
        };
        while is_taken(&ClusterPolicyName { name: name.clone(), kind }) {
            name.push_str("-again");
        }
        (ClusterPolicyName { name, kind }, tier)
    }

    /// Pods by their namespaces, by their own labels, or both.
    pub(super) fn across(&mut self) -> PodsAcross {
        if self.random.chance(25) {
            return PodsAcross::default();
        }
        let namespaces = match self.random.below(10) {
            0..6 => LabelSelector::everything(),
            6..8 => self.namespace_by_name(),
            _ => self.selector(),
        };
        let pods = if self.random.chance(55) { LabelSelector::everything() } else { self.selector() };
        PodsAcross { namespaces, pods }
    }

    fn cluster_rules(&mut self, egress: bool) -> Vec<ClusterRule> {
        let count = *self.random.pick(&[1, 2, 2, 3, 4, 5]);
        (0..count).map(|_| self.cluster_rule(egress)).collect()
    }

    /// A rule for what goes out, or for what comes in.
    pub(super) fn cluster_rule(&mut self, egress: bool) -> ClusterRule {
        let action = self.action();
        // Something in it is not known.
        let unknown = self.random.below(if action == Action::Accept { 12 } else { 50 }) == 0;
        ClusterRule {
            name: self.random.chance(30).then(|| format!("rule {}", self.random.below(10))),
            action,
            matches: (!unknown).then(|| self.cluster_match(action, egress)),
            source: None,
        }
    }

    pub(super) fn action(&mut self) -> Action {
        *self.random.pick(&[
            Action::Accept,
            Action::Accept,
            Action::Deny,
            Action::Deny,
            Action::Pass,
            Action::Pass,
        ])
    }

    fn cluster_match(&mut self, action: Action, egress: bool) -> ClusterMatch {
        // Nobody now and then: no server takes it, the model can say it.
        let count = *self.random.pick(&[1, 1, 1, 1, 2, 2, 2, 3, 3, 0]);
        let peers = (0..count).map(|_| self.cluster_peer(action, egress)).collect();
        let ports = match self.random.below(40) {
            0..22 => Ports::Any,
            22 => Ports::Of(Vec::new()),
            23..28 => self.named_in_every_protocol(),
            _ => {
                let count = *self.random.pick(&[1, 1, 1, 2, 2, 3]);
                Ports::Of((0..count).map(|_| self.port()).collect())
            }
        };
        ClusterMatch { peers, ports }
    }

    /// Only a rule for what goes out can name nodes, ranges and domains.
    fn cluster_peer(&mut self, action: Action, egress: bool) -> ClusterPeer {
        match self.random.below(if egress { 20 } else { 8 }) {
            0..8 => ClusterPeer::Pods(self.across()),
            8..14 => ClusterPeer::Network(self.network()),
            14..17 => ClusterPeer::Nodes(self.node_selector()),
            // A rule that is not Accept denies everything for it: seldom, or nothing else would happen.
            _ if action != Action::Accept && self.random.chance(85) => ClusterPeer::Network(self.network()),
            _ => match DomainPattern::parse(self.random.pick::<&str>(&PATTERNS)) {
                Some(pattern) => ClusterPeer::Domain(pattern),
                None => ClusterPeer::Pods(self.across()),
            },
        }
    }

    fn node_selector(&mut self) -> LabelSelector {
        match self.random.pick_any(&self.world.nodes) {
            Some(node) if self.random.chance(40) => {
                let kept: Vec<(String, String)> =
                    (node.labels.clone().into_iter()).filter(|_| self.random.chance(60)).collect();
                LabelSelector::labels(kept)
            }
            _ => self.selector(),
        }
    }

    /// As `destinationNamedPort` means it.
    fn named_in_every_protocol(&mut self) -> Ports {
        let name = (*self.random.pick(&PORT_NAMES)).to_owned();
        let entry = |protocol| PortMatch { protocol, port: PortRef::Named(name.clone()) };
        Ports::Of(Protocol::ALL.map(entry).to_vec())
    }

    /// The names that are known.
    pub(super) fn names(&mut self) -> Vec<ResolvedName> {
        let mut names: Vec<ResolvedName> = Vec::new();
        for name in NAMES {
            if self.random.chance(55) {
                let addresses = self.name_addresses(&names);
                names.push(ResolvedName { name: name.to_owned(), addresses });
            }
        }
        names
    }

    /// Where a name leads: outside, to pods, to nodes, where one of these others leads too, or nowhere.
    pub(super) fn name_addresses(&mut self, others: &[ResolvedName]) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for _ in 0..*self.random.pick(&[0, 1, 1, 2, 2, 3]) {
            let shared =
                self.random.pick_any(others).and_then(|other| self.random.pick_any(&other.addresses));
            let address = match shared {
                Some(address) if self.random.chance(30) => *address,
                _ => self.address(),
            };
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}
