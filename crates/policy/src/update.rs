//! From one world to another: the work of [`Engine::apply`](crate::Engine::apply).
//!
//! Changes are first carried into the stores (objects, matchers, prefixes), noting what they touch: groups of pods whose
//! selectors or policies may be others, prefixes, pods that lie elsewhere. Then everything that was touched is found
//! anew, each thing once however many changes touch it: that is also how a whole world is compiled.
//!
//! What is new is held before what is old is given back, so that what stays the same is not made again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::addresses::ClassId;
use crate::change::{Change, Delta};
use crate::cluster::{ClusterPeer, InForce, PodsAcross};
use crate::engine::{Engine, Group, NamedId, Owner, Place, SignatureId, Unplaced};
use crate::index::GroupId;
use crate::matchers::{DistinctPeer, PeerId};
use crate::model::{
    IpBlock, NamedPort, NamespaceScope, Node, Peer, Peers, Pod, PodId, Policy, PolicyId, PolicyKey,
    ResolvedName,
};
use crate::policies::{Compiled, ListId, SetKey, cluster_rules, network_rules};
use crate::verdict::{Direction, Tier};

/// Carries out changes.
pub(crate) fn apply(engine: &mut Engine, changes: impl IntoIterator<Item = Change>) -> Delta {
    let mut update = Update::begin(engine);
    for change in changes {
        update.change(change);
    }
    update.finish()
}

/// An update under way.
struct Update<'e> {
    engine: &'e mut Engine,
    added: Vec<PodId>,
    /// Addresses whose answers may have changed.
    addresses: FxHashSet<IpAddr>,
    /// Groups that came in this update.
    new_groups: Vec<GroupId>,
    /// Groups whose policy sets, signature or named ports must be found anew.
    dirty_groups: FxHashSet<GroupId>,
    /// Namespaces that have other labels.
    dirty_namespaces: BTreeSet<String>,
    /// Pods whose addresses may be held by other peers.
    dirty_pods: FxHashSet<PodId>,
    /// Matchers that came in this update.
    new_matchers: Vec<PeerId>,
    /// Matchers that were the subject of other policies before, or were a peer and are none any more, or the reverse.
    touched_matchers: FxHashSet<PeerId>,
    /// Subjects whose policies must be sorted.
    unsorted: FxHashSet<PeerId>,
    /// Matchers that gone policies hold.
    released: Vec<PeerId>,
    /// Port names that egress rules began or ceased to use.
    touched_names: BTreeSet<String>,
    /// Blocks came or went, or what is known of where pods live.
    blocks_changed: bool,
}

