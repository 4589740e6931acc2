//! A node's image that follows an engine: after each update it is what a new one would be, and costs what the update
//! changes.
//!
//! An address or a prefix holds its identity, and a local address its policy sets; a pair of a policy set and an identity
//! holds its port map, and a port map its rules. What nobody holds any more is gone from the image, and its number is
//! free. A whole image is the first step, in which everything is new.
//!
//! It relies on what [`Delta`] promises: what it does not name has the answers it had, and an engine's numbers mean one
//! thing until the update after the one that frees them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::{Decision, Delta, Direction, End, Engine, Identity, PortMap, SetId, Usual};
use rustc_hash::FxHashMap;

use crate::abi::{Address, IDENTITY_ANY, IDENTITY_UNMATCHED, Prefix, RANGE_EXEMPT, RANGE_PODS, RuleKey};
use crate::image::changes::ImageChanges;
use crate::image::holders::Holders;
use crate::image::portmaps::{PortMaps, Writer};
use crate::image::{Endpoint, Image, NodeView};
use crate::naming::{Namer, Space};

/// Keeps the image of one node at what an engine says.
#[derive(Debug, Clone)]
pub struct ImageKeeper {
    node: String,
    namer: Namer,
    image: Image,
    changes: ImageChanges,
    /// Pods' addresses.
    addresses: FxHashMap<IpAddr, Known>,
    prefixes: FxHashMap<IpNet, Identity>,
    /// How many IPv6 prefixes hold the range in which IPv4 addresses are kept.
    around_ipv4: u32,
    /// [`Identity::NOBODY`] is not among them: it is always there.
    identities: Holders<Identity, u64>,
    /// The policy sets of local addresses.
    sets: Holders<SetId, u64>,
    /// The policy sets of local addresses with the identities that those have, and where what holds between such a pod
    /// and itself is written, if anything is.
    hairpins: Holders<(SetId, Identity), Option<RuleKey>>,
    portmaps: PortMaps,
}

/// How much is kept: whoever has followed many updates keeps no more than who begins now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    addresses: usize,
    prefixes: usize,
    around_ipv4: u32,
    identities: usize,
    sets: usize,
    hairpins: usize,
    portmaps: usize,
    rules: usize,
    numbers: usize,
}

/// What is known of a pod's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    identity: Identity,
    /// Of this node's pods, by direction.
    sets: Option<[Option<SetId>; 2]>,
}

const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

impl ImageKeeper {
    /// Begins with what an engine says now.
    pub fn new(engine: &Engine, node: &NodeView) -> ImageKeeper {
        let mut keeper = ImageKeeper {
            node: node.name.clone(),
            namer: Namer::new(node.salt),
            image: Image::default(),
            changes: ImageChanges::default(),
            addresses: FxHashMap::default(),
            prefixes: FxHashMap::default(),
            around_ipv4: 0,
            identities: Holders::default(),
            sets: Holders::default(),
            hairpins: Holders::default(),
            portmaps: PortMaps::default(),
        };
        for range in &node.pod_ranges {
            keeper.image.ranges.insert(Prefix::from(*range), RANGE_PODS);
        }
        for address in &node.not_pods {
            keeper.image.ranges.insert(Prefix::from(IpNet::from(*address)), RANGE_EXEMPT);
        }
        let addresses: Vec<IpAddr> = engine.pods().flat_map(|(_, pod)| &pod.addresses).copied().collect();
        let prefixes: Vec<IpNet> = engine.address_space().prefixes().map(|(net, _)| net).collect();
        keeper.step(engine, &addresses, &prefixes);
        keeper.changes = ImageChanges::default();
        keeper
    }

    /// Follows an engine over one update. No update may be left out.
    pub fn update(&mut self, engine: &Engine, delta: &Delta) {
        self.step(engine, &delta.addresses, &delta.prefixes);
    }

    /// What the node's tables must say.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// What was written since [`ImageKeeper::accept`].
    pub fn changes(&self) -> &ImageChanges {
        &self.changes
    }

    /// The image is in force: what it was before is of no interest any more.
    pub fn accept(&mut self) -> ImageChanges {
        std::mem::take(&mut self.changes)
    }

    /// The image as it is.
    pub fn into_image(self) -> Image {
        self.image
    }

    /// The image as it was accepted.
    pub fn into_accepted(mut self) -> Image {
        self.changes.undo(&mut self.image);
        self.image
    }

    /// How much is kept.
    pub fn kept(&self) -> Kept {
        let (portmaps, rules) = self.portmaps.counts();
        Kept {
            addresses: self.addresses.len(),
            prefixes: self.prefixes.len(),
            around_ipv4: self.around_ipv4,
            identities: self.identities.len(),
            sets: self.sets.len(),
            hairpins: self.hairpins.len(),
            portmaps,
            rules,
            numbers: self.namer.len(),
        }
    }

