//! The addresses that a pod could be given which is not there yet, as far as address blocks in force tell them apart.
//!
//! Where pods live is what `--pod-cidr` says. Without it, a new pod is where pods of the input are, as far as policies can
//! tell; where none has an address, as in manifests, it has none either, and is met by blocks as those are. Then of all
//! that policies and the assertion tell apart an address is left to the outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::{AddressRange, ClassId, Engine};

use super::scene;
use crate::ranges::{self, Range};

/// The addresses of new pods.
pub(super) struct Places {
    /// With those that are left to the outside.
    taken: BTreeSet<IpAddr>,
    /// The ranges of each class, by family.
    classes: Vec<Vec<Range>>,
    /// What a pod can have: one address of a class of each family that pods have.
    kinds: Vec<Vec<usize>>,
}

impl Places {
    /// `cuts` are the ranges that the assertion names.
    pub(super) fn new(engine: &Engine, cuts: &[IpNet]) -> Places {
        let mut taken = scene::taken(engine);
        let mut left = Vec::new();
        let mut families: [BTreeMap<ClassId, Vec<Range>>; 2] = Default::default();
        for AddressRange { first, last, class } in engine.address_space().ranges() {
            let [v4, v6] = &mut families;
            let family = if first.is_ipv4() { v4 } else { v6 };
            let free = homes(engine, first, last).into_iter();
            let free = free.filter(|(first, last)| scene::free(&taken, *first, *last).is_some());
            let free: Vec<Range> = free.collect();
            if !free.is_empty() {
                family.entry(class).or_default().extend(free);
            }
            if engine.pod_cidrs().is_empty() {
                let pieces = ranges::pieces(cuts, first, last);
                left.extend(pieces.into_iter().filter_map(|(a, b)| scene::free(&taken, a, b)));
            }
        }
        taken.extend(left);
        let mut classes = Vec::new();
        let mut kinds: Vec<Vec<usize>> = vec![Vec::new()];
        for family in families.into_iter().filter(|f| !f.is_empty()) {
            let numbers = classes.len()..classes.len() + family.len();
            classes.extend(family.into_values());
            kinds =
                kinds.iter().flat_map(|k| numbers.clone().map(|n| [k.as_slice(), &[n]].concat())).collect();
        }
        Places { taken, classes, kinds }
    }

    /// How many kinds of addresses a pod could have; at least one.
    pub(super) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// Addresses of a kind that nobody has; they are taken from now on. `None` where there are no more.
    pub(super) fn take(&mut self, kind: usize) -> Option<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        for class in self.kinds.get(kind)? {
            let mut ranges = self.classes.get(*class)?.iter();
            let address = ranges.find_map(|(first, last)| scene::free(&self.taken, *first, *last))?;
            self.taken.insert(address);
            addresses.push(address);
        }
        Some(addresses)
    }
}

/// The parts of a range in which pods live.
fn homes(engine: &Engine, first: IpAddr, last: IpAddr) -> Vec<Range> {
    let same = |a: &IpAddr| a.is_ipv4() == first.is_ipv4();
    if !engine.pod_cidrs().is_empty() {
        let nets = engine.pod_cidrs().iter().map(|net| (net.network(), net.broadcast()));
        let nets = nets.filter(|(start, _)| same(start));
        let parts = nets.map(|(start, end)| (start.max(first), end.min(last)));
        return parts.filter(|(start, end)| start <= end).collect();
    }
    let own = engine.pods().filter(|(_, pod)| !pod.host_network).flat_map(|(_, pod)| &pod.addresses);
    let mut here = own.filter(|a| same(a) && first <= **a && **a <= last);
    here.next().map(|_| (first, last)).into_iter().collect()
}
