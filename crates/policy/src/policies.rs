//! Policies in numbers, and lists and sets of them.
//!
//! A *list* is the policies of one tier that hold some pods in one direction, in the order in which they are asked, with
//! its rules by the peers that they name. A *set* is up to three lists, one for each tier. Lists are shared by sets and
//! sets by groups of pods, so what thousands of pods have in common is kept once.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::cluster::{Action, ClusterPolicy, ClusterTier, InForce};
use crate::engine::NamedId;
use crate::matchers::PeerId;
use crate::model::{NetworkPolicy, Policy, PolicyId, PolicyKey, PortRef, Ports, RuleRef};
use crate::slots::{Interner, Slots};
use crate::verdict::{Direction, Tier};

/// The policies of one tier that hold some pods in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ListId(u32);

/// The policies that hold some pods in one direction, with what their named ports mean there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub(crate) u32);

/// By rule, its peers, or `None` where it is for everybody.
pub(crate) type RulePeers = Box<[Option<Box<[PeerId]>>]>;

/// A policy and the numbers of what its rules match.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) policy: Policy,
    pub(crate) subject: PeerId,
    /// By direction.
    pub(crate) peers: [RulePeers; 2],
}

impl Compiled {
    /// The tier that it is asked in for a direction, if it says anything about it.
    pub(crate) fn tier(&self, direction: Direction) -> Option<Tier> {
        match &self.policy {
            Policy::Network(policy) => network_rules(policy, direction).map(|_| Tier::NetworkPolicy),
            Policy::Cluster(policy) if cluster_rules(policy, direction).is_empty() => None,
            Policy::Cluster(policy) => Some(match policy.tier {
                ClusterTier::Admin => Tier::Admin,
                ClusterTier::Baseline => Tier::Baseline,
            }),
        }
    }

    /// What a rule does, and on which ports; `None` where it does nothing.
    pub(crate) fn effect(&self, direction: Direction, rule: u32) -> Option<(Action, &Ports)> {
        let place = rule as usize;
        match &self.policy {
            Policy::Network(policy) => {
                let rule = network_rules(policy, direction)?.get(place)?;
                Some((Action::Accept, &rule.ports))
            }
            Policy::Cluster(policy) => match cluster_rules(policy, direction).get(place)?.in_force() {
                InForce::AsWritten(action, matches) => Some((action, &matches.ports)),
                InForce::DenyAll => Some((Action::Deny, &Ports::Any)),
                InForce::Nothing => None,
            },
        }
    }

    /// The port names that its rules of a direction use.
    pub(crate) fn port_names(&self, direction: Direction) -> BTreeSet<&str> {
        let count = self.peers.get(direction.place()).map_or(0, |rules| rules.len());
        let effects = (0u32..).take(count).filter_map(|rule| self.effect(direction, rule));
        let mut names = BTreeSet::new();
        for (_, ports) in effects {
            let Ports::Of(ports) = ports else { continue };
            names.extend(ports.iter().filter_map(|p| match &p.port {
                PortRef::Named(name) => Some(name.as_str()),
                PortRef::All | PortRef::Range(_) => None,
            }));
        }
        names
    }
}

/// A NetworkPolicy's rules of a direction, if it says anything about it.
pub(crate) fn network_rules(policy: &NetworkPolicy, direction: Direction) -> Option<&[crate::model::Rule]> {
    match direction {
        Direction::Ingress => policy.ingress.as_deref(),
        Direction::Egress => policy.egress.as_deref(),
    }
}

/// A cluster-wide policy's rules of a direction.
pub(crate) fn cluster_rules(policy: &ClusterPolicy, direction: Direction) -> &[crate::cluster::ClusterRule] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}

/// The order in which policies of one tier are asked.
fn asked_before(one: &Policy, other: &Policy) -> Ordering {
    match (one, other) {
        (Policy::Network(a), Policy::Network(b)) => a.name.cmp(&b.name),
        (Policy::Cluster(a), Policy::Cluster(b)) => {
            (a.tier, a.priority, &a.name).cmp(&(b.tier, b.priority, &b.name))
        }
        (Policy::Cluster(_), Policy::Network(_)) => Ordering::Less,
        (Policy::Network(_), Policy::Cluster(_)) => Ordering::Greater,
    }
}

