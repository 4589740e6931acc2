//! `lab --watch`: when a file changes, its policies go into the kernel again, and what changed by that is shown.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use ignore::WalkBuilder;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use ringfence_lab::Lab;
use ringfence_policy::Engine;

use crate::cli::LabArgs;
use crate::complaint::Complaint;
use crate::input::{self, Input};
use crate::lab::progress::Progress;
use crate::lab::report;
use crate::lab::rounds::{Round, RoundName, Trial};
use crate::lab::teller::Teller;
use crate::terminal::Terminal;

/// An editor renames, creates and writes; what it does within this time is one edit. It counts as time to take hold.
const EDIT_MS: u8 = 4;

/// Hears of changed files.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// From now on.
    pub(crate) fn new(paths: &[PathBuf]) -> anyhow::Result<Watch> {
        if paths.iter().any(|p| p.as_os_str() == "-") {
            return Err(Complaint::new("standard input cannot be watched: it can be read only once")
                .help("name files or folders")
                .into());
        }
        let inotify = Inotify::init(InitFlags::empty()).context("file changes cannot be watched")?;
        watch(&inotify, paths)?;
        Ok(Watch { inotify })
    }

    /// Waits for an edit, and for its end; says when it began.
    fn wait(&self, paths: &[PathBuf]) -> anyhow::Result<Instant> {
        let mut timeout = PollTimeout::NONE;
        let mut began = None;
        loop {
            let mut ready = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, timeout) {
                // New files and editors that replace a file by another: the watches are laid anew.
                Ok(0) => {
                    watch(&self.inotify, paths)?;
                    return Ok(began.unwrap_or_else(Instant::now));
                }
                Ok(_) => {
                    began.get_or_insert_with(Instant::now);
                    self.inotify.read_events().context("file changes cannot be watched")?;
                    timeout = PollTimeout::from(EDIT_MS);
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("file changes cannot be watched"),
            }
        }
    }
}

/// Goes on until it is ended by a signal.
pub(crate) fn run(
    args: &LabArgs,
    lab: &Lab,
    first: &Input,
    mut trial: Trial,
    watch: &Watch,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let Some(mut enforcement) = trial.enforcement.take() else { return Ok(()) };
    let _teller = if args.events { Some(Teller::new(lab, &enforcement)?) } else { None };
    terminal.note("watching the manifests; Ctrl-C ends the lab");
    let mut shown = first.inventory.clone();
    loop {
        let start = watch.wait(&args.paths)?;
        let input = match input::read(&args.paths, &args.input, terminal) {
            Ok(input) => input,
            Err(error) => {
                terminal.complain(&error);
                terminal.note("the policies before stay in force");
                continue;
            }
        };
        if input.inventory.workloads.iter().map(strip).ne(shown.workloads.iter().map(strip)) {
            terminal.note("workloads changed: the lab keeps its pods; start it again for the new ones");
        }
        // Labels of namespaces decide at once, as policies do.
        shown.namespaces.clone_from(&input.inventory.namespaces);
        shown.nodes.clone_from(&input.inventory.nodes);
        let policies = Engine::new(lab.plan().world(&shown, &input.inventory.all_policies()));
        let prepared = start.elapsed();
        let change = match enforcement.apply(&policies).context("the policies cannot be enforced") {
            Ok(change) => change,
            Err(error) => {
                terminal.complain(&error);
                continue;
            }
        };
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
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_DELETE_SELF;
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
        match inotify.add_watch(&folder, events) {
            // Gone, or never there: who reads it says so, and another one may come to its place.
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(error) => {
                let context = format!("{} cannot be watched for changes", folder.display());
                return Err(error).context(context);
            }
        }
    }
    Ok(())
}
