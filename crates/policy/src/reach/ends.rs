//! The ends that have pods, and which of them send alike.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::ends::End;
use crate::engine::Engine;
use crate::model::{Pod, PodId};
use crate::reach::sides::{Numbered, Numbers};
use crate::reach::{ReachEnd, View};
use crate::slots::number;
use crate::verdict::Direction;

/// The ends that have pods, by place. Everything is in the numbers of [`Numbers`].
#[derive(Debug, Clone, Default)]
pub(super) struct Pods {
    ends: Vec<PodsEnd>,
    senders: Numbered<Sender>,
    seen: Numbered<Seen>,
    /// How many identities pods have: they are numbered first.
    identities: u32,
    /// By node, the ends with pods there that have a network of their own, sorted.
    on_node: Vec<Vec<u32>>,
}

/// An end, as far as its connections are concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct PodsEnd {
    /// The policy set.
    pub(super) ingress: u32,
    /// The policy set.
    pub(super) egress: u32,
    /// What policies see of it.
    pub(super) seen: u32,
    /// Which sender it is.
    pub(super) sender: u32,
    /// The first and the last end of the same workload, in the view of pods of the same pod: connections among these
    /// are not listed.
    pub(super) own: (u32, u32),
}

/// What decides of connections from an end. Ends that agree on it have one row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Sender {
    /// The policy set.
    pub(super) egress: u32,
    /// What policies see of it.
    pub(super) seen: u32,
    /// The nodes whose network it uses: a node always reaches its own pods.
    pub(super) nodes: Vec<u32>,
}

/// What policies see of an end: its identities.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) identity: u32,
    /// The same by address family, where addresses are known; whether it is IPv4.
    pub(super) by_family: Vec<(bool, u32)>,
}

impl Seen {
    /// Every identity by which it may be known: by family, then without one.
    pub(super) fn identities(&self) -> impl Iterator<Item = u32> {
        self.by_family.iter().map(|(_, identity)| *identity).chain([self.identity])
    }
}

/// What policies can tell of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Class {
    ingress: u32,
    egress: u32,
    seen: u32,
    host_network: bool,
}

/// Some pods of a world.
type Members<'e> = Vec<(PodId, &'e Pod)>;

/// Pods that are one end unless policies can tell them apart.
struct Unit<'e> {
    pods: Members<'e>,
    /// Whether these are all pods of their workload.
    whole: bool,
}

