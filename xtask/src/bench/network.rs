//! What enforcement costs traffic: an established stream, and new connections, between two pods on one node and on
//! two. While the traffic goes on, what is in its way changes round by round: nothing, Ringfence, nftables, and back.
//! A figure is the median of the rounds' shares, so that what slows the machine for a while slows all alike.

use std::thread;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use ringfence_k8s::{Inventory, ReadOptions};
use ringfence_lab::{Lab, Options, Place, PodId, node_names};
use ringfence_policy::{Engine, Policy};

use crate::bench::Effort;
use crate::bench::enforcer::{Enforcer, Variant};
use crate::bench::load::{self, Kind, Meter, Way};
use crate::bench::report::{Report, Row, Target, Unit};
use crate::bench::scenario::{self, Isolated};
use crate::bench::statistics::median;

/// The server and a client on one node, another client on the other. They declare no ports: the lab would listen.
const PODS: [(&str, &str, bool); 3] =
    [("server", "node-1", true), ("near", "node-1", false), ("far", "node-2", false)];

/// Adds a row for each kind of traffic, way and number of policies.
pub(crate) fn measure(effort: &Effort, report: &mut Report) -> anyhow::Result<()> {
    let inventory = inventory()?;
    let options = Options { nodes: node_names(2), ..Options::default() };
    let lab = Lab::build(&inventory, &options, &mut |_, _, _| {}).context("the lab could not be built")?;
    let [server, near, far] = PODS.map(|(name, ..)| find(&lab, name));
    let ((server, address, node), (near, near_address, _), (far, far_address, _)) = (server?, near?, far?);
    for &count in effort.network_policies {
        let policies = scenario::policies(count, Isolated::Server).into_iter().map(Policy::Network);
        let policies: Vec<Policy> = policies.collect();
        let mut world = lab.plan().world(&inventory, &policies);
        world.pods.extend(scenario::others(count));
        let rules = scenario::nftables(count, address, &[near_address, far_address]);
        let mut enforcer = Enforcer::new(&lab, &Engine::new(world), rules, node)?;
        for kind in [Kind::Stream, Kind::Connections] {
            for (client, name) in [(near, "one node"), (far, "two nodes")] {
                let way = Way { client: Place::Pod(client), server: Place::Pod(server), address };
                let rounds = run(&lab, &mut enforcer, kind, way, effort)
                    .with_context(|| format!("{kind:?} on {name} with {count} policies"))?;
                report.add(row(kind, name, count, &rounds));
            }
        }
    }
    Ok(())
}

/// What passed in a second with nothing in the way, Ringfence, and nftables.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    nothing: f64,
    ringfence: f64,
    nftables: f64,
}

fn run(
    lab: &Lab,
    enforcer: &mut Enforcer<'_>,
    kind: Kind,
    way: Way,
    effort: &Effort,
) -> anyhow::Result<Vec<Round>> {
    let meter = Meter::default();
    thread::scope(|scope| {
        let started = load::start(scope, lab, kind, way, &meter);
        let rounds = started.and_then(|()| rounds(enforcer, kind, &meter, effort));
        meter.stop();
        enforcer.switch(Variant::Nothing)?;
        rounds
    })
}

/// Windows that are tried for one figure.
const ATTEMPTS: usize = 10;

fn rounds(
    enforcer: &mut Enforcer<'_>,
    kind: Kind,
    meter: &Meter,
    effort: &Effort,
) -> anyhow::Result<Vec<Round>> {
    let mut order = [Variant::Nothing, Variant::Ringfence, Variant::Nftables];
    let mut rounds = Vec::new();
    for number in 0..=effort.rounds {
        let mut round = Round::default();
        for variant in order {
            enforcer.switch(variant)?;
            let rate = valid_window(enforcer, variant, kind, meter, effort)?;
            match variant {
                Variant::Nothing => round.nothing = rate,
                Variant::Ringfence => round.ringfence = rate,
                Variant::Nftables => round.nftables = rate,
            }
        }
        // Nobody is always the first, nor always after the same.
        order.reverse();
        // The first round is to warm up.
        if number > 0 {
            rounds.push(round);
        }
    }
    Ok(rounds)
}

