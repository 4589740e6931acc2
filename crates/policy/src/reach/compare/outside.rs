//! What changes between pods and outside addresses, in runs of addresses that change alike.

use std::net::IpAddr;

use super::delta::Deltas;
use super::sides::{NOT_ISOLATED, Sides};
use super::{Mapped, outside_route};
use crate::reach::outside::{Point, boundaries};
use crate::verdict::Direction;

/// Neighbouring addresses with the same delta.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) first: IpAddr,
    pub(super) last: IpAddr,
    pub(super) delta: u32,
}

/// By address; only where something changes.
pub(super) type Runs = Vec<Run>;

/// What changes between the pods of a policy set, which may be another in each world, and outside.
pub(super) fn runs(
    direction: Direction,
    sets: [u32; 2],
    worlds: [&Mapped; 2],
    sides: &mut [Sides<'_>; 2],
    deltas: &mut Deltas,
) -> Runs {
    let ([old, new], [old_sides, new_sides]) = (worlds, sides);
    let [one, other] = sets;
    let [before, after] = [(old, one), (new, other)]
        .map(|(world, set)| world.reach.numbers.sets().get(set as usize).copied().flatten());
    let mut starts = vec![Point { v6: false, address: 0 }, Point { v6: true, address: 0 }];
    for (world, set) in [(old, before), (new, after)] {
        starts.extend(set.into_iter().flat_map(|set| boundaries(&world.engine, set)));
    }
    starts.sort_unstable();
    starts.dedup();
    let mut runs: Runs = Vec::new();
    let nexts = starts.iter().skip(1).map(|next| next.before()).chain([u128::MAX]);
    for (start, last) in starts.iter().zip(nexts) {
        let (first, last) = (start.ip(), Point { v6: start.v6, address: last }.ip());
        let of = |world: &Mapped, sides: &mut Sides<'_>, set: Option<_>| match set {
            Some(set) => {
                let class = world.engine.address_space().class(first);
                sides.side(set, world.engine.class_identity(class))
            }
            None => NOT_ISOLATED,
        };
        let one = outside_route(direction, of(old, old_sides, before));
        let other = outside_route(direction, of(new, new_sides, after));
        let delta = deltas.find(&[one], &[other], old_sides, new_sides);
        if delta == Deltas::NOTHING || worlds.iter().any(|world| are_pods(world, first, last)) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.delta == delta && Point::after(run.last).is_some_and(|next| next == *start) => {
                run.last = last;
            }
            _ => runs.push(Run { first, last, delta }),
        }
    }
    runs
}

/// Whether all addresses of a range belong to pods: then none of them is outside.
fn are_pods(world: &Mapped, first: IpAddr, last: IpAddr) -> bool {
    let (from, to) = (Point::of(first).address, Point::of(last).address);
    let pods = world.engine.owned.range(first..=last).filter(|a| world.engine.pod_at(**a).is_some());
    // There are no more pods than this, and a range mostly has more addresses.
    let size = (to - from).saturating_add(1);
    u128::try_from(world.engine.owned.len()).is_ok_and(|most| size <= most)
        && u128::try_from(pods.count()).is_ok_and(|count| count == size)
}
