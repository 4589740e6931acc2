//! Port maps: for every protocol and port one decision, as intervals.
//!
//! A port map is total. It is painted in the order in which rules are asked, each rule filling only what none before
//! it has decided, and closed with the decision for the rest. That is how policies of every tier fold into one map:
//! the union of allow rules is the case in which all paint the same colour.

use crate::model::{NamedPort, PortRange, PortRef, Ports, Protocol, Traffic};

/// A rule's number in an [`Engine`](crate::Engine).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// What is decided for some traffic, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// Whether it may pass.
    pub allow: bool,
    /// The rule that decided; `None` where it was the default.
    pub rule: Option<RuleId>,
}

impl Decision {
    /// Allowed because nothing isolates.
    pub const OPEN: Decision = Decision { allow: true, rule: None };
    /// Denied because nothing allows.
    pub const ISOLATED: Decision = Decision { allow: false, rule: None };
}

/// An interval of ports up to and including `last`, from where the one before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The last port.
    pub last: u16,
    /// What holds for it.
    pub decision: Decision,
}

/// A decision for every protocol and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortMap {
    /// By protocol, in the order of [`Protocol::ALL`]. Neighbours differ; the last span ends at 65535.
    ports: [Vec<Span>; 3],
    other: Decision,
}

impl PortMap {
    /// The map that gives one answer to everything.
    pub fn uniform(decision: Decision) -> PortMap {
        let all = || vec![Span { last: u16::MAX, decision }];
        PortMap { ports: [all(), all(), all()], other: decision }
    }

    /// The decision for some traffic.
    pub fn decide(&self, traffic: Traffic) -> Decision {
        match traffic {
            Traffic::Other => self.other,
            Traffic::Port(protocol, port) => {
                let spans = self.spans(protocol);
                spans.get(spans.partition_point(|s| s.last < port)).map_or(Decision::ISOLATED, |s| s.decision)
            }
        }
    }

    /// The intervals of a protocol, in order.
    pub fn spans(&self, protocol: Protocol) -> &[Span] {
        let [tcp, udp, sctp] = &self.ports;
        match protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp => udp,
            Protocol::Sctp => sctp,
        }
    }

    /// What is decided for the protocols that no policy can name.
    pub fn other(&self) -> Decision {
        self.other
    }

    /// What may pass.
    pub fn allowed(&self) -> PortSet {
        PortSet {
            ports: self.ports.each_ref().map(|spans| {
                let mut ranges = Vec::new();
                let mut first = 0u16;
                for span in spans {
                    if span.decision.allow {
                        push_merged(&mut ranges, first, span.last);
                    }
                    first = span.last.saturating_add(1);
                }
                ranges
            }),
            other: self.other.allow,
        }
    }
}

/// A port map that is being painted.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    ports: [Vec<Painted>; 3],
    other: Option<Decision>,
}

#[derive(Debug, Clone, Copy)]
struct Painted {
    first: u16,
    last: u16,
    decision: Decision,
}

impl Painter {
    /// Decides, for a rule's ports, all that is still undecided. `named` are the ports with a name of the pod that
    /// receives.
    pub(crate) fn paint(&mut self, ports: &Ports, named: &[NamedPort], decision: Decision) {
        let list = match ports {
            Ports::Any => {
                for protocol in Protocol::ALL {
                    self.paint_range(protocol, 0, u16::MAX, decision);
                }
                self.other.get_or_insert(decision);
                return;
            }
            Ports::Of(list) => list,
        };
        for port in list {
            match &port.port {
                PortRef::All => self.paint_range(port.protocol, 0, u16::MAX, decision),
                PortRef::Range(range) => {
                    self.paint_range(port.protocol, range.first(), range.last(), decision)
                }
                PortRef::Named(name) => {
                    for n in named.iter().filter(|n| n.protocol == port.protocol && n.name == *name) {
                        self.paint_range(port.protocol, n.port, n.port, decision);
                    }
                }
            }
        }
    }

    /// Whether nothing is left to decide.
    pub(crate) fn is_full(&self) -> bool {
        self.other.is_some()
            && self.ports.iter().all(|spans| {
                spans.first().is_some_and(|s| s.first == 0)
                    && spans.last().is_some_and(|s| s.last == u16::MAX)
                    && spans
                        .iter()
                        .zip(spans.iter().skip(1))
                        .all(|(a, b)| u32::from(a.last) + 1 == u32::from(b.first))
            })
    }

