//! Who may reach whom: every pair of workloads, and the world outside, with the ports.
//!
//! Pods of one workload that policies treat alike are one end; those that policies can tell apart stay apart. What is
//! kept is not pairs: for each policy set it is what holds toward nobody in particular, and the identities toward which
//! something else holds. From that any pair is two look-ups, and all pairs are listed without a search.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::engine::{End, Engine, Identity, Matching};
use crate::model::{PodId, Workload};
use crate::policies::SetId;
use crate::portmap::PortSet;
use crate::slots::number;
use crate::verdict::Direction;

/// Who may reach whom.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The ends: workloads by namespace, name and kind, then outside ranges by family and address.
    pub ends: Vec<ReachEnd>,
    /// By end.
    classes: Vec<Class>,
    rows: Rows,
}

/// One end of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReachEnd {
    /// Pods of one workload that no policy tells apart.
    Pods {
        /// The namespace.
        namespace: String,
        /// The workload.
        workload: Workload,
        /// The pods, in the order of the world. Never empty.
        pods: Vec<PodId>,
        /// Whether these are all pods of the workload; otherwise policies treat others of it differently.
        whole: bool,
    },
    /// Addresses outside, first and last included. The ranges of a map are disjoint.
    Outside {
        /// The first address.
        first: IpAddr,
        /// The last, of the same family.
        last: IpAddr,
    },
}

/// An ordered pair that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The source, a place in [`Reach::ends`].
    pub from: u32,
    /// The destination, a place in [`Reach::ends`].
    pub to: u32,
    /// What it may carry. Connections that carry the same share it.
    pub allowed: Rc<PortSet>,
}

impl Reach {
    /// The map of a compiled world.
    pub fn new(engine: &Engine) -> Reach {
        let mut ends = workload_ends(engine);
        let mut numbers = Numbers::default();
        let mut classes: Vec<Class> = Vec::with_capacity(ends.len());
        for (place, end) in ends.iter().enumerate() {
            let same = place.checked_sub(1).and_then(|p| Some((ends.get(p)?, classes.get(p)?)));
            let workload = match same {
                Some((before, class)) if end.is_workload_of(before) => class.workload,
                _ => Some(number(place)),
            };
            classes.push(Class::of_end(engine, end, workload, &mut numbers));
        }
        let ranges: Vec<_> = engine
            .address_space()
            .ranges()
            .into_iter()
            .map(|range| (range, numbers.identity(engine.class_identity(range.class))))
            .collect();
        let rows = Rows::new(engine, &numbers);
        for (range, identity) in ranges {
            let same_family = |first: &IpAddr| first.is_ipv4() == range.first.is_ipv4();
            match (ends.last_mut(), classes.last()) {
                // Neighbours that every policy set treats alike are one.
                (Some(ReachEnd::Outside { first, last }), Some(before))
                    if same_family(first) && rows.are_alike(before.identity, identity) =>
                {
                    *last = range.last;
                }
                _ => {
                    ends.push(ReachEnd::Outside { first: range.first, last: range.last });
                    classes.push(Class::outside(range.first.is_ipv4(), identity));
                }
            }
        }
        Reach { ends, classes, rows }
    }

    /// The pairs that may connect on at least one port, by place of the ends. A workload to itself is left out, and so
    /// is outside to outside.
    pub fn connections(&self) -> impl Iterator<Item = Connection> {
        let mut combiner = Combiner::new(&self.rows);
        let (workloads, _) = self.classes.split_at(self.classes.partition_point(|c| c.workload.is_some()));
        // Neighbours often share it: all of the outside does.
        let mut out = (None, self.rows.egress_of(None));
        (0u32..).zip(&self.classes).flat_map(move |(from, source)| {
            if out.0 != source.egress {
                out = (source.egress, self.rows.egress_of(source.egress));
            }
            let into: Vec<Sending> = source.identities().map(|i| (i, self.rows.ingress_toward(i))).collect();
            let destinations = if source.workload.is_some() { &self.classes } else { workloads };
            let mut found = Vec::new();
            for (to, destination) in (0u32..).zip(destinations) {
                if source.workload == destination.workload {
                    continue;
                }
                if let Some(allowed) = combiner.allowed(source, destination, &out.1, &into) {
                    found.push(Connection { from, to, allowed });
                }
            }
            found
        })
    }
}

