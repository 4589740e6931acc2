//! The figures of one world.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use ringfence_oracle::random::Random;
use ringfence_policy::{Direction, End, Engine, PodId, Protocol, Reach, Traffic, World};
use serde_json::{Value, json};

use crate::scale::change;

/// What was measured; `None` where it was not.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// From model values to an engine that answers.
    pub(crate) build_ms: Option<f64>,
    /// Every pair's ports, in memory.
    pub(crate) map_ms: Option<f64>,
    /// One verdict between random pods, on average.
    pub(crate) verdict_ns: Option<f64>,
    /// One verdict with its near misses, on average.
    pub(crate) explain_us: Option<f64>,
    /// One pod added to an engine that answers.
    pub(crate) pod_added_us: Option<f64>,
    /// One policy changed in an engine that answers.
    pub(crate) policy_changed_us: Option<f64>,
    /// Of a hundred such changes the second worst.
    pub(crate) policy_changed_p99_us: Option<f64>,
    /// The most memory that the process ever had.
    pub(crate) peak_mb: Option<f64>,
}

impl Figures {
    /// With the profile's name first.
    pub(crate) fn to_json(&self, profile: &str) -> Value {
        json!({
            "profile": profile, "build_ms": self.build_ms, "map_ms": self.map_ms,
            "verdict_ns": self.verdict_ns, "explain_us": self.explain_us,
            "pod_added_us": self.pod_added_us, "policy_changed_us": self.policy_changed_us,
            "policy_changed_p99_us": self.policy_changed_p99_us,
            "peak_mb": self.peak_mb,
        })
    }

    pub(crate) fn from_json(value: &Value) -> Figures {
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        Figures {
            build_ms: number("build_ms"),
            map_ms: number("map_ms"),
            verdict_ns: number("verdict_ns"),
            explain_us: number("explain_us"),
            pod_added_us: number("pod_added_us"),
            policy_changed_us: number("policy_changed_us"),
            policy_changed_p99_us: number("policy_changed_p99_us"),
            peak_mb: number("peak_mb"),
        }
    }
}

/// The most workloads of which every pair is listed.
const LISTED: usize = 20_000;
/// Verdicts over which the mean is taken.
const VERDICTS: u32 = 100_000;
/// Explanations over which the mean is taken.
const EXPLANATIONS: u32 = 2_000;

/// Measures everything once.
pub(crate) fn measure(world: World, seed: u64) -> Figures {
    let start = Instant::now();
    let mut engine = Engine::new(world);
    let build = start.elapsed();

    let mut random = Random::new(seed);
    let questions: Vec<(End, End, Traffic)> = (0..VERDICTS).map(|_| question(&engine, &mut random)).collect();
    let start = Instant::now();
    for (from, to, traffic) in &questions {
        black_box(engine.verdict(*from, *to, *traffic));
    }
    let verdicts = start.elapsed();

    let start = Instant::now();
    for (from, to, traffic) in questions.iter().take(EXPLANATIONS as usize) {
        black_box(engine.near_misses(*from, *to, *traffic, Direction::Ingress));
    }
    let explanations = start.elapsed();

    // A hundred thousand workloads have ten thousand million pairs; nobody lists those.
    let workloads: BTreeSet<_> = engine.pods().map(|(_, p)| (&p.namespace, &p.workload)).collect();
    let map = (workloads.len() <= LISTED).then(|| {
        let start = Instant::now();
        let reach = Reach::new(&engine);
        black_box(reach.rows());
        start.elapsed()
    });
    let pods = change::pods_added(&mut engine, &mut random);
    let policies = change::policies_changed(&mut engine, &mut random);
    Figures {
        build_ms: Some(build.as_secs_f64() * 1e3),
        map_ms: map.map(|d| d.as_secs_f64() * 1e3),
        verdict_ns: Some(verdicts.as_secs_f64() * 1e9 / f64::from(VERDICTS)),
        explain_us: Some(explanations.as_secs_f64() * 1e6 / f64::from(EXPLANATIONS)),
        pod_added_us: pods.map(|c| c.median),
        policy_changed_us: policies.map(|c| c.median),
        policy_changed_p99_us: policies.map(|c| c.p99),
        peak_mb: peak_mb(),
    }
}

fn question(engine: &Engine, random: &mut Random) -> (End, End, Traffic) {
    let pods = engine.pod_count();
    let mut pod = || End::Pod(PodId(u32::try_from(random.below(pods)).unwrap_or(0)));
    let (from, to) = (pod(), pod());
    (from, to, Traffic::Port(Protocol::Tcp, *random.pick(&[80, 443, 5432, 8080])))
}

/// `VmHWM` of <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>, in kB there.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_null() {
        let figures = Figures { build_ms: Some(1.5), peak_mb: Some(90.0), ..Figures::default() };
        let text = figures.to_json("real").to_string();
        assert_eq!(
            text,
            r#"{"profile":"real","build_ms":1.5,"map_ms":null,"verdict_ns":null,"explain_us":null,"pod_added_us":null,"policy_changed_us":null,"policy_changed_p99_us":null,"peak_mb":90.0}"#
        );
        assert_eq!(Figures::from_json(&serde_json::from_str(&text).unwrap()), figures);
    }
}
