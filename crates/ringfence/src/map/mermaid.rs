//! The map as a Mermaid flowchart, which code hosts and wikis draw.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::graph::{Graph, Spot};
use crate::complaint::Complaint;
use crate::escape::mermaid as escape;

/// What Mermaid draws without being told otherwise.
///
/// <https://mermaid.js.org/config/schema-docs/config.html#maxedges>
const MAX_EDGES: usize = 500;

/// The diagram.
pub(super) fn text(graph: &Graph) -> Result<String, Complaint> {
    let mut text = String::from("flowchart LR\n");
    if graph.has_outside() {
        text.push_str("  outside([\"outside\"])\n");
    }
    if graph.has(Spot::Everything) {
        let _ = writeln!(text, "  everything([\"{}\"])", escape(&graph.whole(None)));
    }
    for (place, island) in graph.islands.iter().enumerate() {
        let _ = writeln!(text, "  subgraph s{place}[\"{}\"]", escape(&island.namespace));
        if graph.has(Spot::Island(place)) {
            let _ = writeln!(text, "    i{place}([\"{}\"])", escape(&graph.whole(Some(place))));
        }
        for unit_place in &island.units {
            let Some(unit) = graph.units.get(*unit_place) else { continue };
            let mut lines: Vec<String> = unit.members.iter().map(|m| escape(&m.name)).collect();
            // Mermaid breaks long lines anywhere.
            lines.extend(unit.isolation().split(", ").map(escape));
            lines.extend(unit.among.iter().map(|ports| format!("among them: {}", escape(ports))));
            let class = if unit.host_network {
                "host"
            } else if unit.ingress == "isolated" {
                "isolated"
            } else {
                "open"
            };
            let _ = writeln!(text, "    u{unit_place}[\"{}\"]:::{class}", lines.join("<br/>"));
        }
        text.push_str("  end\n");
    }
    let edges = lines(graph);
    if edges.len() > MAX_EDGES {
        let message = format!("{} lines are more than the {MAX_EDGES} that Mermaid draws", edges.len());
        return Err(Complaint::new(message)
            .help("narrow it: --focus NAME for a workload or namespace and its neighbours, or -n NAMESPACE")
            .help("-o svg and -o dot draw more"));
    }
    let joints: BTreeSet<usize> = edges.iter().filter_map(|e| e.joint).collect();
    for joint in joints {
        let _ = writeln!(text, "  j{joint}(( )):::joint");
    }
    let mut denied: Vec<String> = Vec::new();
    for (place, edge) in edges.iter().enumerate() {
        let arrow = match (edge.is_denied, edge.has_head) {
            (true, true) => "-.->",
            (true, false) => "-.-",
            (false, true) => "-->",
            (false, false) => "---",
        };
        let label = edge.label.as_ref().map(|l| format!("|\"{}\"|", escape(l))).unwrap_or_default();
        let _ = writeln!(text, "  {} {arrow}{label} {}", edge.from, edge.to);
        if edge.is_denied {
            denied.push(place.to_string());
        }
    }
    text.push_str("  classDef isolated stroke:#2b7a4b,stroke-width:2px\n");
    text.push_str("  classDef open stroke:#b26a00,stroke-width:2px,stroke-dasharray:4 3\n");
    text.push_str("  classDef host stroke:#888,stroke-width:2px\n");
    text.push_str("  classDef joint fill:#888,stroke:#888\n");
    if !denied.is_empty() {
        let _ = writeln!(text, "  linkStyle {} stroke:#e5484d,stroke-width:2px", denied.join(","));
    }
    Ok(text)
}

/// A line between two nodes of a diagram, by their identifiers.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) label: Option<String>,
    pub(super) is_denied: bool,
    /// Whether it arrives at a destination, and not at a joint.
    pub(super) has_head: bool,
    /// The joint where it begins or ends.
    pub(super) joint: Option<usize>,
}

/// The lines of a graph. A net of many sources and destinations meets in a joint, where that takes fewer lines.
pub(super) fn lines(graph: &Graph) -> Vec<Line> {
    let mut lines = Vec::new();
    for (joint, net) in graph.nets.iter().enumerate() {
        let is_denied = net.is_denied;
        // That a line is a denial shows by itself.
        let label = (!is_denied).then(|| net.label.clone());
        if net.from.len() * net.to.len() <= net.from.len() + net.to.len() {
            for from in &net.from {
                for to in net.to.iter().filter(|to| *to != from || !matches!(to, Spot::Unit(_))) {
                    let (from, to, label) = (identifier(*from), identifier(*to), label.clone());
                    lines.push(Line { from, to, label, is_denied, has_head: true, joint: None });
                }
            }
        } else {
            for from in &net.from {
                let (from, to) = (identifier(*from), format!("j{joint}"));
                lines.push(Line { from, to, label: None, is_denied, has_head: false, joint: Some(joint) });
            }
            for to in &net.to {
                let (from, to, label) = (format!("j{joint}"), identifier(*to), label.clone());
                lines.push(Line { from, to, label, is_denied, has_head: true, joint: Some(joint) });
            }
        }
    }
    lines
}

fn identifier(spot: Spot) -> String {
    match spot {
        Spot::Unit(place) => format!("u{place}"),
        Spot::Island(place) => format!("i{place}"),
        Spot::Everything => "everything".to_owned(),
        Spot::Outside => "outside".to_owned(),
    }
}
