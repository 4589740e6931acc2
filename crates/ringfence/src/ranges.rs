//! Ranges of outside addresses as people read them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

/// The first and the last address, of one family.
pub(crate) type Range = (IpAddr, IpAddr);

/// The prefix that is exactly this range, if there is one.
pub(crate) fn prefix(first: IpAddr, last: IpAddr) -> Option<IpNet> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => one(Ipv4Subnets::new(first, last, 0)).map(Ipv4Net::into),
        (IpAddr::V6(first), IpAddr::V6(last)) => one(Ipv6Subnets::new(first, last, 0)).map(Ipv6Net::into),
        _ => None,
    }
}

/// As a prefix, an address or `first-last`.
pub(crate) fn text(first: IpAddr, last: IpAddr) -> String {
    match prefix(first, last) {
        _ if first == last => first.to_string(),
        Some(prefix) => prefix.to_string(),
        None => format!("{first}-{last}"),
    }
}

/// Sorted ranges, with neighbours as one.
pub(crate) fn joined(ranges: &[Range]) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, before)) if next(*before) == Some(*first) => *before = *last,
            _ => joined.push((*first, *last)),
        }
    }
    joined
}

/// What of sorted ranges is in some prefix, sorted.
pub(crate) fn within(ranges: &[Range], prefixes: &[IpNet]) -> Vec<Range> {
    let prefixes = IpNet::aggregate(&prefixes.to_vec());
    let both = |(first, last): &Range, prefix: &IpNet| {
        let (first, last) = ((*first).max(prefix.network()), (*last).min(prefix.broadcast()));
        (first <= last).then_some((first, last))
    };
    let mut within: Vec<Range> = ranges
        .iter()
        .flat_map(|range| prefixes.iter().filter_map(move |prefix| both(range, prefix)))
        .collect();
    within.sort_unstable();
    within
}

/// A range, cut where others begin and end.
pub(crate) fn pieces(cuts: &[IpNet], first: IpAddr, last: IpAddr) -> Vec<Range> {
    let nets = cuts.iter().filter(|net| net.addr().is_ipv4() == first.is_ipv4());
    let bounds = nets.flat_map(|net| [Some(net.network()), next(net.broadcast())]);
    let mut starts: Vec<IpAddr> = bounds.flatten().filter(|a| first < *a && *a <= last).collect();
    starts.push(first);
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).filter_map(|next| before(*next)).chain([last]);
    starts.iter().copied().zip(ends).collect()
}

/// What of a range is in none of these prefixes.
pub(crate) fn without(prefixes: &[IpNet], first: IpAddr, last: IpAddr) -> Vec<Range> {
    let mut pieces = pieces(prefixes, first, last);
    pieces.retain(|(first, _)| !prefixes.iter().any(|net| net.contains(first)));
    pieces
}

/// The address after one, of the same family.
pub(crate) fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|n| Ipv4Addr::from(n).into()),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|n| Ipv6Addr::from(n).into()),
    }
}

/// The address before one, of the same family.
pub(crate) fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_sub(1).map(|n| Ipv4Addr::from(n).into()),
        IpAddr::V6(address) => u128::from(address).checked_sub(1).map(|n| Ipv6Addr::from(n).into()),
    }
}

fn one<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(first: &str, last: &str, expect: &str) {
        assert_eq!(text(first.parse().unwrap(), last.parse().unwrap()), expect);
    }

    #[test]
    fn a_prefix_where_it_is_exactly_one() {
        check("10.0.0.0", "10.255.255.255", "10.0.0.0/8");
        check("0.0.0.0", "255.255.255.255", "0.0.0.0/0");
        check("0.0.0.0", "9.255.255.255", "0.0.0.0-9.255.255.255");
        check("10.0.0.7", "10.0.0.7", "10.0.0.7");
        check("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0");
        check("2001:db8::", "2001:db8::ffff", "2001:db8::/112");
        check("2001:db8::1", "2001:db8::2", "2001:db8::1-2001:db8::2");
    }

    #[test]
    fn what_prefixes_leave_of_ranges() {
        let range = |first: &str, last: &str| (first.parse().unwrap(), last.parse().unwrap());
        let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect::<Vec<IpNet>>();
        let all =
            [range("0.0.0.0", "255.255.255.255"), range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")];
        let check = |ranges: &[Range], prefixes: &[&str], expect: &[Range]| {
            assert_eq!(within(ranges, &nets(prefixes)), expect, "{prefixes:?}");
        };
        check(&all, &[], &[]);
        check(
            &all,
            &["2001:db8::/112", "10.0.0.0/8"],
            &[range("10.0.0.0", "10.255.255.255"), range("2001:db8::", "2001:db8::ffff")],
        );
        check(
            &[range("10.0.0.7", "10.0.1.3")],
            &["10.0.1.0/24", "10.0.0.0/30", "10.0.1.0/31"],
            &[range("10.0.1.0", "10.0.1.3")],
        );
        check(&[range("::1", "::2")], &["0.0.0.0/0"], &[]);
    }

    #[test]
    fn neighbours_are_joined_within_a_family() {
        let range = |first: &str, last: &str| (first.parse().unwrap(), last.parse().unwrap());
        let ranges = [
            range("10.0.0.0", "10.0.0.255"),
            range("10.0.1.0", "255.255.255.255"),
            range("::", "::ffff"),
            range("::1:0", "::1:1"),
            range("::1:3", "::1:3"),
        ];
        assert_eq!(
            joined(&ranges),
            [range("10.0.0.0", "255.255.255.255"), range("::", "::1:1"), range("::1:3", "::1:3")]
        );
    }
}
