//! The ports that rules name.

use std::fmt;

use super::{NamedPort, Protocol, Traffic};

/// The ports of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ports {
    /// Every port of every protocol, ICMP and the like too: `ports` absent or empty.
    Any,
    /// Any of these.
    Of(Vec<PortMatch>),
}

impl Ports {
    /// Whether this traffic is meant. `named` are the ports with a name of the pod that receives.
    pub fn matches(&self, traffic: Traffic, named: &[NamedPort]) -> bool {
        match self {
            Ports::Any => true,
            Ports::Of(ports) => ports.iter().any(|port| port.matches(traffic, named)),
        }
    }
}

impl PortMatch {
    /// Whether this traffic is meant. `named` are the ports with a name of the pod that receives.
    pub fn matches(&self, traffic: Traffic, named: &[NamedPort]) -> bool {
        let Traffic::Port(protocol, number) = traffic else { return false };
        protocol == self.protocol
            && match &self.port {
                PortRef::All => true,
                PortRef::Range(range) => range.contains(number),
                PortRef::Named(name) => {
                    named.iter().any(|n| n.name == *name && n.protocol == protocol && n.port == number)
                }
            }
    }
}

/// One entry of a rule's ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMatch {
    /// The protocol.
    pub protocol: Protocol,
    /// Which ports of it.
    pub port: PortRef,
}

impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            PortRef::All => write!(f, "{} (all ports)", self.protocol),
            PortRef::Range(range) => write!(f, "{} {range}", self.protocol),
            PortRef::Named(name) => write!(f, "{} {name}", self.protocol),
        }
    }
}

/// How a policy names ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRef {
    /// All of the protocol's.
    All,
    /// By number.
    Range(PortRange),
    /// By the name of a container port of the pod that receives the traffic.
    Named(String),
}

/// A range of ports, both ends included, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: PortRange = PortRange { first: 0, last: u16::MAX };

    /// The range, or `None` where `last` is below `first`.
    pub fn new(first: u16, last: u16) -> Option<PortRange> {
        (first <= last).then_some(PortRange { first, last })
    }

    /// A range of one port.
    pub fn single(port: u16) -> PortRange {
        PortRange { first: port, last: port }
    }

    /// The first port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether the port is in the range.
    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
