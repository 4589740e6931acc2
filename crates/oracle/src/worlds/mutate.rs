//! Small changes to a world: what a user or a cluster does next.

use ringfence_policy::model::{NetworkPolicy, Peers, Ports, Rule, World};

use crate::random::Random;
use crate::worlds::cluster::labels;

/// One change. The world keeps the promises of the model; the pods stay where they are in the list.
pub fn mutate(world: &mut World, random: &mut Random) {
    match random.below(12) {
        0 => reorder(world, random),
        1 => drop_one(&mut world.policies, random),
        2 => duplicate(world, random),
        3 => drop_one(&mut world.namespaces, random),
        4 => {
            let place = random.below(world.pods.len());
            if let Some(pod) = world.pods.get_mut(place) {
                pod.labels = labels(random);
            }
        }
        5 => {
            let place = random.below(world.namespaces.len());
            if let Some(namespace) = world.namespaces.get_mut(place) {
                namespace.labels = labels(random);
            }
        }
        6 => {
            let place = random.below(world.pods.len());
            if let Some(pod) = world.pods.get_mut(place) {
                drop_one(&mut pod.named_ports, random);
            }
        }
        _ => {
            let place = random.below(world.policies.len());
            if let Some(policy) = world.policies.get_mut(place) {
                mutate_policy(policy, random);
            }
        }
    }
}

/// The same policies, rules, peers and ports in another order. Nothing that they mean may change.
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

fn drop_one<T>(items: &mut Vec<T>, random: &mut Random) {
    if !items.is_empty() {
        items.remove(random.below(items.len()));
    }
}
