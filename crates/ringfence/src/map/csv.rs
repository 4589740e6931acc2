//! The connections for spreadsheets: one line each, written as it is found.

use std::io::{self, Write};

use super::Map;
use super::allowed::Allowed;
use super::lines::Merged;
use crate::escape;
use crate::ports::PortList;
use crate::reference::Reference;

/// The columns of an end are empty where it is outside, except for its text.
const HEADINGS: &str = "from,from_namespace,from_kind,from_name,to,to_namespace,to_kind,to_name,allowed\r\n";

/// Writes a heading and the connections.
pub(super) fn write(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(HEADINGS.as_bytes())?;
    let merged = Merged::new(map);
    let ends: Vec<String> = map.references.iter().chain([&Reference::External]).map(columns).collect();
    let mut allowed = Allowed::new(|set| format!("{}\r\n", escape::csv(&PortList::from(set).to_text())));
    for (from, to, ports) in merged.lines() {
        for end in [ends.get(from), ends.get(to)].into_iter().flatten() {
            out.write_all(end.as_bytes())?;
        }
        out.write_all(allowed.text(&ports).as_bytes())?;
    }
    Ok(())
}

/// The columns of an end, each with a comma after it.
fn columns(reference: &Reference) -> String {
    let (namespace, kind, name) = match reference {
        Reference::Workload { namespace, workload, .. } => {
            (namespace.as_str(), workload.kind.as_str(), workload.name.as_str())
        }
        Reference::Pod { namespace, name, .. } => (namespace.as_str(), "Pod", name.as_str()),
        Reference::Address(_) | Reference::Outside(..) | Reference::External => ("", "", ""),
    };
    let columns = [&reference.text(), namespace, kind, name];
    columns.iter().map(|column| format!("{},", escape::csv(column))).collect()
}
