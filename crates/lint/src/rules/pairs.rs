//! One side of a pair: a connection needs its source's egress and its destination's ingress.

use std::collections::BTreeSet;

use ringfence_policy::{Direction, End, Peer, PodId, PolicyId, PortRef, Ports, Rule};

use crate::code;
use crate::context::{Context, PodView, names};
use crate::finding::Finding;
use crate::view::{PolicyView, shown};

/// Rules that name pods for which the other side denies what they allow, all of it.
pub(crate) fn one_side(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        for direction in Direction::ALL {
            for (place, peer_place, rule, peer) in view.peers(direction) {
                let Peer::Pods { pods, .. } = peer else { continue };
                // A peer that names no pods in particular is no wish for any pair.
                if pods.is_everything() {
                    continue;
                }
                let others = context.matched(view.namespace(), peer);
                let Some(policies) = blocked(context, view, direction, rule, &others) else { continue };
                let by = policies.first().and_then(|id| context.view_of(*id));
                let whose = names(context.views(&others));
                let (message, reason) = match direction {
                    Direction::Ingress => (
                        format!("{whose} may not send what this allows to come in"),
                        "both sides must allow a connection; the egress of the source is isolated, and no rule allows it",
                    ),
                    Direction::Egress => (
                        format!("{whose} does not let in what this allows to go out"),
                        "both sides must allow a connection; the ingress of the destination is isolated, and no rule \
                         allows it",
                    ),
                };
                let other_side = match direction {
                    Direction::Ingress => "egress",
                    Direction::Egress => "ingress",
                };
                let finding = Finding::new(&code::RF062, message)
                    .because(reason)
                    .help(format!("allow it in the {other_side} of the pods with `{}` too", shown(pods)))
                    .about(view.object())
                    .at(context.place(view.peer_span(direction, place, peer_place)));
                findings.push(match by {
                    Some(by) => finding.related(context.place(by.name_span()), "this policy isolates them"),
                    None => finding,
                });
            }
        }
    }
    findings
}

/// The policies that deny on the other side, if that denies every pair on every port of the rule.
fn blocked(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    direction: Direction,
    rule: &Rule,
    others: &[usize],
) -> Option<Vec<PolicyId>> {
    // Pods that no policy can tell apart are asked for once.
    let alike = |places: &[usize], side: Direction| {
        let mut seen = BTreeSet::new();
        let held = |p: &PodView<'_>| {
            (context.engine.policy_set(p.id, side), context.engine.identity(End::Pod(p.id)))
        };
        let mut pods: Vec<PodId> = Vec::new();
        for pod in context.views(places) {
            // Two of each kind, so that there is a pair of different ones.
            if seen.insert((held(pod), 0)) || seen.insert((held(pod), 1)) {
                pods.push(pod.id);
            }
        }
        pods
    };
    let other_side = match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    };
    let others = alike(others, other_side);
    let subjects = alike(&view.subjects, direction);
    let mut policies = None;
    for subject in &subjects {
        for other in others.iter().filter(|o| *o != subject) {
            match denied_by(context, *subject, *other, rule, direction) {
                Some(by) => policies.get_or_insert(by),
                None => return None,
            };
        }
    }
    policies
}

/// The policies that isolate the other side where it allows nothing of a rule; `None` where it allows some of it.
fn denied_by(
    context: &Context<'_>,
    subject: PodId,
    held: PodId,
    rule: &Rule,
    direction: Direction,
) -> Option<Vec<PolicyId>> {
    let engine = context.engine;
    let (side, to) = match direction {
        Direction::Ingress => (Direction::Egress, subject),
        Direction::Egress => (Direction::Ingress, held),
    };
    let to = engine.pod(to)?;
    let set = engine.policy_set(held, side)?;
    // What a cluster-wide rule denies is denied on purpose.
    if engine.has_cluster_policies(set) {
        return None;
    }
    let allowed = engine.port_map(set, engine.identity(End::Pod(subject))).allowed();
    let allows_some = match &rule.ports {
        Ports::Any => !allowed.is_empty(),
        Ports::Of(ports) => ports.iter().any(|port| {
            let ranges = allowed.ranges(port.protocol);
            match &port.port {
                PortRef::All => !ranges.is_empty(),
                PortRef::Range(range) => {
                    ranges.iter().any(|r| r.first() <= range.last() && range.first() <= r.last())
                }
                PortRef::Named(name) => {
                    let named = to.named_ports.iter().filter(|n| n.name == *name);
                    named
                        .filter(|n| n.protocol == port.protocol)
                        .any(|n| ranges.iter().any(|r| r.contains(n.port)))
                }
            }
        }),
    };
    (!allows_some).then(|| engine.isolating(held, side).to_vec())
}
