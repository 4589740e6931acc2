//! One rule of a cluster-wide policy: its action, what it matches, and what it does where that is not known.

use ringfence_policy::{Action, ClusterMatch, ClusterRule, Ports};

use super::dialect::{Dialect, MOST_OF_A_NAME};
use super::fields::Fields;
use crate::lower::context::{Context, Reported, field};
use crate::lower::names;
use crate::lower::policy::{Direction, EGRESS};
use crate::node::{Entry, Node, Value};

/// What has no container ports, and so no named ones.
const WITHOUT_NAMED_PORTS: [&str; 3] = ["nodes", "networks", "domainNames"];

/// What a rule with this action does if anything in it is not known.
fn fails_closed(action: Action) -> &'static str {
    match action {
        Action::Accept => "this rule matches nothing",
        Action::Deny | Action::Pass => "this rule denies everything",
    }
}

impl Context<'_> {
    pub(super) fn cluster_rule(
        &mut self,
        node: &Node,
        direction: Direction,
        dialect: &Dialect,
    ) -> Result<ClusterRule, Reported> {
        let first = self.findings.len();
        let entries = self.mapping(node, direction.rules)?;
        let of = format!("a rule of `{}`", direction.rules);
        let fields = Fields {
            of: &of,
            known: &["name", "action", direction.peers, dialect.ports],
            required: &["action", direction.peers],
        };
        let action = self.action(entries, node, &fields, dialect);
        let matches = self.cluster_match(entries, node, direction, &fields, dialect);
        let allowed = match action {
            Ok(Some(action)) => self.names_are_accepted(entries, action, direction, dialect),
            _ => Ok(()),
        };
        self.effect = None;
        let name = self.rule_name(entries);
        let action = action?;
        let name = name?;
        let matches = match allowed.and(matches) {
            Err(reported) if self.has_errors_from(first) => return Err(reported),
            matches => matches.ok().filter(|_| action.is_some()),
        };
        // What an action that is not known would do to the traffic is not known either: nothing passes.
        let action = action.unwrap_or(Action::Deny);
        Ok(ClusterRule { name, action, matches, source: self.source(node.span) })
    }

    /// The action; `None` where it is not known, which is reported. From here on, what else is not known makes the rule
    /// fail closed.
    fn action(
        &mut self,
        entries: &[Entry],
        node: &Node,
        fields: &Fields<'_>,
        dialect: &Dialect,
    ) -> Result<Option<Action>, Reported> {
        let node = self.required(entries, "action", fields, node.span)?;
        let written = self.string(node, "action")?;
        let action = dialect.actions.iter().find(|(name, _)| *name == written).map(|(_, action)| *action);
        self.effect = Some(fails_closed(action.unwrap_or(Action::Deny)));
        if action.is_none() {
            let actions: Vec<&str> = dialect.actions.iter().map(|(name, _)| *name).collect();
            let help = match (written, names::near_miss(written, actions.iter().copied())) {
                (_, Some(near)) => format!("did you mean {near}?"),
                ("Allow", None) => "v1alpha2 spells it Accept".to_owned(),
                ("Accept", None) => "v1alpha1 spells it Allow".to_owned(),
                _ => format!("the actions of {} are {}", dialect.a, names::list(&actions)),
            };
            self.not_known("invalid-action", node.span, format!("`{written}` is no action"), Some(help));
        }
        Ok(action)
    }

    fn cluster_match(
        &mut self,
        entries: &[Entry],
        node: &Node,
        direction: Direction,
        fields: &Fields<'_>,
        dialect: &Dialect,
    ) -> Result<ClusterMatch, Reported> {
        let known = self.fields(entries, fields);
        let peers = match self.required(entries, direction.peers, fields, node.span) {
            Ok(node) => self.cluster_peers(node, direction, dialect),
            Err(reported) => Err(reported),
        };
        let ports = match field(entries, dialect.ports) {
            Some(node) => self.cluster_ports(node, dialect),
            None => Ok(Ports::Any),
        };
        let named = self.named_ports_have_pods(entries, direction, dialect);
        known?;
        named?;
        Ok(ClusterMatch { peers: peers?, ports: ports? })
    }

    fn rule_name(&mut self, entries: &[Entry]) -> Result<Option<String>, Reported> {
        let Some(node) = field(entries, "name") else { return Ok(None) };
        let name = self.string(node, "name")?;
        let length = name.chars().count();
        if length > MOST_OF_A_NAME {
            let message =
                format!("a rule's name of {length} characters, and a server takes {MOST_OF_A_NAME} at most");
            return Err(self.error("invalid-name", node.span, message, None));
        }
        Ok(Some(name.to_owned()).filter(|n| !n.is_empty()))
    }

    /// Refuses a port's name where a peer of the rule has no named ports.
    fn named_ports_have_pods(
        &mut self,
        rule: &[Entry],
        direction: Direction,
        dialect: &Dialect,
    ) -> Result<(), Reported> {
        let port = items_with(rule, dialect.ports, &[dialect.named_port]).next();
        let peer = items_with(rule, direction.peers, &WITHOUT_NAMED_PORTS)
            .find(|(entry, _)| direction == EGRESS && dialect.egress_peers.contains(&entry.key.as_str()));
        let (Some((port, port_item)), Some((peer, _))) = (port, peer) else { return Ok(()) };
        let message = format!("`{}` in a rule to `{}`: only pods name their ports", port.key, peer.key);
        let help = format!("write the port's number, or make a rule of its own for `{}`", peer.key);
        let reported = self.error("invalid-port", port.key_span.or(port_item.span), message, Some(help));
        self.related(peer.key_span, "the peer without named ports");
        Err(reported)
    }

    /// Domain names can only be accepted: to deny a name's addresses would not deny the name.
    fn names_are_accepted(
        &mut self,
        rule: &[Entry],
        action: Action,
        direction: Direction,
        dialect: &Dialect,
    ) -> Result<(), Reported> {
        let known = direction == EGRESS && dialect.egress_peers.contains(&"domainNames");
        let names = items_with(rule, direction.peers, &["domainNames"]).next().filter(|_| known);
        let (Some((entry, item)), Action::Deny | Action::Pass) = (names, action) else { return Ok(()) };
        let message = format!("`domainNames` in a {} rule: names can only be accepted", action.as_str());
        let help = "accept the names that are allowed, and deny the rest in a later rule".to_owned();
        Err(self.not_known("invalid-domain", entry.key_span.or(item.span), message, Some(help)))
    }
}

/// The entries with one of these keys in the items of a rule's list, each with its item.
fn items_with<'n, 'k>(
    rule: &'n [Entry],
    list: &str,
    keys: &'k [&'k str],
) -> impl Iterator<Item = (&'n Entry, &'n Node)> + use<'n, 'k> {
    let items: &[Node] = match field(rule, list).map(|node| &node.value) {
        Some(Value::Sequence(items)) => items,
        _ => &[],
    };
    items.iter().flat_map(move |item| {
        let entries: &[Entry] = match &item.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        };
        let written = entries.iter().filter(|e| keys.contains(&e.key.as_str()) && !e.value.is_null());
        written.map(move |entry| (entry, item))
    })
}