/// One identity of a source, and what may come from it, by policy set of the destination.
type Sending = (u32, Vec<PortSetId>);

/// Makes the port sets of connections, each once.
struct Combiner<'r> {
    rows: &'r Rows,
    both: FxHashMap<(PortSetId, PortSetId), Rc<PortSet>>,
    last: Option<((PortSetId, PortSetId), Rc<PortSet>)>,
}

impl<'r> Combiner<'r> {
    fn new(rows: &'r Rows) -> Combiner<'r> {
        Combiner { rows, both: FxHashMap::default(), last: None }
    }

    /// What may pass, or `None` for nothing. One address family that both ends have must be allowed on both sides.
    fn allowed(
        &mut self,
        source: &Class,
        destination: &Class,
        out: &[PortSetId],
        into: &[Sending],
    ) -> Option<Rc<PortSet>> {
        let own_node = source.is_node_of(destination);
        let mut side = |identity: u32, to: u32| {
            let place =
                |list: &[PortSetId], at: u32| list.get(at as usize).copied().unwrap_or(PortSetId::ALL);
            let list = into.iter().find(|(i, _)| *i == identity).map_or(&[][..], |(_, list)| list);
            let ingress = match destination.ingress {
                Some(row) if !own_node => place(list, row),
                _ => PortSetId::ALL,
            };
            self.both(place(out, to), ingress)
        };
        let mut any: Option<Rc<PortSet>> = None;
        let mut met = false;
        for (v4, from) in &source.by_family {
            for (_, to) in destination.by_family.iter().filter(|(family, _)| family == v4) {
                met = true;
                let one = side(*from, *to);
                any = Some(match any {
                    Some(before) if before != one => Rc::new(before.union(&one)),
                    _ => one,
                });
            }
        }
        let allowed = if met { any? } else { side(source.identity, destination.identity) };
        (!allowed.is_empty()).then_some(allowed)
    }

    fn both(&mut self, egress: PortSetId, ingress: PortSetId) -> Rc<PortSet> {
        let key = (egress, ingress);
        if let Some((last, set)) = &self.last
            && *last == key
        {
            return set.clone();
        }
        let rows = self.rows;
        let make = || Rc::new(rows.set(egress).intersection(rows.set(ingress)));
        let set = self.both.entry(key).or_insert_with(make).clone();
        self.last = Some((key, set.clone()));
        set
    }
}

impl ReachEnd {
    fn is_workload_of(&self, other: &ReachEnd) -> bool {
        match (self, other) {
            (
                ReachEnd::Pods { namespace, workload, .. },
                ReachEnd::Pods { namespace: other_namespace, workload: other_workload, .. },
            ) => (namespace, workload) == (other_namespace, other_workload),
            _ => false,
        }
    }
}

/// What decides of an end, in the numbers of [`Rows`].
#[derive(Debug, Clone)]
struct Class {
    ingress: Option<u32>,
    egress: Option<u32>,
    identity: u32,
    /// The same by address family, where addresses are known; whether it is IPv4.
    by_family: Vec<(bool, u32)>,
    /// The same for all ends of one workload; `None` outside.
    workload: Option<u32>,
    host_network: bool,
    /// The nodes that the pods run on, sorted: a node always reaches its own pods.
    nodes: Vec<String>,
}

impl Class {
    fn of_end(engine: &Engine, end: &ReachEnd, workload: Option<u32>, numbers: &mut Numbers) -> Class {
        let pods = match end {
            ReachEnd::Pods { pods, .. } => pods.as_slice(),
            ReachEnd::Outside { .. } => &[],
        };
        let Some(first) = pods.first() else {
            return Class::outside(true, numbers.identity(Identity::NOBODY));
        };
        let mut nodes: Vec<String> =
            pods.iter().filter_map(|p| engine.pod(*p).and_then(|p| p.node.clone())).collect();
        nodes.sort();
        nodes.dedup();
        Class {
            ingress: engine.policy_set(*first, Direction::Ingress).map(|set| numbers.set(set)),
            egress: engine.policy_set(*first, Direction::Egress).map(|set| numbers.set(set)),
            identity: numbers.identity(engine.identity(End::Pod(*first))),
            by_family: engine
                .by_family(*first)
                .into_iter()
                .map(|(v4, i)| (v4, numbers.identity(i)))
                .collect(),
            workload,
            host_network: engine.pod(*first).is_some_and(|p| p.host_network),
            nodes,
        }
    }

