//! What the engine says to each case of a question, side by side.
//!
//! A single connection is the engine's verdict as it is. Without a port, what a side lets pass is the engine's port map
//! between the side's policies and the other end.

use ringfence_policy::{
    Because, Difference, Direction, End, Engine, NearMiss, PodId, PolicyId, PortSet, Protocol, RuleRef, Tier,
    Traffic,
};

use super::question::{Case, Question};
use crate::ports::PortList;
use crate::reference::Reference;

/// The answers to a question.
#[derive(Debug)]
pub(super) struct Answers<'q> {
    groups: Vec<Vec<Answer<'q>>>,
}

/// The answer to one case.
#[derive(Debug)]
pub(super) struct Answer<'q> {
    pub(super) case: Case<'q>,
    pub(super) allowed: bool,
    /// Without a port in the question: what may pass.
    pub(super) ports: Option<PortSet>,
    pub(super) egress: Side,
    pub(super) ingress: Side,
}

/// What one side says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) allowed: bool,
    /// The NetworkPolicies that isolate the pod.
    pub(super) isolated_by: Vec<PolicyId>,
    /// The policies of every tier that hold it.
    pub(super) holding: Vec<PolicyId>,
    /// The rules that passed it on to the next tier.
    pub(super) passed: Vec<RuleRef>,
    /// The rules of their tiers that were not asked for that reason, and would have been met.
    pub(super) skipped: Vec<RuleRef>,
    pub(super) why: Why,
    /// For a denial, from the nearest to the farthest.
    pub(super) misses: Vec<NearMiss>,
}

/// Why a side answers as it does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Why {
    Itself,
    OwnNode,
    NoSubject,
    NotIsolated,
    /// This rule decides.
    Rule(RuleRef),
    /// Without a port in the question: what each rule decides, those that allow first; and what none does, unless
    /// a NetworkPolicy's is among them, which says that nothing else passes.
    Shares(Vec<Share>, Option<PortList>),
    NoRule,
}

/// What a rule decides of all traffic.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) rule: RuleRef,
    pub(super) allows: bool,
    pub(super) ports: PortList,
}

impl<'q> Answers<'q> {
    pub(super) fn new(question: &'q Question<'q>) -> Answers<'q> {
        let engine = question.engine();
        let answer = |case: &Case<'q>| Answer::new(engine, case.clone());
        let groups = question.groups.iter().map(|g| g.iter().map(answer).collect()).collect();
        let mut answers = Answers { groups };
        if answers.is_uniform() {
            answers.merge_outside();
        }
        answers
    }

    /// Where all outside ranges fare alike, the first of them stands for all.
    fn merge_outside(&mut self) {
        for end in [from_reference, to_reference] {
            let mut ranges: Vec<Reference> = Vec::new();
            for answer in self.groups.iter_mut().flatten() {
                let reference = end(&mut answer.case).clone();
                if matches!(reference, Reference::Outside(..)) && !ranges.contains(&reference) {
                    ranges.push(reference);
                }
            }
            let Some((first, _)) = ranges.split_first() else { continue };
            for group in &mut self.groups {
                group.retain_mut(|a| {
                    let reference = end(&mut a.case);
                    let is_first = reference == first;
                    if is_first {
                        *reference = Reference::External;
                        return true;
                    }
                    !matches!(reference, Reference::Outside(..))
                });
            }
        }
    }

    /// Whether the connection, or any part of what was asked for, may be made.
    pub(super) fn allowed(&self) -> bool {
        self.groups.iter().any(|g| Self::group_allowed(g))
    }

    /// The answer that decides: the first denial, or the first of those that are allowed.
    pub(super) fn deciding(&self) -> Option<&Answer<'q>> {
        match self.groups.iter().find(|g| Self::group_allowed(g)) {
            Some(group) => group.first(),
            None => self.all().find(|a| !a.allowed).or_else(|| self.all().next()),
        }
    }

    /// All answers.
    pub(super) fn all(&self) -> impl Iterator<Item = &Answer<'q>> {
        self.groups.iter().flatten()
    }

    /// Whether all cases have one answer for one reason, so that the deciding one says it all.
    pub(super) fn is_uniform(&self) -> bool {
        let mut all = self.all();
        let first = all.next();
        all.all(|a| first.is_some_and(|f| f.same_answer(a)))
    }

    fn group_allowed(group: &[Answer<'q>]) -> bool {
        !group.is_empty() && group.iter().all(|a| a.allowed)
    }
}

