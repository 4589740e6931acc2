//! What an object means for policies, and what is done where it cannot be read.
//!
//! Reading is the work of `ringfence_k8s`: an object of an API server goes the way of a manifest. What is decided here is only
//! what an agent does instead of refusing the input, as a command does: a policy that cannot be read denies, for as
//! narrow a set of pods as can be read.

use ringfence_cluster::watch::{Kind, Name, Object};
use ringfence_k8s::{Entry, Finding, Inventory, Level, Node, Reader, Value};
use ringfence_policy::{
    Action, ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterRule, ClusterTier, LabelSelector,
    Namespace, NetworkPolicy, Pod, PodsAcross, Policy, PolicyName,
};

/// What an object is to the engine.
#[derive(Debug, PartialEq)]
pub(crate) enum Meaning {
    Namespace(Namespace),
    Node(ringfence_policy::Node),
    Pod(Box<Pod>),
    Policy(Box<Policy>),
    /// Nothing: a pod that does not count, or what cannot be read and holds nobody.
    Nothing,
}

/// What an object means, and what of it could not be read.
pub(crate) fn of(kind: Kind, object: &Object) -> (Meaning, Option<String>) {
    let (inventory, findings) = read(&object.node);
    let fault = findings.iter().find(|f| f.level == Level::Error);
    let problem =
        fault.or_else(|| findings.iter().find(|f| f.code == FAILS_CLOSED)).map(|f| f.message.clone());
    let meaning = match kind {
        Kind::Pod => pod(&inventory),
        Kind::Namespace => {
            inventory.namespaces.into_iter().find(|n| n.name == object.name.name).map(Meaning::Namespace)
        }
        Kind::Node => inventory.nodes.into_iter().next().map(Meaning::Node),
        _ => policy(inventory).or_else(|| Some(denying(kind, object))).map(|p| Meaning::Policy(Box::new(p))),
    };
    match (fault, kind.is_policy()) {
        (Some(_), true) => (meaning.unwrap_or(Meaning::Nothing), problem.map(|p| format!("{p}; {INSTEAD}"))),
        _ => (meaning.unwrap_or(Meaning::Nothing), problem),
    }
}

/// The code of findings about what a policy says that this version does not know.
const FAILS_CLOSED: &str = "fails-closed";

const INSTEAD: &str = "until it can be read it denies everything to and from the pods that it selects";

fn read(node: &Node) -> (Inventory, Vec<Finding>) {
    let mut reader = Reader::default();
    reader.node(node);
    let reading = reader.finish();
    (reading.inventory, reading.findings)
}

/// A pod that has an address and is not over.
fn pod(inventory: &Inventory) -> Option<Meaning> {
    let (_, pod) = inventory.pods().into_iter().next()?;
    let counts = pod.host_network || !pod.addresses.is_empty();
    counts.then(|| Meaning::Pod(Box::new(pod)))
}

fn policy(inventory: Inventory) -> Option<Policy> {
    let network = inventory.policies.into_iter().next().map(Policy::Network);
    network.or_else(|| inventory.cluster_policies.into_iter().next().map(Policy::Cluster))
}

/// A policy that denies, in place of one that cannot be read.
fn denying(kind: Kind, object: &Object) -> Policy {
    let readable = |keys: &[&str]| policy(read(&only(&object.node, keys)).0);
    let kind = match kind {
        Kind::ClusterNetworkPolicy => ClusterPolicyKind::ClusterNetworkPolicy,
        Kind::AdminNetworkPolicy => ClusterPolicyKind::AdminNetworkPolicy,
        Kind::BaselineAdminNetworkPolicy => ClusterPolicyKind::BaselineAdminNetworkPolicy,
        _ => {
            let subject = match readable(&["podSelector"]) {
                Some(Policy::Network(policy)) => policy.subject,
                _ => LabelSelector::default(),
            };
            let Name { namespace, name } = object.name.clone();
            let name = PolicyName { namespace, name };
            let (ingress, egress) = (Some(Vec::new()), Some(Vec::new()));
            return Policy::Network(NetworkPolicy { name, subject, ingress, egress, source: None });
        }
    };
    let deny = || ClusterRule { name: None, action: Action::Deny, matches: None, source: None };
    let policy = match readable(&["tier", "priority", "subject"]) {
        Some(Policy::Cluster(policy)) => policy,
        _ => ClusterPolicy {
            name: ClusterPolicyName { name: object.name.name.clone(), kind },
            tier: match kind {
                ClusterPolicyKind::BaselineAdminNetworkPolicy => ClusterTier::Baseline,
                _ => ClusterTier::Admin,
            },
            priority: 0,
            subject: PodsAcross::default(),
            ingress: Vec::new(),
            egress: Vec::new(),
            source: None,
        },
    };
    Policy::Cluster(ClusterPolicy { ingress: vec![deny()], egress: vec![deny()], ..policy })
}

/// An object with no more in its spec than these fields.
fn only(object: &Node, keys: &[&str]) -> Node {
    let mut object = object.clone();
    if let Value::Mapping(entries) = &mut object.value {
        let specs = entries.iter_mut().filter(|entry| entry.key == "spec");
        for Entry { value, .. } in specs {
            if let Value::Mapping(fields) = &mut value.value {
                fields.retain(|field| keys.contains(&field.key.as_str()));
            }
        }
    }
    object
}
