//! A compiled world: every question is a look-up.
//!
//! Compiling finds, for each group of pods, the policies that hold it (its *policy set*, one for each direction) and
//! the distinct peers of all policies that match it (its *signature*); addresses get the class of the peers that hold
//! them. A policy set and the other end's signature together give the rules that apply, and those rules a
//! [`PortMap`]. Nothing is ever computed for a pair of pods.
//!
//! [`Engine::apply`] changes the world and costs what that changes (`update.rs`); between two updates an engine is
//! immutable and can be shared between threads.
//!
//! Questions are answered in `decide.rs` (what policies mean), `ends.rs` (whose an address is, and what can be told of it),
//! `misses.rs` and `reach.rs`.
//!
//! What is absent: no I/O, no cache that fills while questions are asked, and no second way to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::addresses::{AddressSpace, ClassId};
use crate::change::{Change, Delta};
use crate::index::{GroupId, Index};
use crate::matchers::{Matchers, PeerId};
use crate::model::{
    Labels, NAMESPACE_NAME_LABEL, NamedPort, Namespace, Node, Pod, PodId, Policy, PolicyId, PolicyKey,
    ResolvedName, RuleRef, Source, World,
};
use crate::policies::{Policies, SetId, Sets, cluster_rules, network_rules};
use crate::slots::{Interner, Slots};
use crate::statistics::Statistics;
use crate::verdict::{Direction, Tier};

/// A set of distinct peers, all of them selectors. 0 is the empty one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SignatureId(pub(crate) u32);

/// A list of named ports. 0 is the empty one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NamedId(pub(crate) u32);

/// A compiled [`World`].
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) pods: Slots<Pod>,
    /// By pod.
    pub(crate) places: Vec<Place>,
    pub(crate) nodes: BTreeMap<String, Node>,
    /// The names of nodes, those too that only pods name.
    pub(crate) node_numbers: Interner<str>,
    /// The pods on their node's network, by the node's number.
    pub(crate) host_pods: FxHashMap<u32, Vec<PodId>>,
    /// The pods without a known address, and the blocks that hold them.
    pub(crate) unplaced: FxHashSet<PodId>,
    pub(crate) unplaced_in: Unplaced,
    pub(crate) owners: FxHashMap<IpAddr, Owner>,
    /// Those who claim an address and would own it if its owner did not.
    pub(crate) outdone: FxHashMap<IpAddr, Vec<Owner>>,
    /// The addresses that have an owner, in order.
    pub(crate) owned: BTreeSet<IpAddr>,
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) pod_cidrs: Vec<IpNet>,
    pub(crate) policies: Policies,
    pub(crate) matchers: Matchers,
    pub(crate) index: Index,
    /// By group.
    pub(crate) groups: Vec<Option<Group>>,
    pub(crate) sets: Sets,
    pub(crate) signatures: Interner<[PeerId]>,
    pub(crate) named: Interner<[NamedPort]>,
    /// The port names that egress rules use, and how many policies do.
    pub(crate) egress_names: FxHashMap<String, u32>,
    pub(crate) space: AddressSpace,
}

/// The blocks that hold pods without a known address, each list sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unplaced {
    /// Of a pod on its node's network: those that hold everybody.
    pub(crate) host: Vec<PeerId>,
    /// Of other pods.
    pub(crate) pods: Vec<PeerId>,
    /// Whether blocks or ranges have changed since.
    pub(crate) is_stale: bool,
}

/// A pod's place in the compiled world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// `None` for pods on their node's network.
    pub(crate) group: Option<GroupId>,
    /// The peers that hold the pod by any of its addresses.
    pub(crate) class: ClassId,
    /// The number of the node that it runs on.
    pub(crate) node: Option<u32>,
}

impl Place {
    pub(crate) const NOWHERE: Place = Place { group: None, class: ClassId::NONE, node: None };
}

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Pod(PodId),
    Node(u32),
}

/// What is compiled once for all pods of a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) pods: Vec<PodId>,
    /// The selectors that match it, sorted between updates.
    pub(crate) matchers: Vec<PeerId>,
    /// By direction.
    pub(crate) sets: [Option<SetId>; 2],
    pub(crate) signature: SignatureId,
    pub(crate) named: NamedId,
}

impl Engine {
    /// Compiles a world. Pods are numbered in its order.
    pub fn new(world: World) -> Engine {
        let mut engine = Engine::empty();
        let networks = world.policies.into_iter().map(Policy::Network);
        let policies = networks.chain(world.cluster_policies.into_iter().map(Policy::Cluster));
        let changes = [Change::SetPodCidrs(world.pod_cidrs)].into_iter();
        let changes = changes
            .chain(world.namespaces.into_iter().map(Change::SetNamespace))
            .chain(world.nodes.into_iter().map(Change::SetNode))
            .chain(world.names.into_iter().map(Change::SetName))
            .chain(world.pods.into_iter().map(Change::AddPod))
            .chain(policies.map(Change::SetPolicy));
        engine.apply(changes);
        engine
    }

    fn empty() -> Engine {
        let mut signatures: Interner<[PeerId]> = Interner::default();
        let mut named: Interner<[NamedPort]> = Interner::default();
        // Number 0 of each, for good.
        signatures.hold(&[], |s: &[PeerId]| s.into());
        named.hold(&[], |n: &[NamedPort]| n.into());
        Engine {
            pods: Slots::default(),
            places: Vec::new(),
            nodes: BTreeMap::new(),
            node_numbers: Interner::default(),
            host_pods: FxHashMap::default(),
            unplaced: FxHashSet::default(),
            unplaced_in: Unplaced::default(),
            owners: FxHashMap::default(),
            outdone: FxHashMap::default(),
            owned: BTreeSet::new(),
            names: BTreeMap::new(),
            pod_cidrs: Vec::new(),
            policies: Policies::default(),
            matchers: Matchers::default(),
            index: Index::default(),
            groups: Vec::new(),
            sets: Sets::default(),
            signatures,
            named,
            egress_names: FxHashMap::default(),
            space: AddressSpace::default(),
        }
    }

