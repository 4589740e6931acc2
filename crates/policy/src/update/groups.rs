//! Which selectors match which groups, and the policy sets, signatures and named ports that follow.

use rustc_hash::FxHashMap;

use super::Update;
use crate::engine::{Engine, Group, NamedId, SignatureId};
use crate::index::GroupId;
use crate::matchers::PeerId;
use crate::model::{NamedPort, PolicyId};
use crate::policies::{ListId, SetId, SetKey};
use crate::slots::Interner;
use crate::verdict::{Direction, Tier};

/// By direction and tier.
type ListsOfTiers = [[Option<ListId>; 3]; 2];

impl Update<'_> {
    /// Which selectors match which groups, after all that came and went.
    pub(super) fn match_groups(&mut self) {
        let mut gone = Vec::new();
        for id in std::mem::take(&mut self.released) {
            if let Some(matcher) = self.engine.matchers.release(id) {
                self.hold_addresses(id, &matcher, false);
                gone.push((id, matcher));
            }
        }
        let mut recheck: Vec<GroupId> = std::mem::take(&mut self.new_groups);
        for name in std::mem::take(&mut self.dirty_namespaces) {
            let namespace = self.engine.index.find_namespace(&name);
            recheck.extend(namespace.map_or(&[][..], |id| self.engine.index.groups_in(id)));
        }
        let Engine { index, matchers, groups, .. } = &mut *self.engine;
        for group in recheck {
            let Some(key) = index.group(group) else { continue };
            let found = matchers.matching(index, key);
            if let Some(Some(known)) = groups.get_mut(group.0 as usize)
                && known.matchers != found
            {
                known.matchers = found;
                self.dirty_groups.insert(group);
            }
        }
        for (id, matcher) in gone {
            for group in matcher.select(index) {
                if let Some(Some(known)) = groups.get_mut(group.0 as usize) {
                    known.matchers.retain(|m| *m != id);
                    self.dirty_groups.insert(group);
                }
            }
        }
        for id in &self.new_matchers {
            for group in matchers.get(*id).map(|m| m.select(index)).unwrap_or_default() {
                if let Some(Some(known)) = groups.get_mut(group.0 as usize) {
                    known.matchers.push(*id);
                    self.dirty_groups.insert(group);
                }
            }
            self.touched_matchers.remove(id);
            matchers.make_candidate(*id);
        }
        for id in &self.touched_matchers {
            self.dirty_groups.extend(matchers.get(*id).map(|m| m.select(index)).unwrap_or_default());
        }
        if !self.touched_names.is_empty() {
            let uses = |ports: &[NamedPort]| ports.iter().any(|p| self.touched_names.contains(&p.name));
            let ids = (0u32..).map(GroupId).take(groups.len());
            self.dirty_groups.extend(ids.filter(|g| index.group(*g).is_some_and(|k| uses(&k.named_ports))));
        }
    }

    /// What follows from the selectors that match a group.
    pub(super) fn compile_groups(&mut self) {
        let mut dirty: Vec<GroupId> = std::mem::take(&mut self.dirty_groups).into_iter().collect();
        dirty.sort_unstable();
        let mut lists = Lists::default();
        for id in dirty {
            let Some(slot) = self.engine.groups.get_mut(id.0 as usize) else { continue };
            let Some(mut group) = slot.take() else { continue };
            if group.pods.is_empty() {
                self.drop_group(id, group);
                continue;
            }
            let before = (group.sets, group.signature, group.named);
            self.compile_group(id, &mut group, &mut lists);
            if (group.sets, group.signature, group.named) != before {
                let pods = group.pods.iter().filter_map(|p| self.engine.pods.get(p.0));
                self.addresses.extend(pods.flat_map(|p| &p.addresses));
            }
            if let Some(slot) = self.engine.groups.get_mut(id.0 as usize) {
                *slot = Some(group);
            }
        }
        for list in lists.known.into_values().flatten().flatten().flatten() {
            self.engine.sets.release_list(list);
        }
    }

    fn compile_group(&mut self, id: GroupId, group: &mut Group, lists: &mut Lists) {
        let engine = &mut *self.engine;
        group.matchers.sort_unstable();
        group.matchers.dedup();
        let of_peers = group.matchers.iter().copied();
        let peers: Vec<PeerId> = of_peers.filter(|m| engine.matchers.is_peer(*m)).collect();
        let (signature, _) = engine.signatures.hold(&peers, |s: &[PeerId]| s.into());
        engine.signatures.release(std::mem::replace(&mut group.signature, SignatureId(signature)).0);

        let ports = engine.index.group(id).map_or(&[][..], |k| &k.named_ports);
        let named = hold_named(&mut engine.named, ports, |name| engine.egress_names.contains_key(name));
        engine.named.release(std::mem::replace(&mut group.named, named).0);

        let subjects = group.matchers.iter().copied();
        let subjects: Vec<PeerId> = subjects.filter(|m| !engine.matchers.policies(*m).is_empty()).collect();
        let lists = lists.of(engine, subjects);
        for direction in Direction::ALL {
            let tiers = lists.get(direction.place()).copied().unwrap_or_default();
            let set = (tiers != [None; 3]).then(|| engine.hold_set(id, direction, tiers));
            if let Some(slot) = group.sets.get_mut(direction.place())
                && let Some(before) = std::mem::replace(slot, set)
            {
                engine.release_set(before);
            }
        }
    }

    fn drop_group(&mut self, id: GroupId, group: Group) {
        let engine = &mut *self.engine;
        for set in group.sets.into_iter().flatten() {
            engine.release_set(set);
        }
        engine.signatures.release(group.signature.0);
        engine.named.release(group.named.0);
        engine.index.remove_group(id);
    }
}

