//! One side of a pair: a connection needs its source's egress and its destination's ingress.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use ringfence_policy::{
    Direction, End, Identity, LabelSelector, NamespaceScope, Peer, Peers, PodId, PolicyId, PortMatch,
    PortRef, PortSet, Ports, Requirement, Rule, SetId,
};

use crate::code;
use crate::context::{Context, PodView, names};
use crate::finding::Finding;
use crate::view::PolicyView;

/// Some pods, on one of their sides.
type Among = (Vec<usize>, Direction);

/// What was asked for before: what may pass between a policy set and an identity, and the kinds of pods among some.
#[derive(Default)]
struct Known {
    allowed: RefCell<HashMap<(SetId, Identity), Rc<PortSet>>>,
    kinds: RefCell<HashMap<Among, Rc<[PodId]>>>,
}

/// Rules that name pods for which the other side denies what they allow, all of it; and ports of rules that it denies.
pub(crate) fn one_side(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let known = Known::default();
    for view in &context.policies {
        for direction in Direction::ALL {
            for (place, peer_place, rule, peer) in view.peers(direction) {
                let Peer::Pods { namespaces, pods } = peer else { continue };
                // A peer that names nobody in particular is no wish for any pair.
                let is_broad = match namespaces {
                    NamespaceScope::Own => true,
                    NamespaceScope::Matching(selector) => selector.is_everything(),
                };
                if is_broad && pods.is_everything() {
                    continue;
                }
                let at = view.peer_span(direction, place, peer_place);
                for (others, by) in denied(context, &known, view, direction, &rule.ports, peer, pods) {
                    let what = match direction {
                        Direction::Ingress => "may not send what this allows to come in",
                        Direction::Egress => "does not let in what this allows to go out",
                    };
                    let whose = names(context.views(&others));
                    findings.push(finding(context, view, direction, &by, &whose, what).at(context.place(at)));
                }
            }
            for (place, rule) in view.rules(direction).iter().enumerate() {
                findings.extend(dead_ports(context, &known, view, direction, place, rule));
            }
        }
    }
    findings
}

fn finding(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    direction: Direction,
    by: &[PolicyId],
    whose: &str,
    what: &str,
) -> Finding {
    let (reason, other_side) = match direction {
        Direction::Ingress => (
            "both sides must allow a connection; the egress of the source is isolated, and no rule allows it",
            "egress",
        ),
        Direction::Egress => (
            "both sides must allow a connection; the ingress of the destination is isolated, and no rule allows it",
            "ingress",
        ),
    };
    let finding = Finding::new(&code::RF062, format!("{whose} {what}"))
        .because(reason)
        .help(format!("allow it in the {other_side} of {whose} too"))
        .about(view.object());
    match by.first().and_then(|id| context.view_of(*id)) {
        Some(by) => finding.related(context.place(by.name_span()), "this policy isolates them"),
        None => finding,
    }
}

/// The pods of a peer that the other side denies everything, and the policies that do. A peer that lists several values
/// of a label wishes for each of them: `In [a, b]` is two peers in one.
fn denied(
    context: &Context<'_>,
    known: &Known,
    view: &PolicyView<'_>,
    direction: Direction,
    ports: &Ports,
    peer: &Peer,
    pods: &LabelSelector,
) -> Vec<(Vec<usize>, Vec<PolicyId>)> {
    let others = context.matched(view.namespace(), peer);
    if let Some(by) = blocked(context, known, view, direction, ports, &others) {
        return vec![(others.to_vec(), by)];
    }
    let listed = pods.requirements().iter().find_map(|r| match r {
        Requirement::In(key, values) if values.len() > 1 => Some(key),
        _ => None,
    });
    let Some(listed) = listed else { return Vec::new() };
    let mut by_value: BTreeMap<Option<&String>, Vec<usize>> = BTreeMap::new();
    for place in others.iter() {
        let value = context.pod(*place).and_then(|pod| pod.pod.labels.get(listed));
        by_value.entry(value).or_default().push(*place);
    }
    let each = by_value.into_values();
    each.filter_map(|others| blocked(context, known, view, direction, ports, &others).map(|by| (others, by)))
        .collect()
}

