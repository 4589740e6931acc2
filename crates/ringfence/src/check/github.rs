//! Annotations of a GitHub workflow.
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::fmt::Write;

use ringfence_k8s::Level;

use super::Report;

pub(super) fn render(report: &Report<'_>) -> String {
    let mut text = String::new();
    for finding in report.findings {
        let command = match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "notice",
        };
        let mut properties = Vec::new();
        if let Some(place) = &finding.place {
            properties.push(format!("file={}", property(&place.file)));
            properties.push(format!("line={}", place.line));
            if place.end_line == place.line {
                properties.push(format!("col={},endColumn={}", place.column, place.end_column));
            } else {
                properties.push(format!("endLine={}", place.end_line));
            }
        }
        properties.push(format!("title={}", property(&format!("{} {}", finding.code.id, finding.code.name))));
        let mut lines = vec![finding.message.as_str()];
        lines.extend(Some(finding.reason.as_str()).filter(|r| !r.is_empty()));
        let help = finding.help.as_ref().map(|h| format!("help: {h}"));
        lines.extend(help.as_deref());
        let _ = writeln!(text, "::{command} {}::{}", properties.join(","), escaped(&lines.join("\n")));
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}
