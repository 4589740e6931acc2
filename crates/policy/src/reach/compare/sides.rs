//! What each side of a connection says in one of the two worlds: the engine's port maps, each once.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::{FROM_OWN_NODE, Mapped};
use crate::decide::Matching;
use crate::ends::Identity;
use crate::model::Traffic;
use crate::policies::SetId;
use crate::portmap::{Decision, PortMap};
use crate::verdict::{Because, Tier};

/// The side of what no policy holds for want of a pod.
pub(super) const NO_SUBJECT: u32 = 0;
/// The side of a pod that no policy holds.
pub(super) const NOT_ISOLATED: u32 = 1;
/// The side of a pod whose own node calls.
pub(super) const OWN_NODE: u32 = 2;

/// A way that a connection can take, with both sides by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// Whether it is IPv4, if that matters.
    pub(super) family: Option<bool>,
    pub(super) egress: u32,
    pub(super) ingress: u32,
}

/// The sides that were asked for.
#[derive(Debug)]
pub(super) struct Sides<'m> {
    mapped: &'m Mapped,
    list: Vec<Side>,
    by_identity: FxHashMap<(SetId, Identity), u32>,
    by_rules: FxHashMap<(SetId, Matching), u32>,
}

#[derive(Debug)]
struct Side {
    map: Rc<PortMap>,
    /// Why it is open where no rule says so.
    open: Because,
    set: Option<SetId>,
}

impl<'m> Sides<'m> {
    pub(super) fn new(mapped: &'m Mapped) -> Sides<'m> {
        let open = Rc::new(PortMap::uniform(Decision::OPEN));
        // In the order of their numbers.
        let list = [Because::NoSubject, Because::NotIsolated, Because::OwnNode];
        let list = list.map(|because| Side { map: open.clone(), open: because, set: None });
        Sides { mapped, list: list.into(), by_identity: FxHashMap::default(), by_rules: FxHashMap::default() }
    }

    /// What the pods of a policy set say to an identity.
    pub(super) fn side(&mut self, set: SetId, other: Identity) -> u32 {
        if let Some(known) = self.by_identity.get(&(set, other)) {
            return *known;
        }
        let engine = &self.mapped.engine;
        let matching = engine.matching(set, other);
        let list = &mut self.list;
        let side = *self.by_rules.entry((set, matching)).or_insert_with_key(|(_, matching)| {
            let map = Rc::new(engine.paint(matching));
            list.push(Side { map, open: Because::NotIsolated, set: Some(set) });
            crate::slots::number(list.len() - 1)
        });
        self.by_identity.insert((set, other), side);
        side
    }

    /// The ways from one end with pods to another.
    pub(super) fn routes(&mut self, from: u32, to: u32, is_own_node: bool) -> Vec<Route> {
        if is_own_node {
            return vec![FROM_OWN_NODE];
        }
        let mapped = self.mapped;
        let pods = &mapped.reach.pods;
        let (Some(from), Some(to)) = (pods.get(from), pods.get(to)) else { return Vec::new() };
        let (source, target) = (pods.seen(from.seen), pods.seen(to.seen));
        let mut routes = Vec::new();
        for (v4, one) in &source.by_family {
            for (_, other) in target.by_family.iter().filter(|(family, _)| family == v4) {
                routes.push(self.route(Some(*v4), (from.egress, *one), (to.ingress, *other)));
            }
        }
        if routes.is_empty() {
            routes.push(self.route(None, (from.egress, source.identity), (to.ingress, target.identity)));
        }
        routes
    }

    fn route(&mut self, family: Option<bool>, from: (u32, u32), to: (u32, u32)) -> Route {
        Route { family, egress: self.numbered(from.0, to.1), ingress: self.numbered(to.0, from.1) }
    }

    /// A side by the map's numbers of its policy set and of the other end's identity.
    fn numbered(&mut self, set: u32, other: u32) -> u32 {
        let numbers = &self.mapped.reach.numbers;
        let set = numbers.sets().get(set as usize).copied().flatten();
        match (set, numbers.identities().get(other as usize).copied()) {
            (Some(set), Some(other)) => self.side(set, other),
            _ => NOT_ISOLATED,
        }
    }

    pub(super) fn map(&self, side: u32) -> &PortMap {
        #[expect(clippy::indexing_slicing, reason = "numbers are given out for this list alone")]
        &self.list[side as usize].map
    }

    pub(super) fn because(&self, side: u32, traffic: Traffic) -> Because {
        let Some(side) = self.list.get(side as usize) else { return Because::NoSubject };
        let decision = side.map.decide(traffic);
        match (decision.rule, decision.allow, side.set) {
            (Some(rule), ..) => Because::Rule(rule),
            (None, false, Some(set)) => {
                Because::NoRule(self.mapped.engine.set_policies(set, Tier::NetworkPolicy).to_vec())
            }
            (None, ..) => side.open.clone(),
        }
    }
}
