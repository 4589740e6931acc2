//! The map for people: the workloads with their isolation, then who connects to whom.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Map, Pair};
use crate::ports::PortList;
use crate::ranges;
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
    let rows: Vec<Vec<String>> = merge_families(&map.connections)
        .into_iter()
        .map(|(from, to, pair)| vec![from.text(), to.text(), pair.allowed.to_text()])
        .collect();
    text.push_str(&columns(&["FROM", "TO", "PORTS"], &rows, palette, |_, cell| cell.to_owned()));
    text
}

/// The pairs, with those of the whole of IPv4 and the whole of IPv6 as one where they allow the same.
fn merge_families(pairs: &[Pair]) -> Vec<(Reference, Reference, &Pair)> {
    let mut families: HashMap<(bool, &Reference), Vec<&PortList>> = HashMap::new();
    for pair in pairs {
        if whole_family(&pair.from).is_some() {
            families.entry((true, &pair.to)).or_default().push(&pair.allowed);
        }
        if whole_family(&pair.to).is_some() {
            families.entry((false, &pair.from)).or_default().push(&pair.allowed);
        }
    }
    let alike = |key: (bool, &Reference)| {
        families.get(&key).is_some_and(|lists| matches!(lists.as_slice(), [a, b] if a == b))
    };
    let mut rows = Vec::new();
    for pair in pairs {
        let Pair { from, to, .. } = pair;
        rows.extend(match (whole_family(from), whole_family(to)) {
            (Some(IpAddr::V4(_)), _) if alike((true, to)) => Some((Reference::External, to.clone(), pair)),
            (_, Some(IpAddr::V4(_))) if alike((false, from)) => {
                Some((from.clone(), Reference::External, pair))
            }
            (Some(IpAddr::V6(_)), _) if alike((true, to)) => None,
            (_, Some(IpAddr::V6(_))) if alike((false, from)) => None,
            _ => Some((from.clone(), to.clone(), pair)),
        });
    }
    rows
}

/// The first address of an end that is a whole address family.
fn whole_family(end: &Reference) -> Option<IpAddr> {
    match end {
        Reference::Outside(first, last) if ranges::is_whole_family(*first, *last) => Some(*first),
        _ => None,
    }
}
