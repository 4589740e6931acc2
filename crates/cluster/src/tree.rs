//! JSON as the trees that the reader of manifests takes.

use ringfence_k8s::{Entry, Node, Value};
use serde_json::Value as Json;

/// The same value, without places in a text.
pub(crate) fn tree(json: Json) -> Node {
    Node::new(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Sequence(items.into_iter().map(tree).collect()),
        Json::Object(fields) => Value::Mapping(
            fields
                .into_iter()
                .map(|(key, value)| Entry { key, key_span: None, value: tree(value) })
                .collect(),
        ),
    })
}
