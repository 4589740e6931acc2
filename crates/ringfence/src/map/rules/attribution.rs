//! Which rules a pair of ends owes its ports to: the port maps of both sides laid over each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use ringfence_policy::{
    Decision, Engine, Identity, PodId, PolicyId, PortMap, PortRange, PortSet, Protocol, SetId, Traffic,
};

use crate::explain::rule::RuleText;
use crate::ports::PortList;

/// What happens to some traffic, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Outcome {
    /// Denials come after what is allowed.
    pub(super) is_denied: bool,
    /// The deciding rules; of what is allowed those of both sides.
    pub(super) by: Vec<By>,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum By {
    Rule(ringfence_policy::RuleRef),
    /// The source is isolated and no rule allows it.
    SourceIsolated,
    /// The destination is isolated and no rule allows it.
    DestinationIsolated,
    /// The engine allows it although the port maps by themselves do not: a node and its own pods, or another address.
    Special,
}

/// What one side decides. `None`: everything is open.
pub(super) type SideMap = Option<Rc<PortMap>>;

/// Port maps, each made once.
#[derive(Debug)]
pub(super) struct PortMaps<'e> {
    engine: &'e Engine,
    known: HashMap<(SetId, Identity), Rc<PortMap>>,
}

impl<'e> PortMaps<'e> {
    pub(super) fn new(engine: &'e Engine) -> PortMaps<'e> {
        PortMaps { engine, known: HashMap::new() }
    }

    /// What a policy set decides toward an identity.
    pub(super) fn get(&mut self, set: Option<SetId>, identity: Identity) -> SideMap {
        let set = set?;
        // All that a set does not know fare alike.
        let identity = if self.engine.is_nobody_to(set, identity) { Identity::NOBODY } else { identity };
        let made = self.known.entry((set, identity));
        Some(made.or_insert_with(|| Rc::new(self.engine.port_map(set, identity))).clone())
    }
}

/// What is decided, by outcome.
pub(super) type Outcomes = BTreeMap<Outcome, PortList>;

/// The outcomes of a pair. `allowed` is what the map says of it; without it what the port maps say.
pub(super) fn outcomes(
    egress: &SideMap,
    ingress: &SideMap,
    allowed: Option<&PortSet>,
    is_pair: bool,
) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for protocol in Protocol::ALL {
        let mut cuts: BTreeSet<u32> = BTreeSet::from([0, 65536]);
        for map in [egress, ingress].into_iter().flatten() {
            cuts.extend(map.spans(protocol).iter().map(|span| u32::from(span.last) + 1));
        }
        for range in allowed.map_or(&[][..], |set| set.ranges(protocol)) {
            cuts.extend([u32::from(range.first()), u32::from(range.last()) + 1]);
        }
        for (first, next) in cuts.iter().zip(cuts.iter().skip(1)) {
            let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(next - 1)) else { continue };
            let Some(range) = PortRange::new(first, last) else { continue };
            let outcome = outcome(egress, ingress, allowed, is_pair, Traffic::Port(protocol, first));
            outcomes.entry(outcome).or_default().push(protocol, range);
        }
    }
    let other = outcome(egress, ingress, allowed, is_pair, Traffic::Other);
    outcomes.entry(other).or_default().push_other();
    outcomes
}

fn outcome(
    egress: &SideMap,
    ingress: &SideMap,
    allowed: Option<&PortSet>,
    is_pair: bool,
    traffic: Traffic,
) -> Outcome {
    let decide = |map: &SideMap| map.as_ref().map_or(Decision::OPEN, |map| map.decide(traffic));
    let (out, into) = (decide(egress), decide(ingress));
    let is_allowed = match (is_pair, allowed) {
        (true, allowed) => allowed.is_some_and(|set| set.contains(traffic)),
        (false, _) => out.allow && into.allow,
    };
    let rules = |decisions: &[Decision]| decisions.iter().filter_map(|d| d.rule).map(By::Rule).collect();
    let by: Vec<By> = match (is_allowed, out.allow, into.allow) {
        (true, true, true) => rules(&[out, into]),
        (true, ..) => vec![By::Special],
        (false, false, _) => vec![out.rule.map_or(By::SourceIsolated, By::Rule)],
        (false, true, false) => vec![into.rule.map_or(By::DestinationIsolated, By::Rule)],
        (false, true, true) => vec![By::Special],
    };
    Outcome { is_denied: !is_allowed, by }
}

/// The words for who says so. `source` and `destination` are pods of the two ends, where they have any.
pub(super) fn text(
    engine: &Engine,
    outcome: &Outcome,
    source: Option<PodId>,
    destination: Option<PodId>,
) -> String {
    use ringfence_policy::Direction::{Egress, Ingress};
    let isolated = |pod: Option<PodId>, direction| {
        let policies = pod.map(|pod| engine.isolating(pod, direction)).unwrap_or_default();
        format!("default: isolated by {}", policies_text(engine, policies))
    };
    let by = outcome.by.iter().map(|by| match by {
        By::Rule(rule) => RuleText::new(engine, *rule).map(|rule| rule.text()).unwrap_or_default(),
        By::SourceIsolated => format!("{} for egress of the source", isolated(source, Egress)),
        By::DestinationIsolated => isolated(destination, Ingress),
        By::Special => "a node and its own pods, or another address of theirs".to_owned(),
    });
    let by: Vec<String> = by.collect();
    if by.is_empty() { "default: no rule decides".to_owned() } else { by.join("; ") }
}

/// Policies by name, with their places.
pub(super) fn policies_text(engine: &Engine, policies: &[PolicyId]) -> String {
    let named = policies.iter().filter_map(|id| engine.policy(*id)).map(|policy| match policy.source() {
        Some(source) => format!("{} ({source})", policy.key()),
        None => policy.key().to_string(),
    });
    named.collect::<Vec<_>>().join(", ")
}
