//! Findings for code scanning, with what mends them and what was accepted.

use std::collections::BTreeMap;

use ringfence_k8s::Span;
use ringfence_lint::{Code, Edit, Finding};
use serde_json::{Value, json};

use super::Report;
use crate::sarif::{document, level, location, region, rule, uri};

pub(super) fn render(report: &Report<'_>) -> String {
    let all = || report.findings.iter().chain(report.accepted.iter().map(|(f, _)| f));
    let used: BTreeMap<&str, &Code> = all().map(|f| (f.code.id, f.code)).collect();
    let rules: Vec<Value> = used.values().map(|c| rule(c.id, c.name, c.title, c.page, c.level)).collect();
    let index = |f: &Finding| used.keys().position(|id| *id == f.code.id);
    let mut results: Vec<Value> = report.findings.iter().map(|f| result(f, index(f), report)).collect();
    for (finding, reason) in report.accepted {
        let mut value = result(finding, index(finding), report);
        let suppression = json!([{"kind": "external", "justification": reason}]);
        value.as_object_mut().map(|o| o.insert("suppressions".to_owned(), suppression));
        results.push(value);
    }
    document(rules, results)
}

fn result(finding: &Finding, index: Option<usize>, report: &Report<'_>) -> Value {
    let mut text = finding.message.clone();
    for more in [Some(&finding.reason).filter(|r| !r.is_empty()), finding.help.as_ref()].into_iter().flatten()
    {
        text.push_str("\n\n");
        text.push_str(more);
    }
    let mut value = json!({
        "ruleId": finding.code.id,
        "ruleIndex": index,
        "level": level(finding.level),
        "message": {"text": text},
        "locations": finding.place.iter().map(|p| json!({"physicalLocation": location(p)})).collect::<Vec<_>>(),
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

fn change(edit: &Edit, report: &Report<'_>) -> Option<Value> {
    let at = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    let place = report.sources.place(Span { file: edit.file, start: at(edit.start), end: at(edit.end) })?;
    Some(json!({
        "artifactLocation": {"uri": uri(&place.file)},
        "replacements": [{"deletedRegion": region(&place), "insertedContent": {"text": edit.text}}],
    }))
}
