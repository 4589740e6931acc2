//! Random assertions about a world, and random pods that could be created in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_oracle::questions::{interesting_addresses, traffic};
use ringfence_oracle::random::Random;
use ringfence_policy::{
    Direction, Engine, Labels, NAMESPACE_NAME_LABEL, NamedPort, Namespace, Pod, PodId, PortRange, PortSet,
    Protocol, Requirement, Traffic, Workload, World,
};

use crate::verify::read::{Assertion, Kind};
use crate::verify::selector::{Selector, Zone};

/// An assertion; of pods that could be created on one side at least, where that is asked.
pub(super) fn assertion(world: &World, engine: &Engine, random: &mut Random, of_new: bool) -> Assertion {
    let kind = *random.pick(&[Kind::Allow, Kind::Deny, Kind::Deny, Kind::Only]);
    let (new_from, new_to) = match (of_new, random.below(3)) {
        (false, _) => (false, false),
        (true, 0) => (true, false),
        (true, 1) => (false, true),
        (true, _) => (true, true),
    };
    let mut side = |of_new: bool| -> Vec<Selector> {
        let count = random.between(1, 2);
        let mut selectors: Vec<Selector> = (0..count).map(|_| selector(world, engine, random)).collect();
        if of_new {
            selectors.push(any_pod(world, random));
        }
        selectors
    };
    let (from, mut to) = (side(new_from), side(new_to));
    if from.iter().any(|s| s.new_namespaces) {
        to.iter_mut().for_each(|s| s.new_namespaces = false);
    }
    Assertion { name: String::new(), place: None, kind, from, to, ports: ports(world, random) }
}

fn ports(world: &World, random: &mut Random) -> PortSet {
    let all = traffic(world);
    match random.below(5) {
        0 => PortSet::all(),
        1 => PortSet::new([], true),
        2 => PortSet::new([(Protocol::Tcp, PortRange::ALL)], false),
        _ => {
            let one = |random: &mut Random| match *random.pick(&all) {
                Traffic::Port(protocol, port) => {
                    let last = port.saturating_add(random.below(20) as u16);
                    PortRange::new(port, last).map(|range| (protocol, range))
                }
                Traffic::Other => None,
            };
            let ranges: Vec<_> = (0..random.between(1, 3)).filter_map(|_| one(random)).collect();
            PortSet::new(ranges, random.chance(20))
        }
    }
}

