//! The map for programs: one line for each workload and each connection.

use serde_json::{Value, json};

use super::{Map, Pair, Row};

/// The map as JSON, with a line end.
pub(super) fn render(map: &Map) -> String {
    let workloads: Vec<Value> = map.workloads.iter().map(workload).collect();
    let connections: Vec<Value> = map.connections.iter().map(connection).collect();
    let mut text = format!(
        "{{\n  \"version\": 1,\n  \"workloads\": {},\n  \"connections\": {}",
        lines(&workloads),
        lines(&connections)
    );
    if !map.notes.is_empty() {
        let notes: Vec<Value> = map.notes.iter().map(|n| json!(n)).collect();
        text.push_str(&format!(",\n  \"notes\": {}", lines(&notes)));
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

fn connection(pair: &Pair) -> Value {
    json!({"from": pair.from.to_json(), "to": pair.to.to_json(), "allowed": pair.allowed.to_json()})
}

/// A list with one line for each item.
fn lines(items: &[Value]) -> String {
    if items.is_empty() {
        return "[]".to_owned();
    }
    let items: Vec<String> = items.iter().map(|i| format!("    {}", inline(i))).collect();
    format!("[\n{}\n  ]", items.join(",\n"))
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
