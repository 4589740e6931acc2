//! The addresses of the lab: every range that it uses, and who gets which.
//!
//! Nothing here is reachable from outside the lab's namespaces, so the ranges are fixed and the same in every lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most nodes that a lab can have: one byte of the pod range counts them.
pub const MAX_NODES: usize = 250;

/// The most pods with an own address on one node: the last byte of a node's pod range counts them.
pub const MAX_PODS_PER_NODE: usize = 250;

/// The most Services with an address.
pub const MAX_SERVICES: usize = 60_000;

/// The pods' range, 10.244.0.0/16; node `n` (from 1) has 10.244.`n`.0/24.
pub const POD_RANGE_V4: &str = "10.244.0.0/16";

/// The pods' IPv6 range; node `n` has `fd00:10:244:n::/64`.
pub const POD_RANGE_V6: &str = "fd00:10:244::/48";

/// The Services' range.
pub const SERVICE_RANGE_V4: &str = "10.96.0.0/16";

/// The Services' IPv6 range.
pub const SERVICE_RANGE_V6: &str = "fd00:10:96::/112";

/// The network that joins the nodes and the outside: 172.30.0.1 is the outside, 172.30.0.(`n` + 1) node `n`.
pub const FABRIC_RANGE_V4: &str = "172.30.0.0/24";

/// The same for IPv6: `fd00:172:30::1` is the outside, `fd00:172:30::(n + 1)` node `n`.
pub const FABRIC_RANGE_V6: &str = "fd00:172:30::/64";

/// The gateway of every pod: its node, by an address that is nobody's elsewhere.
pub const POD_GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The IPv6 gateway of every pod.
pub const POD_GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The outside's own address in the fabric.
pub const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);

/// The outside's own IPv6 address in the fabric.
pub const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, 1);

/// The addresses of a node, which is counted from 0.
pub(crate) fn node(index: usize) -> (Ipv4Addr, Ipv6Addr) {
    let host = byte(index + 2);
    (Ipv4Addr::new(172, 30, 0, host), Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, host.into()))
}

/// The link-local address in the fabric of whoever has this address there: the same host part.
///
/// The kernel would make one by itself, a moment after the link is up. Until then nobody can be asked for a neighbour
/// on behalf of others, and the first packets that a node forwards wait for a second.
pub(crate) fn link_local(address: Ipv6Addr) -> Ipv6Addr {
    let [.., host] = address.segments();
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host)
}

/// The pod range of a node, as text for each family.
pub(crate) fn node_pods(index: usize) -> (String, String) {
    (format!("10.244.{}.0/24", byte(index + 1)), format!("fd00:10:244:{:x}::/64", byte(index + 1)))
}

/// The addresses of a node's pod; both are counted from 0.
pub(crate) fn pod(node: usize, index: usize) -> (Ipv4Addr, Ipv6Addr) {
    let (net, host) = (byte(node + 1), byte(index + 2));
    (Ipv4Addr::new(10, 244, net, host), Ipv6Addr::new(0xfd00, 0x10, 0x244, net.into(), 0, 0, 0, host.into()))
}

/// The addresses of a Service, counted from 0.
pub(crate) fn service(index: usize) -> (Ipv4Addr, Ipv6Addr) {
    // The first 256 are left alone: people know 10.96.0.1 and 10.96.0.10 as the API server and the cluster's DNS.
    let host = u16::try_from(index + 256).unwrap_or(u16::MAX);
    let [high, low] = host.to_be_bytes();
    (Ipv4Addr::new(10, 96, high, low), Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, host))
}

/// Whether an address can be one of the outside's: unicast, not local to a machine, and not one of the lab's own.
pub fn can_be_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [first, second, third, _] = a.octets();
            let ours = match (first, second) {
                (10, 244 | 96) => true,
                (172, 30) => third == 0,
                _ => a == POD_GATEWAY_V4,
            };
            !(ours || first == 0 || first >= 224 || a.is_loopback())
        }
        IpAddr::V6(a) => {
            let segments = a.segments();
            let ours = matches!(
                segments,
                [0xfd00, 0x10, 0x244, ..] | [0xfd00, 0x10, 0x96, 0, ..] | [0xfd00, 0x172, 0x30, 0, ..]
            );
            let local = a.is_loopback() || a.is_unspecified() || a.is_unicast_link_local();
            !(ours || local || a.is_multicast() || a.to_ipv4_mapped().is_some())
        }
    }
}

/// Plans hold the counts below their bounds; past them there is nothing right to say, and `255` is nobody's.
fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_documented() {
        assert_eq!(node(0), ("172.30.0.2".parse().unwrap(), "fd00:172:30::2".parse().unwrap()));
        assert_eq!(pod(1, 0), ("10.244.2.2".parse().unwrap(), "fd00:10:244:2::2".parse().unwrap()));
        assert_eq!(service(0), ("10.96.1.0".parse().unwrap(), "fd00:10:96::100".parse().unwrap()));
        assert_eq!(node_pods(15), ("10.244.16.0/24".into(), "fd00:10:244:10::/64".into()));
    }

    #[test]
    fn the_outside_keeps_off_the_lab() {
        for (address, expect) in [
            ("8.8.8.8", true),
            ("169.254.169.254", true),
            ("10.0.0.1", true),
            ("10.244.9.9", false),
            ("10.96.0.1", false),
            ("172.30.0.9", false),
            ("172.30.1.9", true),
            ("127.0.0.1", false),
            ("224.0.0.1", false),
            ("0.0.0.0", false),
            ("2001:db8::1", true),
            ("fd00:10:244:1::2", false),
            ("fe80::2", false),
            ("::1", false),
        ] {
            assert_eq!(can_be_outside(address.parse().unwrap()), expect, "{address}");
        }
    }
}
