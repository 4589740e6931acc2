//! An engine that is changed step by step against one that is compiled anew: the same answers, the naive engine's, and
//! nothing left over.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_oracle::agreement::compare;
use ringfence_oracle::changes::Watch;
use ringfence_oracle::worlds::{Size, steps};
use ringfence_policy::{DistinctPeer, End, Engine, Identity, NamedPort, PodId, PolicyKey, Tier, World};

/// Sequences of each size, of about a dozen worlds.
const SEQUENCES: u64 = 60;

#[test]
fn small_worlds() {
    check(&Size::small(), 5_000_000..5_000_000 + SEQUENCES);
}

#[test]
fn clusters_with_addresses() {
    check(&Size::cluster(), 6_000_000..6_000_000 + SEQUENCES);
}

#[test]
fn manifests_without_addresses() {
    check(&Size::manifests(), 7_000_000..7_000_000 + SEQUENCES);
}

#[test]
fn everything_gone_leaves_nothing() {
    let nothing = Engine::new(World::default()).statistics();
    for seed in 0..100 {
        let mut follower = Follower::new();
        for world in steps(seed, &Size::default()) {
            follower.follow(&world, seed, true);
        }
        follower.follow(&World::default(), seed, true);
        assert_eq!(follower.engine.statistics(), nothing, "seed {seed}");
    }
}

fn check(size: &Size, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut follower = Follower::new();
        for (step, world) in steps(seed, size).iter().enumerate() {
            // Now all changes at once, now one by one.
            follower.follow(world, seed + step as u64, step % 2 == 0);
            let place = || format!("seed {seed}, step {step}");
            let fresh = Engine::new(world.clone());
            assert_eq!(follower.engine.statistics(), fresh.statistics(), "{}", place());
            assert_eq!(follower.known, Known::of(&fresh), "{}: not told", place());
            if let Err(wrong) = compare(world, &follower.engine, &follower.ids(world), seed) {
                panic!("{}: {wrong}\nin {world:#?}", place());
            }
        }
    }
}

/// An engine that is changed, and what its deltas have told.
struct Follower {
    engine: Engine,
    watch: Watch,
    known: Known,
}

impl Follower {
    fn new() -> Follower {
        let engine = Engine::new(World::default());
        Follower { engine, watch: Watch::default(), known: Known::default() }
    }

    fn ids(&self, world: &World) -> Vec<PodId> {
        world.pods.iter().filter_map(|pod| self.watch.id(pod)).collect()
    }

    fn follow(&mut self, world: &World, seed: u64, at_once: bool) {
        for batch in self.watch.batches(world, seed, at_once) {
            let delta = self.engine.apply(batch.clone());
            self.watch.told(&batch, &delta.added);
            self.known.learn(&self.engine, &delta.addresses, &delta.prefixes);
        }
    }
}

/// What somebody knows who asked once for everything that a delta named, by content and not by number.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    addresses: BTreeMap<IpAddr, Side>,
    prefixes: BTreeMap<IpNet, Described>,
}

/// An address's owner, its identity and its policies in both directions.
type Side = (Option<String>, Described, [Vec<PolicyKey>; 2]);

type Described = (Vec<DistinctPeer>, Vec<NamedPort>);

impl Known {
    fn of(engine: &Engine) -> Known {
        let mut known = Known::default();
        let pods = engine.pods().flat_map(|(_, pod)| pod.addresses.clone());
        let addresses: Vec<IpAddr> = pods.chain(engine.nodes().flat_map(|n| n.addresses.clone())).collect();
        let prefixes: Vec<IpNet> = engine.address_space().prefixes().map(|(net, _)| net).collect();
        known.learn(engine, &addresses, &prefixes);
        known
    }

    fn learn(&mut self, engine: &Engine, addresses: &[IpAddr], prefixes: &[IpNet]) {
        for address in addresses {
            self.addresses.remove(address);
            let pod = engine.pod_at(*address);
            let node = engine.nodes().find(|n| n.addresses.contains(address)).map(|n| n.name.clone());
            if pod.is_none() && node.is_none() {
                continue;
            }
            let owner = pod.and_then(|p| engine.pod(p)).filter(|p| !p.host_network);
            let owner_name = owner.map(|p| format!("{}/{} on {:?}", p.namespace, p.name, p.node));
            // What holds an address that is no pod's is told by its prefix.
            let identity = match owner {
                Some(_) => describe(engine, engine.identity(End::Address(*address))),
                None => Described::default(),
            };
            let sets = [ringfence_policy::Direction::Ingress, ringfence_policy::Direction::Egress].map(|d| {
                let set = pod.and_then(|p| engine.policy_set(p, d));
                let ids = set.into_iter().flat_map(|s| {
                    Tier::WITH_POLICIES.into_iter().flat_map(move |tier| engine.set_policies(s, tier))
                });
                ids.filter_map(|id| Some(engine.policy(*id)?.key())).collect()
            });
            self.addresses.insert(*address, (owner_name, identity, sets));
        }
        for prefix in prefixes {
            self.prefixes.remove(prefix);
            if let Some(class) = engine.address_space().class_of_prefix(*prefix) {
                self.prefixes.insert(*prefix, describe(engine, engine.class_identity(class)));
            }
        }
    }
}

fn describe(engine: &Engine, identity: Identity) -> Described {
    let (peers, ports) = engine.describe(identity);
    let mut peers: Vec<DistinctPeer> = peers.cloned().collect();
    peers.sort();
    (peers, ports.to_vec())
}
