//! The agent as its node runs it: an API server double, a router that is the node, two pods behind it, real connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]
#![allow(dead_code, reason = "what other tests share is not all needed here")]

#[path = "../../../agent/tests/double/mod.rs"]
mod double;
mod node;

use double::{pod, policy};
use std::time::{Duration, Instant};

use node::{Node, SERVER, echoes, eventually};

/// A node with a client and a server, and an agent that is ready.
fn started() -> Option<Node> {
    let mut node = Node::new()?;
    node.start();
    node.ready();
    Some(node)
}

#[test]
fn policies_are_in_force_and_follow_what_is_told() {
    let Some(node) = started() else { return };
    let double = node.double.clone();
    assert!(node.connects(80) && node.connects(81));
    double.put(policy("shop", "server-in", "server", "client", 80));
    eventually("the policy is in force", || !node.connects(81));
    assert!(node.connects(80));
    // A pod's label decides, at once when it changes.
    let mut other = pod("shop", "client-1", "n1", node::CLIENT);
    other["metadata"]["labels"]["app"] = "stranger".into();
    double.put(other);
    eventually("another label is denied", || !node.connects(80));
    double.put(pod("shop", "client-1", "n1", node::CLIENT));
    eventually("the label is back", || node.connects(80));
    // The kernel holds what the engine says, entry by entry.
    let (status, text) = node.ask("attest", "");
    assert!(status == 0 && text.contains("holds exactly"), "{text}");
    let (status, text) = node.ask("status", "");
    assert!(status == 0 && text.contains("shop/server-in") && text.contains("yes"), "{text}");
    double.delete(policy("shop", "server-in", "server", "client", 80));
    eventually("without the policy all is open", || node.connects(81));
}

#[test]
fn what_is_in_force_outlives_the_agent() {
    let Some(mut node) = started() else { return };
    node.double.put(policy("shop", "server-in", "server", "client", 80));
    eventually("the policy is in force", || !node.connects(81));
    for _ in 0..3 {
        node.kill();
        assert!(node.connects(80) && !node.connects(81), "dead");
        node.start();
        assert!(node.connects(80) && !node.connects(81), "starting");
        node.ready();
        assert!(node.connects(80) && !node.connects(81), "ready again");
    }
    // What changed while nobody listened is found at the next start.
    node.kill();
    node.double.delete(policy("shop", "server-in", "server", "client", 80));
    node.double.put(policy("shop", "server-in-81", "server", "client", 81));
    assert!(node.connects(80) && !node.connects(81));
    node.start();
    node.ready();
    assert!(!node.connects(80) && node.connects(81));
    // An end in order leaves it in force too; only uninstall takes it away.
    node.stop();
    assert!(!node.connects(80) && node.connects(81));
    let (status, text) = node.ask("agent", "uninstall");
    assert!(status == 0 && text.contains("6 links"), "{text}");
    assert!(node.connects(80) && node.connects(81));
}

#[test]
fn the_api_server_may_go_and_come() {
    let Some(node) = started() else { return };
    let double = node.double.clone();
    double.put(policy("shop", "server-in", "server", "client", 80));
    eventually("the policy is in force", || !node.connects(81));
    double.down(true);
    eventually("the status tells", || node.ask("status", "").1.contains("no news of NetworkPolicy"));
    assert!(node.connects(80) && !node.connects(81));
    // What happens meanwhile, and what of it is forgotten before anybody asks, is found by listing anew.
    double.delete(policy("shop", "server-in", "server", "client", 80));
    double.put(policy("shop", "server-in-81", "server", "client", 81));
    double.forget();
    double.down(false);
    eventually("what happened meanwhile holds", || node.connects(81) && !node.connects(80));
    eventually("the status tells", || !node.ask("status", "").1.contains("no news of"));
}

#[test]
fn open_connections_are_cut_when_they_are_no_longer_permitted() {
    let Some(node) = started() else { return };
    let mut kept = node.open(80).unwrap();
    let mut cut = node.open(81).unwrap();
    assert!(echoes(&mut kept) && echoes(&mut cut));
    node.double.put(policy("shop", "server-in", "server", "client", 80));
    eventually("the connection is cut", || {
        assert!(echoes(&mut kept), "what is permitted goes on");
        !echoes(&mut cut)
    });
    assert!(node.get("/metrics").contains("ringfence_connections_cut_total 1"));
    // It stays so, whichever end speaks first.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert!(!echoes(&mut cut) && echoes(&mut kept));
    }
    // A connection of before the agent is judged as well.
    let mut node = node;
    node.stop();
    node.ask("agent", "uninstall");
    let mut before = node.open(81).unwrap();
    assert!(echoes(&mut before));
    node.start();
    node.ready();
    eventually("what was open before is cut", || !echoes(&mut before));
    assert!(echoes(&mut kept));
}

