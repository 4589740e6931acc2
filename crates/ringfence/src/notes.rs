//! What an answer rests on that the user may not know: said beside it, never part of the verdict.

use ringfence_policy::{ClusterPeer, ClusterRule, Direction, Engine, Peer, Peers, Policy, Rule};

/// That pods have no address here, where an `ipBlock` in force might have matched them.
pub(crate) fn unknown_pod_addresses(engine: &Engine) -> Option<String> {
    if !engine.pod_cidrs().is_empty() || engine.pods().all(|(_, p)| !p.addresses.is_empty()) {
        return None;
    }
    let count = engine.policies().filter(|(_, p)| has_partial_block(p)).count();
    (count > 0).then(|| {
        let (policies, have) = if count == 1 { ("policy", "has") } else { ("policies", "have") };
        format!(
            "{count} {policies} {have} an ipBlock, and manifests do not say which addresses pods get: such blocks are \
             matched against outside addresses only; --pod-cidr tells where pods live"
        )
    })
}

/// Whether a policy has a block that is not a whole address family.
fn has_partial_block(policy: &Policy) -> bool {
    Direction::ALL.into_iter().any(|d| has_partial_block_in(policy, d))
}

/// Whether a policy has, in a direction, a block that is not a whole address family.
pub(crate) fn has_partial_block_in(policy: &Policy, direction: Direction) -> bool {
    match (policy, direction) {
        (Policy::Network(policy), Direction::Ingress) => has_partial_peer(policy.ingress.as_deref()),
        (Policy::Network(policy), Direction::Egress) => has_partial_peer(policy.egress.as_deref()),
        (Policy::Cluster(policy), Direction::Ingress) => has_partial_network(&policy.ingress),
        (Policy::Cluster(policy), Direction::Egress) => has_partial_network(&policy.egress),
    }
}

fn has_partial_peer(rules: Option<&[Rule]>) -> bool {
    rules.unwrap_or_default().iter().any(|rule| match &rule.peers {
        Peers::Any => false,
        Peers::Of(peers) => peers.iter().any(|p| matches!(p, Peer::Block(b) if !b.is_everyone())),
    })
}

fn has_partial_network(rules: &[ClusterRule]) -> bool {
    let peers = rules.iter().filter_map(|rule| rule.matches.as_ref()).flat_map(|m| &m.peers);
    peers.into_iter().any(|peer| matches!(peer, ClusterPeer::Network(net) if net.prefix_len() > 0))
}
