//! Violated assertions for code scanning, each at its place in the file of assertions.

use ringfence_k8s::Level;
use serde_json::{Value, json};

use super::check::Outcome;
use super::read::Kind;
use super::show;
use crate::sarif;

/// The page on assertions.
const PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/verify.md");

pub(super) fn render(outcomes: &[Outcome<'_>]) -> String {
    let kinds = [Kind::Allow, Kind::Deny, Kind::Only];
    let rule = |kind: &Kind| {
        let name = format!("assertion-{}", kind.as_str());
        sarif::rule(&name, &name, [title(*kind); 2], PAGE, Level::Error)
    };
    let result = |outcome: &Outcome<'_>| {
        let assertion = outcome.assertion;
        let details = show::details(&outcome.verdict)?;
        let lines: Vec<&str> = details.lines().map(str::trim).collect();
        let index = kinds.iter().position(|kind| *kind == assertion.kind);
        let place = assertion.place.iter().map(|p| json!({"physicalLocation": sarif::location(p)}));
        Some(json!({
            "ruleId": format!("assertion-{}", assertion.kind.as_str()),
            "ruleIndex": index,
            "level": sarif::level(Level::Error),
            "message": {"text": format!("{}\n\n{}", assertion.name, lines.join("\n"))},
            "locations": place.collect::<Vec<_>>(),
            "partialFingerprints": sarif::fingerprints(&assertion.name),
        }))
    };
    let results: Vec<Value> = outcomes.iter().filter_map(result).collect();
    sarif::document(kinds.iter().map(rule).collect(), results, Vec::new())
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Allow => "What must be allowed is denied",
        Kind::Deny => "What must be denied is allowed",
        Kind::Only => "What only some may do is denied to them, or allowed to others",
    }
}
