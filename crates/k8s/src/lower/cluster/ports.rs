//! `protocols` of `v1alpha2` and `ports` of `v1alpha1`.

use ringfence_policy::{PortMatch, PortRange, PortRef, Ports, Protocol};

use super::dialect::Dialect;
use super::fields::Fields;
use crate::lower::context::{Context, Reported, all, field};
use crate::lower::names;
use crate::node::{Entry, Node};
use crate::source::Span;

/// The fields of a mapping, and where it is written.
struct Mapping<'n> {
    entries: &'n [Entry],
    span: Option<Span>,
}

impl Context<'_> {
    /// The ports of a rule, which are written.
    pub(super) fn cluster_ports(&mut self, node: &Node, dialect: &Dialect) -> Result<Ports, Reported> {
        let items = self.sequence(node, dialect.ports)?;
        let help = format!("leave `{}` out to mean every protocol and port", dialect.ports);
        let count = self.some_but_at_most(node, items, dialect.ports, dialect.most, &help);
        let of = format!("an item of `{}`", dialect.ports);
        let ports = all(items.iter().map(|item| {
            self.one_of(item, (dialect.ports, &of), dialect.port_kinds, |context, name, value| {
                context.cluster_port(name, value, dialect)
            })
        }));
        count?;
        Ok(Ports::Of(ports?.concat()))
    }

    /// What one item matches, by its only field. A port's name is looked for in every protocol.
    fn cluster_port(
        &mut self,
        name: &'static str,
        node: &Node,
        dialect: &Dialect,
    ) -> Result<Vec<PortMatch>, Reported> {
        if name == dialect.named_port {
            let port = self.named_port(node, name)?;
            let of = |protocol| PortMatch { protocol, port: PortRef::Named(port.clone()) };
            return Ok(Protocol::ALL.map(of).to_vec());
        }
        let (protocol, range) = match name {
            "tcp" => (Protocol::Tcp, self.destination_port(node, name)?),
            "udp" => (Protocol::Udp, self.destination_port(node, name)?),
            "sctp" => (Protocol::Sctp, self.destination_port(node, name)?),
            "portRange" => self.with_protocol(node, name, &["start", "end"], Self::port_range)?,
            _ => self.with_protocol(node, name, &["port"], |context, mapping, fields| {
                context.required_port(mapping, "port", fields).map(PortRange::single)
            })?,
        };
        Ok(vec![PortMatch { protocol, port: PortRef::Range(range) }])
    }

    fn named_port(&mut self, node: &Node, field: &str) -> Result<String, Reported> {
        let name = self.string(node, field)?;
        names::port_name(name).map(|()| name.to_owned()).map_err(|why| {
            let help = match name.trim().parse::<u16>() {
                Ok(_) => format!("`{field}` takes a name, not a number"),
                Err(_) => {
                    "the name of a container's port has small letters, digits and single dashes, and a letter"
                        .to_owned()
                }
            };
            self.not_known("invalid-port", node.span, format!("`{name}` is no port name: {why}"), Some(help))
        })
    }

    /// What `tcp`, `udp` or `sctp` matches. Without a `destinationPort` it matches something that is not known here.
    fn destination_port(&mut self, node: &Node, protocol: &str) -> Result<PortRange, Reported> {
        let of = format!("`{protocol}`");
        self.one_of(node, (protocol, &of), &["destinationPort"], |context, name, port| {
            let called = (name, "`destinationPort`");
            context.one_of(port, called, &["number", "range"], |context, name, value| {
                if name == "number" {
                    return context.port_number(value, name).map(PortRange::single);
                }
                const FIELDS: [&str; 2] = ["start", "end"];
                let fields = Fields { of: "`range`", known: &FIELDS, required: &FIELDS };
                let mapping = Mapping { entries: context.mapping(value, name)?, span: value.span };
                let known = context.fields(mapping.entries, &fields);
                let range = context.port_range(&mapping, &fields);
                known.and(range)
            })
        })
    }

    /// An item of `v1alpha1` that has a protocol, TCP by default, beside the fields that `read` reads.
    fn with_protocol(
        &mut self,
        node: &Node,
        name: &str,
        required: &[&str],
        read: impl FnOnce(&mut Self, &Mapping<'_>, &Fields<'_>) -> Result<PortRange, Reported>,
    ) -> Result<(Protocol, PortRange), Reported> {
        let mapping = Mapping { entries: self.mapping(node, name)?, span: node.span };
        let of = format!("`{name}`");
        let known = [&["protocol"][..], required].concat();
        let fields = Fields { of: &of, known: &known, required };
        let known = self.fields(mapping.entries, &fields);
        let protocol = self.protocol(mapping.entries);
        let range = read(self, &mapping, &fields);
        known?;
        Ok((protocol?, range?))
    }

    /// `start` and `end`, both included, of which the one must be below the other.
    fn port_range(&mut self, mapping: &Mapping<'_>, fields: &Fields<'_>) -> Result<PortRange, Reported> {
        let start = self.required_port(mapping, "start", fields);
        let end = self.required_port(mapping, "end", fields);
        let (start, end) = (start?, end?);
        PortRange::new(start, end).filter(|range| range.first() < range.last()).ok_or_else(|| {
            let message = format!("`start` {start} is not below `end` {end}");
            let help = (start == end).then(|| "write a single port as a number".to_owned());
            let span = field(mapping.entries, "end").and_then(|n| n.span).or(mapping.span);
            self.error("invalid-port", span, message, help)
        })
    }

    fn required_port(
        &mut self,
        mapping: &Mapping<'_>,
        name: &str,
        fields: &Fields<'_>,
    ) -> Result<u16, Reported> {
        let number = self.required(mapping.entries, name, fields, mapping.span)?;
        self.port_number(number, name)
    }
}
