//! `spec` of the cluster-wide policies, which are custom resources: the server stores what is written, empty lists too,
//! drops what is null, and writes the defaults of the schema.
//!
//! A rule that fails closed is kept as it is written, with what is null and what this version does not know: without
//! that it would read as a wider rule.

use ringfence_policy::{ClusterPolicy, ClusterRule};

use super::fields::{Fields, entries, items, present, sorted};
use crate::node::{Node, Value};

/// `lowered` is what the policy was read as.
pub(super) fn spec(spec: Option<&Node>, lowered: Option<&ClusterPolicy>) -> Node {
    let empty = Node::new(Value::Mapping(Vec::new()));
    let spec = spec.unwrap_or(&empty);
    let mut fields = Fields::of(spec);
    for entry in entries(spec).iter().filter(|e| !e.value.is_null()) {
        let rules = match entry.key.as_str() {
            "ingress" => lowered.map(|l| l.ingress.as_slice()),
            "egress" => lowered.map(|l| l.egress.as_slice()),
            _ => None,
        };
        let value = match rules {
            Some(rules) => rule_list(&entry.value, rules),
            None => sorted(&entry.value, false),
        };
        fields.put(&entry.key, value);
    }
    fields.into_node()
}

fn rule_list(node: &Node, lowered: &[ClusterRule]) -> Node {
    let rules = items(node).iter().enumerate();
    let rules = rules.map(|(place, rule)| match lowered.get(place) {
        Some(ClusterRule { matches: Some(_), .. }) => defaulted(&sorted(rule, false)),
        _ => sorted(rule, true),
    });
    Node { value: Value::Sequence(rules.collect()), span: node.span }
}

/// The protocol of `portNumber` and `portRange` (`v1alpha1`), which the schema defaults.
fn defaulted(rule: &Node) -> Node {
    let mut fields = Fields::of(rule);
    for entry in entries(rule) {
        let value = if entry.key == "ports" { ports(&entry.value) } else { entry.value.clone() };
        fields.put(&entry.key, value);
    }
    fields.into_node()
}

fn ports(node: &Node) -> Node {
    let item = |item: &Node| {
        let mut fields = Fields::of(item);
        for entry in entries(item) {
            let has_protocol = matches!(entry.key.as_str(), "portNumber" | "portRange");
            let value = if has_protocol { with_protocol(&entry.value) } else { entry.value.clone() };
            fields.put(&entry.key, value);
        }
        fields.into_node()
    };
    Node { value: Value::Sequence(items(node).iter().map(item).collect()), span: node.span }
}

fn with_protocol(port: &Node) -> Node {
    let mut fields = Fields::of(port);
    for entry in entries(port) {
        fields.put(&entry.key, entry.value.clone());
    }
    if present(port, "protocol").is_none() {
        fields.put("protocol", Node::new(Value::String("TCP".to_owned())));
    }
    fields.into_node()
}
