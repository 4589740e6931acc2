//! From paths to an engine: read, report what is wrong, compile.

use std::collections::{BTreeMap, BTreeSet};
use std::io::stdin;
use std::net::IpAddr;
use std::path::PathBuf;

use ringfence_k8s::{Inventory, Level, Manifest, ReadOptions, Reader, Reading, Sources};
use ringfence_policy::{Engine, ResolvedName, World};

use crate::cli::InputArgs;
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

/// Reads all paths and reports all that is wrong with them on standard error.
///
/// # Errors
///
/// If no path is given, or something could not be read that `--skip-invalid` does not excuse.
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
    if paths.is_empty() {
        return Err(Complaint::new(
            "no manifests are named, and this version does not read from a cluster yet",
        )
        .help("name files or folders, or - for standard input")
        .help("for what runs: kubectl get ns,pods,svc,netpol -A -o yaml | ringfence ... -")
        .into());
    }
    let files = files::read(paths, &mut stdin().lock());
    let (world, reading) = parse(files, args, terminal, keep_manifests, Level::Note)?;
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
    for problem in &files.problems {
        let complaint = Complaint::new(format!("{}: {}", problem.path, problem.message)).help(&problem.help);
        terminal.complain(&complaint.into());
    }
    let options = ReadOptions { default_namespace: args.default_namespace().to_owned(), keep_manifests };
    let mut reader = Reader::new(options);
    for (name, bytes) in files.contents {
        reader.bytes(name, bytes);
    }
    let reading = reader.finish();
    for finding in reading.findings.iter().filter(|finding| finding.level >= least) {
        terminal.aside(&diagnostics::finding(finding, &reading.sources, terminal.colors_errors()));
    }
    let errors = reading.findings.iter().filter(|f| f.level == Level::Error).count() + files.problems.len();
    if errors > 0 && !args.skip_invalid {
        let what = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
        return Err(Complaint::new(format!(
            "{what} in the input: no answer, it would leave out what could not be read"
        ))
        .help("--skip-invalid answers without what could not be read")
        .into());
    }
    let mut world = reading.inventory.world();
    world.pod_cidrs.clone_from(&args.pod_cidrs);
    world.names = merged(&args.names);
    Ok((world, reading))
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
