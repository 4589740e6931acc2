//! The lab for real: who answers whom. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use std::net::IpAddr;
use std::process::Command;

use ringfence_k8s::Inventory;
use ringfence_lab::{
    Lab, MatrixOptions, NodeId, Note, Options, Outcome, Patience, Place, Plan, PodId, Probe,
};
use ringfence_policy::{Protocol, Traffic};
use support::{build, dual_stack, machine, privileged, service, shop, workload};

/// What a lab without policies answers to a probe of the matrix.
fn expected(plan: &Plan, probe: &Probe) -> Outcome {
    if let Some(service) = plan.services.iter().find(|s| s.addresses.contains(&probe.to)) {
        let ports = service.ports.iter().filter(|p| Traffic::Port(p.protocol, p.port) == probe.traffic);
        let backends: Vec<_> = ports.flat_map(|p| &p.backends).collect();
        return match (backends.as_slice(), probe.traffic) {
            ([], _) => Outcome::Refused,
            ([(pod, _)], Traffic::Port(Protocol::Sctp, _)) => {
                Outcome::Arrived(plan.pods[pod.0].full_name().replace('/', "."))
            }
            ([(pod, _), ..], _) => Outcome::Answered(plan.pods[pod.0].full_name()),
        };
    }
    let place = plan.place_of(probe.to).unwrap();
    let answers =
        |id: PodId, port: (Protocol, u16)| plan.pods[id.0].ports.iter().any(|p| (p.protocol, p.port) == port);
    match (place, probe.traffic) {
        (_, Traffic::Other) => Outcome::Echoed,
        (Place::Pod(id), Traffic::Port(Protocol::Sctp, _)) => {
            Outcome::Arrived(plan.pods[id.0].full_name().replace('/', "."))
        }
        (Place::Node(id), Traffic::Port(Protocol::Sctp, _)) => {
            Outcome::Arrived(plan.nodes[id.0].name.clone())
        }
        (Place::Outside(_), Traffic::Port(Protocol::Sctp, _)) => Outcome::Arrived("outside".into()),
        (Place::Outside(_), _) => Outcome::Answered("outside".into()),
        (Place::Pod(id), Traffic::Port(protocol, port)) if answers(id, (protocol, port)) => {
            Outcome::Answered(plan.pods[id.0].full_name())
        }
        (Place::Node(node), Traffic::Port(protocol, port)) => {
            let on_node = plan.pod_ids().filter(|(_, p)| p.host_network && p.node == node);
            let holder = on_node.into_iter().find(|(id, _)| answers(*id, (protocol, port)));
            holder.map_or(Outcome::Refused, |(_, pod)| Outcome::Answered(pod.full_name()))
        }
        (Place::Pod(_), _) => Outcome::Refused,
    }
}

fn probe(lab: &Lab, probes: &[Probe], pass: impl Fn(&Probe) -> bool) -> Vec<Outcome> {
    let mut outcomes = lab.probe_expecting(probes, |i| pass(&probes[i]), &mut |_, _| {}).unwrap();
    // On a busy machine a connection can be made and the name come too late: who it is with is then asked again.
    let nameless: Vec<usize> =
        (0..probes.len()).filter(|i| outcomes[*i] == Outcome::Answered(String::new())).collect();
    let again: Vec<Probe> = nameless.iter().map(|i| probes[*i]).collect();
    let named = lab.probe(&again, Patience::LONG, &mut |_, _| {}).unwrap();
    nameless.into_iter().zip(named).for_each(|(i, outcome)| outcomes[i] = outcome);
    outcomes
}