    fn outside(v4: bool, identity: u32) -> Class {
        let by_family = vec![(v4, identity)];
        let (ingress, egress, workload) = (None, None, None);
        Class { ingress, egress, identity, by_family, workload, host_network: false, nodes: Vec::new() }
    }

    /// Every identity by which it may be known, some of them twice.
    fn identities(&self) -> impl Iterator<Item = u32> {
        self.by_family.iter().map(|(_, identity)| *identity).chain([self.identity])
    }

    fn is_node_of(&self, to: &Class) -> bool {
        self.host_network && !to.host_network && self.nodes.iter().any(|n| to.nodes.binary_search(n).is_ok())
    }
}

/// The policy sets and identities of a map, numbered in the order of their first appearance.
#[derive(Debug, Default)]
struct Numbers {
    sets: FxHashMap<SetId, u32>,
    identities: FxHashMap<Identity, u32>,
}

impl Numbers {
    fn set(&mut self, set: SetId) -> u32 {
        let next = number(self.sets.len());
        *self.sets.entry(set).or_insert(next)
    }

    fn identity(&mut self, identity: Identity) -> u32 {
        let next = number(self.identities.len());
        *self.identities.entry(identity).or_insert(next)
    }
}

/// A port set's number in [`Rows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PortSetId(u32);

impl PortSetId {
    /// Everything.
    const ALL: PortSetId = PortSetId(0);
}

/// For each policy set the ports toward nobody in particular, and toward those identities that its rules name.
#[derive(Debug, Clone)]
struct Rows {
    /// By policy set.
    defaults: Vec<PortSetId>,
    /// By policy set: identities toward which something else holds.
    exceptions: Vec<Vec<(u32, PortSetId)>>,
    /// By identity: the sets in which it is such an exception, sorted.
    excepted_in: Vec<Vec<(u32, PortSetId)>>,
    sets: Vec<PortSet>,
}

impl Rows {
    fn new(engine: &Engine, numbers: &Numbers) -> Rows {
        let mut identities_with: FxHashMap<_, Vec<(Identity, u32)>> = FxHashMap::default();
        let mut with_named_ports = Vec::new();
        for (identity, place) in &numbers.identities {
            for peer in engine.peers_of(*identity) {
                identities_with.entry(peer).or_default().push((*identity, *place));
            }
            if identity.has_named_ports() {
                with_named_ports.push((*identity, *place));
            }
        }
        let mut interner = PortSets::new(engine);
        let mut rows = Rows {
            defaults: vec![PortSetId::ALL; numbers.sets.len()],
            exceptions: vec![Vec::new(); numbers.sets.len()],
            excepted_in: vec![Vec::new(); numbers.identities.len()],
            sets: Vec::new(),
        };
        for (set, row) in &numbers.sets {
            let default = interner.between(*set, Identity::NOBODY);
            let named = match engine.direction(*set) {
                Direction::Ingress => &[][..],
                Direction::Egress => &with_named_ports,
            };
            let met = engine.peers_named(*set).flat_map(|p| identities_with.get(&p).into_iter().flatten());
            let mut met: Vec<(Identity, u32)> = met.chain(named).copied().collect();
            met.sort_unstable_by_key(|(_, place)| *place);
            met.dedup_by_key(|(_, place)| *place);
            let mut exceptions = Vec::new();
            for (identity, place) in met {
                let ports = interner.between(*set, identity);
                if ports != default {
                    exceptions.push((place, ports));
                    if let Some(list) = rows.excepted_in.get_mut(place as usize) {
                        list.push((*row, ports));
                    }
                }
            }
            if let (Some(d), Some(e)) =
                (rows.defaults.get_mut(*row as usize), rows.exceptions.get_mut(*row as usize))
            {
                (*d, *e) = (default, exceptions);
            }
        }
        rows.excepted_in.iter_mut().for_each(|list| list.sort_unstable());
        rows.sets = interner.sets;
        rows
    }

