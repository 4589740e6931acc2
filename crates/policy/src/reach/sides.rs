//! One side of a connection: what a policy set allows toward an identity.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::ends::Identity;
use crate::engine::{Engine, NamedId};
use crate::matchers::PeerId;
use crate::policies::SetId;
use crate::reach::portsets::{Asker, PortSetId};
use crate::slots::number;
use crate::verdict::Direction;

/// Values numbered in the order of their first appearance.
#[derive(Debug, Clone)]
pub(super) struct Numbered<T> {
    numbers: FxHashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Numbered<T> {
        Numbered { numbers: FxHashMap::default(), values: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    pub(super) fn number(&mut self, value: T) -> u32 {
        if let Some(known) = self.numbers.get(&value) {
            return *known;
        }
        let id = number(self.values.len());
        self.values.push(value.clone());
        self.numbers.insert(value, id);
        id
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }
}

/// The policy sets and identities of a map.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    sets: Numbered<Option<SetId>>,
    identities: Numbered<Identity>,
}

impl Numbers {
    /// The policy set of what no policy isolates.
    pub(super) const OPEN: u32 = 0;

    pub(super) fn new() -> Numbers {
        let mut numbers = Numbers { sets: Numbered::default(), identities: Numbered::default() };
        numbers.set(None);
        numbers
    }

    pub(super) fn set(&mut self, set: Option<SetId>) -> u32 {
        self.sets.number(set)
    }

    pub(super) fn identity(&mut self, identity: Identity) -> u32 {
        self.identities.number(identity)
    }

    /// The policy sets, by number; `None` where no policy holds the pods.
    pub(super) fn sets(&self) -> &[Option<SetId>] {
        self.sets.values()
    }

    /// The identities, by number.
    pub(super) fn identities(&self) -> &[Identity] {
        self.identities.values()
    }
}

/// For each policy set the ports toward nobody in particular, and toward those pods for which it has others.
#[derive(Debug, Clone)]
pub(super) struct Sides {
    /// By policy set.
    defaults: Vec<PortSetId>,
    /// By policy set: identities toward which something else holds, sorted.
    exceptions: Vec<Vec<(u32, PortSetId)>>,
    /// By identity: the sets in which it is such an exception, sorted.
    excepted_in: Vec<Vec<(u32, PortSetId)>>,
}

impl Sides {
    pub(super) fn new(engine: &Engine, numbers: &Numbers, asker: &mut Asker<'_>) -> Sides {
        let mut identities_with: FxHashMap<_, Vec<u32>> = FxHashMap::default();
        let mut with_named_ports = Vec::new();
        for (place, identity) in (0u32..).zip(numbers.identities()) {
            for peer in engine.peers_of(*identity) {
                identities_with.entry(peer).or_default().push(place);
            }
            if identity.has_named_ports() {
                with_named_ports.push(place);
            }
        }
        let mut sides = Sides {
            defaults: Vec::with_capacity(numbers.sets.values().len()),
            exceptions: Vec::with_capacity(numbers.sets.values().len()),
            excepted_in: vec![Vec::new(); numbers.identities().len()],
        };
        // The peers that a set names and an identity is matched by: all that the set can tell of the identity.
        let mut met: Vec<(u32, Option<PeerId>)> = Vec::new();
        let mut known: FxHashMap<(Vec<PeerId>, NamedId), PortSetId> = FxHashMap::default();
        for (row, set) in (0u32..).zip(numbers.sets.values()) {
            let (mut default, mut exceptions) = (PortSetId::ALL, Vec::new());
            if let Some(set) = *set {
                default = asker.met(set, &[], NamedId(0));
                met.clear();
                for peer in engine.peers_named(set) {
                    let identities = identities_with.get(&peer).into_iter().flatten();
                    met.extend(identities.map(|place| (*place, Some(peer))));
                }
                if engine.direction(set) == Direction::Egress {
                    met.extend(with_named_ports.iter().map(|place| (*place, None)));
                }
                met.sort_unstable();
                met.dedup();
                known.clear();
                for of_identity in met.chunk_by(|a, b| a.0 == b.0) {
                    let Some((place, _)) = of_identity.first() else { continue };
                    let Some(identity) = numbers.identities().get(*place as usize) else { continue };
                    let peers: Vec<PeerId> = of_identity.iter().filter_map(|(_, peer)| *peer).collect();
                    let ports = *known
                        .entry((peers, identity.named()))
                        .or_insert_with_key(|(peers, named)| asker.met(set, peers, *named));
                    if ports != default {
                        exceptions.push((*place, ports));
                    }
                }
            }
            for (place, ports) in &exceptions {
                if let Some(list) = sides.excepted_in.get_mut(*place as usize) {
                    list.push((row, *ports));
                }
            }
            sides.defaults.push(default);
            sides.exceptions.push(exceptions);
        }
        sides
    }

    /// By policy set, what holds toward nobody in particular.
    pub(super) fn defaults(&self) -> &[PortSetId] {
        &self.defaults
    }

    pub(super) fn default_of(&self, set: u32) -> PortSetId {
        self.defaults.get(set as usize).copied().unwrap_or(PortSetId::ALL)
    }

    /// The identities toward which something else holds, sorted.
    pub(super) fn exceptions(&self, set: u32) -> &[(u32, PortSetId)] {
        self.exceptions.get(set as usize).map_or(&[], |e| e)
    }

    /// The policy sets that treat an identity unlike nobody in particular, sorted.
    pub(super) fn excepted_in(&self, identity: u32) -> &[(u32, PortSetId)] {
        self.excepted_in.get(identity as usize).map_or(&[], |e| e)
    }
}
