//! Peers, ports and rules as each kind of policy spells them, and their text in YAML's flow style.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ringfence_policy::{ClusterPolicyKind, Direction, End, Engine, Labels, Pod, PolicyKey, Traffic};
use serde_json::{Map, Value, json};

use super::party::Party;
use crate::ranges;
use crate::reference::Reference;

const NAMESPACE_NAME: &str = ringfence_policy::model::NAMESPACE_NAME_LABEL;

/// How a kind of policy spells its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax<'e> {
    /// A NetworkPolicy of this namespace.
    Network(&'e str),
    /// A ClusterNetworkPolicy.
    V1Alpha2,
    /// An AdminNetworkPolicy or BaselineAdminNetworkPolicy.
    V1Alpha1,
}

impl<'e> Syntax<'e> {
    pub(super) fn of(policy: &'e PolicyKey) -> Syntax<'e> {
        match policy {
            PolicyKey::Network(name) => Syntax::Network(&name.namespace),
            PolicyKey::Cluster(name) => match name.kind {
                ClusterPolicyKind::ClusterNetworkPolicy => Syntax::V1Alpha2,
                ClusterPolicyKind::AdminNetworkPolicy | ClusterPolicyKind::BaselineAdminNetworkPolicy => {
                    Syntax::V1Alpha1
                }
            },
        }
    }

    /// The field with a rule's peers.
    pub(super) fn peers_key(self, direction: Direction) -> &'static str {
        match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        }
    }

    /// The field with a rule's ports.
    pub(super) fn ports_key(self) -> &'static str {
        match self {
            Syntax::V1Alpha2 => "protocols",
            Syntax::Network(_) | Syntax::V1Alpha1 => "ports",
        }
    }

    /// The peers that match an end; none where this kind cannot name it.
    pub(super) fn peers(self, engine: &Engine, party: &Party, direction: Direction) -> Vec<Value> {
        match pod_of(engine, party) {
            Some(pod) => self.peer_of_pod(pod).into_iter().collect(),
            None => {
                let blocks = blocks(party).into_iter();
                blocks.filter_map(|block| self.peer_of_block(block, direction)).collect()
            }
        }
    }

    /// A peer that selects a pod; `None` for pods that no selector matches.
    fn peer_of_pod(self, pod: &Pod) -> Option<Value> {
        if pod.host_network {
            return None;
        }
        let pods = selector(&telling_labels(&pod.labels));
        let namespace = json!({"matchLabels": {NAMESPACE_NAME: pod.namespace}});
        Some(match self {
            Syntax::Network(own) if own == pod.namespace => json!({"podSelector": pods}),
            Syntax::Network(_) => json!({"namespaceSelector": namespace, "podSelector": pods}),
            Syntax::V1Alpha2 | Syntax::V1Alpha1 => {
                json!({"pods": {"namespaceSelector": namespace, "podSelector": pods}})
            }
        })
    }

    fn peer_of_block(self, block: IpNet, direction: Direction) -> Option<Value> {
        match (self, direction) {
            (Syntax::Network(_), _) => Some(json!({"ipBlock": {"cidr": block.to_string()}})),
            (_, Direction::Egress) => Some(json!({"networks": [block.to_string()]})),
            (_, Direction::Ingress) => None,
        }
    }

    /// The entry for a port; `None` for protocols without.
    pub(super) fn port(self, traffic: Traffic) -> Option<Value> {
        let Traffic::Port(protocol, port) = traffic else { return None };
        Some(match self {
            Syntax::Network(_) => json!({"protocol": protocol.as_str(), "port": port}),
            Syntax::V1Alpha2 => {
                json!({protocol.as_str().to_ascii_lowercase(): {"destinationPort": {"number": port}}})
            }
            Syntax::V1Alpha1 => json!({"portNumber": {"protocol": protocol.as_str(), "port": port}}),
        })
    }

    /// The rule that lets these peers send this.
    pub(super) fn rule(self, direction: Direction, peers: Vec<Value>, traffic: Option<Traffic>) -> Value {
        let mut rule = Map::new();
        match self {
            Syntax::Network(_) => {}
            Syntax::V1Alpha2 => drop(rule.insert("action".to_owned(), json!("Accept"))),
            Syntax::V1Alpha1 => drop(rule.insert("action".to_owned(), json!("Allow"))),
        }
        rule.insert(self.peers_key(direction).to_owned(), Value::Array(peers));
        if let Some(port) = traffic.and_then(|t| self.port(t)) {
            rule.insert(self.ports_key().to_owned(), json!([port]));
        }
        Value::Object(rule)
    }
}

