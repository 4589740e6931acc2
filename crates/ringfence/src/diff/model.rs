//! A comparison put in order for people: what changes in policies and objects, and the connections by risk, workload and
//! cause.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_policy::{
    Comparison, Direction, Mapped, Piece, PodId, PolicyChange, PortSet, ReachEnd, Spot, changed_policies,
};

use super::present::Present;
use crate::notes;
use crate::ranges::{self, Range};
use crate::reference::{Reference, Referrer};

/// What is shown.
#[derive(Debug)]
pub(super) struct Diff<'m> {
    pub(super) old: &'m Mapped,
    pub(super) new: &'m Mapped,
    pub(super) comparison: &'m Comparison,
    /// The policies that say something else, by name.
    pub(super) policies: Vec<PolicyChange>,
    /// What else is not what it was, in words.
    pub(super) objects: Vec<String>,
    /// What is gained, then what is lost, the riskiest first.
    pub(super) groups: Vec<Group>,
    /// Workloads that only the new side has.
    pub(super) come: Vec<Present>,
    /// Workloads that only the old side has.
    pub(super) gone: Vec<Present>,
    /// What keeps the answer from being a proof.
    pub(super) untold: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Connections that change for one cause, of one workload.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) gained: bool,
    pub(super) risk: Risk,
    /// The workload whose side answers otherwise.
    pub(super) subject: Reference,
    /// A place in [`Comparison::causes`].
    pub(super) cause: u32,
    pub(super) lines: Vec<Line>,
}

/// One connection, or one with all outside ranges that fare alike.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) ports: PortSet,
}

/// An end of a line.
#[derive(Debug, Clone)]
pub(super) enum Side {
    /// A workload, or some of its pods.
    Pods(Reference),
    /// Outside addresses.
    Outside(Vec<Range>),
}

/// How much a connection matters, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Risk {
    OutsideToInside,
    AcrossNamespaces,
    WithinNamespace,
    InsideToOutside,
}

impl Risk {
    pub(super) const ALL: [Risk; 4] =
        [Risk::OutsideToInside, Risk::AcrossNamespaces, Risk::WithinNamespace, Risk::InsideToOutside];

    pub(super) fn text(self) -> &'static str {
        match self {
            Risk::OutsideToInside => "from outside",
            Risk::AcrossNamespaces => "across namespaces",
            Risk::WithinNamespace => "within a namespace",
            Risk::InsideToOutside => "to outside",
        }
    }

    /// For programs.
    pub(super) fn key(self) -> &'static str {
        match self {
            Risk::OutsideToInside => "outsideToInside",
            Risk::AcrossNamespaces => "acrossNamespaces",
            Risk::WithinNamespace => "withinNamespace",
            Risk::InsideToOutside => "insideToOutside",
        }
    }
}

impl Side {
    /// As people read it.
    pub(super) fn text(&self) -> String {
        match self {
            Side::Pods(reference) => reference.text(),
            Side::Outside(ranges) if is_everything(ranges) => Reference::External.text(),
            Side::Outside(ranges) => {
                let ranges: Vec<String> = ranges.iter().map(|(a, b)| ranges::text(*a, *b)).collect();
                ranges.join(", ")
            }
        }
    }

    /// The ends that it stands for, each a range of its own.
    pub(super) fn references(&self) -> Vec<Reference> {
        match self {
            Side::Pods(reference) => vec![reference.clone()],
            Side::Outside(ranges) => ranges.iter().map(|(a, b)| Reference::Outside(*a, *b)).collect(),
        }
    }
}

fn is_everything(ranges: &[Range]) -> bool {
    let texts: Vec<String> = ranges.iter().map(|(first, last)| ranges::text(*first, *last)).collect();
    texts == ["0.0.0.0/0", "::/0"]
}

