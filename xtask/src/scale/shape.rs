//! How a generated world is shaped, to be held against the shape that it is to have.

use ringfence_policy::{DistinctPeer, Engine, Peer, Peers, World};

/// The counts that the profiles are described by.
pub(crate) fn describe(world: World) -> String {
    let (pods, namespaces, policies) = (world.pods.len(), world.namespaces.len(), world.policies.len());
    let mut selected: Vec<usize> = Vec::new();
    let (mut selectors, mut blocks) = (0usize, 0usize);
    let mut by_namespace = std::collections::BTreeMap::<&str, Vec<&ringfence_policy::Pod>>::new();
    for pod in &world.pods {
        by_namespace.entry(&pod.namespace).or_default().push(pod);
    }
    for policy in &world.policies {
        let here = by_namespace.get(policy.name.namespace.as_str()).map_or(&[][..], |p| p);
        selected.push(here.iter().filter(|p| policy.subject.matches(&p.labels)).count());
        for rule in policy.ingress.iter().chain(policy.egress.iter()).flatten() {
            if let Peers::Of(peers) = &rule.peers {
                let of_blocks = peers.iter().filter(|p| matches!(p, Peer::Block(_))).count();
                blocks += of_blocks;
                selectors += peers.len() - of_blocks;
            }
        }
    }
    selected.retain(|n| *n > 0);
    selected.sort_unstable();
    let median = selected.get(selected.len() / 2).copied().unwrap_or(0);
    let mean = selected.iter().sum::<usize>() as f64 / selected.len().max(1) as f64;
    let most = selected.last().copied().unwrap_or(0);
    let engine = Engine::new(world);
    let (peers, matched) = engine.peer_matches();
    let mut matches: Vec<usize> = peers
        .iter()
        .zip(matched)
        .filter(|(p, _)| !matches!(p, DistinctPeer::Block(_)))
        .map(|(_, n)| n)
        .collect();
    matches.sort_unstable();
    format!(
        "{pods} pods, {namespaces} namespaces, {policies} policies; selected (of those that select): median {median}, \
         mean {mean:.1}, most {most}; {:.0}% of peers are selectors, which match a median of {} groups",
        100.0 * selectors as f64 / (selectors + blocks).max(1) as f64,
        matches.get(matches.len() / 2).copied().unwrap_or(0),
    )
}
