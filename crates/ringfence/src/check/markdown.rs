//! For the comment on a pull request: a table, and what was suppressed.

use std::fmt::Write;

use ringfence_lint::Finding;

use super::Report;
use crate::escape::{markdown, markdown_code, markdown_prose};

pub(super) fn render(report: &Report<'_>) -> String {
    let mut text = format!("### ringfence check: {}\n", report.summary());
    if !report.findings.is_empty() {
        text.push_str("\n| level | code | where | what | why | fix |\n|---|---|---|---|---|---|\n");
    }
    for finding in report.findings {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            finding.level,
            finding.code.id,
            place(finding),
            markdown_prose(&finding.message),
            markdown_prose(&finding.reason),
            markdown_prose(finding.help.as_deref().unwrap_or_default()),
        );
    }
    if !report.accepted.is_empty() {
        text.push_str("\nSuppressed:\n\n");
        for (finding, reason) in report.accepted {
            let _ = writeln!(text, "- {} {}: {}", finding.code.id, place(finding), markdown(reason));
        }
    }
    text
}

fn place(finding: &Finding) -> String {
    match (&finding.place, &finding.object) {
        (Some(place), _) => markdown_code(&place.to_string()),
        (None, Some(object)) => markdown(object),
        (None, None) => String::new(),
    }
}
