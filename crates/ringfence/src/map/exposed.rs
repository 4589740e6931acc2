//! What can be reached from outside, and by which way: through Services, Ingresses and Gateway routes, or by address.
//!
//! The ways are what manifests say; whether policies let a connection pass at their end is what the engine says. Behind
//! an Ingress or a Gateway the pods see the controller's pods, not the client.

mod ways;

use std::collections::{BTreeSet, HashMap};

use ringfence_k8s::Inventory;
use ringfence_policy::{Because, End, PodId, PortSet, ReachEnd, Rows, Traffic};
use serde_json::{Value, json};

use self::ways::{Through, Way};
use super::Map;
use super::listing::Listing;
use crate::explain::rule::RuleText;
use crate::ports::PortList;
use crate::ranges;

/// A line of the answer.
#[derive(Debug)]
struct Exposure {
    end: u32,
    ports: PortList,
    way: String,
    kind: String,
    objects: Vec<String>,
    verdict: &'static str,
    /// From where; empty: from all of outside.
    from: Vec<String>,
    by: String,
}

/// Everything that can be reached from outside, and the ways on which policies let nobody in.
pub(super) fn listing(map: &Map<'_>, inventory: &Inventory) -> Listing {
    let rows = map.reach.rows();
    let asker = Asker::new(map, &rows);
    let mut exposures: Vec<Exposure> = Vec::new();
    for way in ways::find(map.engine, inventory) {
        exposures.extend(asker.by_way(&way));
    }
    exposures.extend(map.rows.iter().flat_map(|row| asker.directly(row.place)));
    let shown: BTreeSet<u32> = map.rows.iter().map(|row| row.place).collect();
    exposures.retain(|e| shown.contains(&e.end));
    exposures.sort_by_key(|e| e.end);
    let name = |end: u32| map.references.get(end as usize).map(|r| r.text()).unwrap_or_default();
    let lines = exposures.iter().map(|e| {
        let from = if e.from.is_empty() { "external".to_owned() } else { e.from.join(", ") };
        vec![name(e.end), e.ports.to_text(), from, e.way.clone(), e.verdict.to_owned(), e.by.clone()]
    });
    let mut reached: Vec<u32> = exposures.iter().filter(|e| e.verdict == "allowed").map(|e| e.end).collect();
    reached.dedup();
    let unknown = exposures.iter().filter(|e| e.verdict == "unknown").count();
    let mut summary =
        format!("{} of {} workloads can be reached from outside.", reached.len(), map.rows.len());
    if unknown > 0 {
        summary.push_str(" Where it is unknown, the controller's pods are not in these manifests.");
    }
    let is_narrow =
        |e: &&Exposure| ["LoadBalancer", "NodePort"].contains(&e.kind.as_str()) && !e.from.is_empty();
    if exposures.iter().any(|e| is_narrow(&e)) {
        summary.push_str(
            " Where a Service hides the client's address (externalTrafficPolicy: Cluster), pods see a node's instead.",
        );
    }
    let json = json!({
        "version": 1,
        "exposed": exposures.iter().map(|e| to_json(map, e)).collect::<Vec<Value>>(),
    });
    Listing {
        headings: vec!["WORKLOAD", "PORTS", "FROM", "WAY", "VERDICT", "BECAUSE"],
        rows: lines.collect(),
        summary,
        json,
    }
}

fn to_json(map: &Map<'_>, e: &Exposure) -> Value {
    let from = if e.from.is_empty() { json!("all") } else { json!(e.from) };
    json!({
        "workload": map.references.get(e.end as usize).map(|r| r.to_json()),
        "ports": e.ports.to_json(),
        "from": from,
        "way": {"kind": e.kind, "objects": e.objects, "text": e.way},
        "verdict": e.verdict,
        "because": e.by,
    })
}

/// Asks the engine about the end of a way.
struct Asker<'m, 'r> {
    map: &'m Map<'r>,
    rows: &'m Rows<'r>,
    end_of: HashMap<PodId, u32>,
}

impl<'m, 'r> Asker<'m, 'r> {
    fn new(map: &'m Map<'r>, rows: &'m Rows<'r>) -> Asker<'m, 'r> {
        let mut end_of = HashMap::new();
        for (place, end) in (0u32..).zip(&map.reach.ends) {
            if let ReachEnd::Pods { pods, .. } = end {
                end_of.extend(pods.iter().map(|pod| (*pod, place)));
            }
        }
        Asker { map, rows, end_of }
    }

    /// What a way leads to: a line for each workload and port.
    fn by_way(&self, way: &Way) -> Vec<Exposure> {
        let mut ends: Vec<(u32, PodId, Traffic)> = Vec::new();
        for (pod, traffic) in &way.pods {
            if let Some(end) = self.end_of(*pod)
                && !ends.iter().any(|(e, _, t)| (*e, *t) == (end, *traffic))
            {
                ends.push((end, *pod, *traffic));
            }
        }
        let line = |(end, pod, traffic): (u32, PodId, Traffic)| {
            let (verdict, from, by) = match &way.through {
                None => self.ask_outside(end, pod, traffic),
                Some(through) => self.through(through, end, pod, traffic),
            };
            Exposure {
                end,
                ports: single(traffic),
                way: way.text.clone(),
                kind: way.kind.clone(),
                objects: way.objects.clone(),
                verdict,
                from,
                by,
            }
        };
        ends.into_iter().map(line).collect()
    }

