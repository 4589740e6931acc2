//! Labels that nobody carries, and the one that was probably meant.
//!
//! Only where the manifests can tell: a namespace without pods here says nothing about its pods, and a namespace that is
//! not declared says nothing about its labels. Without a near miss a finding is a note.

mod listed;
mod namespaces;

use std::collections::BTreeSet;

use ringfence_k8s::{Level, Node};
use ringfence_policy::{Direction, LabelSelector, Labels, NamespaceScope, Peer, Requirement};

use crate::code;
use crate::context::Context;
use crate::edit::replace;
use crate::finding::{Edit, Finding};
use crate::near;
use crate::view::{PolicyView, asked};

/// Among how many pods a near miss is looked for.
const MOST: usize = 1000;

/// Policies whose own selector matches no pod.
pub(crate) fn subjects(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        let scope = context.pods_of(view.namespace());
        let is_empty = view.subjects.is_empty() && view.host_subjects.is_empty();
        if scope.is_empty() || view.policy.subject.is_everything() {
            continue;
        }
        let labels: Vec<&Labels> = context.views(scope).map(|p| &p.pod.labels).collect();
        let node = view.spec().and_then(|s| s.get("podSelector"));
        if !is_empty {
            findings.extend(listed::slips(context, view, &code::RF011, &view.policy.subject, node, &labels));
            continue;
        }
        let where_ = format!("namespace {}", view.namespace());
        let Some(found) = explain(context, view, &view.policy.subject, node, &labels, &where_, true) else {
            continue;
        };
        findings.push(found);
    }
    findings
}

/// Peers whose selectors match nobody.
pub(crate) fn peers(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let known = namespaces::known(context);
    for view in &context.policies {
        for direction in Direction::ALL {
            for (rule, place, _, peer) in view.peers(direction) {
                let Peer::Pods { namespaces, pods } = peer else { continue };
                let node = view.peer_node(direction, rule, place);
                if let NamespaceScope::Matching(selector) = namespaces {
                    let selector_node = node.and_then(|n| n.get("namespaceSelector"));
                    if let Some(found) = namespaces::selector(context, &known, view, selector, selector_node)
                    {
                        findings.push(found);
                        continue;
                    }
                    let labels: Vec<&Labels> = known.iter().map(|(_, _, labels)| labels).collect();
                    let code = &code::RF012;
                    findings.extend(listed::slips(context, view, code, selector, selector_node, &labels));
                }
                if !pods.is_everything() && !context.matched(view.namespace(), peer).is_empty() {
                    if listed::has_lists(pods) {
                        let scope = context.scope(namespaces, view.namespace());
                        let places: Vec<usize> =
                            scope.iter().flat_map(|n| context.pods_of(n)).copied().collect();
                        let labels: Vec<&Labels> = context.views(&places).map(|p| &p.pod.labels).collect();
                        let pods_node = node.and_then(|n| n.get("podSelector"));
                        findings.extend(listed::slips(context, view, &code::RF010, pods, pods_node, &labels));
                    }
                    continue;
                }
                if !crate::rules::dashes::is_half(context, view, direction, rule, place) {
                    findings.extend(pods_of_peer(context, view, peer, namespaces, pods, node));
                }
            }
        }
    }
    findings
}

fn pods_of_peer(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    peer: &Peer,
    namespaces: &NamespaceScope,
    pods: &LabelSelector,
    node: Option<&Node>,
) -> Option<Finding> {
    if pods.is_everything() || !context.matched(view.namespace(), peer).is_empty() {
        return None;
    }
    let scope = context.scope(namespaces, view.namespace());
    let places: Vec<usize> = scope.iter().flat_map(|n| context.pods_of(n)).copied().collect();
    let labels: Vec<&Labels> = context.views(&places).map(|p| &p.pod.labels).collect();
    // Pods on their node's network match a selector's labels, and are another rule's matter.
    if labels.is_empty() || labels.iter().any(|l| pods.matches(l)) {
        return None;
    }
    // Two peers that were written as one: the pods are there, but elsewhere.
    if crate::rules::dashes::is_missing_dash(context, view, peer) {
        return None;
    }
    let where_ = match &*scope {
        [one] => format!("namespace {one}"),
        _ => "the namespaces meant".to_owned(),
    };
    explain(context, view, pods, node.and_then(|n| n.get("podSelector")), &labels, &where_, false)
}

