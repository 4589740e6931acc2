//! SARIF 2.1.0, for code scanning: the parts that every command's answer is made of.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>; what GitHub wants beyond it, such as a full
//! description of each rule: <https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support>

use std::path::{Component, Path, PathBuf};

use ringfence_k8s::{Level, Place};
use serde_json::{Value, json};

/// The whole answer: one run, with the rules that its results refer to by their index, and what is said of how the command
/// was called.
pub(crate) fn document(rules: Vec<Value>, results: Vec<Value>, notifications: Vec<Value>) -> String {
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

/// A rule, with what it is about, and the page that explains it.
pub(crate) fn rule(id: &str, name: &str, [title, about]: [&str; 2], page: &str, usual: Level) -> Value {
    json!({
        "id": id,
        "name": name,
        "shortDescription": {"text": title},
        "fullDescription": {"text": about},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": level(usual)},
    })
}

/// By what the same result is known in another run, wherever the lines have gone.
pub(crate) fn fingerprints(text: &str) -> Value {
    json!({"ringfence/v1": text})
}

/// A place in a file.
pub(crate) fn location(place: &Place) -> Value {
    json!({"artifactLocation": {"uri": uri(&place.file)}, "region": region(place)})
}

/// The lines and columns of a place.
pub(crate) fn region(place: &Place) -> Value {
    json!({
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    })
}

/// A level as SARIF calls it.
pub(crate) fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}

/// A path as a URI reference, relative to the current folder wherever it is below that: code scanning looks for it from
/// the root of a repository.
pub(crate) fn uri(path: &str) -> String {
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
