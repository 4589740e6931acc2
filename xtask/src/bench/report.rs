//! The table: what was measured, what it should be, and whether it is.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::bench::machine::Machine;

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    rows: Vec<Row>,
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// With how many policies.
    pub(crate) policies: usize,
    /// The figure.
    pub(crate) value: f64,
    /// What it counts.
    pub(crate) unit: Unit,
    /// What it should be.
    pub(crate) target: Target,
    /// Other figures of the same measurement, for comparison.
    pub(crate) beside: Vec<(&'static str, f64, Unit)>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Milliseconds,
    GigabitsPerSecond,
    ConnectionsPerSecond,
    /// Of the same without any policy.
    Share,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    Below(f64),
    AtLeast(f64),
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Report {
        Report { machine, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let Machine { kernel, processor, processors, load } = &self.machine;
        let mut text =
            format!("Linux {kernel}, {processors} CPUs of {processor}, load {load} before the run\n\n");
        let head = ["measured", "policies", "result", "target", "", "beside it"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        for row in &rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max();
                let width = width.unwrap_or_default();
                // Figures to the right, words to the left. Writing to a String cannot fail.
                let _ = match column {
                    1 | 2 => write!(line, "{cell:>width$}  "),
                    _ => write!(line, "{cell:<width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        let missed = self.rows.iter().filter(|row| !row.is_met()).count();
        let _ = match missed {
            0 => writeln!(text, "\nall {} targets are met", self.rows.len()),
            _ => writeln!(text, "\n{missed} of {} targets are missed", self.rows.len()),
        };
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let Machine { kernel, processor, processors, load } = &self.machine;
        json!({
            "machine": { "kernel": kernel, "processor": processor, "processors": processors, "load": load },
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn is_met(&self) -> bool {
        match self.target {
            Target::Below(bound) => self.value < bound,
            Target::AtLeast(bound) => self.value >= bound,
        }
    }

    fn cells(&self) -> [String; 6] {
        let target = match self.target {
            Target::Below(bound) => format!("< {}", self.unit.show(bound)),
            Target::AtLeast(bound) => format!(">= {}", self.unit.show(bound)),
        };
        let beside: Vec<String> =
            self.beside.iter().map(|(name, value, unit)| format!("{name} {}", unit.show(*value))).collect();
        [
            self.what.clone(),
            self.policies.to_string(),
            self.unit.show(self.value),
            target,
            if self.is_met() { "met" } else { "missed" }.to_owned(),
            beside.join(", "),
        ]
    }

    fn json(&self) -> Value {
        let (comparison, target) = match self.target {
            Target::Below(bound) => ("below", bound),
            Target::AtLeast(bound) => ("at least", bound),
        };
        let beside: Vec<Value> = self
            .beside
            .iter()
            .map(|(name, value, unit)| json!({ "name": name, "value": value, "unit": unit.as_str() }))
            .collect();
        json!({
            "measured": self.what, "policies": self.policies, "value": self.value, "unit": self.unit.as_str(),
            "comparison": comparison, "target": target, "met": self.is_met(), "beside": beside,
        })
    }
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Milliseconds => "ms",
            Unit::GigabitsPerSecond => "Gbit/s",
            Unit::ConnectionsPerSecond => "connections/s",
            Unit::Share => "of no policy",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Unit::Nanoseconds => format!("{value:.0} ns"),
            Unit::Milliseconds => format!("{value:.1} ms"),
            Unit::GigabitsPerSecond => format!("{value:.1} Gbit/s"),
            Unit::ConnectionsPerSecond => format!("{value:.0}/s"),
            Unit::Share => format!("{value:.3}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, target: Target) -> Row {
        Row { what: "x".into(), policies: 10, value, unit: Unit::Share, target, beside: Vec::new() }
    }

    #[test]
    fn a_target_is_met_or_missed() {
        for (value, target, expect) in [
            (0.97, Target::AtLeast(0.97), true),
            (0.969, Target::AtLeast(0.97), false),
            (500.0, Target::Below(500.0), false),
            (499.0, Target::Below(500.0), true),
        ] {
            assert_eq!(row(value, target).is_met(), expect, "{value} {target:?}");
        }
    }

    #[test]
    fn the_table_says_how_many_are_missed() {
        let machine =
            Machine { kernel: "6.18".into(), processor: "Z80".into(), processors: 2, load: "0.10".into() };
        let mut report = Report::new(machine);
        report.add(row(0.99, Target::AtLeast(0.9)));
        report.add(row(0.8, Target::AtLeast(0.9)));
        let expect = "Linux 6.18, 2 CPUs of Z80, load 0.10 before the run\n\n\
            measured  policies  result  target            beside it\n\
            x               10   0.990  >= 0.900  met\n\
            x               10   0.800  >= 0.900  missed\n\n\
            1 of 2 targets are missed\n";
        assert_eq!(report.table(), expect);
    }
}