impl<'e> Update<'e> {
    fn begin(engine: &'e mut Engine) -> Update<'e> {
        engine.pods.begin_update();
        engine.node_numbers.begin_update();
        engine.policies.begin_update();
        engine.matchers.begin_update();
        engine.index.begin_update();
        engine.sets.begin_update();
        engine.signatures.begin_update();
        engine.named.begin_update();
        engine.space.begin_update();
        Update {
            engine,
            added: Vec::new(),
            addresses: FxHashSet::default(),
            new_groups: Vec::new(),
            dirty_groups: FxHashSet::default(),
            dirty_namespaces: BTreeSet::new(),
            dirty_pods: FxHashSet::default(),
            new_matchers: Vec::new(),
            touched_matchers: FxHashSet::default(),
            unsorted: FxHashSet::default(),
            released: Vec::new(),
            touched_names: BTreeSet::new(),
            blocks_changed: false,
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::AddPod(pod) => {
                let id = PodId(self.engine.pods.insert(pod.clone()));
                self.added.push(id);
                self.place_pod(id, &pod);
            }
            Change::SetPod(id, pod) => match self.engine.pods.get(id.0) {
                Some(before) if *before != pod => {
                    let before = before.clone();
                    self.unplace_pod(id, &before);
                    if let Some(slot) = self.engine.pods.get_mut(id.0) {
                        *slot = pod.clone();
                    }
                    self.place_pod(id, &pod);
                }
                _ => {}
            },
            Change::RemovePod(id) => {
                if let Some(before) = self.engine.pods.remove(id.0) {
                    self.unplace_pod(id, &before);
                }
            }
            Change::SetNamespace(namespace) => {
                if self.engine.index.declare(&namespace.name, &namespace.labels) {
                    self.dirty_namespaces.insert(namespace.name);
                }
            }
            Change::RemoveNamespace(name) => {
                if self.engine.index.undeclare(&name) {
                    self.dirty_namespaces.insert(name);
                }
            }
            Change::SetNode(node) => self.set_node(node),
            Change::RemoveNode(name) => self.remove_node(&name),
            Change::SetPolicy(policy) => self.set_policy(policy),
            Change::RemovePolicy(key) => self.remove_policy(&key),
            Change::SetName(name) => self.set_name(name),
            Change::SetPodCidrs(ranges) => {
                self.blocks_changed |= self.engine.pod_cidrs != ranges;
                self.engine.pod_cidrs = ranges;
            }
        }
    }

    fn place_pod(&mut self, id: PodId, pod: &Pod) {
        let engine = &mut *self.engine;
        let node = pod.node.as_deref().map(|name| engine.node_numbers.hold(name, |n: &str| n.into()).0);
        let group = (!pod.host_network).then(|| engine.index.add_group(pod));
        if let Some((group, new)) = group {
            let place = group.0 as usize;
            if new {
                if engine.groups.len() <= place {
                    engine.groups.resize_with(place + 1, || None);
                }
                engine.signatures.hold_again(0);
                engine.named.hold_again(0);
                if let Some(slot) = engine.groups.get_mut(place) {
                    *slot = Some(Group::default());
                }
                self.new_groups.push(group);
                self.dirty_groups.insert(group);
            }
            if let Some(Some(slot)) = engine.groups.get_mut(place) {
                slot.pods.push(id);
            }
        } else if let Some(node) = node {
            engine.host_pods.entry(node).or_default().push(id);
        }
        let place = id.0 as usize;
        if engine.places.len() <= place {
            engine.places.resize(place + 1, Place::NOWHERE);
        }
        engine.space.hold_again(ClassId::NONE);
        if let Some(slot) = engine.places.get_mut(place) {
            *slot = Place { group: group.map(|(g, _)| g), class: ClassId::NONE, node };
        }
        for address in &pod.addresses {
            self.own(*address, Owner::Pod(id));
        }
        self.dirty_pods.insert(id);
    }

    fn unplace_pod(&mut self, id: PodId, pod: &Pod) {
        for address in &pod.addresses {
            self.disown(*address, Owner::Pod(id));
        }
        let engine = &mut *self.engine;
        let Some(slot) = engine.places.get_mut(id.0 as usize) else { return };
        let place = std::mem::replace(slot, Place::NOWHERE);
        engine.space.release(place.class);
        engine.unplaced.remove(&id);
        self.dirty_pods.remove(&id);
        if let Some(node) = place.node {
            engine.node_numbers.release(node);
            if place.group.is_none()
                && let Some(list) = engine.host_pods.get_mut(&node)
            {
                list.retain(|p| *p != id);
                if list.is_empty() {
                    engine.host_pods.remove(&node);
                }
            }
        }
        if let Some(group) = place.group {
            if let Some(Some(group)) = engine.groups.get_mut(group.0 as usize)
                && let Some(at) = group.pods.iter().position(|p| *p == id)
            {
                group.pods.swap_remove(at);
            }
            // It may have been the last.
            self.dirty_groups.insert(group);
        }
    }

    /// An address has an owner more. A node's address is the node's whoever else has it; else the latest owns it.
    fn own(&mut self, address: IpAddr, owner: Owner) {
        self.addresses.insert(address);
        let engine = &mut *self.engine;
        let Some(before) = engine.owners.get(&address).copied() else {
            engine.owners.insert(address, owner);
            engine.owned.insert(address);
            return;
        };
        let outdone = engine.outdone.entry(address).or_default();
        if matches!((before, owner), (Owner::Node(_), Owner::Pod(_))) {
            outdone.push(owner);
        } else {
            outdone.push(before);
            engine.owners.insert(address, owner);
        }
    }

    fn disown(&mut self, address: IpAddr, owner: Owner) {
        self.addresses.insert(address);
        let engine = &mut *self.engine;
        if engine.owners.get(&address) == Some(&owner) {
            let heir = engine.outdone.get_mut(&address).and_then(|others| {
                let node = others.iter().rposition(|o| matches!(o, Owner::Node(_)));
                let at = node.or(others.len().checked_sub(1))?;
                Some(others.remove(at))
            });
            match heir {
                Some(heir) => drop(engine.owners.insert(address, heir)),
                None => {
                    engine.owners.remove(&address);
                    engine.owned.remove(&address);
                }
            }
        } else if let Some(others) = engine.outdone.get_mut(&address)
            && let Some(at) = others.iter().position(|o| *o == owner)
        {
            others.remove(at);
        }
        if engine.outdone.get(&address).is_some_and(Vec::is_empty) {
            engine.outdone.remove(&address);
        }
    }

    fn set_node(&mut self, node: Node) {
        if self.engine.nodes.get(&node.name) == Some(&node) {
            return;
        }
        let number = self.engine.node_numbers.hold(&node.name, |n: &str| n.into()).0;
        self.remove_node(&node.name);
        for address in &node.addresses {
            self.own(*address, Owner::Node(number));
        }
        self.node_prefixes(&node, true);
        self.engine.nodes.insert(node.name.clone(), node);
        self.node_touches(number);
    }

    fn remove_node(&mut self, name: &str) {
        let Some(before) = self.engine.nodes.remove(name) else { return };
        let (number, _) = self.engine.node_numbers.hold(name, |n: &str| n.into());
        for address in &before.addresses {
            self.disown(*address, Owner::Node(number));
        }
        self.node_prefixes(&before, false);
        self.node_touches(number);
        // What it held as an object, and what was held here to find the number.
        self.engine.node_numbers.release(number);
        self.engine.node_numbers.release(number);
    }

    /// Node peers hold a node's addresses, or do so no more.
    fn node_prefixes(&mut self, node: &Node, holds: bool) {
        let peers = self.engine.matchers.node_peers();
        let matching: Vec<PeerId> =
            peers.filter(|(_, s)| s.matches(&node.labels)).map(|(id, _)| id).collect();
        let addresses = hosts(&node.addresses);
        for peer in matching {
            if holds {
                self.engine.space.add(peer, &addresses, &[]);
            } else {
                self.engine.space.remove(peer, &addresses, &[]);
            }
        }
    }

    /// Pods on a node's network have its addresses.
    fn node_touches(&mut self, number: u32) {
        self.dirty_pods.extend(self.engine.host_pods.get(&number).into_iter().flatten());
    }

    fn set_name(&mut self, name: ResolvedName) {
        let before = self.engine.names.get(&name.name).cloned().unwrap_or_default();
        if before == name.addresses {
            return;
        }
        let peers = self.engine.matchers.domain_peers();
        let matching: Vec<PeerId> = peers.filter(|(_, d)| d.matches(&name.name)).map(|(id, _)| id).collect();
        for peer in matching {
            self.engine.space.add(peer, &hosts(&name.addresses), &[]);
            self.engine.space.remove(peer, &hosts(&before), &[]);
        }
        if name.addresses.is_empty() {
            self.engine.names.remove(&name.name);
        } else {
            self.engine.names.insert(name.name, name.addresses);
        }
    }

    fn set_policy(&mut self, policy: Policy) {
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

    fn remove_policy(&mut self, key: &PolicyKey) {
        if let Some(id) = self.engine.policies.find(key) {
            self.drop_policy(id);
        }
    }

    fn drop_policy(&mut self, id: PolicyId) {
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
    fn peers_of_rules(&mut self, policy: &Policy, direction: Direction) -> Box<[Option<Box<[PeerId]>>]> {
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
                        Peers::Of(peers) => peers_of(peers.iter().map(|p| distinct_peer(own, p)).collect()),
                    })
                    .collect()
            }
            Policy::Cluster(policy) => cluster_rules(policy, direction)
                .iter()
                .map(|rule| match rule.in_force() {
                    InForce::AsWritten(_, matches) => {
                        peers_of(matches.peers.iter().map(distinct_cluster_peer).collect())
                    }
                    InForce::DenyAll => None,
                    InForce::Nothing => Some(Box::default()),
                })
                .collect(),
        }
    }

    fn hold_matcher(&mut self, matcher: DistinctPeer) -> PeerId {
        let (id, new) = self.engine.matchers.hold(matcher.clone());
        if new {
            self.new_matchers.push(id);
            self.hold_addresses(id, &matcher, true);
        }
        id
    }

    /// An address peer holds its addresses from now on, or does so no more.
    fn hold_addresses(&mut self, id: PeerId, matcher: &DistinctPeer, holds: bool) {
        self.blocks_changed |= matches!(matcher, DistinctPeer::Block(_) | DistinctPeer::Nodes(_));
        let (held, except) = self.engine.prefixes_held(matcher);
        if holds {
            self.engine.space.add(id, &held, &except);
        } else {
            self.engine.space.remove(id, &held, &except);
        }
    }

    /// Finds anew whatever was touched.
    fn finish(mut self) -> Delta {
        self.match_groups();
        let touched: Vec<PeerId> = self.unsorted.iter().copied().collect();
        for subject in touched {
            let mut list = self.engine.matchers.policies_mut(subject).map(std::mem::take).unwrap_or_default();
            self.engine.policies.sort(&mut list);
            if let Some(place) = self.engine.matchers.policies_mut(subject) {
                *place = list;
            }
        }
        self.compile_groups();
        let prefixes = self.engine.space.settle();
        for prefix in &prefixes {
            self.touch_addresses(*prefix);
        }
        self.place_dirty_pods();
        let mut addresses: Vec<IpAddr> = self.addresses.into_iter().collect();
        addresses.sort_unstable();
        Delta { added: self.added, addresses, prefixes }
    }

    /// Which selectors match which groups, after all that came and went.
    fn match_groups(&mut self) {
        let mut gone = Vec::new();
        for id in std::mem::take(&mut self.released) {
            if let Some(matcher) = self.engine.matchers.release(id) {
                self.hold_addresses(id, &matcher, false);
                gone.push((id, matcher));
            }
        }
        let mut recheck: Vec<GroupId> = std::mem::take(&mut self.new_groups);
        for name in std::mem::take(&mut self.dirty_namespaces) {
            let namespace = self.engine.index.find_namespace(&name);
            recheck.extend(namespace.map_or(&[][..], |id| self.engine.index.groups_in(id)));
        }
        let Engine { index, matchers, groups, .. } = &mut *self.engine;
        for group in recheck {
            let Some(key) = index.group(group) else { continue };
            let found = matchers.matching(index, key);
            if let Some(Some(known)) = groups.get_mut(group.0 as usize)
                && known.matchers != found
            {
                known.matchers = found;
                self.dirty_groups.insert(group);
            }
        }
        for (id, matcher) in gone {
            for group in matcher.select(index) {
                if let Some(Some(known)) = groups.get_mut(group.0 as usize) {
                    known.matchers.retain(|m| *m != id);
                    self.dirty_groups.insert(group);
                }
            }
        }
        for id in &self.new_matchers {
            for group in matchers.get(*id).map(|m| m.select(index)).unwrap_or_default() {
                if let Some(Some(known)) = groups.get_mut(group.0 as usize) {
                    known.matchers.push(*id);
                    self.dirty_groups.insert(group);
                }
            }
            self.touched_matchers.remove(id);
            matchers.make_candidate(*id);
        }
        for id in &self.touched_matchers {
            self.dirty_groups.extend(matchers.get(*id).map(|m| m.select(index)).unwrap_or_default());
        }
        if !self.touched_names.is_empty() {
            let uses = |ports: &[NamedPort]| ports.iter().any(|p| self.touched_names.contains(&p.name));
            let ids = (0u32..).map(GroupId).take(groups.len());
            self.dirty_groups.extend(ids.filter(|g| index.group(*g).is_some_and(|k| uses(&k.named_ports))));
        }
    }

    /// What follows from the selectors that match a group.
    fn compile_groups(&mut self) {
        let mut dirty: Vec<GroupId> = std::mem::take(&mut self.dirty_groups).into_iter().collect();
        dirty.sort_unstable();
        let mut lists = Lists::default();
        for id in dirty {
            let Some(slot) = self.engine.groups.get_mut(id.0 as usize) else { continue };
            let Some(mut group) = slot.take() else { continue };
            if group.pods.is_empty() {
                self.drop_group(id, group);
                continue;
            }
            let before = (group.sets, group.signature, group.named);
            self.compile_group(id, &mut group, &mut lists);
            if (group.sets, group.signature, group.named) != before {
                let pods = group.pods.iter().filter_map(|p| self.engine.pods.get(p.0));
                self.addresses.extend(pods.flat_map(|p| &p.addresses));
            }
            if let Some(slot) = self.engine.groups.get_mut(id.0 as usize) {
                *slot = Some(group);
            }
        }
        for list in lists.known.into_values().flatten().flatten().flatten() {
            self.engine.sets.release_list(list);
        }
    }

    fn compile_group(&mut self, id: GroupId, group: &mut Group, lists: &mut Lists) {
        let engine = &mut *self.engine;
        group.matchers.sort_unstable();
        group.matchers.dedup();
        let of_peers = group.matchers.iter().copied();
        let peers: Vec<PeerId> = of_peers.filter(|m| engine.matchers.is_peer(*m)).collect();
        let (signature, _) = engine.signatures.hold(&peers, |s: &[PeerId]| s.into());
        engine.signatures.release(std::mem::replace(&mut group.signature, SignatureId(signature)).0);

        let ports = engine.index.group(id).map_or(&[][..], |k| &k.named_ports);
        let named = hold_named(&mut engine.named, ports, |name| engine.egress_names.contains_key(name));
        engine.named.release(std::mem::replace(&mut group.named, named).0);

        let subjects = group.matchers.iter().copied();
        let subjects: Vec<PeerId> = subjects.filter(|m| !engine.matchers.policies(*m).is_empty()).collect();
        let lists = lists.of(engine, subjects);
        for direction in Direction::ALL {
            let tiers = lists.get(direction.place()).copied().unwrap_or_default();
            let set = (tiers != [None; 3]).then(|| engine.hold_set(id, direction, tiers));
            if let Some(slot) = group.sets.get_mut(direction.place())
                && let Some(before) = std::mem::replace(slot, set)
            {
                engine.release_set(before);
            }
        }
    }

    fn drop_group(&mut self, id: GroupId, group: Group) {
        let engine = &mut *self.engine;
        for set in group.sets.into_iter().flatten() {
            engine.release_set(set);
        }
        engine.signatures.release(group.signature.0);
        engine.named.release(group.named.0);
        engine.index.remove_group(id);
    }

    /// The class of what lies in a prefix may be another.
    fn touch_addresses(&mut self, prefix: IpNet) {
        let engine = &*self.engine;
        for address in engine.owned.range(prefix.network()..=prefix.broadcast()) {
            self.addresses.insert(*address);
            let owners = engine.owners.get(address).into_iter();
            for owner in owners.chain(engine.outdone.get(address).into_iter().flatten()) {
                match owner {
                    Owner::Pod(pod) => drop(self.dirty_pods.insert(*pod)),
                    Owner::Node(node) => {
                        self.dirty_pods.extend(engine.host_pods.get(node).into_iter().flatten());
                    }
                }
            }
        }
    }

    fn place_dirty_pods(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty_pods);
        let engine = &mut *self.engine;
        engine.unplaced_in.is_stale |= self.blocks_changed;
        if self.blocks_changed {
            dirty.extend(&engine.unplaced);
        }
        for id in dirty {
            let Some(pod) = engine.pods.get(id.0) else { continue };
            let addresses = engine.addresses_of(pod);
            let host_network = pod.host_network;
            let class = match addresses.as_slice() {
                [] => {
                    engine.unplaced.insert(id);
                    engine.find_unplaced();
                    let peers = engine.peers_of_unplaced(id);
                    engine.space.hold(&peers)
                }
                [one] => {
                    let class = engine.space.class(*one);
                    engine.space.hold_again(class);
                    class
                }
                several => {
                    let classes = several.iter().map(|a| engine.space.class(*a));
                    let mut peers: Vec<PeerId> =
                        classes.flat_map(|c| engine.space.peers(c)).copied().collect();
                    peers.sort_unstable();
                    peers.dedup();
                    engine.space.hold(&peers)
                }
            };
            if !addresses.is_empty() {
                engine.unplaced.remove(&id);
            }
            let Some(place) = engine.places.get_mut(id.0 as usize) else { continue };
            let before = std::mem::replace(&mut place.class, class);
            engine.space.release(before);
            if before != class && !host_network {
                self.addresses.extend(addresses);
            }
        }
    }
}

