//! The map as a picture has it: few boxes and few lines, and still exactly what the engine says.
//!
//! Workloads of one namespace that nothing shown tells apart are one [`Unit`]. A [`Net`] is a bundle of connections:
//! every source of it may reach every destination of it on its ports, except itself. Where a set of sources is a whole
//! namespace or everything, the net begins there. Nets may overlap; together they are all that is allowed, and nothing
//! else. Placing and drawing is done elsewhere.

mod bundle;
mod matrix;
mod units;

use ringfence_policy::View;

use crate::complaint::Complaint;
use crate::map::Map;
use crate::map::args::MapFormat;
use crate::map::graph::matrix::Matrix;
use crate::reference::Reference;

/// What is drawn.
#[derive(Debug)]
pub(super) struct Graph {
    /// The namespaces, by name.
    pub(super) islands: Vec<Island>,
    /// The boxes, by island.
    pub(super) units: Vec<Unit>,
    pub(super) nets: Vec<Net>,
    /// How many workloads or pods the boxes hold.
    pub(super) members: usize,
    /// What they are: `workload` or `pod`.
    pub(super) noun: &'static str,
}

/// A namespace.
#[derive(Debug)]
pub(super) struct Island {
    pub(super) namespace: String,
    /// Its boxes, places among the units.
    pub(super) units: Vec<usize>,
}

/// A box.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) island: usize,
    /// What is in it, by name; several are treated alike by all policies that show.
    pub(super) members: Vec<Member>,
    pub(super) ingress: &'static str,
    pub(super) egress: &'static str,
    pub(super) host_network: bool,
    /// The ports on which its members may reach each other.
    pub(super) among: Option<String>,
    /// Whether its members may not reach each other, where that is to be drawn.
    pub(super) among_denied: bool,
    /// The names of those in its namespace that may not reach it, where these are too many for lines.
    pub(super) denied_from: Vec<String>,
}

/// A workload, a pod, or some pods of a workload.
#[derive(Debug)]
pub(super) struct Member {
    /// Without its namespace.
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) pods: u64,
}

/// Connections that are drawn as one: from each of some ends to each of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Net {
    pub(super) from: Vec<Spot>,
    pub(super) to: Vec<Spot>,
    /// The ports.
    pub(super) label: String,
    pub(super) is_denied: bool,
}

/// Where a line may begin or end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Spot {
    Unit(usize),
    /// Everything in a namespace that is shown.
    Island(usize),
    /// Every workload that is shown.
    Everything,
    Outside,
}

/// The most workloads that a format shows.
fn limit(format: MapFormat) -> usize {
    match format {
        MapFormat::Dot => 500,
        _ => 200,
    }
}

impl Graph {
    pub(super) fn new(map: &Map<'_>, format: MapFormat, with_denied: bool) -> Result<Graph, Complaint> {
        let limit = limit(format);
        if map.rows.len() > limit {
            let message =
                format!("{} are too many for -o {}: it draws up to {limit}", map.rows.len(), format.as_str());
            return Err(Complaint::new(message)
                .help(
                    "narrow it: --focus NAME for a workload or namespace and its neighbours, or -n NAMESPACE",
                )
                .help("-o csv and -o rules have no limit"));
        }
        let matrix = Matrix::new(map, with_denied);
        let (islands, units) = units::find(map, &matrix);
        let nets = bundle::nets(&matrix, &islands, &units);
        let mut graph = Graph {
            islands,
            members: map.rows.len(),
            noun: if map.view == View::Pods { "pod" } else { "workload" },
            units: units.into_iter().map(|unit| unit.shown).collect(),
            nets,
        };
        if format == MapFormat::Svg {
            graph.write_denials_in_boxes();
        }
        Ok(graph)
    }

    /// Where denials inside namespaces would be more lines than can be followed, the boxes say them in words.
    fn write_denials_in_boxes(&mut self) {
        const MAX_LINES: usize = 6;
        let is_inside = |net: &Net| {
            net.is_denied && !net.from.contains(&Spot::Outside) && !net.to.contains(&Spot::Outside)
        };
        if self.nets.iter().filter(|net| is_inside(net)).count() <= MAX_LINES {
            return;
        }
        let (inside, others): (Vec<Net>, Vec<Net>) = self.nets.drain(..).partition(is_inside);
        self.nets = others;
        for net in inside {
            for to in self.units_of(&net.to) {
                let sources: Vec<usize> = self.units_of(&net.from).into_iter().filter(|u| *u != to).collect();
                let of = sources.iter().filter_map(|unit| self.units.get(*unit)).flat_map(|u| &u.members);
                let names: Vec<String> = of.map(|member| member.name.clone()).collect();
                if let Some(unit) = self.units.get_mut(to) {
                    unit.denied_from.extend(names);
                }
            }
        }
    }

