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
//! What is absent: no I/O, no cache that fills while questions are asked, and no second way to decide: `Engine::put` is
//! the only place where rules meet traffic, for all ports at once or for one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::addresses::{AddressSpace, ClassId};
use crate::change::{Change, Delta};
use crate::cluster::Action;
use crate::index::{GroupId, Index};
use crate::matchers::{DistinctPeer, Matchers, PeerId};
use crate::model::{
    Labels, NAMESPACE_NAME_LABEL, NamedPort, Namespace, Node, Pod, PodId, Policy, PolicyId, PolicyKey,
    ResolvedName, RuleRef, Source, Traffic, World,
};
use crate::policies::{Policies, SetId, Sets, cluster_rules, network_rules};
use crate::portmap::{Canvas, Decision, Painter, Point, PortMap};
use crate::slots::{Interner, Slots};
use crate::verdict::{Because, Direction, Side, Tier, Verdict};

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A pod, by any of its addresses; see [`Engine::routes`].
    Pod(PodId),
    /// An address: a pod's, a node's, or outside.
    Address(IpAddr),
}

/// What policies can tell of the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    signature: SignatureId,
    class: ClassId,
    named: NamedId,
}

impl Identity {
    /// Whether a rule of an egress set could reach it by a port's name.
    pub(crate) fn has_named_ports(self) -> bool {
        self.named != NamedId(0)
    }

    pub(crate) fn named(self) -> NamedId {
        self.named
    }

    /// What no peer of any policy matches.
    pub const NOBODY: Identity =
        Identity { signature: SignatureId(0), class: ClassId::NONE, named: NamedId(0) };
}

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
    /// Those who would own an address if its owner did not.
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

/// How many distinct things an engine holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Pods.
    pub pods: usize,
    /// Groups of pods that no selector can tell apart.
    pub groups: usize,
    /// Namespaces, declared or with pods.
    pub namespaces: usize,
    /// Nodes, those too that only pods name.
    pub nodes: usize,
    /// Addresses of pods and nodes.
    pub addresses: usize,
    /// Policies of every kind.
    pub policies: usize,
    /// Subjects and peers.
    pub matchers: usize,
    /// Lists of policies of one tier that hold some pods.
    pub lists: usize,
    /// Sets of such lists.
    pub sets: usize,
    /// Sets of selectors that match some pods.
    pub signatures: usize,
    /// Lists of named ports that rules can reach.
    pub port_names: usize,
    /// Prefixes that address peers bring.
    pub prefixes: usize,
    /// Sets of address peers that hold some address.
    pub classes: usize,
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

/// An end of a question, found in the world.
#[derive(Debug, Clone, Copy)]
struct Found {
    pod: Option<PodId>,
    node: Option<u32>,
    class: ClassId,
}

/// All that a port map follows from: equal where the same rules are asked in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Matching {
    /// By tier.
    rules: [Vec<RuleRef>; 3],
    network: NetworkTier,
    named: NamedId,
}

