//! What `lab --verify` measured, for people and for programs.

use std::fmt::Write;

use anyhow::Context;
use ringfence_lab::{Lab, Outcome, Probe};
use ringfence_policy::Traffic;
use serde_json::{Value, json};

use crate::lab::assertions::{Measured, Wanted};
use crate::lab::json::outcome_word;
use crate::lab::report::{inventory_line, outcome_name, place_name, target_name, traffic_name};
use crate::lab::rounds::Round;
use crate::terminal::Palette;

/// The most violations of one assertion that are shown one by one.
const MOST: usize = 5;

/// Said of an assertion about pods that could be created.
const NOT_THERE: &str = "pods that could be created are not in the lab";

/// Said once, where not all ports were asked.
const SAMPLED: &str =
    "ports sampled: of a range of more than 16 its ends, what something listens on, and the bounds of rules";

/// A line for each assertion, and what was not as asserted.
pub(super) fn text(
    lab: &Lab,
    probes: &[Probe],
    round: &Round,
    measured: &[Measured<'_>],
    palette: Palette,
) -> String {
    let mut text = format!("{}\n\n", inventory_line(lab.plan()));
    let (mut hold, mut not_measured) = (0, 0);
    for one in measured {
        let (name, source) = (&one.assertion.name, one.assertion.source());
        let wrong: Vec<&Wanted> = one.wrong(round).collect();
        if one.wanted.is_empty() {
            not_measured += 1;
            let why = if one.assertion.is_of_new_pods() { NOT_THERE } else { "nothing in the lab is meant" };
            let _ = writeln!(text, "{}: {name} ({source})\n  {why}", palette.accent("not measurable"));
            continue;
        }
        let count = one.wanted.len();
        let sampled = if one.sampled { ", ports sampled" } else { "" };
        if wrong.is_empty() {
            hold += 1;
            let connections = several(count, "connection");
            let _ = writeln!(text, "{}: {name} ({connections}{sampled})", palette.allowed("holds"));
        } else {
            let of = format!("{} of {}", wrong.len(), several(count, "connection"));
            let _ = writeln!(text, "{}: {name} ({source}; {of}{sampled})", palette.denied("violated"));
        }
        for wanted in wrong.iter().take(MOST) {
            let _ = writeln!(text, "  {}", connection(lab, probes, round, wanted));
        }
        if wrong.len() > MOST {
            let _ = writeln!(text, "  ... and {} more (-o json has all)", wrong.len() - MOST);
        }
        if one.assertion.is_of_new_pods() {
            let _ = writeln!(text, "  of the pods that are here; {NOT_THERE}");
        }
    }
    if measured.iter().any(|one| one.sampled) {
        let _ = writeln!(text, "\n{SAMPLED}");
    }
    let _ = write!(text, "\n{hold} of {} assertions hold", measured.len());
    if not_measured > 0 {
        let _ = write!(text, ", {not_measured} cannot be measured");
    }
    let broken = round.broken(lab).count();
    let _ = writeln!(text, "; {} in {:.1} s", several(probes.len(), "probe"), round.took.as_secs_f64());
    if broken > 0 {
        let line = format!("{broken} of {} measurements are NOT as the engine promised", probes.len());
        let _ = writeln!(text, "{}", palette.denied(&line));
    } else {
        let _ = writeln!(text, "all {} measurements are as the engine promised", probes.len());
    }
    text
}

/// With stable keys.
pub(super) fn json(
    lab: &Lab,
    probes: &[Probe],
    round: &Round,
    measured: &[Measured<'_>],
) -> anyhow::Result<String> {
    let connection = |wanted: &Wanted| {
        let probe = wanted.probes.first().and_then(|i| probes.get(*i))?;
        let outcomes = wanted.probes.iter().filter_map(|i| round.outcomes.get(*i)).map(outcome_word);
        let (protocol, port) = match probe.traffic {
            Traffic::Port(protocol, port) => (protocol.as_str(), Value::from(port)),
            Traffic::Other => ("ICMP", Value::Null),
        };
        Some(json!({
            "from": place_name(lab.plan(), probe.from),
            "to": target_name(lab.plan(), probe.to),
            "protocol": protocol,
            "port": port,
            "asserted": if wanted.must_pass { "allowed" } else { "denied" },
            "measured": outcomes.collect::<Vec<_>>(),
        }))
    };
    let one = |one: &Measured<'_>| {
        let violations: Vec<Value> = one.wrong(round).filter_map(connection).collect();
        let result = match (one.wanted.is_empty(), violations.is_empty()) {
            (true, _) => "not measurable",
            (false, true) => "holds",
            (false, false) => "violated",
        };
        json!({
            "name": one.assertion.name,
            "source": one.assertion.source(),
            "result": result,
            "connections": one.wanted.len(),
            "sampled": one.sampled,
            "newPods": one.assertion.is_of_new_pods(),
            "violations": violations,
        })
    };
    let value = json!({
        "version": 1,
        "assertions": measured.iter().map(one).collect::<Vec<_>>(),
        "probes": probes.len(),
        "notAsPromised": round.broken(lab).count(),
    });
    let mut text = serde_json::to_string_pretty(&value).context("the answer cannot be written as JSON")?;
    text.push('\n');
    Ok(text)
}

/// One connection that is not as asserted.
fn connection(lab: &Lab, probes: &[Probe], round: &Round, wanted: &Wanted) -> String {
    let plan = lab.plan();
    let Some(probe) = wanted.probes.first().and_then(|i| probes.get(*i)) else { return String::new() };
    let outcomes: Vec<&Outcome> = wanted.probes.iter().filter_map(|i| round.outcomes.get(*i)).collect();
    let telling = outcomes.iter().find(|o| o.passed() != wanted.must_pass).or(outcomes.first());
    format!(
        "{} {} connect to {} on {}: {}",
        place_name(plan, probe.from),
        if wanted.must_pass { "must" } else { "must not" },
        target_name(plan, probe.to),
        traffic_name(probe.traffic),
        telling.map(|o| outcome_name(o)).unwrap_or_default()
    )
}

fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
