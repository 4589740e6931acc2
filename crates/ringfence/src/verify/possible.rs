//! The pods that could be created, of an assertion that speaks of them: for each way in which policies could tell one from
//! another, a pod. They are added to a copy of the world, and the engine decides.
//!
//! Policies tell a pod by its namespace, its labels, its address and, where it receives, the ports that it names. What no
//! policy in force can tell apart is tried once. Where there are too many ways, nothing is proven, and that is said.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use ringfence_policy::{
    Direction, DistinctPeer, Engine, LabelSelector, Labels, NAMESPACE_NAME_LABEL, Namespace, Pod, PodId,
    Requirement, SetId, Workload, possible_labels, unlike,
};

use super::places::Places;
use super::portnames;
use super::read::{Assertion, Kind};
use super::scene::Role;
use super::selector::Selector;

/// The most pods that are tried for one assertion.
const MOST: usize = 4096;

/// The most worlds: a namespace that could be created can have only one set of labels in each.
const MOST_WORLDS: usize = 64;

/// What is added to a copy of the world.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) namespaces: Vec<Namespace>,
    pub(super) pods: Vec<(Role, Pod)>,
}

/// A namespace in which pods are tried.
struct Room {
    name: String,
    labels: Labels,
    is_new: bool,
}

/// The worlds to ask, at least one.
///
/// # Errors
///
/// In words, where there are too many.
pub(super) fn worlds(engine: &Engine, assertion: &Assertion) -> Result<Vec<World>, String> {
    let sides = [Side::new(engine, assertion, Role::From), Side::new(engine, assertion, Role::To)];
    let (mut there, mut to_come) = (Vec::new(), Vec::new());
    for side in sides.iter().filter(|side| side.selectors.iter().any(|s| s.any_pod)) {
        for room in side.rooms()? {
            let kinds = side.kinds(&room, there.len() + to_come.len())?;
            let list = if room.is_new { &mut to_come } else { &mut there };
            let room = std::rc::Rc::new(room);
            list.extend(kinds.into_iter().map(|labels| (side.role, room.clone(), labels)));
        }
    }
    let selectors = assertion.from.iter().chain(&assertion.to);
    let cuts: Vec<IpNet> = selectors.filter_map(|s| s.address).collect();
    // What the ports of a pod are called matters where it is reached.
    let is_reached = there.iter().chain(&to_come).any(|(role, ..)| *role == Role::To);
    let none = vec![Vec::new()];
    let names = if is_reached { portnames::variants(engine, &assertion.ports)? } else { none.clone() };
    // A namespace has one set of labels in a world; the next set of the same name is another world's.
    let mut rounds: Vec<BTreeMap<&str, &Labels>> = vec![BTreeMap::new()];
    let mut round_of = Vec::new();
    for (_, room, _) in &to_come {
        let fits = |round: &BTreeMap<&str, &Labels>| {
            round.get(room.name.as_str()).is_none_or(|labels| **labels == room.labels)
        };
        let place = rounds.iter().position(fits).unwrap_or(rounds.len());
        if place == rounds.len() {
            rounds.push(BTreeMap::new());
        }
        if let Some(round) = rounds.get_mut(place) {
            round.insert(&room.name, &room.labels);
        }
        round_of.push(place);
    }
    if rounds.len() > MOST_WORLDS {
        return Err(too_many("sets of labels of a new namespace", MOST_WORLDS));
    }
    let world = |(place, round): (usize, &BTreeMap<&str, &Labels>)| {
        let here = to_come.iter().zip(&round_of).filter(|(_, of)| **of == place).map(|(kind, _)| kind);
        let mut places = Places::new(engine, &cuts);
        let mut pods = Vec::new();
        for (role, room, labels) in there.iter().chain(here) {
            let names = if *role == Role::To { &names } else { &none };
            for place in 0..places.kinds() {
                for named_ports in names {
                    if pods.len() >= MOST {
                        return Err(too_many("kinds of pods that could be created", MOST));
                    }
                    let number = pods.len() + 1;
                    let mut pod = blank(&room.name, labels, number);
                    pod.addresses = places
                        .take(place)
                        .ok_or("not proven: there are too few addresses for new pods to try")?;
                    pod.named_ports.clone_from(named_ports);
                    pods.push((*role, pod));
                }
            }
        }
        let declared = round
            .iter()
            .map(|(name, labels)| Namespace { name: (*name).to_owned(), labels: (*labels).clone() });
        Ok(World { namespaces: declared.collect(), pods })
    };
    rounds.iter().enumerate().map(world).collect()
}