    /// Which outside addresses may connect, and by what rule.
    fn ask_outside(&self, end: u32, pod: PodId, traffic: Traffic) -> (&'static str, Vec<String>, String) {
        let (mut ranges, mut all, mut by) = (Vec::new(), true, String::new());
        for (place, (first, last)) in self.outside() {
            if self.rows.allowed(place, end).is_some_and(|set| set.contains(traffic)) {
                if by.is_empty() {
                    by = self.because(End::Address(first), pod, traffic);
                }
                ranges.push((first, last));
            } else {
                all = false;
            }
        }
        if ranges.is_empty() {
            let denied = self.outside().next();
            let by = denied.map(|(_, (first, _))| self.because(End::Address(first), pod, traffic));
            return ("denied", Vec::new(), by.unwrap_or_default());
        }
        let texts = ranges::joined(&ranges).into_iter().map(|(first, last)| ranges::text(first, last));
        ("allowed", if all { Vec::new() } else { texts.collect() }, by)
    }

    /// Whether the pods of a controller may connect.
    fn through(
        &self,
        through: &Through,
        end: u32,
        pod: PodId,
        traffic: Traffic,
    ) -> (&'static str, Vec<String>, String) {
        let object = &through.object;
        if through.pods.is_empty() {
            let open = self.map.engine.policy_set(pod, ringfence_policy::Direction::Ingress).is_none();
            return if open {
                ("allowed", Vec::new(), format!("through {object}; {}", self.because_open()))
            } else {
                let by = format!("through {object}: the controller's pods need to reach it");
                ("unknown", Vec::new(), by)
            };
        }
        let mut told = Vec::new();
        let mut verdict = "denied";
        let mut seen: Vec<u32> = Vec::new();
        for controller in &through.pods {
            let Some(from) = self.end_of(*controller).filter(|from| !seen.contains(from)) else { continue };
            seen.push(from);
            // The map leaves out the pods of one end among each other. Two replicas show it, where there are two.
            let is_own = from == end;
            let another = |p: &&PodId| **p != pod && self.end_of(**p) == Some(from);
            let other = through.pods.iter().find(another).filter(|_| is_own);
            let controller = other.unwrap_or(controller);
            let may = if is_own {
                self.map.engine.verdict(End::Pod(*controller), End::Pod(pod), traffic).allowed()
            } else {
                self.rows.allowed(from, end).is_some_and(|set| set.contains(traffic))
            };
            let name = self.map.references.get(from as usize).map(|r| r.text()).unwrap_or_default();
            let because = self.because(End::Pod(*controller), pod, traffic);
            told.push(format!("{name} {}: {because}", if may { "may reach it" } else { "may not reach it" }));
            if may {
                verdict = "allowed";
            }
        }
        (verdict, Vec::new(), format!("through {object}; {}", told.join("; ")))
    }

    /// What may come from outside to the pods' own addresses.
    fn directly(&self, end: u32) -> Vec<Exposure> {
        let mut by_ports: Vec<(PortSet, Vec<ranges::Range>)> = Vec::new();
        let mut count = 0;
        for (place, range) in self.outside() {
            count += 1;
            let Some(set) = self.rows.allowed(place, end) else { continue };
            match by_ports.iter_mut().find(|(known, _)| known == set) {
                Some((_, ranges)) => ranges.push(range),
                None => by_ports.push((set.clone(), vec![range])),
            }
        }
        let pod = self.pod_of(end);
        let line = |(set, found): (PortSet, Vec<ranges::Range>)| {
            let all = found.len() == count;
            let texts = ranges::joined(&found).into_iter().map(|(first, last)| ranges::text(first, last));
            let by = match (found.first(), pod, a_traffic(&set)) {
                (Some((first, _)), Some(pod), Some(traffic)) => {
                    self.because(End::Address(*first), pod, traffic)
                }
                _ => String::new(),
            };
            Exposure {
                end,
                ports: PortList::from(&set),
                way: "directly, where its address can be reached".to_owned(),
                kind: "Direct".to_owned(),
                objects: Vec::new(),
                verdict: "allowed",
                from: if all { Vec::new() } else { texts.collect() },
                by,
            }
        };
        by_ports.into_iter().map(line).collect()
    }

    /// What the deciding side says.
    fn because(&self, from: End, pod: PodId, traffic: Traffic) -> String {
        let engine = self.map.engine;
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
            Because::NotIsolated => self.because_open(),
            Because::OwnNode => "its own node".to_owned(),
            Because::Itself => "itself".to_owned(),
        }
    }

    fn because_open(&self) -> String {
        "no policy decides: open".to_owned()
    }

    fn outside(&self) -> impl Iterator<Item = (u32, ranges::Range)> {
        (0u32..).zip(&self.map.reach.ends).filter_map(|(place, end)| match end {
            ReachEnd::Outside { first, last } => Some((place, (*first, *last))),
            ReachEnd::Pods { .. } => None,
        })
    }

    fn end_of(&self, pod: PodId) -> Option<u32> {
        self.end_of.get(&pod).copied()
    }

    fn pod_of(&self, end: u32) -> Option<PodId> {
        match self.map.reach.ends.get(end as usize)? {
            ReachEnd::Pods { pods, .. } => pods.first().copied(),
            ReachEnd::Outside { .. } => None,
        }
    }
}

fn single(traffic: Traffic) -> PortList {
    let mut list = PortList::default();
    match traffic {
        Traffic::Port(protocol, port) => list.push(protocol, ringfence_policy::PortRange::single(port)),
        Traffic::Other => list.push_other(),
    }
    list
}

/// Something that is in a set.
fn a_traffic(set: &PortSet) -> Option<Traffic> {
    let first = ringfence_policy::Protocol::ALL
        .into_iter()
        .find_map(|protocol| Some(Traffic::Port(protocol, set.ranges(protocol).first()?.first())));
    first.or(set.other().then_some(Traffic::Other))
}