/// A value in YAML's flow style, on one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => format!("{{{}}}", fields_text(fields)),
        other => other.to_string(),
    }
}

/// An item of a list, with its dash; a mapping of one field without braces.
pub(super) fn list_item(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.len() == 1 => format!("- {}", fields_text(fields)),
        other => format!("- {}", flow(other)),
    }
}

fn fields_text(fields: &Map<String, Value>) -> String {
    let fields = fields.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
    fields.collect::<Vec<_>>().join(", ")
}

/// A string as YAML: quoted where it would read as something else. A colon can end a key.
fn scalar(value: &str) -> String {
    // YAML has numbers that Rust does not know (0x1f, 0o17, 0b1, 1_000), and dates.
    let like_number = value.starts_with(|c: char| c.is_ascii_digit()) && !value.contains('/');
    let plain = value.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'/')
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && !like_number
        && value.parse::<f64>().is_err()
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
            .contains(&value.to_ascii_lowercase().as_str());
    if plain { value.to_owned() } else { Value::from(value).to_string() }
}

fn selector(labels: &Labels) -> Value {
    if labels.is_empty() { json!({}) } else { json!({"matchLabels": labels}) }
}

/// The labels that say what a pod is, without those that change with every release or pod.
///
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>
fn telling_labels(labels: &Labels) -> Labels {
    const TELLING: [&str; 8] = [
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
        "app",
        "k8s-app",
        "component",
        "role",
        "name",
    ];
    const CHANGING: [&str; 7] = [
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "app.kubernetes.io/version",
        "helm.sh/chart",
    ];
    let keep = |wanted: &dyn Fn(&str) -> bool| -> Labels {
        labels.iter().filter(|(k, _)| wanted(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let telling = keep(&|k| TELLING.contains(&k));
    if telling.is_empty() { keep(&|k| !CHANGING.contains(&k)) } else { telling }
}

/// The blocks that are an end outside; none where its range is not one prefix.
fn blocks(party: &Party) -> Vec<IpNet> {
    match &party.reference {
        Reference::Address(address) => vec![IpNet::from(*address)],
        Reference::Outside(first, last) => ranges::prefix(*first, *last).into_iter().collect(),
        Reference::External => vec![Ipv4Net::default().into(), Ipv6Net::default().into()],
        Reference::Workload { .. } | Reference::Pod { .. } => Vec::new(),
    }
}

/// The pod that an end is.
pub(super) fn pod_of<'e>(engine: &'e Engine, party: &Party) -> Option<&'e Pod> {
    match party.end {
        End::Pod(pod) => engine.pod(pod),
        End::Address(address) => engine.pod_at(address).and_then(|id| engine.pod(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_style_quotes_what_would_read_as_something_else() {
        let check = |value: Value, expect: &str| assert_eq!(flow(&value), expect);
        check(json!({"a": "b", "port": 1, "n": "/x"}), r#"{a: b, port: 1, "n": /x}"#);
        check(json!(["true", "1.5", "7", "", "x y", "a: b"]), r#"["true", "1.5", "7", "", "x y", "a: b"]"#);
        check(json!(["0x1f", "1_000", "2026-01-01"]), r#"["0x1f", "1_000", "2026-01-01"]"#);
        check(json!({"kubernetes.io/metadata.name": "shop"}), "{kubernetes.io/metadata.name: shop}");
        check(json!(["10.0.0.0/8", "fd00::/8"]), r#"[10.0.0.0/8, "fd00::/8"]"#);
        assert_eq!(list_item(&json!({"podSelector": {}})), "- podSelector: {}");
        assert_eq!(list_item(&json!({"a": 1, "b": []})), "- {a: 1, b: []}");
    }
}
