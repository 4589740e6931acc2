//! Asks the engine about the ends of ways: who gets in, and what says so.

use std::collections::HashMap;

use ringfence_policy::{Because, Direction, End, Engine, PodId, PortRange, PortSet, ReachEnd, Rows, Traffic};

use super::ways::{By, Door, Through, Way};
use super::{Answer, Exposure};
use crate::explain::party::{Pairing, Party};
use crate::explain::rule::RuleText;
use crate::map::Map;
use crate::ports::PortList;
use crate::ranges::{self, Range};
use crate::reference::Reference;

const OPEN: &str = "no policy decides: open";

/// Asks the engine about the end of a way.
pub(super) struct Asker<'m, 'r> {
    map: &'m Map<'r>,
    rows: &'m Rows<'r>,
    end_of: HashMap<PodId, u32>,
    /// The ranges of the map in which there is more than pods and nodes.
    outside: Vec<(u32, Range)>,
    pairing: Pairing<'r>,
}

/// What is asked: a pod of an end, and what it receives.
#[derive(Debug, Clone, Copy)]
struct Goal {
    end: u32,
    pod: PodId,
    traffic: Traffic,
}

impl<'m, 'r> Asker<'m, 'r> {
    pub(super) fn new(map: &'m Map<'r>, rows: &'m Rows<'r>) -> Asker<'m, 'r> {
        let mut end_of = HashMap::new();
        let mut outside = Vec::new();
        for (place, end) in (0u32..).zip(&map.reach.ends) {
            match end {
                ReachEnd::Pods { pods, .. } => end_of.extend(pods.iter().map(|pod| (*pod, place))),
                ReachEnd::Outside { first, last } => {
                    let elsewhere = ranges::without(map.engine.pod_cidrs(), *first, *last).into_iter();
                    outside.extend(elsewhere.map(|range| (place, range)));
                }
            }
        }
        outside.retain(|(_, range)| !is_inside(map.engine, *range));
        Asker { map, rows, end_of, outside, pairing: Pairing::new(map.engine) }
    }

    /// What a way leads to: a line for each workload and port.
    pub(super) fn by_way(&mut self, way: &Way) -> Vec<Exposure> {
        let mut goals: Vec<Goal> = Vec::new();
        for (pod, traffic) in &way.pods {
            if let Some(end) = self.end_of(*pod)
                && !goals.iter().any(|goal| (goal.end, goal.traffic) == (end, *traffic))
            {
                goals.push(Goal { end, pod: *pod, traffic: *traffic });
            }
        }
        let mut lines = Vec::new();
        for goal in goals {
            let (hides_client, answer) = match &way.by {
                By::Client(door) => (Some(door.hides_client), self.by_door(door, goal)),
                By::Controller(through) => (None, self.through(through, goal)),
            };
            lines.push(Exposure {
                end: goal.end,
                ports: single(goal.traffic),
                way: way.text.clone(),
                kind: way.kind.clone(),
                objects: way.objects.clone(),
                hides_client,
                answer,
            });
        }
        lines
    }

    /// Which clients get in through a Service.
    fn by_door(&self, door: &Door, goal: Goal) -> Answer {
        let (mut ranges, mut by) = self.clients(goal);
        let mut may_differ = door.hides_client && ranges.len() < self.outside.len();
        if may_differ {
            if let Some((node, because)) = self.other_node(goal) {
                ranges = self.outside.iter().map(|(_, range)| *range).collect();
                by = format!("{because}, which lets in node {node}: its address takes the client's place");
                may_differ = false;
            } else {
                by.push_str("; a node's address may take the client's place");
            }
        }
        let mut is_all = ranges.len() == self.outside.len();
        if !door.source_ranges.is_empty() && !ranges.is_empty() {
            ranges = ranges::within(&ranges, &door.source_ranges);
            is_all = false;
            by = match ranges.is_empty() {
                true => "its loadBalancerSourceRanges leave out whom policies let in".to_owned(),
                false => format!("{by}; the Service's loadBalancerSourceRanges leave out others"),
            };
        }
        let verdict = if ranges.is_empty() { "denied" } else { "allowed" };
        Answer { verdict, from: if is_all { Vec::new() } else { texts(&ranges) }, by, may_differ }
    }

