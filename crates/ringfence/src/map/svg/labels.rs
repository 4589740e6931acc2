//! Where the ports are written: on the line, off the boxes and off each other.

use super::layout::{CELL, Layout, Rect};
use super::route::{Cell, Route};
use super::text_width;

/// A label: the middle of its text in pixels, and how wide it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) w: i32,
}

/// The height of a label, in pixels.
pub(super) const HEIGHT: i32 = 13;

/// What it costs to cover a pixel of a box, a title or another label, and of an arrow head.
const ON_TEXT: i32 = 20;
const ON_HEAD: i32 = 5;
/// What it costs to stand beside the line.
const BESIDE: i32 = 12;
/// What it costs to cover a cell of another line.
const CROSSED: i32 = 8;

/// Finds places for labels, one after the other.
#[derive(Debug)]
pub(super) struct Labels {
    /// In pixels; and what each pixel of it costs that a label covers.
    taken: Vec<(Rect, i32)>,
    lines: Vec<(usize, Cell)>,
}

impl Labels {
    pub(super) fn new(layout: &Layout, routes: &[Route]) -> Labels {
        let pixels = |r: &Rect| Rect { x: r.x * CELL, y: r.y * CELL, w: r.w * CELL, h: r.h * CELL };
        let boxes = layout.units.iter().chain(&layout.outside).map(|r| (pixels(r), ON_TEXT));
        let titles = layout.islands.iter().map(|r| (Rect { h: 24, ..pixels(r) }, ON_TEXT));
        let ends = routes.iter().flat_map(|r| &r.branches).filter_map(|branch| branch.cells.last());
        // Arrow heads stay free, if they can.
        let heads = ends.map(|(x, y)| (Rect { x: x * CELL, y: y * CELL, w: CELL, h: CELL }, ON_HEAD));
        let cells = |(net, route): (usize, &Route)| -> Vec<(usize, Cell)> {
            route.branches.iter().flat_map(|b| &b.cells).map(|cell| (net, *cell)).collect()
        };
        Labels {
            taken: boxes.chain(titles).chain(heads).collect(),
            lines: routes.iter().enumerate().flat_map(cells).collect(),
        }
    }

    /// A place for the label of a net, on one of its branches, near where that ends.
    pub(super) fn place(&mut self, net: usize, cells: &[Cell], text: &str) -> Option<Label> {
        let w = text_width(text, 10) + 6;
        let mut best: Option<(i32, Label, Rect)> = None;
        for (distance, (place, (x, y))) in (0..).zip(cells.iter().enumerate().rev()) {
            let next = [place.checked_sub(1), place.checked_add(1)];
            let mut next = next.into_iter().flatten().filter_map(|place| cells.get(place));
            // Beside a line that goes up or down, the line runs along the label's edge.
            let shifts = if next.all(|(next, _)| next == x) { &[0, w / 2 - 6, 6 - w / 2][..] } else { &[0] };
            for shift in shifts {
                let label = Label { x: x * CELL + CELL / 2 + shift, y: y * CELL + CELL / 2, w };
                let rect = Rect { x: label.x - w / 2, y: label.y - HEIGHT / 2, w, h: HEIGHT };
                // In the middle of a straight piece it is plain whose label it is.
                let off: i32 = (distance - 4i32).abs() + if *shift == 0 { 0 } else { BESIDE };
                let covers: i32 = self.taken.iter().map(|(taken, cost)| taken.shared(&rect) * cost).sum();
                let is_best = |cost| best.as_ref().is_none_or(|(known, ..)| cost < *known);
                if !is_best(covers.saturating_add(off)) {
                    continue;
                }
                let cost = covers.saturating_add(off).saturating_add(self.crossed(net, &rect) * CROSSED);
                if is_best(cost) {
                    best = Some((cost, label, rect));
                }
            }
        }
        let (_, label, rect) = best?;
        self.taken.push((rect, ON_TEXT));
        Some(label)
    }
    /// How many cells of other lines a label would cover.
    fn crossed(&self, net: usize, rect: &Rect) -> i32 {
        let covers = |(other, (x, y)): &&(usize, Cell)| {
            *other != net && rect.meets(&Rect { x: x * CELL + 3, y: y * CELL + 3, w: CELL - 6, h: CELL - 6 })
        };
        i32::try_from(self.lines.iter().filter(covers).count()).unwrap_or(0)
    }
}
