//! Pods that are not there but could be: what a selector means beyond the pods that happen to be in the manifests.
//!
//! A witness stands for one of the ways in which a selector can be met. What is said of all of them needs [`is_within`]
//! too.

use std::collections::BTreeSet;

use ringfence_policy::model::NAMESPACE_NAME_LABEL;
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

/// Whether everything that a selector matches, the pods that are not there included, is matched by another, as far as
/// their requirements tell one by one. It errs on the side of no.
pub(crate) fn is_within(narrow: &LabelSelector, wide: &LabelSelector) -> bool {
    wide.requirements().iter().all(|requirement| {
        let key = requirement.key();
        let on_key = || narrow.requirements().iter().filter(|r| r.key() == key);
        let values = values(narrow, key);
        match requirement {
            Requirement::In(_, wanted) => values.is_some_and(|v| v.iter().all(|v| wanted.contains(*v))),
            Requirement::Exists(_) => {
                on_key().any(|r| matches!(r, Requirement::In(..) | Requirement::Exists(_)))
            }
            Requirement::NotIn(_, unwanted) => {
                let excluded = excluded(narrow, key);
                values.is_some_and(|v| !v.iter().any(|v| unwanted.contains(*v)))
                    || unwanted.iter().all(|v| excluded.contains(v))
                    || on_key().any(|r| matches!(r, Requirement::DoesNotExist(_)))
            }
            Requirement::DoesNotExist(_) => on_key().any(|r| matches!(r, Requirement::DoesNotExist(_))),
        }
    })
}

/// The names of the only namespaces that a selector can match, where it asks for them by name.
pub(crate) fn names(selector: &LabelSelector) -> Option<BTreeSet<&String>> {
    values(selector, NAMESPACE_NAME_LABEL)
}

/// The namespace that a selector asks for by its name.
pub(crate) fn named_namespace(selector: &LabelSelector) -> Option<String> {
    labels(selector)?.remove(NAMESPACE_NAME_LABEL)
}

/// The values that a selector leaves to a label; `None` where it does not list them.
fn values<'s>(selector: &'s LabelSelector, key: &str) -> Option<BTreeSet<&'s String>> {
    let mut listed = selector.requirements().iter().filter_map(|r| match r {
        Requirement::In(of, values) if of == key => Some(values.iter().collect::<BTreeSet<_>>()),
        _ => None,
    });
    let first = listed.next()?;
    let mut values = listed.fold(first, |all, more| all.intersection(&more).copied().collect());
    let excluded = excluded(selector, key);
    values.retain(|value| !excluded.contains(*value));
    Some(values)
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
