//! Port maps: for every protocol and port one decision, as intervals.
//!
//! A port map is total. It is made by painting (`canvas.rs`).

use crate::model::{Protocol, RuleRef, Traffic};
use crate::portset::{PortSet, push_merged};

/// What is decided for some traffic, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// Whether it may pass.
    pub allow: bool,
    /// The rule that decided; `None` where it was the default.
    pub rule: Option<RuleRef>,
}

impl Decision {
    /// Allowed because nothing isolates.
    pub const OPEN: Decision = Decision { allow: true, rule: None };
    /// Denied because nothing allows.
    pub const ISOLATED: Decision = Decision { allow: false, rule: None };
}

/// An interval of ports up to and including `last`, from where the one before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The last port.
    pub last: u16,
    /// What holds for it.
    pub decision: Decision,
}

/// A decision for every protocol and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortMap {
    /// By protocol, in the order of [`Protocol::ALL`]. Neighbours differ; the last span ends at 65535.
    pub(crate) ports: [Vec<Span>; 3],
    pub(crate) other: Decision,
}

impl PortMap {
    /// The map that gives one answer to everything.
    pub fn uniform(decision: Decision) -> PortMap {
        let all = || vec![Span { last: u16::MAX, decision }];
        PortMap { ports: [all(), all(), all()], other: decision }
    }

    /// The decision for some traffic.
    pub fn decide(&self, traffic: Traffic) -> Decision {
        match traffic {
            Traffic::Other => self.other,
            Traffic::Port(protocol, port) => {
                let spans = self.spans(protocol);
                spans.get(spans.partition_point(|s| s.last < port)).map_or(Decision::ISOLATED, |s| s.decision)
            }
        }
    }

    /// The intervals of a protocol, in order.
    pub fn spans(&self, protocol: Protocol) -> &[Span] {
        let [tcp, udp, sctp] = &self.ports;
        match protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp => udp,
            Protocol::Sctp => sctp,
        }
    }

    /// What is decided for the protocols that no policy can name.
    pub fn other(&self) -> Decision {
        self.other
    }

    /// What may pass.
    pub fn allowed(&self) -> PortSet {
        PortSet::from_parts(
            self.ports.each_ref().map(|spans| {
                let mut ranges = Vec::new();
                let mut first = 0u16;
                for span in spans {
                    if span.decision.allow {
                        push_merged(&mut ranges, first, span.last);
                    }
                    first = span.last.saturating_add(1);
                }
                ranges
            }),
            self.other.allow,
        )
    }
}
