//! Where pods are: their groups and nodes, whose an address is, and which address peers hold it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Update;
use crate::addresses::ClassId;
use crate::engine::{Engine, Group, Owner, Place, Unplaced};
use crate::matchers::{DistinctPeer, PeerId};
use crate::model::{IpBlock, Node, Pod, PodId, ResolvedName};

impl Update<'_> {
    pub(super) fn place_pod(&mut self, id: PodId, pod: &Pod) {
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
        self.dirty_pods.insert(id);
    }

    pub(super) fn unplace_pod(&mut self, id: PodId) {
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

    /// A pod or node claims these addresses.
    pub(super) fn own_all(&mut self, addresses: &[IpAddr], owner: Owner) {
        each_once(addresses).for_each(|address| self.own(address, owner));
    }

    pub(super) fn disown_all(&mut self, addresses: &[IpAddr], owner: Owner) {
        each_once(addresses).for_each(|address| self.disown(address, owner));
    }

    fn own(&mut self, address: IpAddr, owner: Owner) {
        self.addresses.insert(address);
        let engine = &mut *self.engine;
        let Some(before) = engine.owners.get(&address).copied() else {
            engine.owners.insert(address, owner);
            engine.owned.insert(address);
            return;
        };
        let (first, second) =
            if engine.claim(owner) < engine.claim(before) { (owner, before) } else { (before, owner) };
        engine.owners.insert(address, first);
        engine.outdone.entry(address).or_default().push(second);
    }

    fn disown(&mut self, address: IpAddr, owner: Owner) {
        self.addresses.insert(address);
        let engine = &mut *self.engine;
        let others = engine.outdone.get(&address).map(Vec::as_slice).unwrap_or_default();
        let gone = if engine.owners.get(&address) == Some(&owner) {
            let heir = others.iter().copied().min_by_key(|other| engine.claim(*other));
            match heir {
                Some(heir) => drop(engine.owners.insert(address, heir)),
                None => {
                    engine.owners.remove(&address);
                    engine.owned.remove(&address);
                }
            }
            heir
        } else {
            Some(owner)
        };
        if let Some(others) = engine.outdone.get_mut(&address) {
            others.retain(|other| Some(*other) != gone);
            if others.is_empty() {
                engine.outdone.remove(&address);
            }
        }
    }

    pub(super) fn set_node(&mut self, node: Node) {
        if self.engine.nodes.get(&node.name) == Some(&node) {
            return;
        }
        let number = self.engine.node_numbers.hold(&node.name, |n: &str| n.into()).0;
        self.remove_node(&node.name);
        self.own_all(&node.addresses, Owner::Node(number));
        self.node_prefixes(&node, true);
        self.engine.nodes.insert(node.name.clone(), node);
        self.node_touches(number);
    }

    pub(super) fn remove_node(&mut self, name: &str) {
        let Some(before) = self.engine.nodes.remove(name) else { return };
        let (number, _) = self.engine.node_numbers.hold(name, |n: &str| n.into());
        self.disown_all(&before.addresses, Owner::Node(number));
        self.node_prefixes(&before, false);
        self.node_touches(number);
        // What it held as an object, and what was held here to find the number.
        self.engine.node_numbers.release(number);
        self.engine.node_numbers.release(number);
    }

    /// Node peers hold a node's addresses, or do so no more.
    pub(super) fn node_prefixes(&mut self, node: &Node, holds: bool) {
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
    pub(super) fn node_touches(&mut self, number: u32) {
        self.dirty_pods.extend(self.engine.host_pods.get(&number).into_iter().flatten());
    }

    pub(super) fn set_name(&mut self, name: ResolvedName) {
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

    /// The class of what lies in a prefix may be another.
    pub(super) fn touch_addresses(&mut self, prefix: IpNet) {
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

    pub(super) fn place_dirty_pods(&mut self) {
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

impl Engine {
    /// Whose an address is of several that claim it: the least claim has it. It is made of what they are and not of when
    /// they came, so that any way to a world leads to the same owners.
    fn claim(&self, owner: Owner) -> (Rank, &str, &str, u32) {
        match owner {
            Owner::Node(number) => {
                (Rank::Node, self.node_numbers.get(number).unwrap_or_default(), "", number)
            }
            Owner::Pod(id) => match self.pods.get(id.0) {
                Some(pod) if pod.host_network => (Rank::HostPod, &pod.namespace, &pod.name, id.0),
                Some(pod) => (Rank::Pod, &pod.namespace, &pod.name, id.0),
                None => (Rank::Gone, "", "", id.0),
            },
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

/// Who has an address before whom.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Node,
    Pod,
    HostPod,
    Gone,
}

fn each_once(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let is_first =
        |(place, address): &(usize, &IpAddr)| !addresses.iter().take(*place).any(|a| a == *address);
    addresses.iter().enumerate().filter(is_first).map(|(_, address)| *address)
}

fn hosts(addresses: &[IpAddr]) -> Vec<IpNet> {
    addresses.iter().map(|address| IpNet::from(*address)).collect()
}
