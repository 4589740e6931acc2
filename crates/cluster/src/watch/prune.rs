//! Reads of an object only what matters: a cluster's pods are hundreds of megabytes as JSON, and a few when read.
//!
//! A mask says which keys are kept; the rest is passed over while it is read, and never in memory. It is data: what a
//! kept field means is not known here.

use std::fmt;

use ringfence_k8s::{Entry, Node, Value};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What to keep of a value. In a list it holds for each item.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keep {
    All,
    Keys(&'static [(&'static str, Keep)]),
}

/// What to keep of the objects of a kind.
pub(crate) trait Mask: Clone + fmt::Debug + Send + Sync + 'static {
    const KEEP: Keep;
}

const META: (&str, Keep) = (
    "metadata",
    Keep::Keys(&[
        ("name", Keep::All),
        ("namespace", Keep::All),
        ("uid", Keep::All),
        ("resourceVersion", Keep::All),
        ("labels", Keep::All),
        ("ownerReferences", Keep::All),
    ]),
);
const API: (&str, Keep) = ("apiVersion", Keep::All);
const KIND: (&str, Keep) = ("kind", Keep::All);

/// Metadata alone.
#[derive(Debug, Clone)]
pub(crate) struct Plain;

impl Mask for Plain {
    const KEEP: Keep = Keep::Keys(&[API, KIND, META]);
}

/// Metadata and the whole spec: of a policy no field may be passed over, not even one that is not known.
#[derive(Debug, Clone)]
pub(crate) struct Specs;

impl Mask for Specs {
    const KEEP: Keep = Keep::Keys(&[API, KIND, META, ("spec", Keep::All)]);
}

/// What policies can see of a pod.
#[derive(Debug, Clone)]
pub(crate) struct Pods;

impl Mask for Pods {
    const KEEP: Keep = Keep::Keys(&[
        API,
        KIND,
        META,
        (
            "spec",
            Keep::Keys(&[
                ("nodeName", Keep::All),
                ("hostNetwork", Keep::All),
                ("containers", CONTAINERS),
                ("initContainers", CONTAINERS),
            ]),
        ),
        ("status", Keep::Keys(&[("phase", Keep::All), ("podIP", Keep::All), ("podIPs", Keep::All)])),
    ]);
}

const CONTAINERS: Keep =
    Keep::Keys(&[("name", Keep::All), ("ports", Keep::All), ("restartPolicy", Keep::All)]);

/// What policies can see of a node, and where its pods live.
#[derive(Debug, Clone)]
pub(crate) struct Nodes;

impl Mask for Nodes {
    const KEEP: Keep = Keep::Keys(&[
        API,
        KIND,
        META,
        ("spec", Keep::Keys(&[("podCIDR", Keep::All), ("podCIDRs", Keep::All)])),
        ("status", Keep::Keys(&[("addresses", Keep::All)])),
    ]);
}

impl Keep {
    /// What to keep under a key; `None`: nothing.
    fn under(self, key: &str) -> Option<Keep> {
        match self {
            Keep::All => Some(Keep::All),
            Keep::Keys(keys) => keys.iter().find(|(k, _)| *k == key).map(|(_, keep)| *keep),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self).map(Node::new)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            read.push(item);
        }
        Ok(Value::Sequence(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(key) = fields.next_key::<String>()? {
            match self.under(&key) {
                Some(keep) => {
                    let value = fields.next_value_seed(keep)?;
                    entries.push(Entry { key, key_span: None, value });
                }
                None => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(keep: Keep, value: &serde_json::Value) -> Node {
        keep.deserialize(&mut serde_json::Deserializer::from_str(&value.to_string())).unwrap()
    }

    #[test]
    fn what_matters_is_kept_and_nothing_else() {
        let pod = json!({
            "metadata": {"name": "a", "managedFields": [{"fieldsV1": {"f:spec": {}}}], "labels": {"app": "a"}},
            "spec": {"nodeName": "n", "volumes": [{"name": "v"}],
                     "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 1}]}]},
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready"}]},
        });
        let kept = json!({
            "metadata": {"name": "a", "labels": {"app": "a"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 1}]}]},
            "status": {"podIP": "10.0.0.1"},
        });
        assert_eq!(read(Pods::KEEP, &pod), crate::tree::tree(kept));
    }

    #[test]
    fn a_policy_keeps_fields_that_nobody_knows() {
        let policy =
            json!({"metadata": {"name": "a"}, "spec": {"podSelector": {}, "novelty": [1, 2.5, null, true]}});
        assert_eq!(read(Specs::KEEP, &policy), crate::tree::tree(policy));
    }

    #[test]
    fn numbers_beyond_i64_are_no_wrong_numbers() {
        let large = json!({"metadata": {"name": 18_446_744_073_709_551_615_u64}});
        assert_eq!(read(Plain::KEEP, &large), crate::tree::tree(large));
    }
}
