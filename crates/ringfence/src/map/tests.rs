//! What is drawn and tabled against the map itself, on random worlds: nothing more is said, and nothing less.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringfence_oracle::questions;
use ringfence_oracle::worlds::{Size, world};
use ringfence_policy::{Engine, PortRange, Protocol, Reach, ReachEnd, Traffic, View};

use super::graph::bundled;
use super::rules::Blocks;
use super::*;

/// Ports as they are written, read back.
#[derive(Debug, Default)]
struct Written {
    all: bool,
    other: bool,
    ranges: Vec<(Protocol, PortRange)>,
}

impl Written {
    fn add(&mut self, text: &str) {
        let mut protocol = None;
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            let named = Protocol::ALL.into_iter().find(|p| p.as_str() == word);
            match (word, named) {
                ("all" | "any", _) => protocol = None,
                ("ICMP", _) => self.other = true,
                ("and" | "others", _) => {}
                (_, Some(named)) => protocol = Some(named),
                (ports, None) => {
                    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                    let range = PortRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
                    self.ranges.push((protocol.unwrap(), range));
                }
            }
        }
        let all_of = |p: &Protocol| text.split(", ").any(|part| part == format!("all {p}"));
        self.ranges.extend(Protocol::ALL.into_iter().filter(all_of).map(|p| (p, PortRange::ALL)));
        self.all |= text == "all" || text == "any";
    }

    fn has(&self, traffic: Traffic) -> bool {
        self.all
            || match traffic {
                Traffic::Other => self.other,
                Traffic::Port(protocol, port) => {
                    self.ranges.iter().any(|(p, range)| *p == protocol && range.contains(port))
                }
            }
    }
}

fn each_world(check: impl Fn(&Engine, &Reach, &[Traffic], u64)) {
    for size in [Size::small(), Size::cluster(), Size::manifests()] {
        for seed in 0..25 {
            let world = world(seed, &size);
            let traffic: Vec<Traffic> = questions::traffic(&world).into_iter().collect();
            let engine = Engine::new(world);
            check(&engine, &Reach::new(&engine), &traffic, seed);
        }
    }
}

#[test]
fn bundles_are_exact() {
    each_world(|engine, reach, traffic, seed| {
        let map = Map::new(engine, reach, View::Workloads, Selection::default(), true);
        let (nets, matrix) = bundled(&map);
        let (mut between, mut arriving, mut leaving) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (from, to, label) in nets {
            let (range, ports) = match label.rsplit_once(": ") {
                Some((range, ports)) => (Some(range.to_owned()), ports.to_owned()),
                None => (None, label),
            };
            let written: &mut Written = match (from, to) {
                (Some(from), Some(to)) => between.entry((from, to)).or_default(),
                (None, Some(to)) => arriving.entry((to, range)).or_default(),
                (Some(from), None) => leaving.entry((from, range)).or_default(),
                (None, None) => panic!("outside to outside, seed {seed}"),
            };
            written.add(&ports);
        }
        let size = map.rows.len();
        for (from, to) in (0..size).flat_map(|from| (0..size).map(move |to| (from, to))) {
            for traffic in traffic {
                let expect = matrix.ports(matrix.at(from, to)).is_some_and(|set| set.contains(*traffic));
                let drawn = between.get(&(from, to)).is_some_and(|w| w.has(*traffic));
                assert_eq!(drawn, expect, "seed {seed}: {from} to {to}, {traffic}");
            }
        }
        for (drawn, known) in [(&arriving, 0), (&leaving, 1)] {
            for row in 0..size {
                let flows = if known == 0 { matrix.arriving(row) } else { matrix.leaving(row) };
                assert!(
                    drawn
                        .keys()
                        .filter(|(r, _)| *r == row)
                        .all(|(_, range)| flows.iter().any(|f| f.0 == *range))
                );
                for ((range, allowed), traffic) in
                    flows.iter().flat_map(|f| traffic.iter().map(move |t| (f, t)))
                {
                    // Several flows can have ranges that read alike.
                    let alike = flows.iter().filter(|f| f.0 == *range).count();
                    let expect = matrix.ports(*allowed).is_some_and(|set| set.contains(*traffic));
                    let drawn = drawn.get(&(row, range.clone())).is_some_and(|w| w.has(*traffic));
                    assert!(alike > 1 || drawn == expect, "seed {seed}: {row} {range:?} {traffic}");
                }
            }
        }
    });
}

