//! The answer for programs.

use ringfence_policy::{Direction, Engine, NearMiss, PolicyKey, Tier, Traffic};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Answers, Side, Why};
use super::fix;
use super::question::{Case, Question};
use super::repair::{Patch, Repair};
use crate::because::{rule_fields, rule_json};
use crate::ports::PortList;

/// The answer as JSON, with a line end.
///
/// Where a question has several cases, what is at the top is of the one that decides, and `cases` has all.
pub(super) fn render(
    question: &Question<'_>,
    answers: &Answers<'_>,
    repair: Option<&Repair>,
    notes: &[String],
) -> String {
    let engine = question.engine();
    let mut top = Map::new();
    top.insert("version".to_owned(), json!(1));
    if let Some(deciding) = answers.deciding() {
        let mut answer = answer_json(engine, deciding);
        top.append(&mut answer);
        top.insert("verdict".to_owned(), verdict(answers.allowed()));
        if let Some(service) = question.service {
            top.insert("service".to_owned(), json!({"namespace": service.namespace, "name": service.name}));
        }
        if !answers.is_uniform() {
            let cases: Vec<Value> = answers.all().map(|a| Value::Object(answer_json(engine, a))).collect();
            top.insert("cases".to_owned(), Value::Array(cases));
        }
    }
    if let Some(repair) = repair {
        let patches: Vec<Value> = repair.patches.iter().map(patch_json).collect();
        top.insert("change".to_owned(), json!({"verified": true, "patches": patches}));
    }
    if !notes.is_empty() {
        top.insert("notes".to_owned(), json!(notes));
    }
    format!("{:#}\n", Value::Object(top))
}

fn patch_json(patch: &Patch) -> Value {
    let mut value = match &patch.policy {
        PolicyKey::Network(name) => {
            json!({"kind": "NetworkPolicy", "namespace": name.namespace, "name": name.name})
        }
        PolicyKey::Cluster(name) => json!({"kind": name.kind.as_str(), "name": name.name}),
    };
    extend(&mut value, patch.source.as_ref().map(|s| ("source".to_owned(), json!(s.to_string()))));
    extend(&mut value, [("patch".to_owned(), json!(patch.operations))]);
    value
}

fn answer_json(engine: &Engine, answer: &Answer<'_>) -> Map<String, Value> {
    let case = &answer.case;
    let (protocol, port) = match case.traffic {
        Some(Traffic::Port(protocol, port)) => (json!(protocol.as_str()), json!(port)),
        Some(Traffic::Other) => (json!("ICMP"), Value::Null),
        None => (Value::Null, Value::Null),
    };
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("verdict", verdict(answer.allowed));
    put("from", case.from.reference.to_json());
    put("to", case.to.reference.to_json());
    put("protocol", protocol);
    put("port", port);
    if let Some(via) = case.service_port {
        put("servicePort", json!({"name": via.name, "protocol": via.protocol.as_str(), "port": via.port}));
    }
    if let Some(ports) = &answer.ports {
        put("allowed", PortList::from(ports).to_json());
    }
    put("egress", side_json(engine, &answer.egress, case, Direction::Egress));
    put("ingress", side_json(engine, &answer.ingress, case, Direction::Ingress));
    fields
}

fn side_json(engine: &Engine, side: &Side, case: &Case<'_>, direction: Direction) -> Value {
    let isolating = side.isolated_by.iter().filter_map(|p| engine.policy(*p));
    let names: Vec<String> = isolating.map(|p| p.key().to_string()).collect();
    let by_default = |reason: &str| json!({"tier": "default", "reason": reason});
    let mut because = match &side.why {
        Why::Itself => by_default("itself"),
        Why::OwnNode => by_default("ownNode"),
        Why::NoSubject => by_default("noSubject"),
        Why::NotIsolated => json!({"tier": "default"}),
        Why::NoRule => json!({"tier": Tier::NetworkPolicy.as_str()}),
        Why::Rule(rule) => rule_json(engine, *rule),
        Why::Shares(shares, rest) => {
            let first = shares.first().map(|share| rule_json(engine, share.rule));
            let mut because = first.unwrap_or_else(|| json!({"tier": "default"}));
            let all: Vec<Value> = shares
                .iter()
                .map(|share| {
                    let mut value = rule_json(engine, share.rule);
                    let key = if share.allows { "allowed" } else { "denied" };
                    extend(&mut value, [(key.to_owned(), share.ports.to_json())]);
                    value
                })
                .collect();
            extend(&mut because, [("rules".to_owned(), Value::Array(all))]);
            if let Some(rest) = rest {
                let (tier, key) = match side.isolated_by.is_empty() {
                    true => (Tier::Default, "allowed"),
                    false => (Tier::NetworkPolicy, "denied"),
                };
                let rest = json!({"tier": tier.as_str(), key: rest.to_json()});
                extend(&mut because, [("rest".to_owned(), rest)]);
            }
            because
        }
    };
    if !names.is_empty() {
        extend(&mut because, [("isolatedBy".to_owned(), json!(names))]);
    }
    if !side.passed.is_empty() {
        let passed: Vec<Value> = side.passed.iter().map(|rule| rule_json(engine, *rule)).collect();
        extend(&mut because, [("passedBy".to_owned(), Value::Array(passed))]);
    }
    if !side.skipped.is_empty() {
        let skipped: Vec<Value> = side.skipped.iter().map(|rule| rule_json(engine, *rule)).collect();
        extend(&mut because, [("skipped".to_owned(), Value::Array(skipped))]);
    }
    let mut value = json!({
        "verdict": verdict(side.allowed),
        "isolated": !side.isolated_by.is_empty(),
        "because": because,
    });
    if !side.allowed {
        let misses: Vec<Value> = side.misses.iter().map(|m| miss_json(engine, m, case, direction)).collect();
        extend(&mut value, [("nearMisses".to_owned(), Value::Array(misses))]);
    }
    value
}

fn miss_json(engine: &Engine, miss: &NearMiss, case: &Case<'_>, direction: Direction) -> Value {
    let described = fix::describe(engine, miss, case, direction);
    let mut fields = rule_fields(engine, miss.rule);
    fields.shift_remove("action");
    let mut value = Value::Object(fields);
    let difference = |d: &fix::Described| {
        let mut value = json!({"differs": d.differs, "wants": d.wants});
        extend(&mut value, d.has.as_ref().map(|has| ("has".to_owned(), json!(has))));
        value
    };
    if let Some(Value::Object(first)) = described.first().map(difference) {
        extend(&mut value, first);
    }
    if described.len() > 1 {
        let all: Vec<Value> = described.iter().map(difference).collect();
        extend(&mut value, [("differences".to_owned(), Value::Array(all))]);
    }
    extend(&mut value, [("fix".to_owned(), json!(fix::fix(engine, miss, case, direction)))]);
    value
}

fn verdict(allowed: bool) -> Value {
    json!(if allowed { "allowed" } else { "denied" })
}

fn extend(value: &mut Value, more: impl IntoIterator<Item = (String, Value)>) {
    if let Value::Object(fields) = value {
        fields.extend(more);
    }
}
