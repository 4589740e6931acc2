//! Cluster-wide policies in short, for tests that compare whole values.

use ringfence_k8s::Reading;
use ringfence_policy::{ClusterPeer, ClusterPolicy, ClusterRule, PodsAcross, Ports};

/// The findings as `line:column level code`.
pub(crate) fn found(reading: &Reading) -> Vec<String> {
    reading
        .findings
        .iter()
        .map(|f| match &f.place {
            Some(p) => format!("{}:{} {} {}", p.line, p.column, f.level, f.code),
            None => format!("? {} {}", f.level, f.code),
        })
        .collect()
}

/// A policy as `Kind/name tier priority subject | ingress | egress`.
pub(crate) fn show(policy: &ClusterPolicy) -> String {
    let rules = |rules: &[ClusterRule]| rules.iter().map(show_rule).collect::<Vec<_>>().join("; ");
    format!(
        "{} {:?} {} {} | {} | {}",
        policy.name,
        policy.tier,
        policy.priority,
        show_pods(&policy.subject),
        rules(&policy.ingress),
        rules(&policy.egress)
    )
}

/// A rule as `name: Action peers on ports`; `?` for what it matches where that is not known.
pub(crate) fn show_rule(rule: &ClusterRule) -> String {
    let name = rule.name.as_ref().map_or(String::new(), |n| format!("{n}: "));
    let Some(matches) = &rule.matches else { return format!("{name}{} ?", rule.action.as_str()) };
    let peers: Vec<String> = matches.peers.iter().map(show_peer).collect();
    let ports = match &matches.ports {
        Ports::Any => "any".to_owned(),
        Ports::Of(ports) => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("{name}{} {} on {ports}", rule.action.as_str(), peers.join(" or "))
}

fn show_peer(peer: &ClusterPeer) -> String {
    match peer {
        ClusterPeer::Pods(pods) => show_pods(pods),
        ClusterPeer::Nodes(selector) => format!("nodes{{{selector}}}"),
        ClusterPeer::Network(network) => network.to_string(),
        ClusterPeer::Domain(pattern) => pattern.to_string(),
    }
}

fn show_pods(pods: &PodsAcross) -> String {
    format!("{{{}}}{{{}}}", pods.namespaces, pods.pods)
}
