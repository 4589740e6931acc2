//! The lab itself: built from a plan, gone when dropped.

use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use ringfence_datapath::conntrack::{Connections, ConnectionsError};
use ringfence_k8s::Inventory;

use crate::build::{self, BuildError, Stage};
use crate::netns::{Netns, NetnsError};
use crate::plan::{NodeId, Options, Plan, PlanError, PodId};
use crate::probe::{Outcome, Patience, Probe};
use crate::prober::{self, Round, SourcePorts};
use crate::ranges;
use crate::responder::{self, Responder, ResponderError};
use crate::wiring::{OUTSIDE, SpaceId, Wiring};

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its network could not be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its pods could not listen.
    #[error(transparent)]
    Responder(#[from] ResponderError),
    /// A namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The network was made and does not carry.
    #[error("pings get lost in the lab ({}): does a firewall of this machine hold bridged packets? See \
             /proc/sys/net/bridge", .0.join(", "))]
    Unsettled(Vec<String>),
    /// A round of probes could not be run.
    #[error("the probes could not be sent")]
    Probe(#[source] io::Error),
    /// Tracked connections could not be forgotten.
    #[error("cannot flush the tracked connections of the lab's {0}")]
    Flush(String, #[source] ConnectionsError),
    /// A command could not be started.
    #[error("cannot start a command in the lab")]
    Command(#[source] io::Error),
    /// There is no such pod or node in this lab, or an address that is not the outside's.
    #[error("there is no {0} in this lab")]
    NoSuchPlace(String),
}

/// Some seconds, for a machine that is very busy.
const SETTLING_ROUNDS: usize = 50;
const SETTLING_ROUND: Patience = Patience(Duration::from_millis(100));

/// Where something is done in a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a pod.
    Pod(PodId),
    /// On a node, in its own network.
    Node(NodeId),
    /// Outside, from this address: one of [`Options::outside`], or the outside's own of [`ranges`].
    Outside(IpAddr),
}

/// A running cluster. Dropping it takes everything down.
#[derive(Debug)]
pub struct Lab {
    plan: Plan,
    wiring: Wiring,
    // Before the namespaces: fields are dropped in this order.
    _responder: Responder,
    spaces: Vec<Netns>,
    ports: SourcePorts,
}

impl Lab {
    /// Builds the lab for these manifests. `progress` hears what is being done, how much of it is, and of how much.
    pub fn build(
        inventory: &Inventory,
        options: &Options,
        progress: &mut dyn FnMut(Stage, usize, usize),
    ) -> Result<Lab, LabError> {
        prober::raise_descriptor_limit();
        let plan = Plan::new(inventory, options)?;
        let wiring = Wiring::new(&plan);
        let spaces = build::network(&wiring, progress)?;
        let mut sockets = Vec::new();
        for (i, (space, netns)) in wiring.spaces.iter().zip(&spaces).enumerate() {
            sockets.append(&mut responder::open(space, netns, plan.dual_stack)?);
            progress(Stage::Listeners, i + 1, spaces.len());
        }
        let responder = Responder::start(sockets)?;
        let ports = SourcePorts::new(spaces.len());
        let lab = Lab { plan, wiring, _responder: responder, spaces, ports };
        lab.settle(progress)?;
        Ok(lab)
    }

    /// Waits until the network carries: the kernel brings links up in its own time, and a first round of probes must
    /// not pay for it. It also shows at once where something on this machine interferes.
    fn settle(&self, progress: &mut dyn FnMut(Stage, usize, usize)) -> Result<(), LabError> {
        let mut left = self.plan.neighbours();
        let total = left.len();
        for _ in 0..SETTLING_ROUNDS {
            progress(Stage::Settling, total - left.len(), total);
            let outcomes = self.probe(&left, SETTLING_ROUND, &mut |_, _| {})?;
            left = left
                .into_iter()
                .zip(outcomes)
                .filter(|(_, o)| *o != Outcome::Echoed)
                .map(|(p, _)| p)
                .collect();
            if left.is_empty() {
                progress(Stage::Settling, total, total);
                return self.flush_connections();
            }
        }
        let ends =
            left.iter().filter_map(|p| Some((self.wiring.spaces.get(self.space(p.from).ok()?.0)?, p.to)));
        Err(LabError::Unsettled(ends.map(|(from, to)| format!("{} to {to}", from.name)).take(3).collect()))
    }

    /// What is in it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs a closure inside a node's network, on a thread of its own.
    pub fn in_node<T: Send>(&self, node: NodeId, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        Ok(self.netns(Place::Node(node))?.run(work)?)
    }

    /// Runs a closure inside a pod's network, on a thread of its own.
    pub fn in_pod<T: Send>(&self, pod: PodId, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        Ok(self.netns(Place::Pod(pod))?.run(work)?)
    }

    /// Runs a closure in the network outside, on a thread of its own.
    pub fn outside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let netns = self.spaces.get(OUTSIDE.0).ok_or_else(|| LabError::NoSuchPlace("outside".into()))?;
        Ok(netns.run(work)?)
    }

    /// Sends all these probes at once, and says what came of each, in their order. `progress` hears how many are
    /// done, and of how many.
    ///
    /// A probe that passes is known at once; only silence takes as long as `patience`.
    pub fn probe(
        &self,
        probes: &[Probe],
        patience: Patience,
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Vec<Outcome>, LabError> {
        let place = |probe: &Probe| self.space(probe.from).map(|space| (space, *probe));
        let placed = probes.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let round = Round { wiring: &self.wiring, spaces: &self.spaces, ports: &self.ports, patience };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("lab-prober".into());
            let thread =
                thread.spawn_scoped(scope, || round.run(&placed, progress)).map_err(LabError::Probe)?;
            thread.join().map_err(|_| NetnsError::Panicked)?.map_err(LabError::Probe)
        })
    }

    /// Probes quickly, and patiently once more what was silent although `expected` says of it (by its place in
    /// `probes`) that it should pass: a denial is silence, and so is a packet that a busy machine was late with.
    pub fn probe_expecting(
        &self,
        probes: &[Probe],
        expected: impl Fn(usize) -> bool,
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Vec<Outcome>, LabError> {
        let mut outcomes = self.probe(probes, Patience::QUICK, progress)?;
        let (mut again, mut slots) = (Vec::new(), Vec::new());
        for (i, (probe, outcome)) in probes.iter().zip(&mut outcomes).enumerate() {
            if *outcome == Outcome::Silent && expected(i) {
                again.push(*probe);
                slots.push(outcome);
            }
        }
        if !again.is_empty() {
            let second = self.probe(&again, Patience::LONG, progress)?;
            slots.into_iter().zip(second).for_each(|(slot, outcome)| *slot = outcome);
        }
        Ok(outcomes)
    }

    /// Forgets every tracked connection on the nodes and outside: for between two rounds of probes, when what
    /// enforces policies has changed and passes what is established. Probes use a new source port each time, but ports are
    /// finite, and a UDP flow is remembered for half a minute.
    pub fn flush_connections(&self) -> Result<(), LabError> {
        for space in self.wiring.tracking() {
            let Some(netns) = self.spaces.get(space.0) else { continue };
            let name = || self.wiring.spaces.get(space.0).map_or_else(String::new, |s| s.name.clone());
            let flushed = netns.run(|| Connections::open()?.delete_all())?;
            flushed.map_err(|e| LabError::Flush(name(), e))?;
        }
        Ok(())
    }

    /// The namespace of a place.
    pub fn netns(&self, place: Place) -> Result<&Netns, LabError> {
        let space = self.space(place)?;
        self.spaces.get(space.0).ok_or_else(|| no_such(place))
    }

    /// Every namespace with its name.
    pub(crate) fn named_spaces(&self) -> impl Iterator<Item = (&str, &Netns)> {
        self.wiring.spaces.iter().map(|s| s.name.as_str()).zip(&self.spaces)
    }

    pub(crate) fn space(&self, place: Place) -> Result<SpaceId, LabError> {
        let space = match place {
            Place::Pod(pod) => self.wiring.pod(pod),
            Place::Node(node) => self.wiring.node(node),
            Place::Outside(address) => {
                let own = self.plan.families((ranges::OUTSIDE_V4, ranges::OUTSIDE_V6));
                self.plan.outside.iter().chain(&own).any(|a| *a == address).then_some(OUTSIDE)
            }
        };
        space.ok_or_else(|| no_such(place))
    }
}

fn no_such(place: Place) -> LabError {
    LabError::NoSuchPlace(match place {
        Place::Pod(PodId(i)) => format!("pod {i}"),
        Place::Node(NodeId(i)) => format!("node {i}"),
        Place::Outside(address) => format!("outside address {address}"),
    })
}
