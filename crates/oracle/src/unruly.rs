//! Changes that no orderly cluster makes: addresses that several pods and nodes have, in whatever order they come and go,
//! the same thing set and removed in one batch, namespaces that go before their pods.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringfence_policy::{
    Change, Delta, Engine, Namespace, Node, Pod, PodId, Policy, PolicyKey, ResolvedName, World,
};

use crate::random::Random;
use crate::worlds::{Size, world};

/// What there is, as whoever makes the changes knows it, and the engine that follows them.
#[derive(Debug)]
pub struct Unruly {
    random: Random,
    /// What the changes are made of.
    stock: World,
    engine: Engine,
    pods: Vec<(PodId, Pod)>,
    nodes: Vec<Node>,
    namespaces: BTreeMap<String, Namespace>,
    policies: BTreeMap<PolicyKey, Policy>,
    names: BTreeMap<String, Vec<IpAddr>>,
    pod_cidrs: Vec<ipnet::IpNet>,
}

impl Unruly {
    /// The cluster of a seed, in which there is nothing so far.
    pub fn new(seed: u64) -> Unruly {
        let mut stock = World::default();
        for offset in 0..3 {
            let more = world(seed * 3 + offset, &Size::default());
            stock.namespaces.extend(more.namespaces);
            stock.nodes.extend(more.nodes);
            stock.pods.extend(more.pods);
            stock.policies.extend(more.policies);
            stock.cluster_policies.extend(more.cluster_policies);
            stock.names.extend(more.names);
            stock.pod_cidrs.extend(more.pod_cidrs);
        }
        let engine = Engine::new(World::default());
        Unruly {
            random: Random::new(seed),
            stock,
            engine,
            pods: Vec::new(),
            nodes: Vec::new(),
            namespaces: BTreeMap::new(),
            policies: BTreeMap::new(),
            names: BTreeMap::new(),
            pod_cidrs: Vec::new(),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The pods that there are, in the order of [`Unruly::world`].
    pub fn pods(&self) -> impl Iterator<Item = PodId> {
        self.pods.iter().rev().map(|(id, _)| *id)
    }

    /// One update more.
    pub fn update(&mut self) -> (Vec<Change>, Delta) {
        let changes = self.batch();
        let delta = self.engine.apply(changes.clone());
        (changes, delta)
    }

    fn batch(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let wanted = if self.random.chance(10) { 30 } else { self.random.between(1, 6) };
        while changes.len() < wanted {
            self.step(&mut changes);
        }
        changes
    }

    /// One change more, or the same one twice.
    fn step(&mut self, changes: &mut Vec<Change>) {
        match self.random.below(20) {
            0..=3 => {
                let pod = self.pod();
                changes.push(Change::AddPod(pod.clone()));
                // An engine that has come as far says which number it would give.
                let added = self.engine.clone().apply(changes.clone()).added;
                self.pods.extend(added.last().map(|id| (*id, pod)));
            }
            4..=6 => {
                let Some((id, before)) = self.any_pod() else { return };
                let pod = match self.random.below(3) {
                    0 => before,
                    1 => self.pod(),
                    _ => self.other(before),
                };
                changes.push(Change::SetPod(id, pod.clone()));
                self.pods.iter_mut().filter(|(known, _)| *known == id).for_each(|p| p.1 = pod.clone());
            }
            7..=8 => {
                let Some((id, _)) = self.any_pod() else { return };
                self.pods.retain(|(known, _)| *known != id);
                changes.push(Change::RemovePod(id));
            }
            9 => {
                let namespace = self.random.pick(&self.stock.namespaces).clone();
                changes.push(Change::SetNamespace(namespace.clone()));
                self.namespaces.insert(namespace.name.clone(), namespace);
            }
            10 => {
                let name = self.random.pick(&self.stock.namespaces).name.clone();
                self.namespaces.remove(&name);
                changes.push(Change::RemoveNamespace(name));
            }
            11..=12 => {
                let Some(mut node) = self.random.pick_any(&self.stock.nodes).cloned() else { return };
                if self.random.chance(50) {
                    node.addresses = self.addresses();
                }
                changes.push(Change::SetNode(node.clone()));
                if !self.nodes.contains(&node) {
                    self.nodes.retain(|n| n.name != node.name);
                    self.nodes.push(node);
                }
            }
            13 => {
                let Some(node) = self.random.pick_any(&self.stock.nodes) else { return };
                changes.push(Change::RemoveNode(node.name.clone()));
                self.nodes.retain(|n| n.name != node.name);
            }
            14..=16 => {
                let all: Vec<Policy> = self.stock.all_policies().collect();
                let Some(policy) = self.random.pick_any(&all).cloned() else { return };
                for _ in 0..self.random.between(1, 2) {
                    changes.push(Change::SetPolicy(policy.clone()));
                }
                self.policies.insert(policy.key(), policy);
            }
            17 => {
                let keys: Vec<PolicyKey> = self.policies.keys().cloned().collect();
                let Some(key) = self.random.pick_any(&keys).cloned() else { return };
                self.policies.remove(&key);
                changes.push(Change::RemovePolicy(key));
            }
            18 => {
                let Some(name) = self.random.pick_any(&self.stock.names).map(|n| n.name.clone()) else {
                    return;
                };
                let addresses = self.addresses();
                changes
                    .push(Change::SetName(ResolvedName { name: name.clone(), addresses: addresses.clone() }));
                if addresses.is_empty() {
                    self.names.remove(&name);
                } else {
                    self.names.insert(name, addresses);
                }
            }
            _ => {
                let ranges = self.stock.pod_cidrs.iter().copied();
                self.pod_cidrs = ranges.filter(|_| self.random.chance(40)).collect();
                changes.push(Change::SetPodCidrs(self.pod_cidrs.clone()));
            }
        }
    }

    fn any_pod(&mut self) -> Option<(PodId, Pod)> {
        self.random.pick_any(&self.pods).cloned()
    }

    fn pod(&mut self) -> Pod {
        let mut pod = self.random.pick(&self.stock.pods).clone();
        if self.random.chance(70) {
            pod.addresses = self.addresses();
        }
        // Names are unique, and their order is not the one in which pods come.
        while self
            .pods
            .iter()
            .any(|(_, other)| (&other.namespace, &other.name) == (&pod.namespace, &pod.name))
        {
            pod.name = format!("{}-{}", self.random.below(10), pod.name);
        }
        pod
    }

    /// The pod with one thing of another.
    fn other(&mut self, mut pod: Pod) -> Pod {
        let other = self.pod();
        match self.random.below(6) {
            0 => (pod.namespace, pod.name) = (other.namespace, other.name),
            1 => pod.host_network = !pod.host_network,
            2 => pod.node = other.node,
            3 => pod.labels = other.labels,
            4 => pod.named_ports = other.named_ports,
            _ => pod.addresses = other.addresses,
        }
        pod
    }

    /// A few of very few, some of them twice.
    fn addresses(&mut self) -> Vec<IpAddr> {
        let few = ["10.1.0.1", "10.1.0.2", "10.2.0.1", "172.16.0.1", "fd00:1::1", "fd00:2::2"];
        let mut addresses = Vec::new();
        for _ in 0..self.random.below(4) {
            addresses.extend(self.random.pick(&few).parse::<IpAddr>());
        }
        addresses
    }

    /// The world as it is now: what a fresh engine is made of. What came last comes first: no answer follows from the order.
    pub fn world(&self) -> World {
        let mut world = World {
            namespaces: self.namespaces.values().cloned().collect(),
            nodes: self.nodes.iter().rev().cloned().collect(),
            pods: self.pods.iter().rev().map(|(_, pod)| pod.clone()).collect(),
            pod_cidrs: self.pod_cidrs.clone(),
            ..World::default()
        };
        let names = self.names.iter();
        world.names = names.map(|(n, a)| ResolvedName { name: n.clone(), addresses: a.clone() }).collect();
        for policy in self.policies.values() {
            match policy {
                Policy::Network(policy) => world.policies.push(policy.clone()),
                Policy::Cluster(policy) => world.cluster_policies.push(policy.clone()),
            }
        }
        world
    }
}
