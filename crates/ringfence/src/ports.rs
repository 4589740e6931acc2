//! Sets of ports as people and programs read them.

use ringfence_policy::{PortMap, PortRange, PortSet, Protocol, RuleRef};
use serde_json::{Value, json};

/// Some ports by protocol, and whether the protocols without ports are among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PortList {
    ranges: Vec<(Protocol, Vec<PortRange>)>,
    other: bool,
}

impl From<&PortSet> for PortList {
    fn from(set: &PortSet) -> PortList {
        let ranges = Protocol::ALL.map(|p| (p, set.ranges(p).to_vec()));
        PortList { ranges: ranges.into_iter().filter(|(_, r)| !r.is_empty()).collect(), other: set.other() }
    }
}

impl PortList {
    /// What a map leaves to one rule, or to none.
    pub(crate) fn of_rule(map: &PortMap, rule: Option<RuleRef>) -> PortList {
        let ranges = Protocol::ALL.map(|protocol| {
            let mut first = 0u16;
            let mut ranges = Vec::new();
            for span in map.spans(protocol) {
                if span.decision.rule == rule {
                    ranges.extend(PortRange::new(first, span.last));
                }
                first = span.last.saturating_add(1);
            }
            (protocol, ranges)
        });
        PortList {
            ranges: ranges.into_iter().filter(|(_, r)| !r.is_empty()).collect(),
            other: map.other().rule == rule,
        }
    }

    /// Adds ports of a protocol that come after those that are there.
    pub(crate) fn push(&mut self, protocol: Protocol, range: PortRange) {
        match self.ranges.last_mut() {
            Some((last, ranges)) if *last == protocol => match ranges.last_mut() {
                Some(before) if before.last().checked_add(1) == Some(range.first()) => {
                    if let Some(both) = PortRange::new(before.first(), range.last()) {
                        *before = both;
                    }
                }
                _ => ranges.push(range),
            },
            _ => self.ranges.push((protocol, vec![range])),
        }
    }

    /// Adds the protocols without ports.
    pub(crate) fn push_other(&mut self) {
        self.other = true;
    }

    /// Whether some traffic is in both.
    pub(crate) fn meets(&self, with: &PortList) -> bool {
        let meets = |a: &PortRange, b: &PortRange| a.first() <= b.last() && b.first() <= a.last();
        (self.other && with.other)
            || self.ranges.iter().any(|(protocol, ranges)| {
                let of = with.ranges.iter().filter(|(p, _)| p == protocol).flat_map(|(_, ranges)| ranges);
                of.into_iter().any(|b| ranges.iter().any(|a| meets(a, b)))
            })
    }

    /// Whether it is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        !self.other && self.ranges.is_empty()
    }

    /// Whether it is every protocol and port.
    pub(crate) fn is_all(&self) -> bool {
        self.other
            && self.ranges.len() == Protocol::ALL.len()
            && self.ranges.iter().all(|(_, r)| *r == [PortRange::ALL])
    }

    /// `"all"`, or a list by protocol.
    pub(crate) fn to_json(&self) -> Value {
        if self.is_all() {
            return json!("all");
        }
        let ports = |ranges: &[PortRange]| -> Vec<Value> {
            ranges.iter().map(|r| json!([r.first(), r.last()])).collect()
        };
        let named = self.ranges.iter().map(|(p, r)| json!({"protocol": p.as_str(), "ports": ports(r)}));
        named.chain(self.other.then(|| json!({"protocol": "other"}))).collect()
    }

    /// Such as `TCP 80,8000-8010, UDP 53`.
    pub(crate) fn to_text(&self) -> String {
        if self.is_all() {
            return "all".to_owned();
        }
        let named = self.ranges.iter().map(|(protocol, ranges)| {
            if *ranges == [PortRange::ALL] {
                return format!("all {protocol}");
            }
            let ranges: Vec<String> = ranges.iter().map(PortRange::to_string).collect();
            format!("{protocol} {}", ranges.join(","))
        });
        let all: Vec<String> = named.chain(self.other.then(|| "ICMP and others".to_owned())).collect();
        all.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_and_nothing() {
        let all = PortList::from(&PortSet::all());
        assert_eq!((all.to_json(), all.to_text()), (json!("all"), "all".to_owned()));
        let none = PortList::default();
        assert_eq!((none.to_json(), none.to_text()), (json!([]), String::new()));
    }

    #[test]
    fn every_port_without_icmp_is_a_list() {
        let list = PortList { ranges: Protocol::ALL.map(|p| (p, vec![PortRange::ALL])).into(), other: false };
        assert_eq!(list.to_text(), "all TCP, all UDP, all SCTP");
        assert_eq!(
            list.to_json(),
            json!([
                {"protocol": "TCP", "ports": [[0, 65535]]},
                {"protocol": "UDP", "ports": [[0, 65535]]},
                {"protocol": "SCTP", "ports": [[0, 65535]]}
            ])
        );
    }

    #[test]
    fn ranges_and_single_ports() {
        let range = PortRange::new(8000, 8010).unwrap();
        let list = PortList {
            ranges: vec![
                (Protocol::Tcp, vec![PortRange::single(80), range]),
                (Protocol::Udp, vec![PortRange::single(53)]),
            ],
            other: false,
        };
        assert_eq!(list.to_text(), "TCP 80,8000-8010, UDP 53");
    }
}