/// All policies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policies {
    slots: Slots<Compiled>,
    by_key: FxHashMap<PolicyKey, PolicyId>,
}

impl Policies {
    pub(crate) fn begin_update(&mut self) {
        self.slots.begin_update();
    }

    pub(crate) fn insert(&mut self, compiled: Compiled) -> PolicyId {
        let key = compiled.policy.key();
        let id = PolicyId(self.slots.insert(compiled));
        self.by_key.insert(key, id);
        id
    }

    pub(crate) fn remove(&mut self, id: PolicyId) -> Option<Compiled> {
        let compiled = self.slots.remove(id.0)?;
        let key = compiled.policy.key();
        if self.by_key.get(&key) == Some(&id) {
            self.by_key.remove(&key);
        }
        Some(compiled)
    }

    pub(crate) fn find(&self, key: &PolicyKey) -> Option<PolicyId> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn get(&self, id: PolicyId) -> Option<&Compiled> {
        self.slots.get(id.0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PolicyId, &Policy)> {
        self.slots.iter().map(|(id, compiled)| (PolicyId(id), &compiled.policy))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Sorts policies into the order in which they are asked.
    pub(crate) fn sort(&self, ids: &mut [PolicyId]) {
        ids.sort_by(|a, b| match (self.get(*a), self.get(*b)) {
            (Some(a), Some(b)) => asked_before(&a.policy, &b.policy),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
    }
}

/// Lists and sets, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sets {
    lists: Interner<ListKey>,
    /// By list.
    rules: Vec<Arc<ListRules>>,
    sets: Interner<SetKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ListKey {
    direction: Direction,
    policies: Box<[PolicyId]>,
}

/// What a set is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SetKey {
    pub(crate) direction: Direction,
    /// By tier; `None` where no policy of that tier holds the pods.
    pub(crate) tiers: [Option<ListId>; 3],
    /// What the named ports of ingress rules mean on the pods of this set.
    pub(crate) named: NamedId,
}

/// The rules of a list in the order in which they are asked, by the peers that they name.
#[derive(Debug, Default)]
pub(crate) struct ListRules {
    rules: Box<[RuleRef]>,
    /// Places of rules for everybody.
    any: Box<[u32]>,
    /// Peers with places of rules that name them, sorted.
    by_peer: Box<[(PeerId, u32)]>,
    names: Box<[Box<str>]>,
}

impl ListRules {
    fn new(policies: &Policies, direction: Direction, ids: &[PolicyId]) -> ListRules {
        let (mut rules, mut any, mut by_peer) = (Vec::new(), Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        for id in ids {
            let Some(compiled) = policies.get(*id) else { continue };
            names.extend(compiled.port_names(direction));
            let Some(of_rules) = compiled.peers.get(direction.place()) else { continue };
            for (rule, peers) in (0u32..).zip(of_rules.iter()) {
                if compiled.effect(direction, rule).is_none() {
                    continue;
                }
                let place = crate::slots::number(rules.len());
                rules.push(RuleRef { policy: *id, egress: direction == Direction::Egress, rule });
                match peers {
                    Some(peers) => by_peer.extend(peers.iter().map(|p| (*p, place))),
                    None => any.push(place),
                }
            }
        }
        by_peer.sort_unstable();
        by_peer.dedup();
        ListRules {
            rules: rules.into_boxed_slice(),
            any: any.into_boxed_slice(),
            by_peer: by_peer.into_boxed_slice(),
            names: names.into_iter().map(Box::from).collect(),
        }
    }

    /// The places of the rules that meet an end with these peers, in the order in which they are asked, each once.
    fn matching(&self, peers: impl Iterator<Item = PeerId>, into: &mut Vec<u32>) {
        into.clear();
        into.extend_from_slice(&self.any);
        for peer in peers {
            let from = self.by_peer.partition_point(|(p, _)| *p < peer);
            let of_peer = self.by_peer.get(from..).unwrap_or_default();
            into.extend(of_peer.iter().take_while(|(p, _)| *p == peer).map(|(_, place)| *place));
        }
        into.sort_unstable();
        into.dedup();
    }
}

impl Sets {
    pub(crate) fn begin_update(&mut self) {
        self.lists.begin_update();
        self.sets.begin_update();
    }

    /// The list of these policies (sorted), held once more; `None` of none.
    pub(crate) fn hold_list(
        &mut self,
        policies: &Policies,
        direction: Direction,
        ids: Vec<PolicyId>,
    ) -> Option<ListId> {
        if ids.is_empty() {
            return None;
        }
        let key = ListKey { direction, policies: ids.into_boxed_slice() };
        let (id, new) = self.lists.hold(&key, |k| Arc::new(k.clone()));
        if new {
            let rules = Arc::new(ListRules::new(policies, direction, &key.policies));
            let place = id as usize;
            if self.rules.len() <= place {
                self.rules.resize_with(place + 1, Arc::default);
            }
            if let Some(slot) = self.rules.get_mut(place) {
                *slot = rules;
            }
        }
        Some(ListId(id))
    }

    pub(crate) fn release_list(&mut self, id: ListId) {
        if self.lists.release(id.0).is_some()
            && let Some(slot) = self.rules.get_mut(id.0 as usize)
        {
            *slot = Arc::default();
        }
    }

    /// The set of these lists, held once more, and whether it is new. A set holds its lists.
    pub(crate) fn hold_set(&mut self, key: &SetKey) -> (SetId, bool) {
        let (id, new) = self.sets.hold(key, |k| Arc::new(k.clone()));
        if new {
            key.tiers.iter().flatten().for_each(|list| self.lists.hold_again(list.0));
        }
        (SetId(id), new)
    }

    /// One holder less; what named ports it had, if that was the last.
    pub(crate) fn release_set(&mut self, id: SetId) -> Option<NamedId> {
        let gone = self.sets.release(id.0)?;
        gone.tiers.iter().flatten().for_each(|list| self.release_list(*list));
        Some(gone.named)
    }

    pub(crate) fn get(&self, id: SetId) -> Option<&SetKey> {
        self.sets.get(id.0)
    }

    /// The policies of a set in one tier, in the order in which they are asked.
    pub(crate) fn policies(&self, id: SetId, tier: Tier) -> &[PolicyId] {
        let list = self.get(id).and_then(|set| set.list(tier));
        list.and_then(|list| self.lists.get(list.0)).map_or(&[], |key| &key.policies)
    }

    /// The port names that a list's rules use.
    pub(crate) fn names(&self, list: ListId) -> &[Box<str>] {
        self.rules.get(list.0 as usize).map_or(&[], |r| &r.names)
    }

    /// The rules of a list that meet an end with these peers, in the order in which they are asked.
    pub(crate) fn matching<'s>(
        &'s self,
        list: ListId,
        peers: impl Iterator<Item = PeerId>,
        places: &'s mut Vec<u32>,
    ) -> impl Iterator<Item = RuleRef> + 's {
        let rules = self.rules.get(list.0 as usize);
        if let Some(rules) = rules {
            rules.matching(peers, places);
        }
        places.iter().filter_map(move |place| rules?.rules.get(*place as usize).copied())
    }

    /// The peers that the rules of a set name, some of them twice.
    pub(crate) fn peers_named(&self, set: SetId) -> impl Iterator<Item = PeerId> {
        let lists = self.get(set).into_iter().flat_map(|s| s.tiers.iter().flatten());
        lists
            .filter_map(|list| self.rules.get(list.0 as usize))
            .flat_map(|rules| rules.by_peer.iter().map(|(peer, _)| *peer))
    }

    /// Whether some rule of a set names a peer.
    pub(crate) fn names_peer(&self, set: &SetKey, peer: PeerId) -> bool {
        set.tiers.iter().flatten().any(|list| {
            self.rules.get(list.0 as usize).is_some_and(|rules| {
                let at = rules.by_peer.partition_point(|(p, _)| *p < peer);
                rules.by_peer.get(at).is_some_and(|(p, _)| *p == peer)
            })
        })
    }

    /// How many lists and sets there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.lists.len(), self.sets.len())
    }
}

impl SetKey {
    pub(crate) fn list(&self, tier: Tier) -> Option<ListId> {
        self.tiers.get(tier.place()?).copied().flatten()
    }
}
