//! The smallest change that would allow a denied connection: patches of the policies that deny it, each tried on a copy
//! of the world by reading the patched manifest and asking again.
//!
//! The patches are JSON patches (RFC 6902), as `kubectl patch --type=json` takes them.

use json_patch::PatchOperation;
use ringfence_k8s::Manifest;
use ringfence_policy::{
    Change, Difference, Direction, Engine, NearMiss, Peers, Policy, PolicyId, PolicyKey, Ports, RuleRef,
    Source, Traffic,
};
use serde_json::{Value, json};

use super::answer::{Answer, Answers, Side, Why};
use super::fix;
use super::manifest;
use super::question::{Case, Question};
use super::syntax::Syntax;

/// A change that was tried, and allows the connection.
#[derive(Debug)]
pub(super) struct Repair {
    pub(super) patches: Vec<Patch>,
}

/// What to change of one policy.
#[derive(Debug, Clone)]
pub(super) struct Patch {
    pub(super) policy: PolicyKey,
    pub(super) source: Option<Source>,
    /// Operations of RFC 6902.
    pub(super) operations: Vec<Value>,
}

/// A connection crosses two sides; a workload may have pods that policies tell apart.
const MOST_STEPS: usize = 8;

/// Where the policies come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manifests<'m> {
    pub(super) list: &'m [Manifest],
    pub(super) default_namespace: &'m str,
}

/// The change that allows what was asked, if one was found that does so when it is tried.
pub(super) fn find(question: &Question<'_>, answers: &Answers<'_>, from: Manifests<'_>) -> Option<Repair> {
    if answers.allowed() || answers.all().any(|a| a.case.traffic.is_none()) {
        return None;
    }
    let mut engine = question.engine().clone();
    let mut patches: Vec<Patch> = Vec::new();
    for _ in 0..MOST_STEPS {
        let asked = question.to_engine(engine);
        let answers = Answers::new(&asked);
        if answers.allowed() {
            return Some(Repair { patches });
        }
        let denial = answers.all().find(|a| !a.allowed)?;
        let direction = [Direction::Egress, Direction::Ingress];
        let direction = direction.into_iter().find(|d| !denial.side(*d).allowed)?;
        let (key, operation, policy) = step(asked.engine(), denial, direction, from, &patches)?;
        let source = asked.engine().find_policy(&key);
        let source = source.and_then(|id| question.engine().policy(id)).and_then(Policy::source).cloned();
        match patches.iter_mut().find(|p| p.policy == key) {
            Some(patch) => patch.operations.push(operation),
            None => patches.push(Patch { policy: key, source, operations: vec![operation] }),
        }
        engine = asked.engine().clone();
        engine.apply([Change::SetPolicy(policy)]);
    }
    None
}

/// The first of a side's possible changes after which it lets the connection pass.
fn step(
    engine: &Engine,
    denial: &Answer<'_>,
    direction: Direction,
    from: Manifests<'_>,
    patches: &[Patch],
) -> Option<(PolicyKey, Value, Policy)> {
    let side = denial.side(direction);
    candidates(engine, side, &denial.case, direction).into_iter().find_map(|(id, proposal)| {
        let key = engine.policy(id)?.key();
        let written = manifest::find(from.list, &key)?;
        let mut document = manifest::document(written, &key);
        let before = patches.iter().filter(|p| p.policy == key).flat_map(|p| &p.operations);
        before.for_each(|operation| {
            apply(&mut document, operation);
        });
        let operation = proposal.operation(&document);
        apply(&mut document, &operation)?;
        let policy = manifest::read_policy(&document, from.default_namespace, &key)?;
        let mut changed = engine.clone();
        changed.apply([Change::SetPolicy(policy.clone())]);
        is_allowed(&changed, &denial.case, direction).then_some((key, operation, policy))
    })
}

fn is_allowed(engine: &Engine, case: &Case<'_>, direction: Direction) -> bool {
    let answer = Answer::new(engine, case.clone());
    answer.side(direction).allowed
}

fn apply(document: &mut Value, operation: &Value) -> Option<()> {
    let operation: PatchOperation = serde_json::from_value(operation.clone()).ok()?;
    json_patch::patch(document, &[operation]).ok()
}

/// Something to put into a list of a policy.
struct Proposal {
    /// The fields that lead to the list.
    path: String,
    /// The place in it; `None`: at the end.
    place: Option<u32>,
    value: Value,
}

impl Proposal {
    /// The operation for a document, in which the list may be absent.
    fn operation(&self, document: &Value) -> Value {
        let is_list = document.pointer(&self.path).is_some_and(Value::is_array);
        match (is_list, self.place) {
            (true, Some(place)) => {
                json!({"op": "add", "path": format!("{}/{place}", self.path), "value": self.value})
            }
            (true, None) => json!({"op": "add", "path": format!("{}/-", self.path), "value": self.value}),
            (false, _) => json!({"op": "add", "path": self.path, "value": [self.value]}),
        }
    }
}

