//! From one world to another: the work of [`Engine::apply`](crate::Engine::apply).
//!
//! Changes are first carried into the stores (objects, matchers, prefixes), noting what they touch: groups of pods whose
//! selectors or policies may be others, prefixes, pods that lie elsewhere. Then everything that was touched is found
//! anew, each thing once however many changes touch it: that is also how a whole world is compiled.
//!
//! What is new is held before what is old is given back, so that what stays the same is not made again.

mod groups;
mod places;
mod policies;

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustc_hash::FxHashSet;

use crate::change::{Change, Delta};
use crate::engine::{Engine, Owner};
use crate::index::GroupId;
use crate::matchers::PeerId;
use crate::model::PodId;

/// Carries out changes.
pub(crate) fn apply(engine: &mut Engine, changes: impl IntoIterator<Item = Change>) -> Delta {
    let mut update = Update::begin(engine);
    for change in changes {
        update.change(change);
    }
    update.finish()
}

/// An update under way.
struct Update<'e> {
    engine: &'e mut Engine,
    added: Vec<PodId>,
    /// Addresses whose answers may have changed.
    addresses: FxHashSet<IpAddr>,
    /// Groups that came in this update.
    new_groups: Vec<GroupId>,
    /// Groups whose policy sets, signature or named ports must be found anew.
    dirty_groups: FxHashSet<GroupId>,
    /// Namespaces that have other labels.
    dirty_namespaces: BTreeSet<String>,
    /// Pods whose addresses may be held by other peers.
    dirty_pods: FxHashSet<PodId>,
    /// Matchers that came in this update.
    new_matchers: Vec<PeerId>,
    /// Matchers that were the subject of other policies before, or were a peer and are none any more, or the reverse.
    touched_matchers: FxHashSet<PeerId>,
    /// Subjects whose policies must be sorted.
    unsorted: FxHashSet<PeerId>,
    /// Matchers that gone policies hold.
    released: Vec<PeerId>,
    /// Port names that egress rules began or ceased to use.
    touched_names: BTreeSet<String>,
    /// Blocks came or went, or what is known of where pods live.
    blocks_changed: bool,
}

impl<'e> Update<'e> {
    fn begin(engine: &'e mut Engine) -> Update<'e> {
        engine.pods.begin_update();
        engine.node_numbers.begin_update();
        engine.policies.begin_update();
        engine.matchers.begin_update();
        engine.index.begin_update();
        engine.sets.begin_update();
        engine.signatures.begin_update();
        engine.named.begin_update();
        engine.space.begin_update();
        Update {
            engine,
            added: Vec::new(),
            addresses: FxHashSet::default(),
            new_groups: Vec::new(),
            dirty_groups: FxHashSet::default(),
            dirty_namespaces: BTreeSet::new(),
            dirty_pods: FxHashSet::default(),
            new_matchers: Vec::new(),
            touched_matchers: FxHashSet::default(),
            unsorted: FxHashSet::default(),
            released: Vec::new(),
            touched_names: BTreeSet::new(),
            blocks_changed: false,
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::AddPod(pod) => {
                let id = PodId(self.engine.pods.insert(pod.clone()));
                self.added.push(id);
                self.own_all(&pod.addresses, Owner::Pod(id));
                self.place_pod(id, &pod);
            }
            Change::SetPod(id, pod) => match self.engine.pods.get(id.0) {
                Some(before) if *before != pod => {
                    let before = before.clone();
                    self.disown_all(&before.addresses, Owner::Pod(id));
                    self.unplace_pod(id);
                    if let Some(slot) = self.engine.pods.get_mut(id.0) {
                        *slot = pod.clone();
                    }
                    // With another name it may be another's turn.
                    self.own_all(&pod.addresses, Owner::Pod(id));
                    self.place_pod(id, &pod);
                }
                _ => {}
            },
            Change::RemovePod(id) => {
                if let Some(before) = self.engine.pods.remove(id.0) {
                    self.disown_all(&before.addresses, Owner::Pod(id));
                    self.unplace_pod(id);
                }
            }
            Change::SetNamespace(namespace) => {
                if self.engine.index.declare(&namespace.name, &namespace.labels) {
                    self.dirty_namespaces.insert(namespace.name);
                }
            }
            Change::RemoveNamespace(name) => {
                if self.engine.index.undeclare(&name) {
                    self.dirty_namespaces.insert(name);
                }
            }
            Change::SetNode(node) => self.set_node(node),
            Change::RemoveNode(name) => self.remove_node(&name),
            Change::SetPolicy(policy) => self.set_policy(policy),
            Change::RemovePolicy(key) => self.remove_policy(&key),
            Change::SetName(name) => self.set_name(name),
            Change::SetPodCidrs(ranges) => {
                self.blocks_changed |= self.engine.pod_cidrs != ranges;
                self.engine.pod_cidrs = ranges;
            }
        }
    }

    /// Finds anew whatever was touched.
    fn finish(mut self) -> Delta {
        self.match_groups();
        let touched: Vec<PeerId> = self.unsorted.iter().copied().collect();
        for subject in touched {
            let mut list = self.engine.matchers.policies_mut(subject).map(std::mem::take).unwrap_or_default();
            self.engine.policies.sort(&mut list);
            if let Some(place) = self.engine.matchers.policies_mut(subject) {
                *place = list;
            }
        }
        self.compile_groups();
        let prefixes = self.engine.space.settle();
        for prefix in &prefixes {
            self.touch_addresses(*prefix);
        }
        self.place_dirty_pods();
        let mut addresses: Vec<IpAddr> = self.addresses.into_iter().collect();
        addresses.sort_unstable();
        Delta { added: self.added, addresses, prefixes }
    }
}
