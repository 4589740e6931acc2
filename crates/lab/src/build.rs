//! Makes what the wiring says: settings, links, addresses, routes and rules, by `ip` and `nft` run inside each
//! namespace.
//!
//! The machine's own namespace is not touched: links are made inside one namespace of the lab with their other end in
//! another. There is one `ip` process for each namespace, and an `nft` where there are rules.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::{fs, thread};

use crate::netns::{Netns, NetnsError};
use crate::wiring::{Space, Wiring};

/// What the lab is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Making namespaces.
    Namespaces,
    /// Joining and configuring them.
    Network,
    /// Opening the pods' ports.
    Listeners,
    /// Waiting until the nodes reach each other, the outside and their pods.
    Settling,
}

/// Why the network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A namespace could not be made or entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A program could not be run.
    #[error("cannot run `{program}`, which the lab needs: install {package}")]
    Program {
        /// The program.
        program: &'static str,
        /// What brings it.
        package: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program said no.
    #[error("`{program}` failed in the lab's {space}: {said}")]
    Refused {
        /// The program.
        program: &'static str,
        /// The namespace that it worked in.
        space: String,
        /// Its words.
        said: String,
    },
    /// A kernel setting that the lab needs could not be written.
    #[error(
        "cannot set net/{path} in the lab's {space}: is /proc/sys read-only, as in a container, or IPv6 switched off?"
    )]
    Setting {
        /// The setting.
        path: String,
        /// The namespace.
        space: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Where links are counted from, in the namespace that makes them.
const FIRST_INDEX: usize = 1000;

/// Makes all namespaces and what is in them, but for the listeners.
pub(crate) fn network(
    wiring: &Wiring,
    progress: &mut dyn FnMut(Stage, usize, usize),
) -> Result<Vec<Netns>, BuildError> {
    let total = wiring.spaces.len();
    progress(Stage::Namespaces, 0, total);
    let spaces = Netns::create(total)?;
    progress(Stage::Namespaces, total, total);
    let all: Vec<(&Space, &Netns)> = wiring.spaces.iter().zip(&spaces).collect();
    for (space, netns) in &all {
        netns.run(|| apply_settings(space))??;
    }
    // The fabric makes the links of the nodes, the nodes those of the pods; all that is left can go side by side.
    let makers = all.iter().take_while(|(space, _)| !space.nft.is_empty() || !space.links.is_empty()).count();
    let (first, rest) = all.split_at(makers);
    let mut done = 0;
    for (space, netns) in first {
        netns.run(|| configure(space, &spaces))??;
        done += 1;
        progress(Stage::Network, done, total);
    }
    side_by_side(
        rest,
        |(space, netns)| netns.run(|| configure(space, &spaces))?,
        |count| {
            progress(Stage::Network, done + count, total);
        },
    )?;
    Ok(spaces)
}

/// Does the work for all items on as many threads as there are processors, and stops at the first error.
fn side_by_side<I: Sync>(
    items: &[I],
    work: impl Fn(&I) -> Result<(), BuildError> + Sync,
    mut progress: impl FnMut(usize),
) -> Result<(), BuildError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).clamp(1, 8);
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(item);
                    if result.is_err() {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                    if send.send(result).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut outcome = Ok(());
        for (i, result) in receive.iter().enumerate() {
            progress(i + 1);
            outcome = outcome.and(result);
        }
        outcome
    })
}

/// Runs inside the namespace: `/proc/sys/net` is that of the thread that looks.
fn apply_settings(space: &Space) -> Result<(), BuildError> {
    for setting in &space.sysctls {
        match fs::write(format!("/proc/sys/net/{}", setting.path), setting.value) {
            Err(source) if setting.required => {
                return Err(BuildError::Setting {
                    path: setting.path.clone(),
                    space: space.name.clone(),
                    source,
                });
            }
            Err(_) | Ok(()) => {}
        }
    }
    Ok(())
}

/// Runs inside the namespace.
fn configure(space: &Space, spaces: &[Netns]) -> Result<(), BuildError> {
    let mut batch = String::new();
    for link in &space.links {
        let Some(to) = spaces.get(link.to.0) else { continue };
        let path = to.path();
        let (name, path) = (&link.name, path.display());
        // If both ends had the same number, each in its namespace, the kernel would take the pair for a plain device
        // and might take a second to announce that it is up; IPv6 waits for that.
        // <https://github.com/torvalds/linux/blob/v6.18/net/core/link_watch.c#L81>
        let _ = writeln!(
            batch,
            "link add {name} index {} type veth peer name eth0 netns {path}",
            FIRST_INDEX + link.to.0
        );
    }
    batch.push_str(&space.ip);
    run("ip", "iproute2", &["-batch", "-"], &batch, space)?;
    if !space.nft.is_empty() {
        run("nft", "nftables", &["-f", "-"], &space.nft, space)?;
    }
    Ok(())
}

fn run(
    program: &'static str,
    package: &'static str,
    arguments: &[&str],
    input: &str,
    space: &Space,
) -> Result<(), BuildError> {
    let failed = |source| BuildError::Program { program, package, source };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    // A program that refuses stops reading: what it says is worth more than the broken pipe.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let said = explain(&said, input);
        return Err(BuildError::Refused { program, space: space.name.clone(), said });
    }
    written.map_err(failed)
}

/// `ip -batch` names the line that failed by its number only.
fn explain(said: &str, input: &str) -> String {
    let number = said.rsplit("Command failed -:").next().and_then(|n| n.trim().parse::<usize>().ok());
    match number.and_then(|n| input.lines().nth(n.saturating_sub(1))) {
        Some(line) => format!("{said} ({line})"),
        None => said.to_owned(),
    }
}
