//! `spec` of a NetworkPolicy, field by field as the Go types have it: all lists and mappings of labels are `omitempty`,
//! a selector that is a pointer stays apart from one that is not there.
//!
//! <https://github.com/kubernetes/api/blob/master/networking/v1/types.go>

use super::fields::{Fields, items, list, present, scalar, strings, text};
use crate::lower::default_types;
use crate::node::{Node, Value};

pub(super) fn spec(spec: Option<&Node>) -> Node {
    let empty = mapping();
    let spec = spec.unwrap_or(&empty);
    let mut fields = Fields::of(spec);
    fields.take("egress", |node| list(node, |item| rule(item, "to")));
    fields.take("ingress", |node| list(node, |item| rule(item, "from")));
    fields.put("podSelector", present(spec, "podSelector").map_or_else(mapping, selector));
    let types = present(spec, "policyTypes").and_then(|node| list(node, scalar));
    fields.put("policyTypes", types.unwrap_or_else(|| policy_types(spec)));
    fields.into_node()
}

/// The default, written out.
fn policy_types(spec: &Node) -> Node {
    let has_egress_rule = present(spec, "egress").is_some_and(|node| !items(node).is_empty());
    let (ingress, egress) = default_types(has_egress_rule);
    let types = [(ingress, "Ingress"), (egress, "Egress")].into_iter().filter(|(listed, _)| *listed);
    Node::new(Value::Sequence(types.map(|(_, kind)| string(kind)).collect()))
}

fn rule(rule: &Node, peers: &str) -> Node {
    let mut fields = Fields::of(rule);
    fields.take(peers, |node| list(node, peer));
    fields.take("ports", |node| list(node, port));
    fields.into_node()
}

fn peer(peer: &Node) -> Node {
    let mut fields = Fields::of(peer);
    fields.take("ipBlock", |node| Some(block(node)));
    for key in ["namespaceSelector", "podSelector"] {
        fields.take(key, |node| Some(selector(node)));
    }
    fields.into_node()
}

/// The address stays as it is written: servers store `10.1.2.3/8` and warn; newer ones refuse it in what is new.
fn block(block: &Node) -> Node {
    let mut fields = Fields::of(block);
    fields.take("cidr", |node| Some(scalar(node)));
    fields.take("except", |node| list(node, scalar));
    fields.into_node()
}

fn port(port: &Node) -> Node {
    let mut fields = Fields::of(port);
    fields.put("protocol", present(port, "protocol").map_or_else(|| string("TCP"), scalar));
    for key in ["endPort", "port"] {
        fields.take(key, |node| Some(scalar(node)));
    }
    fields.into_node()
}

fn selector(selector: &Node) -> Node {
    let mut fields = Fields::of(selector);
    fields.take("matchExpressions", |node| list(node, expression));
    fields.take("matchLabels", strings);
    fields.into_node()
}

fn expression(expression: &Node) -> Node {
    let mut fields = Fields::of(expression);
    for key in ["key", "operator"] {
        fields.take(key, |node| Some(scalar(node)));
    }
    fields.take("values", |node| list(node, text));
    fields.into_node()
}

fn mapping() -> Node {
    Node::new(Value::Mapping(Vec::new()))
}

fn string(text: &str) -> Node {
    Node::new(Value::String(text.to_owned()))
}
