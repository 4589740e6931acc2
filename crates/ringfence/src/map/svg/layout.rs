//! Where boxes go, in cells of a grid: outside at the left, then the namespaces in columns, their boxes in columns too.
//!
//! Everything keeps room around it for lines. Nothing is random: the same map has the same picture.

use std::collections::BTreeSet;

use super::text_width;
use crate::map::graph::{Graph, Spot, Unit};

/// The side of a cell, in pixels.
pub(super) const CELL: i32 = 10;

/// How wide the picture should be for its height.
const ASPECT: f64 = 1.5;
/// The most columns of boxes in one namespace.
const MAX_COLUMNS: usize = 4;
/// Between the canvas and the frame, and between the frame and the islands.
const MARGIN: i32 = 3;
const TITLE: i32 = 3;
/// Between columns of boxes: a line with its ports.
const LABEL: i32 = 8;

/// A rectangle of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rect {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) w: i32,
    pub(super) h: i32,
}

impl Rect {
    pub(super) fn right(&self) -> i32 {
        self.x + self.w
    }

    pub(super) fn bottom(&self) -> i32 {
        self.y + self.h
    }

    pub(super) fn meets(&self, other: &Rect) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// How much of one lies in the other.
    pub(super) fn shared(&self, other: &Rect) -> i32 {
        let w = self.right().min(other.right()) - self.x.max(other.x);
        let h = self.bottom().min(other.bottom()) - self.y.max(other.y);
        w.max(0) * h.max(0)
    }

    fn moved(self, x: i32, y: i32) -> Rect {
        Rect { x: self.x + x, y: self.y + y, ..self }
    }
}

/// Where everything is.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) width: i32,
    pub(super) height: i32,
    /// Around all namespaces.
    pub(super) frame: Rect,
    pub(super) islands: Vec<Rect>,
    pub(super) units: Vec<Rect>,
    pub(super) outside: Option<Rect>,
}

impl Layout {
    pub(super) fn new(graph: &Graph) -> Layout {
        // The more lines, the more room between the boxes.
        let nets = i32::try_from(graph.nets.len()).unwrap_or(i32::MAX);
        let gap = (3 + nets / 12).min(9);
        let insides: Vec<Inside> =
            graph.islands.iter().map(|island| inside(graph, &island.units, &island.namespace, gap)).collect();
        let mut order = by_flow(graph);
        let place = |order: &[usize]| placed(graph, &insides, order, gap + 2);
        let mut best = place(&order);
        let mut cost = length(graph, &best);
        // Islands change places as long as that makes lines shorter.
        for _ in 0..6 {
            let before = cost;
            for one in 0..order.len() {
                for other in one + 1..order.len() {
                    order.swap(one, other);
                    let tried = place(&order);
                    let tried_cost = length(graph, &tried);
                    if tried_cost < cost {
                        (best, cost) = (tried, tried_cost);
                    } else {
                        order.swap(one, other);
                    }
                }
            }
            if cost == before || order.len() > 40 {
                break;
            }
        }
        best
    }

    /// The rectangle of a spot.
    pub(super) fn rect(&self, spot: Spot) -> Option<Rect> {
        match spot {
            Spot::Unit(place) => self.units.get(place).copied(),
            Spot::Island(place) => self.islands.get(place).copied(),
            Spot::Everything => Some(self.frame),
            Spot::Outside => self.outside,
        }
    }
}

/// An island by itself: its size, and its boxes as if it were at the origin.
#[derive(Debug)]
struct Inside {
    w: i32,
    h: i32,
    units: Vec<(usize, Rect)>,
}

/// How many lines of text a box has, names first.
pub(super) fn text_lines(unit: &Unit) -> usize {
    let among = unit.among.is_some() || unit.among_denied;
    unit.members.len() + usize::from(among) + usize::from(!unit.denied_from.is_empty())
}

