//! What the engine promises for a lab's probes, and whether what was measured keeps the promise.
//!
//! The engine is asked by address, as a packet would be judged; nothing is decided here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringfence_k8s::Inventory;
use ringfence_policy::{End, Engine, Labels, Pod, Policy, Traffic, Verdict, World};

use crate::plan::{Plan, ServicePort};
use crate::probe::{Outcome, Probe};
use crate::{Place, PodId, ranges};

impl Plan {
    /// The world of this lab: the pods with the addresses and nodes that they have here, under these policies.
    pub fn world(&self, inventory: &Inventory, policies: &[Policy]) -> World {
        let written = |name: &str| inventory.nodes.iter().find(|n| n.name == name).map(|n| n.labels.clone());
        let nodes = self.nodes.iter().map(|n| ringfence_policy::Node {
            name: n.name.clone(),
            labels: node_labels(&n.name, written(&n.name).unwrap_or_default()),
            addresses: n.addresses.clone(),
        });
        let models: BTreeMap<usize, Pod> = inventory.pods().into_iter().collect();
        let pods = self.pods.iter().filter_map(|pod| {
            Some(Pod {
                name: pod.name.clone(),
                count: 1,
                // A pod on its node's network is its node's address, and the node has that already.
                addresses: if pod.host_network { Vec::new() } else { pod.addresses.clone() },
                node: self.node(pod.node).map(|n| n.name.clone()),
                ..models.get(&pod.workload)?.clone()
            })
        });
        World {
            namespaces: inventory.namespaces.clone(),
            nodes: nodes.collect(),
            pods: pods.collect(),
            ..World::default()
        }
        .with_policies(policies.iter().cloned())
    }

    /// The address from which a place sends to another address.
    pub fn source_address(&self, from: Place, to: IpAddr) -> Option<IpAddr> {
        let same_family =
            |addresses: &[IpAddr]| addresses.iter().copied().find(|a| a.is_ipv4() == to.is_ipv4());
        match from {
            Place::Pod(id) => same_family(&self.pod(id)?.addresses),
            Place::Node(id) => same_family(&self.node(id)?.addresses),
            Place::Outside(address) => (address.is_ipv4() == to.is_ipv4()).then_some(address),
        }
    }

    /// The Service's port behind a probe, if it is to a Service.
    fn service_port(&self, probe: &Probe) -> Option<&ServicePort> {
        let Traffic::Port(protocol, port) = probe.traffic else { return None };
        let service = self.services.iter().find(|s| s.addresses.contains(&probe.to))?;
        service.ports.iter().find(|p| (p.protocol, p.port) == (protocol, port))
    }
}

/// A node's labels: those of a manifest of its name, and the one that every node has.
///
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetesiohostname>
fn node_labels(name: &str, mut labels: Labels) -> Labels {
    labels.entry("kubernetes.io/hostname".to_owned()).or_insert_with(|| name.to_owned());
    labels
}

/// What the engine promises for a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The ends that the packet may be for: one, or every pod behind a Service. Each with its verdict.
    pub ends: Vec<(IpAddr, Traffic, Verdict)>,
}

impl Promise {
    /// What an engine over [`Plan::world`] says of a probe. A Service without a pod behind it promises nothing.
    pub fn new(engine: &Engine, plan: &Plan, probe: &Probe) -> Promise {
        let Some(from) = plan.source_address(probe.from, probe.to) else {
            return Promise { ends: Vec::new() };
        };
        let Some(service) = plan.service_port(probe) else {
            let verdict = engine.verdict(End::Address(from), End::Address(probe.to), probe.traffic);
            return Promise { ends: vec![(probe.to, probe.traffic, verdict)] };
        };
        let backend = |(pod, port): &(PodId, u16)| {
            let addresses = &plan.pod(*pod)?.addresses;
            let to = addresses.iter().copied().find(|a| a.is_ipv4() == probe.to.is_ipv4())?;
            let traffic = Traffic::Port(service.protocol, *port);
            // A pod that a Service leads back to itself.
            let verdict = match to == from {
                true => engine.hairpin_verdict(End::Address(to), traffic),
                false => engine.verdict(End::Address(from), End::Address(to), traffic),
            };
            Some((to, traffic, verdict))
        };
        Promise { ends: service.backends.iter().filter_map(backend).collect() }
    }

    /// Whether a packet may pass.
    pub fn may_pass(&self) -> bool {
        self.ends.is_empty() || self.ends.iter().any(|(_, _, v)| v.allowed())
    }

    /// Whether a packet must pass.
    pub fn must_pass(&self) -> bool {
        !self.ends.is_empty() && self.ends.iter().all(|(_, _, v)| v.allowed())
    }

    /// Whether what was measured is what was promised.
    pub fn is_kept(&self, plan: &Plan, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Silent => !self.must_pass(),
            Outcome::Answered(who) | Outcome::Arrived(who) => {
                // Whoever answered must be one that the source may reach. An empty name came too late to tell.
                self.may_pass()
                    && (self.ends.len() < 2
                        || who.is_empty()
                        || self.allowed_names(plan).any(|name| name == *who))
            }
            Outcome::Refused | Outcome::Echoed => self.may_pass(),
            Outcome::Unreachable | Outcome::Failed(_) => false,
        }
    }

    fn allowed_names<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = String> + 'a {
        let reached = self.ends.iter().filter(|(_, _, v)| v.allowed());
        reached.filter_map(|(to, _, _)| match plan.place_of(*to)? {
            Place::Pod(id) => plan.pod(id).map(crate::Pod::full_name),
            Place::Node(_) | Place::Outside(_) => None,
        })
    }
}

/// Addresses of the world outside that policies tell apart: one of each block and exception that they name, where the
/// lab can have it outside, and one that none names.
pub fn interesting_outside(engine: &Engine, dual_stack: bool) -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::from([203, 0, 113, 7])];
    if dual_stack {
        addresses.push(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]));
    }
    let mut classes = Vec::new();
    for range in engine.address_space().ranges() {
        if classes.contains(&(range.first.is_ipv4(), range.class)) || (range.first.is_ipv6() && !dual_stack) {
            continue;
        }
        // The last address of a range is rarely a network's own, the first often is.
        if let Some(address) = [range.last, range.first].into_iter().find(|a| ranges::can_be_outside(*a)) {
            classes.push((range.first.is_ipv4(), range.class));
            addresses.push(address);
        }
    }
    addresses
}
