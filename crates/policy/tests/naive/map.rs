//! The map against the naive engine: every pair of ends on every port, in both views.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_oracle::{naive, questions};
use ringfence_policy::{Engine, PortSet, Reach, ReachEnd, View, World};

/// The map must say for each pair of its ends what the verdicts say, port by port: for pods of different workloads (in
/// the view of pods for different pods), and for addresses of every outside range in both directions.
pub(crate) fn wrong(world: &World, engine: &Engine) -> Option<String> {
    [View::Workloads, View::Pods].into_iter().find_map(|view| wrong_view(world, engine, view))
}

fn wrong_view(world: &World, engine: &Engine, view: View) -> Option<String> {
    let reach = Reach::with_view(engine, view);
    let rows = reach.rows();
    let traffic = questions::traffic(world);
    if view == View::Pods && !is_every_pod_once(world, &reach) {
        return Some(format!("{view:?}: not every pod is one end: {:?}", reach.ends));
    }
    let mut connections = reach.connections().peekable();
    let mut count = 0;
    for (from, a) in (0u32..).zip(&reach.ends) {
        for (to, b) in (0u32..).zip(&reach.ends) {
            let known = connections.next_if(|c| (c.from, c.to) == (from, to));
            let allowed = known.as_ref().map(|c| &*c.allowed);
            count += u64::from(known.is_some());
            if rows.allowed(from, to) != allowed {
                return Some(format!(
                    "{view:?}: {a:?} -> {b:?}: the rows and the list of connections differ"
                ));
            }
            let same = from == to || (view == View::Workloads && is_same_workload(a, b));
            let pairs = if same { Vec::new() } else { pairs(world, a, b) };
            for traffic in &traffic {
                let mapped = allowed.is_some_and(|ports| ports.contains(*traffic));
                let verdicts: BTreeSet<bool> =
                    pairs.iter().map(|(from, to)| naive::allowed(world, from, to, *traffic)).collect();
                let right = match (a, b) {
                    (ReachEnd::Outside { .. }, ReachEnd::Outside { .. }) => !mapped,
                    // Pods that are one end may be on different nodes, and a node always reaches its own. Any one counts.
                    (ReachEnd::Pods { .. }, ReachEnd::Pods { .. }) => mapped == verdicts.contains(&true),
                    _ => !verdicts.contains(&!mapped),
                };
                if !right {
                    return Some(format!(
                        "{view:?}: {a:?} -> {b:?} {traffic:?}: {mapped}, should be {verdicts:?}"
                    ));
                }
            }
        }
    }
    if let Some(extra) = connections.next() {
        return Some(format!("{view:?}: {extra:?} is listed twice, or in no order"));
    }
    if rows.count() != count {
        return Some(format!("{view:?}: {count} pairs, and the rows say {}", rows.count()));
    }
    wrong_ranges(&reach).or_else(|| wrong_part(&reach)).map(|why| format!("{view:?}: {why}"))
}

/// Outside ranges follow one another through both families, and neighbours differ in something.
fn wrong_ranges(reach: &Reach) -> Option<String> {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let mut connections: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for c in reach.connections() {
        connections.entry(c.from).or_default().push((false, c.to, c.allowed.clone()));
        connections.entry(c.to).or_default().push((true, c.from, c.allowed));
    }
    let mut next: BTreeMap<bool, u128> = BTreeMap::from([(true, 0), (false, 0)]);
    let mut before: Option<(bool, u32)> = None;
    for (place, end) in (0u32..).zip(&reach.ends) {
        let ReachEnd::Outside { first, last } = end else { continue };
        let v4 = first.is_ipv4();
        if last.is_ipv4() != v4 || next.get(&v4) != Some(&number(*first)) || first > last {
            return Some(format!("{end:?} does not follow the range before"));
        }
        next.insert(v4, number(*last).wrapping_add(1));
        if before.is_some_and(|b| b.0 == v4 && connections.get(&b.1) == connections.get(&place)) {
            return Some(format!("{end:?} is as the range before"));
        }
        before = Some((v4, place));
    }
    let covered = next == BTreeMap::from([(true, 1 << 32), (false, 0)]);
    (!covered).then(|| format!("{:?} are not all of outside", reach.ends))
}