/// The lists of policies that follow from subjects, found once for each combination. Each is held.
#[derive(Default)]
struct Lists {
    /// By direction and tier.
    known: FxHashMap<Vec<PeerId>, [[Option<ListId>; 3]; 2]>,
}

impl Lists {
    fn of(&mut self, engine: &mut Engine, subjects: Vec<PeerId>) -> [[Option<ListId>; 3]; 2] {
        if let Some(known) = self.known.get(&subjects) {
            return *known;
        }
        let mut ids: Vec<PolicyId> =
            subjects.iter().flat_map(|s| engine.matchers.policies(*s)).copied().collect();
        if subjects.len() > 1 {
            engine.policies.sort(&mut ids);
        }
        let lists = Direction::ALL.map(|direction| {
            Tier::WITH_POLICIES.map(|tier| {
                let of_tier = ids.iter().copied();
                let of_tier = of_tier
                    .filter(|id| engine.policies.get(*id).and_then(|c| c.tier(direction)) == Some(tier));
                let of_tier: Vec<PolicyId> = of_tier.collect();
                engine.sets.hold_list(&engine.policies, direction, of_tier)
            })
        });
        self.known.insert(subjects, lists);
        lists
    }
}

/// Those of a group's named ports that have a name which matters.
fn hold_named(
    interner: &mut crate::slots::Interner<[NamedPort]>,
    ports: &[NamedPort],
    matters: impl Fn(&str) -> bool,
) -> NamedId {
    let used: Vec<NamedPort> = ports.iter().filter(|n| matters(&n.name)).cloned().collect();
    NamedId(interner.hold(&used, |n: &[NamedPort]| n.into()).0)
}

