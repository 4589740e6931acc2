//! A compiled world: every question is a look-up.
//!
//! Compiling finds, for each group of pods, the policies that select it (its *policy set*, one for each direction) and
//! the distinct peers of all policies that match it (its *signature*); addresses get the class of the blocks that hold
//! them. A policy set and the other end's signature together give the rules that apply, and those rules a
//! [`PortMap`]. Nothing is ever computed for a pair of pods.
//!
//! What is absent: no I/O, no cache that fills while questions are asked (an engine is immutable and can be shared
//! between threads), and no second way to decide: [`Engine::port_map`] is the only one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::addresses::{AddressSpace, ClassId, PeerId};
use crate::index::{GroupId, Index, NamespaceId, number};
use crate::model::{
    IpBlock, LabelSelector, Labels, NAMESPACE_NAME_LABEL, NamedPort, NamespaceScope, NetworkPolicy, Peer,
    Peers, Pod, PodId, PortRef, Ports, Rule, RuleRef, Traffic, World,
};
use crate::portmap::{Decision, Painter, PortMap, RuleId};
use crate::verdict::{Because, Direction, Side, Verdict};

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A pod, by any of its addresses.
    Pod(PodId),
    /// An address: a pod's, a node's, or outside.
    Address(IpAddr),
}

/// The policies that isolate some pods in one direction, with what their named ports mean there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(u32);

/// What policies can tell of the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    signature: SignatureId,
    class: ClassId,
    named: NamedId,
}

impl Identity {
    /// What no peer of any policy matches.
    pub const NOBODY: Identity =
        Identity { signature: SignatureId(0), class: ClassId::NONE, named: NamedId(0) };
}

/// A set of distinct peers, all of them selectors. 0 is the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct SignatureId(u32);

/// A list of named ports. 0 is the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct NamedId(u32);

/// A peer with its namespace settled, so that equal peers of different policies are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DistinctPeer {
    /// Pods that a selector matches in one namespace.
    PodsIn(String, LabelSelector),
    /// Pods that the second selector matches in the namespaces that the first matches.
    PodsAcross(LabelSelector, LabelSelector),
    /// Addresses.
    Block(IpBlock),
}

/// A compiled [`World`].
#[derive(Debug)]
pub struct Engine {
    world: World,
    index: Index,
    places: Vec<Place>,
    ends: FxHashMap<IpAddr, Owner>,
    rules: Vec<RuleRef>,
    peers: Vec<DistinctPeer>,
    sets: Vec<PolicySet>,
    signatures: Vec<Box<[PeerId]>>,
    named: Vec<Box<[NamedPort]>>,
    groups: Vec<Group>,
    space: AddressSpace,
}

/// A pod's place in the compiled world.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// `None` for pods on their node's network.
    group: Option<GroupId>,
    /// The blocks that hold the pod by any of its addresses.
    class: ClassId,
}

/// Whose an address is.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Pod(PodId),
    Node(u32),
}

/// What is compiled once for all pods of a group.
#[derive(Debug, Clone, Copy)]
struct Group {
    ingress: Option<SetId>,
    egress: Option<SetId>,
    signature: SignatureId,
    named: NamedId,
}

/// The rules of a policy set, by the peers that they name.
#[derive(Debug)]
struct PolicySet {
    direction: Direction,
    policies: Vec<u32>,
    /// What the named ports of ingress rules mean on the pods of this set.
    named: NamedId,
    /// Rules for everybody.
    any: Vec<RuleId>,
    by_peer: FxHashMap<PeerId, Vec<RuleId>>,
}

/// An end of a question, found in the world.
#[derive(Debug, Clone, Copy)]
struct Found {
    pod: Option<PodId>,
    node: Option<u32>,
    class: ClassId,
}

impl Engine {
    /// Compiles a world.
    pub fn new(world: World) -> Engine {
        Compiler::new(world).compile()
    }

    /// What was compiled.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Whether a connection may be made, and why.
    pub fn verdict(&self, from: End, to: End, traffic: Traffic) -> Verdict {
        let (from, to) = (self.find(from), self.find(to));
        Verdict { egress: self.egress_side(from, to, traffic), ingress: self.ingress_side(from, to, traffic) }
    }

