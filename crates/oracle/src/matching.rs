//! What selectors, address blocks, ports and domain names match, decided from their parts.
//!
//! The model has methods for the same; they are not used here on purpose, so that a mistake in one of them is a
//! disagreement between two engines and not a mistake that both make.

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::model::{
    IpBlock, LabelSelector, Labels, Pod, PortMatch, PortRef, Ports, Requirement, Traffic,
};

/// Whether an object with these labels meets every requirement of the selector.
pub(crate) fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    for requirement in selector.requirements() {
        let holds = match requirement {
            Requirement::In(key, values) => match labels.get(key) {
                Some(value) => values.iter().any(|v| v == value),
                None => false,
            },
            Requirement::NotIn(key, values) => match labels.get(key) {
                Some(value) => values.iter().all(|v| v != value),
                None => true,
            },
            Requirement::Exists(key) => labels.keys().any(|k| k == key),
            Requirement::DoesNotExist(key) => labels.keys().all(|k| k != key),
        };
        if !holds {
            return false;
        }
    }
    true
}

/// Whether the selector asks nothing.
pub(crate) fn is_everything(selector: &LabelSelector) -> bool {
    selector.requirements().is_empty()
}

/// Whether the address is in the block and in none of its exceptions.
pub(crate) fn block_contains(block: &IpBlock, address: IpAddr) -> bool {
    in_range(block.cidr(), address) && !block.except().iter().any(|except| in_range(*except, address))
}

/// Whether the block is a whole address family, and nothing is taken out of it.
pub(crate) fn is_whole_family(block: &IpBlock) -> bool {
    block.cidr().prefix_len() == 0 && block.except().is_empty()
}

/// Whether every address of the range is in the block.
pub(crate) fn block_covers(block: &IpBlock, range: IpNet) -> bool {
    if is_v4(block.cidr().network()) != is_v4(range.network()) {
        return false;
    }
    let (first, last) = bounds(range);
    let (block_first, block_last) = bounds(block.cidr());
    let touched = block.except().iter().any(|except| {
        let (except_first, except_last) = bounds(*except);
        is_v4(except.network()) == is_v4(range.network()) && except_first <= last && first <= except_last
    });
    block_first <= first && last <= block_last && !touched
}

/// Whether the ports of a rule match. `receiver` is the pod whose container ports give names a meaning; `None` where
/// the traffic goes to an address that is no pod's.
pub(crate) fn ports_match(ports: &Ports, receiver: Option<&Pod>, traffic: Traffic) -> bool {
    match ports {
        Ports::Any => true,
        Ports::Of(entries) => entries.iter().any(|entry| port_matches(entry, receiver, traffic)),
    }
}

fn port_matches(entry: &PortMatch, receiver: Option<&Pod>, traffic: Traffic) -> bool {
    let Traffic::Port(protocol, port) = traffic else { return false };
    if entry.protocol != protocol {
        return false;
    }
    match &entry.port {
        PortRef::All => true,
        PortRef::Range(range) => range.first() <= port && port <= range.last(),
        PortRef::Named(name) => match receiver {
            Some(pod) => pod
                .named_ports
                .iter()
                .any(|named| named.name == *name && named.protocol == protocol && named.port == port),
            None => false,
        },
    }
}

/// Whether a domain pattern, as it is written, means this name: label for label, or, with a star in place of its first
/// label, with one or more labels there. Neither case nor a final dot makes a difference.
pub(crate) fn is_domain(pattern: &str, name: &str) -> bool {
    let labels = |text: &str| -> Vec<String> {
        let text = text.to_ascii_lowercase();
        text.strip_suffix('.').unwrap_or(&text).split('.').map(str::to_owned).collect()
    };
    let (mut wanted, mut given) = (labels(pattern), labels(name));
    if given.iter().any(String::is_empty) {
        return false;
    }
    if wanted.first().is_some_and(|label| label == "*") {
        wanted.remove(0);
        if given.len() <= wanted.len() {
            return false;
        }
        given.drain(..given.len() - wanted.len());
    }
    wanted == given
}

/// Whether the address belongs to the range. Families never mix.
pub(crate) fn in_range(range: IpNet, address: IpAddr) -> bool {
    let (first, last) = bounds(range);
    is_v4(range.network()) == is_v4(address) && first <= number(address) && number(address) <= last
}

/// The first and the last address of a range, as numbers.
pub(crate) fn bounds(range: IpNet) -> (u128, u128) {
    let width: u32 = if is_v4(range.network()) { 32 } else { 128 };
    let host_bits = width - u32::from(range.prefix_len());
    let hosts = if host_bits == 128 { u128::MAX } else { (1u128 << host_bits) - 1 };
    let first = number(range.addr()) & !hosts;
    (first, first | hosts)
}

/// An address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// Whether this is an IPv4 address. An IPv4 address written in IPv6 form is an IPv6 address.
pub(crate) fn is_v4(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(_))
}

#[cfg(test)]
mod tests {
    use super::is_domain;

    #[test]
    fn a_star_is_one_label_or_more() {
        for (pattern, name, expect) in [
            ("example.com", "example.com", true),
            ("Example.com.", "EXAMPLE.COM", true),
            ("example.com", "example.com.", true),
            ("example.com", "www.example.com", false),
            ("www.example.com", "example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "my-example.com", false),
            ("*.example.com", "example.com.org", false),
        ] {
            assert_eq!(is_domain(pattern, name), expect, "{pattern} {name}");
        }
    }
}