    fn step(&mut self, engine: &Engine, addresses: &[IpAddr], prefixes: &[IpNet]) {
        for address in addresses {
            self.hold_address(engine, *address);
        }
        for prefix in prefixes {
            self.hold_prefix(engine, *prefix);
        }
        self.settle(engine);
        for address in addresses {
            self.write_address(*address);
        }
        for prefix in prefixes {
            self.write_prefix(*prefix);
        }
        self.write_ipv4();
    }

    fn hold_address(&mut self, engine: &Engine, address: IpAddr) {
        let pod = engine.pod_at(address).and_then(|id| Some((id, engine.pod(id)?)));
        let known = pod.filter(|(_, pod)| !pod.host_network).map(|(id, pod)| Known {
            // Asked by address: of a pod with two, a block may hold one.
            identity: engine.identity(End::Address(address)),
            sets: (pod.node.as_ref() == Some(&self.node))
                .then(|| DIRECTIONS.map(|direction| engine.policy_set(id, direction))),
        });
        let before = match known {
            Some(known) => self.addresses.insert(address, known),
            None => self.addresses.remove(&address),
        };
        if let Some(known) = known {
            self.hold_identity(known.identity);
            for set in known.sets.iter().flatten().flatten() {
                self.sets.hold(set);
                self.hairpins.hold(&(*set, known.identity));
            }
        }
        if let Some(known) = before {
            self.release_identity(known.identity);
            for set in known.sets.iter().flatten().flatten() {
                self.sets.release(set);
                self.hairpins.release(&(*set, known.identity));
            }
        }
    }

    fn hold_prefix(&mut self, engine: &Engine, prefix: IpNet) {
        if is_inside_ipv4(prefix) {
            return;
        }
        let class = engine.address_space().class_of_prefix(prefix);
        let identity = class.map(|class| engine.class_identity(class));
        let before = match identity {
            Some(identity) => self.prefixes.insert(prefix, identity),
            None => self.prefixes.remove(&prefix),
        };
        let is_around_ipv4 =
            matches!(prefix, IpNet::V6(_)) && Prefix::from(prefix).contains(Prefix::IPV4.first());
        if let Some(identity) = identity {
            self.hold_identity(identity);
            self.around_ipv4 += u32::from(is_around_ipv4);
        }
        if let Some(identity) = before {
            self.release_identity(identity);
            self.around_ipv4 = self.around_ipv4.saturating_sub(u32::from(is_around_ipv4));
        }
    }

    fn hold_identity(&mut self, identity: Identity) {
        if identity != Identity::NOBODY {
            self.identities.hold(&identity);
        }
    }

    fn release_identity(&mut self, identity: Identity) {
        if identity != Identity::NOBODY {
            self.identities.release(&identity);
        }
    }

    /// Carries what came and went into rules and port maps.
    fn settle(&mut self, engine: &Engine) {
        let (sets, identities) = (self.sets.settle(), self.identities.settle());
        let hairpins = self.hairpins.settle();
        // First what is gone, for a number of an engine's may be new and its content, with our number, the same.
        for key in hairpins.gone.into_iter().filter_map(|(_, key)| key) {
            self.remove_rule(key);
        }
        for (_, number) in sets.gone {
            self.remove_set(number);
        }
        let stayed: BTreeMap<SetId, u64> = self.sets.iter().map(|(set, number)| (*set, number)).collect();
        let usual: Vec<(SetId, u64, Usual)> = match identities.new.is_empty() {
            true => Vec::new(),
            false => stayed.iter().map(|(set, number)| (*set, *number, engine.usual(*set))).collect(),
        };
        for (_, number) in identities.gone {
            for set in stayed.values() {
                self.remove_rule(RuleKey { set: *set, identity: number });
            }
            self.namer.forget(Space::Identity, number);
        }
        for identity in &identities.new {
            let number = self.namer.identity(engine, *identity);
            self.identities.set(identity, number);
            for (set, set_number, usual) in &usual {
                self.add_rule(engine, (*set, *set_number), usual, (*identity, number));
            }
        }
        for set in &sets.new {
            self.add_set(engine, *set);
        }
        for (set, identity) in &hairpins.new {
            self.add_hairpin(engine, *set, *identity);
        }
        // Nothing is new or gone by giving values.
        self.identities.settle();
        self.sets.settle();
        self.hairpins.settle();
        let ImageKeeper { portmaps, namer, image, changes, .. } = self;
        portmaps.settle(&mut Writer { engine, namer, image, changes });
    }

