//! The map for programs: one line for each workload and each connection.
//!
//! A large map has gigabytes. So every end and every set of ports becomes text once, and a connection is put together
//! from these.

use std::io::{self, Write};

use ringfence_policy::View;
use serde_json::{Value, json};

use super::allowed::Allowed;
use super::{Map, Row};
use crate::ports::PortList;
use crate::reference::workload_json;

/// Writes the map as JSON, with a line end.
pub(super) fn write(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"{\n  \"version\": 1,\n  \"workloads\": ")?;
    lines(out, map.rows.iter().map(|row| inline(&row_json(row, map.view))))?;
    out.write_all(b",\n  \"connections\": ")?;
    connections(map, out)?;
    if !map.notes.is_empty() {
        out.write_all(b",\n  \"notes\": ")?;
        lines(out, map.notes.iter().map(|note| inline(&json!(note))))?;
    }
    out.write_all(b"\n}\n")
}

fn connections(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    let ends: Vec<String> =
        map.references.iter().map(|r| format!("{}, \"allowed\": ", inline(&r.to_json()))).collect();
    let mut allowed = Allowed::new(|set| format!("{}}}", inline(&PortList::from(set).to_json())));
    let mut source = None;
    let mut start = String::new();
    for connection in map.connections() {
        let Some(to) = ends.get(connection.to as usize) else { continue };
        if source != Some(connection.from) {
            let from = map.references.get(connection.from as usize).map(|r| inline(&r.to_json()));
            start = format!(",\n    {{\"from\": {}, \"to\": ", from.unwrap_or_default());
            // The first has no comma before it.
            let opening = if source.is_none() { start.replacen(',', "[", 1) } else { start.clone() };
            out.write_all(opening.as_bytes())?;
            source = Some(connection.from);
        } else {
            out.write_all(start.as_bytes())?;
        }
        out.write_all(to.as_bytes())?;
        out.write_all(allowed.text(&connection.allowed).as_bytes())?;
    }
    out.write_all(if source.is_some() { b"\n  ]" } else { b"[]" })
}

pub(super) fn row_json(row: &Row, view: View) -> Value {
    let mut value = row.reference.to_json();
    if let Value::Object(fields) = &mut value {
        let some_of_them = fields.shift_remove("podNames");
        fields.shift_remove("workload");
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
        if view == View::Pods {
            fields.insert("workload".to_owned(), workload_json(&row.workload));
        }
    }
    value
}

/// A list with one line for each item.
fn lines(out: &mut impl Write, items: impl Iterator<Item = String>) -> io::Result<()> {
    let mut any = false;
    for item in items {
        out.write_all(if any { b",\n    " } else { b"[\n    " })?;
        out.write_all(item.as_bytes())?;
        any = true;
    }
    out.write_all(if any { b"\n  ]" } else { b"[]" })
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
