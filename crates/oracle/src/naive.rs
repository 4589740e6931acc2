//! The naive engine: the specification of the policies of all tiers as loops.
//!
//! Read it beside `specs/`. It is slow on purpose, keeps nothing between two questions, and knows nothing of groups,
//! identities or compiled rules. It does not know which policy replaces another of the same name: every policy of
//! the world is in force. The tiers are asked here; [`cluster`] and [`network`] are what a tier answers.

mod cluster;
mod network;

use std::net::IpAddr;

use ringfence_policy::cluster::ClusterTier;
use ringfence_policy::model::{Pod, PodId, PolicyKey, PolicyName, Traffic, World};

use crate::matching::is_v4;
use crate::party::{Party, owned_addresses, pod_of};

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A pod by whatever addresses it has. A range matches it if it matches one of them.
    Pod(PodId),
    /// A pod by one of its addresses; for a host network pod, one of its node's.
    PodAt(PodId, IpAddr),
    /// Any address. It may turn out to be a pod's or a node's.
    Outside(IpAddr),
}

/// A direction, as seen from the pod that policies hold.
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

/// What one side decides, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether this side lets it pass.
    pub allowed: bool,
    /// Where that was decided.
    pub tier: Tier,
    /// The rule that decided. In a cluster tier there always is one. In the NetworkPolicy tier it is the first of
    /// [`matching_rules`], and `None` on denial. By default no rule decides.
    pub rule: Option<RuleName>,
    /// The Pass rules that matched on the way, in the order in which they were asked.
    pub passed: Vec<RuleName>,
}

/// Where a side's decision is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// By a cluster-wide policy, before every NetworkPolicy.
    Admin,
    /// By the NetworkPolicies that isolate the pod.
    NetworkPolicy,
    /// By a cluster-wide policy, where no NetworkPolicy isolates the pod.
    Baseline,
    /// Nowhere: no policy decides, holds this end, or may be asked.
    Default,
}

/// One rule of a policy of any kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName {
    /// The policy.
    pub policy: PolicyKey,
    /// Whether it is an egress rule.
    pub egress: bool,
    /// Its place among the policy's rules of that direction, from 0.
    pub rule: u32,
}

/// What is asked of a tier: may the subject do this in this direction?
struct Question<'w> {
    world: &'w World,
    direction: Direction,
    /// The pod on whose side this is.
    subject: &'w Pod,
    /// The other end.
    other: Party<'w>,
    /// The pod whose container ports give names a meaning; `None` where no such pod receives the traffic.
    receiver: Option<&'w Pod>,
    traffic: Traffic,
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
        End::Pod(id) => owned_addresses(world, id).into_iter().map(|a| (End::PodAt(id, a), a)).collect(),
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
    decision(world, Direction::Egress, from, to, traffic).allowed
}

/// Whether the policies that hold the destination allow it to receive this.
///
/// # Panics
/// If an end names a pod that the world does not have.
pub fn ingress_allowed(world: &World, from: &End, to: &End, traffic: Traffic) -> bool {
    decision(world, Direction::Ingress, from, to, traffic).allowed
}

/// What the source's side (egress) or the destination's (ingress) decides, tier after tier.
///
/// # Panics
/// If an end names a pod that the world does not have.
pub fn decision(world: &World, direction: Direction, from: &End, to: &End, traffic: Traffic) -> Decision {
    let mut passed = Vec::new();
    let (tier, allowed, rule) = decide(world, direction, from, to, traffic, &mut passed);
    Decision { allowed, tier, rule, passed }
}

/// The same where a pod reaches itself through a Service, by one of its addresses: its packets leave it and come back, and
/// so policies of the whole cluster hold them. NetworkPolicies cannot keep a pod from itself.
///
/// # Panics
/// If the end names a pod that the world does not have.
pub fn hairpin(world: &World, direction: Direction, end: &End, traffic: Traffic) -> Decision {
    let mut passed = Vec::new();
    let (tier, allowed, rule) = decide_hairpin(world, direction, end, traffic, &mut passed);
    Decision { allowed, tier, rule, passed }
}