fn size(unit: &Unit) -> (i32, i32) {
    let widest = unit.members.iter().map(|m| text_width(&super::member_text(m), 12)).max().unwrap_or(0);
    let among = unit.among.as_ref().map_or(0, |ports| text_width(&super::among_text(ports), 10));
    let denied = super::denied_text(unit).map_or(0, |text| text_width(&text, 10));
    let lines = i32::try_from(text_lines(unit)).unwrap_or(1);
    (in_cells(widest.max(among).max(denied) + 28).max(10), in_cells(lines * 17 + 12).max(3))
}

fn in_cells(pixels: i32) -> i32 {
    (pixels + CELL - 1) / CELL
}

fn inside(graph: &Graph, units: &[usize], title: &str, gap: i32) -> Inside {
    let columns = columns(graph, units);
    let mut placed = Vec::new();
    let (mut x, mut bottom) = (gap, 0);
    for column in &columns {
        let sizes: Vec<(usize, (i32, i32))> =
            column.iter().filter_map(|u| Some((*u, size(graph.units.get(*u)?)))).collect();
        let width = sizes.iter().map(|(_, (w, _))| *w).max().unwrap_or(0);
        let mut y = TITLE + gap - 1;
        for (unit, (_, h)) in sizes {
            placed.push((unit, Rect { x, y, w: width, h }));
            y += h + gap;
        }
        bottom = bottom.max(y);
        x += width + (gap + 1).max(LABEL);
    }
    let w = x.max(in_cells(text_width(title, 14)) + 4);
    Inside { w, h: bottom, units: placed }
}

/// The boxes of an island in columns: who is reached comes after who reaches it.
fn columns(graph: &Graph, units: &[usize]) -> Vec<Vec<usize>> {
    let own: BTreeSet<usize> = units.iter().copied().collect();
    let mut edges: BTreeSet<(usize, usize)> = BTreeSet::new();
    for net in graph.nets.iter().filter(|net| !net.is_denied) {
        let inside = |spots: &[Spot]| -> Vec<usize> {
            spots
                .iter()
                .filter_map(|s| if let Spot::Unit(u) = s { own.get(u).copied() } else { None })
                .collect()
        };
        for from in inside(&net.from) {
            edges.extend(inside(&net.to).into_iter().filter(|to| *to != from).map(|to| (from, to)));
        }
    }
    let mut ranks: Vec<(usize, usize)> = units.iter().map(|unit| (*unit, 0)).collect();
    // Longest paths; where there is a circle, the bound on ranks ends it.
    for _ in 0..MAX_COLUMNS {
        for (from, to) in edges.iter().filter(|(from, to)| !edges.contains(&(*to, *from))) {
            let rank_of = |unit: &usize, ranks: &[(usize, usize)]| {
                ranks.iter().find(|(u, _)| u == unit).map_or(0, |(_, rank)| *rank)
            };
            let rank = (rank_of(from, &ranks) + 1).min(MAX_COLUMNS - 1);
            if let Some((_, own)) = ranks.iter_mut().find(|(u, _)| u == to) {
                *own = (*own).max(rank);
            }
        }
    }
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); MAX_COLUMNS];
    for (unit, rank) in ranks {
        if let Some(column) = columns.get_mut(rank) {
            column.push(unit);
        }
    }
    // A column that is much too high is continued in the next place.
    let high = 4.max(units.len().isqrt() + 1);
    columns.retain(|column| !column.is_empty());
    columns
        .into_iter()
        .flat_map(|column| column.chunks(high).map(<[usize]>::to_vec).collect::<Vec<_>>())
        .collect()
}

