//! `ringfence map`: who may reach whom, as the engine's [`Reach`] says; here it is only narrowed and shown.

mod allowed;
pub(crate) mod args;
mod csv;
mod dot;
mod exposed;
mod graph;
mod hops;
mod json;
mod lines;
mod listing;
mod markdown;
mod mermaid;
mod rules;
mod selection;
mod svg;
mod table;
#[cfg(test)]
mod tests;
mod unprotected;

use std::process::ExitCode;

use ringfence_policy::{Connection, Direction, Engine, PodId, Reach, ReachEnd, View, Workload};

use crate::cli::MapArgs;
use crate::complaint::Complaint;
use crate::input::{self, Input};
use crate::map::args::MapFormat;
use crate::map::graph::Graph;
use crate::map::selection::{Finder, Selection};
use crate::notes;
use crate::reference::{Reference, Referrer};
use crate::terminal::Terminal;

/// Reads, asks and shows.
pub(crate) fn run(args: &MapArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let Input { engine, inventory, .. } = input::read(&args.paths, &args.input, terminal)?;
    let only = args.input.namespace.as_deref().filter(|_| !args.all_namespaces);
    let view = if args.pods { View::Pods } else { View::Workloads };
    let reach = Reach::with_view(&engine, view);
    let finder = Finder::new(&engine, &inventory, &reach, args.input.default_namespace());
    let selection = finder.selection(&args.select, only)?;
    let map = Map::new(&engine, &reach, view, selection, args.output.is_drawn());
    if let Some(name) = &args.select.reachable_from {
        let start = finder.ends(name)?;
        let listing = hops::listing(&map, &start, name, args.select.hops);
        listing.show(args.output, "--reachable-from", terminal)?;
    } else if args.select.exposed {
        exposed::listing(&map, &inventory).show(args.output, "--exposed", terminal)?;
    } else if args.select.unprotected {
        unprotected::listing(&map).show(args.output, "--unprotected", terminal)?;
    } else {
        show(&map, args, terminal)?;
    }
    if map.rows.is_empty() {
        let what = if args.pods { "pods" } else { "workloads" };
        terminal.note(&match only {
            Some(namespace) => format!("no {what} in namespace {namespace}"),
            None => format!("no {what} in these manifests"),
        });
    }
    for note in &map.notes {
        terminal.note(note);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(map: &Map<'_>, args: &MapArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let format = args.output;
    if args.select.denied && !format.is_drawn() {
        return Err(Complaint::new(format!("--denied is for diagrams, not for -o {}", format.as_str()))
            .help("draw them: -o svg, -o mermaid or -o dot")
            .help("-o rules has a line for what each destination denies")
            .into());
    }
    let graph = || Graph::new(map, format, args.select.denied);
    match format {
        MapFormat::Json => terminal.stream(|out| json::write(map, out)),
        MapFormat::Table => terminal.stream(|out| table::write(map, terminal.palette(), out)),
        MapFormat::Csv => terminal.stream(|out| csv::write(map, out)),
        MapFormat::Markdown => terminal.stream(|out| markdown::write(map, out)),
        MapFormat::Rules => terminal.stream(|out| rules::table(map, terminal.palette(), out)),
        MapFormat::RulesCsv => terminal.stream(|out| rules::csv(map, out)),
        MapFormat::Mermaid => terminal.answer(&mermaid::text(&graph()?)?),
        MapFormat::Dot => terminal.answer(&dot::text(&graph()?)),
        MapFormat::Svg => terminal.answer(&svg::text(&graph()?)),
    }
}

/// What is shown. Connections are listed anew each time that they are asked for: there can be millions.
#[derive(Debug)]
struct Map<'r> {
    engine: &'r Engine,
    reach: &'r Reach,
    view: View,
    selection: Selection,
    rows: Vec<Row>,
    /// The names of the ends.
    references: Vec<Reference>,
    notes: Vec<String>,
}

/// A pod, a workload, or the pods of one that policies treat alike.
#[derive(Debug)]
struct Row {
    /// Its place among the ends.
    place: u32,
    reference: Reference,
    namespace: String,
    workload: Workload,
    labels: Vec<(String, String)>,
    pods: u64,
    ingress: &'static str,
    egress: &'static str,
    host_network: bool,
}

impl<'r> Map<'r> {
    /// The map of all, or of what was chosen. In a picture of a namespace, what it connects to has rows too.
    fn new(
        engine: &'r Engine,
        reach: &'r Reach,
        view: View,
        selection: Selection,
        is_drawn: bool,
    ) -> Map<'r> {
        let referrer = Referrer::new(engine);
        let references: Vec<Reference> =
            reach.ends.iter().map(|end| reference(&referrer, view, end)).collect();
        let takes_part = taking_part(reach, &selection, is_drawn);
        let rows = (0u32..).zip(reach.ends.iter().zip(&references)).filter_map(
            |(place, (end, reference))| match end {
                ReachEnd::Pods { namespace, workload, pods, .. } if takes_part(place, end) => {
                    Some(Row::new(engine, place, reference, namespace, workload, pods))
                }
                _ => None,
            },
        );
        let rows = rows.collect();
        Map {
            engine,
            reach,
            view,
            selection,
            rows,
            notes: notes::unknown_pod_addresses(engine).into_iter().collect(),
            references,
        }
    }

    /// What may connect, in order.
    fn connections(&self) -> impl Iterator<Item = Connection> {
        self.selection.connections(self.reach)
    }
}

