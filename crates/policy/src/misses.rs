//! Near misses: for a denial, the rules that would have allowed it but for something, and for what.

use crate::engine::{End, Engine};
use crate::model::{
    IpBlock, LabelSelector, Labels, NamespaceScope, Peer, Peers, Pod, PortMatch, PortRef, Ports, Requirement,
    RuleRef, Traffic,
};
use crate::verdict::{Because, Direction};

/// A rule that does not allow a connection, and all that keeps it from doing so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The rule.
    pub rule: RuleRef,
    /// What differs, never empty: with its peer that comes nearest.
    pub differs: Vec<Difference>,
}

/// One thing that keeps a rule from allowing a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The rule has no entry for this port or protocol.
    Ports {
        /// What it allows instead.
        wants: Vec<PortMatch>,
    },
    /// The rule looks for pods in the policy's own namespace only.
    OwnNamespace {
        /// The policy's namespace.
        wants: String,
    },
    /// The other end's namespace lacks a label.
    NamespaceLabel {
        /// What the rule asks.
        wants: Requirement,
        /// The value that the namespace has, if it has the label.
        has: Option<String>,
    },
    /// The other end's pod lacks a label.
    PodLabel {
        /// What the rule asks.
        wants: Requirement,
        /// The value that the pod has, if it has the label.
        has: Option<String>,
    },
    /// The other end is not in the block.
    Address {
        /// The block.
        wants: IpBlock,
    },
    /// The rule selects pods; the other end is an address, or a pod on its node's network.
    NotAPod,
}

impl Engine {
    /// For the side that denies, its rules from the nearest miss to the farthest. Empty where the side allows, or has
    /// no rule at all.
    pub fn near_misses(&self, from: End, to: End, traffic: Traffic, direction: Direction) -> Vec<NearMiss> {
        let (from, to) = self.deciding_route(from, to, traffic);
        let verdict = self.verdict(from, to, traffic);
        let (side, other) = match direction {
            Direction::Egress => (verdict.egress, to),
            Direction::Ingress => (verdict.ingress, from),
        };
        let Because::NoRule(policies) = side.because else { return Vec::new() };
        let mut misses: Vec<NearMiss> = policies
            .into_iter()
            .flat_map(|policy| self.policy_misses(policy, other, self.selectable(to), traffic, direction))
            .collect();
        misses.sort_by_key(|m| {
            (m.differs.len(), m.differs.iter().any(|d| !matches!(d, Difference::Ports { .. })))
        });
        misses
    }

    fn policy_misses(
        &self,
        place: u32,
        other: End,
        receiver: Option<&Pod>,
        traffic: Traffic,
        direction: Direction,
    ) -> Vec<NearMiss> {
        let Some(policy) = self.world().policies.get(place as usize) else { return Vec::new() };
        let (egress, rules) = match direction {
            Direction::Ingress => (false, &policy.ingress),
            Direction::Egress => (true, &policy.egress),
        };
        let rules = rules.as_deref().unwrap_or_default().iter().zip(0u32..);
        let misses = rules.map(|(rule, place_of_rule)| {
            let mut differs = self.peers_differ(&rule.peers, &policy.name.namespace, other);
            differs.extend(ports_differ(&rule.ports, receiver, traffic));
            NearMiss { rule: RuleRef { policy: place, egress, rule: place_of_rule }, differs }
        });
        misses.filter(|m| !m.differs.is_empty()).collect()
    }

    fn peers_differ(&self, peers: &Peers, own: &str, other: End) -> Vec<Difference> {
        let Peers::Of(peers) = peers else { return Vec::new() };
        peers.iter().map(|peer| self.peer_differs(peer, own, other)).min_by_key(Vec::len).unwrap_or_default()
    }

    fn peer_differs(&self, peer: &Peer, own: &str, other: End) -> Vec<Difference> {
        let (namespaces, pods) = match peer {
            Peer::Block(block) => {
                return if self.in_block(block, other) {
                    Vec::new()
                } else {
                    vec![Difference::Address { wants: block.clone() }]
                };
            }
            Peer::Pods { namespaces, pods } => (namespaces, pods),
        };
        let Some(pod) = self.selectable(other) else { return vec![Difference::NotAPod] };
        let mut differs = Vec::new();
        match namespaces {
            NamespaceScope::Own if pod.namespace != own => {
                differs.push(Difference::OwnNamespace { wants: own.to_owned() });
            }
            NamespaceScope::Own => {}
            NamespaceScope::Matching(selector) => {
                let labels = self.namespace_labels(&pod.namespace);
                differs.extend(missing(selector, &labels, |wants, has| Difference::NamespaceLabel {
                    wants,
                    has,
                }));
            }
        }
        differs.extend(missing(pods, &pod.labels, |wants, has| Difference::PodLabel { wants, has }));
        differs
    }

    /// The pod of an end, unless it is on its node's network.
    fn selectable(&self, end: End) -> Option<&Pod> {
        let id = match end {
            End::Pod(pod) => pod,
            End::Address(address) => self.pod_at(address)?,
        };
        self.pod(id).filter(|p| !p.host_network)
    }
}

fn missing(
    selector: &LabelSelector,
    labels: &Labels,
    difference: impl Fn(Requirement, Option<String>) -> Difference,
) -> Vec<Difference> {
    let unmet = selector.requirements().iter().filter(|r| !r.matches(labels));
    unmet.map(|r| difference(r.clone(), labels.get(r.key()).cloned())).collect()
}

fn ports_differ(ports: &Ports, receiver: Option<&Pod>, traffic: Traffic) -> Option<Difference> {
    let Ports::Of(list) = ports else { return None };
    let matches = |port: &PortMatch| match traffic {
        Traffic::Other => false,
        Traffic::Port(protocol, number) => {
            port.protocol == protocol
                && match &port.port {
                    PortRef::All => true,
                    PortRef::Range(range) => range.contains(number),
                    PortRef::Named(name) => receiver.is_some_and(|pod| {
                        pod.named_ports
                            .iter()
                            .any(|n| n.name == *name && n.protocol == protocol && n.port == number)
                    }),
                }
        }
    };
    (!list.iter().any(matches)).then(|| Difference::Ports { wants: list.clone() })
}
