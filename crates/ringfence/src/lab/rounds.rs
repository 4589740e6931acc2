//! Rounds of probes: without the policies, with them, without them again; each with what the engine promises.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use ringfence_k8s::Inventory;
use ringfence_lab::enforce::{Change, Enforcement};
use ringfence_lab::listen::{Listener, Told};
use ringfence_lab::trial::Promise;
use ringfence_lab::{Lab, MatrixOptions, Outcome, Place, Probe};
use ringfence_policy::{Engine, Policy, Traffic};

use crate::lab::progress::Progress;

/// Everything that was asked of the lab, and what came of it.
#[derive(Debug)]
pub(crate) struct Trial {
    /// What was sent in each round.
    pub(crate) probes: Vec<Probe>,
    /// The rounds, in order.
    pub(crate) rounds: Vec<Round>,
    /// What it took to bring the policies into the kernel.
    pub(crate) change: Option<Change>,
    /// What the kernels told of the round with the policies.
    pub(crate) told: Vec<Told>,
    /// How many events found no room, or could not be read.
    pub(crate) untold: u64,
    /// What enforces, for whoever goes on.
    pub(crate) enforcement: Option<Enforcement>,
}

/// One round.
#[derive(Debug)]
pub(crate) struct Round {
    /// Which.
    pub(crate) name: RoundName,
    /// By probe.
    pub(crate) promises: Vec<Promise>,
    /// By probe.
    pub(crate) outcomes: Vec<Outcome>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Which round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoundName {
    /// No policy is in the kernel.
    Before,
    /// The policies are.
    After,
    /// They have been removed.
    Removed,
}

impl RoundName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            RoundName::Before => "before",
            RoundName::After => "after",
            RoundName::Removed => "removed",
        }
    }
}

/// A measurement that is not what the engine promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difference {
    /// A place in [`Trial::rounds`].
    pub(crate) round: usize,
    /// A place in [`Trial::probes`].
    pub(crate) probe: usize,
}

impl Trial {
    /// Probes before the policies, and if they are to be enforced after, and once more when they are gone.
    pub(crate) fn run(
        lab: &Lab,
        inventory: &Inventory,
        enforce: bool,
        progress: &mut Progress,
    ) -> anyhow::Result<Trial> {
        let probes = lab.plan().matrix(&MatrixOptions { services: true, ..MatrixOptions::default() });
        let engine = |policies: &[Policy]| Engine::new(lab.plan().world(inventory, policies));
        let (open, held) = (engine(&[]), engine(&inventory.all_policies()));
        let mut trial = Trial {
            probes,
            rounds: Vec::new(),
            change: None,
            told: Vec::new(),
            untold: 0,
            enforcement: None,
        };
        trial.round(lab, RoundName::Before, &open, progress)?;
        if enforce {
            let mut enforcement = Enforcement::attach(lab).context("the policies cannot be enforced")?;
            let listener = Listener::new(&enforcement).context("the kernel's events cannot be read")?;
            for (name, engine) in [(RoundName::After, &held), (RoundName::Removed, &open)] {
                let change = enforcement.apply(engine).context("the policies cannot be enforced")?;
                trial.change.get_or_insert(change);
                trial.round(lab, name, engine, progress)?;
                if name == RoundName::After {
                    trial.told = listener.take();
                    trial.untold = listener.unreadable() + enforcement.events_lost()?;
                }
            }
            enforcement.apply(&held).context("the policies cannot be enforced")?;
            trial.enforcement = Some(enforcement);
        }
        progress.clear();
        Ok(trial)
    }

    fn round(
        &mut self,
        lab: &Lab,
        name: RoundName,
        engine: &Engine,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        lab.flush_connections()?;
        let round = Round::measure(lab, name, engine, &self.probes, progress)?;
        self.rounds.push(round);
        Ok(())
    }

    /// A round by its name.
    pub(crate) fn find(&self, name: RoundName) -> Option<&Round> {
        self.rounds.iter().find(|r| r.name == name)
    }