#[test]
fn what_the_node_itself_has_begun_goes_on() {
    let Some(mut node) = Node::new() else { return };
    // The node reaches a pod of which nobody has told yet.
    node.double.delete(pod("shop", "server-1", "n1", SERVER));
    let mut probe = node.open_from_node(80).unwrap();
    let mut stranger = node.open(80).unwrap();
    node.start();
    node.ready();
    eventually("a pod's connection to an unknown address is cut", || !echoes(&mut stranger));
    assert!(echoes(&mut probe));
}

#[test]
fn a_full_table_is_told_and_no_policy_is_lost() {
    let Some(mut node) = Node::new() else { return };
    node.double.put(policy("shop", "server-in", "server", "client", 80));
    node.start_with("--table rules=4");
    node.ready();
    assert!(node.connects(80) && !node.connects(81));
    for count in 0..8 {
        let app = format!("app{count}");
        node.double.put(pod("shop", &format!("{app}-1"), "n1", &format!("10.0.3.{}", 1 + count)));
        node.double.put(policy("shop", &app, &app, "client", 80));
    }
    eventually("status says which table", || {
        let (status, text) = node.ask("status", "");
        status == 1 && text.contains("table rules is full")
    });
    assert!(node.get("/readyz").contains("503"));
    // What was in force stays so.
    assert!(node.connects(80) && !node.connects(81));
    for count in 0..8 {
        let app = format!("app{count}");
        node.double.delete(policy("shop", &app, &app, "client", 80));
    }
    node.ready();
    assert!(node.connects(80) && !node.connects(81));
    let (status, text) = node.ask("attest", "");
    assert!(status == 0 && text.contains("holds exactly"), "{text}");
}

#[test]
fn an_address_that_no_pod_has_is_denied() {
    let Some(node) = started() else { return };
    node.double.delete(pod("shop", "server-1", "n1", SERVER));
    eventually("an address without a pod", || !node.connects(80));
    let metrics = node.get("/metrics");
    assert!(metrics.contains("ringfence_packets_denied_total{reason=\"unknown_endpoint\"}"), "{metrics}");
    node.double.put(pod("shop", "server-1", "n1", SERVER));
    eventually("the pod is back", || node.connects(80));
}

#[test]
fn kinds_that_are_installed_later_are_found() {
    let Some(mut node) = Node::new() else { return };
    node.double.absent("ClusterNetworkPolicy", true);
    node.start();
    node.ready();
    node.double.absent("ClusterNetworkPolicy", false);
    node.double.put(serde_json::json!({
        "kind": "ClusterNetworkPolicy", "metadata": {"name": "no-81"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
                 "ingress": [{"action": "Deny", "from": [{"namespaces": {}}], "protocols": [{"tcp": {"destinationPort": {"number": 81}}}]}]}
    }));
    eventually("the new kind is enforced", || !node.connects(81));
    assert!(node.connects(80));
}

#[test]
fn policies_in_a_version_that_is_not_read_are_not_taken_for_none() {
    let Some(mut node) = Node::new() else { return };
    node.double.elsewhere("ClusterNetworkPolicy", "v1beta7");
    node.start();
    eventually("it says why it is not ready", || {
        let (status, text) = node.ask("status", "");
        status == 1
            && text.contains("ClusterNetworkPolicy is served in policy.networking.k8s.io/v1beta7 only")
    });
    assert!(node.get("/readyz").contains("503"));
}

#[test]
fn a_second_agent_refuses() {
    let Some(node) = started() else { return };
    let (status, text) = node.second();
    assert!(status == 2 && text.contains("another agent"), "{status} {text}");
    assert!(node.connects(80));
    let (status, text) = node.ask("agent", "uninstall");
    assert!(status == 2 && text.contains("another agent"), "{status} {text}");
}

#[test]
fn it_is_not_ready_before_it_knows_everything() {
    let Some(mut node) = Node::new() else { return };
    node.double.put(policy("shop", "server-in", "server", "client", 80));
    node.double.down(true);
    node.start();
    eventually("the status tells what is waited for", || {
        let (status, text) = node.ask("status", "");
        status == 1 && text.contains("not ready") && text.contains("NetworkPolicy")
    });
    assert!(node.get("/readyz").contains("503"));
    assert!(node.get("/healthz").contains("200"));
    node.double.down(false);
    node.ready();
    assert!(node.connects(80) && !node.connects(81));
}

#[test]
fn a_policy_that_cannot_be_read_denies_and_is_told() {
    let Some(node) = started() else { return };
    let mut novel = policy("shop", "server-in", "server", "client", 80);
    novel["spec"]["novelty"] = true.into();
    node.double.put(novel);
    eventually("it denies", || !node.connects(80));
    let (status, text) = node.ask("status", "");
    assert!(status == 0 && text.contains("novelty") && text.contains("denies everything"), "{text}");
}
