//! For the comment on a pull request: a table, and what was suppressed.

use std::fmt::Write;

use ringfence_lint::Finding;

use super::Report;

pub(super) fn render(report: &Report<'_>) -> String {
    let mut text = format!("### ringfence check: {}\n", report.summary());
    if !report.findings.is_empty() {
        text.push_str("\n| level | code | where | what | fix |\n|---|---|---|---|---|\n");
    }
    for finding in report.findings {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            finding.level,
            finding.code.id,
            place(finding),
            cell(&finding.message),
            cell(finding.help.as_deref().unwrap_or_default()),
        );
    }
    if !report.accepted.is_empty() {
        text.push_str("\nSuppressed:\n\n");
        for (finding, reason) in report.accepted {
            let _ = writeln!(text, "- {} {}: {}", finding.code.id, place(finding), cell(reason));
        }
    }
    text
}

fn place(finding: &Finding) -> String {
    match (&finding.place, &finding.object) {
        (Some(place), _) => format!("`{}:{}`", place.file, place.line),
        (None, Some(object)) => cell(object),
        (None, None) => String::new(),
    }
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('\n', " ");
    // Code keeps its angle brackets; elsewhere they would be HTML.
    let parts = text.split('`').enumerate();
    let parts: Vec<String> =
        parts.map(|(i, part)| if i % 2 == 0 { part.replace('<', "&lt;") } else { part.to_owned() }).collect();
    parts.join("`")
}
