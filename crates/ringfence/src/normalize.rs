//! `ringfence normalize`: the policies as the API server would store them; what that is, `ringfence-k8s` knows.

pub(crate) mod args;

use std::process::ExitCode;

use ringfence_k8s::{Entry, Node, Value, normalize, to_yaml};
use serde_json::json;

use self::args::{NormalizeArgs, NormalizeFormat};
use crate::input;
use crate::terminal::Terminal;

/// Reads, normalises and prints.
pub(crate) fn run(args: &NormalizeArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let input = input::read_with_manifests(&args.paths, &args.input(), terminal)?;
    let policies = normalize(&input.inventory, &input.manifests);
    match args.output {
        NormalizeFormat::Yaml => terminal.answer(&to_yaml(policies.iter().map(|p| &p.node)))?,
        NormalizeFormat::Json => {
            let items: Vec<serde_json::Value> = policies.iter().map(|p| json(&p.node)).collect();
            let list = json!({"apiVersion": "v1", "items": items, "kind": "List"});
            terminal.answer(&format!("{list:#}\n"))?;
        }
    }
    if policies.is_empty() {
        terminal.note("no policies in these manifests");
    }
    Ok(ExitCode::SUCCESS)
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Sequence(items) => items.iter().map(json).collect(),
        Value::Mapping(entries) => {
            entries.iter().map(|Entry { key, value, .. }| (key.clone(), json(value))).collect()
        }
    }
}
