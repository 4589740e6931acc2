//! The figures of one world.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use ringfence_oracle::random::Random;
use ringfence_policy::{Direction, End, Engine, PodId, Protocol, Reach, Traffic, World};
use serde_json::{Value, json};

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// From model values to an engine that answers.
    pub(crate) build_ms: f64,
    /// Every pair's ports, in memory.
    pub(crate) map_ms: f64,
    /// One verdict between random pods, on average.
    pub(crate) verdict_ns: f64,
    /// One verdict with its near misses, on average.
    pub(crate) explain_us: f64,
    /// The most memory that the process ever had.
    pub(crate) peak_mb: f64,
}

impl Figures {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "build_ms": self.build_ms, "map_ms": self.map_ms, "verdict_ns": self.verdict_ns,
            "explain_us": self.explain_us, "peak_mb": self.peak_mb,
        })
    }

    pub(crate) fn from_json(value: &Value) -> Figures {
        let number = |key: &str| value.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        Figures {
            build_ms: number("build_ms"),
            map_ms: number("map_ms"),
            verdict_ns: number("verdict_ns"),
            explain_us: number("explain_us"),
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
    let engine = Engine::new(world);
    let build_ms = start.elapsed().as_secs_f64() * 1e3;

    let mut random = Random::new(seed);
    let questions: Vec<(End, End, Traffic)> = (0..VERDICTS).map(|_| question(&engine, &mut random)).collect();
    let start = Instant::now();
    for (from, to, traffic) in &questions {
        black_box(engine.verdict(*from, *to, *traffic));
    }
    let verdict_ns = start.elapsed().as_secs_f64() * 1e9 / f64::from(VERDICTS);

    let start = Instant::now();
    for (from, to, traffic) in questions.iter().take(EXPLANATIONS as usize) {
        black_box(engine.near_misses(*from, *to, *traffic, Direction::Ingress));
    }
    let explain_us = start.elapsed().as_secs_f64() * 1e6 / f64::from(EXPLANATIONS);

    // A hundred thousand workloads have ten thousand million pairs; nobody lists those.
    let workloads: BTreeSet<_> = engine.world().pods.iter().map(|p| (&p.namespace, &p.workload)).collect();
    let map_ms = if workloads.len() <= LISTED {
        let start = Instant::now();
        let reach = Reach::new(&engine);
        black_box(reach.rows());
        start.elapsed().as_secs_f64() * 1e3
    } else {
        f64::NAN
    };
    Figures { build_ms, map_ms, verdict_ns, explain_us, peak_mb: peak_mb() }
}

fn question(engine: &Engine, random: &mut Random) -> (End, End, Traffic) {
    let pods = engine.world().pods.len();
    let mut pod = || End::Pod(PodId(u32::try_from(random.below(pods)).unwrap_or(0)));
    let (from, to) = (pod(), pod());
    (from, to, Traffic::Port(Protocol::Tcp, *random.pick(&[80, 443, 5432, 8080])))
}

/// `VmHWM` of <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>, in kB there.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kb = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kb.map_or(f64::NAN, |kb| kb / 1024.0)
}
