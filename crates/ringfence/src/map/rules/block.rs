//! The lines of one destination.

use std::collections::BTreeMap;

use ringfence_policy::{Direction, End, Identity, PodId, ReachEnd, Rows, SetId};

use super::attribution::{self, By, Outcome, Outcomes, PortMaps};
use crate::map::Map;
use crate::ports::PortList;
use crate::ranges;
use crate::reference::Reference;

/// One line of the table.
#[derive(Debug)]
pub(in crate::map) struct Line {
    pub(in crate::map) source: String,
    pub(in crate::map) destination: String,
    pub(in crate::map) service: String,
    pub(in crate::map) is_allowed: bool,
    pub(in crate::map) by: String,
    /// Whether it is for all that no line before it is for.
    pub(in crate::map) is_default: bool,
}

impl Line {
    pub(in crate::map) fn action(&self) -> &'static str {
        if self.is_allowed { "allow" } else { "deny" }
    }
}

/// Makes the lines of one destination after the other.
pub(in crate::map) struct Blocks<'m, 'r> {
    map: &'m Map<'r>,
    rows: Rows<'r>,
    maps: PortMaps<'r>,
    /// By end, what is asked of the engine about it.
    parties: Vec<Party>,
}

/// An end, as far as policies can tell.
#[derive(Debug, Clone, Copy)]
struct Party {
    pod: Option<PodId>,
    identity: Identity,
    ingress: Option<SetId>,
    egress: Option<SetId>,
}

impl<'m, 'r> Blocks<'m, 'r> {
    pub(in crate::map) fn new(map: &'m Map<'r>) -> Blocks<'m, 'r> {
        let engine = map.engine;
        let party = |end: &ReachEnd| match end {
            ReachEnd::Pods { pods, .. } => {
                let pod = pods.first().copied();
                let set = |direction| pod.and_then(|pod| engine.policy_set(pod, direction));
                Party {
                    pod,
                    identity: pod.map_or(Identity::NOBODY, |pod| engine.identity(End::Pod(pod))),
                    ingress: set(Direction::Ingress),
                    egress: set(Direction::Egress),
                }
            }
            ReachEnd::Outside { first, .. } => Party {
                pod: None,
                identity: engine.class_identity(engine.address_space().class(*first)),
                ingress: None,
                egress: None,
            },
        };
        Blocks {
            map,
            rows: map.reach.rows(),
            maps: PortMaps::new(engine),
            parties: map.reach.ends.iter().map(party).collect(),
        }
    }

    /// The destinations, places among the ends.
    pub(in crate::map) fn destinations(&self) -> Vec<u32> {
        let ends = (0u32..).zip(&self.map.reach.ends);
        // All of outside is one destination: where the first of its ranges is.
        let mut outside = false;
        let destinations = ends.filter(|(place, end)| {
            self.map.selection.may_be_destination(*place)
                && match end {
                    ReachEnd::Pods { .. } => true,
                    ReachEnd::Outside { .. } => !std::mem::replace(&mut outside, true),
                }
        });
        destinations.map(|(place, _)| place).collect()
    }

    /// The lines of a destination; none where none of its connections is asked for.
    pub(in crate::map) fn lines(&mut self, to: u32) -> Vec<Line> {
        let reach = self.map.reach;
        let ends = || (0u32..).zip(&reach.ends);
        let mut shown: Vec<u32> = Vec::new();
        match reach.ends.get(to as usize) {
            Some(ReachEnd::Pods { .. }) => {
                let sources =
                    ends().filter(|(from, _)| *from != to && self.map.selection.has(reach, *from, to));
                shown.extend(sources.map(|(from, _)| from));
                let mut lines = if shown.is_empty() { Vec::new() } else { self.lines_of_pods(to, &shown) };
                // Beside what was asked for, all that deny everybody would bury what is allowed.
                let is_beside = self.map.selection.is_narrow() && !self.map.selection.names(to);
                if is_beside && lines.iter().all(|line| line.is_default && !line.is_allowed) {
                    lines.clear();
                }
                lines
            }
            _ => {
                let outside: Vec<u32> =
                    ends().filter(|(_, e)| is_outside(e)).map(|(place, _)| place).collect();
                let sources = ends().filter(|(from, end)| {
                    !is_outside(end) && outside.iter().any(|to| self.map.selection.has(reach, *from, *to))
                });
                shown.extend(sources.map(|(from, _)| from));
                if shown.is_empty() { Vec::new() } else { self.lines_of_outside(&outside, &shown) }
            }
        }
    }

