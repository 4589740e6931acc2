//! Policies brought into the kernel of each of a lab's nodes, as an agent on each would.

use std::time::{Duration, Instant};

use ringfence_datapath::conntrack::Conntrack;
use ringfence_datapath::{Enforcer, EnforcerError, Kernel, NodeView, Options};
use ringfence_policy::Engine;
use thiserror::Error;

use crate::{Lab, LabError, NodeId};

/// What can go wrong while policies are brought into the kernel.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EnforceError {
    #[error("{node}: the kernel did not take the enforcement program")]
    Kernel { node: String, source: ringfence_datapath::Error },
    #[error("{node}: connection tracking could not be switched on")]
    Conntrack { node: String, source: ringfence_datapath::conntrack::Error },
    #[error("{node}: not every node has the new policies")]
    Apply { node: String, source: EnforcerError },
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// The enforcement on all nodes of a lab. Dropping it lets everything pass.
#[derive(Debug)]
pub struct Enforcement {
    nodes: Vec<Enforcer>,
}

/// What a change of policies took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Operations on the kernel's tables, over all nodes.
    pub operations: usize,
    /// From the start until the last node judges by the new policies.
    pub in_force: Duration,
}

impl Enforcement {
    /// Loads and attaches the program on every node. Nothing is isolated yet.
    pub fn attach(lab: &Lab) -> Result<Enforcement, EnforceError> {
        let mut nodes = Vec::new();
        for (place, node) in lab.plan().nodes.iter().enumerate() {
            let name = || node.name.clone();
            let attached = lab.in_node(NodeId(place), || {
                // It goes with the namespace; dropped, it would look for its table in another one.
                Conntrack::ensure()
                    .map_err(|source| EnforceError::Conntrack { node: name(), source })?
                    .keep();
                let kernel = |source| EnforceError::Kernel { node: name(), source };
                let mut loaded = Kernel::load(&Options::default()).map_err(kernel)?;
                loaded.attach().map_err(kernel)?;
                Ok(loaded)
            })?;
            let kernel = attached.map_err(|e: EnforceError| e)?;
            let view = NodeView {
                name: name(),
                pod_ranges: lab.plan().pod_ranges(NodeId(place)),
                ..NodeView::default()
            };
            nodes.push(Enforcer::fresh(kernel, view));
        }
        Ok(Enforcement { nodes })
    }

    /// Brings every node to what an engine says.
    pub fn apply(&mut self, engine: &Engine) -> Result<Change, EnforceError> {
        let start = Instant::now();
        let mut change = Change::default();
        let failed = |node: &Enforcer| {
            let node = node.view().name.clone();
            |source| EnforceError::Apply { node, source }
        };
        for node in &mut self.nodes {
            change.operations += node.switch(engine).map_err(failed(node))?;
        }
        change.in_force = start.elapsed();
        // What comes after the switch is sweeping up, and could wait for the other nodes.
        for node in &mut self.nodes {
            node.sweep().map_err(failed(node))?;
        }
        Ok(change)
    }

    /// The nodes' kernels, with what they have loaded.
    pub(crate) fn nodes(&self) -> &[Enforcer] {
        &self.nodes
    }

    /// How many events found no room in the kernels' rings, over all nodes.
    pub fn events_lost(&self) -> Result<u64, EnforceError> {
        self.nodes.iter().try_fold(0, |lost: u64, node| {
            let counters = node.kernel().counters();
            let counters =
                counters.map_err(|source| EnforceError::Kernel { node: node.view().name.clone(), source })?;
            Ok(lost.saturating_add(counters.events_lost))
        })
    }

    /// The kernels of the nodes, in the order of the plan.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.nodes.iter().map(Enforcer::kernel)
    }
}
