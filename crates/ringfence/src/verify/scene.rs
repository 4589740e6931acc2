//! The map as assertions see it: its ends, cut so that each part is meant wholly or not at all, and what may pass between
//! two of them.
//!
//! A node's way to its own pods is left out, since no policy has a say in it, and so are addresses that are somebody's and
//! those of ranges in which pods live: they are not outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::{End, Engine, Mapped, Pod, PodId, PortSet, ReachEnd, Rows};

use super::selector::Selector;
use crate::ranges::{self, Range};

/// On which side of an assertion a pod stands that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    From,
    To,
}

/// A map, and what is asked of it again and again.
pub(super) struct Scene<'m> {
    mapped: &'m Mapped,
    rows: Rows<'m>,
    /// The pods that are not there yet, and the namespaces.
    new_pods: BTreeMap<PodId, Role>,
    new_namespaces: BTreeSet<String>,
    /// Addresses that are not outside.
    taken: BTreeSet<IpAddr>,
    /// Where an assertion's addresses, and those in which pods live, begin and end.
    cuts: Vec<IpNet>,
}

/// A part of an end that is meant wholly or not at all.
pub(super) struct Party<'m> {
    /// Its place in the map.
    place: u32,
    end: &'m ReachEnd,
    who: Who,
    pub(super) is_meant: bool,
}

enum Who {
    Pods(Vec<PodId>),
    /// Addresses, and one of them that nobody has.
    Outside {
        first: IpAddr,
        last: IpAddr,
        free: IpAddr,
    },
}

/// One connection that stands for all between two parties.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) from: End,
    pub(super) to: End,
}

impl<'m> Scene<'m> {
    /// `cuts` are the ranges of addresses that assertions name.
    pub(super) fn new(
        mapped: &'m Mapped,
        new_pods: BTreeMap<PodId, Role>,
        new_namespaces: BTreeSet<String>,
        cuts: Vec<IpNet>,
    ) -> Scene<'m> {
        let engine = mapped.engine();
        let cuts = cuts.into_iter().chain(engine.pod_cidrs().iter().copied()).collect();
        let (rows, taken) = (mapped.reach().rows_of_policies(), taken(engine));
        Scene { mapped, rows, new_pods, new_namespaces, taken, cuts }
    }

    pub(super) fn engine(&self) -> &'m Engine {
        self.mapped.engine()
    }

    pub(super) fn is_new(&self, pod: PodId) -> bool {
        self.new_pods.contains_key(&pod)
    }

    pub(super) fn is_new_namespace(&self, name: &str) -> bool {
        self.new_namespaces.contains(name)
    }

    /// The ends, cut by what selectors of one side mean.
    pub(super) fn parties(&self, selectors: &[Selector], role: Role) -> Vec<Party<'m>> {
        let mut parties = Vec::new();
        for (place, end) in (0u32..).zip(&self.mapped.reach().ends) {
            match end {
                ReachEnd::Pods { pods, .. } => {
                    let here = pods.iter().filter(|p| self.new_pods.get(p).is_none_or(|r| *r == role));
                    let (meant, others): (Vec<PodId>, Vec<PodId>) =
                        here.partition(|pod| self.means(selectors, **pod));
                    for (pods, is_meant) in [(meant, true), (others, false)] {
                        if !pods.is_empty() {
                            parties.push(Party { place, end, who: Who::Pods(pods), is_meant });
                        }
                    }
                }
                ReachEnd::Outside { first, last } => {
                    for (first, last) in self.pieces(*first, *last) {
                        let Some(free) = self.free(first, last) else { continue };
                        let is_meant = selectors.iter().any(|s| s.means_address(free));
                        let who = Who::Outside { first, last, free };
                        parties.push(Party { place, end, who, is_meant });
                    }
                }
            }
        }
        parties
    }

    fn means(&self, selectors: &[Selector], id: PodId) -> bool {
        let Some(pod) = self.engine().pod(id) else { return false };
        let in_new = self.is_new_namespace(&pod.namespace);
        match self.is_new(id) {
            true => selectors.iter().any(|s| s.means_new(self.engine(), pod, in_new)),
            false => selectors.iter().any(|s| s.means(self.engine(), pod)),
        }
    }

    /// A range, cut where the ranges of the assertion begin and end, without those of pods.
    fn pieces(&self, first: IpAddr, last: IpAddr) -> Vec<Range> {
        let pieces = ranges::pieces(&self.cuts, first, last).into_iter();
        pieces.flat_map(|(first, last)| ranges::without(self.engine().pod_cidrs(), first, last)).collect()
    }

    fn free(&self, first: IpAddr, last: IpAddr) -> Option<IpAddr> {
        free(&self.taken, first, last)
    }

    /// What may pass between two parties, where anything can be said of them.
    pub(super) fn allowed(&self, from: &Party<'_>, to: &Party<'_>) -> Option<&PortSet> {
        self.rows.allowed(from.place, to.place)
    }

    /// A connection between two parties that policies decide; whether there are others between them, which they do not:
    /// those of a node to its own pods.
    pub(super) fn pair(&self, from: &Party<'_>, to: &Party<'_>) -> (Option<Pair>, bool) {
        let (Who::Pods(sources), Who::Pods(targets)) = (&from.who, &to.who) else {
            return (from.any().zip(to.any()).map(|(from, to)| Pair { from, to }), false);
        };
        let pod = |id: &PodId| self.engine().pod(*id);
        let is_of_node = |id: &PodId| pod(id).is_some_and(|p| p.host_network && p.node.is_some());
        if !sources.first().is_some_and(is_of_node) || targets.first().is_some_and(is_of_node) {
            return (from.any().zip(to.any()).map(|(from, to)| Pair { from, to }), false);
        }
        let node = |id: &PodId| pod(id).and_then(|p| p.node.as_deref());
        let apart = |from: &PodId, to: &PodId| node(from).is_none() || node(from) != node(to);
        let nodes: BTreeSet<&str> = targets.iter().filter_map(node).collect();
        let has_own = sources.iter().filter_map(node).any(|name| nodes.contains(name));
        let first = sources.first().into_iter().flat_map(|s| targets.iter().map(move |t| (s, t)));
        let second = targets.first().into_iter().flat_map(|t| sources.iter().map(move |s| (s, t)));
        let found = first.chain(second).find(|(from, to)| apart(from, to));
        (found.map(|(from, to)| Pair { from: End::Pod(*from), to: End::Pod(*to) }), has_own)
    }
}

