//! Who may reach whom: every pair of workloads, and the world outside, with the ports.
//!
//! Pods of one workload that policies treat alike are one end; those that policies can tell apart stay apart. Pairs
//! are computed once for each pair of *classes* (policy sets and identity), so that thousands of workloads with a few
//! hundred classes cost a few hundred squared.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::engine::{End, Engine, Identity, SetId};
use crate::index::number;
use crate::model::{PodId, Workload};
use crate::portmap::PortSet;
use crate::verdict::Direction;

/// Who may reach whom.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The ends: workloads by namespace, name and kind, then outside ranges by family and address.
    pub ends: Vec<ReachEnd>,
    /// The pairs that may connect on at least one port, by place of the ends. A workload to itself is left out, and so
    /// is outside to outside.
    pub connections: Vec<Connection>,
    sets: Vec<PortSet>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The source, a place in [`Reach::ends`].
    pub from: u32,
    /// The destination, a place in [`Reach::ends`].
    pub to: u32,
    allowed: u32,
}

impl Reach {
    /// The map of a compiled world.
    pub fn new(engine: &Engine) -> Reach {
        let mut table = Table::new(engine);
        let mut ends = workload_ends(engine);
        let workloads = ends.len();
        let mut classes: Vec<Class> = ends.iter().map(|e| Class::of_end(engine, e)).collect();
        for (range, class) in outside_ranges(engine, &mut table, &classes) {
            ends.push(range);
            classes.push(class);
        }
        let mut connections = Vec::new();
        for (from, source) in classes.iter().enumerate() {
            for (to, destination) in classes.iter().enumerate() {
                if from == to || (from >= workloads && to >= workloads) {
                    continue;
                }
                if let (
                    Some(ReachEnd::Pods { namespace: n1, workload: w1, .. }),
                    Some(ReachEnd::Pods { namespace: n2, workload: w2, .. }),
                ) = (ends.get(from), ends.get(to))
                    && (n1, w1) == (n2, w2)
                {
                    continue;
                }
                let allowed = table.allowed(source, destination);
                if !table.sets.values.get(allowed as usize).is_none_or(PortSet::is_empty) {
                    connections.push(Connection { from: number(from), to: number(to), allowed });
                }
            }
        }
        Reach { ends, connections, sets: table.sets.values }
    }

    /// What a connection may carry.
    pub fn allowed(&self, connection: &Connection) -> &PortSet {
        #[expect(
            clippy::indexing_slicing,
            reason = "connections are made by `new` alone, with numbers of this list"
        )]
        &self.sets[connection.allowed as usize]
    }
}

/// What decides of an end: ends of one class have the same connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Class {
    ingress: Option<SetId>,
    egress: Option<SetId>,
    identity: Identity,
    /// The same by address family, where addresses are known; whether it is IPv4.
    by_family: Vec<(bool, Identity)>,
    host_network: bool,
    /// The nodes that the pods run on, where that matters: a node always reaches its own pods.
    nodes: Vec<String>,
}

impl Class {
    fn of_end(engine: &Engine, end: &ReachEnd) -> Class {
        let nobody = Class::outside(true, Identity::NOBODY);
        let ReachEnd::Pods { pods, .. } = end else { return nobody };
        let Some(first) = pods.first() else { return nobody };
        let mut nodes: Vec<String> =
            pods.iter().filter_map(|p| engine.pod(*p).and_then(|p| p.node.clone())).collect();
        nodes.sort();
        nodes.dedup();
        Class {
            ingress: engine.policy_set(*first, Direction::Ingress),
            egress: engine.policy_set(*first, Direction::Egress),
            identity: engine.identity(End::Pod(*first)),
            by_family: engine.by_family(*first),
            host_network: engine.pod(*first).is_some_and(|p| p.host_network),
            nodes,
        }
    }

    fn outside(v4: bool, identity: Identity) -> Class {
        let by_family = vec![(v4, identity)];
        Class { ingress: None, egress: None, identity, by_family, host_network: false, nodes: Vec::new() }
    }

    /// Who each is to the other, by every address family that both have; as they are where none is known.
    fn meetings(&self, to: &Class) -> Vec<(Identity, Identity)> {
        let mut meetings = Vec::new();
        for (v4, source) in &self.by_family {
            let same_family = to.by_family.iter().filter(|(family, _)| family == v4);
            meetings.extend(same_family.map(|(_, destination)| (*source, *destination)));
        }
        if meetings.is_empty() { vec![(self.identity, to.identity)] } else { meetings }
    }

    fn is_node_of(&self, to: &Class) -> bool {
        self.host_network && !to.host_network && self.nodes.iter().any(|n| to.nodes.contains(n))
    }
}

