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
    /// A pod, where pods are the ends.
    Pod {
        /// The namespace.
        namespace: String,
        /// The name; of pods that a workload's manifest stands for, the workload's.
        name: String,
        /// Its workload, where another pod of the namespace has the same name.
        workload: Option<Workload>,
        /// The kind to type, where namespace and name alone could mean something else.
        kind: Option<String>,
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
            Reference::Pod { namespace, name, kind, .. } => match kind {
                Some(kind) => format!("{namespace}/{}/{name}", kind.to_lowercase()),
                None => format!("{namespace}/{name}"),
            },
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
            Reference::Pod { namespace, name, workload, .. } => {
                let mut value = json!({"namespace": namespace, "kind": "Pod", "name": name});
                if let (Some(workload), Value::Object(fields)) = (workload, &mut value) {
                    fields.insert("workload".to_owned(), workload_json(workload));
                }
                value
            }
            Reference::Address(address) => json!({"address": address}),
            Reference::Outside(first, last) => json!({"external": [first, last]}),
            Reference::External => json!({"external": "all"}),
        }
    }
}

/// A workload of a namespace that is known.
pub(crate) fn workload_json(workload: &Workload) -> Value {
    json!({"kind": workload.kind, "name": workload.name})
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
    names: BTreeMap<(&'e str, &'e str), Named<'e>>,
}

/// What has one name in one namespace.
#[derive(Debug, Default)]
struct Named<'e> {
    /// The kinds of the workloads.
    kinds: Vec<&'e str>,
    /// How many pods.
    pods: u32,
    /// How many of these are named otherwise than their workload.
    apart: u32,
}

impl<'e> Referrer<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Referrer<'e> {
        let mut names: BTreeMap<_, Named<'e>> = BTreeMap::new();
        for (_, Pod { namespace, name, workload, .. }) in engine.pods() {
            let known = names.entry((namespace.as_str(), workload.name.as_str())).or_default();
            if !known.kinds.contains(&workload.kind.as_str()) {
                known.kinds.push(&workload.kind);
            }
            let known = names.entry((namespace.as_str(), name.as_str())).or_default();
            known.pods += 1;
            known.apart += u32::from(*name != workload.name);
        }
        Referrer { engine, names }
    }

    /// A pod of its own.
    pub(crate) fn pod(&self, id: PodId) -> Reference {
        let Some(Pod { namespace, name, workload, .. }) = self.engine.pod(id) else {
            return Reference::External;
        };
        let of_name = self.names.get(&(namespace.as_str(), name.as_str()));
        let is_only = of_name.is_none_or(|n| n.kinds.len() + n.apart as usize <= 1);
        let kind = if *name == workload.name { &workload.kind } else { "Pod" };
        Reference::Pod {
            namespace: namespace.clone(),
            name: name.clone(),
            workload: of_name.filter(|n| n.pods > 1).map(|_| workload.clone()),
            kind: (!is_only).then(|| kind.to_owned()),
        }
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
            unique: self.names.get(&(namespace, workload.name.as_str())).is_none_or(|n| n.kinds.len() <= 1),
        }
    }
}