impl<'q> Answer<'q> {
    pub(super) fn new(engine: &Engine, case: Case<'q>) -> Answer<'q> {
        let (from, to) = (case.from.end, case.to.end);
        match case.traffic {
            Some(traffic) => {
                let verdict = match case.is_hairpin(engine) {
                    // Of the two ends it is this one that may be a single address.
                    true => engine.hairpin_verdict(from, traffic),
                    false => engine.verdict(from, to, traffic),
                };
                let side = |side: ringfence_policy::Side, subject, direction| Side {
                    allowed: side.allowed,
                    isolated_by: isolating(engine, subject, direction),
                    holding: holding(engine, subject, direction),
                    skipped: match side.passed.is_empty() {
                        true => Vec::new(),
                        false => engine.skipped(from, to, traffic, direction),
                    },
                    passed: side.passed,
                    misses: engine.near_misses(from, to, traffic, direction),
                    why: match side.because {
                        Because::Itself => Why::Itself,
                        Because::OwnNode => Why::OwnNode,
                        Because::NoSubject => Why::NoSubject,
                        Because::NotIsolated => Why::NotIsolated,
                        Because::Rule(rule) => Why::Rule(rule),
                        Because::NoRule(_) => Why::NoRule,
                    },
                };
                let allowed = verdict.allowed();
                let egress = side(verdict.egress, from, Direction::Egress);
                let ingress = side(verdict.ingress, to, Direction::Ingress);
                Answer { case, allowed, ports: None, egress, ingress }
            }
            None => {
                // Each address family by itself: both sides must let the same one pass.
                let mut ports: Option<PortSet> = None;
                let mut sides = None;
                for (from, to) in engine.routes(from, to) {
                    let (out, egress) = all_ports(engine, from, to, Direction::Egress);
                    let (into, ingress) = all_ports(engine, from, to, Direction::Ingress);
                    let both = out.intersection(&into);
                    if sides.is_none() || (ports.as_ref().is_some_and(PortSet::is_empty) && !both.is_empty())
                    {
                        sides = Some((egress, ingress));
                    }
                    ports = Some(ports.map_or(both.clone(), |before| before.union(&both)));
                }
                let (egress, ingress) = sides.unwrap_or_else(|| {
                    let side = |direction| all_ports(engine, from, to, direction).1;
                    (side(Direction::Egress), side(Direction::Ingress))
                });
                let ports = ports.unwrap_or_else(PortSet::all);
                Answer { case, allowed: !ports.is_empty(), ports: Some(ports), egress, ingress }
            }
        }
    }

    /// One of the sides.
    pub(super) fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    fn same_answer(&self, other: &Answer<'_>) -> bool {
        (self.allowed, &self.ports, &self.egress, &self.ingress)
            == (other.allowed, &other.ports, &other.egress, &other.ingress)
    }
}

fn from_reference<'a>(case: &'a mut Case<'_>) -> &'a mut Reference {
    &mut case.from.reference
}

fn to_reference<'a>(case: &'a mut Case<'_>) -> &'a mut Reference {
    &mut case.to.reference
}

/// All that one side lets pass.
fn all_ports(engine: &Engine, from: End, to: End, direction: Direction) -> (PortSet, Side) {
    let verdict = engine.verdict(from, to, Traffic::Other);
    let (subject, other) = match direction {
        Direction::Egress => (from, to),
        Direction::Ingress => (to, from),
    };
    let side = |allowed, why, misses| Side {
        allowed,
        isolated_by: isolating(engine, subject, direction),
        holding: holding(engine, subject, direction),
        passed: Vec::new(),
        skipped: Vec::new(),
        why,
        misses,
    };
    let open = |why| (PortSet::all(), side(true, why, Vec::new()));
    match verdict.side(direction).because {
        Because::Itself => return open(Why::Itself),
        Because::OwnNode => return open(Why::OwnNode),
        Because::NoSubject => return open(Why::NoSubject),
        Because::NotIsolated | Because::Rule(_) | Because::NoRule(_) => {}
    }
    let Some(set) = subject_pod(engine, subject).and_then(|p| engine.policy_set(p, direction)) else {
        return open(Why::NotIsolated);
    };
    let map = engine.port_map(set, engine.identity(other));
    let ports = map.allowed();
    let spans = Protocol::ALL.into_iter().flat_map(|p| map.spans(p).iter().map(|s| s.decision));
    let mut rules: Vec<(bool, RuleRef)> =
        spans.chain([map.other()]).filter_map(|d| Some((!d.allow, d.rule?))).collect();
    rules.sort_unstable();
    rules.dedup();
    let shares: Vec<Share> = rules
        .into_iter()
        .map(|(denies, rule)| Share { rule, allows: !denies, ports: PortList::of_rule(&map, Some(rule)) })
        .collect();
    let allowed = !ports.is_empty();
    let misses = if allowed { Vec::new() } else { any_port_misses(engine, from, to, direction) };
    let rest = PortList::of_rule(&map, None);
    let is_said = shares.iter().any(|share| engine.rule_tier(share.rule) == Tier::NetworkPolicy);
    let why = match (shares.is_empty(), allowed) {
        (false, _) => Why::Shares(shares, Some(rest).filter(|rest| !is_said && !rest.is_empty())),
        (true, true) => Why::NotIsolated,
        (true, false) => Why::NoRule,
    };
    (ports, side(allowed, why, misses))
}

/// Near misses where no port was asked for: that a rule has ports is none of what keeps it from matching.
fn any_port_misses(engine: &Engine, from: End, to: End, direction: Direction) -> Vec<NearMiss> {
    let mut misses = engine.near_misses(from, to, Traffic::Other, direction);
    for miss in &mut misses {
        if miss.differs.iter().any(|d| !matches!(d, Difference::Ports { .. })) {
            miss.differs.retain(|d| !matches!(d, Difference::Ports { .. }));
        }
    }
    misses.sort_by_key(|m| m.differs.len());
    misses
}

/// The NetworkPolicies that isolate an end in a direction.
fn isolating(engine: &Engine, end: End, direction: Direction) -> Vec<PolicyId> {
    subject_pod(engine, end).map(|pod| engine.isolating(pod, direction).to_vec()).unwrap_or_default()
}

/// The policies of every tier that hold an end in a direction.
fn holding(engine: &Engine, end: End, direction: Direction) -> Vec<PolicyId> {
    let set = subject_pod(engine, end).and_then(|pod| engine.policy_set(pod, direction));
    let tiers = Tier::WITH_POLICIES.into_iter();
    set.map(|set| tiers.flat_map(|tier| engine.set_policies(set, tier)).copied().collect())
        .unwrap_or_default()
}

fn subject_pod(engine: &Engine, end: End) -> Option<PodId> {
    match end {
        End::Pod(pod) => Some(pod),
        End::Address(address) => engine.pod_at(address),
    }
}