/// Port sets, and which of them lies between a policy set and an identity.
struct Table<'e> {
    engine: &'e Engine,
    sets: SetInterner,
    sides: FxHashMap<(SetId, Identity), u32>,
    combinations: FxHashMap<(Combination, u32, u32), u32>,
}

/// How two port sets become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Combination {
    /// Both sides must allow.
    Both,
    /// One of two address families must.
    Any,
}

#[derive(Default)]
struct SetInterner {
    numbers: FxHashMap<PortSet, u32>,
    values: Vec<PortSet>,
}

impl SetInterner {
    fn intern(&mut self, set: PortSet) -> u32 {
        if let Some(id) = self.numbers.get(&set) {
            return *id;
        }
        let id = number(self.values.len());
        self.values.push(set.clone());
        self.numbers.insert(set, id);
        id
    }
}

/// The number of the full set in a [`Table`].
const ALL: u32 = 0;

impl<'e> Table<'e> {
    fn new(engine: &'e Engine) -> Table<'e> {
        let mut sets = SetInterner::default();
        sets.intern(PortSet::all());
        Table { engine, sets, sides: FxHashMap::default(), combinations: FxHashMap::default() }
    }

    fn allowed(&mut self, from: &Class, to: &Class) -> u32 {
        let mut any = None;
        for (source, destination) in from.meetings(to) {
            let egress = self.side(from.egress, destination);
            let ingress = if from.is_node_of(to) { ALL } else { self.side(to.ingress, source) };
            let both = self.combined(Combination::Both, egress, ingress);
            any = Some(any.map_or(both, |before| self.combined(Combination::Any, before, both)));
        }
        any.unwrap_or(ALL)
    }

    fn combined(&mut self, how: Combination, a: u32, b: u32) -> u32 {
        match (how, a, b) {
            (_, a, b) if a == b => return a,
            (Combination::Both, ALL, other) | (Combination::Both, other, ALL) => return other,
            (Combination::Any, ALL, _) | (Combination::Any, _, ALL) => return ALL,
            _ => {}
        }
        if let Some(known) = self.combinations.get(&(how, a, b)) {
            return *known;
        }
        let set = match (how, self.sets.values.get(a as usize), self.sets.values.get(b as usize)) {
            (Combination::Both, Some(a), Some(b)) => a.intersection(b),
            (Combination::Any, Some(a), Some(b)) => a.union(b),
            _ => return ALL,
        };
        let id = self.sets.intern(set);
        self.combinations.insert((how, a, b), id);
        id
    }

    fn side(&mut self, set: Option<SetId>, identity: Identity) -> u32 {
        let Some(set) = set else { return ALL };
        if let Some(known) = self.sides.get(&(set, identity)) {
            return *known;
        }
        let id = self.sets.intern(self.engine.port_map(set, identity).allowed());
        self.sides.insert((set, identity), id);
        id
    }
}

fn workload_ends(engine: &Engine) -> Vec<ReachEnd> {
    let mut by_workload: BTreeMap<(&str, &str, &str), Vec<PodId>> = BTreeMap::new();
    for (i, pod) in engine.world().pods.iter().enumerate() {
        let key = (pod.namespace.as_str(), pod.workload.name.as_str(), pod.workload.kind.as_str());
        by_workload.entry(key).or_default().push(PodId(number(i)));
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

/// Outside addresses in ranges; neighbours that have the same connections with every workload are one.
fn outside_ranges(engine: &Engine, table: &mut Table<'_>, workloads: &[Class]) -> Vec<(ReachEnd, Class)> {
    let mut behaviours: FxHashMap<(bool, Identity), Vec<u32>> = FxHashMap::default();
    let mut merged: Vec<(IpAddr, IpAddr, Class)> = Vec::new();
    for range in engine.address_space().ranges() {
        let class = Class::outside(range.first.is_ipv4(), engine.class_identity(range.class));
        behaviours.entry((range.first.is_ipv4(), class.identity)).or_insert_with(|| {
            workloads.iter().flat_map(|w| [table.allowed(&class, w), table.allowed(w, &class)]).collect()
        });
        match merged.last_mut() {
            Some((first, last, before))
                if first.is_ipv4() == range.first.is_ipv4()
                    && behaviours.get(&(first.is_ipv4(), before.identity))
                        == behaviours.get(&(first.is_ipv4(), class.identity)) =>
            {
                *last = range.last;
            }
            _ => merged.push((range.first, range.last, class)),
        }
    }
    merged.into_iter().map(|(first, last, class)| (ReachEnd::Outside { first, last }, class)).collect()
}
