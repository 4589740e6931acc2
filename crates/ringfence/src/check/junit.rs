//! For CI that shows test results: a case for each finding, failed where the command fails for it.

use std::fmt::Write;

use super::Report;
use crate::escape::xml as escaped;

pub(super) fn render(report: &Report<'_>) -> String {
    let failures = report.findings.iter().filter(|f| report.fail_on.fails(f.level)).count();
    let tests = report.findings.len().max(1);
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\"");
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"ringfence check\" {counts}>");
    let _ = writeln!(text, "  <testsuite name=\"ringfence check\" {counts}>");
    if report.findings.is_empty() {
        let _ = writeln!(text, "    <testcase classname=\"ringfence.check\" name=\"no findings\"/>");
    }
    for finding in report.findings {
        let (file, line) = match &finding.place {
            Some(place) => (place.file.to_string(), place.line),
            None => (String::new(), 0),
        };
        let class = finding.object.as_deref().unwrap_or("ringfence.check");
        let name = format!("{} {}", finding.code.id, finding.message);
        let _ = write!(text, "    <testcase classname=\"{}\" name=\"{}\"", escaped(class), escaped(&name));
        if !file.is_empty() {
            let _ = write!(text, " file=\"{}\" line=\"{line}\"", escaped(&file));
        }
        let mut body = match &finding.place {
            Some(place) => format!("{place}: {}\n", finding.message),
            None => format!("{}\n", finding.message),
        };
        if !finding.reason.is_empty() {
            let _ = writeln!(body, "{}", finding.reason);
        }
        if let Some(help) = &finding.help {
            let _ = writeln!(body, "help: {help}");
        }
        let (message, body) = (escaped(&finding.message), escaped(&body));
        if report.fail_on.fails(finding.level) {
            let kind = finding.level;
            let _ =
                writeln!(text, "><failure type=\"{kind}\" message=\"{message}\">{body}</failure></testcase>");
        } else {
            let _ = writeln!(text, "><system-out>{body}</system-out></testcase>");
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}
