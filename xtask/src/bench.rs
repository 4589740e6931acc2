//! `xtask bench`: the figures that the design must reach, as one table.
//!
//! Everything that is measured is the real thing: rows made by engine, image and planner from generated policies, and
//! packets between namespaces that the lab makes. Those and the BPF program go with this process; the machine's own
//! network is not touched. Nothing is compared with an earlier run: machines are too noisy for that, so what is
//! compared is measured in turns.

mod change;
mod decision;
mod enforcer;
mod load;
mod machine;
mod network;
mod report;
mod scenario;
mod statistics;

use std::time::Duration;

use anyhow::bail;

use crate::bench::machine::Machine;
use crate::bench::report::Report;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Measure for a moment only, to see that everything runs; the figures mean little
    #[arg(long)]
    quick: bool,
}

/// How long, how often and with how many policies.
#[derive(Debug, Clone)]
struct Effort {
    /// The numbers of policies for the kernel's decision.
    decision_policies: &'static [u32],
    /// Runs of each decision; the best counts.
    decision_runs: u32,
    /// Decisions in a run.
    decision_repeats: u32,
    /// The numbers of policies on the way of traffic.
    network_policies: &'static [u32],
    /// Rounds of traffic; in each every variant has one window.
    rounds: usize,
    /// How long one window is measured.
    window: Duration,
    /// What is not measured after a switch from one variant to another.
    settle: Duration,
    /// Edits of a policy, back and forth counted as two.
    edits: usize,
}

impl Effort {
    const FULL: Effort = Effort {
        decision_policies: &[10, 10_000],
        decision_runs: 30,
        decision_repeats: 100_000,
        network_policies: &[10, 1_000, 10_000],
        rounds: 25,
        window: Duration::from_millis(200),
        settle: Duration::from_millis(60),
        edits: 100,
    };

    const QUICK: Effort = Effort {
        decision_policies: &[10, 1_000],
        decision_runs: 3,
        decision_repeats: 10_000,
        network_policies: &[10],
        rounds: 2,
        window: Duration::from_millis(50),
        settle: Duration::from_millis(20),
        edits: 6,
    };
}

/// Measures, and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the benchmarks make network namespaces and load a BPF program: run them as root (make bench)");
    }
    let missing = ringfence_datapath::requirements::missing();
    if !missing.is_empty() {
        let what: Vec<String> = missing.iter().map(ToString::to_string).collect();
        bail!("this machine cannot enforce policies: {}", what.join("; "));
    }
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let mut report = Report::new(Machine::read());
    progress("decisions");
    decision::measure(&effort, &mut report)?;
    progress("traffic");
    network::measure(&effort, &mut report)?;
    progress("changes");
    change::measure(&effort, &mut report)?;
    if arguments.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

/// A full run takes minutes.
fn progress(what: &str) {
    eprintln!("measuring {what} ...");
}
