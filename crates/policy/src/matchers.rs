//! The distinct things that policies match ends by, each once however many policies name it: as the subject of a policy
//! or as a peer of its rules. It knows who uses each, and which of them may match a group of pods.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cluster::{ClusterPeer, DomainPattern, PodsAcross};
use crate::index::{GroupId, GroupKey, Index, label_hash};
use crate::model::{
    IpBlock, LabelSelector, Labels, NAMESPACE_NAME_LABEL, NamespaceScope, Peer, PolicyId, Requirement,
};
use crate::slots::Interner;

/// The number of a distinct matcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub(crate) u32);

/// What matches an end, with its namespace settled, so that equal peers of different policies are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DistinctPeer {
    /// Pods that a selector matches in one namespace.
    PodsIn(String, LabelSelector),
    /// Pods in the namespaces that a selector matches.
    PodsAcross(PodsAcross),
    /// Addresses.
    Block(IpBlock),
    /// The addresses of the nodes that a selector matches.
    Nodes(LabelSelector),
    /// The addresses that a DNS name leads to.
    Domain(DomainPattern),
}

impl DistinctPeer {
    /// What a peer of a NetworkPolicy of this namespace is.
    pub(crate) fn of(own: &str, peer: &Peer) -> DistinctPeer {
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

    /// What a peer of a cluster-wide policy is.
    pub(crate) fn of_cluster(peer: &ClusterPeer) -> DistinctPeer {
        match peer {
            ClusterPeer::Pods(pods) => DistinctPeer::PodsAcross(pods.clone()),
            ClusterPeer::Nodes(nodes) => DistinctPeer::Nodes(nodes.clone()),
            ClusterPeer::Network(net) => DistinctPeer::Block(IpBlock::new(*net, [])),
            ClusterPeer::Domain(domain) => DistinctPeer::Domain(domain.clone()),
        }
    }

    /// The groups that it matches as a selector, in no order.
    pub(crate) fn select(&self, index: &Index) -> Vec<GroupId> {
        match self {
            DistinctPeer::PodsIn(namespace, pods) => index.select_in(namespace, pods),
            DistinctPeer::PodsAcross(across) => index.select_across(across),
            DistinctPeer::Block(_) | DistinctPeer::Nodes(_) | DistinctPeer::Domain(_) => Vec::new(),
        }
    }

    /// What is asked of the labels of a pod in a namespace; `None` where no pod there can be matched by its labels.
    pub fn asks_in(&self, namespace: &str, namespace_labels: &Labels) -> Option<&LabelSelector> {
        match self {
            DistinctPeer::PodsIn(own, pods) => (own == namespace).then_some(pods),
            DistinctPeer::PodsAcross(across) => {
                across.namespaces.matches(namespace_labels).then_some(&across.pods)
            }
            DistinctPeer::Block(_) | DistinctPeer::Nodes(_) | DistinctPeer::Domain(_) => None,
        }
    }

    /// What is asked of the labels of namespaces; `None` where it is not by these that a namespace is meant.
    pub fn asks_of_namespaces(&self) -> Option<&LabelSelector> {
        match self {
            DistinctPeer::PodsAcross(across) => Some(&across.namespaces),
            _ => None,
        }
    }

    fn matches(&self, namespace: &str, namespace_labels: &Labels, labels: &Labels) -> bool {
        self.asks_in(namespace, namespace_labels).is_some_and(|pods| pods.matches(labels))
    }

    /// The key under which selectors are found that may match a group: where they look, and one label that they ask.
    fn candidate_key(&self) -> Option<u64> {
        let (scope, pods) = match self {
            DistinctPeer::PodsIn(namespace, pods) => (Scope::In(namespace), pods),
            DistinctPeer::PodsAcross(PodsAcross { namespaces, pods }) => {
                let mut asked = namespaces.requirements().iter().filter_map(Requirement::only_label);
                match asked.find(|(key, _)| *key == NAMESPACE_NAME_LABEL) {
                    Some((_, name)) => (Scope::AcrossNamed(name), pods),
                    None => (Scope::Across, pods),
                }
            }
            DistinctPeer::Block(_) | DistinctPeer::Nodes(_) | DistinctPeer::Domain(_) => return None,
        };
        Some(label_hash(scope, pods.requirements().iter().find_map(Requirement::only_label)))
    }
}

#[derive(Debug, Clone, Copy, Hash)]
enum Scope<'a> {
    In(&'a str),
    AcrossNamed(&'a str),
    Across,
}

/// All distinct matchers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matchers {
    interner: Interner<DistinctPeer>,
    uses: Vec<Use>,
    /// By candidate key.
    candidates: FxHashMap<u64, Vec<PeerId>>,
    /// Those that match addresses of nodes and names, which can change without a policy's doing.
    nodes: FxHashSet<PeerId>,
    domains: FxHashSet<PeerId>,
}

/// Who uses a matcher.
#[derive(Debug, Clone, Default)]
struct Use {
    /// How many peers of rules it is.
    as_peer: u32,
    /// The policies whose subject it is, sorted by whoever puts them here.
    subject_of: Vec<PolicyId>,
}

impl Matchers {
    pub(crate) fn begin_update(&mut self) {
        self.interner.begin_update();
    }

