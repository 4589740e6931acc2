//! One sender's row: what it may send to each of a list of ends with pods.
//!
//! Most of a row is what holds between two ends that no rule names to each other, and that is the same for all senders
//! with the same default. So a row is a copy of that, with what is particular put over it.

use rustc_hash::FxHashMap;

use crate::reach::Reach;
use crate::reach::ends::{Seen, Sender};
use crate::reach::portsets::{PortSetId, PortSets};
use crate::reach::sides::Numbers;
use crate::slots::number;

/// Makes rows to a list of ends.
#[derive(Debug)]
pub(super) struct RowMaker<'r> {
    reach: &'r Reach,
    receivers: Vec<Receiver<'r>>,
    /// By policy set, the places of the receivers that it isolates.
    by_set: Vec<Vec<u32>>,
    /// By identity, the places of the receivers that have it.
    by_identity: Vec<Vec<u32>>,
    /// By end, its place among the receivers.
    places: FxHashMap<u32, u32>,
    /// By what a sender may send to nobody in particular, the row of one that nothing is particular about.
    plain: FxHashMap<PortSetId, Vec<PortSetId>>,
    row: Vec<PortSetId>,
    row_of: Option<u32>,
    /// Whether a node reaches its own pods whatever policies say. Otherwise a row is what policies say.
    nodes_reach_their_pods: bool,
    looked_up: LookedUp,
}

#[derive(Debug, Clone, Copy)]
struct Receiver<'r> {
    ingress: u32,
    seen: &'r Seen,
}

/// Both sides of the sender at hand. What is particular about it is taken back before the next one.
#[derive(Debug)]
struct LookedUp {
    egress: PortSetId,
    /// By identity of the receiver, where the sender may send something else than to nobody in particular.
    egress_to: Vec<PortSetId>,
    /// For each identity of the sender, by policy set of the receiver: what may come from there.
    ingress: Vec<Vec<PortSetId>>,
}

/// How many plain rows are kept. Few defaults are in use at a time.
const PLAIN: usize = 64;

