//! What an end is called in answers: the same words that can be typed as an end.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringfence_policy::{Engine, Pod, PodId, Workload};
use serde_json::{Value, json};

use crate::ranges;

/// An end of a connection, as answers name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A workload, or some of its pods.
    Workload {
        /// The namespace.
        namespace: String,
        /// The kind and name.
        workload: Workload,
        /// Which of its pods, by name; `None`: all.
        pods: Option<Vec<String>>,
        /// Whether namespace and name alone mean this workload and no other.
        unique: bool,
    },
    /// One address.
    Address(IpAddr),
    /// Outside addresses, first and last included.
    Outside(IpAddr, IpAddr),
    /// All outside addresses.
    External,
}

impl Reference {
    /// Such as `shop/web`, or `shop/deployment/web` where that is not the only one.
    pub(crate) fn text(&self) -> String {
        match self {
            Reference::Workload { namespace, workload, pods, unique } => {
                let Workload { kind, name } = workload;
                let text = if *unique {
                    format!("{namespace}/{name}")
                } else {
                    format!("{namespace}/{}/{name}", kind.to_lowercase())
                };
                match pods.as_deref() {
                    None => text,
                    Some(pods) => format!("{text} ({})", pods_text(pods)),
                }
            }
            Reference::Address(address) => address.to_string(),
            Reference::Outside(first, last) => ranges::text(*first, *last),
            Reference::External => "external".to_owned(),
        }
    }

    /// With stable keys, for programs.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Reference::Workload { namespace, workload, pods, .. } => {
                let mut value = json!({"namespace": namespace, "kind": workload.kind, "name": workload.name});
                if let (Some(pods), Value::Object(fields)) = (pods, &mut value) {
                    fields.insert("podNames".to_owned(), json!(pods));
                }
                value
            }
            Reference::Address(address) => json!({"address": address}),
            Reference::Outside(first, last) => json!({"external": [first, last]}),
            Reference::External => json!({"external": "all"}),
        }
    }
}

/// A few names of pods, and how many more there are.
fn pods_text(pods: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = pods.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if pods.len() > SHOWN {
        text.push_str(&format!(" and {} more", pods.len() - SHOWN));
    }
    text
}

/// Gives pods their reference.
#[derive(Debug)]
pub(crate) struct Referrer<'e> {
    engine: &'e Engine,
    /// By namespace and name, how many workloads there are and of which kinds.
    kinds: BTreeMap<(&'e str, &'e str), Vec<&'e str>>,
}

impl<'e> Referrer<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Referrer<'e> {
        let mut kinds: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for (_, Pod { namespace, workload, .. }) in engine.pods() {
            let known = kinds.entry((namespace.as_str(), workload.name.as_str())).or_default();
            if !known.contains(&workload.kind.as_str()) {
                known.push(&workload.kind);
            }
        }
        Referrer { engine, kinds }
    }

    /// A workload, or with `whole` unset these pods of it.
    pub(crate) fn workload(
        &self,
        namespace: &str,
        workload: &Workload,
        pods: &[PodId],
        whole: bool,
    ) -> Reference {
        let names = pods.iter().filter_map(|p| self.engine.pod(*p)).map(|p| p.name.clone());
        Reference::Workload {
            namespace: namespace.to_owned(),
            workload: workload.clone(),
            pods: (!whole).then(|| names.collect()),
            unique: self.kinds.get(&(namespace, workload.name.as_str())).is_none_or(|k| k.len() == 1),
        }
    }
}