/// A group's place among the others.
type Key = (Reverse<bool>, Risk, u32, u32);
/// Outside ranges by the ends of a connection and its ports; an end that is missing is outside.
pub(super) type Lines<'c> = BTreeMap<(Option<u32>, Option<u32>, &'c PortSet), Vec<Range>>;

impl<'m> Diff<'m> {
    pub(super) fn new(old: &'m Mapped, new: &'m Mapped, comparison: &'m Comparison) -> Diff<'m> {
        let referrers = [old, new].map(|mapped| Referrer::new(mapped.engine()));
        let pieces: Vec<(Reference, &str)> =
            comparison.pieces.iter().map(|piece| named(old, new, &referrers, *piece)).collect();
        let policies = changed_policies(old.engine(), new.engine());
        let [of_old, of_new] = &referrers;
        let mut notes = Vec::from_iter(notes::unknown_pod_addresses(old.engine()));
        notes.extend(notes::unknown_pod_addresses(new.engine()));
        notes.dedup();
        Diff {
            untold: policies.iter().flat_map(untold).collect(),
            objects: super::present::changed_objects(old, new, comparison, &pieces),
            groups: groups(comparison, &pieces),
            come: super::present::present(new, of_new, &comparison.come),
            gone: super::present::present(old, of_old, &comparison.gone),
            old,
            new,
            comparison,
            policies,
            notes,
        }
    }

    /// Whether both sides are proven to mean the same for the workloads in them.
    pub(super) fn is_equivalent(&self) -> bool {
        self.is_unchanged() && self.untold.is_empty()
    }

    /// Whether nothing is seen to change.
    pub(super) fn is_unchanged(&self) -> bool {
        self.groups.is_empty() && self.come.is_empty() && self.gone.is_empty()
    }

    /// How many connections are gained, or lost.
    pub(super) fn count(&self, gained: bool) -> usize {
        self.groups.iter().filter(|group| group.gained == gained).map(|group| group.lines.len()).sum()
    }

    /// The answer in one line.
    pub(super) fn summary(&self) -> String {
        let workloads: BTreeSet<_> = self.comparison.pieces.iter().map(|piece| piece.new).collect();
        let those = match workloads.len() {
            0 => "no workload".to_owned(),
            1 => "the workload".to_owned(),
            many => format!("the {many} workloads"),
        };
        if self.is_equivalent() {
            return format!(
                "equivalent: the same connections are allowed, for {those} in the input and every outside address, on \
                 every port"
            );
        }
        if self.is_unchanged() {
            return format!("it cannot be told: nothing changes for {those} in the input, but there is more");
        }
        let mut parts =
            vec![plural(self.count(true), "connection") + " gained", format!("{} lost", self.count(false))];
        for (list, word) in [(&self.come, "new"), (&self.gone, "gone")] {
            if !list.is_empty() {
                parts.push(format!("{} {word}", plural(list.len(), "workload")));
            }
        }
        format!("changed: {}", parts.join(", "))
    }

    /// Why a group's connections change: for each side that answers otherwise its direction, what it says now, and what
    /// it said before.
    pub(super) fn reasons(&self, group: &Group) -> Vec<(Direction, String, String)> {
        let Some(cause) = self.comparison.causes.get(group.cause as usize) else { return Vec::new() };
        let reason = |direction: Direction| {
            let shift = cause.side(direction)?;
            let now = crate::because::text(self.new.engine(), &shift.after);
            Some((direction, now, crate::because::text(self.old.engine(), &shift.before)))
        };
        [Direction::Egress, Direction::Ingress].into_iter().filter_map(reason).collect()
    }
}

pub(super) fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Why what a policy changes may not be seen in the input.
fn untold(change: &PolicyChange) -> Vec<String> {
    let key = &change.key;
    let verb = match (change.old, change.new) {
        (None, _) => "new",
        (_, None) => "gone",
        _ => "changed",
    };
    if !change.selects {
        return vec![format!(
            "{key} is {verb}, and no pod in the input is selected by it: what that means cannot be told"
        )];
    }
    let unseen = |peer: &ringfence_policy::DistinctPeer| {
        format!(
            "{key} is {verb} in what it says of {}, and there is none in the input",
            super::present::peer_text(peer)
        )
    };
    change.unseen.iter().map(unseen).collect()
}

fn named<'m>(
    old: &'m Mapped,
    new: &'m Mapped,
    [of_old, of_new]: &[Referrer<'m>; 2],
    piece: Piece,
) -> (Reference, &'m str) {
    let pods = |mapped: &'m Mapped, end: u32| match mapped.reach().ends.get(end as usize) {
        Some(ReachEnd::Pods { namespace, workload, pods, whole }) => {
            Some((namespace.as_str(), workload, pods.as_slice() as &[PodId], *whole))
        }
        _ => None,
    };
    let (before, after) = (pods(old, piece.old), pods(new, piece.new));
    // Where only the old world tells the pods of a workload apart, its names tell the pieces apart.
    let by_old = before.zip(after).is_some_and(|(before, after)| after.3 && !before.3);
    let (referrer, found) = if by_old { (of_old, before) } else { (of_new, after) };
    match found {
        Some((namespace, workload, pods, whole)) => {
            (referrer.workload(namespace, workload, pods, whole), namespace)
        }
        None => (Reference::External, ""),
    }
}