impl<'r> RowMaker<'r> {
    pub(super) fn new(reach: &'r Reach, ends: &[u32]) -> RowMaker<'r> {
        let Reach { pods, sides, .. } = reach;
        let mut maker = RowMaker {
            reach,
            receivers: Vec::with_capacity(ends.len()),
            by_set: vec![Vec::new(); sides.defaults().len()],
            by_identity: vec![Vec::new(); pods.identities()],
            places: (0u32..).zip(ends).map(|(place, end)| (*end, place)).collect(),
            plain: FxHashMap::default(),
            row: Vec::new(),
            row_of: None,
            nodes_reach_their_pods: true,
            looked_up: LookedUp {
                egress: PortSetId::ALL,
                egress_to: vec![PortSetId::UNKNOWN; pods.identities()],
                ingress: Vec::new(),
            },
        };
        for end in ends.iter().filter_map(|end| pods.get(*end)) {
            let place = number(maker.receivers.len());
            if let Some(list) = maker.by_set.get_mut(end.ingress as usize) {
                list.push(place);
            }
            let seen = pods.seen(end.seen);
            for identity in seen.identities() {
                match maker.by_identity.get_mut(identity as usize) {
                    Some(list) if list.last() != Some(&place) => list.push(place),
                    _ => {}
                }
            }
            maker.receivers.push(Receiver { ingress: end.ingress, seen });
        }
        maker
    }

    /// Makes rows of what policies alone say.
    pub(super) fn of_policies(reach: &'r Reach, ends: &[u32]) -> RowMaker<'r> {
        RowMaker { nodes_reach_their_pods: false, ..RowMaker::new(reach, ends) }
    }

    /// The ports from a sender to each of the ends.
    pub(super) fn make(&mut self, number: u32, sets: &mut PortSets) -> &[PortSetId] {
        if self.row_of != Some(number) {
            self.row_of = Some(number);
            if let Some(sender) = self.reach.pods.senders().get(number as usize) {
                self.fill(sender, sets);
            }
        }
        &self.row
    }

    fn fill(&mut self, sender: &'r Sender, sets: &mut PortSets) {
        let Reach { pods, sides, .. } = self.reach;
        let seen = pods.seen(sender.seen);
        let default = sides.default_of(sender.egress);
        self.start(default, sets);
        self.look_up(sender, seen);
        if default != PortSetId::NONE {
            for (place, identity) in seen.identities().enumerate() {
                // Mostly they are one and the same.
                if seen.identities().take(place).any(|before| before == identity) {
                    continue;
                }
                for (set, _) in sides.excepted_in(identity) {
                    self.put_ingress(seen, *set, sets);
                }
            }
        }
        for (identity, _) in sides.exceptions(sender.egress) {
            for place in self.by_identity.get(*identity as usize).into_iter().flatten() {
                put(&mut self.row, *place, self.receivers.get(*place as usize), |receiver| {
                    self.looked_up.between(seen, receiver, sets)
                });
            }
        }
        let nodes: &[u32] = if self.nodes_reach_their_pods { &sender.nodes } else { &[] };
        for end in pods.on_nodes(nodes) {
            let Some(place) = self.places.get(&end) else { continue };
            put(&mut self.row, *place, self.receivers.get(*place as usize), |receiver| {
                self.looked_up.between(seen, &Receiver { ingress: Numbers::OPEN, ..*receiver }, sets)
            });
        }
        self.take_back(sender, seen);
    }

    /// Makes the row that of a sender about which nothing is particular.
    fn start(&mut self, default: PortSetId, sets: &mut PortSets) {
        let sides = &self.reach.sides;
        if self.plain.len() >= PLAIN && !self.plain.contains_key(&default) {
            self.plain.clear();
        }
        let receivers = &self.receivers;
        let plain = self.plain.entry(default).or_insert_with(|| {
            receivers.iter().map(|r| sets.both(default, sides.default_of(r.ingress))).collect()
        });
        self.row.clone_from(plain);
    }

    /// Puts over the row what the receivers of one policy set let in from the sender.
    fn put_ingress(&mut self, seen: &Seen, set: u32, sets: &mut PortSets) {
        let Some(places) = self.by_set.get(set as usize) else { return };
        let mut let_in = (0..=seen.by_family.len()).map(|place| self.looked_up.ingress(place, set));
        let first = let_in.next();
        let same = let_in.all(|ports| Some(ports) == first);
        match first.filter(|_| same) {
            // By whatever family: it is the same.
            Some(ports) => {
                let ports = sets.both(self.looked_up.egress, ports);
                for place in places {
                    if let Some(cell) = self.row.get_mut(*place as usize) {
                        *cell = ports;
                    }
                }
            }
            None => {
                for place in places {
                    put(&mut self.row, *place, self.receivers.get(*place as usize), |receiver| {
                        self.looked_up.between(seen, receiver, sets)
                    });
                }
            }
        }
    }

    fn look_up(&mut self, sender: &Sender, seen: &Seen) {
        let exceptions = self.reach.sides.exceptions(sender.egress);
        let (sides, sender_sides) = (&self.reach.sides, &mut self.looked_up);
        sender_sides.egress = sides.default_of(sender.egress);
        for (identity, ports) in exceptions {
            if let Some(place) = sender_sides.egress_to.get_mut(*identity as usize) {
                *place = *ports;
            }
        }
        let identities = seen.by_family.len() + 1;
        if sender_sides.ingress.len() < identities {
            sender_sides.ingress.resize_with(identities, || sides.defaults().to_vec());
        }
        for (ingress, identity) in sender_sides.ingress.iter_mut().zip(seen.identities()) {
            for (set, ports) in sides.excepted_in(identity) {
                if let Some(place) = ingress.get_mut(*set as usize) {
                    *place = *ports;
                }
            }
        }
    }

    fn take_back(&mut self, sender: &Sender, seen: &Seen) {
        let exceptions = self.reach.sides.exceptions(sender.egress);
        let (sides, sender_sides) = (&self.reach.sides, &mut self.looked_up);
        for (identity, _) in exceptions {
            if let Some(place) = sender_sides.egress_to.get_mut(*identity as usize) {
                *place = PortSetId::UNKNOWN;
            }
        }
        for (ingress, identity) in sender_sides.ingress.iter_mut().zip(seen.identities()) {
            for (set, _) in sides.excepted_in(identity) {
                if let Some(place) = ingress.get_mut(*set as usize) {
                    *place = sides.default_of(*set);
                }
            }
        }
    }
}

impl LookedUp {
    /// What may pass: one address family that both ends have must be allowed on both sides.
    fn between(&self, seen: &Seen, receiver: &Receiver<'_>, sets: &mut PortSets) -> PortSetId {
        let mut any: Option<PortSetId> = None;
        for (place, (v4, _)) in seen.by_family.iter().enumerate() {
            for (_, to) in receiver.seen.by_family.iter().filter(|(family, _)| family == v4) {
                let one = sets.both(self.egress(*to), self.ingress(place, receiver.ingress));
                any = Some(any.map_or(one, |before| sets.either(before, one)));
            }
        }
        any.unwrap_or_else(|| {
            let ingress = self.ingress(seen.by_family.len(), receiver.ingress);
            sets.both(self.egress(receiver.seen.identity), ingress)
        })
    }

    fn egress(&self, to: u32) -> PortSetId {
        match self.egress_to.get(to as usize) {
            Some(known) if *known != PortSetId::UNKNOWN => *known,
            _ => self.egress,
        }
    }

    /// By the place of an identity among those of the sender.
    fn ingress(&self, place: usize, set: u32) -> PortSetId {
        self.ingress.get(place).and_then(|sets| sets.get(set as usize)).copied().unwrap_or(PortSetId::ALL)
    }
}

fn put<'r>(
    row: &mut [PortSetId],
    place: u32,
    receiver: Option<&Receiver<'r>>,
    ports: impl FnOnce(&Receiver<'r>) -> PortSetId,
) {
    if let (Some(cell), Some(receiver)) = (row.get_mut(place as usize), receiver) {
        *cell = ports(receiver);
    }
}