/// Ports of a rule on which its pods listen, and on which the other side lets through nothing to or from any of its peers.
fn dead_ports(
    context: &Context<'_>,
    known: &Known,
    view: &PolicyView<'_>,
    direction: Direction,
    place: usize,
    rule: &Rule,
) -> Vec<Finding> {
    let (Ports::Of(ports), Peers::Of(peers)) = (&rule.ports, &rule.peers) else { return Vec::new() };
    if ports.len() < 2 || peers.iter().any(|p| matches!(p, Peer::Block(_))) {
        return Vec::new();
    }
    let receivers = context.receivers(view, direction, rule);
    let listens = |port: &PortMatch| {
        let declared = context.views(&receivers).flat_map(|p| &p.workload.ports);
        declared.into_iter().any(|p| {
            p.protocol == port.protocol
                && match &port.port {
                    PortRef::All => false,
                    PortRef::Range(range) => range.contains(p.port),
                    PortRef::Named(name) => p.name.as_ref() == Some(name),
                }
        })
    };
    let matched: Vec<usize> = {
        let all: BTreeSet<usize> =
            peers.iter().flat_map(|p| context.matched(view.namespace(), p).to_vec()).collect();
        all.into_iter().collect()
    };
    let dead_by =
        |port: &PortMatch| blocked(context, known, view, direction, &Ports::Of(vec![port.clone()]), &matched);
    let dead: Vec<(usize, Vec<PolicyId>)> =
        ports.iter().enumerate().filter_map(|(i, port)| Some((i, dead_by(port)?))).collect();
    // Where all of it is denied the peers have findings of their own.
    if dead.len() == ports.len() {
        return Vec::new();
    }
    let dead = dead.into_iter().filter_map(|(i, by)| Some((i, ports.get(i)?, by)));
    dead.filter(|(_, port, _)| listens(port))
        .map(|(i, port, by)| {
            let what = match direction {
                Direction::Ingress => format!("may not send to {port}, which this allows to come in"),
                Direction::Egress => format!("does not let in {port}, which this allows to go out"),
            };
            let at = view.port_node(direction, place, i).and_then(|n| n.span);
            let at = at.or_else(|| view.rule_span(direction, place));
            let whose = names(context.views(&matched));
            finding(context, view, direction, &by, &whose, &what).at(context.place(at))
        })
        .collect()
}

/// The policies that deny on the other side, if that denies every pair on every one of these ports.
fn blocked(
    context: &Context<'_>,
    known: &Known,
    view: &PolicyView<'_>,
    direction: Direction,
    ports: &Ports,
    others: &[usize],
) -> Option<Vec<PolicyId>> {
    let other_side = match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    };
    let others = known.kinds(context, others, other_side);
    let subjects = known.kinds(context, &view.subjects, direction);
    let mut policies = None;
    for subject in subjects.iter() {
        for other in others.iter().filter(|o| *o != subject) {
            match denied_by(context, known, *subject, *other, ports, direction) {
                Some(by) => policies.get_or_insert(by),
                None => return None,
            };
        }
    }
    policies
}

impl Known {
    /// Two pods of each kind that no policy can tell apart on a side, so that there is a pair of different ones.
    fn kinds(&self, context: &Context<'_>, places: &[usize], side: Direction) -> Rc<[PodId]> {
        let key = (places.to_vec(), side);
        if let Some(kinds) = self.kinds.borrow().get(&key) {
            return kinds.clone();
        }
        let held = |p: &PodView<'_>| {
            (context.engine.policy_set(p.id, side), context.engine.identity(End::Pod(p.id)))
        };
        let mut seen = BTreeSet::new();
        let kinds: Rc<[PodId]> = (context.views(places))
            .filter(|pod| seen.insert((held(pod), 0)) || seen.insert((held(pod), 1)))
            .map(|pod| pod.id)
            .collect();
        self.kinds.borrow_mut().insert(key, kinds.clone());
        kinds
    }

    /// What may pass between a policy set and an identity.
    fn allowed(&self, context: &Context<'_>, set: SetId, identity: Identity) -> Rc<PortSet> {
        let ask = || Rc::new(context.engine.port_map(set, identity).allowed());
        self.allowed.borrow_mut().entry((set, identity)).or_insert_with(ask).clone()
    }
}

/// The policies that isolate the other side where it allows nothing on these ports; `None` where it
/// allows some of it.
fn denied_by(
    context: &Context<'_>,
    known: &Known,
    subject: PodId,
    held: PodId,
    ports: &Ports,
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
    let allowed = known.allowed(context, set, engine.identity(End::Pod(subject)));
    let allows_some = match ports {
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
