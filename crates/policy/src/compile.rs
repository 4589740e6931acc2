//! From a world to an engine: the work of [`Engine::new`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::addresses::{AddressSpace, PeerId};
use crate::engine::{DistinctPeer, Engine, Group, NamedId, Owner, Place, PolicySet, SetId, SignatureId};
use crate::index::{GroupId, Index, NamespaceId, number};
use crate::model::{
    LabelSelector, NamedPort, NamespaceScope, Peer, Peers, Pod, PodId, PortRef, Ports, RuleRef, World,
};
use crate::portmap::RuleId;
use crate::verdict::Direction;

/// Compiles a world.
pub(crate) fn compile(world: World) -> Engine {
    Compiler::new(world).compile()
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

/// What some policies of one namespace select, and those policies: their rank in the order of names, and their place in
/// the world.
struct Subject {
    namespace: NamespaceId,
    selector: LabelSelector,
    ingress: Vec<(u32, u32)>,
    egress: Vec<(u32, u32)>,
}

impl Subject {
    fn policies(&self, direction: Direction) -> &[(u32, u32)] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
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
            .map(|(i, ([ingress, egress], signature))| {
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
        let nodes = self.nodes();
        let ends = self.ends(&nodes);
        Engine {
            index: self.index,
            places,
            ends,
            pods_node: self
                .world
                .pods
                .iter()
                .map(|p| p.node.as_ref().and_then(|n| nodes.get(n).copied()))
                .collect(),
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

    /// The policy sets, and for each group its own: ingress, egress.
    ///
    /// Policies that select by the same words are one *subject*; what follows from a group's policies is found once for
    /// each list of subjects, which is short even where thousands of policies select the group.
    fn policy_sets(
        &mut self,
        peers_of_rule: &[Option<Vec<PeerId>>],
    ) -> (Vec<PolicySet>, Vec<[Option<SetId>; 2]>) {
        let subjects = self.subjects();
        let mut subjects_of: Vec<Vec<u32>> = vec![Vec::new(); self.index.groups().len()];
        for (place, subject) in (0u32..).zip(&subjects) {
            for group in self.index.select(subject.namespace, &NamespaceScope::Own, &subject.selector) {
                if let Some(list) = subjects_of.get_mut(group.0 as usize) {
                    list.push(place);
                }
            }
        }
        let mut sets = Vec::new();
        let by_direction = [Direction::Ingress, Direction::Egress].map(|direction| {
            let mut bodies: FxHashMap<Vec<u32>, (Vec<u32>, BTreeSet<String>)> = FxHashMap::default();
            let mut numbers: FxHashMap<(Vec<u32>, NamedId), SetId> = FxHashMap::default();
            let mut by_group: Vec<Option<SetId>> = Vec::with_capacity(subjects_of.len());
            for (group, list) in (0u32..).zip(&subjects_of) {
                let policies_of =
                    |s: &u32| subjects.get(*s as usize).map_or(&[][..], |s| s.policies(direction));
                let key: Vec<u32> = list.iter().copied().filter(|s| !policies_of(s).is_empty()).collect();
                if key.is_empty() {
                    by_group.push(None);
                    continue;
                }
                let (policies, names) = bodies.entry(key.clone()).or_insert_with(|| {
                    let mut policies: Vec<(u32, u32)> = key.iter().flat_map(policies_of).copied().collect();
                    policies.sort_unstable();
                    let policies: Vec<u32> = policies.into_iter().map(|(_, place)| place).collect();
                    let names = match direction {
                        Direction::Ingress => self.names_used(direction, policies.iter().copied()),
                        Direction::Egress => BTreeSet::new(),
                    };
                    (policies, names)
                });
                let named = self.named_for(GroupId(group), names);
                let next = SetId(number(sets.len()));
                by_group.push(Some(*numbers.entry((key, named)).or_insert_with(|| {
                    sets.push(self.policy_set(direction, policies.clone(), named, peers_of_rule));
                    next
                })));
            }
            by_group
        });
        let [ingress, egress] = by_direction;
        (sets, ingress.into_iter().zip(egress).map(|(i, e)| [i, e]).collect())
    }

    /// The distinct subjects, each with its policies.
    fn subjects(&mut self) -> Vec<Subject> {
        let mut numbers: FxHashMap<(NamespaceId, LabelSelector), usize> = FxHashMap::default();
        let mut subjects: Vec<Subject> = Vec::new();
        for (rank, place) in (0u32..).zip(&self.order) {
            let Some(policy) = self.world.policies.get(*place as usize) else { continue };
            let namespace = self.index.namespace(&policy.name.namespace);
            let next = subjects.len();
            let at = *numbers.entry((namespace, policy.subject.clone())).or_insert(next);
            if at == next {
                let selector = policy.subject.clone();
                subjects.push(Subject { namespace, selector, ingress: Vec::new(), egress: Vec::new() });
            }
            let Some(subject) = subjects.get_mut(at) else { continue };
            if policy.ingress.is_some() {
                subject.ingress.push((rank, *place));
            }
            if policy.egress.is_some() {
                subject.egress.push((rank, *place));
            }
        }
        subjects
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

    /// Numbers for the nodes, by name: those of the world first, then those that only pods name.
    fn nodes(&self) -> FxHashMap<String, u32> {
        let mut nodes = FxHashMap::default();
        let named = self
            .world
            .nodes
            .iter()
            .map(|n| &n.name)
            .chain(self.world.pods.iter().filter_map(|p| p.node.as_ref()));
        for name in named {
            let next = number(nodes.len());
            nodes.entry(name.clone()).or_insert(next);
        }
        nodes
    }

    fn ends(&self, nodes: &FxHashMap<String, u32>) -> FxHashMap<IpAddr, Owner> {
        let mut ends = FxHashMap::default();
        for (i, pod) in self.world.pods.iter().enumerate() {
            for address in &pod.addresses {
                ends.insert(*address, Owner::Pod(PodId(number(i))));
            }
        }
        for node in &self.world.nodes {
            let Some(id) = nodes.get(&node.name) else { continue };
            for address in &node.addresses {
                ends.insert(*address, Owner::Node(*id));
            }
        }
        ends
    }
}

/// A pod's own addresses; for one on its node's network the node's too.
pub(crate) fn pod_addresses(world: &World, pod: &Pod) -> Vec<IpAddr> {
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