    /// Changes the world, and says what that changes in the answers. It costs what it changes; several changes at once
    /// cost less than one by one.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Delta {
        crate::update::apply(self, changes)
    }

    /// The world as it is now. Of an engine that was not changed, the pods are in the order in which they were given.
    pub fn to_world(&self) -> World {
        let mut world = World { pod_cidrs: self.pod_cidrs.clone(), ..World::default() };
        let declared = self.index.declared();
        world.namespaces = declared
            .map(|(name, labels)| Namespace { name: name.to_owned(), labels: labels.clone() })
            .collect();
        world.namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        world.nodes = self.nodes.values().cloned().collect();
        world.pods = self.pods.iter().map(|(_, pod)| pod.clone()).collect();
        let names = self.names.iter();
        world.names = names.map(|(n, a)| ResolvedName { name: n.clone(), addresses: a.clone() }).collect();
        for (_, policy) in self.policies.iter() {
            match policy {
                Policy::Network(policy) => world.policies.push(policy.clone()),
                Policy::Cluster(policy) => world.cluster_policies.push(policy.clone()),
            }
        }
        world
    }

    /// The pods, in the order of their numbers.
    pub fn pods(&self) -> impl Iterator<Item = (PodId, &Pod)> {
        self.pods.iter().map(|(id, pod)| (PodId(id), pod))
    }

    /// The pod of a number, if there is one.
    pub fn pod(&self, id: PodId) -> Option<&Pod> {
        self.pods.get(id.0)
    }

    /// How many pods there are.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The policies, in the order of their numbers.
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &Policy)> {
        self.policies.iter()
    }

    /// The policy of a number, if there is one.
    pub fn policy(&self, id: PolicyId) -> Option<&Policy> {
        self.policies.get(id).map(|c| &c.policy)
    }

    /// The policy of a name.
    pub fn find_policy(&self, key: &PolicyKey) -> Option<PolicyId> {
        self.policies.find(key)
    }

    /// Where pods without a known address live, as far as that is known.
    pub fn pod_cidrs(&self) -> &[IpNet] {
        &self.pod_cidrs
    }

    /// How many distinct things there are: what memory and time follow from.
    pub fn statistics(&self) -> Statistics {
        let (lists, sets) = self.sets.counts();
        Statistics {
            pods: self.pods.len(),
            groups: self.groups.iter().flatten().count(),
            namespaces: self.index.namespace_count(),
            nodes: self.node_numbers.len(),
            addresses: self.owners.len(),
            policies: self.policies.len(),
            matchers: self.matchers.len(),
            lists,
            sets,
            signatures: self.signatures.len(),
            port_names: self.named.len(),
            prefixes: self.space.prefixes().count(),
            classes: self.space.class_count(),
        }
    }

    /// The policies that hold a pod in a direction; `None` where none does, so that everything is allowed.
    pub fn policy_set(&self, pod: PodId, direction: Direction) -> Option<SetId> {
        self.group(self.place(pod).group?)?.sets.get(direction.place()).copied().flatten()
    }

    /// The NetworkPolicies that isolate a pod in a direction, sorted by namespace and name.
    pub fn isolating(&self, pod: PodId, direction: Direction) -> &[PolicyId] {
        self.policy_set(pod, direction).map_or(&[], |set| self.sets.policies(set, Tier::NetworkPolicy))
    }

    /// The policies of a set in one tier, in the order in which they are asked.
    pub fn set_policies(&self, set: SetId, tier: Tier) -> &[PolicyId] {
        self.sets.policies(set, tier)
    }

    /// The direction of a set.
    pub fn direction(&self, set: SetId) -> Direction {
        self.sets.get(set).map_or(Direction::Ingress, |s| s.direction)
    }

    /// What the named ports of a set's rules mean on its own pods; empty for egress.
    pub fn set_named_ports(&self, set: SetId) -> &[NamedPort] {
        self.sets.get(set).map_or(&[], |s| self.named_ports(s.named))
    }

    /// The tier in which a rule is asked.
    pub fn rule_tier(&self, rule: RuleRef) -> Tier {
        let direction = if rule.egress { Direction::Egress } else { Direction::Ingress };
        self.policies.get(rule.policy).and_then(|c| c.tier(direction)).unwrap_or(Tier::Default)
    }

    /// Where a rule is written; the policy's place where the rule's own is not known.
    pub fn rule_source(&self, rule: RuleRef) -> Option<&Source> {
        let direction = if rule.egress { Direction::Egress } else { Direction::Ingress };
        let policy = self.policy(rule.policy)?;
        let place = rule.rule as usize;
        let own = match policy {
            Policy::Network(policy) => network_rules(policy, direction)?.get(place)?.source.as_ref(),
            Policy::Cluster(policy) => cluster_rules(policy, direction).get(place)?.source.as_ref(),
        };
        own.or(policy.source())
    }

    /// The labels of a namespace, the automatic one among them.
    pub fn namespace_labels(&self, name: &str) -> Labels {
        let id = self.index.find_namespace(name);
        let known = id.and_then(|id| self.index.namespace_labels(id)).cloned();
        known.unwrap_or_else(|| Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned())]))
    }

    /// Whether a namespace is declared, and not only named by what is in it.
    pub fn is_declared(&self, namespace: &str) -> bool {
        self.index.is_declared(namespace)
    }
}
