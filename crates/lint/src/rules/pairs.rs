//! One side of a pair: a connection needs its source's egress and its destination's ingress.

use std::collections::{BTreeSet, HashMap};

use ringfence_policy::{
    Direction, End, Identity, Peer, PodId, PolicyId, PortRef, PortSet, Ports, Rule, SetId,
};

use crate::code;
use crate::context::{Context, PodView, names};
use crate::finding::Finding;
use crate::view::shown;

/// What may pass between a policy set and an identity, where that was asked for.
type Allowed = HashMap<(SetId, Identity), PortSet>;

/// Rules that name pods for which the other side denies what they allow, all of it.
pub(crate) fn one_side(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut allowed = Allowed::new();
    let mut kinds_of: HashMap<(&Peer, &str, Direction), Vec<PodId>> = HashMap::new();
    for view in &context.policies {
        for direction in Direction::ALL {
            let (other_side, other_word) = match direction {
                Direction::Ingress => (Direction::Egress, "egress"),
                Direction::Egress => (Direction::Ingress, "ingress"),
            };
            let subjects = kinds(context, &view.subjects, direction);
            for (place, peer_place, rule, peer) in view.peers(direction) {
                let Peer::Pods { pods, .. } = peer else { continue };
                // A peer that names no pods in particular is no wish for any pair.
                if pods.is_everything() {
                    continue;
                }
                let others = context.matched(view.namespace(), peer);
                let kinds = kinds_of
                    .entry((peer, view.namespace(), direction))
                    .or_insert_with(|| kinds(context, &others, other_side));
                let Some(policies) = blocked(context, &mut allowed, direction, rule, &subjects, kinds) else {
                    continue;
                };
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
                let finding = Finding::new(&code::RF062, message)
                    .because(reason)
                    .help(format!("allow it in the {other_word} of the pods with `{}` too", shown(pods)))
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
    allowed: &mut Allowed,
    direction: Direction,
    rule: &Rule,
    subjects: &[PodId],
    others: &[PodId],
) -> Option<Vec<PolicyId>> {
    let mut policies = None;
    for subject in subjects {
        for other in others.iter().filter(|o| *o != subject) {
            match denied_by(context, allowed, *subject, *other, rule, direction) {
                Some(by) => policies.get_or_insert(by),
                None => return None,
            };
        }
    }
    policies
}

/// Two pods of each kind that no policy can tell apart on a side, so that there is a pair of different ones.
fn kinds(context: &Context<'_>, places: &[usize], side: Direction) -> Vec<PodId> {
    let mut seen = BTreeSet::new();
    let held =
        |p: &PodView<'_>| (context.engine.policy_set(p.id, side), context.engine.identity(End::Pod(p.id)));
    let mut pods: Vec<PodId> = Vec::new();
    for pod in context.views(places) {
        if seen.insert((held(pod), 0)) || seen.insert((held(pod), 1)) {
            pods.push(pod.id);
        }
    }
    pods
}

/// The policies that isolate the other side where it allows nothing of a rule; `None` where it allows some of it.
fn denied_by(
    context: &Context<'_>,
    known: &mut Allowed,
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
    let identity = engine.identity(End::Pod(subject));
    let allowed = known.entry((set, identity)).or_insert_with(|| engine.port_map(set, identity).allowed());
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
