//! `NetworkPolicy`: the whole object, defaulted and validated as the API server does it.
//!
//! Nothing of a policy is ever dropped: what cannot be read makes the whole object an error.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/>

use ringfence_policy::{
    LabelSelector, NamespaceScope, NetworkPolicy, Peer, Peers, PolicyName, Ports, Rule, Source,
};

use super::context::{Context, Reported, all, field, key_span};
use super::meta::{Meta, Name};
use super::names;
use crate::node::{Entry, Node};
use crate::source::Span;

/// A direction, as its rules are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Direction {
    /// In `policyTypes`.
    kind: &'static str,
    /// The list of rules.
    pub(super) rules: &'static str,
    /// The list of peers in a rule.
    pub(super) peers: &'static str,
}

pub(super) const INGRESS: Direction = Direction { kind: "Ingress", rules: "ingress", peers: "from" };
pub(super) const EGRESS: Direction = Direction { kind: "Egress", rules: "egress", peers: "to" };

/// Whether Ingress and Egress are in force where `policyTypes` says nothing, as the server fills it in: Ingress always,
/// Egress where it has a rule.
pub(crate) fn default_types(has_egress_rule: bool) -> (bool, bool) {
    (true, has_egress_rule)
}

impl Context<'_> {
    pub(crate) fn network_policy(&mut self, object: &Node) -> Result<(NetworkPolicy, Meta), Reported> {
        let meta = self.meta(object, "NetworkPolicy", Name::Subdomain);
        let entries = self.mapping(object, "NetworkPolicy")?;
        const TOP: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
        let known = self.known_fields(entries, &TOP, "a NetworkPolicy");
        let spec = match field(entries, "spec") {
            Some(spec) => self.mapping(spec, "spec")?,
            None => &[],
        };
        const SPEC: [&str; 4] = ["podSelector", "policyTypes", "ingress", "egress"];
        let known_in_spec = self.known_fields(spec, &SPEC, "`spec` of a NetworkPolicy");
        let subject = self.subject(spec, meta.as_ref().ok().filter(|_| known_in_spec.is_ok()));
        let ingress = self.rules(spec, INGRESS);
        let egress = self.rules(spec, EGRESS);
        let types = self.policy_types(spec);
        known?;
        known_in_spec?;
        let meta = meta?;
        let (subject, ingress, egress) = (subject?, ingress?, egress?);
        let (has_ingress, has_egress) = types?.unwrap_or_else(|| default_types(!egress.is_empty()));
        let policy = NetworkPolicy {
            name: PolicyName { namespace: meta.namespace.clone(), name: meta.name.clone() },
            subject,
            ingress: self.in_force(spec, INGRESS, has_ingress, ingress),
            egress: self.in_force(spec, EGRESS, has_egress, egress),
            source: self.source(object.span),
        };
        Ok((policy, meta))
    }

    pub(crate) fn source(&self, span: Option<Span>) -> Option<Source> {
        span.and_then(|span| self.sources.source(span))
    }

    /// The pods that the policy isolates. `meta` is there if all is well so far: else a missing selector is no news.
    fn subject(&mut self, spec: &[Entry], meta: Option<&Meta>) -> Result<LabelSelector, Reported> {
        match field(spec, "podSelector") {
            Some(node) => self.selector(node, "podSelector"),
            None => {
                if let Some(meta) = meta {
                    let span = key_span(spec, "podSelector").or(meta.span);
                    let message =
                        format!("no `podSelector`: isolates every pod of namespace {}", meta.namespace);
                    let help = "write `podSelector: {}` if that is meant".to_owned();
                    self.warn("no-pod-selector", span, message, Some(help));
                }
                Ok(LabelSelector::everything())
            }
        }
    }

    /// Whether Ingress and Egress are listed; `None` where the list is absent or empty, which the server takes for the
    /// same.
    fn policy_types(&mut self, spec: &[Entry]) -> Result<Option<(bool, bool)>, Reported> {
        let Some(node) = field(spec, "policyTypes") else { return Ok(None) };
        let items = self.sequence(node, "policyTypes")?;
        if items.len() > 2 {
            let message = "`policyTypes` has more than two entries";
            return Err(self.error("invalid-policy-type", node.span, message, None));
        }
        let kinds = all(items.iter().map(|item| self.policy_type(item)))?;
        Ok((!kinds.is_empty()).then(|| (kinds.contains(&INGRESS.kind), kinds.contains(&EGRESS.kind))))
    }

    fn policy_type(&mut self, node: &Node) -> Result<&'static str, Reported> {
        let written = self.string(node, "policyTypes")?;
        let kinds = [INGRESS.kind, EGRESS.kind];
        if let Some(kind) = kinds.into_iter().find(|k| *k == written) {
            return Ok(kind);
        }
        let help = match names::near_miss(written, kinds) {
            Some(near) => format!("did you mean {near}?"),
            None => "the policy types are Ingress and Egress".to_owned(),
        };
        Err(self.error(
            "invalid-policy-type",
            node.span,
            format!("`{written}` is no policy type"),
            Some(help),
        ))
    }

    /// The rules, if the policy says anything about the direction.
    fn in_force(
        &mut self,
        spec: &[Entry],
        direction: Direction,
        listed: bool,
        rules: Vec<Rule>,
    ) -> Option<Vec<Rule>> {
        if !listed && !rules.is_empty() {
            let message = format!(
                "`{}` has no effect: `policyTypes` does not list {}",
                direction.rules, direction.kind
            );
            let help = format!("add {} to `policyTypes`, or remove the rules", direction.kind);
            self.warn("rules-without-effect", key_span(spec, direction.rules), message, Some(help));
        }
        listed.then_some(rules)
    }

    fn rules(&mut self, spec: &[Entry], direction: Direction) -> Result<Vec<Rule>, Reported> {
        let Some(node) = field(spec, direction.rules) else { return Ok(Vec::new()) };
        let items = self.sequence(node, direction.rules)?;
        all(items.iter().map(|item| self.rule(item, direction)))
    }

    fn rule(&mut self, node: &Node, direction: Direction) -> Result<Rule, Reported> {
        self.empty_item(node, direction.rules, "it allows everything");
        let entries = self.mapping(node, direction.rules)?;
        let known = self.rule_fields(entries, direction);
        let peers = match field(entries, direction.peers) {
            Some(node) => self.peers(node, direction),
            None => Ok(Peers::Any),
        };
        let ports = match field(entries, "ports") {
            Some(node) => self.ports(node),
            None => Ok(Ports::Any),
        };
        known?;
        Ok(Rule { peers: peers?, ports: ports?, source: self.source(node.span) })
    }

    fn rule_fields(&mut self, entries: &[Entry], direction: Direction) -> Result<(), Reported> {
        let other = if direction == INGRESS { EGRESS } else { INGRESS };
        let mut result = Ok(());
        if let Some(span) = entries.iter().find(|e| e.key == other.peers).map(|e| e.key_span) {
            let message = format!("`{}` in a rule of `{}`", other.peers, direction.rules);
            let help = format!("write `{}`, or move the rule to `{}`", direction.peers, other.rules);
            result = Err(self.error("unknown-field", span, message, Some(help)));
        }
        let known = ["ports", direction.peers, other.peers];
        let of = format!("a rule of `{}`", direction.rules);
        self.known_fields(entries, &known, &of).and(result)
    }

    fn peers(&mut self, node: &Node, direction: Direction) -> Result<Peers, Reported> {
        let items = self.sequence(node, direction.peers)?;
        if items.is_empty() {
            return Ok(Peers::Any);
        }
        all(items.iter().map(|item| self.peer(item, direction))).map(Peers::Of)
    }

    fn peer(&mut self, node: &Node, direction: Direction) -> Result<Peer, Reported> {
        let entries = self.mapping(node, direction.peers)?;
        let of = format!("a peer of `{}`", direction.peers);
        let known = self.known_fields(entries, &["podSelector", "namespaceSelector", "ipBlock"], &of);
        let pods = field(entries, "podSelector").map(|node| self.selector(node, "podSelector"));
        let namespaces =
            field(entries, "namespaceSelector").map(|node| self.selector(node, "namespaceSelector"));
        let block = field(entries, "ipBlock").map(|node| self.ip_block(node));
        known?;
        match (pods, namespaces, block) {
            (None, None, None) => {
                let message = format!("a peer of `{}` that names nobody", direction.peers);
                let help = match entries.first() {
                    Some(entry) => {
                        format!("`{0}` is null; write `{0}: {{}}` to select everything", entry.key)
                    }
                    None => format!("leave `{}` out to mean everybody", direction.peers),
                };
                Err(self.error("empty-peer", node.span, message, Some(help)))
            }
            (None, None, Some(block)) => Ok(Peer::Block(block?)),
            (pods, namespaces, None) => Ok(Peer::Pods {
                namespaces: match namespaces {
                    Some(selector) => NamespaceScope::Matching(selector?),
                    None => NamespaceScope::Own,
                },
                pods: pods.unwrap_or_else(|| Ok(LabelSelector::everything()))?,
            }),
            (_, _, Some(_)) => {
                let message = "`ipBlock` beside a selector in one peer";
                let help = "make it a peer of its own, with its own dash".to_owned();
                Err(self.error("mixed-peer", key_span(entries, "ipBlock").or(node.span), message, Some(help)))
            }
        }
    }

    /// Warns of a dash with nothing behind it, which the server reads as `{}`.
    pub(crate) fn empty_item(&mut self, node: &Node, list: &str, effect: &str) {
        if node.is_null() {
            let message = format!("an empty item in `{list}` reads as `{{}}`: {effect}");
            self.warn("empty-item", node.span, message, Some("write `- {}` if that is meant".to_owned()));
        }
    }
}
