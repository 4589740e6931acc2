//! Random worlds for proptest, which shrinks them by leaving out policies and rules.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use ringfence_policy::model::World;

use crate::worlds::{Addresses, Families, Size, world};

/// How many policies and rules of a world can be left out one by one; larger worlds keep the rest.
const SWITCHES: usize = 64;

/// Worlds of this size.
pub fn worlds(size: Size) -> impl Strategy<Value = World> {
    let keep = || vec(proptest::bool::weighted(0.97), SWITCHES);
    (any::<u64>().no_shrink(), keep(), keep()).prop_map(move |(seed, policies, rules)| {
        let mut world = world(seed, &size);
        let mut kept = policies.into_iter().chain(std::iter::repeat(true));
        world.policies.retain(|_| kept.next().unwrap_or(true));
        let mut kept = rules.into_iter().chain(std::iter::repeat(true));
        for policy in &mut world.policies {
            for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
                rules.retain(|_| kept.next().unwrap_or(true));
            }
        }
        world.cluster_policies.retain(|_| kept.next().unwrap_or(true));
        for policy in &mut world.cluster_policies {
            policy.ingress.retain(|_| kept.next().unwrap_or(true));
            policy.egress.retain(|_| kept.next().unwrap_or(true));
        }
        world
    })
}

/// Every kind of world: small and not so small, with addresses and without, of either family and both.
pub fn any_world() -> impl Strategy<Value = World> {
    any_size().prop_flat_map(worlds)
}

/// Sizes that are quick to ask about.
pub fn any_size() -> impl Strategy<Value = Size> {
    let addresses = proptest::sample::select(vec![Addresses::Known, Addresses::Unknown, Addresses::Mixed]);
    let families =
        proptest::sample::select(vec![Families::V4, Families::V6, Families::Dual, Families::Mixed]);
    let base = proptest::sample::select(vec![Size::small(), Size::default()]);
    (base, addresses, families, any::<bool>(), any::<bool>(), Just(true)).prop_map(
        |(base, addresses, families, host_network, pod_cidrs, sctp)| Size {
            addresses,
            families,
            host_network,
            pod_cidrs,
            sctp,
            ..base
        },
    )
}
