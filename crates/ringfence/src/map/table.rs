//! The map for people: the workloads or pods with their isolation, then who connects to whom.
//!
//! How wide the columns are depends on every line, so connections are listed twice: once to measure, once to write.

use std::io::{self, Write};

use ringfence_policy::View;

use super::allowed::Allowed;
use super::lines::Merged;
use super::{Map, Row};
use crate::ports::PortList;
use crate::reference::Reference;
use crate::table::{cell, columns, heading};
use crate::terminal::Palette;

/// Writes both tables; nothing where there are no workloads.
pub(super) fn write(map: &Map<'_>, palette: Palette, out: &mut impl Write) -> io::Result<()> {
    if map.rows.is_empty() {
        return Ok(());
    }
    out.write_all(ends(map, palette).as_bytes())?;
    out.write_all(b"\n")?;
    connections(map, palette, out)
}

fn ends(map: &Map<'_>, palette: Palette) -> String {
    let rows: Vec<Vec<String>> = map
        .rows
        .iter()
        .map(|row| {
            let isolation = |word: &str| if row.host_network { "host network" } else { word }.to_owned();
            vec![
                row.namespace.clone(),
                name(row),
                row.pods.to_string(),
                isolation(row.ingress),
                isolation(row.egress),
            ]
        })
        .collect();
    let paint = |_, cell: &str| match cell {
        "isolated" => palette.allowed(cell),
        "held" => palette.accent(cell),
        "host network" => palette.dim(cell),
        _ => cell.to_owned(),
    };
    let what = match map.view {
        View::Workloads => "WORKLOAD",
        View::Pods => "POD",
    };
    columns(&["NAMESPACE", what, "PODS", "INGRESS", "EGRESS"], &rows, palette, paint)
}

pub(super) fn name(row: &Row) -> String {
    let Row { reference, workload, .. } = row;
    let of_workload = format!("{}/{}", workload.kind.to_lowercase(), workload.name);
    match reference {
        Reference::Workload { pods: Some(pods), .. } => format!("{of_workload} ({})", pods.join(", ")),
        Reference::Pod { name, workload: None, .. } => format!("pod/{name}"),
        Reference::Pod { name, workload: Some(_), .. } => format!("pod/{name} ({of_workload})"),
        _ => of_workload,
    }
}

fn connections(map: &Map<'_>, palette: Palette, out: &mut impl Write) -> io::Result<()> {
    let merged = Merged::new(map);
    let texts: Vec<String> =
        map.references.iter().chain([&Reference::External]).map(Reference::text).collect();
    let mut shown = vec![[false; 2]; texts.len()];
    let mut any = false;
    for (from, to, _) in merged.lines() {
        any = true;
        for (column, end) in [from, to].into_iter().enumerate() {
            if let Some(shown) = shown.get_mut(end).and_then(|columns| columns.get_mut(column)) {
                *shown = true;
            }
        }
    }
    if !any {
        return out.write_all(b"No connections are allowed.\n");
    }
    let headings = ["FROM", "TO", "PORTS"];
    let width = |column: usize| {
        let shown = shown.iter().map(|columns| columns.get(column) == Some(&true));
        let of_texts = texts.iter().zip(shown).filter(|(_, shown)| *shown).map(|(t, _)| t.chars().count());
        of_texts.chain(headings.get(column).map(|h| h.len())).max().unwrap_or(0)
    };
    let widths = [width(0), width(1), 0];
    let cells = |column: usize| -> Vec<String> {
        let width = widths.get(column).copied().unwrap_or(0);
        texts.iter().map(|text| cell(text, width)).collect()
    };
    let (sources, destinations) = (cells(0), cells(1));
    let mut allowed = Allowed::new(|set| format!("{}\n", PortList::from(set).to_text()));
    out.write_all(heading(&headings, &widths, palette).as_bytes())?;
    for (from, to, ports) in merged.lines() {
        for cell in [sources.get(from), destinations.get(to)].into_iter().flatten() {
            out.write_all(cell.as_bytes())?;
        }
        out.write_all(allowed.text(&ports).as_bytes())?;
    }
    Ok(())
}
