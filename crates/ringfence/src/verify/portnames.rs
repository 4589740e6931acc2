//! The ports that a pod could name which is not there yet. A rule can allow a port by its name, and a pod can give that
//! name to any of its ports.
//!
//! Of a port all that a rule can tell is which of the names it has. A name that only allows can let in more where a pod
//! has it and less where it does not; so the pods that name all of those, and none, are the extremes. Names that Pass
//! rules use, and those that some rules allow and others deny, are tried in every combination.

use std::collections::BTreeSet;

use ringfence_policy::{Action, Engine, NamedPort, PortSet, Protocol};

use super::possible::too_many;

/// The most names that are tried in every combination.
const MOST_FREE: usize = 6;

/// The most ports that one pod names.
const MOST_PORTS: usize = 4096;

/// What a pod that receives could name; at least one list.
///
/// # Errors
///
/// In words, where there are too many.
pub(super) fn variants(engine: &Engine, asked: &PortSet) -> Result<Vec<Vec<NamedPort>>, String> {
    let names = engine.port_names();
    let (mut opening, mut closing, mut free) = (Vec::new(), Vec::new(), Vec::new());
    for (name, actions) in names {
        match (actions.len(), actions.first()) {
            (1, Some(Action::Accept)) => opening.push(name),
            (1, Some(Action::Deny)) => closing.push(name),
            _ => free.push(name),
        }
    }
    let ports = ports(engine, asked);
    if free.len() > MOST_FREE {
        return Err(too_many("ways to name ports", 1 << MOST_FREE));
    }
    if (opening.len() + closing.len() + free.len()) * ports.len() > MOST_PORTS {
        return Err(too_many("ports that a new pod could name", MOST_PORTS));
    }
    let mut variants = BTreeSet::new();
    for choice in 0u32..1 << free.len() {
        let chosen = free.iter().enumerate().filter(|(place, _)| choice & (1 << place) != 0);
        let chosen: Vec<_> = chosen.map(|(_, name)| *name).collect();
        for extreme in [&opening, &closing] {
            let named: BTreeSet<_> = chosen.iter().chain(extreme).copied().collect();
            let port = |(name, protocol): (&str, Protocol)| {
                let name = name.to_owned();
                ports.iter().map(move |port| NamedPort { name: name.clone(), protocol, port: *port })
            };
            variants.insert(named.into_iter().flat_map(port).collect::<Vec<_>>());
        }
    }
    Ok(variants.into_iter().collect())
}

/// One port of each range in which neither rules nor the assertion tell any two apart.
fn ports(engine: &Engine, asked: &PortSet) -> BTreeSet<u16> {
    let mut ports = engine.port_bounds();
    for range in Protocol::ALL.into_iter().flat_map(|protocol| asked.ranges(protocol)) {
        ports.insert(range.first());
        ports.extend(range.last().checked_add(1));
    }
    ports.insert(1);
    ports.remove(&0);
    ports
}