    /// From where clients get in whose own address is seen; and by what, or what keeps them out.
    fn clients(&self, goal: Goal) -> (Vec<Range>, String) {
        let may =
            |place: &u32| self.rows.allowed(*place, goal.end).is_some_and(|set| set.contains(goal.traffic));
        let found = self.outside.iter().filter(|(place, _)| may(place)).map(|(_, range)| *range);
        let found: Vec<Range> = found.collect();
        let asked = found.first().or(self.outside.first().map(|(_, range)| range));
        let by =
            asked.map(|(first, _)| because(self.map.engine, End::Address(*first), goal.pod, goal.traffic));
        (found, by.unwrap_or_default())
    }

    /// A node beside the pods' own that policies let in, and what says so.
    fn other_node(&self, goal: Goal) -> Option<(String, String)> {
        let engine = self.map.engine;
        let own = engine.pod(goal.pod).and_then(|pod| pod.node.as_ref());
        engine.nodes().filter(|node| Some(&node.name) != own).find_map(|node| {
            let lets_in = |from: &End| engine.verdict(*from, End::Pod(goal.pod), goal.traffic).allowed();
            let from = node.addresses.iter().map(|address| End::Address(*address)).find(lets_in)?;
            Some((node.name.clone(), because(engine, from, goal.pod, goal.traffic)))
        })
    }

    /// Whether the pods of a controller may connect.
    fn through(&mut self, through: &Through, goal: Goal) -> Answer {
        let object = &through.object;
        let answer = |verdict, by: String| Answer { verdict, from: Vec::new(), by, may_differ: false };
        if through.pods.is_empty() {
            return match self.map.engine.policy_set(goal.pod, Direction::Ingress) {
                None => answer("allowed", format!("through {object}; {OPEN}")),
                Some(_) => {
                    answer("unknown", format!("through {object}: the controller's pods need to reach it"))
                }
            };
        }
        let mut told = Vec::new();
        let mut verdict = "denied";
        let mut seen: Vec<u32> = Vec::new();
        for controller in &through.pods {
            let Some(from) = self.end_of(*controller).filter(|from| !seen.contains(from)) else { continue };
            seen.push(from);
            let (may, text) = if self.is_own(from, goal.end) {
                self.among_own(from, goal)
            } else {
                let may = self.rows.allowed(from, goal.end).is_some_and(|set| set.contains(goal.traffic));
                let because = because(self.map.engine, End::Pod(*controller), goal.pod, goal.traffic);
                (may, format!("{}: {because}", if may { "may reach it" } else { "may not reach it" }))
            };
            told.push(format!("{} {text}", self.name(from)));
            if may {
                verdict = "allowed";
            }
        }
        answer(verdict, format!("through {object}; {}", told.join("; ")))
    }

    /// Whether pods of a workload may reach others of it, which the map does not list.
    fn among_own(&mut self, from: u32, goal: Goal) -> (bool, String) {
        let (Some(source), Some(destination)) = (self.party(from), self.party(goal.end)) else {
            return (false, String::new());
        };
        let (source, destination) = self.pairing.pair(source, destination);
        let engine = self.pairing.asked();
        let Some(pod) = destination.pod(engine) else { return (false, String::new()) };
        let may = engine.verdict(source.end, destination.end, goal.traffic).allowed();
        let because = because(engine, source.end, pod, goal.traffic);
        let text = match (may, from == goal.end) {
            (true, _) => format!("may reach it: {because}"),
            (false, true) => format!("may reach itself, but not its other pods: {because}"),
            (false, false) => format!("may not reach it: {because}"),
        };
        (may, text)
    }

