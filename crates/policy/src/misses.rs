//! Near misses: for a denial, the rules that would have allowed it but for something, and for what.

use crate::cluster::{Action, DomainPattern};
use crate::ends::End;
use crate::engine::Engine;
use crate::matchers::{DistinctPeer, PeerId};
use crate::model::{
    IpBlock, LabelSelector, Labels, NamedPort, Pod, PolicyId, PortMatch, Ports, Requirement, RuleRef, Traffic,
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
    /// The other end is no node's address with such labels.
    Node {
        /// What the rule asks of the node.
        wants: LabelSelector,
    },
    /// The other end is no address that the name is known to lead to.
    Domain {
        /// The name.
        wants: DomainPattern,
    },
    /// The rule selects pods; the other end is an address, or a pod on its node's network.
    NotAPod,
}

impl Engine {
    /// For the side that denies, the rules that would have allowed the connection, from the nearest miss to the
    /// farthest. Empty where the side allows, or has no rule that could.
    pub fn near_misses(&self, from: End, to: End, traffic: Traffic, direction: Direction) -> Vec<NearMiss> {
        let (from, to) = self.deciding_route(from, to, traffic);
        let verdict = self.verdict(from, to, traffic);
        let other = match direction {
            Direction::Egress => to,
            Direction::Ingress => from,
        };
        let side = verdict.side(direction);
        let (policies, until) = match &side.because {
            Because::NoRule(policies) => (policies.clone(), None),
            // Of a tier with order, those that would have come before.
            Because::Rule(rule) if !side.allowed => {
                (self.asked_before(from, to, direction, *rule), Some(*rule))
            }
            _ => return Vec::new(),
        };
        let receiver = self.selectable(to).map_or(&[][..], |pod| &pod.named_ports);
        let mut misses: Vec<NearMiss> = policies
            .into_iter()
            .flat_map(|policy| self.policy_misses(policy, other, receiver, traffic, direction))
            .take_while(|miss| Some(miss.rule) != until)
            .filter(|miss| !miss.differs.is_empty())
            .collect();
        misses.sort_by_key(|m| {
            (m.differs.len(), m.differs.iter().any(|d| !matches!(d, Difference::Ports { .. })))
        });
        misses
    }

    /// The policies of the tier in which a rule decided, up to its own.
    fn asked_before(&self, from: End, to: End, direction: Direction, rule: RuleRef) -> Vec<PolicyId> {
        let subject = match direction {
            Direction::Egress => from,
            Direction::Ingress => to,
        };
        let pod = match subject {
            End::Pod(pod) => Some(pod),
            End::Address(address) => self.pod_at(address),
        };
        let Some(set) = pod.and_then(|pod| self.policy_set(pod, direction)) else { return Vec::new() };
        let tier = self.rule_tier(rule);
        let mut policies = self.set_policies(set, tier).to_vec();
        let own = policies.iter().position(|p| *p == rule.policy);
        policies.truncate(own.map_or(0, |at| at + 1));
        policies
    }

    /// A policy's rules that let pass what they match, each with what keeps it from matching.
    fn policy_misses(
        &self,
        id: PolicyId,
        other: End,
        receiver: &[NamedPort],
        traffic: Traffic,
        direction: Direction,
    ) -> Vec<NearMiss> {
        let Some(compiled) = self.policies.get(id) else { return Vec::new() };
        let egress = direction == Direction::Egress;
        let rules = compiled.peers.get(direction.place()).into_iter().flat_map(|rules| rules.iter());
        let misses = (0u32..).zip(rules).map(|(place, peers)| {
            let rule = RuleRef { policy: id, egress, rule: place };
            let Some((Action::Accept, ports)) = compiled.effect(direction, place) else {
                return NearMiss { rule, differs: Vec::new() };
            };
            let mut differs = peers.as_ref().map(|p| self.peers_differ(p, other)).unwrap_or_default();
            if let Ports::Of(wants) = ports
                && !ports.matches(traffic, receiver)
            {
                differs.push(Difference::Ports { wants: wants.clone() });
            }
            NearMiss { rule, differs }
        });
        misses.collect()
    }

    fn peers_differ(&self, peers: &[PeerId], other: End) -> Vec<Difference> {
        let peers = peers.iter().filter_map(|id| self.matchers.get(*id));
        peers.map(|peer| self.peer_differs(peer, other)).min_by_key(Vec::len).unwrap_or_default()
    }

    fn peer_differs(&self, peer: &DistinctPeer, other: End) -> Vec<Difference> {
        let held = |difference: Difference| {
            if self.holds(other, |p| p == peer) { Vec::new() } else { vec![difference] }
        };
        let (own, namespaces, pods) = match peer {
            DistinctPeer::Block(block) => return held(Difference::Address { wants: block.clone() }),
            DistinctPeer::Nodes(nodes) => return held(Difference::Node { wants: nodes.clone() }),
            DistinctPeer::Domain(name) => return held(Difference::Domain { wants: name.clone() }),
            DistinctPeer::PodsIn(own, pods) => (Some(own), None, pods),
            DistinctPeer::PodsAcross(across) => (None, Some(&across.namespaces), &across.pods),
        };
        let Some(pod) = self.selectable(other) else { return vec![Difference::NotAPod] };
        let mut differs = Vec::new();
        if let Some(own) = own.filter(|own| **own != pod.namespace) {
            differs.push(Difference::OwnNamespace { wants: own.clone() });
        }
        if let Some(selector) = namespaces {
            let labels = self.namespace_labels(&pod.namespace);
            differs
                .extend(missing(selector, &labels, |wants, has| Difference::NamespaceLabel { wants, has }));
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
