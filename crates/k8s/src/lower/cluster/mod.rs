//! Cluster-wide policies: ClusterNetworkPolicy (`v1alpha2`), and AdminNetworkPolicy and BaselineAdminNetworkPolicy
//! (`v1alpha1`), which mean the same in other words. The whole object, validated as the API server does it.
//!
//! What a server would refuse is an error for the whole object. What a later server might take, and this version does
//! not know, fails closed if it is in a rule: the rule then matches nothing, or denies everything, at its place in the
//! order, and a warning says so. Outside of the rules nothing can be guessed: there it is an error too.
//!
//! Evaluation is not here: what a rule does as it must be enforced is [`ClusterRule::in_force`].
//!
//! <https://network-policy-api.sigs.k8s.io/api-overview/>

mod dialect;
mod fields;
mod peers;
mod ports;
mod rules;

use ringfence_policy::{ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterRule, ClusterTier};

use self::dialect::Dialect;
pub(super) use self::dialect::{ADMIN, BASELINE, CLUSTER};
use self::fields::Fields;
use super::Lowered;
use super::context::{Context, Reported, all, field};
use super::meta::{Meta, Name};
use super::names;
use super::policy::{Direction, EGRESS, INGRESS};
use crate::node::{Entry, Node};
use crate::source::Span;

/// The tiers that a ClusterNetworkPolicy can name.
const TIERS: [(&str, ClusterTier); 2] = [("Admin", ClusterTier::Admin), ("Baseline", ClusterTier::Baseline)];

/// The greatest priority, which is asked last in its tier.
const LAST_PRIORITY: u16 = 1000;

/// The only name that a BaselineAdminNetworkPolicy may have.
const BASELINE_NAME: &str = "default";

impl Context<'_> {
    pub(crate) fn cluster_policy(
        &mut self,
        object: &Node,
        dialect: &'static Dialect,
    ) -> Result<Lowered, Reported> {
        let kind = dialect.kind.as_str();
        let meta = self.meta(object, kind, Name::Subdomain);
        let meta = meta.and_then(|meta| self.allowed_name(meta, dialect));
        // What `metadata` holds is read as in every object; what follows by the schema of a custom resource.
        self.grammar = &dialect.grammar;
        let entries = self.mapping(object, kind)?;
        let top = Fields {
            of: dialect.a,
            known: &["apiVersion", "kind", "metadata", "spec", "status"],
            required: &["spec"],
        };
        let known = self.fields(entries, &top);
        let name_span = meta.as_ref().ok().and_then(|m| m.span);
        let spec = self.required(entries, "spec", &top, name_span.or(object.span))?;
        let of = format!("`spec` of {}", dialect.a);
        let fields = Fields { of: &of, known: dialect.spec, required: dialect.spec_required };
        let span = name_span.or(spec.span);
        let spec = self.mapping(spec, "spec")?;
        let known_in_spec = self.fields(spec, &fields);
        let tier = self.tier(spec, &fields, span, dialect);
        let priority = self.priority(spec, &fields, span, dialect);
        let subject = match self.required(spec, "subject", &fields, span) {
            Ok(node) => self.cluster_subject(node, dialect),
            Err(reported) => Err(reported),
        };
        let ingress = self.cluster_rules(spec, INGRESS, dialect);
        let egress = self.cluster_rules(spec, EGRESS, dialect);
        known?;
        known_in_spec?;
        let meta = meta?;
        let policy = ClusterPolicy {
            name: ClusterPolicyName { name: meta.name.clone(), kind: dialect.kind },
            tier: tier?,
            priority: priority?,
            subject: subject?,
            ingress: ingress?,
            egress: egress?,
            source: self.source(object.span),
        };
        let priority_span = field(spec, "priority").and_then(|n| n.span).or(meta.span);
        Ok(Lowered::ClusterPolicy(policy, meta, priority_span))
    }

    /// There is only one BaselineAdminNetworkPolicy, and its name is given.
    fn allowed_name(&mut self, meta: Meta, dialect: &Dialect) -> Result<Meta, Reported> {
        let is_only_one = meta.name == BASELINE_NAME && !meta.is_generated;
        if dialect.kind != ClusterPolicyKind::BaselineAdminNetworkPolicy || is_only_one {
            return Ok(meta);
        }
        let message = format!("`{}` is no name for {}: there is only one", meta.name, dialect.a);
        Err(self.error("invalid-name", meta.span, message, Some(format!("call it `{BASELINE_NAME}`"))))
    }

    fn tier(
        &mut self,
        spec: &[Entry],
        fields: &Fields<'_>,
        span: Option<Span>,
        dialect: &Dialect,
    ) -> Result<ClusterTier, Reported> {
        if let Some(tier) = dialect.tier {
            return Ok(tier);
        }
        let node = self.required(spec, "tier", fields, span)?;
        let written = self.string(node, "tier")?;
        if let Some((_, tier)) = TIERS.iter().find(|(name, _)| *name == written) {
            return Ok(*tier);
        }
        let help = match names::near_miss(written, TIERS.map(|(name, _)| name)) {
            Some(near) => format!("did you mean {near}?"),
            None => "the tiers are Admin and Baseline".to_owned(),
        };
        Err(self.error("invalid-tier", node.span, format!("`{written}` is no tier"), Some(help)))
    }

    /// The priority in the tier. A BaselineAdminNetworkPolicy has none: it counts as the greatest, and is asked after
    /// every ClusterNetworkPolicy of the Baseline tier that has a smaller one.
    fn priority(
        &mut self,
        spec: &[Entry],
        fields: &Fields<'_>,
        span: Option<Span>,
        dialect: &Dialect,
    ) -> Result<u16, Reported> {
        if dialect.kind == ClusterPolicyKind::BaselineAdminNetworkPolicy {
            return Ok(LAST_PRIORITY);
        }
        let node = self.required(spec, "priority", fields, span)?;
        let written = self.integer(node, "priority")?;
        u16::try_from(written).ok().filter(|p| *p <= LAST_PRIORITY).ok_or_else(|| {
            let message = format!("`priority` {written} is not between 0 and {LAST_PRIORITY}");
            let help = "0 is asked first in its tier".to_owned();
            self.error("invalid-priority", node.span, message, Some(help))
        })
    }

    fn cluster_rules(
        &mut self,
        spec: &[Entry],
        direction: Direction,
        dialect: &Dialect,
    ) -> Result<Vec<ClusterRule>, Reported> {
        let Some(node) = field(spec, direction.rules) else { return Ok(Vec::new()) };
        let items = self.sequence(node, direction.rules)?;
        let count = self.at_most(node, items, direction.rules, dialect.most);
        let rules = all(items.iter().map(|item| self.cluster_rule(item, direction, dialect)));
        count?;
        rules
    }
}
