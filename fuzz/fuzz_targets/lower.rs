//! The inside of a policy and of a workload: lowering must not panic, must be deterministic, and an object that was
//! read is either in the inventory or in the findings.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_k8s::{ReadOptions, read};

const HEADS: [&str; 3] = [
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n",
    "apiVersion: v1\nkind: List\nitems:\n",
];

fuzz_target!(|text: &str| {
    for head in HEADS {
        let text = format!("{head}{text}");
        let reading = read([("f", text.as_str())], &ReadOptions::default());
        let again = read([("f", text.as_str())], &ReadOptions::default());
        assert_eq!(reading.findings, again.findings);
        assert_eq!(reading.inventory.policies, again.inventory.policies);
        if head.contains("NetworkPolicy") && !reading.has_errors() {
            assert!(!reading.inventory.policies.is_empty(), "a policy was lost");
        }
        let _ = reading.inventory.world();
    }
});