    /// The boxes that spots stand for.
    fn units_of(&self, spots: &[Spot]) -> Vec<usize> {
        let of = |spot: &Spot| match spot {
            Spot::Unit(unit) => vec![*unit],
            Spot::Island(island) => self.islands.get(*island).map(|i| i.units.clone()).unwrap_or_default(),
            Spot::Everything => (0..self.units.len()).collect(),
            Spot::Outside => Vec::new(),
        };
        spots.iter().flat_map(of).collect()
    }

    /// What all of a namespace is called, or with `None` all that is shown.
    pub(super) fn whole(&self, island: Option<usize>) -> String {
        let is_there = |unit: &&Unit| island.is_none_or(|island| unit.island == island);
        let apart = self.units.iter().filter(is_there).any(|unit| unit.host_network);
        let of = island.and_then(|island| self.islands.get(island));
        let of = of.map(|island| format!(" of {}", island.namespace)).unwrap_or_default();
        format!("every {}{of}{}", self.noun, if apart { " off its node's network" } else { "" })
    }

    /// Whether any line begins or ends outside.
    pub(super) fn has_outside(&self) -> bool {
        self.has(Spot::Outside)
    }

    /// Whether any line begins or ends at a spot.
    pub(super) fn has(&self, spot: Spot) -> bool {
        self.nets.iter().any(|net| net.from.contains(&spot) || net.to.contains(&spot))
    }
}

impl Unit {
    /// How its members are isolated, such as `ingress isolated, egress open`.
    pub(super) fn isolation(&self) -> String {
        if self.host_network {
            "host network".to_owned()
        } else {
            format!("ingress {}, egress {}", self.ingress, self.egress)
        }
    }
}

impl Member {
    fn new(reference: &Reference, kind: &str, pods: u64) -> Member {
        let text = reference.text();
        // The namespace is the island's title.
        let name = match reference {
            Reference::Workload { namespace, .. } | Reference::Pod { namespace, .. } => {
                text.strip_prefix(namespace.as_str()).and_then(|t| t.strip_prefix('/')).unwrap_or(&text)
            }
            _ => &text,
        };
        Member { name: name.to_owned(), kind: kind.to_owned(), pods }
    }
}

/// From a row to another, `None` for outside, with the label.
#[cfg(test)]
type Drawn = (Option<usize>, Option<usize>, String);

/// All nets of a map by row, `None` for outside, each with its label; and what they must say.
#[cfg(test)]
pub(super) fn bundled(map: &Map<'_>) -> (Vec<Drawn>, Matrix) {
    let matrix = Matrix::new(map, false);
    let (islands, units) = units::find(map, &matrix);
    let rows = |spot: &Spot| -> Vec<Option<usize>> {
        let of = |unit: &usize| units[*unit].rows.iter().map(|row| Some(*row)).collect::<Vec<_>>();
        let parts = |unit: &&usize| !units[**unit].shown.host_network;
        match spot {
            Spot::Unit(unit) => of(unit),
            Spot::Island(island) => islands[*island].units.iter().filter(parts).flat_map(of).collect(),
            Spot::Everything => islands.iter().flat_map(|i| &i.units).filter(parts).flat_map(of).collect(),
            Spot::Outside => vec![None],
        }
    };
    let mut all = Vec::new();
    for net in bundle::nets(&matrix, &islands, &units) {
        for from in net.from.iter().flat_map(rows) {
            let to = net.to.iter().flat_map(rows).filter(|to| from.is_none() || *to != from);
            // What a unit may do with itself is said by itself.
            let own = |row: &Option<usize>| {
                units.iter().position(|unit| row.is_some_and(|r| unit.rows.contains(&r)))
            };
            let to = to.filter(|to| own(to).is_none() || own(to) != own(&from));
            all.extend(to.map(|to| (from, to, net.label.clone())));
        }
    }
    for unit in &units {
        for (from, to) in unit.rows.iter().flat_map(|from| unit.rows.iter().map(move |to| (*from, *to))) {
            if let Some(ports) = unit.shown.among.as_ref().filter(|_| from != to) {
                all.push((Some(from), Some(to), ports.clone()));
            }
        }
    }
    (all, matrix)
}
