//! Policies that come and go, and what their rules match.

use super::Update;
use crate::cluster::InForce;
use crate::matchers::{DistinctPeer, PeerId};
use crate::model::{Peers, Policy, PolicyId, PolicyKey};
use crate::policies::{Compiled, RulePeers, cluster_rules, network_rules};
use crate::verdict::Direction;

impl Update<'_> {
    pub(super) fn set_policy(&mut self, policy: Policy) {
        let before = self.engine.policies.find(&policy.key());
        if before.and_then(|id| self.engine.policy(id)) == Some(&policy) {
            return;
        }
        let subject = match &policy {
            Policy::Network(policy) => {
                DistinctPeer::PodsIn(policy.name.namespace.clone(), policy.subject.clone())
            }
            Policy::Cluster(policy) => DistinctPeer::PodsAcross(policy.subject.clone()),
        };
        let subject = self.hold_matcher(subject);
        let peers = Direction::ALL.map(|direction| self.peers_of_rules(&policy, direction));
        let compiled = Compiled { policy, subject, peers };
        for name in compiled.port_names(Direction::Egress) {
            let count = self.engine.egress_names.entry(name.to_owned()).or_default();
            *count += 1;
            if *count == 1 {
                self.touched_names.insert(name.to_owned());
            }
        }
        if let Some(before) = before {
            self.drop_policy(before);
        }
        let id = self.engine.policies.insert(compiled);
        if let Some(list) = self.engine.matchers.policies_mut(subject) {
            list.push(id);
        }
        self.unsorted.insert(subject);
        self.touched_matchers.insert(subject);
    }

    pub(super) fn remove_policy(&mut self, key: &PolicyKey) {
        if let Some(id) = self.engine.policies.find(key) {
            self.drop_policy(id);
        }
    }

    pub(super) fn drop_policy(&mut self, id: PolicyId) {
        let Some(compiled) = self.engine.policies.remove(id) else { return };
        if let Some(list) = self.engine.matchers.policies_mut(compiled.subject) {
            list.retain(|p| *p != id);
        }
        self.touched_matchers.insert(compiled.subject);
        self.released.push(compiled.subject);
        for peer in compiled.peers.iter().flat_map(|rules| rules.iter().flatten().flatten()) {
            if self.engine.matchers.remove_peer_use(*peer) {
                self.touched_matchers.insert(*peer);
            }
            self.released.push(*peer);
        }
        for name in compiled.port_names(Direction::Egress) {
            if let Some(count) = self.engine.egress_names.get_mut(name) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.engine.egress_names.remove(name);
                    self.touched_names.insert(name.to_owned());
                }
            }
        }
    }

    /// By rule, the distinct peers; `None` where it is for everybody.
    pub(super) fn peers_of_rules(&mut self, policy: &Policy, direction: Direction) -> RulePeers {
        let mut peers_of = |peers: Vec<DistinctPeer>| {
            let ids = peers.into_iter().map(|peer| {
                let id = self.hold_matcher(peer);
                if self.engine.matchers.add_peer_use(id) {
                    self.touched_matchers.insert(id);
                }
                id
            });
            Some(ids.collect())
        };
        match policy {
            Policy::Network(policy) => {
                let rules = network_rules(policy, direction).unwrap_or_default().iter();
                let own = &policy.name.namespace;
                rules
                    .map(|rule| match &rule.peers {
                        Peers::Any => None,
                        Peers::Of(peers) => {
                            peers_of(peers.iter().map(|p| DistinctPeer::of(own, p)).collect())
                        }
                    })
                    .collect()
            }
            Policy::Cluster(policy) => cluster_rules(policy, direction)
                .iter()
                .map(|rule| match rule.in_force() {
                    InForce::AsWritten(_, matches) => {
                        peers_of(matches.peers.iter().map(DistinctPeer::of_cluster).collect())
                    }
                    InForce::DenyAll => None,
                    InForce::Nothing => Some(Box::default()),
                })
                .collect(),
        }
    }

    pub(super) fn hold_matcher(&mut self, matcher: DistinctPeer) -> PeerId {
        let (id, new) = self.engine.matchers.hold(matcher.clone());
        if new {
            self.new_matchers.push(id);
            self.hold_addresses(id, &matcher, true);
        }
        id
    }

    /// An address peer holds its addresses from now on, or does so no more.
    pub(super) fn hold_addresses(&mut self, id: PeerId, matcher: &DistinctPeer, holds: bool) {
        self.blocks_changed |= matches!(matcher, DistinctPeer::Block(_) | DistinctPeer::Nodes(_));
        let (held, except) = self.engine.prefixes_held(matcher);
        if holds {
            self.engine.space.add(id, &held, &except);
        } else {
            self.engine.space.remove(id, &held, &except);
        }
    }
}
