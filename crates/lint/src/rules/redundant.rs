//! Policies that change nothing, rules that others cover, namespaces without a default deny.
//!
//! The engine decides: it is asked what may pass with and without the policy or rule. Compared are the pods of the manifests,
//! every address block, and pods that are not there but could be, so that a rule is not called needless only because of the
//! pods that happen to be here.

mod cover;
mod trial;

use std::collections::BTreeMap;

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use ringfence_k8s::Level;
use ringfence_policy::{Change, Direction, End, Labels};

use crate::code;
use crate::context::Context;
use crate::finding::Finding;
use crate::rules::open::is_allow_all;
use crate::view::{PolicyView, name_span};
use crate::witness;

use cover::Cover;
use trial::Trial;

/// Policies and rules without which everything would be as it is.
pub(crate) fn policies(context: &Context<'_>) -> Vec<Finding> {
    let mut by_namespace: BTreeMap<&str, Vec<&PolicyView<'_>>> = BTreeMap::new();
    for view in &context.policies {
        // Policies with an allow-all have findings of their own, and would cover everything else.
        let opens = Direction::ALL.into_iter().any(|d| view.rules(d).iter().any(is_allow_all));
        if !opens && !view.subjects.is_empty() {
            by_namespace.entry(view.namespace()).or_default().push(view);
        }
    }
    by_namespace.par_iter().flat_map_iter(|(_, views)| needless(context, views)).collect()
}

/// The same of one namespace: what others cover is always covered by policies of its own.
fn needless(context: &Context<'_>, views: &[&PolicyView<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut trial: Option<Trial<'_>> = None;
    let mut cover = Cover::new(context, views);
    // The later of two that are alike is the one to tell, and the earlier is judged without it.
    for (place, view) in views.iter().enumerate().rev() {
        if cover.may_spare_policy(place) {
            let trial = trial.get_or_insert_with(|| Trial::new(context, views));
            if trial.changes_nothing(view, None) {
                cover.gone.insert(place);
                findings.push(useless_policy(context, view, cover.stands_for(place)));
            }
        }
    }
    for (place, view) in views.iter().enumerate().rev() {
        if cover.gone.contains(&place) {
            continue;
        }
        for direction in Direction::ALL {
            for rule in (0..view.rules(direction).len()).rev() {
                if !cover.may_spare_rule(direction, place, rule, true) {
                    continue;
                }
                let trial = trial.get_or_insert_with(|| Trial::new(context, views));
                if trial.changes_nothing(view, Some((direction, rule))) {
                    cover.gone_rules.insert((direction, place, rule));
                    findings.push(covered_rule(context, view, direction, rule));
                }
            }
        }
    }
    findings
}

fn useless_policy(context: &Context<'_>, view: &PolicyView<'_>, other: Option<&PolicyView<'_>>) -> Finding {
    let finding = Finding::new(&code::RF070, "this policy changes nothing")
        .because("without it everything that may pass still passes, and everything that is denied still is")
        .help("remove it, or correct what it was meant to do")
        .about(view.object())
        .at(context.place(view.name_span()));
    match other {
        Some(other) => finding.related(context.place(other.name_span()), "this policy does the same"),
        None => finding,
    }
}

fn covered_rule(context: &Context<'_>, view: &PolicyView<'_>, direction: Direction, rule: usize) -> Finding {
    Finding::new(&code::RF071, "other rules allow all that this rule allows")
        .because("without it everything that may pass still passes")
        .help("remove it, or correct what it was meant to add")
        .about(view.object())
        .at(context.place(view.rule_span(direction, rule)))
}

/// Namespaces that belong to the cluster itself.
const SYSTEM: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Namespaces in which a new pod is open to everybody.
pub(crate) fn default_deny(context: &Context<'_>) -> Vec<Finding> {
    let mut engine = context.engine.clone();
    let inhabited: Vec<&str> = context
        .inhabited()
        .filter(|n| !SYSTEM.contains(n) && context.views(context.pods_of(n)).any(|p| !p.pod.host_network))
        .collect();
    let pods = inhabited.iter().map(|n| Change::AddPod(witness::pod(n, "ringfence-new", Labels::new())));
    let added = engine.apply(pods).added;
    let mut findings = Vec::new();
    for (namespace, pod) in inhabited.into_iter().zip(added) {
        let is_open = match engine.policy_set(pod, Direction::Ingress) {
            None => true,
            // Cluster-wide policies may deny for all namespaces at once.
            Some(set) => {
                engine.isolating(pod, Direction::Ingress).is_empty()
                    && engine.port_map(set, engine.identity(End::Pod(pod))).allowed().is_all()
            }
        };
        if !is_open {
            continue;
        }
        let node = context.manifest("Namespace", "", namespace).or_else(|| {
            let first = context.pods_of(namespace).first().and_then(|p| context.pod(*p))?;
            context.workload_manifest(first.workload)
        });
        let is_held =
            context.policies.iter().any(|v| v.namespace() == namespace && v.policy.ingress.is_some());
        let reason = if is_held {
            "policies hold some of its pods, and a new one that none of them selects is open to everybody"
        } else {
            "no policy isolates its pods for ingress: everybody may reach all of them"
        };
        findings.push(
            Finding::new(&code::RF072, format!("namespace {namespace} has no default deny for ingress"))
                .because(reason)
                .level(Level::Note)
                .help("add a policy with `podSelector: {}`, `policyTypes: [Ingress]` and no rules")
                .about(format!("Namespace {namespace}"))
                .at(context.place(node.and_then(name_span))),
        );
    }
    findings
}
