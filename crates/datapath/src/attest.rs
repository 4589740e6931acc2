//! Whether the kernel holds what an image says, entry by entry, in the slot by which packets are judged.
//!
//! It compares what was read back from the kernel with what was just made from an engine, and trusts neither the plans
//! nor the operations between them. What the other slot holds is of no interest: no packet is judged by it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::abi::{Address, EndValue, EndpointWord, PortMapKey, PortMapValue, Prefix, RANGE_EXEMPT};
use crate::image::{Endpoint, Image};
use crate::mirror::Tables;
use crate::options::Table;

/// What came of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many entries of each table were compared.
    pub compared: BTreeMap<Table, usize>,
    /// The differences, each with the table.
    pub differences: Vec<Difference>,
}

/// An entry that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In which table.
    pub table: Table,
    /// Which, and how it differs.
    pub what: String,
}

/// Compares all that packets are judged by.
pub fn compare(image: &Image, tables: &Tables) -> Findings {
    let mut findings = Findings::default();
    addresses(image, tables, &mut findings);
    prefixes(image, tables, &mut findings);
    ranges(image, tables, &mut findings);
    let rules = image.rules.iter().map(|(key, map)| (*key, *map)).collect();
    rows(Table::Rules, &rules, &tables.rules, &mut findings);
    let portmaps: BTreeMap<PortMapKey, PortMapValue> = (image.portmaps.iter())
        .flat_map(|(map, rows)| rows.iter().map(|row| (row.key(*map), row.value)))
        .collect();
    rows(Table::PortMaps, &portmaps, &tables.portmaps, &mut findings);
    findings
}

impl Findings {
    fn compared(&mut self, table: Table, entries: usize) {
        *self.compared.entry(table).or_default() += entries;
    }

    fn differ(&mut self, table: Table, what: String) {
        self.differences.push(Difference { table, what });
    }
}

/// What holds for pods' addresses.
fn addresses(image: &Image, tables: &Tables, findings: &mut Findings) {
    let slot = active(tables);
    let held = |value: &EndValue| Held {
        identity: value.identity.get(slot).copied().unwrap_or_default(),
        ingress: value.ingress.get(slot).copied().unwrap_or_default(),
        egress: value.egress.get(slot).copied().unwrap_or_default(),
    };
    for (address, identity) in &image.peers {
        let endpoint = image.endpoints.get(address);
        let word = |of: fn(&Endpoint) -> Option<u64>| match endpoint.map(of) {
            None => EndpointWord::ABSENT,
            Some(None) => EndpointWord::OPEN,
            Some(Some(set)) => EndpointWord::isolated(set),
        };
        let expected = Held { identity: *identity, ingress: word(|e| e.ingress), egress: word(|e| e.egress) };
        let found = tables.addresses.get(address).and_then(|index| tables.ends.get(index)).map(held);
        if found != Some(expected) {
            let what = format!("{}: {}, not {}", IpAddr::from(*address), shown(found), shown(Some(expected)));
            findings.differ(Table::Ends, what);
        }
    }
    findings.compared(Table::Addresses, tables.addresses.len());
    findings.compared(Table::Ends, image.peers.len());
    for (address, index) in &tables.addresses {
        let found = tables.ends.get(index).map(held).unwrap_or_default();
        if image.peers.contains_key(address) {
            continue;
        }
        // It is known in the other slot alone, and must be judged as if it were not known at all.
        let expected = Held { identity: outside(image, *address), ..Held::default() };
        if found != expected {
            let what = format!("{}: {}, but no pod has it", IpAddr::from(*address), shown(Some(found)));
            findings.differ(Table::Addresses, what);
        }
    }
}

/// What holds for an address in one slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    identity: u64,
    ingress: EndpointWord,
    egress: EndpointWord,
}

fn shown(held: Option<Held>) -> String {
    match held {
        None => "nothing".to_owned(),
        Some(Held { identity, ingress, egress }) => {
            format!("identity {identity:#x}, ingress {:#x}, egress {:#x}", ingress.0, egress.0)
        }
    }
}

fn active(tables: &Tables) -> usize {
    usize::from(tables.active & 1 == 1)
}

/// The identity that an address outside has by an image: that of its longest prefix.
fn outside(image: &Image, address: Address) -> u64 {
    let holding = image.cidrs.iter().filter(|(prefix, _)| prefix.contains(address));
    holding.max_by_key(|(prefix, _)| prefix.bits()).map_or(0, |(_, identity)| *identity)
}

fn prefixes(image: &Image, tables: &Tables, findings: &mut Findings) {
    let slot = active(tables);
    let found = |prefix: &Prefix| tables.cidrs.get(prefix).and_then(|slots| slots.get(slot)).copied();
    for (prefix, expected) in &image.cidrs {
        if found(prefix) != Some(*expected) {
            let shown = found(prefix).map_or("nothing".to_owned(), |identity| format!("{identity:#x}"));
            findings.differ(Table::Cidrs, format!("{}: {shown}, not {expected:#x}", IpNet::from(*prefix)));
        }
    }
    findings.compared(Table::Cidrs, tables.cidrs.len().max(image.cidrs.len()));
    for prefix in tables.cidrs.keys().filter(|prefix| !image.cidrs.contains_key(prefix)) {
        // Known in the other slot alone: its addresses must be what they are without it.
        let around = (image.cidrs.iter())
            .filter(|(wider, _)| wider.bits() < prefix.bits() && wider.contains(prefix.first()))
            .max_by_key(|(wider, _)| wider.bits())
            .map_or(0, |(_, identity)| *identity);
        if found(prefix) != Some(around) {
            findings.differ(Table::Cidrs, format!("{}: no policy names it", IpNet::from(*prefix)));
        }
    }
}

fn ranges(image: &Image, tables: &Tables, findings: &mut Findings) {
    let slot = active(tables);
    let found = |prefix: &Prefix| tables.ranges.get(prefix).and_then(|slots| slots.get(slot)).copied();
    for (prefix, expected) in &image.ranges {
        if found(prefix) != Some(*expected) {
            findings.differ(Table::Ranges, format!("{}: not as the node's ranges say", IpNet::from(*prefix)));
        }
    }
    findings.compared(Table::Ranges, tables.ranges.len().max(image.ranges.len()));
    for prefix in tables.ranges.keys().filter(|prefix| !image.ranges.contains_key(prefix)) {
        let around = (image.ranges.iter())
            .filter(|(wider, _)| wider.bits() < prefix.bits() && wider.contains(prefix.first()))
            .max_by_key(|(wider, _)| wider.bits())
            .map_or(RANGE_EXEMPT, |(_, flags)| *flags);
        if found(prefix) != Some(around) {
            findings.differ(Table::Ranges, format!("{}: no range of this node", IpNet::from(*prefix)));
        }
    }
}

/// Rows that both must have, and that are the same in both slots.
fn rows<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    table: Table,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    findings: &mut Findings,
) {
    for (key, value) in expected {
        match found.get(key) {
            Some(there) if there == value => {}
            Some(there) => findings.differ(table, format!("{key:?}: {there:?}, not {value:?}")),
            None => findings.differ(table, format!("{key:?} is missing")),
        }
    }
    findings.compared(table, expected.len());
    for key in found.keys().filter(|key| !expected.contains_key(key)) {
        findings.differ(table, format!("{key:?} is there, and should not be"));
    }
}