    /// The pod whose address this is, unless it is on its node's network.
    pub fn pod_at(&self, address: IpAddr) -> Option<PodId> {
        match self.ends.get(&address)? {
            Owner::Pod(pod) => Some(*pod),
            Owner::Node(_) => None,
        }
    }

    /// The policies that isolate a pod in a direction; `None` where it is open.
    pub fn policy_set(&self, pod: PodId, direction: Direction) -> Option<SetId> {
        let group = self.groups.get(self.place(pod).group?.0 as usize)?;
        match direction {
            Direction::Ingress => group.ingress,
            Direction::Egress => group.egress,
        }
    }

    /// The policies of a set, as places in [`World::policies`], sorted by namespace and name.
    pub fn policies(&self, set: SetId) -> &[u32] {
        self.sets.get(set.0 as usize).map_or(&[], |s| &s.policies)
    }

    /// The direction of a set.
    pub fn direction(&self, set: SetId) -> Direction {
        self.sets.get(set.0 as usize).map_or(Direction::Ingress, |s| s.direction)
    }

    /// What the named ports of a set's rules mean on its own pods; empty for egress.
    pub fn set_named_ports(&self, set: SetId) -> &[NamedPort] {
        self.sets.get(set.0 as usize).map_or(&[], |s| self.named_ports(s.named))
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
        let peers = self.peers_of(identity).filter_map(|p| self.peers.get(p.0 as usize));
        (peers, self.named_ports(identity.named))
    }

    /// The address space as blocks divide it.
    pub fn address_space(&self) -> &AddressSpace {
        &self.space
    }

    /// The rule of a number.
    pub fn rule_ref(&self, rule: RuleId) -> Option<RuleRef> {
        self.rules.get(rule.0 as usize).copied()
    }

    /// What is decided between the pods of a policy set and an identity.
    pub fn port_map(&self, set: SetId, identity: Identity) -> PortMap {
        let Some(set) = self.sets.get(set.0 as usize) else { return PortMap::uniform(Decision::ISOLATED) };
        let named = self.named_ports(match set.direction {
            Direction::Ingress => set.named,
            Direction::Egress => identity.named,
        });
        let mut painter = Painter::default();
        for id in self.matching_rules(set, identity) {
            if let Some(rule) = self.rule(id) {
                painter.paint(&rule.ports, named, Decision { allow: true, rule: Some(id) });
                if painter.is_full() {
                    break;
                }
            }
        }
        painter.finish(Decision::ISOLATED)
    }

    /// Whether a set treats an identity as it treats [`Identity::NOBODY`]: none of its rules names the one and not the
    /// other.
    pub fn is_nobody_to(&self, set: SetId, identity: Identity) -> bool {
        self.sets.get(set.0 as usize).is_none_or(|set| {
            (set.direction == Direction::Ingress || identity.named == NamedId(0))
                && !self.peers_of(identity).any(|peer| set.by_peer.contains_key(&peer))
        })
    }

    /// The rule that a reference names.
    pub fn resolve(&self, rule: RuleRef) -> Option<(&NetworkPolicy, &Rule)> {
        let policy = self.world.policies.get(rule.policy as usize)?;
        let rules = if rule.egress { policy.egress.as_ref() } else { policy.ingress.as_ref() };
        Some((policy, rules?.get(rule.rule as usize)?))
    }

    /// The pod of a place, if there is one.
    pub fn pod(&self, id: PodId) -> Option<&Pod> {
        self.world.pods.get(id.0 as usize)
    }