/// What the tier of NetworkPolicies has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum NetworkTier {
    /// Nothing: no NetworkPolicy isolates the pod in the direction.
    Silent,
    /// Only what some rule allows may pass.
    Isolates,
    /// Everything may pass: the pod is isolated, but not from itself.
    Exempts,
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

    /// Whether a connection may be made, and why. Between ends with addresses of both families it may if it may in
    /// one of them.
    pub fn verdict(&self, from: End, to: End, traffic: Traffic) -> Verdict {
        let (from, to) = self.deciding_route(from, to, traffic);
        self.route_verdict(from, to, traffic)
    }

    /// The ways that a connection can take: one for each address family that both ends have. Both sides must allow the
    /// same one. Where no addresses are known that both could use, the ends as they are. Never empty.
    pub fn routes(&self, from: End, to: End) -> Vec<(End, End)> {
        let (sources, destinations) = (self.addresses(from), self.addresses(to));
        let mut routes = Vec::new();
        for source in &sources {
            let same_family = |d: &&IpAddr| d.is_ipv4() == source.is_ipv4();
            let to = destinations.iter().filter(same_family);
            routes.extend(to.map(|d| (End::Address(*source), End::Address(*d))));
        }
        if routes.is_empty() { vec![(from, to)] } else { routes }
    }

    /// The route by which a connection is allowed, or else the first.
    pub(crate) fn deciding_route(&self, from: End, to: End, traffic: Traffic) -> (End, End) {
        let routes = self.routes(from, to);
        let allowed = |(from, to): &&(End, End)| self.route_verdict(*from, *to, traffic).allowed();
        match routes.as_slice() {
            [only] => *only,
            several => several.iter().find(allowed).or(several.first()).copied().unwrap_or((from, to)),
        }
    }

    fn route_verdict(&self, from: End, to: End, traffic: Traffic) -> Verdict {
        let (from, to) = (self.find(from), self.find(to));
        Verdict { egress: self.egress_side(from, to, traffic), ingress: self.ingress_side(from, to, traffic) }
    }

    /// The addresses that are known to be an end's and nobody else's.
    fn addresses(&self, end: End) -> Vec<IpAddr> {
        let id = match end {
            End::Pod(id) => id,
            End::Address(address) => return vec![address],
        };
        let Some(pod) = self.pod(id) else { return Vec::new() };
        let mut addresses = self.addresses_of(pod);
        addresses.retain(|address| match self.owners.get(address) {
            Some(Owner::Pod(owner)) => *owner == id || pod.host_network,
            Some(Owner::Node(node)) => pod.host_network && self.node_of(id) == Some(*node),
            None => false,
        });
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// A pod's own addresses; for one on its node's network the node's too.
    pub(crate) fn addresses_of(&self, pod: &Pod) -> Vec<IpAddr> {
        let mut addresses = pod.addresses.clone();
        if pod.host_network
            && let Some(node) = pod.node.as_ref().and_then(|name| self.nodes.get(name))
        {
            addresses.extend(&node.addresses);
        }
        addresses
    }

    /// The address families by which a pod is known; empty where none is.
    pub(crate) fn by_family(&self, pod: PodId) -> Vec<(bool, Identity)> {
        let addresses = self.addresses(End::Pod(pod)).into_iter();
        let mut families: Vec<(bool, Identity)> =
            addresses.map(|a| (a.is_ipv4(), self.identity(End::Address(a)))).collect();
        families.dedup();
        families
    }

    /// The pod whose address this is, unless it is on its node's network.
    pub fn pod_at(&self, address: IpAddr) -> Option<PodId> {
        match self.owners.get(&address)? {
            Owner::Pod(pod) => Some(*pod),
            Owner::Node(_) => None,
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

    /// What policies can tell of an end.
    pub fn identity(&self, end: End) -> Identity {
        self.found_identity(self.find(end))
    }

    /// What policies can tell of an address outside, by the class of its longest prefix.
    pub fn class_identity(&self, class: ClassId) -> Identity {
        Identity { class, ..Identity::NOBODY }
    }

    /// The distinct peers that an identity is matched by, and the named ports that a rule can reach on it.
    pub fn describe(&self, identity: Identity) -> (impl Iterator<Item = &DistinctPeer>, &[NamedPort]) {
        let peers = self.peers_of(identity).filter_map(|p| self.matchers.get(p));
        (peers, self.named_ports(identity.named))
    }

    pub(crate) fn matcher(&self, peer: PeerId) -> Option<&DistinctPeer> {
        self.matchers.get(peer)
    }

    /// The address space as address peers divide it.
    pub fn address_space(&self) -> &AddressSpace {
        &self.space
    }

    /// What is decided between the pods of a policy set and an identity.
    pub fn port_map(&self, set: SetId, identity: Identity) -> PortMap {
        self.paint(&self.matching(set, identity))
    }

    /// What is decided where a pod of a policy set, which has this identity, reaches itself through a Service.
    pub fn hairpin_map(&self, set: SetId, identity: Identity) -> PortMap {
        self.paint(&self.hairpin_matching(set, identity))
    }

    /// Whether cluster-wide policies are in a set. Without them a pod reaches itself however it does so.
    pub fn has_cluster_policies(&self, set: SetId) -> bool {
        [Tier::Admin, Tier::Baseline].into_iter().any(|tier| !self.sets.policies(set, tier).is_empty())
    }

    fn hairpin_matching(&self, set: SetId, identity: Identity) -> Matching {
        let matching = self.matching(set, identity);
        match matching.network {
            NetworkTier::Silent => matching,
            NetworkTier::Isolates | NetworkTier::Exempts => {
                Matching { network: NetworkTier::Exempts, ..matching }
            }
        }
    }

    /// All that a port map follows from: the rules of a set that an identity meets, in the order in which they are
    /// asked, each once, and what their named ports mean there.
    pub(crate) fn matching(&self, set: SetId, identity: Identity) -> Matching {
        self.matching_peers(set, || self.peers_of(identity), identity.named)
    }

    /// The same for an end that these peers match, which has these ports with a name.
    pub(crate) fn matching_peers<P: Iterator<Item = PeerId>>(
        &self,
        set: SetId,
        peers: impl Fn() -> P,
        named: NamedId,
    ) -> Matching {
        let Some(set) = self.sets.get(set) else {
            let network = NetworkTier::Isolates;
            return Matching { rules: Default::default(), network, named: NamedId(0) };
        };
        let mut places = Vec::new();
        let mut rules = |tier| match set.list(tier) {
            Some(list) => self.sets.matching(list, peers(), &mut places).collect(),
            None => Vec::new(),
        };
        Matching {
            rules: Tier::WITH_POLICIES.map(&mut rules),
            network: match set.list(Tier::NetworkPolicy) {
                Some(_) => NetworkTier::Isolates,
                None => NetworkTier::Silent,
            },
            named: match set.direction {
                Direction::Ingress => set.named,
                Direction::Egress => named,
            },
        }
    }

    /// The prefixes that an address peer holds, less those that it does not hold.
    pub(crate) fn prefixes_held(&self, peer: &DistinctPeer) -> (Vec<IpNet>, Vec<IpNet>) {
        let hosts =
            |addresses: &mut dyn Iterator<Item = &IpAddr>| addresses.map(|a| IpNet::from(*a)).collect();
        match peer {
            DistinctPeer::PodsIn(..) | DistinctPeer::PodsAcross(_) => (Vec::new(), Vec::new()),
            DistinctPeer::Block(block) => (vec![block.cidr()], block.except().to_vec()),
            DistinctPeer::Nodes(selector) => {
                let nodes = self.nodes.values().filter(|n| selector.matches(&n.labels));
                (hosts(&mut nodes.flat_map(|n| &n.addresses)), Vec::new())
            }
            DistinctPeer::Domain(pattern) => {
                let names = self.names.iter().filter(|(name, _)| pattern.matches(name));
                (hosts(&mut names.flat_map(|(_, addresses)| addresses)), Vec::new())
            }
        }
    }

    /// The port map that follows: each rule decides what none before it has decided.
    pub(crate) fn paint(&self, matching: &Matching) -> PortMap {
        let mut painter = Painter::default();
        self.put(matching, &mut painter);
        painter.finish(Decision::OPEN)
    }

    /// Puts the rules of all tiers to a canvas. This is what policies mean: cluster-wide ones of the Admin tier in their
    /// order, then NetworkPolicies, which have the last word where they isolate, then the Baseline tier.
    fn put(&self, matching: &Matching, canvas: &mut impl Canvas) {
        let named = self.named_ports(matching.named);
        let [admin, network, baseline] = &matching.rules;
        self.put_tier(admin, named, canvas);
        canvas.end_tier();
        match matching.network {
            NetworkTier::Isolates => {
                self.put_tier(network, named, canvas);
                canvas.rest(Decision::ISOLATED);
            }
            NetworkTier::Exempts => canvas.rest(Decision::OPEN),
            NetworkTier::Silent => {
                self.put_tier(baseline, named, canvas);
                canvas.end_tier();
            }
        }
    }

    fn put_tier(&self, rules: &[RuleRef], named: &[NamedPort], canvas: &mut impl Canvas) {
        for rule in rules.iter().copied() {
            if canvas.is_full() {
                return;
            }
            let direction = if rule.egress { Direction::Egress } else { Direction::Ingress };
            let effect = self.policies.get(rule.policy).and_then(|c| c.effect(direction, rule.rule));
            if let Some((action, ports)) = effect {
                canvas.put(rule, action, ports, named);
            }
        }
    }

    /// The peers that the rules of a set name, some of them twice.
    pub(crate) fn peers_named(&self, set: SetId) -> impl Iterator<Item = PeerId> {
        self.sets.peers_named(set)
    }

    /// Whether a set treats an identity as it treats [`Identity::NOBODY`]: none of its rules names the one and not the
    /// other.
    pub fn is_nobody_to(&self, set: SetId, identity: Identity) -> bool {
        self.sets.get(set).is_none_or(|set| {
            (set.direction == Direction::Ingress || identity.named == NamedId(0))
                && !self.peers_of(identity).any(|peer| self.sets.names_peer(set, peer))
        })
    }

    /// Every distinct matcher of all policies, and for each how many groups of pods it matches.
    pub fn peer_matches(&self) -> Vec<(&DistinctPeer, usize)> {
        let mut counts: FxHashMap<PeerId, usize> = FxHashMap::default();
        for group in self.groups.iter().flatten() {
            for peer in self.signatures.get(group.signature.0).unwrap_or_default() {
                *counts.entry(*peer).or_default() += 1;
            }
        }
        let peers = self.matchers.iter().filter(|(id, _)| self.matchers.is_peer(*id));
        peers.map(|(id, peer)| (peer, counts.get(&id).copied().unwrap_or_default())).collect()
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

    /// Whether an address peer that is in force holds an end.
    pub(crate) fn holds(&self, end: End, is_meant: impl Fn(&DistinctPeer) -> bool) -> bool {
        let class = self.find(end).class;
        self.space.peers(class).iter().filter_map(|p| self.matchers.get(*p)).any(is_meant)
    }

    fn egress_side(&self, from: Found, to: Found, traffic: Traffic) -> Side {
        self.side(from, to, Direction::Egress, from.pod.is_some() && from.pod == to.pod, false, traffic)
    }

    fn ingress_side(&self, from: Found, to: Found, traffic: Traffic) -> Side {
        let own_node = self.found_own_node(from, to);
        self.side(to, from, Direction::Ingress, from.pod.is_some() && from.pod == to.pod, own_node, traffic)
    }

    fn side(
        &self,
        subject: Found,
        other: Found,
        direction: Direction,
        itself: bool,
        own_node: bool,
        traffic: Traffic,
    ) -> Side {
        let open = |isolated, because| Side { allowed: true, isolated, because, passed: Vec::new() };
        let Some(pod) = subject.pod else { return open(false, Because::NoSubject) };
        let Some((id, set)) = self.policy_set(pod, direction).and_then(|id| Some((id, self.sets.get(id)?)))
        else {
            let because = match (itself, own_node) {
                (true, _) => Because::Itself,
                (false, true) => Because::OwnNode,
                (false, false) => Because::NotIsolated,
            };
            return open(false, because);
        };
        let isolated = set.list(Tier::NetworkPolicy).is_some();
        if itself {
            return open(isolated, Because::Itself);
        }
        if own_node {
            return open(isolated, Because::OwnNode);
        }
        self.decide(id, &self.matching(id, self.found_identity(other)), traffic)
    }

    /// A pod that reaches itself through a Service. Cluster-wide policies are asked, since its packets leave it and come
    /// back; NetworkPolicies cannot keep a pod from itself.
    ///
    /// <https://network-policy-api.sigs.k8s.io/api-overview/>
    pub fn hairpin_verdict(&self, end: End, traffic: Traffic) -> Verdict {
        let addresses = self.addresses(end).into_iter().map(End::Address);
        let mut verdicts = addresses.map(|address| self.hairpin_at(address, traffic));
        let first = verdicts.next().unwrap_or_else(|| self.hairpin_at(end, traffic));
        if first.allowed() { first } else { verdicts.find(Verdict::allowed).unwrap_or(first) }
    }

    fn hairpin_at(&self, end: End, traffic: Traffic) -> Verdict {
        let found = self.find(end);
        let open = |because| Side { allowed: true, isolated: false, because, passed: Vec::new() };
        let side = |direction| {
            let Some(pod) = found.pod else { return open(Because::NoSubject) };
            let Some(set) = self.policy_set(pod, direction) else { return open(Because::Itself) };
            self.decide(set, &self.hairpin_matching(set, self.found_identity(found)), traffic)
        };
        Verdict { egress: side(Direction::Egress), ingress: side(Direction::Ingress) }
    }

    /// The rules that would have been met by a connection on one side, had an earlier rule of their tier not passed it on.
    pub fn skipped(&self, from: End, to: End, traffic: Traffic, direction: Direction) -> Vec<RuleRef> {
        let (from, to) = self.deciding_route(from, to, traffic);
        let (from, to) = (self.find(from), self.find(to));
        let (subject, other) = match direction {
            Direction::Egress => (from, to),
            Direction::Ingress => (to, from),
        };
        let set = subject.pod.and_then(|pod| self.policy_set(pod, direction));
        let Some(matching) = set.map(|set| self.matching(set, self.found_identity(other))) else {
            return Vec::new();
        };
        let named = self.named_ports(matching.named);
        let [admin, _, baseline] = &matching.rules;
        let baseline = Some(baseline).filter(|_| matching.network == NetworkTier::Silent);
        let mut skipped = Vec::new();
        for tier in [admin].into_iter().chain(baseline) {
            let mut met = tier.iter().filter_map(|rule| {
                let (action, ports) = self.policies.get(rule.policy)?.effect(direction, rule.rule)?;
                ports.matches(traffic, named).then_some((*rule, action))
            });
            if met.next().is_some_and(|(_, action)| action == Action::Pass) {
                skipped.extend(met.map(|(rule, _)| rule));
            }
        }
        skipped
    }

    /// What the rules of a set that are asked say to a connection.
    fn decide(&self, set: SetId, matching: &Matching, traffic: Traffic) -> Side {
        let mut point = Point::new(traffic);
        self.put(matching, &mut point);
        point.rest(Decision::OPEN);
        let decision = point.decision.unwrap_or(Decision::ISOLATED);
        let because = match (decision.rule, matching.network) {
            (Some(rule), _) => Because::Rule(rule),
            (None, NetworkTier::Exempts) => Because::Itself,
            (None, _) if decision.allow => Because::NotIsolated,
            (None, _) => Because::NoRule(self.sets.policies(set, Tier::NetworkPolicy).to_vec()),
        };
        let isolated = matching.network != NetworkTier::Silent;
        Side { allowed: decision.allow, isolated, because, passed: point.passed }
    }

    fn found_own_node(&self, from: Found, to: Found) -> bool {
        from.node.is_some() && to.pod.is_some_and(|pod| self.node_of(pod) == from.node)
    }

    fn find(&self, end: End) -> Found {
        let owner = match end {
            End::Pod(pod) => Some(Owner::Pod(pod)),
            End::Address(address) => self.owners.get(&address).copied(),
        };
        let class = match (end, owner) {
            (End::Pod(pod), _) => self.place(pod).class,
            // A pod of one address is classed by that.
            (End::Address(_), Some(Owner::Pod(pod)))
                if self.pod(pod).is_some_and(|p| p.addresses.len() == 1 && !p.host_network) =>
            {
                self.place(pod).class
            }
            (End::Address(address), _) => self.space.class(address),
        };
        match owner {
            Some(Owner::Pod(pod)) if self.place(pod).group.is_some() => {
                Found { pod: Some(pod), node: None, class }
            }
            Some(Owner::Pod(pod)) => Found { pod: None, node: self.node_of(pod), class },
            Some(Owner::Node(node)) => Found { pod: None, node: Some(node), class },
            None => Found { pod: None, node: None, class },
        }
    }

    fn node_of(&self, pod: PodId) -> Option<u32> {
        self.place(pod).node
    }

    fn found_identity(&self, found: Found) -> Identity {
        let group = found.pod.and_then(|p| self.place(p).group).and_then(|g| self.group(g));
        match group {
            Some(group) => Identity { signature: group.signature, class: found.class, named: group.named },
            None => self.class_identity(found.class),
        }
    }

    pub(crate) fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn place(&self, pod: PodId) -> Place {
        self.places.get(pod.0 as usize).copied().unwrap_or(Place::NOWHERE)
    }

    fn named_ports(&self, id: NamedId) -> &[NamedPort] {
        self.named.get(id.0).unwrap_or_default()
    }

    pub(crate) fn peers_of(&self, identity: Identity) -> impl Iterator<Item = PeerId> {
        let selectors = self.signatures.get(identity.signature.0).unwrap_or_default();
        selectors.iter().chain(self.space.peers(identity.class)).copied()
    }
}
