//! Port maps: for every protocol and port one decision, as intervals.
//!
//! A port map is total. It is painted in the order in which rules are asked, each rule filling only what none before
//! it has decided, and closed with the decision for the rest. That is how policies of every tier fold into one map:
//! the union of allow rules is the case in which all paint the same colour. What a rule passes on stays untouched by
//! the rest of its tier, and is blank again for the next.

use crate::cluster::Action;
use crate::model::{NamedPort, PortRange, PortRef, Ports, Protocol, RuleRef, Traffic};

/// What is decided for some traffic, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// Whether it may pass.
    pub allow: bool,
    /// The rule that decided; `None` where it was the default.
    pub rule: Option<RuleRef>,
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

/// What rules are put to, in the order in which they are asked: all traffic at once, or a single connection.
pub(crate) trait Canvas {
    /// A rule decides what is still undecided of its ports. `named` are the ports with a name of the pod that receives.
    fn put(&mut self, rule: RuleRef, action: Action, ports: &Ports, named: &[NamedPort]);

    /// The tier is over: what it passed on can be decided again.
    fn end_tier(&mut self);

    /// All that is left is decided so, by no rule.
    fn rest(&mut self, decision: Decision);

    /// Whether nothing is left that this tier could decide.
    fn is_full(&self) -> bool;
}

/// A port map that is being painted.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    ports: [Vec<Painted>; 3],
    other: Option<Paint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Decided(Decision),
    /// Left to the next tier.
    Passed,
}

#[derive(Debug, Clone, Copy)]
struct Painted {
    first: u16,
    last: u16,
    paint: Paint,
}

impl Canvas for Painter {
    fn put(&mut self, rule: RuleRef, action: Action, ports: &Ports, named: &[NamedPort]) {
        let paint = match action {
            Action::Accept => Paint::Decided(Decision { allow: true, rule: Some(rule) }),
            Action::Deny => Paint::Decided(Decision { allow: false, rule: Some(rule) }),
            Action::Pass => Paint::Passed,
        };
        match ports {
            Ports::Any => self.paint_all(paint),
            Ports::Of(list) => {
                for port in list {
                    match &port.port {
                        PortRef::All => self.paint_range(port.protocol, 0, u16::MAX, paint),
                        PortRef::Range(range) => {
                            self.paint_range(port.protocol, range.first(), range.last(), paint);
                        }
                        PortRef::Named(name) => {
                            for n in named.iter().filter(|n| n.protocol == port.protocol && n.name == *name) {
                                self.paint_range(port.protocol, n.port, n.port, paint);
                            }
                        }
                    }
                }
            }
        }
    }

    fn end_tier(&mut self) {
        for spans in &mut self.ports {
            spans.retain(|s| s.paint != Paint::Passed);
        }
        self.other = self.other.filter(|paint| *paint != Paint::Passed);
    }

    fn rest(&mut self, decision: Decision) {
        self.paint_all(Paint::Decided(decision));
    }

    fn is_full(&self) -> bool {
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
}

impl Painter {
    /// The map, with `rest` for all that no rule has decided.
    pub(crate) fn finish(mut self, rest: Decision) -> PortMap {
        self.end_tier();
        self.rest(rest);
        let decision = |paint| match paint {
            Paint::Decided(decision) => decision,
            Paint::Passed => rest,
        };
        let ports = self.ports.map(|painted| {
            let mut spans: Vec<Span> = Vec::with_capacity(painted.len());
            for p in painted {
                let decision = decision(p.paint);
                match spans.last_mut() {
                    Some(before) if before.decision == decision => before.last = p.last,
                    _ => spans.push(Span { last: p.last, decision }),
                }
            }
            spans
        });
        PortMap { ports, other: self.other.map_or(rest, decision) }
    }

    fn paint_all(&mut self, paint: Paint) {
        for protocol in Protocol::ALL {
            self.paint_range(protocol, 0, u16::MAX, paint);
        }
        self.other.get_or_insert(paint);
    }

    fn paint_range(&mut self, protocol: Protocol, first: u16, last: u16, paint: Paint) {
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
                filled.push(Painted { first: gap_first, last: gap_last, paint });
            }
            filled.push(*span);
            next = u32::from(span.last) + 1;
        }
        if next <= u32::from(last)
            && let Ok(gap_first) = u16::try_from(next)
        {
            filled.push(Painted { first: gap_first, last, paint });
        }
        spans.splice(from..to.max(from), filled);
    }
}

