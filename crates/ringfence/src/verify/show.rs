//! What became of the assertions: for people, for programs and for CI.

use std::fmt::Write;

use serde_json::{Value, json};

use super::check::{Outcome, Violation};
use crate::escape::xml as escaped;
use crate::terminal::Palette;

/// A line for each assertion, and the reasons of a violation below it.
pub(super) fn text(outcomes: &[Outcome<'_>], palette: Palette) -> String {
    let mut text = String::new();
    for Outcome { assertion, violation } in outcomes {
        let Some(violation) = violation else {
            let _ = writeln!(text, "{}: {}", palette.allowed("holds"), assertion.name);
            continue;
        };
        let _ = writeln!(text, "{}: {} ({})", palette.denied("violated"), assertion.name, assertion.place);
        let _ = writeln!(text, "{}", details(violation));
    }
    let violated = outcomes.iter().filter(|outcome| outcome.violation.is_some()).count();
    let _ = writeln!(text, "\n{} of {} assertions hold", outcomes.len() - violated, outcomes.len());
    text
}

fn details(violation: &Violation) -> String {
    let mut text = format!("  {}", violation.message);
    for (direction, reason) in &violation.reasons {
        let _ = write!(text, "\n  {}: {reason}", direction.as_str());
    }
    text
}

/// With stable keys.
pub(super) fn json(outcomes: &[Outcome<'_>]) -> String {
    let one = |Outcome { assertion, violation }: &Outcome<'_>| {
        let mut value = json!({
            "name": assertion.name,
            "source": assertion.place,
            "holds": violation.is_none(),
        });
        if let (Some(violation), Value::Object(fields)) = (violation, &mut value) {
            fields.insert("message".to_owned(), json!(violation.message));
            for (direction, reason) in &violation.reasons {
                fields.insert(direction.as_str().to_owned(), json!(reason));
            }
        }
        value
    };
    let assertions: Vec<Value> = outcomes.iter().map(one).collect();
    format!("{:#}\n", json!({"version": 1, "assertions": assertions}))
}

/// As CI systems show it.
pub(super) fn junit(name: &str, outcomes: &[Outcome<'_>]) -> String {
    let violated = outcomes.iter().filter(|outcome| outcome.violation.is_some()).count();
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let (name, count) = (escaped(name), outcomes.len());
    let _ = writeln!(text, "<testsuite name=\"{name}\" tests=\"{count}\" failures=\"{violated}\">");
    for Outcome { assertion, violation } in outcomes {
        let case = format!("  <testcase classname=\"{name}\" name=\"{}\"", escaped(&assertion.name));
        let _ = match violation {
            None => writeln!(text, "{case}/>"),
            Some(violation) => writeln!(
                text,
                "{case}>\n    <failure message=\"{}\">{}</failure>\n  </testcase>",
                escaped(&violation.message),
                escaped(&details(violation))
            ),
        };
    }
    text.push_str("</testsuite>\n");
    text
}
