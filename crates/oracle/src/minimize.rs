//! Makes a world that shows a mistake as small as it can while it still shows it.

use ringfence_policy::cluster::{ClusterMatch, ClusterPolicy, ClusterRule, PodsAcross};
use ringfence_policy::model::{
    Labels, Namespace, NetworkPolicy, Node, Peers, Pod, Ports, ResolvedName, Rule, World,
};

/// A small world for which `fails` still holds: nothing more can be left out of it. `fails` must hold for `world`, and
/// must find its questions anew each time: where a pod is left out, the others move up.
pub fn minimize(world: World, fails: impl Fn(&World) -> bool) -> World {
    let mut smallest = world;
    while let Some(smaller) = smaller_worlds(&smallest).into_iter().find(&fails) {
        smallest = smaller;
    }
    smallest
}

/// Every world that has one thing less, the largest things first.
fn smaller_worlds(world: &World) -> Vec<World> {
    let lists = [
        with_list(world, &world.policies, |w| &mut w.policies),
        with_list(world, &world.cluster_policies, |w| &mut w.cluster_policies),
        with_list(world, &world.pods, |w| &mut w.pods),
        with_list(world, &world.nodes, |w| &mut w.nodes),
        with_list(world, &world.namespaces, |w| &mut w.namespaces),
        with_list(world, &world.names, |w| &mut w.names),
        with_list(world, &world.pod_cidrs, |w| &mut w.pod_cidrs),
    ];
    let items = [
        with_item(world, &world.policies, smaller_policies, |w| &mut w.policies),
        with_item(world, &world.cluster_policies, smaller_cluster_policies, |w| &mut w.cluster_policies),
        with_item(world, &world.pods, smaller_pods, |w| &mut w.pods),
        with_item(world, &world.nodes, smaller_nodes, |w| &mut w.nodes),
        with_item(world, &world.namespaces, smaller_namespaces, |w| &mut w.namespaces),
        with_item(world, &world.names, smaller_names, |w| &mut w.names),
    ];
    lists.into_iter().chain(items).flatten().collect()
}

fn smaller_policies(policy: &NetworkPolicy) -> Vec<NetworkPolicy> {
    let mut found = Vec::new();
    if let Some(rules) = &policy.ingress {
        found.push(NetworkPolicy { ingress: None, ..policy.clone() });
        let fewer = smaller_lists(rules, smaller_rules);
        found.extend(fewer.into_iter().map(|r| NetworkPolicy { ingress: Some(r), ..policy.clone() }));
    }
    if let Some(rules) = &policy.egress {
        found.push(NetworkPolicy { egress: None, ..policy.clone() });
        let fewer = smaller_lists(rules, smaller_rules);
        found.extend(fewer.into_iter().map(|r| NetworkPolicy { egress: Some(r), ..policy.clone() }));
    }
    found
}

fn smaller_rules(rule: &Rule) -> Vec<Rule> {
    let mut found = Vec::new();
    if let Peers::Of(peers) = &rule.peers {
        found.extend(one_less(peers).into_iter().map(|p| Rule { peers: Peers::Of(p), ..rule.clone() }));
    }
    if let Ports::Of(ports) = &rule.ports {
        found.extend(one_less(ports).into_iter().map(|p| Rule { ports: Ports::Of(p), ..rule.clone() }));
    }
    found
}

fn smaller_cluster_policies(policy: &ClusterPolicy) -> Vec<ClusterPolicy> {
    let mut found = Vec::new();
    if policy.subject != PodsAcross::default() {
        found.push(ClusterPolicy { subject: PodsAcross::default(), ..policy.clone() });
    }
    let fewer = smaller_lists(&policy.ingress, smaller_cluster_rules);
    found.extend(fewer.into_iter().map(|ingress| ClusterPolicy { ingress, ..policy.clone() }));
    let fewer = smaller_lists(&policy.egress, smaller_cluster_rules);
    found.extend(fewer.into_iter().map(|egress| ClusterPolicy { egress, ..policy.clone() }));
    found
}

fn smaller_cluster_rules(rule: &ClusterRule) -> Vec<ClusterRule> {
    let mut found = Vec::new();
    if rule.name.is_some() {
        found.push(ClusterRule { name: None, ..rule.clone() });
    }
    let Some(matches) = &rule.matches else { return found };
    let with = |matches: ClusterMatch| ClusterRule { matches: Some(matches), ..rule.clone() };
    found.extend(
        one_less(&matches.peers).into_iter().map(|peers| with(ClusterMatch { peers, ..matches.clone() })),
    );
    if let Ports::Of(ports) = &matches.ports {
        let fewer = one_less(ports).into_iter().map(Ports::Of);
        found.extend(fewer.map(|ports| with(ClusterMatch { ports, ..matches.clone() })));
    }
    found
}