    /// How many of the connections between pods, or with a pod, that passed and that were dropped under the policies were
    /// told in an event, and how many there were: passed, then dropped.
    pub(crate) fn told_of(&self, lab: &Lab) -> [(usize, usize); 2] {
        let told: HashSet<_> = self
            .told
            .iter()
            .map(|t| {
                (
                    t.event.source,
                    t.event.destination,
                    t.event.protocol,
                    t.event.destination_port,
                    t.event.allowed,
                )
            })
            .collect();
        let mut counts = [(0, 0); 2];
        let after = self.find(RoundName::After);
        for (probe, outcome) in self.probes.iter().zip(after.into_iter().flat_map(|r| &r.outcomes)) {
            let Some(from) = lab.plan().source_address(probe.from, probe.to) else { continue };
            let Some(to) = lab.plan().place_of(probe.to) else { continue };
            if ![probe.from, to].iter().any(|p| matches!(p, Place::Pod(_))) {
                continue;
            }
            let (protocol, port) = match probe.traffic {
                Traffic::Port(protocol, port) => (protocol.number(), port),
                Traffic::Other if probe.to.is_ipv4() => (1, 0),
                Traffic::Other => (58, 0),
            };
            let [passed, dropped] = &mut counts;
            let count = if outcome.passed() { passed } else { dropped };
            count.0 += usize::from(told.contains(&(from, probe.to, protocol, port, outcome.passed())));
            count.1 += 1;
        }
        counts
    }

    /// What was not as promised.
    pub(crate) fn differences(&self, lab: &Lab) -> Vec<Difference> {
        let rounds = self.rounds.iter().enumerate();
        rounds.flat_map(|(round, r)| r.broken(lab).map(move |probe| Difference { round, probe })).collect()
    }
}

impl Round {
    /// Sends the probes, and once more and patiently those that were silent against the promise: a busy machine can be
    /// late, but a packet that is dropped stays away.
    pub(crate) fn measure(
        lab: &Lab,
        name: RoundName,
        engine: &Engine,
        probes: &[Probe],
        progress: &mut Progress,
    ) -> anyhow::Result<Round> {
        let start = Instant::now();
        let promises: Vec<Promise> = probes.iter().map(|p| Promise::new(engine, lab.plan(), p)).collect();
        let expected = |i: usize| promises.get(i).is_some_and(Promise::must_pass);
        let what =
            format!("probing {} the policies", if name == RoundName::After { "with" } else { "without" });
        let (sender, receiver) = std::sync::mpsc::channel();
        let outcomes = std::thread::scope(|scope| {
            let work = scope.spawn(move || {
                lab.probe_expecting(probes, expected, &mut move |done, total| {
                    // Who shows it may have stopped; the probes go on.
                    let _ = sender.send((done, total));
                })
            });
            for (done, total) in receiver {
                progress.show(&what, done, total);
            }
            work.join()
        });
        let outcomes = outcomes.map_err(|_| anyhow::anyhow!("the probes stopped half-way"))??;
        Ok(Round { name, promises, outcomes, took: start.elapsed() })
    }

    /// The probes whose promise was not kept.
    pub(crate) fn broken<'a>(&'a self, lab: &'a Lab) -> impl Iterator<Item = usize> + 'a {
        let pairs = self.promises.iter().zip(&self.outcomes).enumerate();
        pairs.filter(|(_, (promise, outcome))| !promise.is_kept(lab.plan(), outcome)).map(|(i, _)| i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::report::describe;
    use ringfence_k8s::{ReadOptions, read};
    use ringfence_lab::Options;

    /// Policies that nobody enforces: the lab must not say that all is as promised.
    #[test]
    fn a_promise_that_is_not_kept_is_found() {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "the lab's tests need root");
            println!("skipped: needs root");
            return;
        }
        let pod = |name: &str| {
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop}}, \
                  spec: {{containers: [{{ports: [{{containerPort: 80}}]}}]}}}}\n---\n"
            )
        };
        let deny = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, \
                    spec: {podSelector: {}}}";
        let text = [pod("a"), pod("b"), deny.to_owned()].concat();
        let inventory = read([("shop.yaml", text.as_str())], &ReadOptions::default()).inventory;
        let lab = Lab::build(&inventory, &Options::default(), &mut |_, _, _| {}).unwrap();
        let mut trial = Trial::run(&lab, &inventory, false, &mut Progress::new()).unwrap();
        assert_eq!(trial.differences(&lab), []);
        let held = Engine::new(lab.plan().world(&inventory, &inventory.all_policies()));
        trial.round(&lab, RoundName::After, &held, &mut Progress::new()).unwrap();
        let differences = trial.differences(&lab);
        assert!(!differences.is_empty());
        let port_80 = "after: shop/a -> shop/b TCP 80: promised to be dropped (isolated, and no rule allows it); \
                       measured: answered by shop/b";
        assert!(differences.iter().any(|d| describe(&lab, &trial, *d) == port_80));
    }
}
