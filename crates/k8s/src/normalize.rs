//! Policies as the API server would store them, and as `kubectl get` would print them: defaults written, what is empty
//! dropped where the server drops it, keys in alphabetical order. Manifests in, manifests out; no text here.
//!
//! What is read from the result is what is read from the input, and the result of the result is the result. What only
//! a server knows (`status`, `uid`, `resourceVersion` and the like) is left out, so that files and a cluster's answer
//! can be compared; labels and annotations are all kept. Nothing is translated but the API group that
//! NetworkPolicy has left.

mod custom;
mod fields;
mod metadata;
mod network;

use std::collections::BTreeMap;

use self::fields::{Fields, present};
use crate::inventory::Inventory;
use crate::node::{Node, Value};
use crate::read::Manifest;

/// The policies of every kind that were read, sorted by kind, namespace and name.
///
/// `manifests` must be those that were read with `inventory`, see [`ReadOptions::keep_manifests`]. Of two objects of one
/// name the later is taken, as a server would. What is taken from the input keeps its place in the text.
///
/// [`ReadOptions::keep_manifests`]: crate::ReadOptions::keep_manifests
pub fn normalize(inventory: &Inventory, manifests: &[Manifest]) -> Vec<Manifest> {
    let mut policies: BTreeMap<[&str; 3], Vec<&Manifest>> = BTreeMap::new();
    for manifest in manifests.iter().filter(|m| version(&m.kind).is_some()) {
        let of_name = policies.entry([&manifest.kind, &manifest.namespace, &manifest.name]).or_default();
        // Those of one generated name have different names here already.
        of_name.clear();
        of_name.push(manifest);
    }
    let mut normal = Vec::new();
    for ([kind, _, name], of_name) in policies {
        let mut lowered =
            inventory.cluster_policies.iter().filter(|p| p.name.kind.as_str() == kind && p.name.name == name);
        for manifest in of_name {
            let spec = present(&manifest.node, "spec");
            let spec = match kind {
                "NetworkPolicy" => network::spec(spec),
                _ => custom::spec(spec, lowered.next()),
            };
            normal.push(Manifest { node: object(manifest, spec), ..manifest.clone() });
        }
    }
    normal
}

/// The version in which a server stores a kind of policy; `None` for other kinds.
fn version(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "NetworkPolicy" => "networking.k8s.io/v1",
        "ClusterNetworkPolicy" => "policy.networking.k8s.io/v1alpha2",
        "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" => "policy.networking.k8s.io/v1alpha1",
        _ => return None,
    })
}

fn object(manifest: &Manifest, spec: Node) -> Node {
    let mut fields = Fields::of(&manifest.node);
    let string = |text: &str| Node::new(Value::String(text.to_owned()));
    fields.put("apiVersion", string(version(&manifest.kind).unwrap_or_default()));
    fields.put("kind", string(&manifest.kind));
    fields.put("metadata", metadata::metadata(manifest));
    fields.put("spec", spec);
    fields.into_node()
}
