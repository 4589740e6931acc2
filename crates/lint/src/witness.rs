//! Pods that are not there but could be: what a selector means beyond the pods that happen to be in the manifests.

use std::collections::BTreeSet;

use ringfence_policy::{LabelSelector, Labels, Namespace, Pod, Requirement, Workload};

/// The fewest labels that a selector matches; `None` where none do.
pub(crate) fn labels(selector: &LabelSelector) -> Option<Labels> {
    let mut labels = Labels::new();
    for requirement in selector.requirements() {
        match requirement {
            Requirement::In(key, values) => {
                let free = |v: &&String| !excluded(selector, key).contains(*v);
                labels.insert(key.clone(), values.iter().find(free)?.clone());
            }
            Requirement::Exists(key) => {
                labels.entry(key.clone()).or_insert_with(|| "ringfence-witness".to_owned());
            }
            Requirement::NotIn(..) | Requirement::DoesNotExist(_) => {}
        }
    }
    selector.matches(&labels).then_some(labels)
}

fn excluded<'s>(selector: &'s LabelSelector, of: &str) -> BTreeSet<&'s String> {
    let values = selector.requirements().iter().filter_map(|r| match r {
        Requirement::NotIn(key, values) if key == of => Some(values),
        _ => None,
    });
    values.flatten().collect()
}

/// A pod with these labels.
pub(crate) fn pod(namespace: &str, name: &str, labels: Labels) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        workload: Workload { kind: "Pod".to_owned(), name: name.to_owned() },
        count: 1,
        labels,
        addresses: Vec::new(),
        named_ports: Vec::new(),
        host_network: false,
        node: None,
    }
}

/// A namespace that a selector matches, for a pod that none of those that are there would do for.
pub(crate) fn namespace(name: &str, selector: &LabelSelector) -> Option<Namespace> {
    labels(selector).map(|labels| Namespace { name: name.to_owned(), labels })
}