/// A single connection that rules are put to.
#[derive(Debug)]
pub(crate) struct Point {
    traffic: Traffic,
    /// What has been decided.
    pub(crate) decision: Option<Decision>,
    /// The rules that passed it on to the next tier.
    pub(crate) passed: Vec<RuleRef>,
    /// Whether the tier has passed it on.
    is_passed: bool,
}

impl Point {
    pub(crate) fn new(traffic: Traffic) -> Point {
        Point { traffic, decision: None, passed: Vec::new(), is_passed: false }
    }
}

impl Canvas for Point {
    fn put(&mut self, rule: RuleRef, action: Action, ports: &Ports, named: &[NamedPort]) {
        if self.is_full() || !ports.matches(self.traffic, named) {
            return;
        }
        match action {
            Action::Accept => self.decision = Some(Decision { allow: true, rule: Some(rule) }),
            Action::Deny => self.decision = Some(Decision { allow: false, rule: Some(rule) }),
            Action::Pass => {
                self.is_passed = true;
                self.passed.push(rule);
            }
        }
    }

    fn end_tier(&mut self) {
        self.is_passed = false;
    }

    fn rest(&mut self, decision: Decision) {
        self.decision.get_or_insert(decision);
    }

    fn is_full(&self) -> bool {
        self.is_passed || self.decision.is_some()
    }
}

/// A set of protocols and ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet {
    ports: [Vec<PortRange>; 3],
    other: bool,
}

impl PortSet {
    /// These ports, and where `other` is set the protocols that no policy can name.
    pub fn new(ranges: impl IntoIterator<Item = (Protocol, PortRange)>, other: bool) -> PortSet {
        let mut ports: [Vec<PortRange>; 3] = Default::default();
        for (protocol, range) in ranges {
            let [tcp, udp, sctp] = &mut ports;
            match protocol {
                Protocol::Tcp => tcp.push(range),
                Protocol::Udp => udp.push(range),
                Protocol::Sctp => sctp.push(range),
            }
        }
        PortSet { ports: ports.each_ref().map(|ranges| unite(ranges, &[])), other }
    }

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

impl PortSet {
    /// What is in this one and not in the other.
    pub fn minus(&self, other: &PortSet) -> PortSet {
        let [a, b, c] = &self.ports;
        let [x, y, z] = &other.ports;
        PortSet { ports: [subtract(a, x), subtract(b, y), subtract(c, z)], other: self.other && !other.other }
    }

