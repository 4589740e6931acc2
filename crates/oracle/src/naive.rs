//! The naive engine: the specification of NetworkPolicy as loops.
//!
//! Read it beside `specs/`. It is slow on purpose, keeps nothing between two questions, and knows nothing of groups,
//! identities or compiled rules. It does not know which policy replaces another of the same name: every policy of
//! the world is in force.

use std::net::IpAddr;

use ringfence_policy::model::{
    IpBlock, Labels, NAMESPACE_NAME_LABEL, NamespaceScope, NetworkPolicy, Peer, Peers, Pod, PodId, Ports,
    Rule, RuleRef, Traffic, World,
};

use crate::matching::{block_contains, block_covers, is_v4, is_whole_family, port_matches, selects};

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A pod by whatever addresses it has. A block matches it if it matches one of them.
    Pod(PodId),
    /// A pod by one of its addresses; for a host network pod, one of its node's.
    PodAt(PodId, IpAddr),
    /// Any address. It may turn out to be a pod's or a node's.
    Outside(IpAddr),
}

/// A direction, as seen from the pod that a policy isolates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Into the pod.
    Ingress,
    /// Out of the pod.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Ingress, Direction::Egress];
}

/// Whether a new connection, or a first packet, may pass: the source must be allowed to send it and the destination
/// to receive it.
///
/// # Panics
/// If an end names a pod that the world does not have.
pub fn allowed(world: &World, from: &End, to: &End, traffic: Traffic) -> bool {
    by_family(world, from, to).iter().any(|(from, to)| {
        egress_allowed(world, from, to, traffic) && ingress_allowed(world, from, to, traffic)
    })
}

/// A connection has one address family: the ends by all their addresses of a family that both have. Where they have
/// none in common, or none is known, the ends as they are.
fn by_family(world: &World, from: &End, to: &End) -> Vec<(End, End)> {
    let by_address = |end: &End| match *end {
        End::Pod(id) => {
            addresses_of(world, pod_of(world, id)).into_iter().map(|a| (End::PodAt(id, a), a)).collect()
        }
        End::PodAt(_, address) | End::Outside(address) => vec![(*end, address)],
    };
    let (sources, destinations) = (by_address(from), by_address(to));
    let mut pairs = Vec::new();
    for (source, a) in &sources {
        for (destination, b) in &destinations {
            if is_v4(*a) == is_v4(*b) {
                pairs.push((*source, *destination));
            }
        }
    }
    if pairs.is_empty() { vec![(*from, *to)] } else { pairs }
}

/// Whether the policies that hold the source allow it to send this.
///
/// # Panics
/// If an end names a pod that the world does not have.
pub fn egress_allowed(world: &World, from: &End, to: &End, traffic: Traffic) -> bool {
    let (from, to) = (Party::of(world, from), Party::of(world, to));
    if from.is_same_pod(&to) {
        return true;
    }
    let Some(subject) = from.pod_of_its_own() else { return true };
    !is_isolated(world, subject, Direction::Egress)
        || !rules_that_allow(world, Direction::Egress, subject, &to, to.pod_of_its_own(), traffic).is_empty()
}

/// Whether the policies that hold the destination allow it to receive this.
///
/// # Panics
/// If an end names a pod that the world does not have.
pub fn ingress_allowed(world: &World, from: &End, to: &End, traffic: Traffic) -> bool {
    let (from, to) = (Party::of(world, from), Party::of(world, to));
    if from.is_same_pod(&to) {
        return true;
    }
    let Some(subject) = to.pod_of_its_own() else { return true };
    if from.is_node_of(world, subject) {
        return true;
    }
    !is_isolated(world, subject, Direction::Ingress)
        || !rules_that_allow(world, Direction::Ingress, subject, &from, Some(subject), traffic).is_empty()
}

/// Whether some policy selects this pod in this direction.
///
/// # Panics
/// If the world has no such pod.
pub fn isolated(world: &World, pod: PodId, direction: Direction) -> bool {
    let pod = pod_of(world, pod);
    !pod.host_network && is_isolated(world, pod, direction)
}

