//! What the ends of a connection turn out to be: pods, nodes and addresses, and what of them an address range matches.
//!
//! What labels match is decided where the policies are; nothing here knows a policy.

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::model::{
    IpBlock, LabelSelector, Labels, NAMESPACE_NAME_LABEL, Node, Pod, PodId, World,
};

use crate::matching::{block_contains, block_covers, is_everything, is_v4, is_whole_family, selects};
use crate::naive::End;

/// What an end turns out to be.
pub(crate) struct Party<'w> {
    pod: Option<(PodId, &'w Pod)>,
    addresses: Vec<IpAddr>,
    /// The address by which it is named.
    named_by: Option<IpAddr>,
}

impl<'w> Party<'w> {
    /// # Panics
    /// If the end names a pod that the world does not have.
    pub(crate) fn of(world: &'w World, end: &End) -> Party<'w> {
        match *end {
            End::Pod(id) => {
                let pod = pod_of(world, id);
                Party { pod: Some((id, pod)), addresses: addresses_of(world, pod), named_by: None }
            }
            End::PodAt(id, address) => Party::at(Some((id, pod_of(world, id))), address),
            End::Outside(address) => Party::at(pod_at(world, address), address),
        }
    }

    fn at(pod: Option<(PodId, &'w Pod)>, address: IpAddr) -> Party<'w> {
        Party { pod, addresses: vec![address], named_by: Some(address) }
    }

    /// The pod, if it has a network of its own: only then do policies hold it and selectors match it.
    pub(crate) fn pod_of_its_own(&self) -> Option<&'w Pod> {
        self.pod.map(|(_, pod)| pod).filter(|pod| !pod.host_network)
    }

    pub(crate) fn is_same_pod(&self, other: &Party<'_>) -> bool {
        match (self.pod, other.pod) {
            (Some((this, _)), Some((that, _))) => this == that,
            _ => false,
        }
    }

    /// Whether this is the node that the pod runs on: one of its addresses, or a pod on its network.
    pub(crate) fn is_node_of(&self, world: &World, subject: &Pod) -> bool {
        if self.pod_of_its_own().is_some() {
            return false;
        }
        let Some(node) = &subject.node else { return false };
        let is_pod_on_it = self.pod.is_some_and(|(_, pod)| pod.node.as_ref() == Some(node));
        let is_its_address = self.named_by.and_then(|a| node_at(world, a)).is_some_and(|n| n.name == *node);
        is_pod_on_it || is_its_address
    }

    /// Whether this end is known to have the address.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Whether an `ipBlock` matches this end. Without an address, only a block that holds every address that it
    /// could have does.
    pub(crate) fn is_in_block(&self, world: &World, block: &IpBlock) -> bool {
        if !self.addresses.is_empty() {
            return self.addresses.iter().any(|address| block_contains(block, *address));
        }
        is_whole_family(block) || (self.pod_of_its_own().is_some() && covers_where_pods_live(world, block))
    }

    /// Whether a range of addresses matches this end: an `ipBlock` without exceptions.
    pub(crate) fn is_in_network(&self, world: &World, network: IpNet) -> bool {
        self.is_in_block(world, &IpBlock::new(network, []))
    }

    /// Whether this is a node that the selector matches: one of its addresses, or a pod on its network. Such a pod
    /// without an address is on the node that it names; where nobody knows that node, it is on some node.
    pub(crate) fn is_node_among(&self, world: &World, selector: &LabelSelector) -> bool {
        if !self.addresses.is_empty() {
            let mut selected = world.nodes.iter().filter(|node| selects(selector, &node.labels));
            return selected.any(|node| node.addresses.iter().any(|address| self.has(*address)));
        }
        match self.pod {
            Some((_, pod)) if pod.host_network => match node_of(world, pod) {
                Some(node) => selects(selector, &node.labels),
                None => is_everything(selector),
            },
            _ => false,
        }
    }
}

/// Whether the block covers all the ranges of some family that pods are said to live in.
fn covers_where_pods_live(world: &World, block: &IpBlock) -> bool {
    [true, false].into_iter().any(|v4| {
        let ranges: Vec<_> = world.pod_cidrs.iter().filter(|range| is_v4(range.addr()) == v4).collect();
        !ranges.is_empty() && ranges.iter().all(|range| block_covers(block, **range))
    })
}

/// A namespace's labels, with the one that every namespace has.
pub(crate) fn namespace_labels(world: &World, name: &str) -> Labels {
    let listed = world.namespaces.iter().find(|namespace| namespace.name == name);
    let mut labels = listed.map(|namespace| namespace.labels.clone()).unwrap_or_default();
    labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
    labels
}

/// All addresses that a pod may be seen by: its own, and its node's where it uses the node's network.
pub(crate) fn addresses_of(world: &World, pod: &Pod) -> Vec<IpAddr> {
    let mut addresses = pod.addresses.clone();
    if pod.host_network {
        addresses.extend(node_of(world, pod).into_iter().flat_map(|node| &node.addresses));
    }
    addresses
}

/// The node that a pod names, if it is known.
fn node_of<'w>(world: &'w World, pod: &Pod) -> Option<&'w Node> {
    world.nodes.iter().find(|node| pod.node.as_ref() == Some(&node.name))
}

/// The addresses by which a pod can be named: those of its own that are not somebody else's. On its node's network that is
/// the node's too.
pub(crate) fn owned_addresses(world: &World, id: PodId) -> Vec<IpAddr> {
    let pod = pod_of(world, id);
    let mut addresses = addresses_of(world, pod);
    addresses.retain(|address| match node_at(world, *address) {
        Some(node) => pod.host_network && pod.node.as_ref() == Some(&node.name),
        None => pod_at(world, *address).is_some_and(|(owner, other)| {
            owner == id || pod.host_network && other.host_network && pod.node == other.node
        }),
    });
    addresses
}

/// The pod whose address this is. A node's address is no pod's. Of several pods that claim one, those with a network of
/// their own come first, and of these the first by namespace and name.
pub(crate) fn pod_at(world: &World, address: IpAddr) -> Option<(PodId, &Pod)> {
    if node_at(world, address).is_some() {
        return None;
    }
    let claimants = pods(world).filter(|(_, pod)| pod.addresses.contains(&address));
    claimants.min_by_key(|(_, pod)| (pod.host_network, &pod.namespace, &pod.name))
}

/// The node whose address this is: of several the first by name.
fn node_at(world: &World, address: IpAddr) -> Option<&Node> {
    let claimants = world.nodes.iter().filter(|node| node.addresses.contains(&address));
    claimants.min_by_key(|node| &node.name)
}

fn pods(world: &World) -> impl Iterator<Item = (PodId, &Pod)> {
    (0..).map(PodId).zip(&world.pods)
}

/// # Panics
/// If the world has no such pod.
#[expect(clippy::panic, reason = "a question about a pod that is not there is a mistake in the test")]
pub(crate) fn pod_of(world: &World, id: PodId) -> &Pod {
    match pods(world).find(|(this, _)| *this == id) {
        Some((_, pod)) => pod,
        None => panic!("the world has no pod {}", id.0),
    }
}
