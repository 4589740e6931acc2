//! What can be reached from outside, and by which way: through Services, Ingresses and Gateway routes, or by address.
//!
//! The ways are what manifests say; whether policies let a connection pass at their end is what the engine says. Behind
//! an Ingress or a Gateway the pods see the controller's pods, not the client; behind a Service they may see a node.

mod asker;
mod controllers;
mod ways;

use std::collections::BTreeSet;

use ringfence_k8s::Inventory;
use serde_json::{Value, json};

use self::asker::Asker;
use super::Map;
use super::listing::Listing;
use crate::ports::PortList;

/// A line of the answer.
#[derive(Debug)]
struct Exposure {
    end: u32,
    ports: PortList,
    way: String,
    kind: String,
    objects: Vec<String>,
    /// Whether a node may put its own address in the place of the client's, where the way is a Service.
    hides_client: Option<bool>,
    answer: Answer,
}

/// Who gets in.
#[derive(Debug)]
struct Answer {
    verdict: &'static str,
    /// From where; empty: from all of outside.
    from: Vec<String>,
    by: String,
    /// Whether it would be another one for a node's address in the place of the client's.
    may_differ: bool,
}

/// Everything that can be reached from outside, and the ways on which policies let nobody in.
pub(super) fn listing(map: &Map<'_>, inventory: &Inventory) -> Listing {
    let rows = map.reach.rows();
    let mut asker = Asker::new(map, &rows);
    let mut exposures: Vec<Exposure> = Vec::new();
    for way in ways::find(map.engine, inventory) {
        exposures.extend(asker.by_way(&way));
    }
    exposures.extend(map.rows.iter().flat_map(|row| asker.directly(row.place)));
    let shown: BTreeSet<u32> = map.rows.iter().map(|row| row.place).collect();
    exposures.retain(|e| shown.contains(&e.end));
    exposures.sort_by_key(|e| e.end);
    let name = |end: u32| map.references.get(end as usize).map(|r| r.text()).unwrap_or_default();
    let lines = exposures.iter().map(|e| {
        let Answer { verdict, from, by, .. } = &e.answer;
        let from = if from.is_empty() { "external".to_owned() } else { from.join(", ") };
        vec![name(e.end), e.ports.to_text(), from, e.way.clone(), (*verdict).to_owned(), by.clone()]
    });
    let is = |e: &&Exposure, verdict| e.answer.verdict == verdict;
    let mut reached: Vec<u32> = exposures.iter().filter(|e| is(e, "allowed")).map(|e| e.end).collect();
    reached.dedup();
    let unknown = exposures.iter().filter(|e| is(e, "unknown")).count();
    let mut summary =
        format!("{} of {} workloads can be reached from outside.", reached.len(), map.rows.len());
    if unknown > 0 {
        summary.push_str(" Where it is unknown, the controller's pods are not in these manifests.");
    }
    if exposures.iter().any(|e| e.answer.may_differ) {
        summary.push_str(
            " Where a node's address may take the client's place (externalTrafficPolicy is not Local), everyone gets in \
             through a node that policies let in; with some network plugins through the pod's own, which they always do.",
        );
    }
    let json = json!({
        "version": 1,
        "exposed": exposures.iter().map(|e| to_json(map, e)).collect::<Vec<Value>>(),
    });
    Listing {
        headings: vec!["WORKLOAD", "PORTS", "FROM", "WAY", "VERDICT", "BECAUSE"],
        rows: lines.collect(),
        summary,
        json,
    }
}

fn to_json(map: &Map<'_>, e: &Exposure) -> Value {
    let Answer { verdict, from, by, .. } = &e.answer;
    let from = if from.is_empty() { json!("all") } else { json!(from) };
    let mut way = json!({"kind": e.kind, "objects": e.objects, "text": e.way});
    if let (Some(hides_client), Some(way)) = (e.hides_client, way.as_object_mut()) {
        way.insert("clientAddress".to_owned(), json!(if hides_client { "hidden" } else { "kept" }));
    }
    json!({
        "workload": map.references.get(e.end as usize).map(|r| r.to_json()),
        "ports": e.ports.to_json(),
        "from": from,
        "way": way,
        "verdict": verdict,
        "because": by,
    })
}
