//! What is left to defaults: `policyTypes` and the namespace.

use ringfence_k8s::{Node, Value};

use crate::code;
use crate::context::Context;
use crate::edit::insert_field;
use crate::finding::Finding;
use crate::view::{key_span, name_span};

/// `policyTypes` that the server fills in.
pub(crate) fn policy_types(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        let Some(spec) = view.spec().filter(|s| !has(s, "policyTypes")) else { continue };
        let (types, yaml, json, why) = match (&view.policy.ingress, &view.policy.egress) {
            (_, Some(_)) => (
                "Ingress and Egress",
                "[Ingress, Egress]",
                "[\"Ingress\", \"Egress\"]",
                "the server takes Egress only while there is an egress rule: removing the last one opens the pods \
                 instead of closing them",
            ),
            _ => (
                "Ingress",
                "[Ingress]",
                "[\"Ingress\"]",
                "an egress rule that is added later isolates egress too, which then comes as a surprise",
            ),
        };
        // Without `egress` there is no doubt about it; see `empty_egress` for one that says nothing.
        if is_empty_egress(spec) {
            continue;
        }
        let finding =
            Finding::new(&code::RF001, format!("`policyTypes` is left out: the server takes {types}"))
                .because(why)
                .help(format!("write `policyTypes: {yaml}`"))
                .about(view.object())
                .at(context.place(view.name_span()))
                .edits(insert_field(context.sources, spec, "policyTypes", yaml, json));
        findings.push(finding);
    }
    findings
}

/// `egress: []` that was meant as a denial.
pub(crate) fn empty_egress(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        let Some(spec) = view.spec().filter(|s| !has(s, "policyTypes") && is_empty_egress(s)) else {
            continue;
        };
        let finding = Finding::new(
            &code::RF002,
            "an empty `egress` without `policyTypes` isolates nothing: all egress stays allowed",
        )
        .because("the server takes Egress into `policyTypes` only where `egress` has a rule")
        .help("write `policyTypes: [Ingress, Egress]` to deny egress, or remove `egress`")
        .about(view.object())
        .at(context.place(key_span(spec, "egress")));
        findings.push(finding);
    }
    findings
}

/// A namespace that depends on who applies the manifest.
pub(crate) fn namespace(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        let Some(node) = view.node else { continue };
        let Some(metadata) = node.get("metadata").filter(|m| !has(m, "namespace")) else { continue };
        let namespace = view.namespace();
        let given = context.options.namespace.as_deref() == Some(namespace);
        let edit = given.then(|| {
            insert_field(context.sources, metadata, "namespace", namespace, &format!("\"{namespace}\""))
        });
        let finding = Finding::new(&code::RF003, format!("no `namespace`: taken for `{namespace}`"))
            .because(
                "it lands in whatever namespace is current when it is applied, and isolates the pods there",
            )
            .help("write `namespace` in `metadata`")
            .about(view.object())
            .at(context.place(name_span(node)))
            .edits(edit.flatten());
        findings.push(finding);
    }
    findings
}

/// Whether a field is there and says something: null and an empty string do not, and neither does an empty list.
fn has(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|value| match &value.value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Sequence(items) => !items.is_empty(),
        _ => true,
    })
}

fn is_empty_egress(spec: &Node) -> bool {
    spec.get("egress").is_some_and(|e| match &e.value {
        Value::Sequence(items) => items.is_empty(),
        // `egress:` with nothing behind it reads like a denial to people.
        value => *value == Value::Null,
    })
}
