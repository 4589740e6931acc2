//! The dash that turns AND into OR, and the one that is missing.
//!
//! Both spellings are right at times, so the pods decide: a warning only where what is written cannot be what was meant.

use ringfence_k8s::Level;
use ringfence_policy::{Direction, LabelSelector, NamespaceScope, Peer, Peers};

use crate::code;
use crate::context::{Context, names};
use crate::finding::Finding;
use crate::view::{PolicyView, shown};

/// A namespace selector and a pod selector as two peers, side by side.
pub(crate) fn stray(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        for direction in Direction::ALL {
            let peers: Vec<_> = view.peers(direction).collect();
            for pair in peers.windows(2) {
                let [(rule, first, _, a), (other_rule, second, _, b)] = pair else { continue };
                if rule != other_rule {
                    continue;
                }
                let Some((namespaces, pods)) = halves(a, b).or_else(|| halves(b, a)) else { continue };
                let Some(level) = judge(context, view, namespaces, pods) else { continue };
                findings.push(
                    Finding::new(
                        &code::RF020,
                        format!(
                            "two peers, not one: every pod of the namespaces with `{}`, or any pod of {} with `{}`",
                            shown(namespaces),
                            view.namespace(),
                            shown(pods)
                        ),
                    )
                    .because(
                        "each dash starts a peer of its own, and peers are alternatives; only in one peer must both \
                         selectors hold",
                    )
                    .help("to ask for both, remove the second dash; to mean either, leave it and suppress this")
                    .level(level)
                    .about(view.object())
                    .at(context.place(view.peer_span(direction, *rule, *second)))
                    .related(context.place(view.peer_span(direction, *rule, *first)), "the other peer"),
                );
            }
        }
    }
    findings
}

/// Whether a peer is one of two that [`stray`] tells of.
pub(crate) fn is_half(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    direction: Direction,
    rule: usize,
    peer: usize,
) -> bool {
    let Some(Peers::Of(peers)) = view.rules(direction).get(rule).map(|r| &r.peers) else { return false };
    let Some(this) = peers.get(peer) else { return false };
    let beside =
        [peer.checked_sub(1), peer.checked_add(1)].into_iter().flatten().filter_map(|p| peers.get(p));
    beside.into_iter().any(|other| {
        let halves = halves(this, other).or_else(|| halves(other, this));
        halves.is_some_and(|(namespaces, pods)| judge(context, view, namespaces, pods).is_some())
    })
}

/// The selectors, if one peer has only a namespace selector and the other only one for pods.
fn halves<'p>(a: &'p Peer, b: &'p Peer) -> Option<(&'p LabelSelector, &'p LabelSelector)> {
    match (a, b) {
        (
            Peer::Pods { namespaces: NamespaceScope::Matching(namespaces), pods: every },
            Peer::Pods { namespaces: NamespaceScope::Own, pods },
        ) if every.is_everything() && !pods.is_everything() => Some((namespaces, pods)),
        _ => None,
    }
}

fn judge(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    namespaces: &LabelSelector,
    pods: &LabelSelector,
) -> Option<Level> {
    let own = view.namespace();
    let scope = NamespaceScope::Matching(namespaces.clone());
    let both = Peer::Pods { namespaces: scope.clone(), pods: pods.clone() };
    let all = Peer::Pods { namespaces: scope.clone(), pods: LabelSelector::everything() };
    let in_own = Peer::Pods { namespaces: NamespaceScope::Own, pods: pods.clone() };
    let (both, all) = (context.matched(own, &both), context.matched(own, &all));
    let in_own = context.matched(own, &in_own);
    let own_is_meant = context.in_scope(&scope, own, own);
    let opens_more = all.len() > both.len() || in_own.iter().any(|p| !both.contains(p));
    if both.is_empty() || !opens_more {
        return None;
    }
    // The second peer adds nothing as it stands, which nobody writes on purpose.
    Some(if in_own.is_empty() || own_is_meant { Level::Warning } else { Level::Note })
}

/// A peer with both selectors that matches nobody, while each alone would.
pub(crate) fn missing(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        for direction in Direction::ALL {
            for (rule, place, _, peer) in view.peers(direction) {
                if !is_missing_dash(context, view, peer) {
                    continue;
                }
                let Peer::Pods { namespaces: NamespaceScope::Matching(namespaces), pods } = peer else {
                    continue;
                };
                let in_own = Peer::Pods { namespaces: NamespaceScope::Own, pods: pods.clone() };
                let there = context.matched(view.namespace(), &in_own);
                findings.push(
                    Finding::new(
                        &code::RF021,
                        format!(
                            "no pod of the namespaces with `{}` has `{}`",
                            shown(namespaces),
                            shown(pods)
                        ),
                    )
                    .because(format!(
                        "in one peer both selectors must hold; the pods with `{}` are in {} itself ({})",
                        shown(pods),
                        view.namespace(),
                        names(context.views(&there)),
                    ))
                    .help("to mean either, put a dash before the second selector")
                    .about(view.object())
                    .at(context.place(view.peer_span(direction, rule, place))),
                );
            }
        }
    }
    findings
}

/// Whether a peer asks for pods of other namespaces that only the policy's own has.
pub(crate) fn is_missing_dash(context: &Context<'_>, view: &PolicyView<'_>, peer: &Peer) -> bool {
    let Peer::Pods { namespaces: scope @ NamespaceScope::Matching(selector), pods } = peer else {
        return false;
    };
    let own = view.namespace();
    let in_own = Peer::Pods { namespaces: NamespaceScope::Own, pods: pods.clone() };
    !selector.is_everything()
        && !pods.is_everything()
        && !context.in_scope(scope, own, own)
        && !context.scope(scope, own).is_empty()
        && context.matched(own, peer).is_empty()
        && !context.matched(own, &in_own).is_empty()
}
