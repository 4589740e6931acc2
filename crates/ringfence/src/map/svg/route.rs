//! The lines: paths on the grid that keep out of boxes, cross each other rarely and never run on each other where there
//! is room beside.
//!
//! A net is a tree. It grows from one of its ends to the next nearest by the cheapest way (Dijkstra); what is drawn
//! already is dear to the nets that come after.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::layout::{Layout, Rect};
use crate::map::graph::{Net, Spot};

const STEP: u32 = 10;
const BEND: u32 = 45;
const CROSSING: u32 = 40;
/// On a line of another net.
const ON_ANOTHER: u32 = 900;
/// A bend or an end on another line looks like a branch of it.
const TOUCHING: u32 = 500;
const NEAR_A_BOX: u32 = 15;
const THROUGH_TITLE: u32 = 120;
const WRONG_SIDE: u32 = 60;

/// A cell.
pub(super) type Cell = (i32, i32);

/// The way of a net.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// Each from where it leaves what was drawn before to where it arrives; the first begins at an end too.
    pub(super) branches: Vec<Branch>,
}

/// A part of the way of a net, cell by cell, both ends included.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) cells: Vec<Cell>,
    /// The spot where it begins, and the step from there into the first cell; `None`: on the net itself.
    pub(super) begins: Option<(Spot, Cell)>,
    /// The spot where it ends, and the step from the last cell into it.
    pub(super) ends: (Spot, Cell),
}

/// One of the four ways to go.
const WAYS: [Cell; 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// The grid and what is on it.
#[derive(Debug)]
pub(super) struct Router<'l> {
    layout: &'l Layout,
    width: i32,
    height: i32,
    /// By cell: what it costs beside the step; `None` for boxes.
    ground: Vec<Option<u32>>,
    /// By cell: the nets that go through it horizontally and vertically.
    used: Vec<[Option<usize>; 2]>,
}

/// Where a way may end: a cell beside a spot, and the step into the spot.
#[derive(Debug, Clone, Copy)]
struct Port {
    spot: Spot,
    cell: Cell,
    into: Cell,
    cost: u32,
}