/// What passes in a second, in the first of a few windows in which the program was asked for all that was new.
fn valid_window(
    enforcer: &Enforcer<'_>,
    variant: Variant,
    kind: Kind,
    meter: &Meter,
    effort: &Effort,
) -> anyhow::Result<f64> {
    for _ in 0..ATTEMPTS {
        if kind == Kind::Connections {
            // A closed connection is remembered for a while, and the next one from the same port may pass for it.
            enforcer.lab().flush_connections()?;
        }
        thread::sleep(effort.settle);
        if let Some(rate) = window(enforcer, variant, kind, meter, effort)? {
            return Ok(rate);
        }
    }
    bail!("in {ATTEMPTS} windows the program was not asked for all new connections")
}

/// What passes in a second; `None` where connections passed for old ones.
fn window(
    enforcer: &Enforcer<'_>,
    variant: Variant,
    kind: Kind,
    meter: &Meter,
    effort: &Effort,
) -> anyhow::Result<Option<f64>> {
    let (asked, before, failed, start) =
        (enforcer.allowed()?, meter.passed(), meter.failed(), Instant::now());
    thread::sleep(effort.window);
    let (passed, took) = (meter.passed() - before, start.elapsed());
    ensure!(passed > 0, "nothing passes with {variant:?}");
    let failed = meter.failed() - failed;
    ensure!(failed == 0, "{failed} connections failed with {variant:?}");
    if (variant, kind) == (Variant::Ringfence, Kind::Connections) {
        let asked = enforcer.allowed()? - asked;
        // The two counts are not read at one moment.
        if asked * 10 < passed * 9 {
            return Ok(None);
        }
    }
    Ok(Some(passed as f64 / took.as_secs_f64()))
}

fn row(kind: Kind, way: &str, count: u32, rounds: &[Round]) -> Row {
    let of = |pick: fn(&Round) -> f64| median(&rounds.iter().map(pick).collect::<Vec<_>>());
    let (what, target, unit, scale) = match kind {
        Kind::Stream => ("established stream", 0.97, Unit::GigabitsPerSecond, 8e-9),
        Kind::Connections => ("new connections", 0.9, Unit::ConnectionsPerSecond, 1.0),
    };
    Row {
        what: format!("{what}, {way}"),
        policies: count as usize,
        value: of(|r| r.ringfence / r.nothing),
        unit: Unit::Share,
        target: Target::AtLeast(target),
        beside: vec![
            ("nftables", of(|r| r.nftables / r.nothing), Unit::Share),
            ("no policy", of(|r| r.nothing) * scale, unit),
        ],
    }
}

fn inventory() -> anyhow::Result<Inventory> {
    let manifests = PODS.map(|(name, node, server)| {
        let labels = scenario::labels(server);
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n\
             spec: {{nodeName: {node}, containers: [{{name: {name}, image: none}}]}}\n",
            namespace = scenario::NAMESPACE,
            labels = labels.join(", "),
        )
    });
    let reading = ringfence_k8s::read([("bench.yaml", manifests.join("---\n"))], &ReadOptions::default());
    ensure!(!reading.has_errors(), "the manifests of the benchmark are broken: {:?}", reading.findings);
    Ok(reading.inventory)
}

/// A pod, its address and its node.
fn find(lab: &Lab, name: &str) -> anyhow::Result<(PodId, std::net::IpAddr, ringfence_lab::NodeId)> {
    let missing = || format!("the lab has no pod {name}");
    let (id, pod) = lab.plan().pod_ids().find(|(_, pod)| pod.name == name).with_context(missing)?;
    Ok((id, *pod.addresses.first().with_context(missing)?, pod.node))
}