fn decide_hairpin(
    world: &World,
    direction: Direction,
    end: &End,
    traffic: Traffic,
    passed: &mut Vec<RuleName>,
) -> (Tier, bool, Option<RuleName>) {
    let (from, to) = (Party::of(world, end), Party::of(world, end));
    let by_default = (Tier::Default, true, None);
    let Some(asked) = question(world, direction, from, to, traffic) else { return by_default };
    if let Some((allowed, rule)) = cluster::decide(&asked, ClusterTier::Admin, passed) {
        return (Tier::Admin, allowed, Some(rule));
    }
    if network::isolates_subject(&asked) {
        return by_default;
    }
    match cluster::decide(&asked, ClusterTier::Baseline, passed) {
        Some((allowed, rule)) => (Tier::Baseline, allowed, Some(rule)),
        None => by_default,
    }
}

fn decide(
    world: &World,
    direction: Direction,
    from: &End,
    to: &End,
    traffic: Traffic,
    passed: &mut Vec<RuleName>,
) -> (Tier, bool, Option<RuleName>) {
    let by_default = (Tier::Default, true, None);
    let (source, destination) = (Party::of(world, from), Party::of(world, to));
    // A pod reaches itself, whatever any policy says.
    if source.is_same_pod(&destination) {
        return by_default;
    }
    // Only pods with a network of their own are held by policies.
    let Some(asked) = question(world, direction, source, destination, traffic) else { return by_default };
    // The probes of a pod's own node always come in.
    if direction == Direction::Ingress && asked.other.is_node_of(world, asked.subject) {
        return by_default;
    }

    if let Some((allowed, rule)) = cluster::decide(&asked, ClusterTier::Admin, passed) {
        return (Tier::Admin, allowed, Some(rule));
    }
    if network::isolates_subject(&asked) {
        let rule = network::rules_that_allow(&asked).into_iter().next();
        return (Tier::NetworkPolicy, rule.is_some(), rule);
    }
    if let Some((allowed, rule)) = cluster::decide(&asked, ClusterTier::Baseline, passed) {
        return (Tier::Baseline, allowed, Some(rule));
    }
    by_default
}

/// The question of one side; `None` where policies do not hold the end on that side.
fn question<'w>(
    world: &'w World,
    direction: Direction,
    from: Party<'w>,
    to: Party<'w>,
    traffic: Traffic,
) -> Option<Question<'w>> {
    let receiver = to.pod_of_its_own();
    let (subject, other) = match direction {
        Direction::Ingress => (to, from),
        Direction::Egress => (from, to),
    };
    let subject = subject.pod_of_its_own()?;
    Some(Question { world, direction, subject, other, receiver, traffic })
}

/// Whether some NetworkPolicy selects this pod in this direction.
///
/// # Panics
/// If the world has no such pod.
pub fn isolated(world: &World, pod: PodId, direction: Direction) -> bool {
    !isolating(world, pod, direction).is_empty()
}

/// The NetworkPolicies that select this pod in this direction, in the order of their names.
///
/// # Panics
/// If the world has no such pod.
pub fn isolating(world: &World, pod: PodId, direction: Direction) -> Vec<PolicyName> {
    let pod = pod_of(world, pod);
    if pod.host_network {
        return Vec::new();
    }
    let selecting = world.policies.iter().filter(|policy| network::isolates(policy, pod, direction));
    let mut names: Vec<PolicyName> = selecting.map(|policy| policy.name.clone()).collect();
    names.sort();
    names
}

/// Every rule, of the NetworkPolicies that select the pod on this direction's side, that matches this traffic, in the
/// order of the world's policies. Whether the traffic needs a rule at all (the pod is isolated, no cluster-wide
/// policy has decided, the other end is not itself nor its node) is not asked here.
///
/// # Panics
/// If an end names a pod that the world does not have.
pub fn matching_rules(
    world: &World,
    direction: Direction,
    from: &End,
    to: &End,
    traffic: Traffic,
) -> Vec<RuleName> {
    let asked = question(world, direction, Party::of(world, from), Party::of(world, to), traffic);
    asked.map(|asked| network::rules_that_allow(&asked)).unwrap_or_default()
}
