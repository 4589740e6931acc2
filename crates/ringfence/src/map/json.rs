//! The map for programs: one line for each workload and each connection.

use std::collections::HashMap;
use std::rc::Rc;

use ringfence_policy::PortSet;
use serde_json::{Value, json};

use super::{Map, Pair, Row};
use crate::ports::PortList;

/// The map as JSON, with a line end.
pub(super) fn render(map: &Map) -> String {
    let ends: Vec<String> = map.references.iter().map(|r| inline(&r.to_json())).collect();
    let mut sets: HashMap<*const PortSet, String> = HashMap::new();
    let connection = |Pair { from, to, allowed }: &Pair| {
        let (from, to) = (ends.get(*from)?, ends.get(*to)?);
        // Connections that carry the same mostly share it.
        let text = || inline(&PortList::from(allowed.as_ref()).to_json());
        let allowed = sets.entry(Rc::as_ptr(allowed)).or_insert_with(text);
        Some(format!("{{\"from\": {from}, \"to\": {to}, \"allowed\": {allowed}}}"))
    };
    let mut text = "{\n  \"version\": 1,\n  \"workloads\": ".to_owned();
    lines(&mut text, map.workloads.iter().map(|row| inline(&workload(row))));
    text.push_str(",\n  \"connections\": ");
    lines(&mut text, map.connections.iter().filter_map(connection));
    if !map.notes.is_empty() {
        text.push_str(",\n  \"notes\": ");
        lines(&mut text, map.notes.iter().map(|note| inline(&json!(note))));
    }
    text.push_str("\n}\n");
    text
}

fn workload(row: &Row) -> Value {
    let mut value = row.reference.to_json();
    if let Value::Object(fields) = &mut value {
        let some_of_them = fields.shift_remove("podNames");
        let labels: serde_json::Map<String, Value> =
            row.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        fields.insert("labels".to_owned(), Value::Object(labels));
        fields.insert("pods".to_owned(), json!(row.pods));
        fields.insert("ingress".to_owned(), json!(row.ingress));
        fields.insert("egress".to_owned(), json!(row.egress));
        fields.insert("hostNetwork".to_owned(), json!(row.host_network));
        if let Some(names) = some_of_them {
            fields.insert("podNames".to_owned(), names);
        }
    }
    value
}

/// A list with one line for each item.
fn lines(text: &mut String, items: impl Iterator<Item = String>) {
    let mut any = false;
    for item in items {
        text.push_str(if any { ",\n    " } else { "[\n    " });
        text.push_str(&item);
        any = true;
    }
    text.push_str(if any { "\n  ]" } else { "[]" });
}

/// A value on one line, with a blank after each comma and colon.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(k, v)| format!("{}: {}", json!(k), inline(v)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}
