//! From paths, or a cluster, to an engine: read, report what is wrong, compile.

use std::collections::{BTreeMap, BTreeSet};
use std::io::stdin;
use std::net::IpAddr;
use std::path::PathBuf;

use ringfence_k8s::{Inventory, Level, Manifest, Node, ReadOptions, Reader, Reading, Sources};
use ringfence_policy::{Engine, ResolvedName, World};

use crate::cli::InputArgs;
use crate::cluster;
use crate::complaint::Complaint;
use crate::diagnostics;
use crate::files::{self, Files, Problem};
use crate::terminal::Terminal;

/// What the manifests say, ready to be asked.
#[derive(Debug)]
pub(crate) struct Input {
    /// The compiled world.
    pub(crate) engine: Engine,
    /// The objects.
    pub(crate) inventory: Inventory,
    /// The texts.
    pub(crate) sources: Sources,
    /// The objects as they are written, if that was asked for.
    pub(crate) manifests: Vec<Manifest>,
}

/// Reads all paths, or without one the cluster of the kubeconfig, and reports all that is wrong with them on standard error.
///
/// # Errors
///
/// If something could not be read that `--skip-invalid` does not excuse.
pub(crate) fn read(paths: &[PathBuf], args: &InputArgs, terminal: &Terminal) -> anyhow::Result<Input> {
    read_keeping(paths, args, terminal, false)
}

/// The same, and keeps the objects as they are written.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn read_with_manifests(
    paths: &[PathBuf],
    args: &InputArgs,
    terminal: &Terminal,
) -> anyhow::Result<Input> {
    read_keeping(paths, args, terminal, true)
}

fn read_keeping(
    paths: &[PathBuf],
    args: &InputArgs,
    terminal: &Terminal,
    keep_manifests: bool,
) -> anyhow::Result<Input> {
    let gathered = gather(paths, args, terminal, keep_manifests)?;
    report(&gathered, args, terminal, Level::Note)?;
    let reading = gathered.reading;
    Ok(Input {
        engine: engine(&reading.inventory, args),
        inventory: reading.inventory,
        sources: reading.sources,
        manifests: reading.manifests,
    })
}

/// Reports what is wrong with what was read, files that could not be read too, from a level on.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn report_all(
    gathered: &Gathered,
    args: &InputArgs,
    terminal: &Terminal,
    least: Level,
) -> anyhow::Result<()> {
    complain(&gathered.problems, terminal);
    report(gathered, args, terminal, least)
}

/// The same, where files that could not be read are reported already.
fn report(gathered: &Gathered, args: &InputArgs, terminal: &Terminal, least: Level) -> anyhow::Result<()> {
    let Gathered { reading, problems } = gathered;
    for finding in reading.findings.iter().filter(|finding| finding.level >= least) {
        terminal.aside(&diagnostics::finding(finding, &reading.sources, terminal.colors_errors()));
    }
    let errors = reading.findings.iter().filter(|f| f.level == Level::Error).count() + problems.len();
    if errors > 0 && !args.skip_invalid {
        return Err(unreadable(errors).into());
    }
    Ok(())
}

/// What was read, with its findings not reported yet.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) reading: Reading,
    /// The files and folders that could not be read.
    pub(crate) problems: Vec<Problem>,
}

/// Reads all paths, or without one the cluster, and reports files that could not be read on standard error.
///
/// # Errors
///
/// If the cluster cannot be asked.
pub(crate) fn gather(
    paths: &[PathBuf],
    args: &InputArgs,
    terminal: &Terminal,
    keep_manifests: bool,
) -> anyhow::Result<Gathered> {
    if paths.is_empty() {
        return Ok(gather_lists(&cluster::read(None, args, terminal)?, args, keep_manifests));
    }
    let gathered = gather_files(files::read(paths, &mut stdin().lock()), args, keep_manifests);
    complain(&gathered.problems, terminal);
    Ok(gathered)
}

/// Reads lists of objects, as a cluster gives them.
pub(crate) fn gather_lists(lists: &[Node], args: &InputArgs, keep_manifests: bool) -> Gathered {
    let mut reader = reader(args, keep_manifests);
    lists.iter().for_each(|list| reader.node(list));
    Gathered { reading: reader.finish(), problems: Vec::new() }
}

fn reader(args: &InputArgs, keep_manifests: bool) -> Reader {
    Reader::new(ReadOptions { default_namespace: args.default_namespace().to_owned(), keep_manifests })
}

/// Reads files, and reports nothing.
pub(crate) fn gather_files(files: Files, args: &InputArgs, keep_manifests: bool) -> Gathered {
    let mut reader = reader(args, keep_manifests);
    reader.texts(files.contents);
    Gathered { reading: reader.finish(), problems: files.problems }
}

fn complain(problems: &[Problem], terminal: &Terminal) {
    for problem in problems {
        let complaint = Complaint::new(format!("{}: {}", problem.path, problem.message)).help(&problem.help);
        terminal.complain(&complaint.into());
    }
}

/// Why there is no answer where some of the input could not be read.
pub(crate) fn unreadable(errors: usize) -> Complaint {
    let what = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
    Complaint::new(format!("{what} in the input: no answer, it would leave out what could not be read"))
        .help("--skip-invalid answers without what could not be read")
}

/// Leaves what is not needed any more to the end of the process, which gives all memory back at once and not piece by piece.
pub(crate) fn leave<T>(large: T) {
    std::mem::forget(large);
}

/// The engine of an inventory, with what the arguments say beside it.
pub(crate) fn engine(inventory: &Inventory, args: &InputArgs) -> Engine {
    Engine::new(world(inventory, args))
}

/// The world of an inventory, with what the arguments say beside it.
pub(crate) fn world(inventory: &Inventory, args: &InputArgs) -> World {
    let mut world = inventory.world();
    world.pod_cidrs.clone_from(&args.pod_cidrs);
    world.names = merged(&args.names);
    world
}

/// Each name once, with all addresses that were given for it.
fn merged(names: &[ResolvedName]) -> Vec<ResolvedName> {
    let mut merged: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
    for ResolvedName { name, addresses } in names {
        merged.entry(name).or_default().extend(addresses);
    }
    let name = |(name, addresses): (&str, BTreeSet<IpAddr>)| ResolvedName {
        name: name.to_owned(),
        addresses: addresses.into_iter().collect(),
    };
    merged.into_iter().map(name).collect()
}
