//! The inventory as the engine's world.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_policy::{Pod, World};

use crate::inventory::{Inventory, Workload};

/// What a workload is called: namespace, kind, name.
type Key<'a> = (&'a str, &'a str, &'a str);

impl Inventory {
    /// The world that these objects make. Pod ranges are not in manifests, and stay empty.
    pub fn world(&self) -> World {
        World {
            namespaces: self.namespaces.clone(),
            nodes: self.nodes.clone(),
            pods: self.pods().into_iter().map(|(_, pod)| pod).collect(),
            policies: self.policies.clone(),
            cluster_policies: self.cluster_policies.clone(),
            ..World::default()
        }
    }

    /// The pods that count, each with the place in [`Inventory::workloads`] of what it is made from.
    ///
    /// A pod, or a controller that another controller owns, belongs to the topmost owner. Where a controller's own
    /// pods are here too, they count and its template does not.
    pub fn pods(&self) -> Vec<(usize, Pod)> {
        let owners: BTreeMap<Key<'_>, Key<'_>> =
            self.workloads.iter().filter_map(|w| Some((key(w), owner(w)?))).collect();
        let present: BTreeSet<Key<'_>> = self.workloads.iter().map(key).collect();
        // Whatever has pods, or a controller between it and its pods, is not counted by its template.
        let counted: BTreeSet<Key<'_>> = self
            .workloads
            .iter()
            .filter(|w| w.kind == "Pod")
            .flat_map(|w| std::iter::successors(owner(w), |k| owners.get(k).copied()).take(MAX_OWNERS))
            .collect();
        let pods = self.workloads.iter().enumerate().filter(|(_, w)| {
            let template = w.kind != "Pod";
            let owner_counts = owner(w).is_some_and(|o| present.contains(&o));
            w.replicas > 0 && !(template && (counted.contains(&key(w)) || owner_counts))
        });
        pods.map(|(place, w)| (place, pod(w, &owners))).collect()
    }
}

/// A bound on chains of owners, which may be circular where someone made them up.
const MAX_OWNERS: usize = 8;

fn key(workload: &Workload) -> Key<'_> {
    (&workload.namespace, &workload.kind, &workload.name)
}

fn owner(workload: &Workload) -> Option<Key<'_>> {
    workload.owner.as_ref().map(|o| (workload.namespace.as_str(), o.kind.as_str(), o.name.as_str()))
}

fn pod(workload: &Workload, owners: &BTreeMap<Key<'_>, Key<'_>>) -> Pod {
    let chain = std::iter::successors(Some(key(workload)), |k| owners.get(k).copied()).take(MAX_OWNERS);
    let (_, kind, name) = chain.last().unwrap_or_else(|| key(workload));
    Pod {
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
        workload: ringfence_policy::Workload { kind: kind.to_owned(), name: name.to_owned() },
        count: workload.replicas,
        labels: workload.labels.clone(),
        addresses: workload.addresses.clone(),
        named_ports: workload.named_ports(),
        host_network: workload.host_network,
        node: workload.node.clone(),
    }
}
