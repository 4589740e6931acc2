//! What an agent counts, for Prometheus.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>: base units, `_total` for what only grows. Labels are
//! bounded by what they are: reasons, tables, kinds. What is counted by policy is bounded by number.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use ringfence_datapath::kernel::Counters;
use ringfence_datapath::tables::Usage;

/// From a tenth of a millisecond to some seconds.
const SECONDS: [f64; 16] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// What news are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum What {
    /// A pod.
    Pod,
    /// A policy.
    Policy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    of: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTable {
    table: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    programming: Family<Of, Histogram, fn() -> Histogram>,
    work: Histogram,
    failures: Counter,
    cut: Counter,
    ready: Gauge,
    endpoints: Gauge,
    policies: Gauge,
    not_enforced: Gauge,
    problems: Gauge,
    followed: Family<ByKind, Gauge>,
    allowed: Counter,
    denied: Family<ByReason, Counter>,
    lost: Counter,
    rows: Family<ByTable, Gauge>,
    sizes: Family<ByTable, Gauge>,
}

fn latency() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("ringfence"),
            programming: Family::new_with_constructor(latency),
            work: latency(),
            failures: Counter::default(),
            cut: Counter::default(),
            ready: Gauge::default(),
            endpoints: Gauge::default(),
            policies: Gauge::default(),
            not_enforced: Gauge::default(),
            problems: Gauge::default(),
            followed: Family::default(),
            allowed: Counter::default(),
            denied: Family::default(),
            lost: Counter::default(),
            rows: Family::default(),
            sizes: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "programming_duration",
            "From the news of a change at the agent to the kernel's last table write",
            Unit::Seconds,
            self.programming.clone(),
        );
        registry.register_with_unit(
            "work_duration",
            "Work on one batch of news",
            Unit::Seconds,
            self.work.clone(),
        );
        registry.register(
            "apply_failures",
            "Changes that could not be brought into force",
            self.failures.clone(),
        );
        registry.register(
            "connections_cut",
            "Open connections that policies no longer permitted",
            self.cut.clone(),
        );
        registry.register("ready", "Whether the kernel holds what the policies say", self.ready.clone());
        registry.register("endpoints", "Addresses of this node's pods", self.endpoints.clone());
        registry.register("policies", "Policies of every kind", self.policies.clone());
        registry.register(
            "policies_not_enforced",
            "Policies that the kernel does not hold yet",
            self.not_enforced.clone(),
        );
        registry.register(
            "objects_unreadable",
            "Objects that could not be read as they are written",
            self.problems.clone(),
        );
        registry.register(
            "source_followed",
            "Whether the API server tells of this kind of objects",
            self.followed.clone(),
        );
        registry.register(
            "connections_allowed",
            "New connections of this node's pods that passed",
            self.allowed.clone(),
        );
        registry.register("packets_denied", "Packets that did not pass, by reason", self.denied.clone());
        registry.register("events_lost", "Events that found no room", self.lost.clone());
        registry.register("table_rows", "Rows in a table of the kernel", self.rows.clone());
        registry.register("table_size_rows", "Rows that a table of the kernel can hold", self.sizes.clone());
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// If a metric cannot be written as text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Whether the kernel holds what the policies say.
    pub fn is_ready(&self) -> bool {
        self.ready.get() != 0
    }

    pub(crate) fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    pub(crate) fn programmed(&self, what: What, took: Duration) {
        self.programming.get_or_create(&Of { of: what }).observe(took.as_secs_f64());
    }

    pub(crate) fn worked(&self, took: Duration) {
        self.work.observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    pub(crate) fn cut(&self, connections: u64) {
        self.cut.inc_by(connections);
    }

    pub(crate) fn counted(&self, counters: &Counters) {
        let set = |counter: &Counter, value: u64| counter.inner().store(value, Ordering::Relaxed);
        set(&self.allowed, counters.allowed);
        set(&self.lost, counters.events_lost);
        let reasons = [
            ("policy", counters.denied),
            ("unknown_endpoint", counters.unknown_endpoint),
            ("malformed", counters.malformed),
            ("fragment", counters.fragment),
            ("missing_row", counters.missing_row),
            ("cut", counters.cut),
        ];
        for (reason, value) in reasons {
            set(&self.denied.get_or_create(&ByReason { reason }), value);
        }
    }

    pub(crate) fn filled(&self, usage: &[Usage]) {
        for Usage { table, rows, size } in usage {
            let by = ByTable { table: table.name() };
            self.rows.get_or_create(&by).set((*rows).into());
            self.sizes.get_or_create(&by).set((*size).into());
        }
    }

    pub(crate) fn held(&self, endpoints: usize, policies: usize, not_enforced: usize, problems: usize) {
        let set = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.endpoints, endpoints);
        set(&self.policies, policies);
        set(&self.not_enforced, not_enforced);
        set(&self.problems, problems);
    }

    pub(crate) fn followed(&self, kind: &'static str, followed: bool) {
        self.followed.get_or_create(&ByKind { kind }).set(followed.into());
    }
}