fn smaller_pods(pod: &Pod) -> Vec<Pod> {
    let mut found: Vec<Pod> =
        smaller_labels(&pod.labels).into_iter().map(|labels| Pod { labels, ..pod.clone() }).collect();
    found.extend(one_less(&pod.addresses).into_iter().map(|addresses| Pod { addresses, ..pod.clone() }));
    found
        .extend(one_less(&pod.named_ports).into_iter().map(|named_ports| Pod { named_ports, ..pod.clone() }));
    found
}

fn smaller_nodes(node: &Node) -> Vec<Node> {
    let labels = smaller_labels(&node.labels).into_iter().map(|labels| Node { labels, ..node.clone() });
    let addresses = one_less(&node.addresses).into_iter().map(|addresses| Node { addresses, ..node.clone() });
    labels.chain(addresses).collect()
}

fn smaller_namespaces(namespace: &Namespace) -> Vec<Namespace> {
    let labels = smaller_labels(&namespace.labels).into_iter();
    labels.map(|labels| Namespace { labels, ..namespace.clone() }).collect()
}

fn smaller_names(name: &ResolvedName) -> Vec<ResolvedName> {
    let addresses = one_less(&name.addresses).into_iter();
    addresses.map(|addresses| ResolvedName { addresses, ..name.clone() }).collect()
}

fn smaller_labels(labels: &Labels) -> Vec<Labels> {
    let without = |key: &String| {
        let mut fewer = labels.clone();
        fewer.remove(key);
        fewer
    };
    labels.keys().map(without).collect()
}

/// Worlds in which the list has one item less.
fn with_list<T: Clone>(world: &World, list: &[T], of: impl Fn(&mut World) -> &mut Vec<T>) -> Vec<World> {
    one_less(list).into_iter().map(|shorter| with(world, &of, shorter)).collect()
}

/// Worlds in which one item of the list is smaller.
fn with_item<T: Clone>(
    world: &World,
    list: &[T],
    smaller: impl Fn(&T) -> Vec<T>,
    of: impl Fn(&mut World) -> &mut Vec<T>,
) -> Vec<World> {
    one_smaller(list, smaller).into_iter().map(|changed| with(world, &of, changed)).collect()
}

fn with<T>(world: &World, of: impl Fn(&mut World) -> &mut Vec<T>, list: Vec<T>) -> World {
    let mut changed = world.clone();
    *of(&mut changed) = list;
    changed
}

fn smaller_lists<T: Clone>(list: &[T], smaller: impl Fn(&T) -> Vec<T>) -> Vec<Vec<T>> {
    one_less(list).into_iter().chain(one_smaller(list, smaller)).collect()
}

fn one_less<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    (0..list.len())
        .map(|place| {
            let mut shorter = list.to_vec();
            shorter.remove(place);
            shorter
        })
        .collect()
}

fn one_smaller<T: Clone>(list: &[T], smaller: impl Fn(&T) -> Vec<T>) -> Vec<Vec<T>> {
    let mut found = Vec::new();
    for (place, item) in list.iter().enumerate() {
        for replacement in smaller(item) {
            let mut changed = list.to_vec();
            if let Some(slot) = changed.get_mut(place) {
                *slot = replacement;
            }
            found.push(changed);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use ringfence_policy::cluster::{ClusterPolicy, PodsAcross};
    use ringfence_policy::model::World;

    use super::minimize;
    use crate::worlds::{Size, world};

    #[test]
    fn leaves_only_what_is_needed() {
        let size = Size::default();
        let is_large = |w: &World| {
            w.policies.len() > 4 && w.pods.len() > 6 && w.cluster_policies.len() > 2 && w.nodes.len() > 2
        };
        let large = (0..).map(|seed| world(seed, &size)).find(is_large).unwrap();
        let small = minimize(large, |w| {
            let rules = |policy: &ClusterPolicy| policy.ingress.len() + policy.egress.len();
            !w.policies.is_empty()
                && w.pods.len() >= 2
                && w.nodes.len() >= 2
                && w.cluster_policies.iter().map(rules).sum::<usize>() >= 2
        });
        let labels: usize = small.pods.iter().map(|pod| pod.labels.len()).sum();
        assert_eq!((small.policies.len(), small.pods.len(), small.namespaces.len(), labels), (1, 2, 0, 0));
        assert!(small.policies.iter().all(|p| p.ingress.is_none() && p.egress.is_none()));
        assert!(small.nodes.iter().all(|node| node.labels.is_empty() && node.addresses.is_empty()));
        assert!(small.names.is_empty());
        for policy in &small.cluster_policies {
            assert_eq!(policy.subject, PodsAcross::default());
            for rule in policy.ingress.iter().chain(&policy.egress) {
                assert!(rule.matches.as_ref().is_none_or(|matches| matches.peers.is_empty()));
            }
        }
    }
}
