//! Values that nobody carries, in lists of which others are carried. Only where one that is carried, and not in the list
//! already, is near: the rest may be for later.

use std::collections::BTreeSet;

use ringfence_k8s::{Level, Node};
use ringfence_policy::{LabelSelector, Labels, Requirement};

use super::{MOST, namespaces};
use crate::code::Code;
use crate::context::Context;
use crate::finding::Finding;
use crate::near;
use crate::view::{PolicyView, listed};

/// Whether a selector lists values of a label.
pub(super) fn has_lists(selector: &LabelSelector) -> bool {
    selector.requirements().iter().any(|r| matches!(r, Requirement::In(_, values) if values.len() > 1))
}

/// The slips in the lists of a selector that matches somebody of these labels.
pub(super) fn slips(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    code: &'static Code,
    selector: &LabelSelector,
    node: Option<&Node>,
    labels: &[&Labels],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Among thousands something is always near.
    if labels.len() > MOST {
        return findings;
    }
    for requirement in selector.requirements() {
        let Requirement::In(key, values) = requirement else { continue };
        // A value by itself is carried, or the selector matches nobody.
        if values.len() < 2 {
            continue;
        }
        let carried: BTreeSet<&str> = labels.iter().filter_map(|l| l.get(key)).map(String::as_str).collect();
        if !values.iter().any(|v| carried.contains(v.as_str())) {
            continue;
        }
        let others = || carried.iter().copied().filter(|c| !values.iter().any(|v| v == c));
        for value in values.iter().filter(|v| !carried.contains(v.as_str())) {
            let Some(near) = near::near(value, others()) else { continue };
            let place = node.and_then(|n| listed(n, key, value).or(n.span)).or_else(|| view.name_span());
            findings.push(
                Finding::new(code, format!("nobody here has `{key}={value}`; did you mean `{near}`?"))
                    .because("other values of the list are carried, but this one matches nobody")
                    .help(format!("write `{near}` in the list"))
                    .level(if namespaces::may_be_another(context, key, near) {
                        Level::Note
                    } else {
                        code.level
                    })
                    .about(view.object())
                    .at(context.place(place)),
            );
        }
    }
    findings
}
