//! Cluster policies as the API spells them.
//!
//! <https://github.com/kubernetes-sigs/network-policy-api/blob/main/apis/v1alpha2/clusternetworkpolicy_types.go>

use anyhow::{Context, bail};
use ringfence_policy::{
    ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterRule, ClusterTier, PodsAcross, PortRef, Ports,
    Protocol,
};
use serde_json::{Value, json};

use super::manifest::{selector, set};

/// A ClusterNetworkPolicy. An error where the API cannot say what the policy says.
pub(super) fn cluster_policy(policy: &ClusterPolicy) -> anyhow::Result<Value> {
    if policy.name.kind != ClusterPolicyKind::ClusterNetworkPolicy {
        bail!("{} is of an old kind, which is not written", policy.name);
    }
    let tier = match policy.tier {
        ClusterTier::Admin => "Admin",
        ClusterTier::Baseline => "Baseline",
    };
    let mut spec = json!({"tier": tier, "priority": policy.priority, "subject": pods(&policy.subject)});
    for (name, peers, rules) in [("ingress", "from", &policy.ingress), ("egress", "to", &policy.egress)] {
        if !rules.is_empty() {
            let rules: anyhow::Result<Vec<Value>> = rules.iter().map(|r| rule(r, peers)).collect();
            set(&mut spec, name, rules.with_context(|| policy.name.to_string())?.into());
        }
    }
    Ok(json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": policy.name.kind.as_str(),
        "metadata": {"name": policy.name.name},
        "spec": spec,
    }))
}

/// All pods of namespaces, or some.
fn pods(across: &PodsAcross) -> Value {
    let namespaces = selector(&across.namespaces);
    if across.pods.is_everything() {
        json!({"namespaces": namespaces})
    } else {
        json!({"pods": {"namespaceSelector": namespaces, "podSelector": selector(&across.pods)}})
    }
}

fn rule(rule: &ClusterRule, peers: &str) -> anyhow::Result<Value> {
    let Some(matches) = &rule.matches else { bail!("a rule that is not known cannot be written") };
    let mut out = json!({});
    if let Some(name) = &rule.name {
        set(&mut out, "name", json!(name));
    }
    set(&mut out, "action", json!(rule.action.as_str()));
    set(&mut out, peers, matches.peers.iter().map(peer).collect());
    if let Ports::Of(_) = matches.ports {
        set(&mut out, "protocols", protocols(&matches.ports)?.into());
    }
    Ok(out)
}

fn peer(peer: &ClusterPeer) -> Value {
    match peer {
        ClusterPeer::Pods(across) => pods(across),
        ClusterPeer::Nodes(nodes) => json!({"nodes": selector(nodes)}),
        ClusterPeer::Network(net) => json!({"networks": [net.to_string()]}),
        ClusterPeer::Domain(name) => json!({"domainNames": [name.to_string()]}),
    }
}

/// Of ports by name, the API knows only those of any protocol; of protocols, none without a port.
fn protocols(ports: &Ports) -> anyhow::Result<Vec<Value>> {
    let Ports::Of(ports) = ports else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for port in ports {
        let range = match &port.port {
            PortRef::Range(range) if range.first() == range.last() => json!({"number": range.first()}),
            PortRef::Range(range) => json!({"range": {"start": range.first(), "end": range.last()}}),
            PortRef::Named(name) => {
                let everywhere = |p: &Protocol| ports.iter().any(|o| o.protocol == *p && o.port == port.port);
                if !Protocol::ALL.iter().all(everywhere) {
                    bail!("the port {name} of one protocol only cannot be written");
                }
                if port.protocol == Protocol::Tcp {
                    out.push(json!({"destinationNamedPort": name}));
                }
                continue;
            }
            PortRef::All => bail!("all ports of {} cannot be written", port.protocol),
        };
        let protocol = port.protocol.as_str().to_ascii_lowercase();
        out.push(json!({protocol: {"destinationPort": range}}));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use ringfence_policy::{
        Action, ClusterMatch, ClusterPolicyName, DomainPattern, LabelSelector, PortMatch, PortRange,
        Requirement,
    };

    use super::*;

    fn policy(peers: Vec<ClusterPeer>, ports: Ports) -> ClusterPolicy {
        let kind = ClusterPolicyKind::ClusterNetworkPolicy;
        ClusterPolicy {
            name: ClusterPolicyName { name: "p".to_owned(), kind },
            tier: ClusterTier::Admin,
            priority: 7,
            subject: PodsAcross::default(),
            ingress: Vec::new(),
            egress: vec![ClusterRule {
                name: Some("r".to_owned()),
                action: Action::Accept,
                matches: Some(ClusterMatch { peers, ports }),
                source: None,
            }],
            source: None,
        }
    }

    #[test]
    fn every_kind_of_peer_and_port() {
        let app = LabelSelector::labels([("app", "a")]);
        let some = LabelSelector::new([Requirement::Exists("zone".to_owned())]);
        let peers = vec![
            ClusterPeer::Pods(PodsAcross { namespaces: some.clone(), pods: app }),
            ClusterPeer::Nodes(some),
            ClusterPeer::Network("10.0.0.0/8".parse().unwrap()),
            ClusterPeer::Domain(DomainPattern::parse("*.example.com").unwrap()),
        ];
        let range = |first, last| PortRef::Range(PortRange::new(first, last).unwrap());
        let named = Protocol::ALL.map(|p| PortMatch { protocol: p, port: PortRef::Named("http".to_owned()) });
        let numbers = [(Protocol::Tcp, range(80, 80)), (Protocol::Udp, range(1, 9))]
            .map(|(protocol, port)| PortMatch { protocol, port });
        let ports = Ports::Of(numbers.into_iter().chain(named).collect());
        let zones = json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
        let expect = json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "p"},
            "spec": {"tier": "Admin", "priority": 7, "subject": {"namespaces": {}}, "egress": [{
                "name": "r", "action": "Accept",
                "to": [
                    {"pods": {"namespaceSelector": zones, "podSelector": {"matchLabels": {"app": "a"}}}},
                    {"nodes": zones}, {"networks": ["10.0.0.0/8"]}, {"domainNames": ["*.example.com"]},
                ],
                "protocols": [
                    {"tcp": {"destinationPort": {"number": 80}}},
                    {"udp": {"destinationPort": {"range": {"start": 1, "end": 9}}}},
                    {"destinationNamedPort": "http"},
                ],
            }]},
        });
        assert_eq!(cluster_policy(&policy(peers, ports)).unwrap(), expect);
    }

    #[test]
    fn what_the_api_cannot_say_is_an_error() {
        let ports = |port| Ports::Of(vec![PortMatch { protocol: Protocol::Tcp, port }]);
        for port in [PortRef::All, PortRef::Named("http".to_owned())] {
            assert!(cluster_policy(&policy(Vec::new(), ports(port))).is_err());
        }
    }
}
