//! A line for each finding: `file:line:column: warning[RF010]: message`.

use std::fmt::Write;

use ringfence_k8s::Level;
use ringfence_lint::Finding;

use super::Report;
use crate::terminal::Palette;

pub(super) fn render(report: &Report<'_>, palette: Palette) -> String {
    let mut text = String::new();
    for finding in report.findings {
        let level = format!("{}[{}]", finding.level, finding.code.id);
        let level = match finding.level {
            Level::Error | Level::Warning => palette.denied(&level),
            Level::Note => palette.dim(&level),
        };
        let _ = writeln!(text, "{}: {level}: {}", place(finding), finding.message);
    }
    let _ = writeln!(text, "{}", report.summary());
    text
}

/// Where a finding is: the place in the text, or else the object.
fn place(finding: &Finding) -> String {
    match (&finding.place, &finding.object) {
        (Some(place), _) => place.to_string(),
        (None, Some(object)) => object.clone(),
        (None, None) => "ringfence".to_owned(),
    }
}
