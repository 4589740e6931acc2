//! How it looks: colours for light and dark, the words for those who cannot see it, and the legend.

use std::fmt::Write;

use super::escape;
use super::layout::{CELL, Layout};
use crate::map::graph::{Graph, Net};

/// Colours of lines: told apart by most eyes, on light and on dark ground.
///
/// The first two are for lines that carry everything, and for denials.
const LIGHT: [&str; 9] =
    ["#8a94a0", "#c62828", "#1f6fb2", "#a8327d", "#1d7f6e", "#7a52c7", "#9a6200", "#3d7a1f", "#b5432e"];
const DARK: [&str; 9] =
    ["#7f8c9b", "#ff6b62", "#6cb6f5", "#f08acb", "#5cd1bb", "#b79cf7", "#e5b04f", "#97d46d", "#ff9b85"];

const STYLE: &str = "\
.ground{fill:#fff}text{font:12px system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",\"Liberation Sans\",sans-serif;fill:#1d2530}
.title{font-size:14px;font-weight:600}.note{font-size:10px;font-weight:400;fill:#5a6675}.no{font-size:10px;fill:#c62828}
.heading{font-size:16px;font-weight:600}
.frame rect{fill:none;stroke:#c3ccd6;stroke-width:1.5;stroke-dasharray:2 4}
.island rect{fill:#f1f4f8;stroke:#c3ccd6;stroke-width:1.2}
.outside rect{fill:#e9edf2;stroke:#7b8794;stroke-width:1.5}
.box{fill:#fff;stroke:#7b8794;stroke-width:1.2}
.isolated{fill:#2e8b57}.open{fill:#e08a00}.held{fill:#2f7fd1}.host{fill:#9aa5b1}
.net path{fill:none;stroke-width:1.6}.net .head{stroke-width:.5}
.denied>path{stroke-dasharray:6 4}.denied .head{stroke-dasharray:none}.net:hover path{stroke-width:3.2}
.label rect{fill:#fff;fill-opacity:.9;stroke-width:.7}.label text{font-size:10px;fill:#1d2530}
";

const DARK_STYLE: &str = "\
.ground{fill:#12161c}text,.label text{fill:#e3e8ef}.note{fill:#9fb0c3}.no{fill:#ff7b72}
.frame rect{stroke:#455263}.island rect{fill:#1a2029;stroke:#3a4656}.outside rect{fill:#222a35;stroke:#76869a}
.box{fill:#262e3a;stroke:#76869a}.isolated{fill:#4cc38a}.open{fill:#f0a63a}.held{fill:#63aef2}.host{fill:#6b7887}
.label rect{fill:#12161c}
";

/// The class of a net: its colour.
pub(super) fn class(net: &Net, number: usize) -> String {
    if net.is_denied {
        "denied".to_owned()
    } else if net.label == "all" {
        "all".to_owned()
    } else {
        format!("c{}", number % (LIGHT.len() - 2))
    }
}

/// Everything before the drawing.
pub(super) fn head(svg: &mut String, graph: &Graph, layout: &Layout) {
    let (width, height) = (layout.width * CELL, layout.height * CELL);
    let namespaces: Vec<String> = graph.islands.iter().map(|i| escape(&i.namespace)).collect();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title desc\">"
    );
    let _ = writeln!(svg, "<title id=\"title\">Who may reach whom</title>");
    let _ = writeln!(
        svg,
        "<desc id=\"desc\">{} in {}: {}. {} of allowed connections; each line has a tip with its ends and \
         ports.</desc>",
        counted(graph.members, graph.noun),
        counted(graph.islands.len(), "namespace"),
        namespaces.join(", "),
        counted(graph.nets.iter().filter(|net| !net.is_denied).count(), "bundle"),
    );
    svg.push_str("<style>\n");
    svg.push_str(STYLE);
    colors(svg, &LIGHT);
    svg.push_str("@media (prefers-color-scheme:dark){\n");
    svg.push_str(DARK_STYLE);
    colors(svg, &DARK);
    svg.push_str("}\n</style>\n");
    let _ = writeln!(svg, "<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>");
    let _ = writeln!(
        svg,
        "<text class=\"heading\" x=\"30\" y=\"34\">Who may reach whom: {} in {}</text>",
        counted(graph.members, graph.noun),
        counted(graph.islands.len(), "namespace")
    );
}

fn colors(svg: &mut String, colors: &[&str]) {
    // Custom properties would be shorter, but not every viewer knows them.
    let numbered = (0..).map(|number: usize| format!("c{number}"));
    let classes = ["all".to_owned(), "denied".to_owned()].into_iter().chain(numbered);
    for (class, color) in classes.zip(colors) {
        let _ = write!(
            svg,
            ".{class} path{{stroke:{color}}}.{class} circle,.{class} .head{{fill:{color}}}.{class} rect{{stroke:{color}}}"
        );
    }
    svg.push('\n');
}

/// What the signs mean, below the drawing.
pub(super) fn legend(svg: &mut String, graph: &Graph, layout: &Layout) {
    let y = layout.frame.bottom() * CELL + 34;
    let mut x = 30;
    let mut put = |sign: String, text: &str, width: i32| {
        let _ = write!(svg, "{sign}<text class=\"note\" x=\"{}\" y=\"{}\">{text}</text>", x + 20, y + 4);
        x += width;
        x
    };
    let mut at = 30;
    let bar = |class: &str, x: i32| {
        format!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"5\" height=\"14\" rx=\"2\"/>",
            x + 7,
            y - 7
        )
    };
    at = put(String::new(), "Left side of a box: ingress, right side: egress.", 265).max(at);
    at = put(bar("isolated", at), "isolated", 75);
    at = put(bar("open", at), "open: no policy holds it", 150);
    if graph.units.iter().any(|u| u.ingress == "held" || u.egress == "held") {
        at = put(bar("held", at), "held by cluster-wide policies alone", 205);
    }
    if graph.units.iter().any(|u| u.host_network) {
        at = put(bar("host", at), "on its node's network", 140);
    }
    let line =
        |class: &str, x: i32| format!("<g class=\"net {class}\"><path d=\"M{x} {y}L{} {y}\"/></g>", x + 16);
    at = put(line("all", at), "all protocols and ports", 145);
    if graph.nets.iter().any(|net| net.is_denied) {
        put(line("denied", at), "denied", 70);
    }
    svg.push('\n');
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
