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

/// Finds places for labels, one after the other.
#[derive(Debug)]
pub(super) struct Labels {
    /// In pixels.
    taken: Vec<Rect>,
    lines: Vec<(usize, Cell)>,
}

impl Labels {
    pub(super) fn new(layout: &Layout, routes: &[Route]) -> Labels {
        let pixels = |r: &Rect| Rect { x: r.x * CELL, y: r.y * CELL, w: r.w * CELL, h: r.h * CELL };
        let boxes = layout.units.iter().chain(&layout.outside).map(pixels);
        let titles = layout.islands.iter().map(|r| Rect { h: 24, ..pixels(r) });
        let ends = routes.iter().flat_map(|r| &r.branches).filter_map(|branch| branch.cells.last());
        // Arrow heads stay free.
        let heads = ends.map(|(x, y)| Rect { x: x * CELL, y: y * CELL, w: CELL, h: CELL });
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
        let mut best: Option<(usize, Label, Rect)> = None;
        for (distance, (x, y)) in cells.iter().rev().enumerate() {
            let label = Label { x: x * CELL + CELL / 2, y: y * CELL + CELL / 2, w };
            let rect = Rect { x: label.x - w / 2, y: label.y - HEIGHT / 2, w, h: HEIGHT };
            let is_taken = self.taken.iter().filter(|taken| taken.meets(&rect)).count();
            let covered = self.lines.iter().filter(|(other, (x, y))| {
                *other != net
                    && rect.meets(&Rect { x: x * CELL + 3, y: y * CELL + 3, w: CELL - 6, h: CELL - 6 })
            });
            // In the middle of a straight piece it is plain whose label it is.
            let cost = is_taken * 1000 + covered.count() * 8 + distance.abs_diff(4);
            if best.as_ref().is_none_or(|(known, ..)| cost < *known) {
                best = Some((cost, label, rect));
            }
        }
        let (_, label, rect) = best?;
        self.taken.push(rect);
        Some(label)
    }
}
