//! For programs; `version` 1.

use ringfence_k8s::{Level, Place};
use ringfence_lint::Finding;
use serde_json::{Value, json};

use super::Report;

pub(super) fn render(report: &Report<'_>) -> String {
    let findings: Vec<Value> = report.findings.iter().map(|f| finding(f, report)).collect();
    let suppressed = report.accepted.iter().map(|(accepted, reason)| {
        let mut value = finding(accepted, report);
        value.as_object_mut().map(|o| o.insert("suppressedBecause".to_owned(), json!(reason)));
        value
    });
    let value = json!({
        "version": 1,
        "findings": findings,
        "suppressed": suppressed.collect::<Vec<_>>(),
        "summary": {
            "errors": report.count(Level::Error),
            "warnings": report.count(Level::Warning),
            "notes": report.count(Level::Note),
            "suppressed": report.accepted.len(),
        },
    });
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

fn finding(finding: &Finding, report: &Report<'_>) -> Value {
    let related = finding.related.iter().map(|(at, what)| json!({"message": what, "place": place(at)}));
    let edits = finding.edits.iter().map(|e| {
        let file = report.sources.file(e.file).map(|f| f.name.to_string());
        json!({"file": file, "startByte": e.start, "endByte": e.end, "text": e.text})
    });
    json!({
        "code": finding.code.id,
        "name": finding.code.name,
        "level": finding.level.to_string(),
        "message": finding.message,
        "reason": Some(&finding.reason).filter(|r| !r.is_empty()),
        "help": finding.help,
        "object": finding.object,
        "place": finding.place.as_ref().map(place),
        "related": related.collect::<Vec<_>>(),
        "edits": edits.collect::<Vec<_>>(),
    })
}

fn place(place: &Place) -> Value {
    json!({
        "file": &*place.file,
        "line": place.line,
        "column": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    })
}
