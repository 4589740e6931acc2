//! Outside addresses, in ranges that every policy set treats alike.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::engine::{Engine, NamedId};
use crate::matchers::PeerId;
use crate::policies::SetId;
use crate::reach::ReachEnd;
use crate::reach::portsets::{Asker, PortSetId};
use crate::reach::sides::{Numbers, Sides};
use crate::slots::number;

/// The outside ranges, by place among themselves.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    len: u32,
    /// By policy set: where something else holds than toward nobody in particular. Disjoint, in order.
    exceptions: Vec<Vec<Span>>,
    /// By range: the policy sets that have other ports there than in the range before, or than toward nobody in
    /// particular before the first.
    changes: Vec<Vec<(u32, PortSetId)>>,
}

/// Neighbouring ranges with the same ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) ports: PortSetId,
}

impl Outside {
    /// Each policy set divides the addresses by the peers that its own rules name, which are few; the ranges are what all
    /// of them together divide them into.
    pub(super) fn new(
        engine: &Engine,
        numbers: &Numbers,
        sides: &Sides,
        asker: &mut Asker<'_>,
    ) -> (Outside, Vec<ReachEnd>) {
        let steps: Vec<Vec<Step>> = (0u32..)
            .zip(numbers.sets())
            .map(|(row, set)| {
                set.map(|set| steps(engine, set, sides.default_of(row), asker)).unwrap_or_default()
            })
            .collect();
        let mut starts: Vec<Point> = steps.iter().flatten().map(|step| step.from).collect();
        starts.extend([Point { v6: false, address: 0 }, Point { v6: true, address: 0 }]);
        starts.sort_unstable();
        starts.dedup();
        let place = |point: &Point| number(starts.partition_point(|start| start < point));
        let mut changes: Vec<Vec<(u32, PortSetId)>> = vec![Vec::new(); starts.len()];
        let mut exceptions = Vec::with_capacity(steps.len());
        for (row, steps) in (0u32..).zip(&steps) {
            let mut spans: Vec<Span> = Vec::new();
            let lasts = steps.iter().skip(1).map(|next| place(&next.from)).chain([number(starts.len())]);
            for (step, next) in steps.iter().zip(lasts) {
                let first = place(&step.from);
                if let Some(list) = changes.get_mut(first as usize) {
                    list.push((row, step.ports));
                }
                if step.ports != sides.default_of(row) {
                    spans.push(Span { first, last: next.saturating_sub(1), ports: step.ports });
                }
            }
            exceptions.push(spans);
        }
        let outside = Outside { len: number(starts.len()), exceptions, changes };
        let lasts = starts.iter().skip(1).map(|next| next.before()).chain([u128::MAX]);
        let ends = starts.iter().zip(lasts).map(|(start, last)| ReachEnd::Outside {
            first: start.ip(),
            last: Point { v6: start.v6, address: last }.ip(),
        });
        (outside, ends.collect())
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// The policy sets that have other ports in a range than in the one before it, or, in the first, than toward nobody
    /// in particular.
    pub(super) fn changes(&self, range: u32) -> &[(u32, PortSetId)] {
        self.changes.get(range as usize).map_or(&[], |changes| changes)
    }

    /// Where a policy set has other ports than toward nobody in particular.
    pub(super) fn exceptions(&self, set: u32) -> &[Span] {
        self.exceptions.get(set as usize).map_or(&[], |spans| spans)
    }

    /// The ports between a policy set and each range.
    pub(super) fn ports(&self, sides: &Sides, set: u32, range: u32) -> PortSetId {
        let spans = self.exceptions(set);
        let span = spans.get(spans.partition_point(|s| s.last < range)).filter(|s| s.first <= range);
        span.map_or(sides.default_of(set), |s| s.ports)
    }

    /// The ranges with any ports, between a policy set and all of them, in order.
    pub(super) fn open<'a>(&'a self, sides: &'a Sides, set: u32) -> impl Iterator<Item = Span> + 'a {
        let default = sides.default_of(set);
        let end = Span { first: self.len(), last: self.len(), ports: PortSetId::NONE };
        let mut next = 0;
        let spans = self.exceptions(set).iter().copied().chain([end]).flat_map(move |span| {
            let before = Span { first: next, last: span.first.saturating_sub(1), ports: default };
            let gap = (next < span.first).then_some(before);
            next = span.last.saturating_add(1);
            gap.into_iter().chain([span])
        });
        spans.filter(|s| s.ports != PortSetId::NONE)
    }

    /// Whether all ranges have the same ports, and any at all.
    pub(super) fn are_alike(&self, sides: &Sides, set: u32) -> bool {
        let mut spans = self.open(sides, set).peekable();
        let ports = spans.peek().map(|s| s.ports);
        let reached = spans.try_fold(0, |next, span| {
            (span.first == next && Some(span.ports) == ports).then_some(span.last.saturating_add(1))
        });
        reached == Some(self.len())
    }
}

/// An address, in the order in which ranges are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) v6: bool,
    pub(super) address: u128,
}

impl Point {
    pub(super) fn of(address: IpAddr) -> Point {
        match address {
            IpAddr::V4(v4) => Point { v6: false, address: u128::from(u32::from(v4)) },
            IpAddr::V6(v6) => Point { v6: true, address: u128::from(v6) },
        }
    }

    /// The next address of the family, if there is one.
    pub(super) fn after(address: IpAddr) -> Option<Point> {
        let last = Point::of(address);
        let end = if last.v6 { u128::MAX } else { u128::from(u32::MAX) };
        (last.address < end).then(|| Point { address: last.address + 1, ..last })
    }