/// A part of a map is what the whole says of it.
fn wrong_part(reach: &Reach) -> Option<String> {
    let wanted = |end: &ReachEnd| matches!(end, ReachEnd::Pods { namespace, .. } if namespace == "shop");
    let is_wanted = |place: u32| reach.ends.get(place as usize).is_some_and(wanted);
    let whole: Vec<_> = reach.connections().filter(|c| is_wanted(c.from) || is_wanted(c.to)).collect();
    let part: Vec<_> = reach.connections_of(wanted).collect();
    if part != whole {
        return Some(format!("of one namespace {part:?}, should be {whole:?}"));
    }
    let ranges = reach.ends.iter().filter(|end| matches!(end, ReachEnd::Outside { .. })).count();
    for end in 0..(reach.ends.len() - ranges) as u32 {
        let is_outside = |place: u32| place as usize >= reach.ends.len() - ranges;
        let alike =
            |ports: Vec<&PortSet>| ports.len() == ranges && ports.iter().all(|p| Some(p) == ports.first());
        let to = whole.iter().filter(|c| c.from == end && is_outside(c.to)).map(|c| &*c.allowed).collect();
        let from = whole.iter().filter(|c| c.to == end && is_outside(c.from)).map(|c| &*c.allowed).collect();
        let ours = (reach.may_reach_all_outside(end), reach.is_open_to_all_outside(end));
        if is_wanted(end) && ours != (alike(to), alike(from)) {
            return Some(format!("end {end} and outside: {ours:?}"));
        }
    }
    None
}

fn is_every_pod_once(world: &World, reach: &Reach) -> bool {
    let mut listed: Vec<u32> = Vec::new();
    for end in &reach.ends {
        if let ReachEnd::Pods { pods, .. } = end {
            let [pod] = pods.as_slice() else { return false };
            listed.push(pod.0);
        }
    }
    listed.sort_unstable();
    listed == (0..world.pods.len() as u32).collect::<Vec<_>>()
}

fn is_same_workload(a: &ReachEnd, b: &ReachEnd) -> bool {
    match (a, b) {
        (
            ReachEnd::Pods { namespace: n, workload: v, .. },
            ReachEnd::Pods { namespace: m, workload: w, .. },
        ) => (n, v) == (m, w),
        _ => false,
    }
}

/// The naive ends that two ends of the map stand for; none where both are outside.
fn pairs(world: &World, a: &ReachEnd, b: &ReachEnd) -> Vec<(naive::End, naive::End)> {
    if matches!((a, b), (ReachEnd::Outside { .. }, ReachEnd::Outside { .. })) {
        return Vec::new();
    }
    let (sources, destinations) = (naive_ends(world, a), naive_ends(world, b));
    sources.iter().flat_map(|from| destinations.iter().map(move |to| (*from, *to))).collect()
}

/// Pods, or some outside addresses: the first and the last of a range and those beside what policies name.
fn naive_ends(world: &World, end: &ReachEnd) -> Vec<naive::End> {
    match end {
        ReachEnd::Pods { pods, .. } => pods.iter().map(|pod| naive::End::Pod(*pod)).collect(),
        ReachEnd::Outside { first, last } => {
            let mut addresses = questions::interesting_addresses(world);
            addresses.extend([*first, *last]);
            addresses.retain(|a| a.is_ipv4() == first.is_ipv4() && first <= a && a <= last);
            let inside: BTreeSet<&IpAddr> = (world.pods.iter().flat_map(|p| &p.addresses))
                .chain(world.nodes.iter().flat_map(|n| &n.addresses))
                .collect();
            addresses.into_iter().filter(|a| !inside.contains(a)).map(naive::End::Outside).collect()
        }
    }
}