/// Whether an end has a row: it is in the chosen namespace, or it was chosen by name or connects to what was.
fn taking_part(
    reach: &Reach,
    selection: &Selection,
    is_drawn: bool,
) -> impl Fn(u32, &ReachEnd) -> bool + use<> {
    let mut listed = vec![false; reach.ends.len()];
    let is_narrow = selection.is_narrow() || (is_drawn && selection.only().is_some());
    if is_narrow {
        for connection in selection.connections(reach) {
            for end in [connection.from, connection.to] {
                if let Some(listed) = listed.get_mut(end as usize) {
                    *listed = true;
                }
            }
        }
        for ((place, end), listed) in (0u32..).zip(&reach.ends).zip(&mut listed) {
            *listed |= selection.names(place) || (!selection.is_narrow() && is_in(end, selection.only()));
        }
    }
    let only = selection.only().map(str::to_owned);
    move |place, end| {
        if is_narrow { listed.get(place as usize) == Some(&true) } else { is_in(end, only.as_deref()) }
    }
}

impl Row {
    fn new(
        engine: &Engine,
        place: u32,
        reference: &Reference,
        namespace: &str,
        workload: &Workload,
        pods: &[PodId],
    ) -> Row {
        let first = pods.first().and_then(|p| engine.pod(*p));
        let isolation = |direction| match pods.first() {
            Some(pod) if !engine.isolating(*pod, direction).is_empty() => "isolated",
            // By policies of the whole cluster alone: what none of their rules decides is allowed.
            Some(pod) if engine.policy_set(*pod, direction).is_some() => "held",
            _ => "open",
        };
        Row {
            place,
            reference: reference.clone(),
            namespace: namespace.to_owned(),
            workload: workload.clone(),
            labels: first.map(|p| p.labels.clone().into_iter().collect()).unwrap_or_default(),
            pods: pods.iter().filter_map(|p| engine.pod(*p)).map(|p| u64::from(p.count)).sum(),
            ingress: isolation(Direction::Ingress),
            egress: isolation(Direction::Egress),
            host_network: first.is_some_and(|p| p.host_network),
        }
    }
}

/// Whether an end has pods in the namespace, or in any where none is given.
fn is_in(end: &ReachEnd, only: Option<&str>) -> bool {
    matches!(end, ReachEnd::Pods { namespace, .. } if only.is_none_or(|only| namespace == only))
}

fn reference(referrer: &Referrer<'_>, view: View, end: &ReachEnd) -> Reference {
    match (end, view) {
        (ReachEnd::Pods { namespace, workload, pods, whole }, View::Workloads) => {
            referrer.workload(namespace, workload, pods, *whole)
        }
        (ReachEnd::Pods { pods, .. }, View::Pods) => {
            pods.first().map_or(Reference::External, |pod| referrer.pod(*pod))
        }
        (ReachEnd::Outside { first, last }, _) => Reference::Outside(*first, *last),
    }
}