impl Pods {
    /// The ends of a world's pods.
    pub(super) fn new(engine: &Engine, view: View, numbers: &mut Numbers) -> (Pods, Vec<ReachEnd>) {
        let mut all = Pods::default();
        let mut nodes: Numbered<&str> = Numbered::default();
        let mut ends = Vec::new();
        for Unit { pods, whole } in units(engine, view) {
            let mut alike: Vec<(Class, Members<'_>)> = Vec::new();
            let mut places: FxHashMap<Class, usize> = FxHashMap::default();
            for (id, pod) in pods {
                let class = all.class(engine, id, pod, numbers);
                let place = *places.entry(class).or_insert(alike.len());
                match alike.get_mut(place) {
                    Some((_, pods)) => pods.push((id, pod)),
                    None => alike.push((class, vec![(id, pod)])),
                }
            }
            let first = number(ends.len());
            let own = (first, first + number(alike.len().saturating_sub(1)));
            let whole = whole && alike.len() == 1;
            for (class, pods) in alike {
                let on: Vec<&str> = pods.iter().filter_map(|(_, pod)| pod.node.as_deref()).collect();
                let mut on: Vec<u32> = on.into_iter().map(|node| nodes.number(node)).collect();
                on.sort_unstable();
                on.dedup();
                all.push(class, on, own);
                ends.extend(reach_end(&pods, whole));
            }
        }
        all.identities = number(numbers.identities().len());
        (all, ends)
    }

    fn class(&mut self, engine: &Engine, id: PodId, pod: &Pod, numbers: &mut Numbers) -> Class {
        let families = engine.by_family(id).into_iter();
        let by_family = families.map(|(v4, identity)| (v4, numbers.identity(identity))).collect();
        let identity = numbers.identity(engine.identity(End::Pod(id)));
        Class {
            ingress: numbers.set(engine.policy_set(id, Direction::Ingress)),
            egress: numbers.set(engine.policy_set(id, Direction::Egress)),
            seen: self.seen.number(Seen { identity, by_family }),
            host_network: pod.host_network,
        }
    }

    fn push(&mut self, class: Class, nodes: Vec<u32>, own: (u32, u32)) {
        let Class { ingress, egress, seen, host_network } = class;
        let (itself, under) = if host_network { (nodes, Vec::new()) } else { (Vec::new(), nodes) };
        for node in under {
            if self.on_node.len() <= node as usize {
                self.on_node.resize(node as usize + 1, Vec::new());
            }
            let place = self.len();
            if let Some(list) = self.on_node.get_mut(node as usize) {
                list.push(place);
            }
        }
        let sender = self.senders.number(Sender { egress, seen, nodes: itself });
        self.ends.push(PodsEnd { ingress, egress, seen, sender, own });
    }

    /// How many ends there are.
    pub(super) fn len(&self) -> u32 {
        number(self.ends.len())
    }

    /// How many identities pods have.
    pub(super) fn identities(&self) -> usize {
        self.identities as usize
    }

    /// An end.
    pub(super) fn get(&self, end: u32) -> Option<&PodsEnd> {
        self.ends.get(end as usize)
    }

    /// All ends.
    pub(super) fn ends(&self) -> &[PodsEnd] {
        &self.ends
    }

    /// All senders, by number.
    pub(super) fn senders(&self) -> &[Sender] {
        self.senders.values()
    }

    /// What policies see of some end.
    pub(super) fn seen(&self, seen: u32) -> &Seen {
        #[expect(clippy::indexing_slicing, reason = "numbers are given out by `class` alone, for this list")]
        &self.seen.values()[seen as usize]
    }

    /// The ends with pods on some nodes; some of them twice.
    pub(super) fn on_nodes<'a>(&'a self, nodes: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        nodes.iter().filter_map(|n| self.on_node.get(*n as usize)).flatten().copied()
    }
}

fn reach_end(pods: &[(PodId, &Pod)], whole: bool) -> Option<ReachEnd> {
    let (_, first) = pods.first()?;
    Some(ReachEnd::Pods {
        namespace: first.namespace.clone(),
        workload: first.workload.clone(),
        pods: pods.iter().map(|(id, _)| *id).collect(),
        whole,
    })
}

/// All pods in the order of a view.
fn units(engine: &Engine, view: View) -> Vec<Unit<'_>> {
    let mut workloads: BTreeMap<(&str, &str, &str), Members<'_>> = BTreeMap::new();
    for (id, pod) in pods_of(engine) {
        let key = (pod.namespace.as_str(), pod.workload.name.as_str(), pod.workload.kind.as_str());
        workloads.entry(key).or_default().push((id, pod));
    }
    let workloads = workloads.into_values();
    match view {
        View::Workloads => workloads.map(|pods| Unit { pods, whole: true }).collect(),
        View::Pods => {
            let mut pods: Vec<(PodId, &Pod, bool)> = workloads
                .flat_map(|pods| {
                    let whole = pods.len() == 1;
                    pods.into_iter().map(move |(id, pod)| (id, pod, whole))
                })
                .collect();
            // The templates of two workloads may share a name. Those of one workload come after those of the other.
            pods.sort_by_key(|(_, pod, _)| (pod.namespace.as_str(), pod.name.as_str()));
            pods.into_iter().map(|(id, pod, whole)| Unit { pods: vec![(id, pod)], whole }).collect()
        }
    }
}

fn pods_of(engine: &Engine) -> impl Iterator<Item = (PodId, &Pod)> {
    engine.pods()
}
