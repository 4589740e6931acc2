//! What became of the assertions: for people, for programs and for CI.

use std::fmt::Write;

use ringfence_policy::Traffic;
use serde_json::{Value, json};

use super::check::{Example, Outcome, Verdict, Violation};
use crate::escape::xml as escaped;
use crate::terminal::Palette;

/// What is left out of an assertion, where anything is.
const LEFT_OUT: &str = "a node's way to its own pods, which no policy can close, is left out";

/// A line for each assertion, and the reasons of a violation below it.
pub(super) fn text(outcomes: &[Outcome<'_>], palette: Palette) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let Outcome { assertion, verdict, left_out } = outcome;
        let place = || assertion.source();
        let _ = match verdict {
            Verdict::Holds => writeln!(text, "{}: {}", palette.allowed("holds"), assertion.name),
            Verdict::Violated(_) => {
                writeln!(text, "{}: {} ({})", palette.denied("violated"), assertion.name, place())
            }
            Verdict::NotProven(_) => {
                writeln!(text, "{}: {} ({})", palette.denied("not proven"), assertion.name, place())
            }
        };
        if let Some(details) = details(verdict) {
            let _ = writeln!(text, "{details}");
        }
        if *left_out {
            let _ = writeln!(text, "  {LEFT_OUT}");
        }
    }
    let hold = outcomes.iter().filter(|outcome| outcome.holds()).count();
    let _ = writeln!(text, "\n{hold} of {} assertions hold", outcomes.len());
    text
}

/// Why an assertion does not hold, a line for each thing to know.
pub(super) fn details(verdict: &Verdict) -> Option<String> {
    let Violation { message, example } = match verdict {
        Verdict::Holds => return None,
        Verdict::NotProven(why) => return Some(format!("  {why}")),
        Verdict::Violated(violation) => violation,
    };
    let mut text = format!("  {message}");
    for (direction, reason) in example.iter().flat_map(|example| &example.reasons) {
        let _ = write!(text, "\n  {}: {reason}", direction.as_str());
    }
    Some(text)
}

/// With stable keys.
pub(super) fn json(outcomes: &[Outcome<'_>]) -> String {
    let one = |Outcome { assertion, verdict, left_out }: &Outcome<'_>| {
        let result = match verdict {
            Verdict::Holds => "holds",
            Verdict::Violated(_) => "violated",
            Verdict::NotProven(_) => "not proven",
        };
        let mut value = json!({
            "name": assertion.name,
            "source": assertion.source(),
            "holds": matches!(verdict, Verdict::Holds),
            "result": result,
            "remarks": left_out.then_some(LEFT_OUT).into_iter().collect::<Vec<_>>(),
        });
        let Value::Object(fields) = &mut value else { return value };
        match verdict {
            Verdict::Holds => {}
            Verdict::NotProven(why) => drop(fields.insert("message".to_owned(), json!(why))),
            Verdict::Violated(Violation { message, example }) => {
                fields.insert("message".to_owned(), json!(message));
                let Some(Example { from, to, traffic, reasons }) = example else { return value };
                fields.insert("from".to_owned(), from.json());
                fields.insert("to".to_owned(), to.json());
                if let Traffic::Port(protocol, port) = traffic {
                    fields.insert("protocol".to_owned(), json!(protocol.as_str()));
                    fields.insert("port".to_owned(), json!(port));
                }
                for (direction, reason) in reasons {
                    fields.insert(direction.as_str().to_owned(), json!(reason));
                }
            }
        }
        value
    };
    let assertions: Vec<Value> = outcomes.iter().map(one).collect();
    format!("{:#}\n", json!({"version": 1, "assertions": assertions}))
}

/// As CI systems show it.
pub(super) fn junit(name: &str, outcomes: &[Outcome<'_>]) -> String {
    let violated = outcomes.iter().filter(|o| matches!(o.verdict, Verdict::Violated(_))).count();
    let not_proven = outcomes.iter().filter(|o| matches!(o.verdict, Verdict::NotProven(_))).count();
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let (name, count) = (escaped(name), outcomes.len());
    let counts = format!("tests=\"{count}\" failures=\"{violated}\" errors=\"{not_proven}\"");
    let _ = writeln!(text, "<testsuite name=\"{name}\" {counts}>");
    for Outcome { assertion, verdict, .. } in outcomes {
        let case = format!("  <testcase classname=\"{name}\" name=\"{}\"", escaped(&assertion.name));
        let (element, message) = match verdict {
            Verdict::Holds => {
                let _ = writeln!(text, "{case}/>");
                continue;
            }
            Verdict::Violated(violation) => ("failure", &violation.message),
            Verdict::NotProven(why) => ("error", why),
        };
        let _ = writeln!(
            text,
            "{case}>\n    <{element} message=\"{}\">{}</{element}>\n  </testcase>",
            escaped(message),
            escaped(&details(verdict).unwrap_or_default())
        );
    }
    text.push_str("</testsuite>\n");
    text
}