impl Engine {
    fn hold_set(&mut self, group: GroupId, direction: Direction, tiers: [Option<ListId>; 3]) -> crate::SetId {
        let ports = match direction {
            Direction::Ingress => self.index.group(group).map_or(&[][..], |k| &k.named_ports),
            Direction::Egress => &[],
        };
        let sets = &self.sets;
        let matters =
            |name: &str| tiers.iter().flatten().any(|list| sets.names(*list).iter().any(|n| **n == *name));
        let named = hold_named(&mut self.named, ports, matters);
        let (set, new) = self.sets.hold_set(&SetKey { direction, tiers, named });
        if !new {
            // A set holds its named ports once.
            self.named.release(named.0);
        }
        set
    }

    fn release_set(&mut self, set: crate::SetId) {
        if let Some(named) = self.sets.release_set(set) {
            self.named.release(named.0);
        }
    }

    /// Finds the blocks that hold pods of which no address is known: one that is everybody, and for pods with a network
    /// of their own one around every range of one family in which such pods live.
    fn find_unplaced(&mut self) {
        if !std::mem::take(&mut self.unplaced_in.is_stale) {
            return;
        }
        let [v4, v6]: [Vec<IpNet>; 2] = [true, false]
            .map(|v4| self.pod_cidrs.iter().filter(|r| r.addr().is_ipv4() == v4).copied().collect());
        let covers_all = |block: &IpBlock, ranges: &[IpNet]| {
            !ranges.is_empty() && ranges.iter().all(|range| block.covers(*range))
        };
        let mut found = Unplaced::default();
        for (id, matcher) in self.matchers.iter() {
            let DistinctPeer::Block(block) = matcher else { continue };
            if block.is_everyone() {
                found.host.push(id);
            }
            if block.is_everyone() || covers_all(block, &v4) || covers_all(block, &v6) {
                found.pods.push(id);
            }
        }
        self.unplaced_in = found;
    }

