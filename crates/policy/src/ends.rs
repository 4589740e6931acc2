//! The ends of connections: whose an address is, and what policies can tell of it.

use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::addresses::{AddressSpace, ClassId};
use crate::engine::{Engine, Group, NamedId, Owner, Place, SignatureId};
use crate::index::GroupId;
use crate::matchers::{DistinctPeer, PeerId};
use crate::model::{NamedPort, Pod, PodId};

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
    pub(crate) signature: SignatureId,
    pub(crate) class: ClassId,
    pub(crate) named: NamedId,
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

/// An end of a question, found in the world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) pod: Option<PodId>,
    pub(crate) node: Option<u32>,
    pub(crate) class: ClassId,
}

impl Engine {
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

    /// The addresses that are known to be an end's and nobody else's.
    pub(crate) fn addresses(&self, end: End) -> Vec<IpAddr> {
        let id = match end {
            End::Pod(id) => id,
            End::Address(address) => return vec![address],
        };
        let Some(pod) = self.pod(id) else { return Vec::new() };
        let mut addresses = self.addresses_of(pod);
        addresses.retain(|address| match self.owners.get(address) {
            Some(Owner::Pod(owner)) => *owner == id || pod.host_network && self.share_a_node(id, *owner),
            Some(Owner::Node(node)) => pod.host_network && self.node_of(id) == Some(*node),
            None => false,
        });
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Whether two pods on their node's network are on the same one, whose address is as much the one's as the other's.
    fn share_a_node(&self, one: PodId, other: PodId) -> bool {
        let (one, other) = (self.place(one), self.place(other));
        one.group.is_none() && other.group.is_none() && one.node == other.node
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

    /// The pod whose address this is. A node's address is no pod's; one on its node's network is given for an address that
    /// no known node has.
    pub fn pod_at(&self, address: IpAddr) -> Option<PodId> {
        match self.owners.get(&address)? {
            Owner::Pod(pod) => Some(*pod),
            Owner::Node(_) => None,
        }
    }

    /// What policies can tell of an end.
    pub fn identity(&self, end: End) -> Identity {
        self.found_identity(self.find(end))
    }

    /// What policies could tell of a pod if it had an address of this class, and were asked for by it.
    pub fn identity_with(&self, pod: PodId, class: ClassId) -> Identity {
        Identity { class, ..self.identity(End::Pod(pod)) }
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

    /// Whether an address peer that is in force holds an end.
    pub(crate) fn holds(&self, end: End, is_meant: impl Fn(&DistinctPeer) -> bool) -> bool {
        let class = self.find(end).class;
        self.space.peers(class).iter().filter_map(|p| self.matchers.get(*p)).any(is_meant)
    }

    pub(crate) fn find(&self, end: End) -> Found {
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

    pub(crate) fn node_of(&self, pod: PodId) -> Option<u32> {
        self.place(pod).node
    }

    pub(crate) fn found_identity(&self, found: Found) -> Identity {
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

    pub(crate) fn named_ports(&self, id: NamedId) -> &[NamedPort] {
        self.named.get(id.0).unwrap_or_default()
    }

    pub(crate) fn peers_of(&self, identity: Identity) -> impl Iterator<Item = PeerId> {
        let selectors = self.signatures.get(identity.signature.0).unwrap_or_default();
        selectors.iter().chain(self.space.peers(identity.class)).copied()
    }
}