/// The lists of policies that follow from subjects, found once for each combination. Each is held.
#[derive(Default)]
struct Lists {
    known: FxHashMap<Vec<PeerId>, ListsOfTiers>,
}

impl Lists {
    fn of(&mut self, engine: &mut Engine, subjects: Vec<PeerId>) -> ListsOfTiers {
        if let Some(known) = self.known.get(&subjects) {
            return *known;
        }
        let mut ids: Vec<PolicyId> =
            subjects.iter().flat_map(|s| engine.matchers.policies(*s)).copied().collect();
        if subjects.len() > 1 {
            engine.policies.sort(&mut ids);
        }
        let lists = Direction::ALL.map(|direction| {
            Tier::WITH_POLICIES.map(|tier| {
                let of_tier = ids.iter().copied();
                let of_tier = of_tier
                    .filter(|id| engine.policies.get(*id).and_then(|c| c.tier(direction)) == Some(tier));
                let of_tier: Vec<PolicyId> = of_tier.collect();
                engine.sets.hold_list(&engine.policies, direction, of_tier)
            })
        });
        self.known.insert(subjects, lists);
        lists
    }
}

/// Those of a group's named ports that have a name which matters.
fn hold_named(
    interner: &mut Interner<[NamedPort]>,
    ports: &[NamedPort],
    matters: impl Fn(&str) -> bool,
) -> NamedId {
    let used: Vec<NamedPort> = ports.iter().filter(|n| matters(&n.name)).cloned().collect();
    NamedId(interner.hold(&used, |n: &[NamedPort]| n.into()).0)
}

impl Engine {
    fn hold_set(&mut self, group: GroupId, direction: Direction, tiers: [Option<ListId>; 3]) -> SetId {
        let ports = match direction {
            Direction::Ingress => self.index.group(group).map_or(&[][..], |k| &k.named_ports),
            Direction::Egress => &[],
        };
        let sets = &self.sets;
        let matters =
            |name: &str| tiers.iter().flatten().any(|list| sets.names(*list).iter().any(|n| **n == *name));
        let named = hold_named(&mut self.named, ports, matters);
        let (set, new) = self.sets.hold_set(&SetKey { direction, tiers, named });
        if !new {
            // A set holds its named ports once.
            self.named.release(named.0);
        }
        set
    }

    fn release_set(&mut self, set: SetId) {
        if let Some(named) = self.sets.release_set(set) {
            self.named.release(named.0);
        }
    }
}
