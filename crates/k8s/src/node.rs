//! A manifest as a tree: what YAML, JSON and API objects have in common.
//!
//! Absent, null and empty stay apart. Nothing here knows a Kubernetes kind.

use std::collections::HashMap;

use crate::source::Span;

/// A value, and where it is written if it comes from text.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it is written.
    pub span: Option<Span>,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping; each key once, in the order of the text.
    Mapping(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is written.
    pub key_span: Option<Span>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A node that is not from text.
    pub fn new(value: Value) -> Node {
        Node { value, span: None }
    }

    /// The value of a key, `null` included; `None` where the key is absent or this is no mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// How many nodes the tree has, and how deep it is.
    pub(crate) fn size(&self) -> (usize, usize) {
        let children: &mut dyn Iterator<Item = &Node> = match &self.value {
            Value::Sequence(items) => &mut items.iter(),
            Value::Mapping(entries) => &mut entries.iter().map(|e| &e.value),
            _ => return (1, 1),
        };
        let (nodes, depth) = children
            .map(Node::size)
            .fold((0usize, 0usize), |(n, d), (cn, cd)| (n.saturating_add(cn), d.max(cd)));
        (nodes.saturating_add(1), depth + 1)
    }
}

/// Finds keys that are written twice, while a mapping is read.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The places of keys, once there are more than a few.
    places: HashMap<String, usize>,
}

impl Keys {
    /// So many keys are looked through one by one.
    const FEW: usize = 16;

    /// The entry of a key among those that were read so far: every time those of the time before, and more.
    pub(crate) fn find<'e>(&mut self, entries: &'e [Entry], key: &str) -> Option<&'e Entry> {
        if entries.len() <= Keys::FEW {
            return entries.iter().find(|e| e.key == key);
        }
        for (place, entry) in entries.iter().enumerate().skip(self.places.len()) {
            self.places.insert(entry.key.clone(), place);
        }
        self.places.get(key).and_then(|place| entries.get(*place))
    }
}

impl Value {
    /// What this is, to people.
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}