impl Party<'_> {
    fn any(&self) -> Option<End> {
        match &self.who {
            Who::Pods(pods) => pods.first().map(|pod| End::Pod(*pod)),
            Who::Outside { free, .. } => Some(End::Address(*free)),
        }
    }

    /// How addresses are called: all of them.
    pub(super) fn range(&self) -> Option<String> {
        match &self.who {
            Who::Pods(_) => None,
            Who::Outside { first, last, .. } => Some(ranges::text(*first, *last)),
        }
    }

    pub(super) fn is_outside(&self) -> bool {
        matches!(self.end, ReachEnd::Outside { .. })
    }

    /// Whether both are pods of one workload.
    pub(super) fn is_of_workload_of(&self, other: &Party<'_>) -> bool {
        match (self.end, other.end) {
            (
                ReachEnd::Pods { namespace, workload, .. },
                ReachEnd::Pods { namespace: other_namespace, workload: other_workload, .. },
            ) => namespace == other_namespace && workload == other_workload,
            _ => false,
        }
    }
}

/// The addresses that pods and nodes have.
pub(super) fn taken(engine: &Engine) -> BTreeSet<IpAddr> {
    let of_pods = engine.pods().flat_map(|(_, pod): (PodId, &Pod)| &pod.addresses);
    of_pods.chain(engine.nodes().flat_map(|node| &node.addresses)).copied().collect()
}

/// The first address of a range that nobody has.
pub(super) fn free(taken: &BTreeSet<IpAddr>, first: IpAddr, last: IpAddr) -> Option<IpAddr> {
    let mut address = Some(first);
    while let Some(at) = address.filter(|a| *a <= last) {
        if !taken.contains(&at) {
            return Some(at);
        }
        address = ranges::next(at);
    }
    None
}