/// A kind that no object has: such a pod is never one of a workload of the input.
fn blank(namespace: &str, labels: &Labels, number: usize) -> Pod {
    let name = format!("new-{number:05}");
    Pod {
        namespace: namespace.to_owned(),
        workload: Workload { kind: "new pod".to_owned(), name: name.clone() },
        name,
        count: 1,
        labels: labels.clone(),
        addresses: Vec::new(),
        named_ports: Vec::new(),
        host_network: false,
        node: None,
    }
}

pub(super) fn too_many(what: &str, most: usize) -> String {
    format!("not proven: policies tell apart more than {most} {what}; narrow `anyPod`")
}

/// One side of an assertion.
struct Side<'e> {
    engine: &'e Engine,
    role: Role,
    selectors: &'e [Selector],
    /// `only` speaks of everybody else too.
    is_everybody: bool,
    /// What policies may tell a pod on this side by.
    sought: Vec<&'e DistinctPeer>,
    /// What the assertion itself tells it by.
    own: Vec<LabelSelector>,
    /// The same of its namespace.
    own_namespaces: Vec<LabelSelector>,
}

impl<'e> Side<'e> {
    fn new(engine: &'e Engine, assertion: &'e Assertion, role: Role) -> Side<'e> {
        let selectors = match role {
            Role::From => &assertion.from,
            Role::To => &assertion.to,
        };
        let is_everybody = role == Role::From && assertion.kind == Kind::Only;
        let zones = || selectors.iter().filter_map(|s| s.zone.as_ref());
        let of_zones: Vec<LabelSelector> = zones()
            .flat_map(|zone| {
                let exists = LabelSelector::new([Requirement::Exists(zone.label.clone())]);
                [LabelSelector::labels([(zone.label.clone(), zone.name.clone())]), exists]
            })
            .collect();
        let (mut own, mut own_namespaces) = (of_zones.clone(), of_zones);
        if is_everybody {
            own.extend(selectors.iter().map(|s| LabelSelector::labels(s.labels.clone())));
            own_namespaces
                .extend(selectors.iter().map(|s| LabelSelector::labels(s.namespace_labels.clone())));
        }
        let sought = sought(engine, assertion, role);
        Side { engine, role, selectors, is_everybody, sought, own, own_namespaces }
    }

    /// The namespaces in which pods are tried, those that could be created too where that is asked.
    fn rooms(&self) -> Result<Vec<Room>, String> {
        let existing = self.engine.namespaces();
        let room = |name: &&str| {
            let labels = self.engine.namespace_labels(name);
            Room { name: (*name).to_owned(), labels, is_new: false }
        };
        let mut rooms: Vec<Room> = existing.iter().map(room).collect();
        let mut asked: BTreeSet<&LabelSelector> =
            self.sought.iter().filter_map(|peer| peer.asks_of_namespaces()).collect();
        asked.extend(&self.own_namespaces);
        let named: BTreeSet<&str> = asked.iter().flat_map(|selector| names_in(selector)).collect();
        let mut used: BTreeSet<String> = existing.iter().chain(&named).map(|n| (*n).to_owned()).collect();
        let new = self.selectors.iter().filter(|s| s.new_namespaces);
        let bases: BTreeSet<Labels> = match self.is_everybody {
            true => new.map(|_| Labels::new()).collect(),
            false => new.map(|s| s.namespace_labels.clone()).collect(),
        };
        let mut seen: BTreeSet<(String, Labels)> = BTreeSet::new();
        for base in bases {
            let names: Vec<Option<&str>> = match base.get(NAMESPACE_NAME_LABEL) {
                Some(name) => vec![Some(name)],
                None => named.iter().map(|name| Some(*name)).chain([None]).collect(),
            };
            for name in names.into_iter().filter(|n| n.is_none_or(|n| !existing.contains(n))) {
                // A name that nothing mentions is as good as any other.
                let stand_in = name.map_or_else(|| unlike("new", |n| used.contains(n)), str::to_owned);
                let mut with_name = base.clone();
                with_name.insert(NAMESPACE_NAME_LABEL.to_owned(), stand_in.clone());
                let kinds = possible_labels(&with_name, &asked, MOST);
                for mut labels in kinds.ok_or_else(|| too_many("kinds of new namespaces", MOST))? {
                    let mut name = stand_in.clone();
                    if !named.contains(name.as_str()) {
                        name = unlike("new", |n| used.contains(n));
                        used.insert(name.clone());
                        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
                    }
                    if seen.insert((name.clone(), labels.clone())) {
                        rooms.push(Room { name, labels, is_new: true });
                    }
                }
            }
        }
        Ok(rooms)
    }

    /// The label sets of pods in a namespace that can be told apart, those alone that are meant.
    fn kinds(&self, room: &Room, before: usize) -> Result<Vec<Labels>, String> {
        let mut asked: BTreeSet<&LabelSelector> =
            self.sought.iter().filter_map(|peer| peer.asks_in(&room.name, &room.labels)).collect();
        asked.extend(&self.own);
        let meant = |s: &&Selector| {
            s.any_pod && (s.new_namespaces || !room.is_new) && s.means_namespace(&room.name, &room.labels)
        };
        let meant: Vec<&Selector> = self.selectors.iter().filter(meant).collect();
        let bases: BTreeSet<Labels> = match self.is_everybody {
            true => [Labels::new()].into(),
            false => meant.iter().map(|s| s.labels.clone()).collect(),
        };
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for base in bases {
            let most = MOST.saturating_sub(before + found.len());
            let kinds = possible_labels(&base, &asked, most);
            let kinds = kinds.ok_or_else(|| too_many("kinds of pods that could be created", MOST))?;
            let is_meant = |labels: &Labels| {
                self.is_everybody || meant.iter().any(|s| s.fits_labels(labels, &room.labels))
            };
            found.extend(kinds.into_iter().filter(|l| is_meant(l) && seen.insert(l.clone())));
        }
        Ok(found)
    }
}

