//! What an assertion means, decided again by loops: which ends it means, and what the naive engine lets pass between them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ringfence_oracle::naive::{self, End};
use ringfence_oracle::questions::{interesting_addresses, traffic};
use ringfence_oracle::random::Random;
use ringfence_policy::{Labels, NAMESPACE_NAME_LABEL, Pod, PodId, Protocol, Traffic, World};

use crate::verify::read::{Assertion, Kind};
use crate::verify::selector::Selector;

/// How many addresses and ports are tried of one world.
const ADDRESSES: usize = 6;
const PORTS: usize = 10;

/// One end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Pod(PodId),
    Address(IpAddr),
}

/// An assertion in a world.
pub(super) struct Truth<'w> {
    world: &'w World,
    assertion: &'w Assertion,
    addresses: Vec<IpAddr>,
    traffic: Vec<Traffic>,
    /// Those of the pods that are not there yet.
    pub(super) new_pods: Vec<PodId>,
    pub(super) new_namespaces: Vec<String>,
}

impl<'w> Truth<'w> {
    pub(super) fn new(world: &'w World, assertion: &'w Assertion, random: &mut Random) -> Truth<'w> {
        let mut addresses: BTreeSet<IpAddr> = interesting_addresses(world);
        for net in assertion.from.iter().chain(&assertion.to).filter_map(|s| s.address) {
            addresses.extend([net.network(), net.broadcast()]);
            addresses.extend(crate::ranges::before(net.network()));
            addresses.extend(crate::ranges::next(net.broadcast()));
        }
        addresses.retain(|address| {
            let of_pod = world.pods.iter().any(|p| p.addresses.contains(address));
            let of_node = world.nodes.iter().any(|n| n.addresses.contains(address));
            !of_pod && !of_node && !world.pod_cidrs.iter().any(|net| net.contains(address))
        });
        let mut addresses: Vec<IpAddr> = addresses.into_iter().collect();
        random.shuffle(&mut addresses);
        addresses.truncate(ADDRESSES);
        let mut sent = traffic(world);
        for protocol in Protocol::ALL {
            for range in assertion.ports.ranges(protocol) {
                let beside = [range.first().checked_sub(1), range.last().checked_add(1)];
                let edges = beside.into_iter().flatten().chain([range.first(), range.last()]);
                sent.extend(edges.map(|port| Traffic::Port(protocol, port)));
            }
        }
        random.shuffle(&mut sent);
        sent.truncate(PORTS);
        sent.push(Traffic::Other);
        let (new_pods, new_namespaces) = (Vec::new(), Vec::new());
        Truth { world, assertion, addresses, traffic: sent, new_pods, new_namespaces }
    }

    /// A connection that breaks the assertion.
    pub(super) fn first_wrong(&mut self) -> Option<(Who, Who, Traffic)> {
        let pods = (0..self.world.pods.len() as u32).map(|id| Who::Pod(PodId(id)));
        let all: Vec<Who> = pods.chain(self.addresses.iter().map(|a| Who::Address(*a))).collect();
        for from in &all {
            for to in &all {
                for traffic in &self.traffic {
                    if self.is_wrong(*from, *to, *traffic) {
                        return Some((*from, *to, *traffic));
                    }
                }
            }
        }
        None
    }

    /// Whether a connection breaks the assertion.
    pub(super) fn is_wrong(&self, from: Who, to: Who, traffic: Traffic) -> bool {
        let Assertion { kind, from: sources, to: targets, ports, .. } = self.assertion;
        if !self.is_meant(targets, to) || !self.is_asked(from, to) {
            return false;
        }
        let is_source = self.is_meant(sources, from);
        // Nobody else: of pods that are not there yet only where the assertion speaks of such.
        let is_else = match from {
            Who::Pod(pod) if self.new_pods.contains(&pod) => {
                let allows_new = !self.is_in_new_namespace(pod) || sources.iter().any(|s| s.new_namespaces);
                sources.iter().any(|s| s.any_pod) && allows_new
            }
            _ => true,
        };
        let is_kept_out = *kind == Kind::Only && is_else;
        if !is_source && !is_kept_out {
            return false;
        }
        let end = |who| match who {
            Who::Pod(pod) => End::Pod(pod),
            Who::Address(address) => End::Outside(address),
        };
        let passes = naive::allowed(self.world, &end(from), &end(to), traffic);
        match (kind, is_source) {
            (Kind::Allow, _) => !passes && ports.contains(traffic),
            (Kind::Deny, _) => passes && ports.contains(traffic),
            (Kind::Only, true) => passes != ports.contains(traffic),
            (Kind::Only, false) => passes,
        }
    }

    fn is_in_new_namespace(&self, pod: PodId) -> bool {
        self.new_namespaces.contains(&self.pod(pod).namespace)
    }

    fn pod(&self, id: PodId) -> &'w Pod {
        &self.world.pods[id.0 as usize]
    }

    fn is_asked(&self, from: Who, to: Who) -> bool {
        match (from, to) {
            (Who::Address(_), Who::Address(_)) => false,
            (Who::Address(_), Who::Pod(_)) | (Who::Pod(_), Who::Address(_)) => true,
            (Who::Pod(from), Who::Pod(to)) => {
                let (source, target) = (self.pod(from), self.pod(to));
                let is_own_node = source.host_network
                    && !target.host_network
                    && source.node.is_some()
                    && source.node == target.node;
                let is_same_workload =
                    (&source.namespace, &source.workload) == (&target.namespace, &target.workload);
                from != to && !is_own_node && !is_same_workload
            }
        }
    }

    fn is_meant(&self, selectors: &[Selector], who: Who) -> bool {
        selectors.iter().any(|s| match who {
            Who::Pod(id) if s.any => !self.new_pods.contains(&id),
            Who::Address(address) => {
                s.any || s.external || s.address.is_some_and(|net| net.contains(&address))
            }
            Who::Pod(id) => {
                let pod = self.pod(id);
                let declared = self.world.namespaces.iter().find(|n| n.name == pod.namespace);
                let mut namespace = declared.map(|n| n.labels.clone()).unwrap_or_default();
                namespace.insert(NAMESPACE_NAME_LABEL.to_owned(), pod.namespace.clone());
                let is_new = self.new_pods.contains(&id);
                let fits_new = !is_new || s.any_pod && (s.new_namespaces || !self.is_in_new_namespace(id));
                let carries = |labels: &Labels, wanted: &Labels| {
                    wanted.iter().all(|(k, v)| labels.iter().any(|(key, value)| (key, value) == (k, v)))
                };
                let zone = |key: &str| pod.labels.get(key).or(namespace.get(key)).cloned();
                !s.external
                    && s.address.is_none()
                    && fits_new
                    && s.namespace.iter().all(|n| *n == pod.namespace)
                    && s.workload.iter().all(|n| *n == pod.workload.name)
                    && carries(&pod.labels, &s.labels)
                    && carries(&namespace, &s.namespace_labels)
                    && s.zone.iter().all(|z| zone(&z.label).as_ref() == Some(&z.name))
            }
        })
    }
}
