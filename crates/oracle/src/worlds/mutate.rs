//! Small changes to a world: what a user or a cluster does next.

use ringfence_policy::cluster::ClusterPolicy;
use ringfence_policy::model::{Namespace, NetworkPolicy, Peers, Ports, Rule, World};

use crate::random::Random;
use crate::worlds::Size;
use crate::worlds::cluster::{self, labels, namespace_labels, namespace_names};
use crate::worlds::mutate_cluster::mutate_cluster_policy;
use crate::worlds::policies::Maker;

/// One change. The world keeps the promises of the model and of the size. Where a pod comes or goes, others move in
/// the list: a [`PodId`](ringfence_policy::PodId) means nothing afterwards.
pub fn mutate(world: &mut World, size: &Size, random: &mut Random) {
    match random.below(24) {
        0 => reorder(world, random),
        1 => drop_one(&mut world.policies, random),
        2 => duplicate(world, random),
        3 => drop_one(&mut world.namespaces, random),
        4 => add_namespace(world, size, random),
        5 => {
            let place = random.below(world.pods.len());
            if let Some(pod) = world.pods.get_mut(place) {
                pod.labels = labels(random);
            }
        }
        6 => {
            let place = random.below(world.namespaces.len());
            if let Some(namespace) = world.namespaces.get_mut(place) {
                namespace.labels = labels(random);
            }
        }
        7 => {
            let place = random.below(world.nodes.len());
            if let Some(node) = world.nodes.get_mut(place) {
                node.labels = labels(random);
            }
        }
        8 => {
            let place = random.below(world.pods.len());
            if let Some(pod) = world.pods.get_mut(place) {
                drop_one(&mut pod.named_ports, random);
            }
        }
        9 => add_pod(world, size, random),
        10 => {
            if world.pods.len() > 1 {
                drop_one(&mut world.pods, random);
            }
        }
        11 => change_name(world, size, random),
        12 => {
            if world.policies.len() < size.policies {
                let index = unused(|index| world.policies.iter().any(|p| p.name.name == policy_name(index)));
                let policy = Maker::new(size, world, random).policy(index);
                insert(&mut world.policies, policy, random);
            }
        }
        13..17 if size.cluster_policies > 0 => change_cluster_policies(world, size, random),
        _ => {
            let place = random.below(world.policies.len());
            if let Some(policy) = world.policies.get_mut(place) {
                mutate_policy(policy, random);
            }
        }
    }
}

/// The same policies, NetworkPolicy rules, peers and ports in another order. Nothing that they mean may change: the
/// rules of a cluster-wide policy stay in theirs.
pub fn reorder(world: &mut World, random: &mut Random) {
    random.shuffle(&mut world.policies);
    for rule in world.policies.iter_mut().flat_map(rules_mut) {
        if let Peers::Of(peers) = &mut rule.peers {
            random.shuffle(peers);
        }
        if let Ports::Of(ports) = &mut rule.ports {
            random.shuffle(ports);
        }
    }
    for policy in &mut world.policies {
        for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
            random.shuffle(rules);
        }
    }
    random.shuffle(&mut world.cluster_policies);
    for rule in world.cluster_policies.iter_mut().flat_map(|p| p.ingress.iter_mut().chain(&mut p.egress)) {
        if let Some(matches) = &mut rule.matches {
            random.shuffle(&mut matches.peers);
            if let Ports::Of(ports) = &mut matches.ports {
                random.shuffle(ports);
            }
        }
    }
    random.shuffle(&mut world.names);
    for name in &mut world.names {
        random.shuffle(&mut name.addresses);
    }
}

/// Every rule of a policy.
fn rules_mut(policy: &mut NetworkPolicy) -> impl Iterator<Item = &mut Rule> {
    [&mut policy.ingress, &mut policy.egress].into_iter().flatten().flatten()
}

fn mutate_policy(policy: &mut NetworkPolicy, random: &mut Random) {
    match random.below(5) {
        0 => std::mem::swap(&mut policy.ingress, &mut policy.egress),
        1 => policy.ingress = if policy.ingress.is_some() { None } else { Some(Vec::new()) },
        2 => policy.egress = if policy.egress.is_some() { None } else { Some(Vec::new()) },
        _ => {
            let mut rules: Vec<&mut Rule> = rules_mut(policy).collect();
            let place = random.below(rules.len());
            if let Some(rule) = rules.get_mut(place) {
                if random.chance(50) { rule.ports = Ports::Any } else { rule.peers = Peers::Any }
            }
        }
    }
}

/// A policy once more under another name: it may change nothing.
fn duplicate(world: &mut World, random: &mut Random) {
    if let Some(policy) = random.pick_any(&world.policies) {
        let mut name = policy.name.clone();
        while world.policies.iter().any(|other| other.name == name) {
            name.name.push_str("-again");
        }
        let copy = NetworkPolicy { name, ..policy.clone() };
        world.policies.push(copy);
    }
}

/// A cluster-wide policy comes, goes or changes.
fn change_cluster_policies(world: &mut World, size: &Size, random: &mut Random) {
    let place = random.below(world.cluster_policies.len());
    match random.below(4) {
        0 => drop_one(&mut world.cluster_policies, random),
        1 if world.cluster_policies.len() < size.cluster_policies => {
            let policy = Maker::new(size, world, random).cluster_policy(&world.cluster_policies);
            insert(&mut world.cluster_policies, policy, random);
        }
        _ => {
            let changed: Option<ClusterPolicy> = (world.cluster_policies.get(place))
                .map(|policy| mutate_cluster_policy(policy, &mut Maker::new(size, world, random)));
            if let (Some(slot), Some(changed)) = (world.cluster_policies.get_mut(place), changed) {
                *slot = changed;
            }
        }
    }
}

/// A namespace of which nothing but its name was known, or none had heard.
fn add_namespace(world: &mut World, size: &Size, random: &mut Random) {
    let names = namespace_names(size.namespaces);
    let unlisted: Vec<&String> =
        names.iter().filter(|name| world.namespaces.iter().all(|n| n.name != **name)).collect();
    if let Some(name) = random.pick_any(&unlisted) {
        let labels = namespace_labels(name, random);
        insert(&mut world.namespaces, Namespace { name: (*name).clone(), labels }, random);
    }
}

/// A pod that was not there; where one has gone before it, perhaps with its name and address.
fn add_pod(world: &mut World, size: &Size, random: &mut Random) {
    if world.pods.len() < size.pods {
        let names = namespace_names(size.namespaces.max(1));
        let namespace = random.pick(&names).clone();
        let index = unused(|index| world.pods.iter().any(|pod| pod.name == format!("pod-{index}")));
        let pod = cluster::pod(index, namespace, size, world, random);
        insert(&mut world.pods, pod, random);
    }
}

/// A name leads elsewhere.
fn change_name(world: &mut World, size: &Size, random: &mut Random) {
    let place = random.below(world.names.len());
    let addresses = Maker::new(size, world, random).name_addresses(&world.names);
    if let Some(name) = world.names.get_mut(place) {
        name.addresses = addresses;
    }
}

fn policy_name(index: usize) -> String {
    format!("policy-{index}")
}

/// The first number that is not taken.
fn unused(is_taken: impl Fn(usize) -> bool) -> usize {
    (0..).find(|number| !is_taken(*number)).unwrap_or_default()
}

fn insert<T>(items: &mut Vec<T>, item: T, random: &mut Random) {
    items.insert(random.below(items.len() + 1), item);
}

pub(super) fn drop_one<T>(items: &mut Vec<T>, random: &mut Random) {
    if !items.is_empty() {
        items.remove(random.below(items.len()));
    }
}
