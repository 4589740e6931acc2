//! The words of an assertion that stand for a value.

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::{PortRange, PortSet, Protocol};

/// An address or a range of addresses.
pub(super) fn address(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|a: IpAddr| a.into()))
}

/// `5432`, `53/udp`, `8000-8010/tcp`, `tcp`, `icmp` or `all`.
pub(super) fn port(text: &str) -> Option<PortSet> {
    let protocol = |text: &str| Protocol::ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text));
    match text {
        "all" => return Some(PortSet::all()),
        "icmp" => return Some(PortSet::new([], true)),
        _ => {}
    }
    if let Some(protocol) = protocol(text) {
        return Some(PortSet::new([(protocol, PortRange::ALL)], false));
    }
    let (ports, named) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let range = PortRange::new(first.parse().ok().filter(|p| *p > 0)?, last.parse().ok()?)?;
    Some(PortSet::new([(protocol(named)?, range)], false))
}

/// What was probably meant.
pub(super) fn near<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let nearest = known.map(|known| (strsim::osa_distance(name, known), known)).min()?;
    (nearest.0 <= 3).then(|| format!("did you mean `{}`?", nearest.1))
}