impl<'l> Router<'l> {
    pub(super) fn new(layout: &'l Layout) -> Router<'l> {
        let (width, height) = (layout.width.max(1), layout.height.max(1));
        let cells = usize::try_from(width * height).unwrap_or(0);
        let mut router =
            Router { layout, width, height, ground: vec![Some(0); cells], used: vec![[None; 2]; cells] };
        for rect in layout.units.iter().chain(&layout.outside) {
            router.each(Rect { x: rect.x - 1, y: rect.y - 1, w: rect.w + 2, h: rect.h + 2 }, |cost| {
                cost.map(|cost| cost.max(NEAR_A_BOX))
            });
        }
        for rect in layout.islands.iter().chain([&layout.frame]) {
            router.each(Rect { h: 3, ..*rect }, |cost| cost.map(|cost| cost + THROUGH_TITLE));
            // Along a border a line could not be told from it.
            for border in borders(rect) {
                router.each(border, |cost| cost.map(|cost| cost + NEAR_A_BOX));
            }
        }
        for rect in layout.units.iter().chain(&layout.outside) {
            router.each(*rect, |_| None);
        }
        // Below the frame and above it nothing is drawn but the title and the legend.
        let (top, bottom) = (layout.frame.y - 2, layout.frame.bottom() + 1);
        router.each(Rect { x: 0, y: 0, w: width, h: top }, |_| None);
        router.each(Rect { x: 0, y: bottom, w: width, h: height - bottom }, |_| None);
        router
    }

    fn each(&mut self, rect: Rect, change: impl Fn(Option<u32>) -> Option<u32>) {
        for y in rect.y..rect.bottom() {
            for x in rect.x..rect.right() {
                if let Some(place) = self.place((x, y))
                    && let Some(ground) = self.ground.get_mut(place)
                {
                    *ground = change(*ground);
                }
            }
        }
    }

    fn place(&self, (x, y): Cell) -> Option<usize> {
        let inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
        inside.then(|| usize::try_from(y * self.width + x).ok()).flatten()
    }

    /// Finds a way for a net and keeps it. `number` is the net's.
    pub(super) fn route(&mut self, net: &Net, number: usize) -> Route {
        let mut route = Route::default();
        let mut left = terminals(net);
        if left.len() < 2 {
            return route;
        }
        let first = left.remove(0);
        // The tree so far; before anything is drawn, the ports of the first end.
        let mut tree: Vec<Cell> = Vec::new();
        while !left.is_empty() {
            let starts: Vec<(Cell, Option<Port>)> = if tree.is_empty() {
                self.ports(first, net).into_iter().map(|port| (port.cell, Some(port))).collect()
            } else {
                tree.iter().map(|cell| (*cell, None)).collect()
            };
            let goals: Vec<Port> = left.iter().flat_map(|spot| self.ports(*spot, net)).collect();
            let Some(branch) = self.search(&starts, &goals, number) else { break };
            let (arrived, _) = branch.ends;
            left.retain(|spot| *spot != arrived);
            self.keep(&branch, number);
            tree.extend(&branch.cells);
            route.branches.push(branch);
        }
        route
    }

    fn keep(&mut self, branch: &Branch, number: usize) {
        let steps = branch.cells.iter().zip(branch.cells.iter().skip(1));
        let steps: Vec<(Cell, Cell)> = steps.map(|(a, b)| (*a, *b)).collect();
        let (_, into) = branch.ends;
        let last = branch.cells.last().map(|last| (*last, (last.0 + into.0, last.1 + into.1)));
        let first = match (branch.begins, branch.cells.first()) {
            (Some((_, from)), Some(first)) => Some(((first.0 - from.0, first.1 - from.1), *first)),
            _ => None,
        };
        for (a, b) in steps.into_iter().chain(last).chain(first) {
            let axis = usize::from(a.0 == b.0);
            for cell in [a, b] {
                let used = self.place(cell).and_then(|place| self.used.get_mut(place));
                if let Some(used) = used.and_then(|used| used.get_mut(axis)) {
                    used.get_or_insert(number);
                }
            }
        }
    }

    /// The ports of a spot.
    fn ports(&self, spot: Spot, net: &Net) -> Vec<Port> {
        let Some(rect) = self.layout.rect(spot) else { return Vec::new() };
        let arrives = net.to.contains(&spot);
        let mut ports = Vec::new();
        let mut add = |x, y, into: Cell, inside: bool| {
            let cost = match (into, arrives) {
                _ if inside => 0,
                ((1, 0), true) | ((-1, 0), false) => 0,
                ((_, 0), _) => WRONG_SIDE,
                _ => WRONG_SIDE / 2,
            };
            ports.push(Port { spot, cell: (x, y), into, cost });
        };
        let corner = if matches!(spot, Spot::Unit(_)) { 0 } else { 2 };
        for y in rect.y + corner..rect.bottom() - corner {
            if spot != Spot::Everything || spot == Spot::Outside {
                add(rect.x - 1, y, (1, 0), false);
            }
            add(rect.right(), y, (-1, 0), false);
        }
        for x in rect.x + 1 + corner..rect.right() - 1 - corner {
            add(x, rect.y - 1, (0, 1), false);
            add(x, rect.bottom(), (0, -1), false);
        }
        if matches!(spot, Spot::Island(_) | Spot::Everything) {
            // From inside, too.
            for y in rect.y + 4..rect.bottom() - 1 {
                add(rect.x, y, (-1, 0), true);
                add(rect.right() - 1, y, (1, 0), true);
            }
            for x in rect.x + 1..rect.right() - 1 {
                add(x, rect.bottom() - 1, (0, 1), true);
            }
        }
        ports
    }

    /// The cheapest way from one of the starts to one of the goals.
    fn search(&self, starts: &[(Cell, Option<Port>)], goals: &[Port], number: usize) -> Option<Branch> {
        let states = self.ground.len() * WAYS.len();
        let mut costs = vec![u32::MAX; states];
        let mut before: Vec<usize> = vec![usize::MAX; states];
        let mut begun: HashMap<usize, Option<Port>> = HashMap::new();
        let mut heap = BinaryHeap::new();
        for (cell, port) in starts {
            let Some(place) = self.place(*cell) else { continue };
            if self.ground.get(place).copied().flatten().is_none() {
                continue;
            }
            for (way, step) in WAYS.iter().enumerate() {
                // From a spot a line leaves straight.
                if port.is_some_and(|port| (-port.into.0, -port.into.1) != *step) {
                    continue;
                }
                let cost = port.map_or(0, |port| port.cost + self.end_cost(port.cell, port.into, number));
                let state = place * WAYS.len() + way;
                if let Some(known) = costs.get_mut(state)
                    && cost < *known
                {
                    *known = cost;
                    begun.insert(state, *port);
                    heap.push((Reverse(cost), state));
                }
            }
        }
        let mut at: HashMap<usize, Vec<&Port>> = HashMap::new();
        for goal in goals {
            if let Some(place) = self.place(goal.cell) {
                at.entry(place).or_default().push(goal);
            }
        }
        let mut best: Option<(u32, usize, Port)> = None;
        while let Some((Reverse(cost), state)) = heap.pop() {
            if best.is_some_and(|(known, ..)| known <= cost) {
                break;
            }
            if costs.get(state).is_some_and(|known| *known < cost) {
                continue;
            }
            let (place, way) = (state / WAYS.len(), state % WAYS.len());
            let step = WAYS.get(way).copied().unwrap_or_default();
            for port in at.get(&place).into_iter().flatten() {
                let bend = if port.into == step { 0 } else { BEND };
                let turns_back = (-port.into.0, -port.into.1) == step;
                let total = cost + bend + port.cost + self.end_cost(port.cell, port.into, number);
                if !turns_back && best.is_none_or(|(known, ..)| total < known) {
                    best = Some((total, state, **port));
                }
            }
            let cell = self.cell(place);
            for (next_way, next_step) in WAYS.iter().enumerate() {
                if (-next_step.0, -next_step.1) == step {
                    continue;
                }
                let Some(next) = self.place((cell.0 + next_step.0, cell.1 + next_step.1)) else { continue };
                let Some(ground) = self.ground.get(next).copied().flatten() else { continue };
                let mut total = cost + STEP + ground + self.passing(next, next_way, number);
                if next_way != way {
                    total += BEND + self.touching(place, number);
                }
                let next_state = next * WAYS.len() + next_way;
                if let (Some(known), Some(from)) = (costs.get_mut(next_state), before.get_mut(next_state))
                    && total < *known
                {
                    (*known, *from) = (total, state);
                    begun.remove(&next_state);
                    heap.push((Reverse(total), next_state));
                }
            }
        }
        let (_, last, port) = best?;
        let (mut cells, mut state) = (Vec::new(), last);
        loop {
            cells.push(self.cell(state / WAYS.len()));
            if begun.contains_key(&state) || cells.len() > states {
                break;
            }
            state = before.get(state).copied()?;
        }
        cells.reverse();
        let begins = begun.get(&state).copied().flatten().map(|p| (p.spot, (-p.into.0, -p.into.1)));
        Some(Branch { cells, begins, ends: (port.spot, port.into) })
    }

    fn cell(&self, place: usize) -> Cell {
        let width = usize::try_from(self.width).unwrap_or(1);
        (i32::try_from(place % width).unwrap_or(0), i32::try_from(place / width).unwrap_or(0))
    }

    /// What it costs to go through a cell where other nets are.
    fn passing(&self, place: usize, way: usize, number: usize) -> u32 {
        let Some([across, down]) = self.used.get(place) else { return 0 };
        let (along, other) = if way.is_multiple_of(2) { (across, down) } else { (down, across) };
        let mut cost = 0;
        if along.is_some_and(|net| net != number) {
            cost += ON_ANOTHER;
        }
        if other.is_some_and(|net| net != number) {
            cost += CROSSING;
        }
        cost
    }

    /// What it costs to bend where other nets are.
    fn touching(&self, place: usize, number: usize) -> u32 {
        let used = self.used.get(place).into_iter().flatten().flatten();
        if used.into_iter().any(|net| *net != number) { TOUCHING } else { 0 }
    }

    /// What it costs to end at a port where another net ends.
    fn end_cost(&self, cell: Cell, into: Cell, number: usize) -> u32 {
        let way = usize::from(into.0 == 0);
        self.place(cell).map_or(0, |place| {
            self.passing(place, way, number).min(ON_ANOTHER) + self.touching(place, number)
        })
    }
}

/// The ends that a line has to reach, sources first. What only reaches itself needs no line.
pub(super) fn terminals(net: &Net) -> Vec<Spot> {
    let mut spots: Vec<Spot> =
        net.from.iter().filter(|s| net.to.iter().any(|to| to != *s)).copied().collect();
    let destinations = net.to.iter().filter(|s| net.from.iter().any(|from| from != *s));
    for spot in destinations {
        if !spots.contains(spot) {
            spots.push(*spot);
        }
    }
    spots
}

fn borders(rect: &Rect) -> [Rect; 4] {
    [
        Rect { w: 1, ..*rect },
        Rect { x: rect.right() - 1, w: 1, ..*rect },
        Rect { h: 1, ..*rect },
        Rect { y: rect.bottom() - 1, h: 1, ..*rect },
    ]
}
