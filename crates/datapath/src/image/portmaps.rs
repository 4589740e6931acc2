//! Port maps as rows, and the numbers of rules in them; each kept once, for as long as a pair of a policy set and an
//! identity has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringfence_policy::{Decision, Direction, Engine, PolicyKey, PortMap, Protocol, RuleRef};
use rustc_hash::FxHashMap;

use crate::abi::PortMapValue;
use crate::image::changes::ImageChanges;
use crate::image::holders::Holders;
use crate::image::{Image, PortRow, RuleName};
use crate::naming::{Namer, Space};

/// The port maps that an image has.
#[derive(Debug, Clone, Default)]
pub(crate) struct PortMaps {
    by_rows: Holders<Arc<[PortRow]>, u64>,
    rules: Holders<RuleId, u32>,
    /// What this update has seen already. Neither outlives it: an engine's numbers may mean something else in the next.
    seen_maps: FxHashMap<PortMap, u64>,
    seen_rules: FxHashMap<RuleRef, u32>,
}

/// A rule, by name: what its number says.
type RuleId = (PolicyKey, Direction, u32);

/// What is needed to write port maps.
pub(crate) struct Writer<'k> {
    pub(crate) engine: &'k Engine,
    pub(crate) namer: &'k mut Namer,
    pub(crate) image: &'k mut Image,
    pub(crate) changes: &'k mut ImageChanges,
}

impl PortMaps {
    /// The number of a port map, which is in the image at least until the update ends.
    pub(crate) fn number(&mut self, map: PortMap, writer: &mut Writer<'_>) -> u64 {
        if let Some(number) = self.seen_maps.get(&map) {
            return *number;
        }
        let rows = self.rows(&map, writer);
        let number = self.number_of_rows(rows.into(), writer);
        self.seen_maps.insert(map, number);
        number
    }

    /// A port map has a holder more.
    pub(crate) fn hold(&mut self, number: u64, image: &Image) {
        if let Some(rows) = image.portmaps.get(&number) {
            self.by_rows.hold(rows);
        }
    }

    /// A port map has a holder less.
    pub(crate) fn release(&mut self, number: u64, image: &Image) {
        if let Some(rows) = image.portmaps.get(&number) {
            self.by_rows.release(rows);
        }
    }

    /// Ends an update: takes out what nobody holds.
    pub(crate) fn settle(&mut self, writer: &mut Writer<'_>) {
        self.seen_maps.clear();
        self.seen_rules.clear();
        for (rows, number) in self.by_rows.settle().gone {
            writer.changes.portmaps.write(&mut writer.image.portmaps, number, None);
            writer.namer.forget(Space::PortMap, number);
            for rule in rows.iter().map(|row| row.value.rule) {
                if let Some(name) = writer.image.rule_names.get(&rule) {
                    self.rules.release(&(name.policy.clone(), name.direction, name.rule));
                }
            }
        }
        for (_, number) in self.rules.settle().gone {
            writer.changes.rule_names.write(&mut writer.image.rule_names, number, None);
            writer.namer.forget(Space::Rule, u64::from(number));
        }
    }

