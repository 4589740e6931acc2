//! Policies brought into the kernel of each of a lab's nodes, as an agent on each would.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use ringfence_datapath::conntrack::Conntrack;
use ringfence_datapath::{Image, Kernel, NodeView, Options, PlanError, Planner};
use ringfence_policy::Engine;
use thiserror::Error;

use crate::listen::RuleNames;
use crate::{Lab, LabError, NodeId};

/// What can go wrong while policies are brought into the kernel.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EnforceError {
    #[error("{node}: the kernel did not take the enforcement program")]
    Kernel { node: String, source: ringfence_datapath::Error },
    #[error("{node}: connection tracking could not be switched on")]
    Conntrack { node: String, source: ringfence_datapath::conntrack::Error },
    #[error("{node}: the policies could not be written; those before stay in force")]
    Apply { node: String, source: ringfence_datapath::ApplyError },
    #[error("{node}: no plan for the kernel's tables was found")]
    Plan { node: String, source: PlanError },
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// The enforcement on all nodes of a lab. Dropping it lets everything pass.
#[derive(Debug)]
pub struct Enforcement {
    nodes: Vec<Node>,
    names: RuleNames,
}

#[derive(Debug)]
struct Node {
    view: NodeView,
    kernel: Kernel,
    planner: Planner,
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
            nodes.push(Node { view, kernel, planner: Planner::new() });
        }
        Ok(Enforcement { nodes, names: RuleNames::default() })
    }

    /// Brings every node to what an engine says.
    pub fn apply(&mut self, engine: &Engine) -> Result<Change, EnforceError> {
        let start = Instant::now();
        let mut change = Change::default();
        let mut rests = Vec::new();
        for node in &mut self.nodes {
            let name = || node.view.name.clone();
            let image = Image::new(engine, &node.view);
            let ops =
                node.planner.plan(&image).map_err(|source| EnforceError::Plan { node: name(), source })?;
            change.operations += ops.len();
            // Before the switch, so that no event comes before its name.
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.extend(image.rule_names.clone());
            drop(names);
            // What comes after the switch is sweeping up, and can wait for the other nodes.
            let switched = ops.iter().position(|op| op.is_switch()).map_or(0, |at| at + 1);
            let (now, later) = ops.split_at(switched);
            node.kernel.apply(now).map_err(|source| EnforceError::Apply { node: name(), source })?;
            rests.push(later.to_vec());
        }
        change.in_force = start.elapsed();
        for (node, rest) in self.nodes.iter_mut().zip(rests) {
            let name = || node.view.name.clone();
            node.kernel.apply(&rest).map_err(|source| EnforceError::Apply { node: name(), source })?;
        }
        Ok(change)
    }

    /// The nodes' names and kernels.
    pub(crate) fn named_kernels(&self) -> impl Iterator<Item = (&str, &Kernel)> {
        self.nodes.iter().map(|n| (n.view.name.as_str(), &n.kernel))
    }

    /// What the numbers of rules stand for.
    pub(crate) fn rule_names(&self) -> RuleNames {
        self.names.clone()
    }

    /// The kernels of the nodes, in the order of the plan.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.nodes.iter().map(|n| &n.kernel)
    }
}
