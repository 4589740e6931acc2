//! Two worlds side by side: what may pass in the one and not in the other, and who decides so in each.
//!
//! The two maps are laid over each other. Ends with pods are matched by namespace, kind, name and, where policies tell
//! pods of one workload apart in either world, by the names of the pods ([`Piece`]). What is compared is then exact: every
//! ordered pair of pieces, pods of one piece among each other too, and every piece with every outside address; every
//! protocol and port. The work is done once for each pair of senders that policies do not tell apart and once for each pair
//! of policy sets that meet outside addresses; pairs of ends are only looked at as numbers.
//!
//! What is absent: ends that only one world has are named ([`Comparison::come`], [`Comparison::gone`]) and not compared;
//! how a difference is ranked or shown.

mod delta;
mod outside;
mod pieces;
mod policies;
mod sides;

use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::engine::Engine;
use crate::portset::PortSet;
use crate::reach::portsets::{PortSetId, PortSets};
use crate::reach::row::RowMaker;
use crate::reach::{Reach, View};
use crate::slots::number;
use crate::verdict::{Because, Direction};

use self::delta::Deltas;
use self::outside::Runs;
use self::pieces::Placed;
use self::sides::{NO_SUBJECT, OWN_NODE, Route, Sides};

pub use self::pieces::Piece;
pub use self::policies::{PolicyChange, changed_policies};

/// A compiled world and its map by workload.
#[derive(Debug)]
pub struct Mapped {
    engine: Engine,
    reach: Reach,
}

impl Mapped {
    /// Maps a compiled world.
    pub fn new(engine: Engine) -> Mapped {
        let reach = Reach::with_view(&engine, View::Workloads);
        Mapped { engine, reach }
    }

    /// The compiled world.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its map.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }
}

/// What an old and a new world have not in common.
#[derive(Debug)]
pub struct Comparison {
    /// What is compared: ends that both worlds have, by namespace, name and kind.
    pub pieces: Vec<Piece>,
    /// Ends with pods that only the new world has; places in [`Reach::ends`] of the new map.
    pub come: Vec<u32>,
    /// Ends with pods that only the old world has; places in the old map.
    pub gone: Vec<u32>,
    /// Why something changes. [`Part::cause`] is a place in this list.
    pub causes: Vec<Cause>,
    deltas: Vec<Vec<Part>>,
    /// The changed cells of a sender's row, by piece, each with its delta.
    rows: Vec<Vec<(u32, u32)>>,
    /// By piece, its row.
    row_of: Vec<u32>,
    /// By piece, what changes toward and from outside.
    outside: Vec<[u32; 2]>,
    runs: Vec<Runs>,
}

/// An end of a changed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spot {
    /// A place in [`Comparison::pieces`].
    Piece(u32),
    /// Outside addresses, first and last included, that change alike.
    Outside(IpAddr, IpAddr),
}

/// A connection on which something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift<'c> {
    /// Where it starts.
    pub from: Spot,
    /// Where it leads.
    pub to: Spot,
    /// What is gained and lost, by cause. Never empty.
    pub parts: &'c [Part],
}

/// Ports of a connection that are gained or lost for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// Whether they may pass in the new world only, or in the old one only.
    pub gained: bool,
    /// Which.
    pub ports: PortSet,
    /// A place in [`Comparison::causes`].
    pub cause: u32,
}

/// Why a connection changes. At least one side does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// The source's side, if it answers otherwise.
    pub egress: Option<SideShift>,
    /// The destination's side, if it answers otherwise.
    pub ingress: Option<SideShift>,
}

impl Cause {
    /// One of the sides.
    pub fn side(&self, direction: Direction) -> Option<&SideShift> {
        match direction {
            Direction::Egress => self.egress.as_ref(),
            Direction::Ingress => self.ingress.as_ref(),
        }
    }
}

/// What a side answers in either world. The rules and policies are those of each world's engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SideShift {
    /// Why it answers as it does in the old world.
    pub before: Because,
    /// And in the new one.
    pub after: Because,
}

