//! What policies mean: rules put to traffic, and the answers with their reasons.
//!
//! `Engine::put` is the only place where rules meet traffic, for all ports at once or for one connection.

use crate::canvas::{Canvas, Painter, Point};
use crate::cluster::Action;
use crate::ends::{End, Found, Identity};
use crate::engine::{Engine, NamedId};
use crate::matchers::{DistinctPeer, PeerId};
use crate::model::{NamedPort, RuleRef, Traffic};
use crate::policies::SetId;
use crate::portmap::{Decision, PortMap};
use crate::verdict::{Because, Direction, Side, Tier, Verdict};

/// All that a port map follows from: equal where the same rules are asked in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Matching {
    /// By tier.
    pub(crate) rules: [Vec<RuleRef>; 3],
    pub(crate) network: NetworkTier,
    named: NamedId,
}

/// What the tier of NetworkPolicies has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NetworkTier {
    /// Nothing: no NetworkPolicy isolates the pod in the direction.
    Silent,
    /// Only what some rule allows may pass.
    Isolates,
    /// Everything may pass: the pod is isolated, but not from itself.
    Exempts,
}

/// What most other ends are to a policy set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usual {
    set: SetId,
    peers: Vec<PeerId>,
}

impl Engine {
    /// Whether a connection may be made, and why. Between ends with addresses of both families it may if it may in
    /// one of them.
    pub fn verdict(&self, from: End, to: End, traffic: Traffic) -> Verdict {
        let (from, to) = self.deciding_route(from, to, traffic);
        self.route_verdict(from, to, traffic)
    }

    /// The route by which a connection is allowed, or else the first.
    pub(crate) fn deciding_route(&self, from: End, to: End, traffic: Traffic) -> (End, End) {
        let routes = self.routes(from, to);
        let allowed = |(from, to): &&(End, End)| self.route_verdict(*from, *to, traffic).allowed();
        match routes.as_slice() {
            [only] => *only,
            several => several.iter().find(allowed).or(several.first()).copied().unwrap_or((from, to)),
        }
    }

    fn route_verdict(&self, from: End, to: End, traffic: Traffic) -> Verdict {
        let (from, to) = (self.find(from), self.find(to));
        Verdict { egress: self.egress_side(from, to, traffic), ingress: self.ingress_side(from, to, traffic) }
    }

    /// What is decided between the pods of a policy set and an identity.
    pub fn port_map(&self, set: SetId, identity: Identity) -> PortMap {
        self.paint(&self.matching(set, identity))
    }

    /// What is decided where a pod of a policy set, which has this identity, reaches itself through a Service.
    pub fn hairpin_map(&self, set: SetId, identity: Identity) -> PortMap {
        self.paint(&self.hairpin_matching(set, identity))
    }

    /// Whether cluster-wide policies are in a set. Without them a pod reaches itself however it does so.
    pub fn has_cluster_policies(&self, set: SetId) -> bool {
        [Tier::Admin, Tier::Baseline].into_iter().any(|tier| !self.sets.policies(set, tier).is_empty())
    }

    fn hairpin_matching(&self, set: SetId, identity: Identity) -> Matching {
        let matching = self.matching(set, identity);
        match matching.network {
            NetworkTier::Silent => matching,
            NetworkTier::Isolates | NetworkTier::Exempts => {
                Matching { network: NetworkTier::Exempts, ..matching }
            }
        }
    }

    /// All that a port map follows from: the rules of a set that an identity meets, in the order in which they are
    /// asked, each once, and what their named ports mean there.
    pub(crate) fn matching(&self, set: SetId, identity: Identity) -> Matching {
        self.matching_peers(set, || self.peers_of(identity), identity.named)
    }

    /// The same for an end that these peers match, which has these ports with a name.
    pub(crate) fn matching_peers<P: Iterator<Item = PeerId>>(
        &self,
        set: SetId,
        peers: impl Fn() -> P,
        named: NamedId,
    ) -> Matching {
        let Some(set) = self.sets.get(set) else {
            let network = NetworkTier::Isolates;
            return Matching { rules: Default::default(), network, named: NamedId(0) };
        };
        let mut places = Vec::new();
        let mut rules = |tier| match set.list(tier) {
            Some(list) => self.sets.matching(list, peers(), &mut places).collect(),
            None => Vec::new(),
        };
        Matching {
            rules: Tier::WITH_POLICIES.map(&mut rules),
            network: match set.list(Tier::NetworkPolicy) {
                Some(_) => NetworkTier::Isolates,
                None => NetworkTier::Silent,
            },
            named: match set.direction {
                Direction::Ingress => set.named,
                Direction::Egress => named,
            },
        }
    }

