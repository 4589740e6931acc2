//! A rule as answers name it, whatever the kind of its policy.

use ringfence_policy::{Action, ClusterRule, Engine, InForce, Policy, PolicyKey, RuleRef, Source};

/// What there is to say of a rule.
#[derive(Debug)]
pub(crate) struct RuleText<'e> {
    /// The policy.
    pub(crate) policy: PolicyKey,
    /// The rule's own name.
    pub(crate) name: Option<&'e str>,
    /// What it does, as its API spells it.
    pub(crate) action: &'static str,
    /// Where it is written, or else its policy.
    pub(crate) source: Option<&'e Source>,
    /// Something in it is not known to this version, so that it fails closed.
    pub(crate) is_unknown: bool,
    /// `ingress` or `egress`.
    pub(crate) direction: &'static str,
    /// Its place among the policy's rules of that direction.
    pub(crate) place: u32,
}

impl<'e> RuleText<'e> {
    pub(crate) fn new(engine: &'e Engine, rule: RuleRef) -> Option<RuleText<'e>> {
        let policy = engine.policy(rule.policy)?;
        let cluster_rule = match policy {
            Policy::Network(_) => None,
            Policy::Cluster(policy) => {
                let rules = if rule.egress { &policy.egress } else { &policy.ingress };
                rules.get(rule.rule as usize)
            }
        };
        Some(RuleText {
            policy: policy.key(),
            name: cluster_rule.and_then(|r| r.name.as_deref()),
            action: cluster_rule.map_or("Allow", action),
            source: engine.rule_source(rule),
            is_unknown: cluster_rule.is_some_and(|r| r.in_force() == InForce::DenyAll),
            direction: if rule.egress { "egress" } else { "ingress" },
            place: rule.rule,
        })
    }

    /// Such as `shop/db ingress rule 0, db.yaml:14`.
    pub(crate) fn text(&self) -> String {
        let name = self.name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let place = self.source.map(|source| format!(", {source}")).unwrap_or_default();
        format!("{} {} rule {}{name}{place}", self.policy, self.direction, self.place)
    }
}

fn action(rule: &ClusterRule) -> &'static str {
    match rule.in_force() {
        InForce::DenyAll => Action::Deny.as_str(),
        InForce::AsWritten(..) | InForce::Nothing => rule.action.as_str(),
    }
}
