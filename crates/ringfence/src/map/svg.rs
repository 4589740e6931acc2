//! The map as a picture, drawn here: no other program, no script, no font that must be installed.
//!
//! Namespaces are islands, workloads boxes with their isolation at the sides, bundles of connections lines with the
//! ports written on them. [`layout`] places, [`route`] finds the ways, [`labels`] finds room for the ports.

mod labels;
mod layout;
mod route;
mod style;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use self::labels::{HEIGHT, Label, Labels};
use self::layout::{CELL, Layout, Rect};
use self::route::{Branch, Cell, Route, Router, terminals};
use super::graph::{Graph, Member, Net, Spot, Unit};
use crate::escape::xml as escape;

/// The most characters of a name or of ports that are drawn; a tool tip has all.
const MAX_NAME: usize = 32;
const MAX_LABEL: usize = 38;

/// The picture.
pub(super) fn text(graph: &Graph) -> String {
    let layout = Layout::new(graph);
    let mut router = Router::new(&layout);
    // Short lines take the straight ways, long ones go around.
    let mut order: Vec<usize> = (0..graph.nets.len()).collect();
    order.sort_by_key(|net| graph.nets.get(*net).map(|net| (net.is_denied, spread(net, &layout))));
    let mut routes: Vec<Route> = graph.nets.iter().map(|_| Route::default()).collect();
    for number in order {
        if let (Some(net), Some(route)) = (graph.nets.get(number), routes.get_mut(number)) {
            *route = router.route(net, number);
        }
    }
    let mut svg = String::new();
    style::head(&mut svg, graph, &layout);
    frame(&mut svg, graph, &layout);
    for (place, island) in graph.islands.iter().enumerate() {
        if let Some(rect) = layout.islands.get(place) {
            let note = among(graph, Spot::Island(place));
            title(&mut svg, "island", rect, &island.namespace, note.as_deref());
        }
    }
    let mut labels = Labels::new(&layout, &routes);
    let mut written = String::new();
    for (number, (net, route)) in graph.nets.iter().zip(&routes).enumerate() {
        lines(&mut svg, graph, net, route, number);
        if net.is_denied {
            continue;
        }
        let text = shortened(&net.label, MAX_LABEL);
        for branch in labelled(route, net) {
            if let Some(label) = labels.place(number, &branch.cells, &text) {
                write_label(&mut written, &label, &text, net, number);
            }
        }
    }
    for (unit, rect) in graph.units.iter().zip(&layout.units) {
        draw_unit(&mut svg, unit, rect);
    }
    if let Some(rect) = &layout.outside {
        outside(&mut svg, rect);
    }
    svg.push_str(&written);
    style::legend(&mut svg, graph, &layout);
    svg.push_str("</svg>\n");
    svg
}

/// How far apart the ends of a net are.
fn spread(net: &Net, layout: &Layout) -> i32 {
    let rects: Vec<Rect> = terminals(net).iter().filter_map(|spot| layout.rect(*spot)).collect();
    let span = |values: Vec<i32>| values.iter().max().unwrap_or(&0) - values.iter().min().unwrap_or(&0);
    span(rects.iter().map(|r| r.x).collect()) + span(rects.iter().map(|r| r.y).collect())
}

/// The branches that have the ports written on them: those that arrive somewhere and are long enough to be lost sight
/// of, at least one.
fn labelled<'r>(route: &'r Route, net: &Net) -> Vec<&'r Branch> {
    let arrives = |branch: &&Branch| net.to.contains(&branch.ends.0);
    let mut chosen: Vec<&Branch> =
        route.branches.iter().filter(arrives).filter(|branch| branch.cells.len() > 30).collect();
    if chosen.is_empty() {
        let longest = route.branches.iter().max_by_key(|branch| (arrives(branch), branch.cells.len()));
        chosen.extend(longest);
    }
    chosen
}

/// What a spot's members may do among themselves, where a net says so of all of it.
fn among(graph: &Graph, spot: Spot) -> Option<String> {
    let nets = graph.nets.iter().filter(|net| net.from.contains(&spot) && net.to.contains(&spot));
    let told: Vec<&str> = nets.map(|net| net.label.as_str()).collect();
    (!told.is_empty()).then(|| format!("among them: {}", told.join("; ")))
}

fn frame(svg: &mut String, graph: &Graph, layout: &Layout) {
    let title_text = if graph.has(Spot::Everything) { graph.whole(None) } else { String::new() };
    title(svg, "frame", &layout.frame, &title_text, among(graph, Spot::Everything).as_deref());
}

