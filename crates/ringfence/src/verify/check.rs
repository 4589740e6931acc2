//! Assertions put to the map: what violates them, with one connection that shows it.

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::{Direction, End, Engine, Mapped, Pod, PortSet, ReachEnd, Rows, Traffic};

use super::read::{Assertion, Kind, Selector};
use crate::because;
use crate::ranges;

/// What became of an assertion.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) assertion: &'a Assertion,
    pub(super) violation: Option<Violation>,
}

/// Why an assertion does not hold.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) message: String,
    /// The connection that shows it, and what each side says to it; nothing where the assertion selects nothing.
    pub(super) reasons: Vec<(Direction, String)>,
}

/// Checks all.
pub(super) fn all<'a>(mapped: &Mapped, assertions: &'a [Assertion], allow_empty: bool) -> Vec<Outcome<'a>> {
    let rows = mapped.reach().rows();
    let check =
        |assertion| Outcome { assertion, violation: violation(mapped, &rows, assertion, allow_empty) };
    assertions.iter().map(check).collect()
}

fn violation(
    mapped: &Mapped,
    rows: &Rows<'_>,
    assertion: &Assertion,
    allow_empty: bool,
) -> Option<Violation> {
    let Assertion { kind, from, to, ports, .. } = assertion;
    let ends = || (0u32..).zip(&mapped.reach().ends);
    let engine = mapped.engine();
    let some = |selectors: &[Selector], end: &ReachEnd| selectors.iter().any(|s| s.matches(engine, end));
    let sources: Vec<(u32, &ReachEnd)> = ends().filter(|(_, end)| some(from, end)).collect();
    let targets: Vec<(u32, &ReachEnd)> = ends().filter(|(_, end)| some(to, end)).collect();
    if !allow_empty && (sources.is_empty() || targets.is_empty()) {
        let which = if sources.is_empty() { "from" } else { "to" };
        let message = format!("`{which}` selects nothing in the input");
        return Some(Violation { message, reasons: Vec::new() });
    }
    let nothing = PortSet::new([], false);
    let mut is_asked = false;
    for (to, target) in &targets {
        let others: Vec<(u32, &ReachEnd)> = match kind {
            Kind::Only => ends().collect(),
            Kind::Allow | Kind::Deny => sources.clone(),
        };
        for (from, source) in others {
            if is_same_workload(source, target) || is_outside(source) && is_outside(target) {
                continue;
            }
            let allowed = rows.allowed(from, *to).unwrap_or(&nothing);
            let is_meant = sources.iter().any(|(place, _)| *place == from);
            // Where only some pods of an end are meant, the others are among those that are kept out.
            is_asked |= is_meant;
            let is_wholly = is_covered(engine, &assertion.from, source);
            let wrong = match kind {
                Kind::Allow => vec![(false, ports.minus(allowed))],
                Kind::Deny => vec![(true, allowed.intersection(ports))],
                Kind::Only => {
                    let missing = if is_meant { ports.minus(allowed) } else { nothing.clone() };
                    let more = if is_wholly { allowed.minus(ports) } else { allowed.clone() };
                    vec![(true, more), (false, missing)]
                }
            };
            for (passes, set) in wrong {
                if let Some(traffic) = set.first() {
                    return Some(shown(mapped, assertion, (source, target), traffic, passes));
                }
            }
        }
    }
    (!is_asked && !allow_empty).then(|| Violation {
        message: "`from` and `to` have no pair to check: pods of one workload among each other, and outside addresses, are left out"
            .to_owned(),
        reasons: Vec::new(),
    })
}

/// Whether every pod or address of an end is meant by one of the selectors.
fn is_covered(engine: &Engine, selectors: &[Selector], end: &ReachEnd) -> bool {
    selectors.iter().any(|s| s.any)
        || match end {
            ReachEnd::Pods { pods, .. } => pods.iter().filter_map(|pod| engine.pod(*pod)).all(|pod| {
                selectors.iter().any(|s| !s.external && s.address.is_none() && s.selects(engine, pod))
            }),
            ReachEnd::Outside { first, last } => {
                let mut nets: Vec<IpNet> = selectors.iter().filter_map(|s| s.address).collect();
                nets.retain(|net| net.addr().is_ipv4() == first.is_ipv4());
                nets.sort_unstable_by_key(IpNet::network);
                let mut from = Some(*first);
                for net in nets {
                    if from.is_some_and(|a| net.contains(&a)) {
                        from = ranges::next(net.broadcast()).filter(|a| a <= last);
                    }
                }
                from.is_none() || selectors.iter().any(|s| s.external && s.address.is_none())
            }
        }
}

