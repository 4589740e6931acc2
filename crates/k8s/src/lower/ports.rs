//! Protocols and ports, of policies, containers and Services.

use ringfence_policy::{PortMatch, PortRange, PortRef, Ports, Protocol};

use super::context::{Context, Reported, all, field, key_span};
use super::names;
use crate::node::{Entry, Node, Value};

/// What to do about a protocol that has no ports.
const NO_ICMP: &str =
    "a policy can only name TCP, UDP and SCTP; a rule without `ports` is for every protocol";

impl Context<'_> {
    /// The `ports` of a rule.
    pub(crate) fn ports(&mut self, node: &Node) -> Result<Ports, Reported> {
        let items = self.sequence(node, "ports")?;
        if items.is_empty() {
            return Ok(Ports::Any);
        }
        all(items.iter().map(|item| self.port_match(item))).map(Ports::Of)
    }

    fn port_match(&mut self, node: &Node) -> Result<PortMatch, Reported> {
        self.empty_item(node, "ports", "it allows every TCP port");
        let entries = self.mapping(node, "ports")?;
        let known = self.known_fields(entries, &["protocol", "port", "endPort"], "an item of `ports`");
        let protocol = self.protocol(entries);
        let port = field(entries, "port").map(|node| self.port_or_name(node, "port")).transpose();
        let end = field(entries, "endPort").map(|node| self.port_number(node, "endPort")).transpose();
        known?;
        let (protocol, port, end) = (protocol?, port?, end?);
        let end_span = key_span(entries, "endPort").or(node.span);
        let port = match (port, end) {
            (None, None) => PortRef::All,
            (Some(PortOrName::Name(name)), None) => PortRef::Named(name),
            (Some(PortOrName::Number(first)), None) => PortRef::Range(PortRange::single(first)),
            (Some(PortOrName::Number(first)), Some(last)) => match PortRange::new(first, last) {
                Some(range) => PortRef::Range(range),
                None => {
                    let message = format!("`endPort` {last} is below `port` {first}");
                    return Err(self.error("invalid-port", end_span, message, None));
                }
            },
            (None, Some(_)) => {
                let help = "write `port: 1` for a range from the first port".to_owned();
                return Err(self.error("invalid-port", end_span, "`endPort` without `port`", Some(help)));
            }
            (Some(PortOrName::Name(_)), Some(_)) => {
                let message = "`endPort` with a named `port`: a range needs numbers";
                return Err(self.error("invalid-port", end_span, message, None));
            }
        };
        Ok(PortMatch { protocol, port })
    }

    /// The `protocol` beside a port; TCP where none is written.
    pub(crate) fn protocol(&mut self, entries: &[Entry]) -> Result<Protocol, Reported> {
        let Some(node) = field(entries, "protocol") else { return Ok(Protocol::Tcp) };
        // Some know protocols by their numbers.
        if let Value::Int(number) = &node.value {
            let help = match number {
                1 | 58 => NO_ICMP.to_owned(),
                _ => "the protocols are TCP, UDP and SCTP, by their names".to_owned(),
            };
            return Err(self.not_known(
                "invalid-protocol",
                node.span,
                format!("`{number}` is no protocol"),
                Some(help),
            ));
        }
        let written = self.string(node, "protocol")?;
        if let Some(protocol) = Protocol::ALL.into_iter().find(|p| p.as_str() == written) {
            return Ok(protocol);
        }
        let help = match written.to_ascii_lowercase().as_str() {
            "icmp" | "icmpv4" | "icmpv6" | "any" | "all" | "*" => NO_ICMP.to_owned(),
            _ => match names::near_miss(written, Protocol::ALL.map(Protocol::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => "the protocols are TCP, UDP and SCTP".to_owned(),
            },
        };
        Err(self.not_known("invalid-protocol", node.span, format!("`{written}` is no protocol"), Some(help)))
    }

    /// A number from 1 to 65535.
    pub(crate) fn port_number(&mut self, node: &Node, name: &str) -> Result<u16, Reported> {
        let number = self.integer(node, name)?;
        match u16::try_from(number) {
            Ok(port) if port != 0 => Ok(port),
            _ => {
                let message = format!("`{name}` {number} is not between 1 and 65535");
                let optional = name == "port" && !self.grammar.custom;
                let help = (number == 0 && optional)
                    .then(|| format!("leave `{name}` out to mean all ports of the protocol"));
                Err(self.error("invalid-port", node.span, message, help))
            }
        }
    }

    /// A number, or the name of a container port.
    pub(crate) fn port_or_name(&mut self, node: &Node, name: &str) -> Result<PortOrName, Reported> {
        let Value::String(text) = &node.value else {
            return match &node.value {
                Value::Int(_) | Value::Float(_) => self.port_number(node, name).map(PortOrName::Number),
                _ => Err(self.expected("a number or the name of a port", name, node)),
            };
        };
        names::port_name(text).map(|()| PortOrName::Name(text.clone())).map_err(|why| {
            let (message, help) = match text.trim().split_once('-') {
                _ if text.trim().parse::<u16>().is_ok() => (
                    format!("`{name}` \"{text}\" is a string, which makes it a port's name"),
                    Some("remove the quotes".to_owned()),
                ),
                Some((first, last)) if first.parse::<u16>().is_ok() && last.parse::<u16>().is_ok() => (
                    format!("`{name}` takes one port, not `{text}`"),
                    Some(format!("write `port: {first}` and `endPort: {last}`")),
                ),
                _ => (format!("`{text}` is no port name: {why}"), None),
            };
            self.error("invalid-port", node.span, message, help)
        })
    }
}

/// What the API calls an `IntOrString`, for ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PortOrName {
    Number(u16),
    Name(String),
}
