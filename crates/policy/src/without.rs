//! What would be decided if some NetworkPolicies, or some of their rules, were not there: asked of the engine as it is, so
//! that it costs no more than what is decided with them.

use rustc_hash::FxHashSet;

use crate::decide::{Matching, NetworkTier};
use crate::ends::Identity;
use crate::engine::Engine;
use crate::model::{PolicyId, RuleRef};
use crate::policies::SetId;
use crate::portmap::PortMap;
use crate::verdict::Tier;

/// NetworkPolicies and rules of NetworkPolicies that are thought away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Without {
    policies: FxHashSet<PolicyId>,
    rules: FxHashSet<RuleRef>,
}

impl Without {
    /// A policy is thought away, with all its rules: it does not isolate either.
    pub fn policy(&mut self, policy: PolicyId) {
        self.policies.insert(policy);
    }

    /// A rule is thought away; its policy isolates as before.
    pub fn rule(&mut self, rule: RuleRef) {
        self.rules.insert(rule);
    }
}

impl Engine {
    /// What [`Engine::port_map`] would be without these.
    pub fn port_map_without(&self, set: SetId, identity: Identity, without: &Without) -> PortMap {
        self.paint(&self.less(set, &self.matching(set, identity), without))
    }

    /// Whether the same may pass between the pods of a policy set and an identity without a part of the NetworkPolicies as
    /// without more of them.
    pub fn is_same_without(&self, set: SetId, identity: Identity, part: &Without, more: &Without) -> bool {
        let matching = self.matching(set, identity);
        let (with, without) = (self.less(set, &matching, part), self.less(set, &matching, more));
        with == without || self.paint(&with).allowed() == self.paint(&without).allowed()
    }

    fn less(&self, set: SetId, matching: &Matching, without: &Without) -> Matching {
        let mut less = matching.clone();
        let [_, network, _] = &mut less.rules;
        network.retain(|rule| !without.rules.contains(rule) && !without.policies.contains(&rule.policy));
        let policies = self.set_policies(set, Tier::NetworkPolicy);
        if policies.iter().all(|policy| without.policies.contains(policy)) {
            less.network = NetworkTier::Silent;
        }
        less
    }
}
