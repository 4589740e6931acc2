//! `ringfence map`: who may reach whom, as the engine's [`Reach`] says; here it is only narrowed and shown.

mod json;
mod table;

use std::process::ExitCode;
use std::rc::Rc;

use ringfence_policy::{Connection, Direction, Engine, PodId, PortSet, Reach, ReachEnd, Workload};

use crate::cli::{MapArgs, MapFormat};
use crate::input::{self, Input};
use crate::notes;
use crate::reference::{Reference, Referrer};
use crate::terminal::Terminal;

/// Reads, asks and shows.
pub(crate) fn run(args: &MapArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let Input { engine, .. } = input::read(&args.paths, &args.input, terminal)?;
    let only = args.input.namespace.as_deref().filter(|_| !args.all_namespaces);
    let reach = Reach::new(&engine);
    let map = Map::new(&engine, &reach, only);
    match args.output {
        MapFormat::Json => terminal.answer(&json::render(&map))?,
        MapFormat::Table => terminal.answer(&table::render(&map, terminal.palette()))?,
    }
    if map.workloads.is_empty() {
        terminal.note(&match only {
            Some(namespace) => format!("no workloads in namespace {namespace}"),
            None => "no workloads in these manifests".to_owned(),
        });
    }
    for note in &map.notes {
        terminal.note(note);
    }
    Ok(ExitCode::SUCCESS)
}

/// What is shown.
#[derive(Debug)]
struct Map {
    workloads: Vec<Row>,
    /// The names of the ends.
    references: Vec<Reference>,
    connections: Vec<Pair>,
    notes: Vec<String>,
}

/// A workload, or the pods of one that policies treat alike.
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

/// Two ends that may connect, by their places among the references. There can be millions.
#[derive(Debug, Clone)]
struct Pair {
    from: usize,
    to: usize,
    allowed: Rc<PortSet>,
}

impl Map {
    /// The map of all, or of what has an end in one namespace.
    fn new(engine: &Engine, reach: &Reach, only: Option<&str>) -> Map {
        let referrer = Referrer::new(engine);
        let references: Vec<Reference> = reach.ends.iter().map(|end| reference(&referrer, end)).collect();
        let is_in = |end: u32| match (reach.ends.get(end as usize), only) {
            (_, None) => true,
            (Some(ReachEnd::Pods { namespace, .. }), Some(only)) => namespace == only,
            _ => false,
        };
        let pair = |c: Connection| Pair { from: c.from as usize, to: c.to as usize, allowed: c.allowed };
        let connections = reach.connections().filter(|c| is_in(c.from) || is_in(c.to));
        let workloads = reach.ends.iter().zip(&references).filter_map(|(end, reference)| match end {
            ReachEnd::Pods { namespace, workload, pods, .. } if only.is_none_or(|n| n == namespace) => {
                Some(Row::new(engine, reference, namespace, workload, pods))
            }
            _ => None,
        });
        Map {
            workloads: workloads.collect(),
            connections: connections.map(pair).collect(),
            notes: notes::unknown_pod_addresses(engine).into_iter().collect(),
            references,
        }
    }

    /// The name of an end.
    fn reference(&self, end: usize) -> &Reference {
        self.references.get(end).unwrap_or(&Reference::External)
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
        let isolation = |direction| match pods.first().and_then(|p| engine.policy_set(*p, direction)) {
            Some(_) => "isolated",
            None => "open",
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

fn reference(referrer: &Referrer<'_>, end: &ReachEnd) -> Reference {
    match end {
        ReachEnd::Pods { namespace, workload, pods, whole } => {
            referrer.workload(namespace, workload, pods, *whole)
        }
        ReachEnd::Outside { first, last } => Reference::Outside(*first, *last),
    }
}