    /// Some traffic that is in it: the lowest port of the first protocol that has any.
    pub fn first(&self) -> Option<Traffic> {
        let of = |protocol: Protocol| {
            self.ranges(protocol).first().map(|range| Traffic::Port(protocol, range.first()))
        };
        Protocol::ALL.into_iter().find_map(of).or(self.other.then_some(Traffic::Other))
    }
}

fn subtract(a: &[PortRange], b: &[PortRange]) -> Vec<PortRange> {
    let mut gaps = Vec::with_capacity(b.len() + 1);
    let mut next = Some(0u16);
    for range in b {
        let before = range.first().checked_sub(1);
        gaps.extend(next.zip(before).and_then(|(first, last)| PortRange::new(first, last)));
        next = range.last().checked_add(1);
    }
    gaps.extend(next.and_then(|first| PortRange::new(first, u16::MAX)));
    intersect(a, &gaps)
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
    use crate::model::{PolicyId, PortMatch};

    fn rule(rule: u32) -> RuleRef {
        RuleRef { policy: PolicyId(0), egress: false, rule }
    }

    fn accept(painter: &mut Painter, ports: &Ports, place: u32) {
        painter.put(rule(place), Action::Accept, ports, &[]);
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

    #[test]
    fn what_is_taken_away() {
        let set = |ranges: &[(u16, u16)]| {
            let tcp = ranges.iter().map(|(a, b)| (Protocol::Tcp, PortRange::new(*a, *b).unwrap()));
            PortSet::new(tcp, false)
        };
        let check = |a: &[(u16, u16)], b: &[(u16, u16)], expect: &[(u16, u16)]| {
            assert_eq!(set(a).minus(&set(b)), set(expect), "{a:?} {b:?}");
        };
        check(&[(0, 65535)], &[(80, 80)], &[(0, 79), (81, 65535)]);
        check(&[(0, 65535)], &[(0, 65535)], &[]);
        check(&[(0, 10)], &[(0, 0), (65535, 65535)], &[(1, 10)]);
        check(&[(5, 6), (8, 9)], &[(7, 7)], &[(5, 6), (8, 9)]);
        assert_eq!(PortSet::all().minus(&set(&[(1, 65535)])).first(), Some(Traffic::Port(Protocol::Tcp, 0)));
    }

    fn spans(map: &PortMap) -> Vec<(u16, bool, Option<u32>)> {
        map.spans(Protocol::Tcp)
            .iter()
            .map(|s| (s.last, s.decision.allow, s.decision.rule.map(|r| r.rule)))
            .collect()
    }

    #[test]
    fn earlier_rules_keep_what_they_painted() {
        let mut painter = Painter::default();
        accept(&mut painter, &tcp(80, 90), 1);
        accept(&mut painter, &tcp(0, 85), 2);
        accept(&mut painter, &tcp(88, 65535), 3);
        let map = painter.finish(Decision::ISOLATED);
        assert_eq!(spans(&map), [(79, true, Some(2)), (90, true, Some(1)), (65535, true, Some(3))]);
        assert_eq!(map.allowed().ranges(Protocol::Tcp), [PortRange::ALL]);
        assert!(!map.allowed().is_all(), "UDP and ICMP stay closed");
    }

    #[test]
    fn the_rest_gets_the_default() {
        let mut painter = Painter::default();
        accept(&mut painter, &tcp(0, 0), 1);
        accept(&mut painter, &tcp(65535, 65535), 2);
        assert!(!painter.is_full());
        let map = painter.finish(Decision::ISOLATED);
        assert_eq!(spans(&map), [(0, true, Some(1)), (65534, false, None), (65535, true, Some(2))]);
        assert_eq!(map.decide(Traffic::Other), Decision::ISOLATED);
    }

    #[test]
    fn a_rule_without_ports_fills_every_gap() {
        let mut painter = Painter::default();
        accept(&mut painter, &tcp(5, 5), 1);
        accept(&mut painter, &Ports::Any, 2);
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
                accept(&mut painter, &tcp(*first, *last), 0);
            }
            painter.finish(Decision::ISOLATED).allowed()
        };
        let both = set(&[(1, 10), (20, 30), (40, 65535)]).intersection(&set(&[(5, 25), (30, 50)]));
        assert_eq!(both, set(&[(5, 10), (20, 25), (30, 30), (40, 50)]));
    }

    #[test]
    fn what_is_passed_on_is_decided_by_the_next_tier() {
        let mut painter = Painter::default();
        painter.put(rule(1), Action::Pass, &tcp(10, 20), &[]);
        painter.put(rule(2), Action::Deny, &tcp(0, 30), &[]);
        painter.put(rule(3), Action::Pass, &Ports::Any, &[]);
        assert!(painter.is_full());
        painter.end_tier();
        assert!(!painter.is_full());
        accept(&mut painter, &tcp(15, 40), 4);
        let map = painter.finish(Decision::ISOLATED);
        assert_eq!(
            spans(&map),
            [
                (9, false, Some(2)),
                (14, false, None),
                (20, true, Some(4)),
                (30, false, Some(2)),
                (40, true, Some(4)),
                (65535, false, None)
            ]
        );
        assert_eq!(map.other(), Decision::ISOLATED);
    }

    #[test]
    fn a_point_is_decided_like_the_map() {
        let check = |port: u16, expect: Decision, passed: &[u32]| {
            let mut point = Point::new(Traffic::Port(Protocol::Tcp, port));
            point.put(rule(1), Action::Pass, &tcp(10, 20), &[]);
            point.put(rule(2), Action::Deny, &tcp(0, 30), &[]);
            point.end_tier();
            point.put(rule(3), Action::Accept, &tcp(15, 40), &[]);
            point.rest(Decision::ISOLATED);
            assert_eq!(point.decision, Some(expect), "{port}");
            assert_eq!(point.passed.iter().map(|r| r.rule).collect::<Vec<_>>(), passed);
        };
        check(9, Decision { allow: false, rule: Some(rule(2)) }, &[]);
        check(10, Decision::ISOLATED, &[1]);
        check(20, Decision { allow: true, rule: Some(rule(3)) }, &[1]);
        check(25, Decision { allow: false, rule: Some(rule(2)) }, &[]);
        check(31, Decision { allow: true, rule: Some(rule(3)) }, &[]);
    }
}
