//! The map for people: the workloads with their isolation, then who connects to whom.

use std::collections::{HashMap, HashSet};

use super::{Map, Pair};
use crate::ports::PortList;
use crate::reference::Reference;
use crate::table::columns;
use crate::terminal::Palette;

/// Both tables; empty where there are no workloads.
pub(super) fn render(map: &Map, palette: Palette) -> String {
    if map.workloads.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = map
        .workloads
        .iter()
        .map(|row| {
            let subset = match &row.reference {
                Reference::Workload { pods: Some(pods), .. } => format!(" ({})", pods.join(", ")),
                _ => String::new(),
            };
            let name = format!("{}/{}{subset}", row.workload.kind.to_lowercase(), row.workload.name);
            let isolation = |word: &str| if row.host_network { "host network" } else { word }.to_owned();
            vec![
                row.namespace.clone(),
                name,
                row.pods.to_string(),
                isolation(row.ingress),
                isolation(row.egress),
            ]
        })
        .collect();
    let paint = |_, cell: &str| match cell {
        "isolated" => palette.allowed(cell),
        "host network" => palette.dim(cell),
        _ => cell.to_owned(),
    };
    let mut text = columns(&["NAMESPACE", "WORKLOAD", "PODS", "INGRESS", "EGRESS"], &rows, palette, paint);
    text.push('\n');
    if map.connections.is_empty() {
        text.push_str("No connections are allowed.\n");
        return text;
    }
    let rows: Vec<Vec<String>> = merge_outside(map)
        .into_iter()
        .map(|(from, to, allowed)| vec![from.text(), to.text(), allowed.to_text()])
        .collect();
    text.push_str(&columns(&["FROM", "TO", "PORTS"], &rows, palette, |_, cell| cell.to_owned()));
    text
}

/// The pairs, with all outside ranges as one end where the same is allowed for every one of them.
fn merge_outside(map: &Map) -> Vec<(Reference, Reference, &PortList)> {
    let mut outside: HashMap<(bool, &Reference), Vec<&PortList>> = HashMap::new();
    for pair in &map.connections {
        if let Some(key) = outside_pair(pair) {
            outside.entry(key).or_default().push(&pair.allowed);
        }
    }
    outside.retain(|_, lists| lists.len() == map.outside && lists.windows(2).all(|w| w.first() == w.last()));
    let mut rows = Vec::new();
    let mut done = HashSet::new();
    for pair in &map.connections {
        let (from, to) = match outside_pair(pair).filter(|key| outside.contains_key(key)) {
            Some(key) if !done.insert(key) => continue,
            Some((true, to)) => (Reference::External, to.clone()),
            Some((false, from)) => (from.clone(), Reference::External),
            None => (pair.from.clone(), pair.to.clone()),
        };
        rows.push((from, to, &pair.allowed));
    }
    rows
}

/// Whether the source is outside, and the end that is not; `None` where neither is.
fn outside_pair(pair: &Pair) -> Option<(bool, &Reference)> {
    match (&pair.from, &pair.to) {
        (Reference::Outside(..), to) => Some((true, to)),
        (from, Reference::Outside(..)) => Some((false, from)),
        _ => None,
    }
}