fn some_labels(labels: &Labels, random: &mut Random) -> Labels {
    labels.iter().filter(|_| random.chance(60)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn selector(world: &World, engine: &Engine, random: &mut Random) -> Selector {
    let pod = random.pick(&world.pods).clone();
    let mut selector = Selector::default();
    match random.below(12) {
        0 => selector.any = true,
        1 => selector.external = true,
        2 | 3 => {
            let addresses: Vec<IpAddr> = interesting_addresses(world).into_iter().collect();
            let address = *random.pick(&addresses);
            let most = if address.is_ipv4() { 32 } else { 128 };
            selector.address = IpNet::new(address, most - random.below(10) as u8).ok().map(|n| n.trunc());
        }
        4 => selector.namespace_labels = some_labels(&engine.namespace_labels(&pod.namespace), random),
        5 => selector.zone = zone(world, random),
        6 | 7 => selector.namespace = Some(pod.namespace.clone()),
        8 | 9 => {
            selector.namespace = Some(pod.namespace.clone());
            selector.workload = Some(pod.workload.name.clone());
        }
        _ => selector.labels = some_labels(&pod.labels, random),
    }
    selector
}

fn any_pod(world: &World, random: &mut Random) -> Selector {
    let pod = random.pick(&world.pods).clone();
    Selector {
        any_pod: true,
        new_namespaces: random.chance(25),
        labels: if random.chance(70) { some_labels(&pod.labels, random) } else { Labels::new() },
        namespace: None,
        zone: if random.chance(15) { zone(world, random) } else { None },
        ..Selector::default()
    }
}

fn zone(world: &World, random: &mut Random) -> Option<Zone> {
    let of_pods = world.pods.iter().flat_map(|p| &p.labels);
    let all: Vec<(&String, &String)> =
        of_pods.chain(world.namespaces.iter().flat_map(|n| &n.labels)).collect();
    let (label, name) = random.pick_any(&all)?;
    Some(Zone { label: (*label).clone(), name: (*name).clone() })
}

/// Adds a pod or two that could be created: with labels that policies ask for and others, at addresses that pods may have,
/// with port names that rules use, now and then in a namespace that is not there yet. Their numbers, and that namespace.
pub(super) fn new_pods(world: &mut World, engine: &Engine, random: &mut Random) -> (Vec<PodId>, Vec<String>) {
    let mut words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, value) in world.pods.iter().flat_map(|p| &p.labels) {
        words.entry(key.clone()).or_default().insert(value.clone());
    }
    let peers = Direction::ALL.into_iter().flat_map(|d| engine.subjects(d).chain(engine.peers(d)));
    let mut namespaces: Vec<String> = engine.namespaces().into_iter().map(str::to_owned).collect();
    let new: Vec<String> =
        random.chance(40).then(|| new_namespace(world, engine, random)).into_iter().collect();
    for peer in peers {
        for name in &namespaces {
            let asked = peer.asks_in(name, &engine.namespace_labels(name));
            for requirement in asked.into_iter().flat_map(|s| s.requirements()) {
                let values = words.entry(requirement.key().to_owned()).or_default();
                values.insert("whatever".to_owned());
                if let Requirement::In(_, named) | Requirement::NotIn(_, named) = requirement {
                    values.extend(named.iter().cloned());
                }
            }
        }
    }
    if !new.is_empty() {
        namespaces.clone_from(&new);
    }
    let names: Vec<(String, Protocol)> =
        engine.port_names().into_keys().map(|(name, protocol)| (name.to_owned(), protocol)).collect();
    let sent = traffic(world);
    let mut added = Vec::new();
    for _ in 0..random.between(1, 2) {
        let mut labels = Labels::new();
        for (key, values) in &words {
            if random.chance(60) {
                let values: Vec<&String> = values.iter().collect();
                labels.insert(key.clone(), (*random.pick(&values)).clone());
            }
        }
        let mut named_ports = Vec::new();
        for (name, protocol) in &names {
            if random.chance(50) {
                continue;
            }
            let port = match random.pick(&sent) {
                Traffic::Port(_, port) => (*port).max(1),
                Traffic::Other => 80,
            };
            named_ports.push(NamedPort { name: name.clone(), protocol: *protocol, port });
        }
        let id = PodId(world.pods.len() as u32);
        let name = format!("random-{}", id.0);
        let pod = Pod {
            namespace: random.pick(&namespaces).clone(),
            workload: Workload { kind: "Pod".to_owned(), name: name.clone() },
            name,
            count: 1,
            labels,
            addresses: addresses(world, engine, random),
            named_ports,
            host_network: false,
            node: None,
        };
        world.pods.push(pod);
        added.push(id);
    }
    (added, new)
}

/// A namespace that could be created, by a name that some policy mentions or another.
fn new_namespace(world: &mut World, engine: &Engine, random: &mut Random) -> String {
    let (mut labels, mut names) = (Labels::new(), vec!["fresh".to_owned()]);
    let peers = Direction::ALL.into_iter().flat_map(|d| engine.subjects(d).chain(engine.peers(d)));
    let asked = peers.filter_map(|peer| peer.asks_of_namespaces());
    for requirement in asked.flat_map(|selector| selector.requirements()) {
        let (key, mut values) = (requirement.key(), vec!["whatever".to_owned()]);
        if let Requirement::In(_, named) | Requirement::NotIn(_, named) = requirement {
            values.extend(named.iter().cloned());
        }
        match key {
            NAMESPACE_NAME_LABEL => names.extend(values),
            _ if random.chance(60) => drop(labels.insert(key.to_owned(), random.pick(&values).clone())),
            _ => {}
        }
    }
    names.retain(|name| !engine.namespaces().contains(name.as_str()));
    let name = random.pick(&names).clone();
    world.namespaces.push(Namespace { name: name.clone(), labels });
    name
}

/// Where a pod could be: in the ranges of pods; where none is known, beside a pod, as far as policies can tell.
fn addresses(world: &World, engine: &Engine, random: &mut Random) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for v4 in [true, false] {
        let cidrs: Vec<&IpNet> = world.pod_cidrs.iter().filter(|n| n.addr().is_ipv4() == v4).collect();
        let own = || world.pods.iter().filter(|p| !p.host_network).flat_map(|p| &p.addresses);
        let ranges: Vec<(IpAddr, IpAddr)> = match world.pod_cidrs.is_empty() {
            false => cidrs.iter().map(|n| (n.network(), n.broadcast())).collect(),
            true => {
                let ranges = engine.address_space().ranges().into_iter();
                let ranges =
                    ranges.filter(|r| own().any(|a| a.is_ipv4() == v4 && r.first <= *a && *a <= r.last));
                ranges.map(|r| (r.first, r.last)).filter(|(a, _)| a.is_ipv4() == v4).collect()
            }
        };
        // Some address inside, by luck at an edge that policies know.
        let mut candidates: Vec<IpAddr> = interesting_addresses(world).into_iter().collect();
        candidates.extend(ranges.iter().flat_map(|(first, _)| following(*first)));
        candidates
            .retain(|a| a.is_ipv4() == v4 && ranges.iter().any(|(first, last)| first <= a && a <= last));
        candidates.retain(|a| !world.pods.iter().any(|p| p.addresses.contains(a)));
        candidates.retain(|a| !world.nodes.iter().any(|n| n.addresses.contains(a)));
        found.extend(random.pick_any(&candidates));
    }
    found
}

fn following(first: IpAddr) -> Vec<IpAddr> {
    std::iter::successors(Some(first), |address| crate::ranges::next(*address)).take(40).collect()
}
