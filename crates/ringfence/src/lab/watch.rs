//! `lab --watch`: when a file changes, its policies go into the kernel again, and what changed by that is shown.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use ignore::WalkBuilder;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use ringfence_lab::Lab;

use crate::cli::LabArgs;
use crate::input::{self, Input};
use crate::lab::progress::Progress;
use crate::lab::rounds::{Round, RoundName, Trial};
use crate::lab::teller::Teller;
use crate::lab::{engine, report};
use crate::terminal::Terminal;

/// Goes on until it is ended by a signal.
pub(crate) fn run(
    args: &LabArgs,
    lab: &Lab,
    first: &Input,
    mut trial: Trial,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let inotify = Inotify::init(InitFlags::empty()).context("file changes cannot be watched")?;
    watch(&inotify, &args.paths)?;
    let Some(mut enforcement) = trial.enforcement.take() else { return Ok(()) };
    let _teller = if args.events { Some(Teller::new(lab, &enforcement)?) } else { None };
    terminal.note("watching the manifests; Ctrl-C ends the lab");
    let workloads = first.inventory.workloads.clone();
    loop {
        match inotify.read_events() {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("file changes cannot be watched"),
        }
        let start = Instant::now();
        // New files and editors that replace a file by another: the watches are laid anew.
        watch(&inotify, &args.paths)?;
        let input = match input::read(&args.paths, &args.input, terminal) {
            Ok(input) => input,
            Err(error) => {
                terminal.complain(&error);
                terminal.note("the policies before stay in force");
                continue;
            }
        };
        if input.inventory.workloads.iter().map(strip).ne(workloads.iter().map(strip)) {
            terminal.note("workloads changed: the lab keeps its pods; start it again for the new ones");
        }
        let policies = engine(lab, first, &input.inventory.policies);
        let prepared = start.elapsed();
        let change = enforcement.apply(&policies).context("the policies cannot be enforced")?;
        if change.operations == 0 {
            continue;
        }
        let ms = (prepared + change.in_force).as_secs_f64() * 1e3;
        terminal.answer(&format!(
            "\npolicies changed: read, compiled and in force on every node after {ms:.1} ms ({} table operations)\n",
            change.operations
        ))?;
        lab.flush_connections()?;
        let mut progress = Progress::new();
        let round = Round::measure(lab, RoundName::After, &policies, &trial.probes, &mut progress)?;
        progress.clear();
        show(lab, &mut trial, round, terminal)?;
    }
}

/// Says what changed by the last edit, and whether it is as promised.
fn show(lab: &Lab, trial: &mut Trial, round: Round, terminal: &Terminal) -> anyhow::Result<()> {
    let palette = terminal.palette();
    if let Some(last) = trial.rounds.iter().rposition(|r| r.name == RoundName::After) {
        if let Some(before) = trial.rounds.get(last) {
            terminal.answer(&report::changes(lab.plan(), trial, before, &round, palette))?;
        }
        trial.rounds = vec![round];
    }
    let differences = trial.differences(lab);
    if differences.is_empty() {
        terminal.answer(&format!("{}\n", palette.allowed("every measurement is as the engine promised")))?;
    }
    for difference in differences {
        terminal.answer(&format!("{}\n", palette.denied(&report::describe(lab, trial, difference))))?;
    }
    Ok(())
}

fn strip(workload: &ringfence_k8s::Workload) -> ringfence_k8s::Workload {
    ringfence_k8s::Workload { source: None, ..workload.clone() }
}

fn watch(inotify: &Inotify, paths: &[PathBuf]) -> anyhow::Result<()> {
    let events = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_CREATE;
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in paths.iter().filter(|p| p.as_os_str() != "-") {
        if path.is_dir() {
            let walk = WalkBuilder::new(path).standard_filters(false).hidden(true).follow_links(true).build();
            folders.extend(
                walk.flatten()
                    .filter(|e| e.file_type().is_some_and(|t| t.is_dir()))
                    .map(|e| e.path().to_owned()),
            );
        } else {
            // A file is watched by its folder: editors write a new file and rename it.
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            folders.push(parent.unwrap_or(Path::new(".")).to_owned());
        }
    }
    for folder in folders {
        inotify
            .add_watch(&folder, events)
            .with_context(|| format!("{} cannot be watched for changes", folder.display()))?;
    }
    Ok(())
}