    fn party(&self, end: u32) -> Option<Party> {
        let ReachEnd::Pods { pods, .. } = self.map.reach.ends.get(end as usize)? else { return None };
        let reference = self.map.references.get(end as usize)?.clone();
        Some(Party { reference, end: End::Pod(*pods.first()?), pods: pods.clone() })
    }

    /// Whether two ends have pods of one workload.
    fn is_own(&self, one: u32, other: u32) -> bool {
        let of = |end: u32| match self.map.reach.ends.get(end as usize) {
            Some(ReachEnd::Pods { namespace, workload, .. }) => Some((namespace, workload)),
            _ => None,
        };
        of(one).is_some() && of(one) == of(other)
    }

    /// What may come from outside to the pods' own addresses.
    pub(super) fn directly(&self, end: u32) -> Vec<Exposure> {
        let mut by_ports: Vec<(PortSet, Vec<Range>)> = Vec::new();
        for (place, range) in &self.outside {
            let Some(set) = self.rows.allowed(*place, end) else { continue };
            match by_ports.iter_mut().find(|(known, _)| known == set) {
                Some((_, ranges)) => ranges.push(*range),
                None => by_ports.push((set.clone(), vec![*range])),
            }
        }
        let pod = self.party(end).and_then(|party| party.pods.first().copied());
        let line = |(set, found): (PortSet, Vec<Range>)| {
            let is_all = found.len() == self.outside.len();
            let by = match (found.first(), pod, set.first()) {
                (Some((first, _)), Some(pod), Some(traffic)) => {
                    because(self.map.engine, End::Address(*first), pod, traffic)
                }
                _ => String::new(),
            };
            let from = if is_all { Vec::new() } else { texts(&found) };
            Exposure {
                end,
                ports: PortList::from(&set),
                way: "directly, where its address can be reached".to_owned(),
                kind: "Direct".to_owned(),
                objects: Vec::new(),
                hides_client: None,
                answer: Answer { verdict: "allowed", from, by, may_differ: false },
            }
        };
        by_ports.into_iter().map(line).collect()
    }

    fn end_of(&self, pod: PodId) -> Option<u32> {
        self.end_of.get(&pod).copied()
    }

    fn name(&self, end: u32) -> String {
        self.map.references.get(end as usize).map(Reference::text).unwrap_or_default()
    }
}

/// Whether a range is a node's or a pod's address.
fn is_inside(engine: &Engine, (first, last): Range) -> bool {
    let is_known =
        || engine.pod_at(first).is_some() || engine.nodes().any(|node| node.addresses.contains(&first));
    first == last && is_known()
}

/// What the deciding side says.
fn because(engine: &Engine, from: End, pod: PodId, traffic: Traffic) -> String {
    let verdict = engine.verdict(from, End::Pod(pod), traffic);
    let side = if verdict.egress.allowed { &verdict.ingress } else { &verdict.egress };
    match &side.because {
        Because::Rule(rule) => RuleText::new(engine, *rule).map(|rule| rule.text()).unwrap_or_default(),
        Because::NoRule(policies) => {
            let names = policies.iter().filter_map(|p| engine.policy(*p)).map(|p| match p.source() {
                Some(source) => format!("{} ({source})", p.key()),
                None => p.key().to_string(),
            });
            format!("isolated by {}", names.collect::<Vec<_>>().join(", "))
        }
        Because::NoSubject => "on its node's network: no policy holds it".to_owned(),
        Because::NotIsolated => OPEN.to_owned(),
        Because::OwnNode => "its own node".to_owned(),
        Because::Itself => "a pod always reaches itself".to_owned(),
    }
}

fn texts(ranges: &[Range]) -> Vec<String> {
    ranges::joined(ranges).into_iter().map(|(first, last)| ranges::text(first, last)).collect()
}

fn single(traffic: Traffic) -> PortList {
    let mut list = PortList::default();
    match traffic {
        Traffic::Port(protocol, port) => list.push(protocol, PortRange::single(port)),
        Traffic::Other => list.push_other(),
    }
    list
}
