//! What the reader reports, under the codes of `check`.

use ringfence_k8s::Level;

use crate::code::{self, Code};
use crate::finding::Finding;

/// A finding of the reader with its code. Its level stays what the reader says.
pub(crate) fn coded(finding: &ringfence_k8s::Finding) -> Finding {
    let ringfence_k8s::Finding { code, level, message, object, place, help, related } = finding.clone();
    let code = match code_of(code) {
        code if level == Level::Error && code.level != Level::Error => &code::RF100,
        code => code,
    };
    Finding { code, level, message, reason: String::new(), object, place, help, related, edits: Vec::new() }
}

fn code_of(code: &str) -> &'static Code {
    match code {
        "duplicate-name" => &code::RF090,
        "rules-without-effect" => &code::RF091,
        "no-pod-selector" => &code::RF092,
        "empty-item" => &code::RF093,
        "host-bits" => &code::RF094,
        "old-api" => &code::RF095,
        "foreign-policy" => &code::RF096,
        "namespace-ignored"
        | "namespace-name-label"
        | "pod-template-hash"
        | "job-name"
        | "null-value"
        | "odd-line-break"
        | "invalid-name"
        | "invalid-replicas" => &code::RF097,
        "fails-closed" => &code::RF080,
        "equal-priority" => &code::RF081,
        "unknown-field" => &code::RF101,
        "missing-field" => &code::RF102,
        "invalid-selector" | "invalid-label" => &code::RF103,
        "invalid-port" => &code::RF104,
        "invalid-protocol" => &code::RF105,
        "invalid-cidr" | "invalid-except" | "invalid-address" => &code::RF106,
        "mixed-peer" | "empty-peer" => &code::RF107,
        "invalid-policy-type" => &code::RF108,
        _ => &code::RF100,
    }
}