/// What could be changed, the smallest first.
fn candidates(
    engine: &Engine,
    side: &Side,
    case: &Case<'_>,
    direction: Direction,
) -> Vec<(PolicyId, Proposal)> {
    let (narrow, wide): (Vec<&NearMiss>, Vec<&NearMiss>) =
        side.misses.iter().partition(|miss| opens_little(engine, miss));
    let widened = |misses: Vec<&NearMiss>| -> Vec<(PolicyId, Proposal)> {
        misses.into_iter().filter_map(|miss| widen(engine, miss, case, direction)).collect()
    };
    let mut found = widened(narrow);
    match &side.why {
        Why::Rule(rule) => found.extend(accept_before(engine, *rule, case, direction)),
        _ => {
            // The policy of the fewest pods is the one to which a rule belongs.
            let mut policies = side.isolated_by.clone();
            policies.sort_by_key(|p| std::cmp::Reverse(asked_labels(engine, *p)));
            found.extend(policies.into_iter().filter_map(|p| new_rule(engine, p, None, case, direction)));
        }
    }
    found.extend(widened(wide));
    found
}

/// Whether a rule that gets one more peer still has its ports, and one that gets one more port its peers: else a rule of
/// its own opens less.
fn opens_little(engine: &Engine, miss: &NearMiss) -> bool {
    let ports = miss.differs.iter().any(|d| matches!(d, Difference::Ports { .. }));
    let place = miss.rule.rule as usize;
    match engine.policy(miss.rule.policy) {
        Some(Policy::Network(policy)) => {
            let rules = if miss.rule.egress { &policy.egress } else { &policy.ingress };
            rules.as_ref().and_then(|rules| rules.get(place)).is_some_and(|rule| match ports {
                true => rule.peers != Peers::Any,
                false => rule.ports != Ports::Any,
            })
        }
        Some(Policy::Cluster(policy)) => {
            let rules = if miss.rule.egress { &policy.egress } else { &policy.ingress };
            let matches = rules.get(place).and_then(|rule| rule.matches.as_ref());
            matches.is_some_and(|matches| ports || matches.ports != Ports::Any)
        }
        None => false,
    }
}

fn asked_labels(engine: &Engine, policy: PolicyId) -> usize {
    match engine.policy(policy) {
        Some(Policy::Network(policy)) => policy.subject.requirements().len(),
        Some(Policy::Cluster(_)) | None => 0,
    }
}

/// A rule that comes near, given what it lacks: a port or a peer.
fn widen(
    engine: &Engine,
    miss: &NearMiss,
    case: &Case<'_>,
    direction: Direction,
) -> Option<(PolicyId, Proposal)> {
    let key = engine.policy(miss.rule.policy)?.key();
    let syntax = Syntax::of(&key);
    let ports = miss.differs.iter().any(|d| matches!(d, Difference::Ports { .. }));
    let peers = miss.differs.iter().any(|d| !matches!(d, Difference::Ports { .. }));
    let (field, value) = match (peers, ports) {
        (false, true) => (syntax.ports_key(), syntax.port(case.traffic?)?),
        (true, false) => {
            let peers = syntax.peers(engine, fix::other(case, direction), direction);
            (syntax.peers_key(direction), peers.into_iter().next()?)
        }
        _ => return None,
    };
    let path = format!("/spec/{}/{}/{field}", direction.as_str(), miss.rule.rule);
    Some((miss.rule.policy, Proposal { path, place: None, value }))
}

/// A rule of a cluster-wide policy denies: one that accepts comes before it.
fn accept_before(
    engine: &Engine,
    rule: RuleRef,
    case: &Case<'_>,
    direction: Direction,
) -> Option<(PolicyId, Proposal)> {
    new_rule(engine, rule.policy, Some(rule.rule), case, direction)
}

fn new_rule(
    engine: &Engine,
    policy: PolicyId,
    place: Option<u32>,
    case: &Case<'_>,
    direction: Direction,
) -> Option<(PolicyId, Proposal)> {
    let key = engine.policy(policy)?.key();
    let syntax = Syntax::of(&key);
    let peers = syntax.peers(engine, fix::other(case, direction), direction);
    if peers.is_empty() {
        return None;
    }
    let traffic = case.traffic.filter(|t| matches!(t, Traffic::Port(..)));
    let value = syntax.rule(direction, peers, traffic);
    Some((policy, Proposal { path: format!("/spec/{}", direction.as_str()), place, value }))
}
