//! A policy's manifest as JSON, patched and read again.

use ringfence_k8s::{Level, Manifest, Node, ReadOptions, Value as NodeValue, read};
use ringfence_policy::{ClusterPolicy, ClusterPolicyKind, NetworkPolicy, Policy, PolicyKey};
use serde_json::{Map, Number, Value};

/// The manifest that a policy was read from.
pub(super) fn find<'m>(manifests: &'m [Manifest], key: &PolicyKey) -> Option<&'m Manifest> {
    let (kind, namespace, name) = match key {
        PolicyKey::Network(name) => ("NetworkPolicy", name.namespace.as_str(), name.name.as_str()),
        PolicyKey::Cluster(name) => (name.kind.as_str(), "", name.name.as_str()),
    };
    // Of two that were written the later is in force.
    let mut matching = manifests.iter().rev();
    matching.find(|m| (m.kind.as_str(), m.namespace.as_str(), m.name.as_str()) == (kind, namespace, name))
}

/// A policy's manifest as JSON. In a list of one kind its items do not say which; here it does.
pub(super) fn document(manifest: &Manifest, key: &PolicyKey) -> Value {
    let mut document = to_json(&manifest.node);
    let version = match key {
        PolicyKey::Network(_) => "networking.k8s.io/v1",
        PolicyKey::Cluster(name) => match name.kind {
            ClusterPolicyKind::ClusterNetworkPolicy => "policy.networking.k8s.io/v1alpha2",
            ClusterPolicyKind::AdminNetworkPolicy | ClusterPolicyKind::BaselineAdminNetworkPolicy => {
                "policy.networking.k8s.io/v1alpha1"
            }
        },
    };
    if let Value::Object(fields) = &mut document {
        fields.entry("apiVersion").or_insert_with(|| version.into());
        fields.entry("kind").or_insert_with(|| manifest.kind.as_str().into());
    }
    document
}

/// A manifest as JSON. Without a value for what JSON cannot say, such as a number that is none.
fn to_json(node: &Node) -> Value {
    match &node.value {
        NodeValue::Null => Value::Null,
        NodeValue::Bool(value) => Value::Bool(*value),
        NodeValue::Int(value) => Value::from(*value),
        NodeValue::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        NodeValue::String(value) => Value::from(value.as_str()),
        NodeValue::Sequence(items) => items.iter().map(to_json).collect(),
        NodeValue::Mapping(entries) => {
            let fields = entries.iter().map(|e| (e.key.clone(), to_json(&e.value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

/// The policy that a patched manifest is, as the reader reads it, under the name that it has among the others: a
/// generated name is completed there. `None` where it would be refused.
pub(super) fn read_policy(manifest: &Value, default_namespace: &str, key: &PolicyKey) -> Option<Policy> {
    let options = ReadOptions { default_namespace: default_namespace.to_owned(), ..ReadOptions::default() };
    let reading = read([("the patched policy", manifest.to_string())], &options);
    if reading.findings.iter().any(|f| f.level == Level::Error) {
        return None;
    }
    let mut inventory = reading.inventory;
    match key {
        PolicyKey::Network(name) => {
            let policy = inventory.policies.pop()?;
            Some(Policy::Network(NetworkPolicy { name: name.clone(), ..policy }))
        }
        PolicyKey::Cluster(name) => {
            let policy = inventory.cluster_policies.pop()?;
            Some(Policy::Cluster(ClusterPolicy { name: name.clone(), ..policy }))
        }
    }
}
