//! Assertions put to the map: what violates them, with one connection that shows it.

use std::collections::BTreeSet;

use ringfence_policy::{Change, Direction, Mapped, PortSet, Traffic};

use super::possible::{self, World};
use super::read::{Assertion, Kind};
use super::scene::{Pair, Party, Role, Scene};
use super::spot::Spot;
use crate::because;

/// What became of an assertion.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) assertion: &'a Assertion,
    pub(super) verdict: Verdict,
    /// Whether connections were left out that no policy has a say in: those of a node to its own pods.
    pub(super) left_out: bool,
}

#[derive(Debug)]
pub(super) enum Verdict {
    Holds,
    Violated(Violation),
    /// It may hold or not; why nobody can say.
    NotProven(String),
}

/// Why an assertion does not hold.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) message: String,
    /// The connection that shows it; nothing where the assertion selects nothing.
    pub(super) example: Option<Example>,
}

/// A connection that is not as it should be.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) from: Spot,
    pub(super) to: Spot,
    pub(super) traffic: Traffic,
    /// What each side says to it.
    pub(super) reasons: Vec<(Direction, String)>,
}

impl Outcome<'_> {
    pub(super) fn holds(&self) -> bool {
        matches!(self.verdict, Verdict::Holds)
    }
}

/// What one world shows.
#[derive(Debug, Default)]
struct Shown {
    sources: bool,
    targets: bool,
    asked: bool,
    left_out: bool,
    violation: Option<Violation>,
}

/// Checks all.
pub(super) fn all<'a>(mapped: &Mapped, assertions: &'a [Assertion], allow_empty: bool) -> Vec<Outcome<'a>> {
    let cuts = assertions.iter().flat_map(|a| a.from.iter().chain(&a.to)).filter_map(|s| s.address);
    let scene = Scene::new(mapped, [].into(), [].into(), cuts.collect());
    let check = |assertion: &'a Assertion| match assertion.is_of_new_pods() {
        false => judged(assertion, [shown(&scene, assertion)], allow_empty),
        true => with_new_pods(mapped, assertion, allow_empty),
    };
    assertions.iter().map(check).collect()
}

fn with_new_pods<'a>(mapped: &Mapped, assertion: &'a Assertion, allow_empty: bool) -> Outcome<'a> {
    let worlds = match possible::worlds(mapped.engine(), assertion) {
        Ok(worlds) => worlds,
        Err(why) => return Outcome { assertion, verdict: Verdict::NotProven(why), left_out: false },
    };
    let in_world = |World { namespaces, pods }: World| {
        let mut engine = mapped.engine().clone();
        let roles: Vec<Role> = pods.iter().map(|(role, _)| *role).collect();
        let new: BTreeSet<String> = namespaces.iter().map(|n| n.name.clone()).collect();
        let namespaces = namespaces.into_iter().map(Change::SetNamespace);
        let pods = pods.into_iter().map(|(_, pod)| Change::AddPod(pod));
        let added = engine.apply(namespaces.chain(pods)).added;
        let mapped = Mapped::new(engine);
        let cuts = assertion.from.iter().chain(&assertion.to).filter_map(|s| s.address).collect();
        shown(&Scene::new(&mapped, added.into_iter().zip(roles).collect(), new, cuts), assertion)
    };
    judged(assertion, worlds.into_iter().map(in_world), allow_empty)
}

fn judged(assertion: &Assertion, worlds: impl IntoIterator<Item = Shown>, allow_empty: bool) -> Outcome<'_> {
    let mut all = Shown::default();
    for shown in worlds {
        all.sources |= shown.sources;
        all.targets |= shown.targets;
        all.asked |= shown.asked;
        all.left_out |= shown.left_out;
        all.violation = all.violation.or(shown.violation);
    }
    let empty = |message: String| Some(Violation { message, example: None });
    let is_empty = !all.sources || !all.targets;
    let violation = if is_empty && !allow_empty {
        let which = if all.sources { "to" } else { "from" };
        empty(format!("`{which}` selects nothing in the input"))
    } else if all.violation.is_none() && !all.asked && !allow_empty {
        empty(
            "`from` and `to` have no pair to check: pods of one workload among each other, outside addresses among each \
             other, and a node's way to its own pods are left out"
                .to_owned(),
        )
    } else {
        all.violation
    };
    let verdict = violation.map_or(Verdict::Holds, Verdict::Violated);
    Outcome { assertion, verdict, left_out: all.left_out }
}

fn shown(scene: &Scene<'_>, assertion: &Assertion) -> Shown {
    let Assertion { kind, from, to, ports, .. } = assertion;
    let mut sources = scene.parties(from, Role::From);
    let mut targets = scene.parties(to, Role::To);
    targets.retain(|party| party.is_meant);
    let has_sources = sources.iter().any(|party| party.is_meant);
    if *kind != Kind::Only {
        sources.retain(|party| party.is_meant);
    }
    let mut shown = Shown { sources: has_sources, targets: !targets.is_empty(), ..Shown::default() };
    let nothing = PortSet::new([], false);
    for target in &targets {
        for source in &sources {
            if source.is_of_workload_of(target) || source.is_outside() && target.is_outside() {
                continue;
            }
            let (pair, has_own_node) = scene.pair(source, target);
            shown.left_out |= has_own_node;
            let Some(pair) = pair else { continue };
            shown.asked |= source.is_meant;
            let allowed = scene.allowed(source, target).unwrap_or(&nothing);
            // What passes and must not, and what must pass and does not.
            let (more, missing) = match kind {
                Kind::Allow => (nothing.clone(), ports.minus(allowed)),
                Kind::Deny => (allowed.intersection(ports), nothing.clone()),
                Kind::Only if source.is_meant => (allowed.minus(ports), ports.minus(allowed)),
                Kind::Only => (allowed.clone(), nothing.clone()),
            };
            let wrong = more.first().map(|t| (t, true)).or_else(|| missing.first().map(|t| (t, false)));
            if let Some((traffic, passes)) = wrong {
                shown.violation = Some(violation(scene, (source, target), pair, traffic, passes));
                return shown;
            }
        }
    }
    shown
}

/// One connection that is not as it should be.
fn violation(
    scene: &Scene<'_>,
    (source, target): (&Party<'_>, &Party<'_>),
    pair: Pair,
    traffic: Traffic,
    passes: bool,
) -> Violation {
    let engine = scene.engine();
    let from = Spot::new(scene, pair.from, None);
    let to = Spot::new(scene, pair.to, Some(traffic));
    let text = |party: &Party<'_>, spot: &Option<Spot>| {
        party.range().or_else(|| spot.as_ref().map(Spot::text)).unwrap_or_default()
    };
    let may = if passes { "may connect" } else { "may not connect" };
    let message = format!("{} {may} to {} on {traffic}", text(source, &from), text(target, &to));
    let verdict = engine.verdict(pair.from, pair.to, traffic);
    let reason = |direction| (direction, because::text(engine, &verdict.side(direction).because));
    let reasons = [Direction::Egress, Direction::Ingress].map(reason).into();
    let example = from.zip(to).map(|(from, to)| Example { from, to, traffic, reasons });
    Violation { message, example }
}
