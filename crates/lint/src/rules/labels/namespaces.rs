//! What a peer says of namespaces: labels that none carries, and their names where no label has them.
//!
//! A namespace that is not declared says nothing about its labels, so a finding about it is a note, or there is none.

use std::collections::BTreeSet;

use ringfence_k8s::{Level, Node, Span};
use ringfence_policy::{LabelSelector, Labels, Requirement};

use super::is_wish;
use crate::code;
use crate::context::Context;
use crate::edit::replace;
use crate::finding::Finding;
use crate::near;
use crate::view::{PolicyView, asked};

/// `metadata.name`, which every namespace carries.
const NAME: &str = "kubernetes.io/metadata.name";

/// A namespace: its name, whether it is declared, and its labels.
pub(super) type Known<'a> = (&'a str, bool, Labels);

/// All of them.
pub(super) fn known<'a>(context: &Context<'a>) -> Vec<Known<'a>> {
    let known = |name| (name, context.is_declared(name), context.engine.namespace_labels(name));
    context.inventory.namespaces.iter().map(|n| known(n.name.as_str())).collect()
}

/// A namespace selector that matches no namespace.
pub(super) fn selector(
    context: &Context<'_>,
    known: &[Known<'_>],
    view: &PolicyView<'_>,
    selector: &LabelSelector,
    node: Option<&Node>,
) -> Option<Finding> {
    if !context.matching_namespaces(selector).is_empty() {
        return None;
    }
    if known.iter().any(|(_, _, labels)| selector.matches(labels)) {
        return None;
    }
    let unmet = |r: &&Requirement| !known.iter().any(|(_, _, labels)| r.matches(labels));
    let Some(requirement) = selector.requirements().iter().find(unmet) else {
        let is_whole = known.iter().all(|(_, declared, _)| *declared);
        return namespaces_at_once(context, view, selector, node).filter(|_| is_whole);
    };
    let Requirement::In(key, values) = requirement else { return None };
    let is_known = |v: &&String| known.iter().any(|(name, ..)| name == v);
    let value = values.iter().find(is_known).or_else(|| values.first().filter(|_| values.len() == 1))?;
    let at = node.and_then(|n| asked(n, key));
    let place = at.map(|a| a.whole).or(node.and_then(|n| n.span)).or_else(|| view.name_span());
    let finding =
        |code, message: String| Finding::new(code, message).about(view.object()).at(context.place(place));
    if key != NAME
        && is_name_key(key)
        && let Some((_, declared, _)) = known.iter().find(|(name, ..)| name == value)
    {
        let (message, level) = match declared {
            true => (format!("namespace {value} has no label `{key}`"), Level::Warning),
            false => (format!("nothing here says that namespace {value} has a label `{key}`"), Level::Note),
        };
        let is_alone = selector.requirements().len() == 1 && values.len() == 1;
        let edit = at.filter(|_| *declared && is_alone).and_then(|a| a.key);
        return Some(
            finding(&code::RF013, message)
                .because(format!(
                    "a namespace's name is no label of that key; only `{NAME}` is on every namespace, so the peer \
                     matches nobody"
                ))
                .help(format!("write `{NAME}: {value}`"))
                .level(level)
                .edits(edit.and_then(|span| replace(context.sources, span, NAME))),
        );
    }
    if values.len() > 1 {
        return None;
    }
    // What is not declared may carry any label, so a missing one is news only where all are known.
    let all_declared = known.iter().all(|(_, declared, _)| *declared);
    let candidates: BTreeSet<&str> =
        known.iter().filter_map(|(_, _, l)| l.get(key)).map(String::as_str).collect();
    let near = near::near(value, candidates.iter().copied());
    let slip_of_key = || {
        let carried =
            known.iter().filter(|(_, _, l)| l.values().any(|v| v == value)).flat_map(|(_, _, l)| l.keys());
        let keys: BTreeSet<&str> = carried.map(String::as_str).collect();
        near::near(key, keys).map(str::to_owned)
    };
    let reason = "a selector that matches no namespace means nothing: the peer lets nobody in or out";
    if let Some(near) = near {
        let only =
            near::only_slip(value, candidates.iter().copied()).filter(|_| selector.requirements().len() == 1);
        // Of a name nobody but its writer knows whether it is a slip: another namespace would be let in.
        let only = only.filter(|_| key != NAME);
        let edit = only.and_then(|word| replace(context.sources, at?.value?, word));
        // A name that differs by a letter may be another namespace that is not here; it is one that has pods here.
        let level = if may_be_another(context, key, near) { Level::Note } else { Level::Warning };
        return Some(
            finding(&code::RF012, format!("no namespace has `{requirement}`; did you mean `{key}={near}`?"))
                .because(reason)
                .help(format!("write `{key}: {near}`"))
                .level(level)
                .edits(edit),
        );
    }
    if key == NAME || !all_declared {
        return None;
    }
    if let Some(near) = slip_of_key() {
        return Some(
            finding(
                &code::RF012,
                format!("no namespace has `{requirement}`; did you mean `{near}={value}`?"),
            )
            .because(reason)
            .help(format!("write `{near}: {value}`")),
        );
    }
    Some(
        finding(&code::RF012, format!("no namespace in these manifests has `{requirement}`"))
            .because(reason)
            .level(Level::Note)
            .help("if the namespace is written elsewhere, read it too; otherwise correct the label"),
    )
}

/// Whether a name near to a namespace's may well be another namespace that is not here: that one has no pods here.
pub(super) fn may_be_another(context: &Context<'_>, key: &str, near: &str) -> bool {
    key == NAME && context.pods_of(near).is_empty()
}

/// Labels that are each carried by some namespace, but never by one.
fn namespaces_at_once(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    selector: &LabelSelector,
    node: Option<&Node>,
) -> Option<Finding> {
    let wanted: Vec<String> =
        selector.requirements().iter().filter(|r| is_wish(r)).map(|r| format!("`{r}`")).collect();
    (wanted.len() > 1 && wanted.len() == selector.requirements().len()).then(|| {
        Finding::new(&code::RF014, format!("no namespace has {} at once", wanted.join(" and ")))
            .because(
                "labels of one selector must all be met by one namespace; each of these is carried, but by different \
                 ones, so that the peer lets nobody in or out",
            )
            .help("for either of them write a peer for each, or `matchExpressions` with `operator: In`")
            .about(view.object())
            .at(context.place(node.and_then(|n| n.span).or_else(|| view.name_span())))
    })
}

/// Keys that can only mean what a namespace is called.
const NAMESPACE_KEYS: [&str; 6] = [
    "namespace",
    "ns",
    "metadata.name",
    "kubernetes.io/namespace",
    "k8s.io/metadata.name",
    "kubernetes.io/metadata-name",
];

/// Keys that people take for a namespace's name.
fn is_name_key(key: &str) -> bool {
    NAMESPACE_KEYS.contains(&key) || matches!(key, "name" | "kubernetes.io/name" | "app.kubernetes.io/name")
}

/// A selector of pods that asks for a label which only says what their namespace is called.
pub(super) fn as_pod_label(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    requirement: &Requirement,
    at: Option<Span>,
) -> Option<Finding> {
    let Requirement::In(key, values) = requirement else { return None };
    if key != NAME && !NAMESPACE_KEYS.contains(&key.as_str()) {
        return None;
    }
    let is_known = |name: &str| context.is_declared(name) || !context.pods_of(name).is_empty();
    let name = values.iter().find(|v| is_known(v))?;
    Some(
        Finding::new(&code::RF013, format!("no pod has a label `{requirement}`, which names a namespace"))
            .because("a pod carries no label with the name of its namespace unless somebody writes one")
            .help(format!("write `namespaceSelector: {{matchLabels: {{{NAME}: {name}}}}}`"))
            .about(view.object())
            .at(context.place(at.or_else(|| view.name_span()))),
    )
}