    /// The address peers that hold a pod of which no address is known. One on its node's network is held by a node peer
    /// that selects its node, if that is known, and else by one that selects every node.
    fn peers_of_unplaced(&self, id: PodId) -> Vec<PeerId> {
        let Some(pod) = self.pods.get(id.0) else { return Vec::new() };
        if !pod.host_network {
            return self.unplaced_in.pods.clone();
        }
        let node = pod.node.as_ref().and_then(|name| self.nodes.get(name));
        let by_node = self.matchers.node_peers().filter(|(_, selector)| match node {
            Some(node) => selector.matches(&node.labels),
            None => selector.is_everything(),
        });
        let mut peers: Vec<PeerId> = by_node.map(|(id, _)| id).chain(self.unplaced_in.host.clone()).collect();
        peers.sort_unstable();
        peers
    }
}

fn hosts(addresses: &[IpAddr]) -> Vec<IpNet> {
    addresses.iter().map(|address| IpNet::from(*address)).collect()
}

fn distinct_peer(own: &str, peer: &Peer) -> DistinctPeer {
    match peer {
        Peer::Pods { namespaces: NamespaceScope::Own, pods } => {
            DistinctPeer::PodsIn(own.to_owned(), pods.clone())
        }
        Peer::Pods { namespaces: NamespaceScope::Matching(namespaces), pods } => {
            DistinctPeer::PodsAcross(PodsAcross { namespaces: namespaces.clone(), pods: pods.clone() })
        }
        Peer::Block(block) => DistinctPeer::Block(block.clone()),
    }
}

fn distinct_cluster_peer(peer: &ClusterPeer) -> DistinctPeer {
    match peer {
        ClusterPeer::Pods(pods) => DistinctPeer::PodsAcross(pods.clone()),
        ClusterPeer::Nodes(nodes) => DistinctPeer::Nodes(nodes.clone()),
        ClusterPeer::Network(net) => DistinctPeer::Block(IpBlock::new(*net, [])),
        ClusterPeer::Domain(domain) => DistinctPeer::Domain(domain.clone()),
    }
}