    /// The map, with `rest` for all that no rule has decided.
    pub(crate) fn finish(mut self, rest: Decision) -> PortMap {
        for protocol in Protocol::ALL {
            self.paint_range(protocol, 0, u16::MAX, rest);
        }
        let ports = self.ports.map(|painted| {
            let mut spans: Vec<Span> = Vec::with_capacity(painted.len());
            for p in painted {
                match spans.last_mut() {
                    Some(before) if before.decision == p.decision => before.last = p.last,
                    _ => spans.push(Span { last: p.last, decision: p.decision }),
                }
            }
            spans
        });
        PortMap { ports, other: self.other.unwrap_or(rest) }
    }

    fn paint_range(&mut self, protocol: Protocol, first: u16, last: u16, decision: Decision) {
        let [tcp, udp, sctp] = &mut self.ports;
        let spans = match protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp => udp,
            Protocol::Sctp => sctp,
        };
        let from = spans.partition_point(|s| s.last < first);
        let to = spans.partition_point(|s| s.first <= last);
        let mut filled = Vec::with_capacity((to.saturating_sub(from)) * 2 + 1);
        let mut next = u32::from(first);
        for span in spans.get(from..to).unwrap_or_default() {
            if let Some(gap_last) = span.first.checked_sub(1)
                && next <= u32::from(gap_last)
                && let Ok(gap_first) = u16::try_from(next)
            {
                filled.push(Painted { first: gap_first, last: gap_last, decision });
            }
            filled.push(*span);
            next = u32::from(span.last) + 1;
        }
        if next <= u32::from(last)
            && let Ok(gap_first) = u16::try_from(next)
        {
            filled.push(Painted { first: gap_first, last, decision });
        }
        spans.splice(from..to.max(from), filled);
    }
}

/// A set of protocols and ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet {
    ports: [Vec<PortRange>; 3],
    other: bool,
}

impl PortSet {
    /// Everything.
    pub fn all() -> PortSet {
        PortMap::uniform(Decision::OPEN).allowed()
    }

    /// Whether it is every protocol and port.
    pub fn is_all(&self) -> bool {
        self.other && Protocol::ALL.iter().all(|p| self.ranges(*p) == [PortRange::ALL])
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        !self.other && self.ports.iter().all(Vec::is_empty)
    }

    /// The ports of a protocol: disjoint, sorted, merged.
    pub fn ranges(&self, protocol: Protocol) -> &[PortRange] {
        let [tcp, udp, sctp] = &self.ports;
        match protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp => udp,
            Protocol::Sctp => sctp,
        }
    }

    /// Whether the protocols that no policy can name, ICMP among them, are in it.
    pub fn other(&self) -> bool {
        self.other
    }

    /// Whether this traffic is in it.
    pub fn contains(&self, traffic: Traffic) -> bool {
        match traffic {
            Traffic::Other => self.other,
            Traffic::Port(protocol, port) => self.ranges(protocol).iter().any(|r| r.contains(port)),
        }
    }

    /// What is in one of them.
    pub fn union(&self, with: &PortSet) -> PortSet {
        let [a, b, c] = &self.ports;
        let [x, y, z] = &with.ports;
        PortSet { ports: [unite(a, x), unite(b, y), unite(c, z)], other: self.other || with.other }
    }

    /// What is in both.
    pub fn intersection(&self, with: &PortSet) -> PortSet {
        let [a, b, c] = &self.ports;
        let [x, y, z] = &with.ports;
        PortSet {
            ports: [intersect(a, x), intersect(b, y), intersect(c, z)],
            other: self.other && with.other,
        }
    }
}

fn intersect(a: &[PortRange], b: &[PortRange]) -> Vec<PortRange> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut both = Vec::new();
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        both.extend(PortRange::new(x.first().max(y.first()), x.last().min(y.last())));
        if x.last() <= y.last() {
            a.next()
        } else {
            b.next()
        };
    }
    both
}

fn unite(a: &[PortRange], b: &[PortRange]) -> Vec<PortRange> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    let mut united: Vec<PortRange> = Vec::with_capacity(all.len());
    for range in all {
        match united.pop() {
            Some(before) if u32::from(range.first()) <= u32::from(before.last()) + 1 => {
                united.extend(PortRange::new(before.first(), before.last().max(range.last())));
            }
            before => united.extend(before.into_iter().chain([range])),
        }
    }
    united
}