#[test]
fn the_first_line_that_fits_says_what_the_map_and_the_engine_say() {
    let asked = std::cell::Cell::new(0);
    each_world(|engine, reach, traffic, seed| {
        let map = Map::new(engine, reach, View::Workloads, Selection::default(), false);
        let rows = reach.rows();
        let mut blocks = Blocks::new(&map);
        for to in blocks.destinations() {
            let lines = blocks.lines(to);
            let is_outside = |place: u32| matches!(reach.ends[place as usize], ReachEnd::Outside { .. });
            let destinations: Vec<u32> = if is_outside(to) {
                (0..reach.ends.len() as u32).filter(|place| is_outside(*place)).collect()
            } else {
                vec![to]
            };
            for (from, to) in
                destinations.iter().flat_map(|to| (0..reach.ends.len() as u32).map(move |f| (f, *to)))
            {
                if from == to || (is_outside(from) && is_outside(to)) || same_workload(reach, from, to) {
                    continue;
                }
                for traffic in traffic {
                    let fits = |text: &str, place: u32| {
                        ["any", "any other", "external"].contains(&text)
                            || text == map.references[place as usize].text()
                            || is_in_range(text, &reach.ends[place as usize])
                    };
                    let line = lines.iter().find(|line| {
                        let mut written = Written::default();
                        written.add(&line.service);
                        fits(&line.source, from) && fits(&line.destination, to) && written.has(*traffic)
                    });
                    let expect = rows.allowed(from, to).is_some_and(|set| set.contains(*traffic));
                    if let Some((from, to)) = one(engine, reach, from).zip(one(engine, reach, to)) {
                        assert_eq!(expect, engine.verdict(from, to, *traffic).allowed(), "seed {seed}");
                        asked.set(asked.get() + 1);
                    }
                    assert_eq!(
                        line.map(|line| line.is_allowed),
                        Some(expect),
                        "seed {seed}: {} to {} {traffic}: {line:?} of {lines:#?}",
                        map.references[from as usize].text(),
                        map.references[to as usize].text()
                    );
                }
            }
        }
    });
    assert!(asked.get() > 10_000, "{}", asked.get());
}

/// What stands for an end, if it is one thing: a pod, or addresses of which the first is nobody's.
fn one(engine: &Engine, reach: &Reach, place: u32) -> Option<ringfence_policy::End> {
    let is_known = |address: &IpAddr| {
        engine.pod_at(*address).is_some() || engine.nodes().any(|node| node.addresses.contains(address))
    };
    match &reach.ends[place as usize] {
        ReachEnd::Pods { pods, .. } if pods.len() == 1 => Some(ringfence_policy::End::Pod(pods[0])),
        ReachEnd::Outside { first, .. } if !is_known(first) => Some(ringfence_policy::End::Address(*first)),
        _ => None,
    }
}

fn same_workload(reach: &Reach, from: u32, to: u32) -> bool {
    let of = |place: u32| match &reach.ends[place as usize] {
        ReachEnd::Pods { namespace, workload, .. } => Some((namespace, workload)),
        ReachEnd::Outside { .. } => None,
    };
    of(from).is_some() && of(from) == of(to)
}

fn is_in_range(text: &str, end: &ReachEnd) -> bool {
    let ReachEnd::Outside { first, .. } = end else { return false };
    let parsed = match (text.parse::<ipnet::IpNet>(), text.split_once('-')) {
        (Ok(net), _) => Some((net.network(), net.broadcast())),
        (_, Some((a, b))) => a.parse::<IpAddr>().ok().zip(b.parse::<IpAddr>().ok()),
        _ => text.parse::<IpAddr>().ok().map(|a| (a, a)),
    };
    parsed.is_some_and(|(a, b)| a.is_ipv4() == first.is_ipv4() && a <= *first && *first <= b)
}
