//! A policy beside the manifest that it was read from: where its selectors, rules, peers and ports are written.

use ringfence_k8s::{Entry, Node, Span, Value};
use ringfence_policy::{
    ClusterPolicy, Direction, LabelSelector, NetworkPolicy, Peer, Peers, PolicyKey, Rule,
};

/// A NetworkPolicy and its text.
#[derive(Debug)]
pub(crate) struct PolicyView<'a> {
    pub(crate) policy: &'a NetworkPolicy,
    pub(crate) node: Option<&'a Node>,
    /// The pods that it holds, by their places in the context.
    pub(crate) subjects: Vec<usize>,
    /// The pods on their node's network that its selector would match.
    pub(crate) host_subjects: Vec<usize>,
}

impl<'a> PolicyView<'a> {
    pub(crate) fn namespace(&self) -> &'a str {
        &self.policy.name.namespace
    }

    /// What findings call it.
    pub(crate) fn object(&self) -> String {
        format!("NetworkPolicy {}", self.policy.name)
    }

    pub(crate) fn key(&self) -> PolicyKey {
        PolicyKey::Network(self.policy.name.clone())
    }

    /// The rules of a direction; none where it says nothing about it.
    pub(crate) fn rules(&self, direction: Direction) -> &'a [Rule] {
        self.rules_if_any(direction).unwrap_or_default()
    }

    /// The same, where `None` means that it does not isolate in the direction.
    pub(crate) fn rules_if_any(&self, direction: Direction) -> Option<&'a [Rule]> {
        match direction {
            Direction::Ingress => self.policy.ingress.as_deref(),
            Direction::Egress => self.policy.egress.as_deref(),
        }
    }

    /// Whether it isolates in a direction and allows nothing.
    pub(crate) fn denies_all(&self, direction: Direction) -> bool {
        self.rules_if_any(direction).is_some_and(<[Rule]>::is_empty)
    }

    /// Every peer of a direction, with the places of its rule and of itself.
    pub(crate) fn peers(
        &self,
        direction: Direction,
    ) -> impl Iterator<Item = (usize, usize, &'a Rule, &'a Peer)> {
        self.rules(direction).iter().enumerate().flat_map(|(i, rule)| {
            let peers = match &rule.peers {
                Peers::Any => &[][..],
                Peers::Of(peers) => peers,
            };
            peers.iter().enumerate().map(move |(j, peer)| (i, j, rule, peer))
        })
    }

    pub(crate) fn spec(&self) -> Option<&'a Node> {
        self.node?.get("spec")
    }

    /// The place of the name: the policy's first line that is its own.
    pub(crate) fn name_span(&self) -> Option<Span> {
        name_span(self.node?)
    }

    pub(crate) fn rule_node(&self, direction: Direction, rule: usize) -> Option<&'a Node> {
        item(self.spec()?.get(direction.as_str())?, rule)
    }

    pub(crate) fn rule_span(&self, direction: Direction, rule: usize) -> Option<Span> {
        self.rule_node(direction, rule).and_then(|n| n.span).or_else(|| self.name_span())
    }

    pub(crate) fn peer_node(&self, direction: Direction, rule: usize, peer: usize) -> Option<&'a Node> {
        item(self.rule_node(direction, rule)?.get(peers_key(direction))?, peer)
    }

    pub(crate) fn peer_span(&self, direction: Direction, rule: usize, peer: usize) -> Option<Span> {
        self.peer_node(direction, rule, peer).and_then(|n| n.span).or_else(|| self.rule_span(direction, rule))
    }

    pub(crate) fn port_node(&self, direction: Direction, rule: usize, port: usize) -> Option<&'a Node> {
        item(self.rule_node(direction, rule)?.get("ports")?, port)
    }
}

/// Where an object's name is written.
pub(crate) fn name_span(object: &Node) -> Option<Span> {
    let metadata = object.get("metadata")?;
    ["name", "generateName"].into_iter().find_map(|key| metadata.get(key)?.span).or(object.span)
}

/// `from` or `to`.
pub(crate) fn peers_key(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

pub(crate) fn item(list: &Node, place: usize) -> Option<&Node> {
    match &list.value {
        Value::Sequence(items) => items.get(place),
        _ => None,
    }
}

pub(crate) fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Mapping(entries) => entries,
        _ => &[],
    }
}

/// Where a mapping's key is written.
pub(crate) fn key_span(node: &Node, key: &str) -> Option<Span> {
    entries(node).iter().find(|e| e.key == key)?.key_span
}

/// Where a selector asks for a label: key and value, or the expression.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) whole: Span,
    pub(crate) key: Option<Span>,
    /// The value, where there is one.
    pub(crate) value: Option<Span>,
}

/// Where a selector's text asks for a label.
pub(crate) fn asked(selector: &Node, key: &str) -> Option<Asked> {
    if let Some(entry) =
        selector.get("matchLabels").and_then(|labels| entries(labels).iter().find(|e| e.key == key))
    {
        let (key, value) = (entry.key_span, entry.value.span);
        let whole = match (key, value) {
            (Some(key), Some(value)) => key.to(value),
            (one, other) => one.or(other)?,
        };
        return Some(Asked { whole, key, value });
    }
    let Value::Sequence(expressions) = &selector.get("matchExpressions")?.value else { return None };
    let expression = expressions.iter().find(|e| e.get("key").and_then(Node::as_str) == Some(key))?;
    let key_node = expression.get("key")?.span;
    let value = expression.get("values").and_then(|v| match &v.value {
        Value::Sequence(items) if items.len() == 1 => items.first()?.span,
        _ => None,
    });
    Some(Asked {
        whole: value.or(expression.get("values").and_then(|v| v.span)).or(key_node)?,
        key: key_node,
        value,
    })
}

/// Where a selector's text lists a value for a label.
pub(crate) fn listed(selector: &Node, key: &str, value: &str) -> Option<Span> {
    let Value::Sequence(expressions) = &selector.get("matchExpressions")?.value else { return None };
    let expressions = expressions.iter().filter(|e| e.get("key").and_then(Node::as_str) == Some(key));
    expressions.filter_map(|e| e.get("values")).find_map(|values| match &values.value {
        Value::Sequence(items) => items.iter().find(|i| i.as_str() == Some(value))?.span,
        _ => None,
    })
}

/// A selector as people write it: `app=web`.
pub(crate) fn shown(selector: &LabelSelector) -> String {
    if selector.is_everything() { "any".to_owned() } else { selector.to_string() }
}

/// A cluster-wide policy and its text.
#[derive(Debug)]
pub(crate) struct ClusterView<'a> {
    pub(crate) policy: &'a ClusterPolicy,
    pub(crate) node: Option<&'a Node>,
}

impl ClusterView<'_> {
    pub(crate) fn object(&self) -> String {
        format!("{} {}", self.policy.name.kind.as_str(), self.policy.name.name)
    }

    pub(crate) fn rule_span(&self, direction: Direction, rule: usize) -> Option<Span> {
        let node = self.node?;
        let rules = node.get("spec").and_then(|s| s.get(direction.as_str()));
        rules.and_then(|r| item(r, rule)).and_then(|n| n.span).or_else(|| name_span(node))
    }
}