fn push_merged(ranges: &mut Vec<PortRange>, first: u16, last: u16) {
    let start = match ranges.last() {
        Some(before) if before.last().checked_add(1) == Some(first) => {
            ranges.pop().map_or(first, PortRange::first)
        }
        _ => first,
    };
    ranges.extend(PortRange::new(start, last));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PortMatch;

    fn allow(rule: u32) -> Decision {
        Decision { allow: true, rule: Some(RuleId(rule)) }
    }

    fn tcp(first: u16, last: u16) -> Ports {
        let port = PortRef::Range(PortRange::new(first, last).unwrap());
        Ports::Of(vec![PortMatch { protocol: Protocol::Tcp, port }])
    }

    #[test]
    fn united_ranges_are_merged() {
        let set = |ranges: &[(u16, u16)]| {
            let tcp = ranges.iter().map(|(a, b)| PortRange::new(*a, *b).unwrap()).collect();
            PortSet { ports: [tcp, Vec::new(), Vec::new()], other: false }
        };
        let check = |a: &[(u16, u16)], b: &[(u16, u16)], expect: &[(u16, u16)]| {
            assert_eq!(set(a).union(&set(b)), set(expect));
            assert_eq!(set(b).union(&set(a)), set(expect));
        };
        check(&[], &[], &[]);
        check(&[(80, 80)], &[], &[(80, 80)]);
        check(&[(0, 9), (20, 29)], &[(10, 19)], &[(0, 29)]);
        check(&[(5, 50), (60, 65535)], &[(7, 8), (40, 55)], &[(5, 55), (60, 65535)]);
        assert!(PortSet::all().union(&set(&[(1, 1)])).is_all());
    }

    fn spans(map: &PortMap) -> Vec<(u16, bool, Option<u32>)> {
        map.spans(Protocol::Tcp)
            .iter()
            .map(|s| (s.last, s.decision.allow, s.decision.rule.map(|r| r.0)))
            .collect()
    }

    #[test]
    fn earlier_rules_keep_what_they_painted() {
        let mut painter = Painter::default();
        painter.paint(&tcp(80, 90), &[], allow(1));
        painter.paint(&tcp(0, 85), &[], allow(2));
        painter.paint(&tcp(88, 65535), &[], allow(3));
        let map = painter.finish(Decision::ISOLATED);
        assert_eq!(spans(&map), [(79, true, Some(2)), (90, true, Some(1)), (65535, true, Some(3))]);
        assert_eq!(map.allowed().ranges(Protocol::Tcp), [PortRange::ALL]);
        assert!(!map.allowed().is_all(), "UDP and ICMP stay closed");
    }

    #[test]
    fn the_rest_gets_the_default() {
        let mut painter = Painter::default();
        painter.paint(&tcp(0, 0), &[], allow(1));
        painter.paint(&tcp(65535, 65535), &[], allow(2));
        assert!(!painter.is_full());
        let map = painter.finish(Decision::ISOLATED);
        assert_eq!(spans(&map), [(0, true, Some(1)), (65534, false, None), (65535, true, Some(2))]);
        assert_eq!(map.decide(Traffic::Other), Decision::ISOLATED);
    }

    #[test]
    fn a_rule_without_ports_fills_every_gap() {
        let mut painter = Painter::default();
        painter.paint(&tcp(5, 5), &[], allow(1));
        painter.paint(&Ports::Any, &[], allow(2));
        assert!(painter.is_full());
        let map = painter.finish(Decision::ISOLATED);
        assert_eq!(spans(&map), [(4, true, Some(2)), (5, true, Some(1)), (65535, true, Some(2))]);
        assert!(map.allowed().is_all());
    }

    #[test]
    fn intersections_keep_common_ports() {
        let set = |ranges: &[(u16, u16)]| {
            let mut painter = Painter::default();
            for (first, last) in ranges {
                painter.paint(&tcp(*first, *last), &[], allow(0));
            }
            painter.finish(Decision::ISOLATED).allowed()
        };
        let both = set(&[(1, 10), (20, 30), (40, 65535)]).intersection(&set(&[(5, 25), (30, 50)]));
        assert_eq!(both, set(&[(5, 10), (20, 25), (30, 30), (40, 50)]));
    }
}