    /// The labels of a namespace, the automatic one among them.
    pub fn namespace_labels(&self, name: &str) -> Labels {
        let id = self.index.find_namespace(name);
        let known = id.and_then(|id| self.index.namespace_labels(id)).cloned();
        known.unwrap_or_else(|| Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned())]))
    }

    /// Whether a block holds an end, as far as its addresses are known.
    pub(crate) fn in_block(&self, block: &IpBlock, end: End) -> bool {
        let class = self.find(end).class;
        let blocks = self.space.blocks(class).iter().filter_map(|p| self.peers.get(p.0 as usize));
        blocks.into_iter().any(|p| matches!(p, DistinctPeer::Block(b) if b == block))
    }

    /// Whether a connection from one end to the other starts at the node that the other end runs on.
    pub fn is_own_node(&self, from: End, to: End) -> bool {
        self.found_own_node(self.find(from), self.find(to))
    }

    fn rule(&self, id: RuleId) -> Option<&Rule> {
        Some(self.resolve(self.rule_ref(id)?)?.1)
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
        let Some(pod) = subject.pod else {
            return Side { allowed: true, isolated: false, because: Because::NoSubject };
        };
        let set = self.policy_set(pod, direction);
        let isolated = set.is_some();
        let (allowed, because) = match set {
            _ if itself => (true, Because::Itself),
            _ if own_node => (true, Because::OwnNode),
            None => (true, Because::NotIsolated),
            Some(set) => {
                let decision = self.port_map(set, self.found_identity(other)).decide(traffic);
                match decision.rule.and_then(|id| self.rule_ref(id)) {
                    Some(rule) => (decision.allow, Because::Rule(rule)),
                    None => (decision.allow, Because::NoRule(self.policies(set).to_vec())),
                }
            }
        };
        Side { allowed, isolated, because }
    }

    fn found_own_node(&self, from: Found, to: Found) -> bool {
        let (Some(node), Some(pod)) = (from.node, to.pod) else { return false };
        let name = self.world.nodes.get(node as usize).map(|n| &n.name);
        name.is_some() && self.pod(pod).and_then(|p| p.node.as_ref()) == name
    }

    fn find(&self, end: End) -> Found {
        let owner = match end {
            End::Pod(pod) => Some(Owner::Pod(pod)),
            End::Address(address) => self.ends.get(&address).copied(),
        };
        let class = match end {
            End::Pod(pod) => self.place(pod).class,
            End::Address(address) => self.space.class(address),
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
        let name = self.pod(pod)?.node.as_ref()?;
        self.world.nodes.iter().position(|n| n.name == *name).map(number)
    }

    fn found_identity(&self, found: Found) -> Identity {
        let group = found.pod.and_then(|p| self.place(p).group).and_then(|g| self.groups.get(g.0 as usize));
        match group {
            Some(group) => Identity { signature: group.signature, class: found.class, named: group.named },
            None => self.class_identity(found.class),
        }
    }

    fn place(&self, pod: PodId) -> Place {
        self.places.get(pod.0 as usize).copied().unwrap_or(Place { group: None, class: ClassId::NONE })
    }

    fn named_ports(&self, id: NamedId) -> &[NamedPort] {
        self.named.get(id.0 as usize).map_or(&[], |n| n)
    }

    fn peers_of(&self, identity: Identity) -> impl Iterator<Item = PeerId> {
        let selectors = self.signatures.get(identity.signature.0 as usize).map_or(&[][..], |s| s);
        selectors.iter().chain(self.space.blocks(identity.class)).copied()
    }

    /// The rules of a set that an identity meets, in the order in which they are asked, each once.
    fn matching_rules(&self, set: &PolicySet, identity: Identity) -> Vec<RuleId> {
        let mut rules = set.any.clone();
        for peer in self.peers_of(identity) {
            if let Some(more) = set.by_peer.get(&peer) {
                rules.extend(more);
            }
        }
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// Values numbered in the order of their first appearance.
struct Interner<T> {
    numbers: FxHashMap<T, u32>,
    values: Vec<T>,
}

impl<T: Clone + Eq + std::hash::Hash> Interner<T> {
    fn new() -> Interner<T> {
        Interner { numbers: FxHashMap::default(), values: Vec::new() }
    }

    fn intern(&mut self, value: T) -> u32 {
        if let Some(id) = self.numbers.get(&value) {
            return *id;
        }
        let id = number(self.values.len());
        self.values.push(value.clone());
        self.numbers.insert(value, id);
        id
    }
}

/// The work of making an [`Engine`].
struct Compiler {
    world: World,
    index: Index,
    pods: Vec<Option<GroupId>>,
    /// Policies sorted by namespace and name: rules are numbered, asked and named in this order.
    order: Vec<u32>,
    rules: Vec<RuleRef>,
    /// By policy and direction, the number of the first rule.
    first_rule: FxHashMap<(u32, Direction), u32>,
    peers: Interner<DistinctPeer>,
    named: Interner<Box<[NamedPort]>>,
}

impl Compiler {
    fn new(world: World) -> Compiler {
        let mut index = Index::default();
        for namespace in &world.namespaces {
            index.add_namespace(namespace);
        }
        let pods = world.pods.iter().map(|pod| (!pod.host_network).then(|| index.add_pod(pod))).collect();
        let mut order: Vec<u32> = (0..number(world.policies.len())).collect();
        order.sort_by_key(|i| world.policies.get(*i as usize).map(|p| &p.name));
        let mut named = Interner::new();
        named.intern(Box::default());
        Compiler {
            world,
            index,
            pods,
            order,
            rules: Vec::new(),
            first_rule: FxHashMap::default(),
            peers: Interner::new(),
            named,
        }
    }

    fn compile(mut self) -> Engine {
        self.number_rules();
        let peers_of_rule: Vec<Option<Vec<PeerId>>> =
            self.rules.clone().into_iter().map(|r| self.rule_peers(r)).collect();
        let (sets, group_sets) = self.policy_sets(&peers_of_rule);
        let (signatures, group_signatures) = self.signatures();
        let egress_names = self.names_used(Direction::Egress, self.order.iter().copied());
        let groups = group_sets
            .into_iter()
            .zip(group_signatures)
            .enumerate()
            .map(|(i, ((ingress, egress), signature))| {
                let named = self.named_for(GroupId(number(i)), &egress_names);
                Group { ingress, egress, signature, named }
            })
            .collect();
        let mut space =
            AddressSpace::new(self.peers.values.iter().enumerate().filter_map(|(i, p)| match p {
                DistinctPeer::Block(block) => Some((PeerId(number(i)), block)),
                _ => None,
            }));
        let places = self.places(&mut space);
        let ends = self.ends();
        Engine {
            index: self.index,
            places,
            ends,
            rules: self.rules,
            peers: self.peers.values,
            sets,
            signatures,
            named: self.named.values,
            groups,
            space,
            world: self.world,
        }
    }

    fn number_rules(&mut self) {
        for policy in &self.order {
            let Some(body) = self.world.policies.get(*policy as usize) else { continue };
            for (direction, rules) in [(Direction::Ingress, &body.ingress), (Direction::Egress, &body.egress)]
            {
                self.first_rule.insert((*policy, direction), number(self.rules.len()));
                let egress = direction == Direction::Egress;
                let count = number(rules.as_ref().map_or(0, Vec::len));
                self.rules.extend((0..count).map(|rule| RuleRef { policy: *policy, egress, rule }));
            }
        }
    }

    /// The distinct peers of a rule; `None` where it is for everybody.
    fn rule_peers(&mut self, rule: RuleRef) -> Option<Vec<PeerId>> {
        let policy = self.world.policies.get(rule.policy as usize)?;
        let rules = if rule.egress { policy.egress.as_ref()? } else { policy.ingress.as_ref()? };
        let Peers::Of(peers) = &rules.get(rule.rule as usize)?.peers else { return None };
        let own = &policy.name.namespace;
        let distinct: Vec<DistinctPeer> = peers.iter().map(|peer| distinct_peer(own, peer)).collect();
        Some(distinct.into_iter().map(|p| PeerId(self.peers.intern(p))).collect())
    }

    #[expect(clippy::type_complexity, reason = "one list, read at once by the only caller")]
    fn policy_sets(
        &mut self,
        peers_of_rule: &[Option<Vec<PeerId>>],
    ) -> (Vec<PolicySet>, Vec<(Option<SetId>, Option<SetId>)>) {
        let count = self.index.groups().len();
        let mut ingress: Vec<Vec<u32>> = vec![Vec::new(); count];
        let mut egress: Vec<Vec<u32>> = vec![Vec::new(); count];
        for place in &self.order {
            let Some(policy) = self.world.policies.get(*place as usize) else { continue };
            let own = self.index.namespace(&policy.name.namespace);
            for group in self.index.select(own, &NamespaceScope::Own, &policy.subject) {
                for (lists, rules) in [(&mut ingress, &policy.ingress), (&mut egress, &policy.egress)] {
                    if let (Some(list), Some(_)) = (lists.get_mut(group.0 as usize), rules) {
                        list.push(*place);
                    }
                }
            }
        }
        let mut numbers: FxHashMap<(Direction, Vec<u32>, u32), SetId> = FxHashMap::default();
        let mut sets = Vec::new();
        let mut intern = |this: &mut Compiler, group: usize, direction: Direction, policies: Vec<u32>| {
            if policies.is_empty() {
                return None;
            }
            let named = match direction {
                Direction::Ingress => {
                    let names = this.names_used(direction, policies.iter().copied());
                    this.named_for(GroupId(number(group)), &names)
                }
                Direction::Egress => NamedId(0),
            };
            let next = SetId(number(sets.len()));
            Some(*numbers.entry((direction, policies.clone(), named.0)).or_insert_with(|| {
                sets.push(this.policy_set(direction, policies, named, peers_of_rule));
                next
            }))
        };
        let by_group = ingress
            .into_iter()
            .zip(egress)
            .enumerate()
            .map(|(i, (ingress, egress))| {
                (intern(self, i, Direction::Ingress, ingress), intern(self, i, Direction::Egress, egress))
            })
            .collect();
        (sets, by_group)
    }

    fn policy_set(
        &self,
        direction: Direction,
        policies: Vec<u32>,
        named: NamedId,
        peers_of_rule: &[Option<Vec<PeerId>>],
    ) -> PolicySet {
        let mut any = Vec::new();
        let mut by_peer: FxHashMap<PeerId, Vec<RuleId>> = FxHashMap::default();
        for policy in &policies {
            let Some(first) = self.first_rule.get(&(*policy, direction)) else { continue };
            let rules = self.rules.iter().enumerate().skip(*first as usize);
            for (i, _) in
                rules.take_while(|(_, r)| r.policy == *policy && r.egress == (direction == Direction::Egress))
            {
                let id = RuleId(number(i));
                match peers_of_rule.get(i) {
                    Some(Some(peers)) => peers.iter().for_each(|p| by_peer.entry(*p).or_default().push(id)),
                    Some(None) => any.push(id),
                    None => {}
                }
            }
        }
        PolicySet { direction, policies, named, any, by_peer }
    }

    /// For each group, the distinct selector peers that match it.
    fn signatures(&mut self) -> (Vec<Box<[PeerId]>>, Vec<SignatureId>) {
        let mut by_group: Vec<Vec<PeerId>> = vec![Vec::new(); self.index.groups().len()];
        let nowhere = NamespaceId(u32::MAX);
        for (i, peer) in self.peers.values.iter().enumerate() {
            let matched = match peer {
                DistinctPeer::PodsIn(namespace, pods) => {
                    let own = self.index.namespace(namespace);
                    self.index.select(own, &NamespaceScope::Own, pods)
                }
                DistinctPeer::PodsAcross(namespaces, pods) => {
                    self.index.select(nowhere, &NamespaceScope::Matching(namespaces.clone()), pods)
                }
                DistinctPeer::Block(_) => continue,
            };
            for group in matched {
                if let Some(signature) = by_group.get_mut(group.0 as usize) {
                    signature.push(PeerId(number(i)));
                }
            }
        }
        let mut interner: Interner<Box<[PeerId]>> = Interner::new();
        interner.intern(Box::default());
        let ids = by_group.into_iter().map(|s| SignatureId(interner.intern(s.into_boxed_slice()))).collect();
        (interner.values, ids)
    }

    /// The port names that these policies' rules of a direction use.
    fn names_used(&self, direction: Direction, policies: impl Iterator<Item = u32>) -> BTreeSet<String> {
        let bodies = policies.filter_map(|p| self.world.policies.get(p as usize));
        let rules = bodies.filter_map(|p| match direction {
            Direction::Ingress => p.ingress.as_ref(),
            Direction::Egress => p.egress.as_ref(),
        });
        let mut names = BTreeSet::new();
        for rule in rules.flatten() {
            if let Ports::Of(ports) = &rule.ports {
                for port in ports {
                    if let PortRef::Named(name) = &port.port {
                        names.insert(name.clone());
                    }
                }
            }
        }
        names
    }

    /// A group's named ports, those of them that have one of these names.
    fn named_for(&mut self, group: GroupId, names: &BTreeSet<String>) -> NamedId {
        if names.is_empty() {
            return NamedId(0);
        }
        let all = self.index.group(group).map_or(&[][..], |k| &k.named_ports);
        let used: Box<[NamedPort]> = all.iter().filter(|n| names.contains(&n.name)).cloned().collect();
        NamedId(self.named.intern(used))
    }

    /// Pods by group and by the blocks that hold any of their addresses.
    ///
    /// Of a pod without an address only this is known: a block that is a whole family holds it, and so does a block
    /// around every range of one family in which such pods live.
    fn places(&self, space: &mut AddressSpace) -> Vec<Place> {
        let mut by_family: BTreeMap<bool, Vec<_>> = BTreeMap::new();
        for range in &self.world.pod_cidrs {
            by_family.entry(range.addr().is_ipv4()).or_default().push(*range);
        }
        let blocks = self.peers.values.iter().enumerate().filter_map(|(i, p)| match p {
            DistinctPeer::Block(block) => Some((PeerId(number(i)), block)),
            _ => None,
        });
        let (mut everyone, mut around) = (Vec::new(), Vec::new());
        for (id, block) in blocks {
            if block.is_everyone() {
                everyone.push(id);
            }
            if block.is_everyone() || by_family.values().any(|ranges| ranges.iter().all(|r| block.covers(*r)))
            {
                around.push(id);
            }
        }
        let (everyone, around) = (space.intern(everyone), space.intern(around));
        let mut places = Vec::with_capacity(self.pods.len());
        for (pod, group) in self.world.pods.iter().zip(&self.pods) {
            let class = match pod_addresses(&self.world, pod).as_slice() {
                [] if pod.host_network => everyone,
                [] => around,
                [one] => space.class(*one),
                several => {
                    let mut blocks: Vec<PeerId> = Vec::new();
                    for address in several {
                        blocks.extend(space.blocks(space.class(*address)));
                    }
                    blocks.sort_unstable();
                    blocks.dedup();
                    space.intern(blocks)
                }
            };
            places.push(Place { group: *group, class });
        }
        places
    }

    fn ends(&self) -> FxHashMap<IpAddr, Owner> {
        let mut ends = FxHashMap::default();
        for (i, pod) in self.world.pods.iter().enumerate() {
            for address in &pod.addresses {
                ends.insert(*address, Owner::Pod(PodId(number(i))));
            }
        }
        for (i, node) in self.world.nodes.iter().enumerate() {
            for address in &node.addresses {
                ends.insert(*address, Owner::Node(number(i)));
            }
        }
        ends
    }
}

/// A pod's own addresses; for one on its node's network the node's too.
fn pod_addresses(world: &World, pod: &Pod) -> Vec<IpAddr> {
    let mut addresses = pod.addresses.clone();
    if pod.host_network
        && let Some(node) = world.nodes.iter().find(|n| Some(&n.name) == pod.node.as_ref())
    {
        addresses.extend(&node.addresses);
    }
    addresses
}

fn distinct_peer(own: &str, peer: &Peer) -> DistinctPeer {
    match peer {
        Peer::Pods { namespaces: NamespaceScope::Own, pods } => {
            DistinctPeer::PodsIn(own.to_owned(), pods.clone())
        }
        Peer::Pods { namespaces: NamespaceScope::Matching(namespaces), pods } => {
            DistinctPeer::PodsAcross(namespaces.clone(), pods.clone())
        }
        Peer::Block(block) => DistinctPeer::Block(block.clone()),
    }
}
