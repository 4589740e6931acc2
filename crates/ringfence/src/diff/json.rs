//! The differences for programs: one line for each connection, with the keys of `map -o json`.

use std::io::{self, Write};

use ringfence_policy::{Direction, PolicyKey};
use serde_json::{Value, json};

use super::model::{Diff, Group, Line};
use super::present::Present;
use super::table;
use crate::because;
use crate::ports::PortList;

/// Writes all as JSON, with a line end.
pub(super) fn write(diff: &Diff<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{{\n  \"version\": 1,\n  \"equivalent\": {},", diff.is_equivalent())?;
    let mut lists: Vec<(&str, Vec<Value>)> = vec![
        ("policies", diff.policies.iter().map(|change| policy(diff, change)).collect()),
        ("gained", connections(diff, true)),
        ("lost", connections(diff, false)),
        ("come", diff.come.iter().map(present).collect()),
        ("gone", diff.gone.iter().map(present).collect()),
        ("objects", diff.objects.iter().map(|text| json!(text)).collect()),
        ("cannotBeTold", diff.untold.iter().map(|text| json!(text)).collect()),
    ];
    if !diff.notes.is_empty() {
        lists.push(("notes", diff.notes.iter().map(|text| json!(text)).collect()));
    }
    let last = lists.len().saturating_sub(1);
    for (place, (name, items)) in lists.iter().enumerate() {
        write!(out, "  \"{name}\": [")?;
        for (place, item) in items.iter().enumerate() {
            write!(out, "{}\n    {item}", if place == 0 { "" } else { "," })?;
        }
        let end = if items.is_empty() { "]" } else { "\n  ]" };
        writeln!(out, "{end}{}", if place == last { "" } else { "," })?;
    }
    out.write_all(b"}\n")
}

fn policy(diff: &Diff<'_>, change: &ringfence_policy::PolicyChange) -> Value {
    let [old, new] = table::places(diff, change);
    let kind = match &change.key {
        PolicyKey::Network(_) => "NetworkPolicy",
        PolicyKey::Cluster(name) => name.kind.as_str(),
    };
    json!({
        "change": table::word(change),
        "kind": kind,
        "policy": change.key.to_string(),
        "old": old,
        "new": new,
        "selectsPods": change.selects,
    })
}

fn connections(diff: &Diff<'_>, gained: bool) -> Vec<Value> {
    let groups = diff.groups.iter().filter(|group| group.gained == gained);
    let of_group = |group: &Group| {
        let because = cause(diff, group);
        let more = move |value: &mut serde_json::Map<String, Value>| {
            value.insert("risk".to_owned(), json!(group.risk.key()));
            value.insert("because".to_owned(), because.clone());
        };
        group.lines.iter().flat_map(|line| line_json(line, &more)).collect::<Vec<_>>()
    };
    groups.flat_map(of_group).collect()
}

/// One entry for each pair of ends, outside ranges by themselves.
fn line_json(line: &Line, more: &dyn Fn(&mut serde_json::Map<String, Value>)) -> Vec<Value> {
    let allowed = PortList::from(&line.ports).to_json();
    let mut entries = Vec::new();
    for from in line.from.references() {
        for to in line.to.references() {
            let mut entry = serde_json::Map::new();
            entry.insert("from".to_owned(), from.to_json());
            entry.insert("to".to_owned(), to.to_json());
            entry.insert("allowed".to_owned(), allowed.clone());
            more(&mut entry);
            entries.push(Value::Object(entry));
        }
    }
    entries
}

fn cause(diff: &Diff<'_>, group: &Group) -> Value {
    let mut sides = serde_json::Map::new();
    let cause = diff.comparison.causes.get(group.cause as usize);
    for direction in [Direction::Egress, Direction::Ingress] {
        if let Some(shift) = cause.and_then(|cause| cause.side(direction)) {
            let before = because::to_json(diff.old.engine(), &shift.before);
            let after = because::to_json(diff.new.engine(), &shift.after);
            sides.insert(direction.as_str().to_owned(), json!({"before": before, "after": after}));
        }
    }
    Value::Object(sides)
}

fn present(present: &Present) -> Value {
    let mut value = present.reference.to_json();
    let lines: Vec<Value> = present.lines.iter().flat_map(|line| line_json(line, &|_| ())).collect();
    if let Value::Object(fields) = &mut value {
        fields.insert("connections".to_owned(), Value::Array(lines));
    }
    value
}
