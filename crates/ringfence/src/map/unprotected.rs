//! The workloads that no NetworkPolicy isolates in a direction.

use serde_json::{Value, json};

use super::listing::Listing;
use super::{Map, Row, json as map_json};

pub(super) fn listing(map: &Map<'_>) -> Listing {
    let is_open = |row: &&Row| row.host_network || row.ingress != "isolated" || row.egress != "isolated";
    let open: Vec<&Row> = map.rows.iter().filter(is_open).collect();
    let rows: Vec<Vec<String>> = open
        .iter()
        .map(|row| {
            let isolation = |word: &str| if row.host_network { "host network" } else { word }.to_owned();
            vec![row.reference.text(), row.pods.to_string(), isolation(row.ingress), isolation(row.egress)]
        })
        .collect();
    let all = map.rows.len();
    let both = open.iter().filter(|row| row.ingress != "isolated" && row.egress != "isolated").count();
    let summary = match open.len() {
        0 => format!("All {all} workloads are isolated in both directions."),
        some => format!(
            "{some} of {all} workloads are not isolated in at least one direction, {both} of them in none."
        ),
    };
    let json = json!({
        "version": 1,
        "unprotected": open.iter().map(|row| map_json::row_json(row, map.view)).collect::<Vec<Value>>(),
        "workloads": all,
    });
    Listing { headings: vec!["WORKLOAD", "PODS", "INGRESS", "EGRESS"], rows, summary, json }
}