    fn add_set(&mut self, engine: &Engine, set: SetId) {
        let number = self.namer.set(engine, set);
        self.sets.set(&set, number);
        let usual = engine.usual(set);
        let portmap = self.portmap(engine, engine.usual_map(&usual));
        self.put_rule(RuleKey { set: number, identity: IDENTITY_ANY }, portmap);
        let nobody = (Identity::NOBODY, IDENTITY_UNMATCHED);
        let mut identities: Vec<(Identity, u64)> = self.identities.iter().map(|(i, n)| (*i, n)).collect();
        identities.sort_unstable();
        for identity in identities.into_iter().chain([nobody]) {
            self.add_rule(engine, (set, number), &usual, identity);
        }
    }

    fn remove_set(&mut self, number: u64) {
        let first = RuleKey { set: number, identity: 0 };
        let last = RuleKey { set: number, identity: u64::MAX };
        let keys: Vec<RuleKey> = self.image.rules.range(first..=last).map(|(key, _)| *key).collect();
        for key in keys {
            self.remove_rule(key);
        }
        self.namer.forget(Space::Set, number);
    }

    /// The port map toward an identity, unless it is the one toward what the set usually meets.
    fn add_rule(
        &mut self,
        engine: &Engine,
        (set, set_number): (SetId, u64),
        usual: &Usual,
        (identity, number): (Identity, u64),
    ) {
        if engine.is_usual(usual, identity) {
            return;
        }
        let portmap = self.portmap(engine, engine.port_map(set, identity));
        let default = RuleKey { set: set_number, identity: IDENTITY_ANY };
        if self.image.rules.get(&default) != Some(&portmap) {
            self.put_rule(RuleKey { set: set_number, identity: number }, portmap);
        }
    }

    /// What holds between a pod and itself, where cluster-wide policies have a say.
    fn add_hairpin(&mut self, engine: &Engine, set: SetId, identity: Identity) {
        let mut key = None;
        if engine.has_cluster_policies(set)
            && let Some(number) = self.sets.get(&set)
        {
            let map = engine.hairpin_map(set, identity);
            if map != PortMap::uniform(Decision::OPEN) {
                let written = RuleKey::hairpin(number, self.identity_number(identity));
                let portmap = self.portmap(engine, map);
                self.put_rule(written, portmap);
                key = Some(written);
            }
        }
        self.hairpins.set(&(set, identity), key);
    }

    fn portmap(&mut self, engine: &Engine, map: PortMap) -> u64 {
        let ImageKeeper { portmaps, namer, image, changes, .. } = self;
        portmaps.number(map, &mut Writer { engine, namer, image, changes })
    }

    fn put_rule(&mut self, key: RuleKey, portmap: u64) {
        self.portmaps.hold(portmap, &self.image);
        self.changes.rules.write(&mut self.image.rules, key, Some(portmap));
    }

    fn remove_rule(&mut self, key: RuleKey) {
        if let Some(portmap) = self.image.rules.get(&key) {
            self.portmaps.release(*portmap, &self.image);
            self.changes.rules.write(&mut self.image.rules, key, None);
        }
    }

    fn write_address(&mut self, address: IpAddr) {
        let known = self.addresses.get(&address);
        let peer = known.map(|known| self.identity_number(known.identity));
        let endpoint = known.and_then(|known| known.sets).map(|[ingress, egress]| {
            let number = |set: Option<SetId>| set.and_then(|set| self.sets.get(&set));
            Endpoint { ingress: number(ingress), egress: number(egress) }
        });
        let address = Address::from(address);
        self.changes.peers.write(&mut self.image.peers, address, peer);
        self.changes.endpoints.write(&mut self.image.endpoints, address, endpoint);
    }

    fn write_prefix(&mut self, net: IpNet) {
        if is_inside_ipv4(net) {
            return;
        }
        let identity = self.prefixes.get(&net).map(|identity| self.identity_number(*identity));
        self.changes.cidrs.write(&mut self.image.cidrs, Prefix::from(net), identity);
    }

    /// IPv4 addresses are kept inside an IPv6 range, which a wide IPv6 block must not reach.
    fn write_ipv4(&mut self) {
        let everything = IpNet::from(ipnet::Ipv4Net::default());
        let own = self.prefixes.get(&everything).map(|identity| self.identity_number(*identity));
        let identity = own.or((self.around_ipv4 > 0).then_some(IDENTITY_UNMATCHED));
        self.changes.cidrs.write(&mut self.image.cidrs, Prefix::IPV4, identity);
    }

    fn identity_number(&self, identity: Identity) -> u64 {
        self.identities.get(&identity).unwrap_or(IDENTITY_UNMATCHED)
    }
}

/// An IPv6 block inside the range in which IPv4 addresses are kept would say something of those. No address that is on
/// a wire lies in it.
fn is_inside_ipv4(net: IpNet) -> bool {
    let prefix = Prefix::from(net);
    matches!(net, IpNet::V6(_))
        && prefix.bits() >= Prefix::IPV4.bits()
        && Prefix::IPV4.contains(prefix.first())
}
