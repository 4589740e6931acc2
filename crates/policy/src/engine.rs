//! A compiled world: every question is a look-up.
//!
//! Compiling finds, for each group of pods, the policies that select it (its *policy set*, one for each direction) and
//! the distinct peers of all policies that match it (its *signature*); addresses get the class of the blocks that hold
//! them. A policy set and the other end's signature together give the rules that apply, and those rules a
//! [`PortMap`]. Nothing is ever computed for a pair of pods.
//!
//! What is absent: no I/O, no cache that fills while questions are asked (an engine is immutable and can be shared
//! between threads), and no second way to decide: [`Engine::port_map`] is the only one.

use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::addresses::{AddressSpace, ClassId, PeerId};
use crate::index::{GroupId, Index};
use crate::model::{
    IpBlock, LabelSelector, Labels, NAMESPACE_NAME_LABEL, NamedPort, NetworkPolicy, Pod, PodId, Rule,
    RuleRef, Traffic, World,
};
use crate::portmap::{Decision, Painter, PortMap, RuleId};
use crate::verdict::{Because, Direction, Side, Verdict};

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A pod, by any of its addresses; see [`Engine::routes`].
    Pod(PodId),
    /// An address: a pod's, a node's, or outside.
    Address(IpAddr),
}

/// The policies that isolate some pods in one direction, with what their named ports mean there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub(crate) u32);

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

    /// What no peer of any policy matches.
    pub const NOBODY: Identity =
        Identity { signature: SignatureId(0), class: ClassId::NONE, named: NamedId(0) };
}

/// A set of distinct peers, all of them selectors. 0 is the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SignatureId(pub(crate) u32);

/// A list of named ports. 0 is the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NamedId(pub(crate) u32);

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
    pub(crate) world: World,
    pub(crate) index: Index,
    pub(crate) places: Vec<Place>,
    /// By pod, the number of the node that it runs on.
    pub(crate) pods_node: Vec<Option<u32>>,
    pub(crate) ends: FxHashMap<IpAddr, Owner>,
    pub(crate) rules: Vec<RuleRef>,
    pub(crate) peers: Vec<DistinctPeer>,
    pub(crate) sets: Vec<PolicySet>,
    pub(crate) signatures: Vec<Box<[PeerId]>>,
    pub(crate) named: Vec<Box<[NamedPort]>>,
    pub(crate) groups: Vec<Group>,
    pub(crate) space: AddressSpace,
}

/// A pod's place in the compiled world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// `None` for pods on their node's network.
    pub(crate) group: Option<GroupId>,
    /// The blocks that hold the pod by any of its addresses.
    pub(crate) class: ClassId,
}

/// Whose an address is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    Pod(PodId),
    Node(u32),
}

/// What is compiled once for all pods of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) ingress: Option<SetId>,
    pub(crate) egress: Option<SetId>,
    pub(crate) signature: SignatureId,
    pub(crate) named: NamedId,
}

/// The rules of a policy set, by the peers that they name.
#[derive(Debug)]
pub(crate) struct PolicySet {
    pub(crate) direction: Direction,
    pub(crate) policies: Vec<u32>,
    /// What the named ports of ingress rules mean on the pods of this set.
    pub(crate) named: NamedId,
    /// Rules for everybody.
    pub(crate) any: Vec<RuleId>,
    pub(crate) by_peer: FxHashMap<PeerId, Vec<RuleId>>,
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
        crate::compile::compile(world)
    }

    /// What was compiled.
    pub fn world(&self) -> &World {
        &self.world
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
        let mut addresses = crate::compile::pod_addresses(&self.world, pod);
        addresses.retain(|address| match self.ends.get(address) {
            Some(Owner::Pod(owner)) => *owner == id || pod.host_network,
            Some(Owner::Node(node)) => pod.host_network && self.node_of(id) == Some(*node),
            None => false,
        });
        addresses.sort_unstable();
        addresses.dedup();
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
        let (rules, named) = self.matching(set, identity);
        self.paint(&rules, named)
    }

    /// All that a port map follows from: the rules of a set that an identity meets, in the order in which they are
    /// asked, each once, and what their named ports mean there.
    pub(crate) fn matching(&self, set: SetId, identity: Identity) -> (Vec<RuleId>, NamedId) {
        let Some(set) = self.sets.get(set.0 as usize) else { return (Vec::new(), NamedId(0)) };
        let named = match set.direction {
            Direction::Ingress => set.named,
            Direction::Egress => identity.named,
        };
        (self.matching_rules(set, identity), named)
    }

    /// The port map of rules: each decides what none before it has decided, and what none decides is denied.
    pub(crate) fn paint(&self, rules: &[RuleId], named: NamedId) -> PortMap {
        let named = self.named_ports(named);
        let mut painter = Painter::default();
        for id in rules {
            if let Some(rule) = self.rule(*id) {
                painter.paint(&rule.ports, named, Decision { allow: true, rule: Some(*id) });
                if painter.is_full() {
                    break;
                }
            }
        }
        painter.finish(Decision::ISOLATED)
    }

    /// The peers that the rules of a set name.
    pub(crate) fn peers_named(&self, set: SetId) -> impl Iterator<Item = PeerId> {
        self.sets.get(set.0 as usize).into_iter().flat_map(|s| s.by_peer.keys().copied())
    }

    /// Whether a set treats an identity as it treats [`Identity::NOBODY`]: none of its rules names the one and not the
    /// other.
    pub fn is_nobody_to(&self, set: SetId, identity: Identity) -> bool {
        self.sets.get(set.0 as usize).is_none_or(|set| {
            (set.direction == Direction::Ingress || identity.named == NamedId(0))
                && !self.peers_of(identity).any(|peer| set.by_peer.contains_key(&peer))
        })
    }

    /// Every distinct peer of all policies, and for each how many groups of pods it matches.
    pub fn peer_matches(&self) -> (&[DistinctPeer], Vec<usize>) {
        let mut counts = vec![0; self.peers.len()];
        for group in &self.groups {
            for peer in self.signatures.get(group.signature.0 as usize).into_iter().flatten() {
                if let Some(count) = counts.get_mut(peer.0 as usize) {
                    *count += 1;
                }
            }
        }
        (&self.peers, counts)
    }

    /// The rule that a reference names.
    pub fn resolve(&self, rule: RuleRef) -> Option<(&NetworkPolicy, &Rule)> {
        let policy = self.world.policies.get(rule.policy as usize)?;
        let rules = if rule.egress { policy.egress.as_ref() } else { policy.ingress.as_ref() };
        Some((policy, rules?.get(rule.rule as usize)?))
    }

    /// The pod of a number, if there is one.
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
        from.node.is_some() && to.pod.is_some_and(|pod| self.node_of(pod) == from.node)
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
        self.pods_node.get(pod.0 as usize).copied().flatten()
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

    pub(crate) fn peers_of(&self, identity: Identity) -> impl Iterator<Item = PeerId> {
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
