//! Sets of protocols and ports.

use crate::model::{PortRange, Protocol, Traffic};
use crate::portmap::{Decision, PortMap};

/// A set of protocols and ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet {
    ports: [Vec<PortRange>; 3],
    other: bool,
}

impl PortSet {
    /// By protocol, ranges that are disjoint, sorted and merged; and whether the protocols without ports are in it.
    pub(crate) fn from_parts(ports: [Vec<PortRange>; 3], other: bool) -> PortSet {
        PortSet { ports, other }
    }

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

    /// Some traffic that is in it: the lowest port of the first protocol that has any, and not port 0, which nobody can
    /// connect to, where there is another.
    pub fn first(&self) -> Option<Traffic> {
        let of = |protocol: Protocol| {
            let range = self.ranges(protocol).first()?;
            Some(Traffic::Port(protocol, range.first().max(1).min(range.last())))
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

/// Adds ports behind those that are there.
pub(crate) fn push_merged(ranges: &mut Vec<PortRange>, first: u16, last: u16) {
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
    fn intersections_keep_common_ports() {
        let set = |ranges: &[(u16, u16)]| {
            let tcp = ranges.iter().map(|(a, b)| PortRange::new(*a, *b).unwrap()).collect();
            PortSet { ports: [tcp, Vec::new(), Vec::new()], other: false }
        };
        let both = set(&[(1, 10), (20, 30), (40, 65535)]).intersection(&set(&[(5, 25), (30, 50)]));
        assert_eq!(both, set(&[(5, 10), (20, 25), (30, 30), (40, 50)]));
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
        assert_eq!(PortSet::all().first(), Some(Traffic::Port(Protocol::Tcp, 1)));
    }
}
