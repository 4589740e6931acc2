//! Findings for code scanning, with what mends them and what was accepted.

use std::collections::BTreeMap;

use ringfence_k8s::Span;
use ringfence_lint::{Code, Edit, Finding};
use serde_json::{Value, json};

use super::Report;
use crate::sarif::{self, level, location, region, uri};

pub(super) fn render(report: &Report<'_>) -> String {
    let all = || report.findings.iter().chain(report.accepted.iter().map(|(f, _)| f));
    let used: BTreeMap<&str, &Code> = all().map(|f| (f.code.id, f.code)).collect();
    let rules: Vec<Value> = used.values().map(|code| rule(code)).collect();
    let index = |f: &Finding| used.keys().position(|id| *id == f.code.id);
    // What is about nothing in the input is about how the tool was called; code scanning refuses a result without a place.
    let (notifications, findings): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|f| f.place.is_none() && f.object.is_none());
    let mut results: Vec<Value> = findings.iter().map(|f| result(f, index(f), report)).collect();
    for (finding, reason) in report.accepted {
        let mut value = result(finding, index(finding), report);
        let suppression = json!([{"kind": "external", "justification": reason}]);
        value.as_object_mut().map(|o| o.insert("suppressions".to_owned(), suppression));
        results.push(value);
    }
    let notifications = notifications.iter().map(|f| notification(f, index(f))).collect();
    sarif::document(rules, results, notifications)
}

fn rule(code: &Code) -> Value {
    sarif::rule(code.id, code.name, [code.title, description(code)], code.page, code.level)
}

/// The paragraph of a code's page that says why it matters.
fn description(code: &Code) -> &str {
    let why = code.page.split("## Why it matters").nth(1).unwrap_or_default();
    why.trim_start().split("\n\n").next().filter(|text| !text.is_empty()).unwrap_or(code.title)
}

fn notification(finding: &Finding, index: Option<usize>) -> Value {
    json!({
        "descriptor": {"id": finding.code.id, "index": index},
        "level": level(finding.level),
        "message": {"text": message(finding)},
    })
}

fn message(finding: &Finding) -> String {
    let mut text = finding.message.clone();
    for more in [Some(&finding.reason).filter(|r| !r.is_empty()), finding.help.as_ref()].into_iter().flatten()
    {
        text.push_str("\n\n");
        text.push_str(more);
    }
    text
}

fn result(finding: &Finding, index: Option<usize>, report: &Report<'_>) -> Value {
    let mut value = json!({
        "ruleId": finding.code.id,
        "ruleIndex": index,
        "level": level(finding.level),
        "message": {"text": message(finding)},
        "locations": locations(finding),
        "partialFingerprints": sarif::fingerprints(&fingerprint(finding)),
    });
    let Some(object) = value.as_object_mut() else { return value };
    if !finding.related.is_empty() {
        let related = finding
            .related
            .iter()
            .map(|(place, what)| json!({"physicalLocation": location(place), "message": {"text": what}}));
        object.insert("relatedLocations".to_owned(), related.collect());
    }
    if !finding.edits.is_empty() {
        let changes = finding.edits.iter().filter_map(|e| change(e, report)).collect::<Vec<_>>();
        let description = finding.help.as_deref().unwrap_or(&finding.message);
        let fixes = json!([{"description": {"text": description}, "artifactChanges": changes}]);
        object.insert("fixes".to_owned(), fixes);
    }
    value
}

/// Where it is; the object, where no text says it.
fn locations(finding: &Finding) -> Value {
    match (&finding.place, &finding.object) {
        (Some(place), _) => json!([{"physicalLocation": location(place)}]),
        (None, Some(object)) => {
            json!([{"logicalLocations": [{"fullyQualifiedName": object, "kind": "resource"}]}])
        }
        (None, None) => json!([]),
    }
}

fn fingerprint(finding: &Finding) -> String {
    format!("{}:{}:{}", finding.code.id, finding.object.as_deref().unwrap_or_default(), finding.message)
}

fn change(edit: &Edit, report: &Report<'_>) -> Option<Value> {
    let at = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    let place = report.sources.place(Span { file: edit.file, start: at(edit.start), end: at(edit.end) })?;
    Some(json!({
        "artifactLocation": {"uri": uri(&place.file)},
        "replacements": [{"deletedRegion": region(&place), "insertedContent": {"text": edit.text}}],
    }))
}
