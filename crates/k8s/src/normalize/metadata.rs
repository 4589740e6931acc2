//! `metadata`: what a person writes, without what only the server sets.

use super::fields::{Fields, list, present, scalar, sorted, strings};
use crate::node::{Node, Value};
use crate::read::Manifest;

/// The metadata of an object that was read. The namespace is written where there is one.
pub(super) fn metadata(manifest: &Manifest) -> Node {
    let empty = Node::new(Value::Mapping(Vec::new()));
    let from = present(&manifest.node, "metadata").unwrap_or(&empty);
    let mut fields = Fields::of(from);
    for key in ["annotations", "labels"] {
        fields.take(key, strings);
    }
    for key in ["finalizers", "ownerReferences"] {
        fields.take(key, |node| list(node, |item| sorted(item, false)));
    }
    for key in ["generateName", "name"] {
        fields.take(key, |node| Some(scalar(node)).filter(|n| n.as_str() != Some("")));
    }
    if !manifest.namespace.is_empty() {
        let span = present(from, "namespace").and_then(|node| node.span);
        fields.put("namespace", Node { value: Value::String(manifest.namespace.clone()), span });
    }
    fields.into_node()
}