    /// The last address before this one: at the beginning of a family, the last of the one before.
    pub(super) fn before(self) -> u128 {
        self.address.checked_sub(1).unwrap_or(u128::from(u32::MAX))
    }

    pub(super) fn ip(self) -> IpAddr {
        if self.v6 {
            IpAddr::V6(Ipv6Addr::from(self.address))
        } else {
            IpAddr::V4(Ipv4Addr::from(u32::try_from(self.address).unwrap_or(u32::MAX)))
        }
    }
}

/// The addresses at which what a policy set says may change: where a prefix begins, or one ends that some rule names.
pub(super) fn boundaries(engine: &Engine, set: SetId) -> Vec<Point> {
    let mut peers: Vec<PeerId> = engine.peers_named(set).collect();
    peers.sort_unstable();
    peers.dedup();
    let held = peers.into_iter().filter_map(|peer| engine.matcher(peer));
    let held = held.flat_map(|peer| intervals(engine.prefixes_held(peer)));
    held.flat_map(|(first, last)| [Some(Point::of(first)), Point::after(last)]).flatten().collect()
}

/// From an address on, a policy set has these ports.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: Point,
    ports: PortSetId,
}

/// Where the ports of a policy set change, from those toward nobody in particular on.
fn steps(engine: &Engine, set: SetId, default: PortSetId, asker: &mut Asker<'_>) -> Vec<Step> {
    let mut peers: Vec<PeerId> = engine.peers_named(set).collect();
    peers.sort_unstable();
    peers.dedup();
    let mut events: Vec<(Point, PeerId, i32)> = Vec::new();
    for peer in peers {
        for (first, last) in
            engine.matcher(peer).map(|p| intervals(engine.prefixes_held(p))).unwrap_or_default()
        {
            events.push((Point::of(first), peer, 1));
            events.extend(Point::after(last).map(|after| (after, peer, -1)));
        }
    }
    events.sort_unstable();
    let mut known: FxHashMap<Vec<PeerId>, PortSetId> = FxHashMap::default();
    let mut steps: Vec<Step> = Vec::new();
    // How often each peer holds the addresses at hand.
    let mut holding: BTreeMap<PeerId, i32> = BTreeMap::new();
    let mut events = events.into_iter().peekable();
    let mut v6 = false;
    while let Some((from, peer, change)) = events.next() {
        if from.v6 != v6 {
            // What holds the last IPv4 address has no end there.
            (v6, holding) = (from.v6, BTreeMap::new());
            let begin = Point { v6, address: 0 };
            if from > begin && steps.last().is_some_and(|s| s.ports != default) {
                steps.push(Step { from: begin, ports: default });
            }
        }
        *holding.entry(peer).or_default() += change;
        if events.peek().is_some_and(|(next, ..)| *next == from) {
            continue;
        }
        holding.retain(|_, times| *times > 0);
        let peers: Vec<PeerId> = holding.keys().copied().collect();
        let ports = match known.get(&peers) {
            Some(ports) => *ports,
            None => {
                let ports = asker.met(set, &peers, NamedId(0));
                known.insert(peers, ports);
                ports
            }
        };
        if steps.last().map_or(default, |s| s.ports) != ports {
            steps.push(Step { from, ports });
        }
    }
    if !v6 && steps.last().is_some_and(|s| s.ports != default) {
        steps.push(Step { from: Point { v6: true, address: 0 }, ports: default });
    }
    steps
}

/// Prefixes less exceptions as ranges, first and last included; those of one prefix are disjoint.
fn intervals((held, except): (Vec<IpNet>, Vec<IpNet>)) -> Vec<(IpAddr, IpAddr)> {
    let mut found = Vec::new();
    for net in held {
        let last = net.broadcast();
        let mut next = Some(Point::of(net.network()));
        let mut inside: Vec<&IpNet> = except.iter().filter(|e| net.contains(*e)).collect();
        inside.sort_unstable_by_key(|e| Point::of(e.network()));
        for except in inside {
            let Some(from) = next else { break };
            let begins = Point::of(except.network());
            if begins > from {
                found.push((from.ip(), Point { v6: from.v6, address: begins.address - 1 }.ip()));
            }
            next = Point::after(except.broadcast()).map(|after| after.max(from));
        }
        if let Some(from) = next.filter(|from| *from <= Point::of(last)) {
            found.push((from.ip(), last));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_cut_ranges() {
        let nets = |list: &[&str]| list.iter().map(|n| n.parse().unwrap()).collect::<Vec<IpNet>>();
        let check = |held: &[&str], except: &[&str], expect: &[(&str, &str)]| {
            let got = intervals((nets(held), nets(except)));
            let got: Vec<(String, String)> =
                got.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
            let expect: Vec<(String, String)> =
                expect.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(got, expect, "{held:?} except {except:?}");
        };
        check(&["10.0.0.0/8"], &[], &[("10.0.0.0", "10.255.255.255")]);
        check(&["10.0.0.0/30"], &["10.0.0.1/32"], &[("10.0.0.0", "10.0.0.0"), ("10.0.0.2", "10.0.0.3")]);
        check(&["10.0.0.0/30"], &["10.0.0.0/31", "10.0.0.0/32"], &[("10.0.0.2", "10.0.0.3")]);
        check(&["0.0.0.0/0"], &["255.255.255.255/32"], &[("0.0.0.0", "255.255.255.254")]);
        check(&["0.0.0.0/0"], &["128.0.0.0/1", "255.0.0.0/8"], &[("0.0.0.0", "127.255.255.255")]);
        check(&["::/0"], &["::/0"], &[]);
        check(&["10.0.0.1/32", "::1/128"], &[], &[("10.0.0.1", "10.0.0.1"), ("::1", "::1")]);
    }
}