impl Comparison {
    /// Compares two worlds.
    pub fn new(old: &Mapped, new: &Mapped) -> Comparison {
        let (pieces, gone, come) = pieces::matched(old, new);
        let mut comparison = Comparison {
            row_of: Vec::with_capacity(pieces.len()),
            outside: Vec::with_capacity(pieces.len()),
            pieces,
            come,
            gone,
            causes: Vec::new(),
            deltas: Vec::new(),
            rows: Vec::new(),
            runs: Vec::new(),
        };
        let mut deltas = Deltas::new();
        let mut sides = [Sides::new(old), Sides::new(new)];
        comparison.compare_pods(old, new, &mut sides, &mut deltas);
        comparison.compare_outside(old, new, &mut sides, &mut deltas);
        (comparison.deltas, comparison.causes) = deltas.finish();
        comparison
    }

    /// Whether nothing that both worlds have changes. [`Comparison::come`] and [`Comparison::gone`] are another matter.
    pub fn is_unchanged(&self) -> bool {
        self.shifts().next().is_none()
    }

    /// What changes: by piece of the source, then of the destination, then outside; then what comes from outside, by piece
    /// of the destination and address.
    pub fn shifts(&self) -> impl Iterator<Item = Shift<'_>> {
        let leaving = (0u32..).zip(&self.row_of).flat_map(move |(from, row)| {
            let cells = self.rows.get(*row as usize).into_iter().flatten();
            let is_pair = move |to: u32| to != from || self.piece(from).is_some_and(|p| p.many);
            let to_pods = cells.filter(move |(to, _)| is_pair(*to)).map(move |(to, delta)| Shift {
                from: Spot::Piece(from),
                to: Spot::Piece(*to),
                parts: self.parts(*delta),
            });
            let outside = self.outside_of(from, Direction::Egress);
            to_pods.chain(outside.map(move |(to, parts)| Shift { from: Spot::Piece(from), to, parts }))
        });
        let arriving = (0u32..).zip(&self.outside).flat_map(move |(to, _)| {
            let outside = self.outside_of(to, Direction::Ingress);
            outside.map(move |(from, parts)| Shift { from, to: Spot::Piece(to), parts })
        });
        leaving.chain(arriving)
    }

    fn piece(&self, place: u32) -> Option<&Piece> {
        self.pieces.get(place as usize)
    }

    fn parts(&self, delta: u32) -> &[Part] {
        self.deltas.get(delta as usize).map_or(&[], |parts| parts)
    }

    fn outside_of(&self, piece: u32, direction: Direction) -> impl Iterator<Item = (Spot, &[Part])> {
        let [ingress, egress] = self.outside.get(piece as usize).copied().unwrap_or_default();
        let runs = match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        };
        let runs = self.runs.get(runs as usize).into_iter().flatten();
        runs.map(|run| (Spot::Outside(run.first, run.last), self.parts(run.delta)))
    }

    fn compare_pods(&mut self, old: &Mapped, new: &Mapped, sides: &mut [Sides<'_>; 2], deltas: &mut Deltas) {
        let mut rows = [Rows::new(old), Rows::new(new)];
        let placed: Vec<[Placed<'_>; 2]> = self
            .pieces
            .iter()
            .map(|piece| [Placed::new(old, piece.old), Placed::new(new, piece.new)])
            .collect();
        let mut joint = Joint::default();
        let mut known = FxHashMap::default();
        for (piece, from) in self.pieces.iter().zip(&placed) {
            let senders = [sender(old, piece.old), sender(new, piece.new)];
            let key = (senders, from.map(|placed| placed.host_of));
            let row = *known.entry(key).or_insert_with(|| {
                let [old_rows, new_rows] = &mut rows;
                let [old_sender, new_sender] = senders;
                let old_row = old_rows.maker.make(old_sender, &mut old_rows.sets);
                let new_row = new_rows.maker.make(new_sender, &mut new_rows.sets);
                let mut cells = Vec::new();
                for ((place, to), on) in (0u32..).zip(&self.pieces).zip(&placed) {
                    let exempt = [0, 1].map(|world| {
                        let (from, on) = (from.get(world), on.get(world));
                        from.zip(on).is_some_and(|(from, on)| from.is_node_of(on))
                    });
                    let of = |row: &[PortSetId], end: u32| {
                        row.get(end as usize).copied().unwrap_or(PortSetId::NONE)
                    };
                    let [old_exempt, new_exempt] = exempt;
                    let before = if old_exempt { PortSetId::ALL } else { of(old_row, to.old) };
                    let after = if new_exempt { PortSetId::ALL } else { of(new_row, to.new) };
                    if joint.of_old(before, &old_rows.sets) == joint.of_new(after, &new_rows.sets) {
                        continue;
                    }
                    let [old_sides, new_sides] = &mut *sides;
                    let before = old_sides.routes(piece.old, to.old, old_exempt);
                    let after = new_sides.routes(piece.new, to.new, new_exempt);
                    let delta = deltas.find(&before, &after, old_sides, new_sides);
                    if delta != Deltas::NOTHING {
                        cells.push((place, delta));
                    }
                }
                self.rows.push(cells);
                number(self.rows.len() - 1)
            });
            self.row_of.push(row);
        }
    }

    fn compare_outside(
        &mut self,
        old: &Mapped,
        new: &Mapped,
        sides: &mut [Sides<'_>; 2],
        deltas: &mut Deltas,
    ) {
        let mut known = FxHashMap::default();
        for piece in &self.pieces {
            let runs = Direction::ALL.map(|direction| {
                let sets = [set(old, piece.old, direction), set(new, piece.new, direction)];
                *known.entry((direction, sets)).or_insert_with(|| {
                    self.runs.push(outside::runs(direction, sets, [old, new], sides, deltas));
                    number(self.runs.len() - 1)
                })
            });
            self.outside.push(runs);
        }
    }
}

fn sender(mapped: &Mapped, end: u32) -> u32 {
    mapped.reach.pods.get(end).map_or(u32::MAX, |end| end.sender)
}

/// The number of the policy set that an end has in a direction.
fn set(mapped: &Mapped, end: u32, direction: Direction) -> u32 {
    mapped.reach.pods.get(end).map_or(u32::MAX, |end| match direction {
        Direction::Ingress => end.ingress,
        Direction::Egress => end.egress,
    })
}

/// The rows of one map, to all its ends with pods.
struct Rows<'r> {
    maker: RowMaker<'r>,
    sets: PortSets,
}

impl<'r> Rows<'r> {
    fn new(mapped: &'r Mapped) -> Rows<'r> {
        let reach = &mapped.reach;
        let ends: Vec<u32> = (0..reach.pods.len()).collect();
        Rows { maker: RowMaker::of_policies(reach, &ends), sets: reach.sets.clone() }
    }
}

/// Numbers for port sets of both maps: equal where the sets are.
#[derive(Debug, Default)]
struct Joint {
    numbers: FxHashMap<PortSet, u32>,
    old: Vec<Option<u32>>,
    new: Vec<Option<u32>>,
}

impl Joint {
    fn of_old(&mut self, set: PortSetId, sets: &PortSets) -> u32 {
        joint(&mut self.old, &mut self.numbers, set, sets)
    }

    fn of_new(&mut self, set: PortSetId, sets: &PortSets) -> u32 {
        joint(&mut self.new, &mut self.numbers, set, sets)
    }
}

fn joint(
    known: &mut Vec<Option<u32>>,
    numbers: &mut FxHashMap<PortSet, u32>,
    set: PortSetId,
    sets: &PortSets,
) -> u32 {
    if let Some(Some(known)) = known.get(set.place()) {
        return *known;
    }
    let next = number(numbers.len());
    let found = *numbers.entry(sets.get(set).clone()).or_insert(next);
    if known.len() <= set.place() {
        known.resize(set.place() + 1, None);
    }
    if let Some(place) = known.get_mut(set.place()) {
        *place = Some(found);
    }
    found
}

/// The route between an end with pods and outside.
fn outside_route(direction: Direction, side: u32) -> Route {
    match direction {
        Direction::Egress => Route { family: None, egress: side, ingress: NO_SUBJECT },
        Direction::Ingress => Route { family: None, egress: NO_SUBJECT, ingress: side },
    }
}

/// The route of a node to its own pods.
const FROM_OWN_NODE: Route = Route { family: None, egress: NO_SUBJECT, ingress: OWN_NODE };