/// The names that a selector of namespaces mentions.
fn names_in(selector: &LabelSelector) -> impl Iterator<Item = &str> {
    let of_names = selector.requirements().iter().filter(|r| r.key() == NAMESPACE_NAME_LABEL);
    let values = of_names.filter_map(|requirement| match requirement {
        Requirement::In(_, names) | Requirement::NotIn(_, names) => Some(names),
        Requirement::Exists(_) | Requirement::DoesNotExist(_) => None,
    });
    values.flatten().map(String::as_str)
}

/// What may tell pods apart on one side of an assertion: the subjects of policies of this direction, and the peers that
/// the policies of the other side name.
fn sought<'e>(engine: &'e Engine, assertion: &Assertion, role: Role) -> Vec<&'e DistinctPeer> {
    let (own, others, facing) = match role {
        Role::From => (Direction::Egress, Direction::Ingress, &assertion.to),
        Role::To => (Direction::Ingress, Direction::Egress, &assertion.from),
    };
    let is_anybody = role == Role::To && assertion.kind == Kind::Only;
    let mut sought: Vec<&DistinctPeer> = engine.subjects(own).collect();
    if is_anybody || facing.iter().any(|s| s.any_pod) {
        sought.extend(engine.peers(others));
    } else {
        let is_facing = |(_, pod): &(PodId, &Pod)| facing.iter().any(|s| s.means(engine, pod));
        let pods = engine.pods().filter(is_facing);
        let sets: BTreeSet<SetId> = pods.filter_map(|(id, _)| engine.policy_set(id, others)).collect();
        sought.extend(sets.into_iter().flat_map(|set| engine.set_peers(set)));
    }
    sought
}
