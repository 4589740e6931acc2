//! An object as the API server tells it, in the form that the reader of manifests takes.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicResourceScope;
use ringfence_k8s::{Entry, Node, Value};
use serde::de::DeserializeSeed;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::kinds::{Kind, Shape};
use super::prune::{Mask, Nodes, Plain, Pods, Specs};

/// An object's namespace, empty for what has none, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// An object that was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What it is called.
    pub name: Name,
    /// Which of all that were ever called so.
    pub uid: String,
    /// What matters of it, as a manifest.
    pub node: Node,
}

impl Object {
    /// An object of a kind, from the JSON that the API server gives for it.
    ///
    /// # Errors
    /// If it is no JSON.
    pub fn read(kind: Kind, json: &str) -> Result<Object, serde_json::Error> {
        match kind.shape() {
            Shape::Plain => read::<Plain>(kind, json),
            Shape::Pod => read::<Pods>(kind, json),
            Shape::Node => read::<Nodes>(kind, json),
            Shape::Spec => read::<Specs>(kind, json),
        }
    }
}

fn read<M: Mask>(kind: Kind, json: &str) -> Result<Object, serde_json::Error> {
    serde_json::from_str::<Watched<M>>(json).map(|object| object.into_object(kind))
}

/// The ranges from which a Node's pods get their addresses, as its object says; those that cannot be read are given back
/// as they are written.
pub fn pod_ranges(node: &Node) -> (Vec<IpNet>, Vec<String>) {
    let spec = node.get("spec");
    let many = match spec.and_then(|s| s.get("podCIDRs")).map(|n| &n.value) {
        Some(Value::Sequence(items)) => items.iter().collect(),
        _ => Vec::new(),
    };
    let one = spec.and_then(|s| s.get("podCIDR"));
    let written = if many.is_empty() { one.into_iter().collect() } else { many };
    let (mut ranges, mut unreadable) = (Vec::new(), Vec::new());
    for text in written.into_iter().filter_map(Node::as_str).filter(|text| !text.is_empty()) {
        match text.parse::<IpNet>() {
            Ok(range) => ranges.push(range.trunc()),
            Err(_) => unreadable.push(text.to_owned()),
        }
    }
    (ranges, unreadable)
}

/// An object of which only what a mask keeps is read.
#[derive(Debug, Clone)]
pub(crate) struct Watched<M> {
    metadata: ObjectMeta,
    node: Node,
    mask: PhantomData<M>,
}

impl<M: Mask> Watched<M> {
    pub(crate) fn name(&self) -> Name {
        Name {
            namespace: self.metadata.namespace.clone().unwrap_or_default(),
            name: self.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// The object; in a list it does not say itself what it is.
    pub(crate) fn into_object(self, kind: Kind) -> Object {
        let (name, uid) = (self.name(), self.metadata.uid.unwrap_or_default());
        let mut node = self.node;
        if let Value::Mapping(entries) = &mut node.value {
            entries.retain(|entry| entry.key != "apiVersion" && entry.key != "kind");
            for (key, value) in
                [("kind", kind.as_str().to_owned()), ("apiVersion", kind.api_version().to_owned())]
            {
                let value = Node::new(Value::String(value));
                entries.insert(0, Entry { key: key.to_owned(), key_span: None, value });
            }
        }
        Object { name, uid, node }
    }
}

impl<'de, M: Mask> Deserialize<'de> for Watched<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Watched<M>, D::Error> {
        let node = M::KEEP.deserialize(deserializer)?;
        let text = |key: &str| Some(node.get("metadata")?.get(key)?.as_str()?.to_owned());
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Watched { metadata, node, mask: PhantomData })
    }
}

/// Nothing is ever sent.
impl<M> Serialize for Watched<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

impl<M> Resource for Watched<M> {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;

    fn kind(kind: &Kind) -> Cow<'_, str> {
        kind.as_str().into()
    }

    fn group(kind: &Kind) -> Cow<'_, str> {
        kind.group().into()
    }

    fn version(kind: &Kind) -> Cow<'_, str> {
        kind.version().into()
    }

    fn plural(kind: &Kind) -> Cow<'_, str> {
        kind.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_what_it_is() {
        let told = r#"{"metadata": {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": "7"}}"#;
        let object = Object::read(Kind::NetworkPolicy, told).unwrap();
        assert_eq!((object.name.to_string().as_str(), object.uid.as_str()), ("b/a", "c"));
        assert_eq!(object.node.get("kind").and_then(Node::as_str), Some("NetworkPolicy"));
        assert_eq!(object.node.get("apiVersion").and_then(Node::as_str), Some("networking.k8s.io/v1"));
    }

    #[test]
    fn ranges_of_both_families_and_of_old_servers() {
        let check = |spec: &str, ranges: &[&str], unreadable: &[&str]| {
            let told = format!(r#"{{"metadata": {{"name": "n"}}, "spec": {spec}}}"#);
            let node = Object::read(Kind::Node, &told).unwrap().node;
            let (found, bad) = pod_ranges(&node);
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(
                (found, bad),
                (
                    ranges.iter().map(ToString::to_string).collect(),
                    unreadable.iter().map(ToString::to_string).collect()
                )
            );
        };
        check(
            r#"{"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00::/64"]}"#,
            &["10.1.0.0/24", "fd00::/64"],
            &[],
        );
        check(r#"{"podCIDR": "10.1.0.5/24"}"#, &["10.1.0.0/24"], &[]);
        check(r#"{"podCIDRs": ["ten"]}"#, &[], &["ten"]);
        check("{}", &[], &[]);
    }
}
