//! Answers, and the reasons for them.

use crate::model::RuleRef;

/// The two directions in which a pod can be isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Into the pod.
    Ingress,
    /// Out of the pod.
    Egress,
}

impl Direction {
    /// As policies spell it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
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
}

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Whether it lets the connection pass.
    pub allowed: bool,
    /// Whether policies isolate the pod on this side in this direction.
    pub isolated: bool,
    /// Why.
    pub because: Because,
}

/// Why a side answers as it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// Both ends are one pod: it always reaches itself.
    Itself,
    /// The source is the node that the destination runs on: it always reaches its pods.
    OwnNode,
    /// This end is no pod that policies hold: an address, or a pod on its node's network.
    NoSubject,
    /// No policy isolates the pod in this direction.
    NotIsolated,
    /// This rule allows it; others may too.
    Rule(RuleRef),
    /// These policies (places in [`World::policies`](crate::World::policies)) isolate the pod and none of their rules
    /// allows it.
    NoRule(Vec<u32>),
}
