//! The policies that are measured with: any number of them, of which the last one is the one that matches. The same
//! list gives the engine's world and the nftables rules that say as much.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use ringfence_policy::{
    LabelSelector, Labels, NamespaceScope, NetworkPolicy, Peer, Peers, Pod, PolicyName, PortMatch, PortRange,
    PortRef, Ports, Protocol, Rule, Workload,
};

/// The namespace of all pods and policies.
pub(crate) const NAMESPACE: &str = "bench";
/// The port that every policy allows.
pub(crate) const PORT: u16 = 8080;
/// The ports that [`Isolated::BothOnRanges`] allows too.
const RANGE: (u16, u16) = (9000, 9999);
/// A port inside.
pub(crate) const RANGE_PORT: u16 = 9500;
/// The label that pods are told apart by.
const ROLE: &str = "role";
const CLIENT: &str = "client";
const SERVER: &str = "server";

/// What the policies isolate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolated {
    /// The server, for what comes in on [`PORT`].
    Server,
    /// Server and client, in both directions, on [`PORT`].
    Both,
    /// The same, and on a range of ports too.
    BothOnRanges,
}

/// The labels of the pods that are measured.
pub(crate) fn labels(server: bool) -> Labels {
    Labels::from([(ROLE.to_owned(), if server { SERVER } else { CLIENT }.to_owned())])
}

/// So many policies: each lets one other pod of the cluster in, but the last one, which lets in the clients.
pub(crate) fn policies(count: u32, isolated: Isolated) -> Vec<NetworkPolicy> {
    let subject = match isolated {
        Isolated::Server => LabelSelector::labels([(ROLE, SERVER)]),
        Isolated::Both | Isolated::BothOnRanges => {
            LabelSelector::new([ringfence_policy::Requirement::Exists(ROLE.to_owned())])
        }
    };
    (0..count)
        .map(|number| {
            // Both are clients of each other where both are isolated.
            let peer = match isolated {
                _ if number + 1 < count => LabelSelector::labels([("name", name(number))]),
                Isolated::Server => LabelSelector::labels([(ROLE, CLIENT)]),
                Isolated::Both | Isolated::BothOnRanges => subject.clone(),
            };
            let rule = || Rule {
                peers: Peers::Of(vec![Peer::Pods { namespaces: NamespaceScope::Own, pods: peer.clone() }]),
                ports: ports(isolated),
                source: None,
            };
            NetworkPolicy {
                name: PolicyName { namespace: NAMESPACE.into(), name: format!("policy-{number}") },
                subject: subject.clone(),
                ingress: Some(vec![rule()]),
                egress: (isolated != Isolated::Server).then(|| vec![rule()]),
                source: None,
            }
        })
        .collect()
}

fn ports(isolated: Isolated) -> Ports {
    let range = (isolated == Isolated::BothOnRanges).then(|| PortRange::new(RANGE.0, RANGE.1)).flatten();
    let ranges = [Some(PortRange::single(PORT)), range].into_iter().flatten();
    Ports::Of(
        ranges.map(|range| PortMatch { protocol: Protocol::Tcp, port: PortRef::Range(range) }).collect(),
    )
}

/// The pods that all policies but the last let in: somewhere else in the cluster.
pub(crate) fn others(count: u32) -> impl Iterator<Item = Pod> {
    (0..count.saturating_sub(1)).map(|number| {
        let labels = Labels::from([("name".to_owned(), name(number))]);
        pod(&name(number), "elsewhere", other_address(number), labels)
    })
}

/// A pod of the scenario.
pub(crate) fn pod(name: &str, node: &str, address: Ipv4Addr, labels: Labels) -> Pod {
    Pod {
        namespace: NAMESPACE.into(),
        name: name.into(),
        workload: Workload { kind: "Pod".into(), name: name.into() },
        count: 1,
        labels,
        addresses: vec![IpAddr::V4(address)],
        named_ports: Vec::new(),
        host_network: false,
        node: Some(node.into()),
    }
}

/// The address of one of the [`others`].
pub(crate) fn other_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 0)) + number)
}

fn name(number: u32) -> String {
    format!("other-{number}")
}

/// The table's name in nftables.
pub(crate) const NFT_TABLE: &str = "ringfence_bench";

/// What the policies of [`Isolated::Server`] say, as whoever writes plain rules would: established connections first,
/// then a rule for each policy and peer, then the rest to the server dropped.
pub(crate) fn nftables(count: u32, server: IpAddr, clients: &[IpAddr]) -> String {
    let mut text = format!(
        "table inet {NFT_TABLE} {{\n chain forward {{ type filter hook forward priority 0;\n  \
         ct state established,related accept;\n"
    );
    let others = (0..count.saturating_sub(1)).map(|number| IpAddr::V4(other_address(number)));
    for peer in others.chain(clients.iter().copied()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  ip daddr {server} ip saddr {peer} tcp dport {PORT} accept;");
    }
    let _ = write!(text, "  ip daddr {server} drop;\n }}\n}}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_say_what_the_policies_say_with_the_match_last() {
        let text = nftables(3, [10, 244, 1, 2].into(), &[[10, 244, 1, 3].into()]);
        let rules: Vec<&str> = text.lines().map(str::trim).collect();
        let expect = [
            "table inet ringfence_bench {",
            "chain forward { type filter hook forward priority 0;",
            "ct state established,related accept;",
            "ip daddr 10.244.1.2 ip saddr 10.64.0.0 tcp dport 8080 accept;",
            "ip daddr 10.244.1.2 ip saddr 10.64.0.1 tcp dport 8080 accept;",
            "ip daddr 10.244.1.2 ip saddr 10.244.1.3 tcp dport 8080 accept;",
            "ip daddr 10.244.1.2 drop;",
            "}",
            "}",
        ];
        assert_eq!(rules, expect);
        let policies = policies(3, Isolated::Server);
        let peers: Vec<String> = policies
            .iter()
            .filter_map(|p| match &p.ingress.as_ref()?.first()?.peers {
                Peers::Of(peers) => Some(format!("{peers:?}")),
                Peers::Any => None,
            })
            .collect();
        assert_eq!(peers.len(), 3);
        assert!(peers[0].contains("other-0") && peers[1].contains("other-1") && peers[2].contains(CLIENT));
    }
}