    /// The port map that follows: each rule decides what none before it has decided.
    pub(crate) fn paint(&self, matching: &Matching) -> PortMap {
        let mut painter = Painter::default();
        self.put(matching, &mut painter);
        painter.finish(Decision::OPEN)
    }

    /// Puts the rules of all tiers to a canvas. This is what policies mean: cluster-wide ones of the Admin tier in their
    /// order, then NetworkPolicies, which have the last word where they isolate, then the Baseline tier.
    fn put(&self, matching: &Matching, canvas: &mut impl Canvas) {
        let named = self.named_ports(matching.named);
        let [admin, network, baseline] = &matching.rules;
        self.put_tier(admin, named, canvas);
        canvas.end_tier();
        match matching.network {
            NetworkTier::Isolates => {
                self.put_tier(network, named, canvas);
                canvas.rest(Decision::ISOLATED);
            }
            NetworkTier::Exempts => canvas.rest(Decision::OPEN),
            NetworkTier::Silent => {
                self.put_tier(baseline, named, canvas);
                canvas.end_tier();
            }
        }
    }

    fn put_tier(&self, rules: &[RuleRef], named: &[NamedPort], canvas: &mut impl Canvas) {
        for rule in rules.iter().copied() {
            if canvas.is_full() {
                return;
            }
            let direction = if rule.egress { Direction::Egress } else { Direction::Ingress };
            let effect = self.policies.get(rule.policy).and_then(|c| c.effect(direction, rule.rule));
            if let Some((action, ports)) = effect {
                canvas.put(rule, action, ports, named);
            }
        }
    }

    /// The peers that the rules of a set name, some of them twice.
    pub(crate) fn peers_named(&self, set: SetId) -> impl Iterator<Item = PeerId> {
        self.sets.peers_named(set)
    }

    /// Whether a set treats an identity as it treats [`Identity::NOBODY`]: none of its rules names the one and not the
    /// other.
    pub fn is_nobody_to(&self, set: SetId, identity: Identity) -> bool {
        self.sets.get(set).is_none_or(|set| {
            (set.direction == Direction::Ingress || identity.named == NamedId(0))
                && !self.peers_of(identity).any(|peer| self.sets.names_peer(set, peer))
        })
    }

    /// What most other ends are to a set: held by those of its address peers that hold a whole address family or half of
    /// one, and matched by none of its other peers. It follows from the set alone.
    pub fn usual(&self, set: SetId) -> Usual {
        let is_wide = |peer: &PeerId| matches!(self.matcher(*peer), Some(DistinctPeer::Block(block)) if block.cidr().prefix_len() <= 1);
        let mut peers: Vec<PeerId> = self.peers_named(set).filter(is_wide).collect();
        peers.sort_unstable();
        peers.dedup();
        Usual { set, peers }
    }

    /// What is decided between the pods of a policy set and what it usually meets.
    pub fn usual_map(&self, usual: &Usual) -> PortMap {
        self.paint(&self.matching_peers(usual.set, || usual.peers.iter().copied(), NamedId(0)))
    }

    /// Whether an identity is what the set usually meets, as far as its rules can tell.
    pub fn is_usual(&self, usual: &Usual, identity: Identity) -> bool {
        self.sets.get(usual.set).is_none_or(|set| {
            let mut named = self.peers_of(identity).filter(|peer| self.sets.names_peer(set, *peer));
            let no_names = set.direction == Direction::Ingress || identity.named == NamedId(0);
            // Peers are few, and each is met once.
            let met =
                no_names.then(|| named.try_fold(0, |met, p| usual.peers.contains(&p).then_some(met + 1)));
            met.flatten() == Some(usual.peers.len())
        })
    }

    fn egress_side(&self, from: Found, to: Found, traffic: Traffic) -> Side {
        self.side(from, to, Direction::Egress, from.pod.is_some() && from.pod == to.pod, false, traffic)
    }

    fn ingress_side(&self, from: Found, to: Found, traffic: Traffic) -> Side {
        let own_node = self.found_own_node(from, to);
        self.side(to, from, Direction::Ingress, from.pod.is_some() && from.pod == to.pod, own_node, traffic)
    }