    /// How many port maps and rules there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.by_rows.len(), self.rules.len())
    }

    fn number_of_rows(&mut self, rows: Arc<[PortRow]>, writer: &mut Writer<'_>) -> u64 {
        if let Some(number) = self.by_rows.get(&rows) {
            return number;
        }
        let number = writer.namer.portmap(&rows);
        self.by_rows.set(&rows, number);
        for rule in rows.iter().map(|row| row.value.rule) {
            if let Some(name) = writer.image.rule_names.get(&rule) {
                self.rules.hold(&(name.policy.clone(), name.direction, name.rule));
            }
        }
        writer.changes.portmaps.write(&mut writer.image.portmaps, number, Some(rows));
        number
    }

    /// The rows of a port map: one for everything, one for a protocol that mostly differs from that, and blocks of
    /// ports for what differs from its protocol.
    fn rows(&mut self, map: &PortMap, writer: &mut Writer<'_>) -> Vec<PortRow> {
        let root = self.value(map.other(), writer);
        let mut rows = vec![PortRow { protocol: None, port: 0, bits: 0, value: root }];
        for protocol in Protocol::ALL {
            let mut spans = Vec::new();
            let mut first = 0u16;
            for span in map.spans(protocol) {
                spans.push((first, span.last, self.value(span.decision, writer)));
                first = span.last.saturating_add(1);
            }
            let mut ports: BTreeMap<PortMapValue, u32> = BTreeMap::new();
            for (first, last, value) in &spans {
                *ports.entry(*value).or_default() += u32::from(*last) - u32::from(*first) + 1;
            }
            let base = ports.into_iter().max_by_key(|(_, count)| *count).map_or(root, |(value, _)| value);
            let number = Some(protocol.number());
            if base != root {
                rows.push(PortRow { protocol: number, port: 0, bits: 0, value: base });
            }
            for (first, last, value) in spans.into_iter().filter(|(_, _, value)| *value != base) {
                let blocks = port_blocks(first, last).into_iter();
                rows.extend(blocks.map(|(port, bits)| PortRow { protocol: number, port, bits, value }));
            }
        }
        rows
    }

    fn value(&mut self, decision: Decision, writer: &mut Writer<'_>) -> PortMapValue {
        let rule = decision.rule.map_or(0, |rule| self.rule_number(rule, writer));
        if decision.allow { PortMapValue::allow(rule) } else { PortMapValue::deny(rule) }
    }

    fn rule_number(&mut self, rule: RuleRef, writer: &mut Writer<'_>) -> u32 {
        if let Some(number) = self.seen_rules.get(&rule) {
            return *number;
        }
        let Some(policy) = writer.engine.policy(rule.policy).map(|p| p.key()) else { return 0 };
        let direction = if rule.egress { Direction::Egress } else { Direction::Ingress };
        let id: RuleId = (policy, direction, rule.rule);
        let number = match self.rules.get(&id) {
            Some(number) => number,
            None => {
                let number = writer.namer.rule(&id.0, rule);
                self.rules.set(&id, number);
                number
            }
        };
        // A rule that says what it said may be written elsewhere now.
        let source = writer.engine.rule_source(rule).cloned();
        let name = RuleName { policy: id.0, direction, rule: rule.rule, source };
        writer.changes.rule_names.write(&mut writer.image.rule_names, number, Some(name));
        self.seen_rules.insert(rule, number);
        number
    }
}

/// The fewest aligned blocks that make up a range of ports, each as its first port and the bits that count.
fn port_blocks(first: u16, last: u16) -> Vec<(u16, u8)> {
    let mut blocks = Vec::new();
    let (mut next, last) = (u32::from(first), u32::from(last));
    while next <= last {
        let aligned = if next == 0 { 16 } else { next.trailing_zeros().min(16) };
        let fits = (last - next + 1).ilog2();
        let size = aligned.min(fits);
        if let (Ok(port), Ok(bits)) = (u16::try_from(next), u8::try_from(16 - size)) {
            blocks.push((port, bits));
        }
        next += 1 << size;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::port_blocks;

    fn check(first: u16, last: u16, expect: &[(u16, u8)]) {
        let blocks = port_blocks(first, last);
        assert_eq!(blocks, expect);
        let size: u32 = blocks.iter().map(|(_, bits)| 1u32 << (16 - bits)).sum();
        assert_eq!(size, u32::from(last - first) + 1);
    }

    #[test]
    fn ranges_become_aligned_blocks() {
        check(80, 80, &[(80, 16)]);
        check(0, 65535, &[(0, 0)]);
        check(65535, 65535, &[(65535, 16)]);
        check(1, 6, &[(1, 16), (2, 15), (4, 15), (6, 16)]);
        check(8000, 8031, &[(8000, 11)]);
        check(1024, 65535, &[(1024, 6), (2048, 5), (4096, 4), (8192, 3), (16384, 2), (32768, 1)]);
    }
}