/// The policies, as places in [`World::policies`], that select this pod in this direction.
///
/// # Panics
/// If the world has no such pod.
pub fn isolating(world: &World, pod: PodId, direction: Direction) -> Vec<u32> {
    let pod = pod_of(world, pod);
    let of_pod = policies(world).filter(|(_, policy)| !pod.host_network && isolates(policy, pod, direction));
    of_pod.map(|(index, _)| index).collect()
}

/// Every rule, of the policies that select the pod on this direction's side, that matches this traffic. Whether the
/// traffic needs a rule at all (the pod is isolated, the other end is not itself nor its node) is not asked here.
///
/// # Panics
/// If an end names a pod that the world does not have.
pub fn matching_rules(
    world: &World,
    direction: Direction,
    from: &End,
    to: &End,
    traffic: Traffic,
) -> Vec<RuleRef> {
    let (from, to) = (Party::of(world, from), Party::of(world, to));
    let (subject, other) = match direction {
        Direction::Ingress => (&to, &from),
        Direction::Egress => (&from, &to),
    };
    match subject.pod_of_its_own() {
        Some(pod) => rules_that_allow(world, direction, pod, other, to.pod_of_its_own(), traffic),
        None => Vec::new(),
    }
}

/// What an end turns out to be.
struct Party<'w> {
    pod: Option<(PodId, &'w Pod)>,
    addresses: Vec<IpAddr>,
}

impl<'w> Party<'w> {
    fn of(world: &'w World, end: &End) -> Party<'w> {
        match *end {
            End::Pod(id) => {
                let pod = pod_of(world, id);
                Party { pod: Some((id, pod)), addresses: addresses_of(world, pod) }
            }
            End::PodAt(id, address) => Party { pod: Some((id, pod_of(world, id))), addresses: vec![address] },
            End::Outside(address) => Party { pod: pod_at(world, address), addresses: vec![address] },
        }
    }

    /// The pod, if it has a network of its own: only then do policies hold it and selectors match it.
    fn pod_of_its_own(&self) -> Option<&'w Pod> {
        self.pod.map(|(_, pod)| pod).filter(|pod| !pod.host_network)
    }

    fn is_same_pod(&self, other: &Party<'_>) -> bool {
        match (self.pod, other.pod) {
            (Some((this, _)), Some((that, _))) => this == that,
            _ => false,
        }
    }

    /// Whether this is the node that the pod runs on: one of its addresses, or a pod on its network.
    fn is_node_of(&self, world: &World, subject: &Pod) -> bool {
        if self.pod_of_its_own().is_some() {
            return false;
        }
        let Some(node) = &subject.node else { return false };
        let is_pod_on_it = self.pod.is_some_and(|(_, pod)| pod.node.as_ref() == Some(node));
        let mut its_addresses = world.nodes.iter().filter(|n| n.name == *node).flat_map(|n| &n.addresses);
        is_pod_on_it || its_addresses.any(|address| self.addresses.contains(address))
    }

    /// Whether an `ipBlock` matches this end. Without an address, only a block that holds every address that it
    /// could have does.
    fn is_in(&self, world: &World, block: &IpBlock) -> bool {
        if !self.addresses.is_empty() {
            return self.addresses.iter().any(|address| block_contains(block, *address));
        }
        is_whole_family(block) || (self.pod_of_its_own().is_some() && covers_where_pods_live(world, block))
    }
}

/// Whether the block covers all the ranges of some family that pods are said to live in.
fn covers_where_pods_live(world: &World, block: &IpBlock) -> bool {
    [true, false].into_iter().any(|v4| {
        let ranges: Vec<_> = world.pod_cidrs.iter().filter(|range| is_v4(range.addr()) == v4).collect();
        !ranges.is_empty() && ranges.iter().all(|range| block_covers(block, **range))
    })
}

fn is_isolated(world: &World, pod: &Pod, direction: Direction) -> bool {
    policies(world).any(|(_, policy)| isolates(policy, pod, direction))
}