/// The islands, those first that reach others more than they are reached.
fn by_flow(graph: &Graph) -> Vec<usize> {
    let island = |spot: &Spot| match spot {
        Spot::Unit(unit) => graph.units.get(*unit).map(|u| u.island),
        Spot::Island(island) => Some(*island),
        Spot::Everything | Spot::Outside => None,
    };
    let mut scores = vec![0i64; graph.islands.len()];
    for net in graph.nets.iter().filter(|net| !net.is_denied) {
        for (spots, weight) in [(&net.from, 1), (&net.to, -1)] {
            for place in spots.iter().filter_map(island) {
                if let Some(score) = scores.get_mut(place) {
                    *score += weight;
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..graph.islands.len()).collect();
    order.sort_by_key(|place| (std::cmp::Reverse(scores.get(*place).copied()), *place));
    order
}

/// The islands in columns, in this order, in the shape that comes nearest to the wanted one.
fn placed(graph: &Graph, insides: &[Inside], order: &[usize], gap: i32) -> Layout {
    let total: i32 = insides.iter().map(|i| i.h + gap).sum();
    let mut best: Option<(f64, Layout)> = None;
    for count in 1..=i32::try_from(order.len().max(1)).unwrap_or(1).min(8) {
        let layout = in_columns(graph, insides, order, gap, total / count);
        let aspect = f64::from(layout.width) / f64::from(layout.height.max(1));
        let off = (aspect / ASPECT).ln().abs();
        if best.as_ref().is_none_or(|(known, _)| off < *known) {
            best = Some((off, layout));
        }
    }
    best.map(|(_, layout)| layout).unwrap_or_default()
}

fn in_columns(graph: &Graph, insides: &[Inside], order: &[usize], gap: i32, high: i32) -> Layout {
    let mut layout = Layout {
        islands: vec![Rect::default(); graph.islands.len()],
        units: vec![Rect::default(); graph.units.len()],
        ..Layout::default()
    };
    let has_outside = graph.has_outside();
    let left = if has_outside { MARGIN + 9 + gap } else { MARGIN };
    let top = MARGIN + 4;
    let (mut x, mut y) = (left + gap, top + TITLE + gap - 1);
    let (mut widest, mut lowest) = (0, y);
    let first = y;
    for place in order {
        let Some(inside) = insides.get(*place) else { continue };
        if y > first && y - first + inside.h / 2 > high {
            (x, y, widest) = (x + widest + gap, first, 0);
        }
        if let Some(rect) = layout.islands.get_mut(*place) {
            *rect = Rect { x, y, w: inside.w, h: inside.h };
        }
        for (unit, rect) in &inside.units {
            if let Some(own) = layout.units.get_mut(*unit) {
                *own = rect.moved(x, y);
            }
        }
        widest = widest.max(inside.w);
        y += inside.h + gap;
        lowest = lowest.max(y);
    }
    layout.frame = Rect { x: left, y: top, w: x + widest + gap - left, h: lowest - top };
    layout.outside = has_outside.then_some(Rect { x: MARGIN, y: top + 2, w: 9, h: layout.frame.h - 4 });
    layout.width = layout.frame.right() + MARGIN;
    // Below the frame is the legend.
    layout.height = layout.frame.bottom() + MARGIN + 5;
    layout
}

/// How long all lines would be, roughly: half the rectangle around what each connects.
fn length(graph: &Graph, layout: &Layout) -> i64 {
    let mut total = 0;
    for net in &graph.nets {
        let centers = net.from.iter().chain(&net.to).filter(|s| **s != Spot::Everything).filter_map(|spot| {
            let rect = layout.rect(*spot)?;
            // Outside is high: a line leaves it at any height.
            let y = (*spot != Spot::Outside).then_some(rect.y + rect.h / 2);
            Some((rect.x + rect.w / 2, y))
        });
        let centers: Vec<(i32, Option<i32>)> = centers.collect();
        let span = |values: &mut dyn Iterator<Item = i32>| {
            let values: Vec<i32> = values.collect();
            i64::from(values.iter().max().unwrap_or(&0) - values.iter().min().unwrap_or(&0))
        };
        total += span(&mut centers.iter().map(|c| c.0)) + span(&mut centers.iter().filter_map(|c| c.1));
    }
    total
}
