//! Random worlds with real packets: every probe of the lab must end as the engine promises, before the policies, with
//! them and after. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use ringfence_k8s::{ContainerPort, Inventory, Service, ServicePort, TargetPort, Workload};
use ringfence_lab::enforce::Enforcement;
use ringfence_lab::trial::{Promise, interesting_outside};
use ringfence_lab::{Lab, MatrixOptions, Options, Outcome, node_names};
use ringfence_oracle::random::Random;
use ringfence_oracle::worlds::{Size, mutate, world};
use ringfence_policy::{Engine, Policy, Protocol, World};

const WORLDS: u64 = 16;

#[test]
fn real_packets_keep_the_engines_promises() {
    if !support::privileged() {
        return;
    }
    let (mut passed, mut dropped) = (0, 0);
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        let size = Size { pods: 9, policies: 9, nodes: 3, ..Size::manifests() };
        let world = world(11_000_000 + seed, &size);
        let inventory = inventory(&world, &mut random);
        let dual_stack = seed % 2 == 0;
        let options = Options {
            nodes: node_names(1 + usize::try_from(seed % 3).unwrap()),
            dual_stack,
            max_replicas: 2,
            outside: interesting_outside(&Engine::new(world.clone()), dual_stack),
        };
        let lab = Lab::build(&inventory, &options, &mut |_, _, _| {}).unwrap();
        let mut enforcement = Enforcement::attach(&lab).unwrap();
        // The world, then another one in its place, then none: each on top of the one before.
        let mut changed = world.clone();
        for _ in 0..3 {
            mutate(&mut changed, &size, &mut random);
        }
        let rounds: [Vec<Policy>; 3] =
            [world.all_policies().collect(), changed.all_policies().collect(), Vec::new()];
        for policies in &rounds {
            let world = World { names: world.names.clone(), ..lab.plan().world(&inventory, policies) };
            let counts = round(seed, &lab, world, &mut enforcement);
            passed += counts.0;
            dropped += counts.1;
        }
    }
    assert!(passed > 5_000 && dropped > 2_000, "{passed} passed, {dropped} dropped: hardly a test");
}

/// How many probes passed, and how many were dropped.
fn round(seed: u64, lab: &Lab, world: World, enforcement: &mut Enforcement) -> (usize, usize) {
    let engine = Engine::new(world);
    enforcement.apply(&engine).unwrap();
    lab.flush_connections().unwrap();
    let probes = lab.plan().matrix(&MatrixOptions { services: true, ..MatrixOptions::default() });
    let promises: Vec<Promise> = probes.iter().map(|p| Promise::new(&engine, lab.plan(), p)).collect();
    let outcomes = lab.probe_expecting(&probes, |i| promises[i].must_pass(), &mut |_, _| {}).unwrap();
    for ((probe, promise), outcome) in probes.iter().zip(&promises).zip(&outcomes) {
        assert!(
            promise.is_kept(lab.plan(), outcome),
            "seed {seed}: {probe:?}: {outcome:?}, promised {promise:#?}\n{:#?}\n{:#?}",
            engine.policies().collect::<Vec<_>>(),
            lab.plan().pods
        );
    }
    for kernel in enforcement.kernels() {
        let counters = kernel.counters().unwrap();
        assert_eq!((counters.missing_row, counters.malformed), (0, 0), "seed {seed}");
    }
    (
        outcomes.iter().filter(|o| o.passed()).count(),
        outcomes.iter().filter(|o| **o == Outcome::Silent).count(),
    )
}

/// The pods of a world as bare pods that listen, with a Service in each namespace.
fn inventory(world: &World, random: &mut Random) -> Inventory {
    let mut inventory = Inventory {
        namespaces: world.namespaces.clone(),
        // The lab's nodes have the labels of those of the same name.
        nodes: world.nodes.clone(),
        policies: world.policies.clone(),
        cluster_policies: world.cluster_policies.clone(),
        ..Inventory::default()
    };
    for pod in &world.pods {
        let mut ports: Vec<ContainerPort> = Vec::new();
        let named = pod.named_ports.iter().map(|n| (Some(n.name.clone()), n.protocol, n.port));
        let plain = [(None, Protocol::Tcp, 80), (None, Protocol::Udp, 53), (None, Protocol::Sctp, 1024)];
        for (name, protocol, port) in named.chain(plain) {
            if !ports.iter().any(|p| (p.protocol, p.port) == (protocol, port)) {
                ports.push(ContainerPort { name, protocol, port });
            }
        }
        inventory.workloads.push(Workload {
            namespace: pod.namespace.clone(),
            kind: "Pod".into(),
            name: pod.name.clone(),
            labels: pod.labels.clone(),
            replicas: 1,
            ports,
            host_network: pod.host_network,
            addresses: Vec::new(),
            node: None,
            owner: None,
            source: None,
        });
        if random.chance(60) {
            let port =
                |protocol, port, target| ServicePort { name: None, protocol, port, target, node_port: None };
            inventory.services.push(Service {
                namespace: pod.namespace.clone(),
                name: format!("of-{}", pod.name),
                selector: Some(pod.labels.clone()).filter(|l| !l.is_empty()),
                kind: "ClusterIP".into(),
                headless: false,
                ports: vec![
                    port(Protocol::Tcp, 8000, TargetPort::Number(80)),
                    port(Protocol::Udp, 5353, TargetPort::Number(53)),
                    port(Protocol::Tcp, 9000, TargetPort::Name("http".into())),
                ],
                source: None,
                annotations: Default::default(),
                from_outside: Default::default(),
            });
        }
    }
    inventory
}
