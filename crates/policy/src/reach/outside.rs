//! Outside addresses, in ranges that every policy set treats alike.

use crate::addresses::AddressRange;
use crate::reach::ReachEnd;
use crate::reach::portsets::PortSetId;
use crate::reach::sides::Sides;
use crate::slots::number;

/// The outside ranges, by place among themselves.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    /// By range.
    identities: Vec<u32>,
    /// By policy set: where something else holds than toward nobody in particular. Disjoint, in order.
    exceptions: Vec<Vec<Span>>,
}

/// Neighbouring ranges with the same ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) ports: PortSetId,
}

impl Outside {
    /// Ranges that follow one another, with the identity of each; neighbours of one family that every policy set treats
    /// alike become one end.
    pub(super) fn new(ranges: &[(AddressRange, u32)], sides: &Sides) -> (Outside, Vec<ReachEnd>) {
        let mut ends: Vec<ReachEnd> = Vec::new();
        let mut outside =
            Outside { identities: Vec::new(), exceptions: vec![Vec::new(); sides.defaults().len()] };
        for (range, identity) in ranges {
            let excepted_in = sides.excepted_in(*identity);
            match (ends.last_mut(), outside.identities.last()) {
                (Some(ReachEnd::Outside { first, last }), Some(before))
                    if first.is_ipv4() == range.first.is_ipv4()
                        && sides.excepted_in(*before) == excepted_in =>
                {
                    *last = range.last;
                }
                _ => {
                    let place = number(ends.len());
                    for (set, ports) in excepted_in {
                        if let Some(spans) = outside.exceptions.get_mut(*set as usize) {
                            append(spans, place, *ports);
                        }
                    }
                    ends.push(ReachEnd::Outside { first: range.first, last: range.last });
                    outside.identities.push(*identity);
                }
            }
        }
        (outside, ends)
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> u32 {
        number(self.identities.len())
    }

    pub(super) fn identity(&self, range: u32) -> Option<u32> {
        self.identities.get(range as usize).copied()
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

fn append(spans: &mut Vec<Span>, place: u32, ports: PortSetId) {
    match spans.last_mut() {
        Some(span) if span.last + 1 == place && span.ports == ports => span.last = place,
        _ => spans.push(Span { first: place, last: place, ports }),
    }
}
