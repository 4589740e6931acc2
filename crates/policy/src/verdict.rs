//! Answers, and the reasons for them.

use crate::model::{PolicyId, RuleRef};

/// The two directions in which a pod can be isolated.
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

    /// As policies spell it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    /// Its place in a pair.
    pub(crate) fn place(self) -> usize {
        match self {
            Direction::Ingress => 0,
            Direction::Egress => 1,
        }
    }
}

/// The tiers in which policies are asked, in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Cluster-wide policies that come before every NetworkPolicy.
    Admin,
    /// NetworkPolicies, the last word for a pod in the directions in which they isolate it.
    NetworkPolicy,
    /// Cluster-wide policies for what no NetworkPolicy isolates.
    Baseline,
    /// No policy decides: everything is allowed.
    Default,
}

impl Tier {
    /// Those that have policies.
    pub const WITH_POLICIES: [Tier; 3] = [Tier::Admin, Tier::NetworkPolicy, Tier::Baseline];

    /// As answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Admin => "Admin",
            Tier::NetworkPolicy => "NetworkPolicy",
            Tier::Baseline => "Baseline",
            Tier::Default => "default",
        }
    }

    /// Its place among those that have policies.
    pub(crate) fn place(self) -> Option<usize> {
        Tier::WITH_POLICIES.iter().position(|tier| *tier == self)
    }
}

/// Whether a connection may be made: both sides must allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the source's side says.
    pub egress: Side,
    /// What the destination's side says.
    pub ingress: Side,
}

impl Verdict {
    /// Whether the connection passes.
    pub fn allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }

    /// One of the sides.
    pub fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Whether it lets the connection pass.
    pub allowed: bool,
    /// Whether NetworkPolicies isolate the pod on this side in this direction.
    pub isolated: bool,
    /// Why.
    pub because: Because,
    /// The rules that passed the connection on to the next tier, in the order in which they were asked.
    pub passed: Vec<RuleRef>,
}

/// Why a side answers as it does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Because {
    /// Both ends are one pod: it always reaches itself.
    Itself,
    /// The source is the node that the destination runs on: it always reaches its pods.
    OwnNode,
    /// This end is no pod that policies hold: an address, or a pod on its node's network.
    NoSubject,
    /// No policy decides: none holds the pod in this direction, or none of their rules matches and no NetworkPolicy
    /// isolates it.
    NotIsolated,
    /// This rule decides. Of NetworkPolicies other rules may allow it too.
    Rule(RuleRef),
    /// These NetworkPolicies isolate the pod and none of their rules allows it.
    NoRule(Vec<PolicyId>),
}
