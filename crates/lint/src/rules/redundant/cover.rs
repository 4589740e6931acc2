//! What of a namespace's policies may cover what else, by their text: whom to ask the engine about. No answers here.

use std::collections::{BTreeSet, HashMap};

use ipnet::IpNet;
use ringfence_policy::{Direction, NamespaceScope, Peer, Peers, PortMatch, PortRef, Ports, Rule};

use crate::context::Context;
use crate::view::PolicyView;
use crate::witness;

/// Places of policy and rule, by direction and peer.
type Uses<'a> = HashMap<(Direction, Option<&'a Peer>), Vec<(usize, usize)>>;

/// What of a namespace's policies covers what else, by their text, for whatever pods there could be: what a port's name
/// means, and which addresses pods have, the pods that are there do not tell of those to come. The engine is asked after it,
/// of the pods that are there.
pub(super) struct Cover<'v, 'a> {
    views: &'v [&'v PolicyView<'a>],
    /// For each peer those that may hold all that it does, itself among them.
    wider: HashMap<&'a Peer, Vec<&'a Peer>>,
    /// The rules with a peer, or with none, which are for everybody: policy and rule.
    uses: Uses<'a>,
    /// The policies that were found to change nothing.
    pub(super) gone: BTreeSet<usize>,
    /// The rules that were found to be covered, by direction, policy and place: what they cover is covered no more.
    pub(super) gone_rules: BTreeSet<(Direction, usize, usize)>,
}

impl<'v, 'a> Cover<'v, 'a> {
    pub(super) fn new(context: &Context<'a>, views: &'v [&'v PolicyView<'a>]) -> Cover<'v, 'a> {
        let own = views.first().map_or("", |view| view.namespace());
        let mut uses = Uses::new();
        let mut peers: BTreeSet<&'a Peer> = BTreeSet::new();
        for (place, view) in views.iter().enumerate() {
            for direction in Direction::ALL {
                for (number, rule) in view.rules(direction).iter().enumerate() {
                    if rule.peers == Peers::Any {
                        uses.entry((direction, None)).or_default().push((place, number));
                    }
                    for peer in peers_of(rule) {
                        peers.insert(peer);
                        uses.entry((direction, Some(peer))).or_default().push((place, number));
                    }
                }
            }
        }
        let wider = peers.iter().map(|peer| {
            (*peer, peers.iter().copied().filter(|other| may_hold(context, own, peer, other)).collect())
        });
        let wider = wider.collect();
        Cover { views, wider, uses, gone: BTreeSet::new(), gone_rules: BTreeSet::new() }
    }

    /// Whether everything that a policy does others may do.
    pub(super) fn may_spare_policy(&self, place: usize) -> bool {
        let Some(view) = self.views.get(place) else { return false };
        Direction::ALL.into_iter().all(|direction| {
            let isolates = view.rules_if_any(direction).is_some();
            !isolates
                || self.stand_ins(place, direction).next().is_some()
                    && (0..view.rules(direction).len())
                        .all(|rule| self.may_spare_rule(direction, place, rule, false))
        })
    }

    /// The policies that isolate in a direction every pod that this one does. A default deny is worth its line even while
    /// other policies happen to isolate everything.
    fn stand_ins(&self, place: usize, direction: Direction) -> impl Iterator<Item = usize> {
        let view = self.views.get(place);
        self.views.iter().enumerate().filter_map(move |(other, wider)| {
            let is_like = view.is_some_and(|v| !v.denies_all(direction) || wider.denies_all(direction));
            let is_there = other != place && !self.gone.contains(&other);
            let stands = is_there
                && is_like
                && wider.rules_if_any(direction).is_some()
                && self.holds_subject(place, other);
            stands.then_some(other)
        })
    }

    /// Whether a policy is for every pod that another is for, those included that are not there.
    fn holds_subject(&self, place: usize, other: usize) -> bool {
        let subject = |place: usize| self.views.get(place).map(|view| &view.policy.subject);
        subject(place).zip(subject(other)).is_some_and(|(ours, theirs)| witness::is_within(ours, theirs))
    }

    /// A policy that does the same, for the finding.
    pub(super) fn stands_for(&self, place: usize) -> Option<&'v PolicyView<'a>> {
        let view = self.views.get(place)?;
        let direction = Direction::ALL.into_iter().find(|d| view.rules_if_any(*d).is_some())?;
        self.views.get(self.stand_ins(place, direction).next()?).copied()
    }

