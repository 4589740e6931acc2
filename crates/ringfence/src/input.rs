//! From paths, or a cluster, to an engine: read, report what is wrong, compile.

use std::collections::{BTreeMap, BTreeSet};
use std::io::stdin;
use std::net::IpAddr;
use std::path::PathBuf;

use ringfence_k8s::{Inventory, Level, Manifest, ReadOptions, Reader, Reading, Sources};
use ringfence_policy::{Engine, ResolvedName, World};

use crate::cli::InputArgs;
use crate::cluster;
use crate::complaint::Complaint;
use crate::diagnostics;
use crate::files::{self, Files};
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
    let (world, reading) = reported(gathered, args, terminal, Level::Note)?;
    Ok(Input {
        engine: Engine::new(world),
        inventory: reading.inventory,
        sources: reading.sources,
        manifests: reading.manifests,
    })
}

/// Reads texts and reports what is wrong with them from a level on.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn parse(
    files: Files,
    args: &InputArgs,
    terminal: &Terminal,
    keep_manifests: bool,
    least: Level,
) -> anyhow::Result<(World, Reading)> {
    reported(gather_files(files, args, terminal, keep_manifests), args, terminal, least)
}

/// Reads the cluster of a context, empty for the one that the arguments name, and reports as [`parse`] does.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn of_cluster(
    context: &str,
    args: &InputArgs,
    terminal: &Terminal,
    least: Level,
) -> anyhow::Result<(World, Reading)> {
    let context = Some(context).filter(|name| !name.is_empty());
    reported(gather_cluster(context, args, terminal, false)?, args, terminal, least)
}

fn reported(
    gathered: Gathered,
    args: &InputArgs,
    terminal: &Terminal,
    least: Level,
) -> anyhow::Result<(World, Reading)> {
    let Gathered { reading, problems } = gathered;
    for finding in reading.findings.iter().filter(|finding| finding.level >= least) {
        terminal.aside(&diagnostics::finding(finding, &reading.sources, terminal.colors_errors()));
    }
    let errors = reading.findings.iter().filter(|f| f.level == Level::Error).count() + problems;
    if errors > 0 && !args.skip_invalid {
        return Err(unreadable(errors).into());
    }
    Ok((world(&reading.inventory, args), reading))
}

/// What was read, with its findings not reported yet.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) reading: Reading,
    /// How many files or folders could not be read; these are reported.
    pub(crate) problems: usize,
}

/// Reads all paths, or without one the cluster, and reports files that cannot be read on standard error.
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
        return gather_cluster(None, args, terminal, keep_manifests);
    }
    Ok(gather_files(files::read(paths, &mut stdin().lock()), args, terminal, keep_manifests))
}

fn gather_cluster(
    context: Option<&str>,
    args: &InputArgs,
    terminal: &Terminal,
    keep_manifests: bool,
) -> anyhow::Result<Gathered> {
    let mut reader = reader(args, keep_manifests);
    cluster::read(context, args, terminal)?.iter().for_each(|list| reader.node(list));
    Ok(Gathered { reading: reader.finish(), problems: 0 })
}

fn reader(args: &InputArgs, keep_manifests: bool) -> Reader {
    Reader::new(ReadOptions { default_namespace: args.default_namespace().to_owned(), keep_manifests })
}

fn gather_files(files: Files, args: &InputArgs, terminal: &Terminal, keep_manifests: bool) -> Gathered {
    for problem in &files.problems {
        let complaint = Complaint::new(format!("{}: {}", problem.path, problem.message)).help(&problem.help);
        terminal.complain(&complaint.into());
    }
    let mut reader = reader(args, keep_manifests);
    for (name, bytes) in files.contents {
        reader.bytes(name, bytes);
    }
    Gathered { reading: reader.finish(), problems: files.problems.len() }
}

/// Why there is no answer where some of the input could not be read.
pub(crate) fn unreadable(errors: usize) -> Complaint {
    let what = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
    Complaint::new(format!("{what} in the input: no answer, it would leave out what could not be read"))
        .help("--skip-invalid answers without what could not be read")
}

/// The engine of an inventory, with what the arguments say beside it.
pub(crate) fn engine(inventory: &Inventory, args: &InputArgs) -> Engine {
    Engine::new(world(inventory, args))
}

fn world(inventory: &Inventory, args: &InputArgs) -> World {
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
