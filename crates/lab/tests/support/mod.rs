//! What the lab's tests share: inventories by hand, and what is in the machine's own network.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;
use std::process::Command;

use ringfence_k8s::{ContainerPort, Inventory, Service, ServicePort, TargetPort, Workload};
use ringfence_lab::{Lab, Options};
use ringfence_policy::Protocol;

/// Whether this can be tested here. On a development machine without root it is skipped; in CI that is a failure.
pub(crate) fn privileged() -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "the lab's tests need root");
    println!("skipped: needs root");
    false
}

/// A Deployment in a namespace `namespace/name`, labelled `app: name`, with ports such as `http=TCP/80` or `UDP/53`.
pub(crate) fn workload(full_name: &str, replicas: u32, ports: &[&str]) -> Workload {
    let (namespace, name) = full_name.split_once('/').unwrap();
    Workload {
        namespace: namespace.into(),
        kind: "Deployment".into(),
        name: name.into(),
        labels: BTreeMap::from([("app".into(), name.into())]),
        replicas,
        ports: ports.iter().map(|p| port(p)).collect(),
        host_network: false,
        addresses: vec![],
        node: None,
        owner: None,
        source: None,
    }
}

fn port(text: &str) -> ContainerPort {
    let (name, rest) = text.split_once('=').map_or((None, text), |(name, rest)| (Some(name.into()), rest));
    let (protocol, port) = rest.split_once('/').unwrap();
    ContainerPort { name, protocol: self::protocol(protocol), port: port.parse().unwrap() }
}

fn protocol(text: &str) -> Protocol {
    Protocol::ALL.into_iter().find(|p| p.as_str() == text).unwrap()
}

/// A Service of the same name for the workload, with ports such as `TCP/80:http` or `UDP/53:5353`.
pub(crate) fn service(full_name: &str, ports: &[&str]) -> Service {
    let (namespace, name) = full_name.split_once('/').unwrap();
    let ports = ports.iter().map(|text| {
        let (from, to) = text.split_once(':').unwrap();
        let ContainerPort { protocol, port, .. } = port(from);
        let target = to.parse().map_or_else(|_| TargetPort::Name(to.into()), TargetPort::Number);
        ServicePort { name: None, protocol, port, target, node_port: None }
    });
    Service {
        namespace: namespace.into(),
        name: name.into(),
        selector: Some(BTreeMap::from([("app".into(), name.into())])),
        kind: "ClusterIP".into(),
        headless: false,
        annotations: BTreeMap::new(),
        ports: ports.collect(),
        from_outside: Default::default(),
        source: None,
    }
}

/// Two web pods, a database and a cache, with Services for each.
pub(crate) fn shop() -> Inventory {
    let workloads = vec![
        workload("shop/web", 2, &["http=TCP/8080", "UDP/53"]),
        workload("data/db", 1, &["TCP/5432", "SCTP/9000"]),
        workload("data/cache", 1, &["TCP/6379", "UDP/53"]),
    ];
    let services = vec![
        service("shop/web", &["TCP/80:http", "UDP/53:53"]),
        service("data/db", &["TCP/5432:5432", "SCTP/9000:9000"]),
        service("data/cache", &["TCP/80:6379", "TCP/81:nowhere"]),
    ];
    Inventory { workloads, services, ..Inventory::default() }
}

pub(crate) fn dual_stack() -> Options {
    let outside = ["198.51.100.7", "169.254.169.254", "2001:db8::7"];
    Options { dual_stack: true, outside: outside.map(|a| a.parse().unwrap()).into(), ..Options::default() }
}

pub(crate) fn build(inventory: &Inventory, options: &Options) -> Lab {
    Lab::build(inventory, options, &mut |_, _, _| {}).unwrap()
}

/// Everything that a lab could leave behind in the machine's own network.
pub(crate) fn machine() -> String {
    let run = |command: &str| {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        format!(
            "{command}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    // Names only: counters and states are other people's to change.
    [
        "ip -o link | cut -d: -f2",
        "ip -br addr",
        "ip route; ip -6 route",
        "ip netns",
        "nft list tables",
        "ls -a /run/netns",
        "grep -c netns /proc/mounts",
    ]
    .map(run)
    .join("\n")
}