    /// Whether others may allow all that a rule does.
    pub(super) fn may_spare_rule(
        &self,
        direction: Direction,
        place: usize,
        number: usize,
        with_own: bool,
    ) -> bool {
        let Some(rule) = self.views.get(place).and_then(|v| v.rules(direction).get(number)) else {
            return false;
        };
        let allows = |peer: Option<&'a Peer>, port: Option<&PortMatch>| {
            self.uses.get(&(direction, peer)).into_iter().flatten().any(|(other, other_rule)| {
                let is_other = *other != place || with_own && *other_rule != number;
                let rule = self.views.get(*other).and_then(|v| v.rules(direction).get(*other_rule));
                is_other
                    && !self.gone.contains(other)
                    && !self.gone_rules.contains(&(direction, *other, *other_rule))
                    && self.holds_subject(place, *other)
                    && rule.is_some_and(|rule| match (&rule.ports, port) {
                        (Ports::Any, _) => true,
                        (Ports::Of(_), None) => false,
                        (Ports::Of(theirs), Some(port)) => theirs.iter().any(|t| Self::may_be_in(port, t)),
                    })
            })
        };
        let wider =
            |peer: &'a Peer| self.wider.get(peer).into_iter().flatten().map(|p| Some(*p)).chain([None]);
        let covers = |port: Option<&PortMatch>| match &rule.peers {
            Peers::Any => allows(None, port),
            Peers::Of(peers) => peers.iter().all(|peer| wider(peer).any(|p| allows(p, port))),
        };
        match &rule.ports {
            Ports::Any => covers(None),
            Ports::Of(ports) => ports.iter().all(|port| covers(Some(port))),
        }
    }

    /// Whether all of one entry's ports are another's, whatever pods call them.
    fn may_be_in(port: &PortMatch, other: &PortMatch) -> bool {
        port.protocol == other.protocol
            && match (&port.port, &other.port) {
                (PortRef::Range(ours), PortRef::Range(theirs)) => {
                    theirs.first() <= ours.first() && ours.last() <= theirs.last()
                }
                (_, PortRef::All) => true,
                (PortRef::Named(ours), PortRef::Named(theirs)) => ours == theirs,
                // A pod that has no such name could be there, and one that has it on another port.
                (PortRef::Range(_), PortRef::Named(_)) | (PortRef::Named(_), PortRef::Range(_)) => false,
                (PortRef::All, _) => false,
            }
    }
}

/// Whether one peer may hold everybody that another does, those included who are not there. `own` is the namespace of both.
fn may_hold(context: &Context<'_>, own: &str, peer: &Peer, other: &Peer) -> bool {
    match (peer, other) {
        (Peer::Block(ours), Peer::Block(theirs)) => {
            let apart = |except: &IpNet| {
                !except.contains(&ours.cidr()) && !ours.cidr().contains(except)
                    || ours.except().iter().any(|own| own.contains(except))
            };
            theirs.cidr().contains(&ours.cidr()) && theirs.except().iter().all(apart)
        }
        // A block of everybody is one of one family, and a pod may have addresses of the other.
        (Peer::Pods { .. }, Peer::Block(_)) | (Peer::Block(_), Peer::Pods { .. }) => false,
        (Peer::Pods { namespaces: home, pods }, Peer::Pods { namespaces: wide_home, pods: wide }) => {
            let holds_home = || match (home, wide_home) {
                (NamespaceScope::Own, NamespaceScope::Own) => true,
                (NamespaceScope::Own, NamespaceScope::Matching(wide)) => {
                    wide.matches(&context.engine.namespace_labels(own))
                }
                (NamespaceScope::Matching(selector), NamespaceScope::Own) => {
                    witness::names(selector).is_some_and(|names| names.iter().all(|name| *name == own))
                }
                (NamespaceScope::Matching(selector), NamespaceScope::Matching(wide)) => {
                    context.is_namespace_within(selector, wide)
                }
            };
            witness::is_within(pods, wide) && holds_home()
        }
    }
}

/// The peers that a rule names.
pub(super) fn peers_of(rule: &Rule) -> &[Peer] {
    match &rule.peers {
        Peers::Any => &[],
        Peers::Of(peers) => peers,
    }
}