/// One connection that is not as it should be.
fn shown(
    mapped: &Mapped,
    assertion: &Assertion,
    (source, target): (&ReachEnd, &ReachEnd),
    traffic: Traffic,
    passes: bool,
) -> Violation {
    let engine = mapped.engine();
    let (from, from_text) = named(source, &assertion.from);
    let (to, to_text) = named(target, &assertion.to);
    let may = if passes { "may connect" } else { "may not connect" };
    let message = format!("{from_text} {may} to {to_text} on {traffic}");
    let (Some(from), Some(to)) = (from, to) else { return Violation { message, reasons: Vec::new() } };
    let verdict = engine.verdict(from, to, traffic);
    let reason = |direction| (direction, because::text(engine, &verdict.side(direction).because));
    Violation { message, reasons: [Direction::Egress, Direction::Ingress].map(reason).into() }
}

/// A pod or address that an end stands for, and what to call it.
fn named(end: &ReachEnd, selectors: &[Selector]) -> (Option<End>, String) {
    match end {
        ReachEnd::Pods { namespace, workload, pods, .. } => (
            pods.first().map(|pod| End::Pod(*pod)),
            format!("{namespace}/{}/{}", workload.kind.to_lowercase(), workload.name),
        ),
        ReachEnd::Outside { first, last } => {
            let nets = selectors.iter().filter_map(|s| s.address);
            let inside = nets.map(|net| net.network()).find(|a| is_between(*a, *first, *last));
            let address = inside.unwrap_or(*first);
            (Some(End::Address(address)), ranges::text(address, inside.map_or(*last, |_| address)))
        }
    }
}

fn is_between(address: IpAddr, first: IpAddr, last: IpAddr) -> bool {
    address.is_ipv4() == first.is_ipv4() && first <= address && address <= last
}

fn is_outside(end: &ReachEnd) -> bool {
    matches!(end, ReachEnd::Outside { .. })
}

fn is_same_workload(one: &ReachEnd, other: &ReachEnd) -> bool {
    match (one, other) {
        (
            ReachEnd::Pods { namespace, workload, .. },
            ReachEnd::Pods { namespace: other_namespace, workload: other_workload, .. },
        ) => namespace == other_namespace && workload == other_workload,
        _ => false,
    }
}

impl Selector {
    /// Whether any pod or address of an end is meant.
    fn matches(&self, engine: &Engine, end: &ReachEnd) -> bool {
        match end {
            _ if self.any => true,
            ReachEnd::Outside { first, last } => match self.address {
                Some(net) if net.addr().is_ipv4() == first.is_ipv4() => {
                    let (start, end) = (net.network(), net.broadcast());
                    start <= *last && *first <= end
                }
                Some(_) => false,
                None => self.external,
            },
            ReachEnd::Pods { pods, .. } if !self.external && self.address.is_none() => {
                pods.iter().filter_map(|pod| engine.pod(*pod)).any(|pod| self.selects(engine, pod))
            }
            ReachEnd::Pods { .. } => false,
        }
    }

    fn selects(&self, engine: &Engine, pod: &Pod) -> bool {
        let workload = &pod.workload;
        let full = format!("{}/{}", workload.kind.to_lowercase(), workload.name);
        let has = |labels: &ringfence_policy::Labels, wanted: &ringfence_policy::Labels| {
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        self.namespace.as_ref().is_none_or(|namespace| *namespace == pod.namespace)
            && self.workload.as_ref().is_none_or(|name| *name == workload.name || *name == full)
            && has(&pod.labels, &self.labels)
            && (self.namespace_labels.is_empty()
                || has(&engine.namespace_labels(&pod.namespace), &self.namespace_labels))
    }
}