    fn lines_of_pods(&mut self, to: u32, sources: &[u32]) -> Vec<Line> {
        let Some(destination) = self.parties.get(to as usize).copied() else { return Vec::new() };
        // What holds for a source that no rule knows and nothing holds.
        let base = {
            let ingress = self.maps.get(destination.ingress, Identity::NOBODY);
            attribution::outcomes(&None, &ingress, None, false)
        };
        let name = self.text(to);
        let mut lines = Vec::new();
        let mut outside: BTreeMap<Vec<(Outcome, String)>, Vec<ranges::Range>> = BTreeMap::new();
        for from in sources {
            let Some(source) = self.parties.get(*from as usize).copied() else { continue };
            let egress = self.maps.get(source.egress, destination.identity);
            let ingress = self.maps.get(destination.ingress, source.identity);
            let allowed = self.rows.allowed(*from, to);
            if self.is_same_workload(*from, to) {
                continue;
            }
            let outcomes = attribution::outcomes(&egress, &ingress, allowed, true);
            if outcomes == base {
                continue;
            }
            let told = told(&outcomes, &base);
            match self.map.reach.ends.get(*from as usize) {
                Some(ReachEnd::Outside { first, last }) => {
                    outside.entry(told).or_default().push((*first, *last))
                }
                _ => {
                    let source_text = self.text(*from);
                    lines.extend(told.iter().map(|(outcome, service)| {
                        self.line(&source_text, &name, service, outcome, source.pod, destination.pod)
                    }));
                }
            }
        }
        for (told, ranges) in outside {
            for source in ranges_texts(&ranges) {
                lines.extend(told.iter().map(|(outcome, service)| {
                    self.line(&source, &name, service, outcome, None, destination.pod)
                }));
            }
        }
        let default = default_of(&base);
        for (outcome, service) in base.iter().filter(|(outcome, _)| **outcome != default) {
            lines.push(self.line("any other", &name, &service.to_text(), outcome, None, destination.pod));
        }
        lines.push(Line {
            is_default: true,
            ..self.line("any", &name, "any", &default, None, destination.pod)
        });
        lines
    }

    fn lines_of_outside(&mut self, outside: &[u32], sources: &[u32]) -> Vec<Line> {
        let open = attribution::outcomes(&None, &None, None, false);
        let mut lines = Vec::new();
        for from in sources {
            let Some(source) = self.parties.get(*from as usize).copied() else { continue };
            let mut by_outcomes: BTreeMap<Vec<(Outcome, String)>, Vec<ranges::Range>> = BTreeMap::new();
            for to in outside {
                let (Some(destination), Some(ReachEnd::Outside { first, last })) =
                    (self.parties.get(*to as usize), self.map.reach.ends.get(*to as usize))
                else {
                    continue;
                };
                let egress = self.maps.get(source.egress, destination.identity);
                let outcomes = attribution::outcomes(&egress, &None, self.rows.allowed(*from, *to), true);
                if outcomes != open {
                    by_outcomes.entry(told(&outcomes, &open)).or_default().push((*first, *last));
                }
            }
            let source_text = self.text(*from);
            for (told, ranges) in by_outcomes {
                let all = ranges.len() == outside.len();
                let texts = if all { vec!["external".to_owned()] } else { ranges_texts(&ranges) };
                for destination in texts {
                    lines.extend(told.iter().map(|(outcome, service)| {
                        self.line(&source_text, &destination, service, outcome, source.pod, None)
                    }));
                }
            }
        }
        let default = Outcome { is_denied: false, by: Vec::new() };
        lines.push(Line { is_default: true, ..self.line("any", "external", "any", &default, None, None) });
        lines
    }

    fn line(
        &self,
        source: &str,
        destination: &str,
        service: &str,
        outcome: &Outcome,
        from: Option<PodId>,
        to: Option<PodId>,
    ) -> Line {
        Line {
            source: source.to_owned(),
            destination: destination.to_owned(),
            service: service.to_owned(),
            is_allowed: !outcome.is_denied,
            by: attribution::text(self.map.engine, outcome, from, to),
            is_default: false,
        }
    }

    fn text(&self, place: u32) -> String {
        self.map.references.get(place as usize).map(Reference::text).unwrap_or_default()
    }

    /// Whether two ends are pods of one workload, which are no pair of the map.
    fn is_same_workload(&self, from: u32, to: u32) -> bool {
        let workload = |place: u32| match self.map.reach.ends.get(place as usize) {
            Some(ReachEnd::Pods { namespace, workload, .. }) => Some((namespace, workload)),
            _ => None,
        };
        self.map.view == ringfence_policy::View::Workloads
            && workload(from).is_some_and(|w| Some(w) == workload(to))
    }
}

fn is_outside(end: &ReachEnd) -> bool {
    matches!(end, ReachEnd::Outside { .. })
}

/// The default of a destination: it denies where a policy isolates it.
fn default_of(base: &Outcomes) -> Outcome {
    let isolated = Outcome { is_denied: true, by: vec![By::DestinationIsolated] };
    if base.contains_key(&isolated) { isolated } else { Outcome { is_denied: false, by: Vec::new() } }
}

/// What is said of a source: its lines, less the denials that the lines for all others say anyway.
fn told(outcomes: &Outcomes, base: &Outcomes) -> Vec<(Outcome, String)> {
    let allowed_to_others = |ports: &PortList| base.iter().any(|(o, p)| !o.is_denied && p.meets(ports));
    let is_told = |outcome: &Outcome, ports: &PortList| {
        !outcome.is_denied
            || outcome.by.iter().any(|by| matches!(by, By::Rule(_)))
            || allowed_to_others(ports)
    };
    let told = outcomes.iter().filter(|(outcome, ports)| is_told(outcome, ports));
    told.map(|(outcome, ports)| (outcome.clone(), ports.to_text())).collect()
}

/// Neighbours as one.
fn ranges_texts(found: &[ranges::Range]) -> Vec<String> {
    ranges::joined(found).into_iter().map(|(first, last)| ranges::text(first, last)).collect()
}
