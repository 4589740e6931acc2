//! The map for Graphviz: namespaces as clusters. `dot -Tsvg` and `dot -Tpng` draw it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::graph::{Graph, Spot, Unit};
use super::mermaid::lines;
use crate::escape::dot as escape;

const HEAD: &str = "\
digraph ringfence {
  rankdir=LR
  graph [fontname=\"Helvetica\", nodesep=0.3, ranksep=1.0, bgcolor=\"white\"]
  node [fontname=\"Helvetica\", fontsize=11, shape=box, style=\"rounded,filled\", fillcolor=\"white\", color=\"#666666\"]
  edge [fontname=\"Helvetica\", fontsize=9, color=\"#4a6785\", fontcolor=\"#333333\"]
";

/// The diagram.
pub(super) fn text(graph: &Graph) -> String {
    let mut text = HEAD.to_owned();
    if graph.has_outside() {
        text.push_str("  outside [label=\"outside\", shape=ellipse]\n");
    }
    if graph.has(Spot::Everything) {
        let _ = writeln!(text, "  everything [label=\"{}\", shape=ellipse]", escape(&graph.whole(None)));
    }
    for (place, island) in graph.islands.iter().enumerate() {
        let namespace = escape(&island.namespace);
        let _ = writeln!(text, "  subgraph cluster_{place} {{");
        let _ = writeln!(
            text,
            "    label=\"{namespace}\"; style=\"rounded,filled\"; fillcolor=\"#f2f4f7\"; color=\"#c0c8d0\""
        );
        if graph.has(Spot::Island(place)) {
            let whole = escape(&graph.whole(Some(place)));
            let _ = writeln!(text, "    i{place} [label=\"{whole}\", shape=ellipse]");
        }
        for unit_place in &island.units {
            if let Some(unit) = graph.units.get(*unit_place) {
                let _ = writeln!(text, "    u{unit_place} [{}]", unit_attributes(unit));
            }
        }
        text.push_str("  }\n");
    }
    let edges = lines(graph);
    let joints: BTreeSet<usize> = edges.iter().filter_map(|e| e.joint).collect();
    for joint in joints {
        let _ = writeln!(text, "  j{joint} [label=\"\", shape=point, width=0.08]");
    }
    for edge in edges {
        let mut attributes: Vec<String> = Vec::new();
        attributes.extend(edge.label.as_ref().map(|l| format!("label=\"{}\"", escape(l))));
        if edge.is_denied {
            attributes.push("style=dashed, color=\"#c62828\"".to_owned());
        }
        if !edge.has_head {
            attributes.push("arrowhead=none".to_owned());
        }
        let _ = writeln!(text, "  {} -> {} [{}]", edge.from, edge.to, attributes.join(", "));
    }
    text.push_str("}\n");
    text
}

fn unit_attributes(unit: &Unit) -> String {
    let mut lines: Vec<String> = unit.members.iter().map(|m| escape(&m.name)).collect();
    lines.push(escape(&unit.isolation()));
    lines.extend(unit.among.iter().map(|ports| format!("among them: {}", escape(ports))));
    // `\n` is Graphviz's own line end; what was escaped before cannot hold one.
    let label = lines.join("\\n");
    let looks = if unit.host_network {
        "color=\"#888888\""
    } else if unit.ingress == "isolated" {
        "color=\"#2b7a4b\", penwidth=1.6"
    } else {
        "color=\"#b26a00\", penwidth=1.6, style=\"rounded,filled,dashed\""
    };
    format!("label=\"{label}\", {looks}")
}