fn title(svg: &mut String, class: &str, rect: &Rect, text: &str, note: Option<&str>) {
    let (x, y, w, h) = pixels(rect);
    let _ = write!(
        svg,
        "<g class=\"{class}\"><rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"12\"/>"
    );
    let _ = write!(svg, "<text class=\"title\" x=\"{}\" y=\"{}\">{}", x + 12, y + 20, escape(text));
    if let Some(note) = note {
        let room = usize::try_from((w - 24 - text_width(text, 14)) / 6).unwrap_or(0).max(12);
        let _ = write!(svg, "<tspan class=\"note\" dx=\"8\">{}</tspan>", escape(&shortened(note, room)));
    }
    svg.push_str("</text></g>\n");
}

fn draw_unit(svg: &mut String, unit: &Unit, rect: &Rect) {
    let (x, y, w, h) = pixels(rect);
    let names: Vec<String> =
        unit.members.iter().map(|m| format!("{}/{}", m.kind.to_lowercase(), m.name)).collect();
    let mut tip = format!("{} ({})", names.join(", "), unit.isolation());
    if let Some(ports) = &unit.among {
        let _ = write!(tip, "; among them: {ports}");
    }
    if !unit.denied_from.is_empty() {
        let _ = write!(tip, "; not from {}", unit.denied_from.join(", "));
    }
    let _ = write!(svg, "<g class=\"unit\"><title>{}</title>", escape(&tip));
    let _ = write!(svg, "<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"5\"/>");
    let side = |isolation| if unit.host_network { "host" } else { isolation };
    for (at, isolation) in [(x, side(unit.ingress)), (x + w - 5, side(unit.egress))] {
        let _ = write!(
            svg,
            "<rect class=\"{}\" x=\"{at}\" y=\"{}\" width=\"5\" height=\"{}\" rx=\"2\"/>",
            escape(isolation),
            y + 3,
            h - 6
        );
    }
    let mut line = y + (h - i32::try_from(layout::text_lines(unit)).unwrap_or(1) * 17) / 2 + 13;
    for member in &unit.members {
        let text = escape(&member_text(member));
        let _ = write!(svg, "<text class=\"name\" x=\"{}\" y=\"{line}\">{text}</text>", x + 14);
        line += 17;
    }
    if let Some(ports) = &unit.among {
        let text = escape(&among_text(ports));
        let _ = write!(svg, "<text class=\"note\" x=\"{}\" y=\"{line}\">{text}</text>", x + 14);
    } else if unit.among_denied {
        let _ = write!(svg, "<text class=\"no\" x=\"{}\" y=\"{line}\">not among them</text>", x + 14);
    }
    if let Some(text) = denied_text(unit) {
        let line = y + h - 8;
        let _ = write!(svg, "<text class=\"no\" x=\"{}\" y=\"{line}\">{}</text>", x + 14, escape(&text));
    }
    svg.push_str("</g>\n");
}

fn outside(svg: &mut String, rect: &Rect) {
    let (x, y, w, h) = pixels(rect);
    let _ = writeln!(
        svg,
        "<g class=\"outside\"><rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"12\"/>\
         <text class=\"title\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">outside</text></g>",
        x + w / 2,
        y + 24
    );
}

fn lines(svg: &mut String, graph: &Graph, net: &Net, route: &Route, number: usize) {
    if route.branches.is_empty() {
        return;
    }
    let class = style::class(net, number);
    let _ = write!(svg, "<g class=\"net {class}\"><title>{}</title>", escape(&tip(graph, net)));
    for branch in &route.branches {
        let (spot, into) = branch.ends;
        let arrives = net.to.contains(&spot);
        let points = points(branch);
        let _ = write!(svg, "<path d=\"{}\"/>", path(&points));
        if let (true, Some((x, y))) = (arrives, points.last()) {
            let _ = write!(svg, "<path class=\"head\" d=\"{}\"/>", head((*x, *y), into));
        } else if let (Spot::Island(_) | Spot::Everything, Some((x, y))) = (spot, points.last()) {
            let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\"/>");
        }
        match (branch.begins, points.first()) {
            (None, Some((x, y))) => {
                let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\"/>");
            }
            // All of a namespace, or everything.
            (Some((Spot::Island(_) | Spot::Everything, _)), Some((x, y))) => {
                let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\"/>");
            }
            // What both sends and is sent to has heads at both of its ends.
            (Some((spot, step)), Some((x, y))) if net.to.contains(&spot) => {
                let _ = write!(svg, "<path class=\"head\" d=\"{}\"/>", head((*x, *y), (-step.0, -step.1)));
            }
            _ => {}
        }
    }
    svg.push_str("</g>\n");
}