fn groups(comparison: &Comparison, pieces: &[(Reference, &str)]) -> Vec<Group> {
    let mut found: BTreeMap<Key, Lines<'_>> = BTreeMap::new();
    let namespace = |piece: u32| pieces.get(piece as usize).map(|(_, namespace)| *namespace);
    for shift in comparison.shifts() {
        let (from, to) = (piece(shift.from), piece(shift.to));
        let risk = match (from, to) {
            (None, _) => Risk::OutsideToInside,
            (_, None) => Risk::InsideToOutside,
            (Some(from), Some(to)) if namespace(from) == namespace(to) => Risk::WithinNamespace,
            _ => Risk::AcrossNamespaces,
        };
        for part in shift.parts {
            let by_target = comparison.causes.get(part.cause as usize).is_some_and(|c| c.ingress.is_some());
            let subject = if by_target { to.or(from) } else { from.or(to) };
            let key = (Reverse(part.gained), risk, subject.unwrap_or(u32::MAX), part.cause);
            let ranges = found.entry(key).or_default().entry((from, to, &part.ports)).or_default();
            ranges.extend(range(shift.from).or(range(shift.to)));
        }
    }
    let reference = |piece: u32| pieces.get(piece as usize).map_or(Reference::External, |(r, _)| r.clone());
    let group = |((Reverse(gained), risk, subject, cause), found): (Key, Lines<'_>)| Group {
        gained,
        risk,
        subject: reference(subject),
        cause,
        lines: lines(found, reference),
    };
    found.into_iter().map(group).collect()
}

/// Lines of connections, with outside ranges joined.
pub(super) fn lines(found: Lines<'_>, reference: impl Fn(u32) -> Reference) -> Vec<Line> {
    found
        .into_iter()
        .map(|((from, to, ports), mut ranges)| {
            ranges.sort_by_key(|(first, _)| (first.is_ipv6(), *first));
            let ranges = ranges::joined(&ranges);
            let side = |end: Option<u32>| match end {
                Some(end) => Side::Pods(reference(end)),
                None => Side::Outside(ranges.clone()),
            };
            Line { from: side(from), to: side(to), ports: ports.clone() }
        })
        .collect()
}

fn piece(spot: Spot) -> Option<u32> {
    match spot {
        Spot::Piece(piece) => Some(piece),
        Spot::Outside(..) => None,
    }
}

fn range(spot: Spot) -> Option<(IpAddr, IpAddr)> {
    match spot {
        Spot::Outside(first, last) => Some((first, last)),
        Spot::Piece(_) => None,
    }
}