    fn side(
        &self,
        subject: Found,
        other: Found,
        direction: Direction,
        itself: bool,
        own_node: bool,
        traffic: Traffic,
    ) -> Side {
        let open = |isolated, because| Side { allowed: true, isolated, because, passed: Vec::new() };
        let Some(pod) = subject.pod else { return open(false, Because::NoSubject) };
        let Some((id, set)) = self.policy_set(pod, direction).and_then(|id| Some((id, self.sets.get(id)?)))
        else {
            let because = match (itself, own_node) {
                (true, _) => Because::Itself,
                (false, true) => Because::OwnNode,
                (false, false) => Because::NotIsolated,
            };
            return open(false, because);
        };
        let isolated = set.list(Tier::NetworkPolicy).is_some();
        if itself {
            return open(isolated, Because::Itself);
        }
        if own_node {
            return open(isolated, Because::OwnNode);
        }
        self.decide(id, &self.matching(id, self.found_identity(other)), traffic)
    }

    /// A pod that reaches itself through a Service. Cluster-wide policies are asked, since its packets leave it and come
    /// back; NetworkPolicies cannot keep a pod from itself.
    ///
    /// <https://network-policy-api.sigs.k8s.io/api-overview/>
    pub fn hairpin_verdict(&self, end: End, traffic: Traffic) -> Verdict {
        let addresses = self.addresses(end).into_iter().map(End::Address);
        let mut verdicts = addresses.map(|address| self.hairpin_at(address, traffic));
        let first = verdicts.next().unwrap_or_else(|| self.hairpin_at(end, traffic));
        if first.allowed() { first } else { verdicts.find(Verdict::allowed).unwrap_or(first) }
    }

    fn hairpin_at(&self, end: End, traffic: Traffic) -> Verdict {
        let found = self.find(end);
        let open = |because| Side { allowed: true, isolated: false, because, passed: Vec::new() };
        let side = |direction| {
            let Some(pod) = found.pod else { return open(Because::NoSubject) };
            let Some(set) = self.policy_set(pod, direction) else { return open(Because::Itself) };
            self.decide(set, &self.hairpin_matching(set, self.found_identity(found)), traffic)
        };
        Verdict { egress: side(Direction::Egress), ingress: side(Direction::Ingress) }
    }

    /// The rules that would have been met by a connection on one side, had an earlier rule of their tier not passed it on.
    pub fn skipped(&self, from: End, to: End, traffic: Traffic, direction: Direction) -> Vec<RuleRef> {
        let (from, to) = self.deciding_route(from, to, traffic);
        let (from, to) = (self.find(from), self.find(to));
        let (subject, other) = match direction {
            Direction::Egress => (from, to),
            Direction::Ingress => (to, from),
        };
        let set = subject.pod.and_then(|pod| self.policy_set(pod, direction));
        let Some(matching) = set.map(|set| self.matching(set, self.found_identity(other))) else {
            return Vec::new();
        };
        let named = self.named_ports(matching.named);
        let [admin, _, baseline] = &matching.rules;
        let baseline = Some(baseline).filter(|_| matching.network == NetworkTier::Silent);
        let mut skipped = Vec::new();
        for tier in [admin].into_iter().chain(baseline) {
            let mut met = tier.iter().filter_map(|rule| {
                let (action, ports) = self.policies.get(rule.policy)?.effect(direction, rule.rule)?;
                ports.matches(traffic, named).then_some((*rule, action))
            });
            if met.next().is_some_and(|(_, action)| action == Action::Pass) {
                skipped.extend(met.map(|(rule, _)| rule));
            }
        }
        skipped
    }

    /// What the rules of a set that are asked say to a connection.
    fn decide(&self, set: SetId, matching: &Matching, traffic: Traffic) -> Side {
        let mut point = Point::new(traffic);
        self.put(matching, &mut point);
        point.rest(Decision::OPEN);
        let decision = point.decision.unwrap_or(Decision::ISOLATED);
        let because = match (decision.rule, matching.network) {
            (Some(rule), _) => Because::Rule(rule),
            (None, NetworkTier::Exempts) => Because::Itself,
            (None, _) if decision.allow => Because::NotIsolated,
            (None, _) => Because::NoRule(self.sets.policies(set, Tier::NetworkPolicy).to_vec()),
        };
        let isolated = matching.network != NetworkTier::Silent;
        Side { allowed: decision.allow, isolated, because, passed: point.passed }
    }

    fn found_own_node(&self, from: Found, to: Found) -> bool {
        from.node.is_some() && to.pod.is_some_and(|pod| self.node_of(pod) == from.node)
    }
}