fn isolates(policy: &NetworkPolicy, pod: &Pod, direction: Direction) -> bool {
    policy.name.namespace == pod.namespace
        && selects(&policy.subject, &pod.labels)
        && rules_of(policy, direction).is_some()
}

/// The rules of the policies that isolate the subject, which match the other end and the traffic.
fn rules_that_allow(
    world: &World,
    direction: Direction,
    subject: &Pod,
    other: &Party<'_>,
    receiver: Option<&Pod>,
    traffic: Traffic,
) -> Vec<RuleRef> {
    let mut found = Vec::new();
    for (index, policy) in policies(world).filter(|(_, policy)| isolates(policy, subject, direction)) {
        for (rule, place) in rules_of(policy, direction).unwrap_or_default().iter().zip(0..) {
            if rule_matches(world, policy, rule, other, receiver, traffic) {
                found.push(RuleRef { policy: index, egress: direction == Direction::Egress, rule: place });
            }
        }
    }
    found
}

fn rule_matches(
    world: &World,
    policy: &NetworkPolicy,
    rule: &Rule,
    other: &Party<'_>,
    receiver: Option<&Pod>,
    traffic: Traffic,
) -> bool {
    let peer = match &rule.peers {
        Peers::Any => true,
        Peers::Of(peers) => peers.iter().any(|peer| peer_matches(world, policy, peer, other)),
    };
    let port = match &rule.ports {
        Ports::Any => true,
        Ports::Of(entries) => entries.iter().any(|entry| port_matches(entry, receiver, traffic)),
    };
    peer && port
}

fn peer_matches(world: &World, policy: &NetworkPolicy, peer: &Peer, other: &Party<'_>) -> bool {
    match peer {
        Peer::Block(block) => other.is_in(world, block),
        Peer::Pods { namespaces, pods } => {
            let Some(pod) = other.pod_of_its_own() else { return false };
            let namespace = match namespaces {
                NamespaceScope::Own => pod.namespace == policy.name.namespace,
                NamespaceScope::Matching(selector) => {
                    selects(selector, &namespace_labels(world, &pod.namespace))
                }
            };
            namespace && selects(pods, &pod.labels)
        }
    }
}

fn rules_of(policy: &NetworkPolicy, direction: Direction) -> Option<&[Rule]> {
    match direction {
        Direction::Ingress => policy.ingress.as_deref(),
        Direction::Egress => policy.egress.as_deref(),
    }
}

/// A namespace's labels, with the one that every namespace has.
fn namespace_labels(world: &World, name: &str) -> Labels {
    let listed = world.namespaces.iter().find(|namespace| namespace.name == name);
    let mut labels = listed.map(|namespace| namespace.labels.clone()).unwrap_or_default();
    labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
    labels
}

/// All addresses that a pod may be seen by: its own, and its node's where it uses the node's network.
fn addresses_of(world: &World, pod: &Pod) -> Vec<IpAddr> {
    let mut addresses = pod.addresses.clone();
    if pod.host_network {
        let node = world.nodes.iter().filter(|node| pod.node.as_ref() == Some(&node.name));
        addresses.extend(node.flat_map(|node| &node.addresses));
    }
    addresses
}

fn policies(world: &World) -> impl Iterator<Item = (u32, &NetworkPolicy)> {
    (0..).zip(&world.policies)
}

fn pods(world: &World) -> impl Iterator<Item = (PodId, &Pod)> {
    (0..).map(PodId).zip(&world.pods)
}

/// The pod with a network of its own that has this address.
fn pod_at(world: &World, address: IpAddr) -> Option<(PodId, &Pod)> {
    pods(world).find(|(_, pod)| !pod.host_network && pod.addresses.contains(&address))
}

#[expect(clippy::panic, reason = "a question about a pod that is not there is a mistake in the test")]
fn pod_of(world: &World, id: PodId) -> &Pod {
    match pods(world).find(|(this, _)| *this == id) {
        Some((_, pod)) => pod,
        None => panic!("the world has no pod {}", id.0),
    }
}
