//! The map as Markdown tables, for a wiki or a pull request. Connections are written as they are found.

use std::io::{self, Write};

use super::Map;
use super::allowed::Allowed;
use super::lines::Merged;
use super::table::name;
use crate::escape;
use crate::ports::PortList;
use crate::reference::Reference;

/// Writes both tables; nothing where there are no workloads.
pub(super) fn write(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    if map.rows.is_empty() {
        return Ok(());
    }
    out.write_all(b"| Namespace | Workload | Pods | Ingress | Egress |\n|---|---|--:|---|---|\n")?;
    for row in &map.rows {
        let isolation = |word: &str| if row.host_network { "host network" } else { word }.to_owned();
        let cells = [
            row.namespace.clone(),
            name(row),
            row.pods.to_string(),
            isolation(row.ingress),
            isolation(row.egress),
        ];
        line(out, &cells)?;
    }
    let merged = Merged::new(map);
    let ends: Vec<String> = map
        .references
        .iter()
        .chain([&Reference::External])
        .map(|reference| format!("| {} ", escape::markdown(&reference.text())))
        .collect();
    let mut allowed =
        Allowed::new(|set| format!("| {} |\n", escape::markdown(&PortList::from(set).to_text())));
    let mut any = false;
    for (from, to, ports) in merged.lines() {
        if !any {
            out.write_all(b"\n| From | To | Ports |\n|---|---|---|\n")?;
            any = true;
        }
        for end in [ends.get(from), ends.get(to)].into_iter().flatten() {
            out.write_all(end.as_bytes())?;
        }
        out.write_all(allowed.text(&ports).as_bytes())?;
    }
    if any { Ok(()) } else { out.write_all(b"\nNo connections are allowed.\n") }
}

fn line(out: &mut impl Write, cells: &[String]) -> io::Result<()> {
    for cell in cells {
        write!(out, "| {} ", escape::markdown(cell))?;
    }
    out.write_all(b"|\n")
}
