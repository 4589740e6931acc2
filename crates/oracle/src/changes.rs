//! From one world to the next in changes, as somebody tells them who watches a cluster.
//!
//! What is compared are values; which numbers an engine gives to pods is what it said itself.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_policy::change::Change;
use ringfence_policy::model::{Namespace, Node, Pod, PodId, Policy, ResolvedName, World};

use crate::random::Random;

/// A cluster whose changes are told to an engine that began with nothing.
#[derive(Debug, Default)]
pub struct Watch {
    world: World,
    pods: BTreeMap<(String, String), PodId>,
}

impl Watch {
    /// The changes that lead to a world, in a random order: in one batch or one by one. After each batch
    /// [`Watch::told`] must be called.
    pub fn batches(&mut self, next: &World, seed: u64, at_once: bool) -> Vec<Vec<Change>> {
        let mut changes = self.changes(next);
        Random::new(seed).shuffle(&mut changes);
        self.world = next.clone();
        if at_once { vec![changes] } else { changes.into_iter().map(|c| vec![c]).collect() }
    }

    /// A batch was carried out, and these are the numbers of the pods that it added.
    pub fn told(&mut self, batch: &[Change], added: &[PodId]) {
        let mut added = added.iter();
        for change in batch {
            match change {
                Change::AddPod(pod) => self.pods.extend(added.next().map(|id| (key(pod), *id))),
                Change::RemovePod(id) => self.pods.retain(|_, known| known != id),
                _ => {}
            }
        }
    }

    /// The number of a pod.
    pub fn id(&self, pod: &Pod) -> Option<PodId> {
        self.pods.get(&key(pod)).copied()
    }

    fn changes(&self, next: &World) -> Vec<Change> {
        let now = &self.world;
        let mut changes = vec![Change::SetPodCidrs(next.pod_cidrs.clone())];
        let wanted: BTreeSet<_> = next.pods.iter().map(key).collect();
        assert_eq!(wanted.len(), next.pods.len(), "pods have names of their own");
        for pod in &next.pods {
            changes.push(match self.id(pod) {
                Some(id) => Change::SetPod(id, pod.clone()),
                None => Change::AddPod(pod.clone()),
            });
        }
        let gone = self.pods.iter().filter(|(key, _)| !wanted.contains(key));
        changes.extend(gone.map(|(_, id)| Change::RemovePod(*id)));
        let set = |n: &Namespace| Change::SetNamespace(n.clone());
        let remove = |n: &Namespace| Change::RemoveNamespace(n.name.clone());
        by_key(&mut changes, &now.namespaces, &next.namespaces, |n| n.name.clone(), set, remove);
        let set = |n: &Node| Change::SetNode(n.clone());
        let remove = |n: &Node| Change::RemoveNode(n.name.clone());
        by_key(&mut changes, &now.nodes, &next.nodes, |n| n.name.clone(), set, remove);
        let set = |n: &ResolvedName| Change::SetName(n.clone());
        let remove =
            |n: &ResolvedName| Change::SetName(ResolvedName { name: n.name.clone(), addresses: Vec::new() });
        by_key(&mut changes, &now.names, &next.names, |n| n.name.clone(), set, remove);
        let set = |p: &Policy| Change::SetPolicy(p.clone());
        let remove = |p: &Policy| Change::RemovePolicy(p.key());
        let (now, next): (Vec<Policy>, Vec<Policy>) =
            (now.all_policies().collect(), next.all_policies().collect());
        by_key(&mut changes, &now, &next, Policy::key, set, remove);

        changes
    }
}

fn key(pod: &Pod) -> (String, String) {
    (pod.namespace.clone(), pod.name.clone())
}

fn by_key<T, K: Ord>(
    changes: &mut Vec<Change>,
    now: &[T],
    next: &[T],
    key: impl Fn(&T) -> K,
    set: impl Fn(&T) -> Change,
    remove: impl Fn(&T) -> Change,
) {
    let kept: BTreeSet<K> = next.iter().map(&key).collect();
    changes.extend(now.iter().filter(|item| !kept.contains(&key(item))).map(remove));
    changes.extend(next.iter().map(set));
}
