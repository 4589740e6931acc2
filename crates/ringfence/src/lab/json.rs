//! What a trial showed, for programs.

use anyhow::Context;
use ringfence_lab::{Lab, Outcome};
use ringfence_policy::Traffic;
use serde_json::{Map, Value, json};

use crate::lab::report::{describe, event_line, place_name, target_name};
use crate::lab::rounds::{Difference, Trial};

/// One object: the pods, every probe with its outcomes, and the differences from the promise.
pub(crate) fn text(lab: &Lab, trial: &Trial, differences: &[Difference]) -> anyhow::Result<String> {
    let plan = lab.plan();
    let pods: Vec<Value> = plan
        .pods
        .iter()
        .map(|pod| {
            json!({
                "namespace": pod.namespace,
                "name": pod.name,
                "node": plan.node(pod.node).map(|n| &n.name),
                "hostNetwork": pod.host_network,
                "addresses": pod.addresses,
            })
        })
        .collect();
    let probes = trial.probes.iter().enumerate().map(|(i, probe)| {
        let mut object = Map::new();
        object.insert("from".into(), place_name(plan, probe.from).into());
        object.insert("to".into(), target_name(plan, probe.to).into());
        object.insert("address".into(), probe.to.to_string().into());
        let (protocol, port) = match probe.traffic {
            Traffic::Port(protocol, port) => (protocol.as_str(), Value::from(port)),
            Traffic::Other => ("ICMP", Value::Null),
        };
        object.insert("protocol".into(), protocol.into());
        object.insert("port".into(), port);
        for round in &trial.rounds {
            let (Some(promise), Some(outcome)) = (round.promises.get(i), round.outcomes.get(i)) else {
                continue;
            };
            let promised = match (promise.must_pass(), promise.may_pass()) {
                (true, _) => "allowed",
                (false, true) => "either",
                (false, false) => "denied",
            };
            object.insert(
                round.name.as_str().into(),
                json!({ "promised": promised, "passed": outcome.passed(), "outcome": outcome_word(outcome) }),
            );
        }
        Value::Object(object)
    });
    let value = json!({
        "version": 1,
        "nodes": plan.nodes.iter().map(|n| json!({ "name": n.name, "addresses": n.addresses })).collect::<Vec<_>>(),
        "pods": pods,
        "inForceMs": trial.change.as_ref().map(|c| c.in_force.as_secs_f64() * 1e3),
        "events": trial.told.iter().map(|t| event_line(plan, t)).collect::<Vec<_>>(),
        "probes": probes.collect::<Vec<_>>(),
        "differences": differences.iter().map(|d| describe(lab, trial, *d)).collect::<Vec<_>>(),
    });
    let mut text = serde_json::to_string_pretty(&value).context("the answer cannot be written as JSON")?;
    text.push('\n');
    Ok(text)
}

/// What came of a probe.
pub(crate) fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered(_) | Outcome::Echoed => "answered",
        Outcome::Refused => "refused",
        Outcome::Arrived(_) => "arrived",
        Outcome::Unreachable => "unreachable",
        Outcome::Silent => "dropped",
        Outcome::Failed(_) => "failed",
    }
}
