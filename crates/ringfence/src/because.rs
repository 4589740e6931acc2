//! Why a side of a connection answers as it does: in words, and with the keys that `explain -o json` has.

use ringfence_policy::{Because, Engine, PolicyId, RuleRef, Tier};
use serde_json::{Map, Value, json};

use crate::explain::rule::RuleText;

/// The reason in words, such as `allowed by shop/db ingress rule 0, db.yaml:14`.
pub(crate) fn text(engine: &Engine, because: &Because) -> String {
    match because {
        Because::Itself => "allowed: a pod always reaches itself".to_owned(),
        Because::OwnNode => "allowed: a node always reaches its own pods".to_owned(),
        Because::NoSubject => "allowed: no policy holds this end".to_owned(),
        Because::NotIsolated => "allowed: no policy decides (default)".to_owned(),
        Because::Rule(rule) => match RuleText::new(engine, *rule) {
            Some(text) => {
                let verb = if is_denial(&text) { "denied" } else { "allowed" };
                format!("{verb} by {}", text.text())
            }
            None => "decided by a rule that is not known".to_owned(),
        },
        Because::NoRule(policies) => {
            let names: Vec<String> = policies.iter().filter_map(|id| named(engine, *id)).collect();
            format!("denied: isolated by {}, and no rule allows it", some_of(&names))
        }
    }
}

/// The reason for programs.
pub(crate) fn to_json(engine: &Engine, because: &Because) -> Value {
    let by_default = |reason: &str| json!({"tier": "default", "reason": reason});
    match because {
        Because::Itself => by_default("itself"),
        Because::OwnNode => by_default("ownNode"),
        Because::NoSubject => by_default("noSubject"),
        Because::NotIsolated => json!({"tier": "default"}),
        Because::Rule(rule) => rule_json(engine, *rule),
        Because::NoRule(policies) => {
            let names = policies.iter().filter_map(|id| engine.policy(*id));
            let names: Vec<String> = names.map(|policy| policy.key().to_string()).collect();
            json!({"tier": Tier::NetworkPolicy.as_str(), "isolatedBy": names})
        }
    }
}

/// The tier and the rule that decided in it.
pub(crate) fn rule_json(engine: &Engine, rule: RuleRef) -> Value {
    let mut fields = Map::from_iter([("tier".to_owned(), json!(engine.rule_tier(rule).as_str()))]);
    fields.extend(rule_fields(engine, rule));
    Value::Object(fields)
}

/// A rule: its policy, place, name, action and source, and whether it fails closed.
pub(crate) fn rule_fields(engine: &Engine, rule: RuleRef) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(rule) = RuleText::new(engine, rule) {
        fields.insert("policy".to_owned(), json!(rule.policy.to_string()));
        fields.insert("rule".to_owned(), json!(rule.place));
        if let Some(name) = rule.name {
            fields.insert("name".to_owned(), json!(name));
        }
        fields.insert("action".to_owned(), json!(rule.action));
        if let Some(source) = rule.source {
            fields.insert("source".to_owned(), json!(source.to_string()));
        }
        if rule.is_unknown {
            fields.insert("failsClosed".to_owned(), json!(true));
        }
    }
    fields
}

fn is_denial(rule: &RuleText<'_>) -> bool {
    rule.action == ringfence_policy::Action::Deny.as_str()
}

/// A policy and where it is written.
fn named(engine: &Engine, policy: PolicyId) -> Option<String> {
    let policy = engine.policy(policy)?;
    let place = policy.source().map(|source| format!(" ({source})")).unwrap_or_default();
    Some(format!("{}{place}", policy.key()))
}

fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}
