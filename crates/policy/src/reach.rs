//! Who may reach whom: every pair of workloads or pods, and the world outside, with the ports.
//!
//! What is kept is not pairs. For each policy set it is what holds toward nobody in particular, and the identities
//! toward which something else holds (`sides`); pods that policies cannot tell apart share a row, and outside
//! addresses that fare alike are one range. All pairs are listed from that without a search (`walk`), or held in
//! memory as rows of small numbers (`rows`).

pub mod compare;
mod ends;
mod outside;
mod portsets;
mod row;
mod rows;
mod sides;
mod walk;

use std::net::IpAddr;
use std::rc::Rc;

use crate::engine::Engine;
use crate::model::{PodId, Workload};
use crate::portset::PortSet;
use crate::reach::ends::Pods;
use crate::reach::outside::Outside;
use crate::reach::portsets::{Asker, PortSets};
use crate::reach::sides::{Numbers, Sides};

pub use crate::reach::rows::Rows;
pub use crate::reach::walk::Connections;

/// Who may reach whom.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The ends: those with pods, by namespace and name, then outside ranges by family and address.
    pub ends: Vec<ReachEnd>,
    pods: Pods,
    outside: Outside,
    sides: Sides,
    sets: PortSets,
    numbers: Numbers,
}

/// What the ends of a map are, beside outside addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Workloads, by namespace, name and kind. Pods of one workload that policies can tell apart are ends of their own.
    #[default]
    Workloads,
    /// Pods, by namespace and name.
    Pods,
}

/// One end of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReachEnd {
    /// Pods of one workload that no policy tells apart; in the view of pods a single one.
    Pods {
        /// The namespace.
        namespace: String,
        /// The workload.
        workload: Workload,
        /// The pods, in the order of the world. Never empty.
        pods: Vec<PodId>,
        /// Whether these are all pods of the workload; otherwise there are other ends with pods of it.
        whole: bool,
    },
    /// Addresses outside, first and last included. The ranges of a map are disjoint.
    Outside {
        /// The first address.
        first: IpAddr,
        /// The last, of the same family.
        last: IpAddr,
    },
}

/// An ordered pair that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The source, a place in [`Reach::ends`].
    pub from: u32,
    /// The destination, a place in [`Reach::ends`].
    pub to: u32,
    /// What it may carry. Connections of one listing that carry the same share it.
    pub allowed: Rc<PortSet>,
}

impl Reach {
    /// The map of a compiled world, by workload.
    pub fn new(engine: &Engine) -> Reach {
        Reach::with_view(engine, View::Workloads)
    }

    /// The map of a compiled world.
    pub fn with_view(engine: &Engine, view: View) -> Reach {
        let mut numbers = Numbers::new();
        let (pods, mut ends) = Pods::new(engine, view, &mut numbers);
        let mut asker = Asker::new(engine);
        let sides = Sides::new(engine, &numbers, &mut asker);
        let (outside, ranges) = Outside::new(engine, &numbers, &sides, &mut asker);
        let sets = asker.sets;
        ends.extend(ranges);
        Reach { ends, pods, outside, sides, sets, numbers }
    }

    /// The pairs that may connect on at least one port, by place of the ends. A workload to itself is left out (in the
    /// view of pods, a pod to itself), and so is outside to outside.
    pub fn connections(&self) -> Connections<'_> {
        self.connections_of(|_| true)
    }

    /// Those of the [connections](Reach::connections) of which an end with pods is wanted. What is not listed costs
    /// nothing.
    pub fn connections_of(&self, wanted: impl Fn(&ReachEnd) -> bool) -> Connections<'_> {
        Connections::new(self, wanted)
    }

    /// Every pair's ports, in memory.
    pub fn rows(&self) -> Rows<'_> {
        Rows::new(self)
    }

    /// The same by what policies say: without the way of a node to its own pods, which they have no say in.
    pub fn rows_of_policies(&self) -> Rows<'_> {
        Rows::of_policies(self)
    }

    /// Whether all outside addresses may connect to an end with pods, each on the same ports.
    pub fn is_open_to_all_outside(&self, end: u32) -> bool {
        self.pods.get(end).is_some_and(|end| self.outside.are_alike(&self.sides, end.ingress))
    }

    /// Whether an end with pods may connect to all outside addresses, to each on the same ports.
    pub fn may_reach_all_outside(&self, end: u32) -> bool {
        self.pods.get(end).is_some_and(|end| self.outside.are_alike(&self.sides, end.egress))
    }
}
