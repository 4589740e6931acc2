//! What an answer rests on that the user may not know: said beside it, never part of the verdict.

use ringfence_policy::{Direction, Engine, NetworkPolicy, Peer, Peers};

/// That pods have no address here, where an `ipBlock` in force might have matched them.
pub(crate) fn unknown_pod_addresses(engine: &Engine) -> Option<String> {
    let world = engine.world();
    if !world.pod_cidrs.is_empty() || world.pods.iter().all(|p| !p.addresses.is_empty()) {
        return None;
    }
    let count = world.policies.iter().filter(|p| has_partial_block(p)).count();
    (count > 0).then(|| {
        let (policies, have) = if count == 1 { ("policy", "has") } else { ("policies", "have") };
        format!(
            "{count} {policies} {have} an ipBlock, and manifests do not say which addresses pods get: such blocks are \
             matched against outside addresses only; --pod-cidr tells where pods live"
        )
    })
}

/// Whether a policy has a block that is not a whole address family.
fn has_partial_block(policy: &NetworkPolicy) -> bool {
    [Direction::Ingress, Direction::Egress].into_iter().any(|d| has_partial_block_in(policy, d))
}

/// Whether a policy has, in a direction, a block that is not a whole address family.
pub(crate) fn has_partial_block_in(policy: &NetworkPolicy, direction: Direction) -> bool {
    let rules = match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    };
    rules.iter().flatten().any(|rule| match &rule.peers {
        Peers::Any => false,
        Peers::Of(peers) => peers.iter().any(|p| matches!(p, Peer::Block(b) if !b.is_everyone())),
    })
}
