//! A mapping that is built field by field, and what nodes of every kind of policy have in common.

use std::collections::BTreeMap;

use crate::lower::context::whole;
use crate::node::{Entry, Node, Value};
use crate::source::Span;

/// A mapping in the making; its keys end in alphabetical order.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    /// What it is made from.
    from: &'n Node,
    entries: BTreeMap<String, (Option<Span>, Node)>,
}

impl<'n> Fields<'n> {
    /// An empty mapping in the place of `from`.
    pub(super) fn of(from: &'n Node) -> Fields<'n> {
        Fields { from, entries: BTreeMap::new() }
    }

    /// Sets a field.
    pub(super) fn put(&mut self, key: &str, node: Node) {
        let span = entries(self.from).iter().find(|e| e.key == key).and_then(|e| e.key_span);
        self.entries.insert(key.to_owned(), (span, node));
    }

    /// Takes a field over, if it is there and not null, and if it is worth it once `normal` has made of it what it is.
    pub(super) fn take(&mut self, key: &str, normal: impl FnOnce(&Node) -> Option<Node>) {
        if let Some(node) = present(self.from, key).and_then(normal) {
            self.put(key, node);
        }
    }

    pub(super) fn into_node(self) -> Node {
        let entries = self.entries.into_iter();
        let entries = entries.map(|(key, (key_span, value))| Entry { key, key_span, value }).collect();
        Node { value: Value::Mapping(entries), span: self.from.span }
    }
}

/// A field that is there and not null.
pub(super) fn present<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.get(key).filter(|value| !value.is_null())
}

/// The entries of a mapping; none of anything else.
pub(super) fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Mapping(entries) => entries,
        _ => &[],
    }
}

/// The items of a list; none of anything else.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::Sequence(items) => items,
        _ => &[],
    }
}

/// A list, each item as `normal` makes it; `None` where it is empty, which `omitempty` drops.
pub(super) fn list(node: &Node, normal: impl Fn(&Node) -> Node) -> Option<Node> {
    let items: Vec<Node> = items(node).iter().map(normal).collect();
    (!items.is_empty()).then_some(Node { value: Value::Sequence(items), span: node.span })
}

/// A mapping of strings, such as labels; a value that is null is the empty string, as Go reads it. `None` where it is
/// empty.
pub(super) fn strings(node: &Node) -> Option<Node> {
    let mut fields = Fields::of(node);
    for entry in entries(node) {
        fields.put(&entry.key, text(&entry.value));
    }
    (!fields.entries.is_empty()).then(|| fields.into_node())
}

/// A string of a built-in kind; null is the empty one, as Go reads it.
pub(super) fn text(node: &Node) -> Node {
    match &node.value {
        Value::Null => Node { value: Value::String(String::new()), span: node.span },
        _ => scalar(node),
    }
}

/// A value that is copied; `80.0` is 80, as in JSON.
pub(super) fn scalar(node: &Node) -> Node {
    match whole(&node.value) {
        Some(number) => Node { value: Value::Int(number), span: node.span },
        None => node.clone(),
    }
}

/// The same with every mapping in alphabetical order, and with what is null in mappings only if `keep_null`.
pub(super) fn sorted(node: &Node, keep_null: bool) -> Node {
    match &node.value {
        Value::Mapping(entries) => {
            let mut fields = Fields::of(node);
            for entry in entries.iter().filter(|e| keep_null || !e.value.is_null()) {
                fields.put(&entry.key, sorted(&entry.value, keep_null));
            }
            fields.into_node()
        }
        Value::Sequence(items) => {
            let items = items.iter().map(|item| sorted(item, keep_null)).collect();
            Node { value: Value::Sequence(items), span: node.span }
        }
        _ => scalar(node),
    }
}