    /// The number of a matcher, held once more, and whether it is new. A new one is no candidate yet.
    pub(crate) fn hold(&mut self, matcher: DistinctPeer) -> (PeerId, bool) {
        let (id, new) = self.interner.hold(&matcher, |m| Arc::new(m.clone()));
        if new {
            let place = id as usize;
            if self.uses.len() <= place {
                self.uses.resize_with(place + 1, Use::default);
            }
            match matcher {
                DistinctPeer::Nodes(_) => drop(self.nodes.insert(PeerId(id))),
                DistinctPeer::Domain(_) => drop(self.domains.insert(PeerId(id))),
                _ => {}
            }
        }
        (PeerId(id), new)
    }

    /// One holder less; what it was, if that was the last. It is no candidate any more then.
    pub(crate) fn release(&mut self, id: PeerId) -> Option<Arc<DistinctPeer>> {
        let gone = self.interner.release(id.0)?;
        if let Some(key) = gone.candidate_key()
            && let Some(list) = self.candidates.get_mut(&key)
        {
            list.retain(|m| *m != id);
            if list.is_empty() {
                self.candidates.remove(&key);
            }
        }
        self.nodes.remove(&id);
        self.domains.remove(&id);
        Some(gone)
    }

    /// From now on [`Matchers::matching`] finds it.
    pub(crate) fn make_candidate(&mut self, id: PeerId) {
        if let Some(key) = self.get(id).and_then(DistinctPeer::candidate_key) {
            self.candidates.entry(key).or_default().push(id);
        }
    }

    pub(crate) fn get(&self, id: PeerId) -> Option<&DistinctPeer> {
        self.interner.get(id.0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &DistinctPeer)> {
        self.interner.iter().map(|(id, matcher)| (PeerId(id), matcher))
    }

    pub(crate) fn len(&self) -> usize {
        self.interner.len()
    }

    pub(crate) fn node_peers(&self) -> impl Iterator<Item = (PeerId, &LabelSelector)> {
        self.nodes.iter().filter_map(|id| match self.get(*id)? {
            DistinctPeer::Nodes(selector) => Some((*id, selector)),
            _ => None,
        })
    }

    pub(crate) fn domain_peers(&self) -> impl Iterator<Item = (PeerId, &DomainPattern)> {
        self.domains.iter().filter_map(|id| match self.get(*id)? {
            DistinctPeer::Domain(pattern) => Some((*id, pattern)),
            _ => None,
        })
    }

    /// Whether it is a peer of some rule.
    pub(crate) fn is_peer(&self, id: PeerId) -> bool {
        self.uses.get(id.0 as usize).is_some_and(|u| u.as_peer > 0)
    }

    /// Counts a use as a peer; says whether it is the first.
    pub(crate) fn add_peer_use(&mut self, id: PeerId) -> bool {
        let Some(uses) = self.uses.get_mut(id.0 as usize) else { return false };
        uses.as_peer += 1;
        uses.as_peer == 1
    }

    /// Takes a use as a peer back; says whether it was the last.
    pub(crate) fn remove_peer_use(&mut self, id: PeerId) -> bool {
        let Some(uses) = self.uses.get_mut(id.0 as usize) else { return false };
        uses.as_peer = uses.as_peer.saturating_sub(1);
        uses.as_peer == 0
    }

    /// The policies whose subject it is, in order.
    pub(crate) fn policies(&self, subject: PeerId) -> &[PolicyId] {
        self.uses.get(subject.0 as usize).map_or(&[], |u| &u.subject_of)
    }

    pub(crate) fn policies_mut(&mut self, subject: PeerId) -> Option<&mut Vec<PolicyId>> {
        self.uses.get_mut(subject.0 as usize).map(|u| &mut u.subject_of)
    }

    /// The candidates that match a group, sorted.
    pub(crate) fn matching(&self, index: &Index, group: &GroupKey) -> Vec<PeerId> {
        let namespace = index.namespace_name(group.namespace);
        let Some(namespace_labels) = index.namespace_labels(group.namespace) else { return Vec::new() };
        let mut found = Vec::new();
        let labels = group.labels.iter().map(|(k, v)| Some((k.as_str(), v.as_str()))).chain([None]);
        for label in labels {
            for scope in [Scope::In(namespace), Scope::AcrossNamed(namespace), Scope::Across] {
                let list = self.candidates.get(&label_hash(scope, label)).into_iter().flatten();
                found.extend(list.copied().filter(|id| {
                    self.get(*id).is_some_and(|m| m.matches(namespace, namespace_labels, &group.labels))
                }));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