/// The corners of a branch in pixels, from border to border.
fn points(branch: &Branch) -> Vec<Cell> {
    let middle = |(x, y): &Cell| (x * CELL + CELL / 2, y * CELL + CELL / 2);
    let half = |(x, y): Cell, (dx, dy): Cell| (x + dx * CELL / 2, y + dy * CELL / 2);
    let mut points: Vec<Cell> = branch.cells.iter().map(middle).collect();
    if let (Some((_, (dx, dy))), Some(first)) = (branch.begins, points.first().copied()) {
        points.insert(0, half(first, (-dx, -dy)));
    }
    if let Some(last) = points.last().copied() {
        points.push(half(last, branch.ends.1));
    }
    let mut corners: Vec<Cell> = Vec::new();
    for (place, point) in points.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|place| points.get(place));
        let is_straight = match (before, points.get(place + 1)) {
            (Some(a), Some(b)) => (a.0 == point.0 && b.0 == point.0) || (a.1 == point.1 && b.1 == point.1),
            _ => false,
        };
        if !is_straight {
            corners.push(*point);
        }
    }
    corners
}

/// A way with round corners.
fn path(corners: &[Cell]) -> String {
    const RADIUS: i32 = 5;
    let mut text = String::new();
    for (place, (x, y)) in corners.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|place| corners.get(place));
        let toward = |(tx, ty): &Cell| {
            let step = |from: i32, to: i32| (to - from).signum() * RADIUS.min((to - from).abs() / 2);
            (x + step(*x, *tx), y + step(*y, *ty))
        };
        match (before, corners.get(place + 1)) {
            (None, _) => {
                let _ = write!(text, "M{x} {y}");
            }
            (_, None) => {
                let _ = write!(text, "L{x} {y}");
            }
            (Some(before), Some(after)) => {
                let ((ax, ay), (bx, by)) = (toward(before), toward(after));
                let _ = write!(text, "L{ax} {ay}Q{x} {y} {bx} {by}");
            }
        }
    }
    text
}

/// An arrow head with its point here.
fn head((x, y): Cell, (dx, dy): Cell) -> String {
    let (bx, by) = (x - dx * 8, y - dy * 8);
    let (sx, sy) = (dy * 4, dx * 4);
    format!("M{x} {y}L{} {}L{} {}Z", bx + sx, by + sy, bx - sx, by - sy)
}

fn write_label(svg: &mut String, label: &Label, text: &str, net: &Net, number: usize) {
    let Label { x, y, w } = label;
    let _ = writeln!(
        svg,
        "<g class=\"label {}\"><rect x=\"{}\" y=\"{}\" width=\"{w}\" height=\"{HEIGHT}\" rx=\"3\"/>\
         <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
        style::class(net, number),
        x - w / 2,
        y - HEIGHT / 2,
        y + 4,
        escape(text)
    );
}

/// All of a net in words.
fn tip(graph: &Graph, net: &Net) -> String {
    let spots = |spots: &[Spot]| -> String {
        let names: Vec<String> = spots.iter().map(|spot| spot_text(graph, *spot)).collect();
        names.join(", ")
    };
    format!("{} to {}: {}", spots(&net.from), spots(&net.to), net.label)
}

fn spot_text(graph: &Graph, spot: Spot) -> String {
    let namespace = |island: usize| graph.islands.get(island).map_or("", |i| i.namespace.as_str());
    match spot {
        Spot::Unit(place) => match graph.units.get(place) {
            Some(unit) => {
                let members: Vec<String> =
                    unit.members.iter().map(|m| format!("{}/{}", namespace(unit.island), m.name)).collect();
                members.join(", ")
            }
            None => String::new(),
        },
        Spot::Island(place) => graph.whole(Some(place)),
        Spot::Everything => graph.whole(None),
        Spot::Outside => "outside".to_owned(),
    }
}

fn member_text(member: &Member) -> String {
    let name = shortened(&member.name, MAX_NAME);
    if member.pods > 1 { format!("{name} \u{d7}{}", member.pods) } else { name }
}

fn among_text(ports: &str) -> String {
    format!("among them: {}", shortened(ports, 24))
}

/// Who may not reach a box, where that is said in words.
fn denied_text(unit: &Unit) -> Option<String> {
    const SHOWN: usize = 2;
    let names = &unit.denied_from;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|name| shortened(name, 16)).collect();
    if names.len() > SHOWN {
        text.push(format!("{} more", names.len() - SHOWN));
    }
    (!names.is_empty()).then(|| format!("not from {}", text.join(", ")))
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('\u{2026}');
    short
}

/// How wide a text is in pixels, a little more than it is in most fonts.
fn text_width(text: &str, size: i32) -> i32 {
    let wide = |c: char| if c.is_ascii() { 60 } else { 100 };
    let hundredths: i32 = text.chars().map(wide).sum();
    hundredths * size / 100
}

fn pixels(rect: &Rect) -> (i32, i32, i32, i32) {
    (rect.x * CELL, rect.y * CELL, rect.w * CELL, rect.h * CELL)
}