    fn set(&self, id: PortSetId) -> &PortSet {
        #[expect(clippy::indexing_slicing, reason = "numbers are given out by `new` alone, for this list")]
        &self.sets[id.0 as usize]
    }

    /// Whether every policy set treats two identities alike.
    fn are_alike(&self, one: u32, other: u32) -> bool {
        one == other || self.excepted_in.get(one as usize) == self.excepted_in.get(other as usize)
    }

    /// What may be sent under a policy set, or without one, by identity of the destination.
    fn egress_of(&self, set: Option<u32>) -> Vec<PortSetId> {
        let row = set.map(|row| row as usize);
        let default = row.and_then(|row| self.defaults.get(row)).copied().unwrap_or(PortSetId::ALL);
        let mut ports = vec![default; self.excepted_in.len()];
        for (identity, exception) in row.and_then(|row| self.exceptions.get(row)).into_iter().flatten() {
            if let Some(place) = ports.get_mut(*identity as usize) {
                *place = *exception;
            }
        }
        ports
    }

    /// What may come from an identity, by policy set of the destination.
    fn ingress_toward(&self, identity: u32) -> Vec<PortSetId> {
        let mut ports = self.defaults.clone();
        for (row, exception) in self.excepted_in.get(identity as usize).into_iter().flatten() {
            if let Some(place) = ports.get_mut(*row as usize) {
                *place = *exception;
            }
        }
        ports
    }
}

/// Port sets by the rules that they follow from: thousands of pairs share a few.
struct PortSets<'e> {
    engine: &'e Engine,
    by_rules: FxHashMap<Matching, PortSetId>,
    numbers: FxHashMap<PortSet, PortSetId>,
    sets: Vec<PortSet>,
}

impl<'e> PortSets<'e> {
    fn new(engine: &'e Engine) -> PortSets<'e> {
        let all = PortSet::all();
        PortSets {
            engine,
            by_rules: FxHashMap::default(),
            numbers: FxHashMap::from_iter([(all.clone(), PortSetId::ALL)]),
            sets: vec![all],
        }
    }

    fn between(&mut self, set: SetId, identity: Identity) -> PortSetId {
        let key = self.engine.matching(set, identity);
        if let Some(known) = self.by_rules.get(&key) {
            return *known;
        }
        let ports = self.engine.paint(&key).allowed();
        let next = PortSetId(number(self.sets.len()));
        let id = *self.numbers.entry(ports.clone()).or_insert(next);
        if id == next {
            self.sets.push(ports);
        }
        self.by_rules.insert(key, id);
        id
    }
}

fn workload_ends(engine: &Engine) -> Vec<ReachEnd> {
    let mut by_workload: BTreeMap<(&str, &str, &str), Vec<PodId>> = BTreeMap::new();
    for (id, pod) in engine.pods() {
        let key = (pod.namespace.as_str(), pod.workload.name.as_str(), pod.workload.kind.as_str());
        by_workload.entry(key).or_default().push(id);
    }
    let mut ends = Vec::new();
    for ((namespace, name, kind), pods) in by_workload {
        let mut alike: Vec<(_, Vec<PodId>)> = Vec::new();
        for pod in pods {
            let key = (
                engine.policy_set(pod, Direction::Ingress),
                engine.policy_set(pod, Direction::Egress),
                engine.identity(End::Pod(pod)),
                engine.by_family(pod),
                engine.pod(pod).is_some_and(|p| p.host_network),
            );
            match alike.iter_mut().find(|(k, _)| *k == key) {
                Some((_, pods)) => pods.push(pod),
                None => alike.push((key, vec![pod])),
            }
        }
        let whole = alike.len() == 1;
        ends.extend(alike.into_iter().map(|(_, pods)| ReachEnd::Pods {
            namespace: namespace.to_owned(),
            workload: Workload { kind: kind.to_owned(), name: name.to_owned() },
            pods,
            whole,
        }));
    }
    ends
}
