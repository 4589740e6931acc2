//! For code scanning: SARIF 2.1.0.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>; what GitHub wants beyond it, such as a full
//! description of each rule: <https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support>

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use ringfence_k8s::{Level, Place, Span};
use ringfence_lint::{Code, Edit, Finding};
use serde_json::{Value, json};

use super::Report;

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
    let mut value = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "ringfence",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    if !notifications.is_empty() {
        let notifications: Vec<Value> = notifications.iter().map(|f| notification(f, index(f))).collect();
        let invocation =
            json!([{"executionSuccessful": true, "toolConfigurationNotifications": notifications}]);
        if let Some(run) = value.pointer_mut("/runs/0").and_then(Value::as_object_mut) {
            run.insert("invocations".to_owned(), invocation);
        }
    }
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

fn rule(code: &Code) -> Value {
    json!({
        "id": code.id,
        "name": code.name,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": description(code)},
        "help": {"text": code.page, "markdown": code.page},
        "defaultConfiguration": {"level": level(code.level)},
    })
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
        // The same finding in another run, wherever the lines have gone.
        "partialFingerprints": {"ringfence/v1": fingerprint(finding)},
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

fn location(place: &Place) -> Value {
    json!({"artifactLocation": {"uri": uri(&place.file)}, "region": region(place)})
}

fn region(place: &Place) -> Value {
    json!({
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    })
}

fn change(edit: &Edit, report: &Report<'_>) -> Option<Value> {
    let at = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    let place = report.sources.place(Span { file: edit.file, start: at(edit.start), end: at(edit.end) })?;
    Some(json!({
        "artifactLocation": {"uri": uri(&place.file)},
        "replacements": [{"deletedRegion": region(&place), "insertedContent": {"text": edit.text}}],
    }))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}

/// A path as a URI reference, relative to the current folder wherever it is below that: code scanning looks for it from
/// the root of a repository.
fn uri(path: &str) -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    let path = below(&folder, path).unwrap_or_else(|| path.to_owned());
    let mut uri = String::new();
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// A path as it is called from a folder, if it is below it.
fn below(folder: &Path, path: &str) -> Option<String> {
    let mut whole = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    let relative = whole.strip_prefix(folder).ok()?.to_str()?;
    (!relative.is_empty()).then(|| relative.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_called_from_the_current_folder() {
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(below(Path::new("/home/me/shop"), path).as_deref(), expect, "{path}");
        };
        check("k8s/db.yaml", Some("k8s/db.yaml"));
        check("./k8s/../k8s/db.yaml", Some("k8s/db.yaml"));
        check("/home/me/shop/k8s/db.yaml", Some("k8s/db.yaml"));
        check("../shop/db.yaml", Some("db.yaml"));
        check("../db.yaml", None);
        check("/etc/db.yaml", None);
        assert_eq!(uri("/etc/a b.yaml"), "file:///etc/a%20b.yaml");
        assert_eq!(uri("ünï/a#b%c.yaml"), "%C3%BCn%C3%AF/a%23b%25c.yaml");
    }
}
