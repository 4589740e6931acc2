//! `ringfence map`: who may reach whom, as the engine's [`Reach`] says; here it is only narrowed and shown.

mod allowed;
mod json;
mod table;

use std::process::ExitCode;

use ringfence_policy::{Connections, Direction, Engine, PodId, Reach, ReachEnd, View, Workload};

use crate::cli::{MapArgs, MapFormat};
use crate::input::{self, Input};
use crate::notes;
use crate::reference::{Reference, Referrer};
use crate::terminal::Terminal;

/// Reads, asks and shows.
pub(crate) fn run(args: &MapArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let Input { engine, .. } = input::read(&args.paths, &args.input, terminal)?;
    let only = args.input.namespace.as_deref().filter(|_| !args.all_namespaces);
    let view = if args.pods { View::Pods } else { View::Workloads };
    let reach = Reach::with_view(&engine, view);
    let map = Map::new(&engine, &reach, view, only);
    match args.output {
        MapFormat::Json => terminal.stream(|out| json::write(&map, out))?,
        MapFormat::Table => terminal.stream(|out| table::write(&map, terminal.palette(), out))?,
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

/// What is shown. Connections are listed anew each time that they are asked for: there can be millions.
#[derive(Debug)]
struct Map<'r> {
    reach: &'r Reach,
    view: View,
    /// The namespace that one end of each connection is in.
    only: Option<&'r str>,
    rows: Vec<Row>,
    /// The names of the ends.
    references: Vec<Reference>,
    notes: Vec<String>,
}

/// A pod, a workload, or the pods of one that policies treat alike.
#[derive(Debug)]
struct Row {
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
    /// The map of all, or of what has an end in one namespace.
    fn new(engine: &Engine, reach: &'r Reach, view: View, only: Option<&'r str>) -> Map<'r> {
        let referrer = Referrer::new(engine);
        let references: Vec<Reference> =
            reach.ends.iter().map(|end| reference(&referrer, view, end)).collect();
        let rows = reach.ends.iter().zip(&references).filter_map(|(end, reference)| match end {
            ReachEnd::Pods { namespace, workload, pods, .. } if is_in(end, only) => {
                Some(Row::new(engine, reference, namespace, workload, pods))
            }
            _ => None,
        });
        Map {
            reach,
            view,
            only,
            rows: rows.collect(),
            notes: notes::unknown_pod_addresses(engine).into_iter().collect(),
            references,
        }
    }

    /// What may connect, in order.
    fn connections(&self) -> Connections<'r> {
        let only = self.only;
        self.reach.connections_of(|end| is_in(end, only))
    }
}

impl Row {
    fn new(
        engine: &Engine,
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