/// Probes all, and compares with what a lab without policies answers, except where `denied` says silence.
fn check(lab: &Lab, probes: &[Probe], denied: impl Fn(&Probe) -> bool) {
    let plan = lab.plan();
    let outcomes = probe(lab, probes, |p| !denied(p));
    let mut wrong = Vec::new();
    for (probe, outcome) in probes.iter().zip(outcomes) {
        let mut expect = if denied(probe) { Outcome::Silent } else { expected(plan, probe) };
        // Any of several backends may answer.
        if let (Outcome::Answered(who), Outcome::Answered(e)) = (&outcome, &mut expect) {
            let service = plan.services.iter().find(|s| s.addresses.contains(&probe.to));
            let backend = service.map(|s| s.pods.iter().any(|p| plan.pods[p.0].full_name() == *who));
            if backend == Some(true) {
                *e = who.clone();
            }
        }
        if outcome != expect {
            wrong.push(format!("{probe:?}: {outcome:?}, not {expect:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), probes.len(), wrong.join("\n"));
}

fn matrix(plan: &Plan) -> Vec<Probe> {
    plan.matrix(&MatrixOptions { services: true, undeclared: None })
}

fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn everybody_answers_everybody() {
    if !privileged() {
        return;
    }
    let lab = build(&shop(), &dual_stack());
    let plan = lab.plan();
    assert_eq!((plan.pods.len(), plan.nodes.len()), (4, 2));
    let probes = matrix(plan);
    // 4 pods and 3 outside addresses; 7 ports and ping; 6 Service ports.
    let (pairs, outside) = (4 * 3 * 2, 4 * 3 * 2);
    assert_eq!(probes.len(), (pairs + outside) * 8 + 4 * 6 * 2);
    check(&lab, &probes, |_| false);
}

#[test]
fn without_ipv6() {
    if !privileged() {
        return;
    }
    let lab = build(&shop(), &Options { dual_stack: false, ..dual_stack() });
    assert_eq!(lab.plan().notes.iter().filter(|n| matches!(n, Note::NotOutside(_))).count(), 1);
    check(&lab, &matrix(lab.plan()), |_| false);
}

#[test]
fn services_reach_all_their_pods_and_the_one_that_asks() {
    if !privileged() {
        return;
    }
    let lab = build(&shop(), &dual_stack());
    let plan = lab.plan();
    for address in &plan.services[0].addresses {
        for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53)] {
            let probe =
                Probe { from: Place::Pod(PodId(0)), to: *address, traffic: Traffic::Port(protocol, port) };
            let outcomes = self::probe(&lab, &[probe; 40], |_| true);
            // The chance that forty choices of two are all alike is nil.
            for who in ["shop/web-0", "shop/web-1"] {
                assert!(outcomes.contains(&Outcome::Answered(who.into())), "{who} {probe:?} {outcomes:?}");
            }
            assert!(outcomes.iter().all(Outcome::passed), "{outcomes:?}");
        }
        // From the nodes themselves.
        let from_nodes: Vec<Probe> = (0..2)
            .map(|n| Probe {
                from: Place::Node(NodeId(n)),
                to: *address,
                traffic: Traffic::Port(Protocol::Tcp, 80),
            })
            .collect();
        assert!(probe(&lab, &from_nodes, |_| true).iter().all(|o| matches!(o, Outcome::Answered(_))));
    }
}

#[test]
fn pods_on_their_nodes_network() {
    if !privileged() {
        return;
    }
    let mut agent = workload("kube-system/agent", 1, &["TCP/9100"]);
    (agent.kind, agent.host_network) = ("DaemonSet".into(), true);
    let mut second = agent.clone();
    (second.name, second.node, second.kind) = ("second".into(), Some("node-2".into()), "Pod".into());
    let mut inventory = shop();
    inventory.workloads.extend([agent, second]);
    inventory.services.push(service("kube-system/agent", &["TCP/80:9100"]));
    let lab = build(&inventory, &dual_stack());
    let clash = Note::PortTaken {
        pod: "kube-system/second".into(),
        by: "kube-system/agent-1".into(),
        protocol: Protocol::Tcp,
        port: 9100,
    };
    assert!(lab.plan().notes.contains(&clash), "{:?}", lab.plan().notes);
    let probes = matrix(lab.plan());
    let nodes = probes.iter().filter(|p| matches!(p.from, Place::Node(_))).count();
    assert!(nodes > 0);
    check(&lab, &probes, |_| false);
}

#[test]
fn what_a_node_drops_is_silent_and_nothing_else() {
    if !privileged() {
        return;
    }
    let lab = build(&shop(), &dual_stack());
    let db: Vec<IpAddr> = lab.plan().pods[2].addresses.clone();
    let rules = format!(
        "add table inet test; add chain inet test f {{ type filter hook forward priority 0; }}; \
         add rule inet test f ip daddr {} meta l4proto tcp ct state new drop; \
         add rule inet test f ip6 daddr {} meta l4proto {{ icmpv6, sctp }} ct state new drop",
        db[0], db[1]
    );
    let denied = |probe: &Probe| match (probe.to, probe.traffic) {
        (to, Traffic::Port(Protocol::Tcp, _)) => to == db[0],
        (to, Traffic::Port(Protocol::Sctp, _) | Traffic::Other) => to == db[1],
        _ => false,
    };
    let node = lab.plan().pods[2].node;
    // Services lead to db too; they are another test's.
    let probes = lab.plan().matrix(&MatrixOptions::default());
    check(&lab, &probes, |_| false);
    lab.in_node(node, || sh(&format!("nft '{rules}'"))).unwrap();
    check(&lab, &probes, denied);
    lab.in_node(node, || sh("nft delete table inet test")).unwrap();
    check(&lab, &probes, |_| false);
}

#[test]
fn connections_are_tracked_and_forgotten() {
    if !privileged() {
        return;
    }
    let lab = build(&shop(), &dual_stack());
    let probes = matrix(lab.plan());
    check(&lab, &probes, |_| false);
    let count = || lab.in_node(NodeId(0), || sh("cat /proc/sys/net/netfilter/nf_conntrack_count")).unwrap();
    assert_ne!(count().trim(), "0");
    lab.flush_connections().unwrap();
    assert_eq!(count().trim(), "0");
}

#[test]
fn two_labs_side_by_side_leave_nothing() {
    if !privileged() {
        return;
    }
    let before = machine();
    {
        let (one, two) = (build(&shop(), &dual_stack()), build(&shop(), &dual_stack()));
        assert_eq!(machine(), before);
        let probes = one.plan().matrix(&MatrixOptions::default());
        // In the second, one pod is cut off; the first, with the same addresses, knows nothing of it.
        two.in_pod(PodId(0), || sh("ip link set eth0 down")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| check(&one, &probes, |_| false));
            let cut = two.plan().pods[0].addresses.clone();
            let passes = |probe: &Probe| !cut.contains(&probe.to) && probe.from != Place::Pod(PodId(0));
            let outcomes = probe(&two, &probes, passes);
            for (probe, outcome) in probes.iter().zip(outcomes) {
                assert_eq!(outcome.passed(), passes(probe), "{probe:?} {outcome:?}");
            }
        });
    }
    assert_eq!(machine(), before);
}

#[test]
fn empty_manifests() {
    if !privileged() {
        return;
    }
    let lab = build(&Inventory::default(), &Options::default());
    assert_eq!(matrix(lab.plan()), []);
    assert_eq!(probe(&lab, &[], |_| true), []);
}

/// That nothing gets lost where much is going on; and, for people who look (`--nocapture`), how long it takes.
#[test]
fn sixty_pods() {
    if !privileged() {
        return;
    }
    let workloads = (0..30).map(|i| workload(&format!("ns/w{i}"), 2, &["TCP/80", "UDP/53"])).collect();
    let services = (0..30).map(|i| service(&format!("ns/w{i}"), &["TCP/80:80"])).collect();
    let inventory = Inventory { workloads, services, ..Inventory::default() };
    let start = std::time::Instant::now();
    let lab = build(&inventory, &dual_stack());
    println!("built 60 pods in {:?}", start.elapsed());
    let probes = lab.plan().matrix(&MatrixOptions { services: false, undeclared: None });
    let start = std::time::Instant::now();
    check(&lab, &probes, |_| false);
    println!("{} probes in {:?}", probes.len(), start.elapsed());
    let start = std::time::Instant::now();
    drop(lab);
    println!("gone in {:?}", start.elapsed());
}