/// Why a selector matches none of these labels: a slip, labels that exclude each other, or simply nobody.
fn explain(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    selector: &LabelSelector,
    node: Option<&Node>,
    labels: &[&Labels],
    where_: &str,
    is_subject: bool,
) -> Option<Finding> {
    let code = if is_subject { &code::RF011 } else { &code::RF010 };
    let effect = if is_subject { "the policy isolates nothing" } else { "the peer lets nobody in or out" };
    let unmet: Vec<&Requirement> =
        selector.requirements().iter().filter(|r| !labels.iter().any(|l| r.matches(l))).collect();
    let asked_for = |requirement: &Requirement| node.and_then(|n| asked(n, requirement.key()));
    let whole = node.and_then(|n| n.span).or_else(|| view.name_span());
    if unmet.is_empty() {
        // Who leaves some out means whoever is left, and that may be nobody.
        let wanted: Vec<&Requirement> = selector.requirements().iter().filter(|r| is_wish(r)).collect();
        if labels.iter().any(|l| wanted.iter().all(|r| r.matches(l))) {
            return None;
        }
        let together = wanted.iter().map(|r| format!("`{r}`")).collect::<Vec<_>>().join(" and ");
        let finding = Finding::new(&code::RF014, format!("no pod of {where_} has {together} at once"))
            .because(format!(
                "labels of one selector must all be met by one pod; each of these is carried here, but by different pods, \
                 so that {effect}"
            ))
            .help(if is_subject {
                "for either of them write a policy for each, or `matchExpressions` with `operator: In`"
            } else {
                "for either of them write a peer for each, or `matchExpressions` with `operator: In`"
            })
            .about(view.object())
            .at(context.place(whole));
        return Some(finding);
    }
    let of_namespace =
        |r: &&Requirement| namespaces::as_pod_label(context, view, r, asked_for(r).map(|a| a.whole));
    if let Some(found) = unmet.iter().find_map(of_namespace) {
        return Some(found);
    }
    let first = *unmet.iter().find(|r| is_wish(r))?;
    // Among thousands of pods something is always near.
    let near = if labels.len() > MOST { None } else { slip(first, labels) };
    let message = match &near {
        Some(near) => {
            format!("no pod of {where_} has `{first}`; did you mean `{}={}`?", near.key, near.value)
        }
        None => format!("no pod of {where_} in these manifests has `{first}`"),
    };
    let place = asked_for(first).map(|a| a.whole).or(whole);
    let finding = Finding::new(code, message)
        .because(format!("a selector that matches no pod means nothing: {effect}"))
        .about(view.object())
        .at(context.place(place));
    Some(match near {
        Some(near) => {
            let edit = if unmet.len() == 1 && near.is_safe {
                near.edit(context, first, asked_for(first))
            } else {
                None
            };
            finding.help(format!("write `{}: {}`", near.key, near.value)).edits(edit)
        }
        None => finding
            .level(Level::Note)
            .help("if its pods are written elsewhere, read them too; otherwise correct the label"),
    })
}

/// Whether a requirement says whom it wants, and not only whom it does not.
fn is_wish(requirement: &Requirement) -> bool {
    matches!(requirement, Requirement::In(..) | Requirement::Exists(_))
}

/// A label that is carried and was probably meant.
struct Near {
    key: String,
    value: String,
    /// Whether it is the only one, and one letter away.
    is_safe: bool,
}

impl Near {
    fn edit(
        &self,
        context: &Context<'_>,
        requirement: &Requirement,
        asked: Option<crate::view::Asked>,
    ) -> Option<Edit> {
        let asked = asked?;
        if self.key == requirement.key() {
            replace(context.sources, asked.value?, &self.value)
        } else {
            replace(context.sources, asked.key?, &self.key)
        }
    }
}

/// Keys by which people say what a pod is.
const ROLE_KEYS: [&str; 6] = ["app", "k8s-app", "app.kubernetes.io/name", "name", "run", "component"];

fn slip(requirement: &Requirement, labels: &[&Labels]) -> Option<Near> {
    let Requirement::In(key, values) = requirement else { return None };
    let near = values.iter().find_map(|value| slip_of(key, value, labels))?;
    Some(Near { is_safe: near.is_safe && values.len() == 1, ..near })
}

fn slip_of(key: &str, value: &String, labels: &[&Labels]) -> Option<Near> {
    let values: BTreeSet<&str> = labels.iter().filter_map(|l| l.get(key)).map(String::as_str).collect();
    if let Some(near) = near::near(value, values.iter().copied()) {
        let is_safe = near::only_slip(value, values.iter().copied()).is_some();
        return Some(Near { key: key.to_owned(), value: near.to_owned(), is_safe });
    }
    if !values.is_empty() {
        return with_other_key(key, value, labels, &ROLE_KEYS);
    }
    let keys: BTreeSet<&str> = labels
        .iter()
        .filter(|l| l.values().any(|v| v == value))
        .flat_map(|l| l.keys())
        .map(String::as_str)
        .collect();
    let carries = |k: &str| labels.iter().any(|l| l.get(k) == Some(value));
    if let Some(near) = near::near(key, keys.iter().copied().filter(|k| carries(k))) {
        let is_safe = near::only_slip(key, keys.iter().copied()).is_some();
        return Some(Near { key: near.to_owned(), value: value.clone(), is_safe });
    }
    with_other_key(key, value, labels, &ROLE_KEYS)
}

/// The same value under another of the keys that say what a pod is.
fn with_other_key(key: &str, value: &str, labels: &[&Labels], keys: &[&str]) -> Option<Near> {
    let other = |k: &&&str| **k != key && labels.iter().any(|l| l.get(**k).is_some_and(|v| v == value));
    let found = keys.iter().find(other).filter(|_| keys.contains(&key))?;
    Some(Near { key: (*found).to_owned(), value: value.to_owned(), is_safe: false })
}
