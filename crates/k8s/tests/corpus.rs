//! What fuzzing has found worth keeping (`fuzz/corpus`), read again by every test run, and text made up on the spot.

#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use ringfence_k8s::{ReadOptions, Reader, Reading};

/// Reads bytes as a file, and holds the reading to what must be true of every input.
fn check(bytes: &[u8]) -> Reading {
    let mut reader = Reader::new(ReadOptions::default());
    reader.bytes("f", bytes.to_vec());
    let reading = reader.finish();
    for finding in &reading.findings {
        let place = finding.place.as_ref().expect("what was read from text has a place");
        let text = &reading.sources.file(place.id).expect("a known file").text;
        assert!(text.get(place.bytes.clone()).is_some(), "{finding} is not in the text");
        assert!(
            place.line >= 1
                && place.column >= 1
                && (place.end_line, place.end_column) >= (place.line, place.column)
        );
    }
    let _ = reading.inventory.world();
    reading
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn kept_inputs_are_read() {
    for file in corpus("read_yaml") {
        check(&std::fs::read(file).unwrap());
    }
}

#[test]
fn kept_insides_are_lowered() {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n";
    let cluster = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\nspec:\n  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n";
    let admin = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: p}\nspec:\n  priority: 1\n  subject: {namespaces: {}}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n";
    let list = "apiVersion: v1\nkind: List\nitems:\n";
    for file in corpus("lower") {
        let inside = std::fs::read(&file).unwrap();
        for head in [policy, cluster, admin, deployment, list] {
            let reading = check(&[head.as_bytes(), &inside].concat());
            let inventory = &reading.inventory;
            let read = inventory.policies.len() + inventory.cluster_policies.len();
            let lost = [policy, cluster, admin].contains(&head) && !reading.has_errors() && read == 0;
            assert!(!lost, "a policy was lost: {}", file.display());
        }
    }
}

/// The words of manifests, in any order: far more of it is almost right than of random characters.
fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "apiVersion: networking.k8s.io/v1\n",
        "kind: NetworkPolicy\n",
        "metadata: {name: p}\n",
        "spec:\n",
        "  podSelector: {}\n",
        "  ingress:\n",
        "  - from:\n",
        "    - ",
        "podSelector:",
        " {}",
        "ipBlock: {cidr: 10.0.0.0/8}",
        "    ports:\n",
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n",
        "  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n",
        "  - action: Accept\n",
        "    from:\n",
        "    to: [{networks: [10.0.0.0/8]}]\n",
        "    protocols: [{tcp: {destinationPort: {number: 80}}}]\n",
        "namespaces: {}",
        "port: 80",
        "\n",
        " ",
        "  ",
        "- ",
        "---\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "&a ",
        "*a",
        "<<: *a",
        "\"",
        "'",
        "|\n",
        "null",
        "~",
        "!!str ",
        "# c\n",
        "\t",
        "\r\n",
        "é",
        "\u{feff}",
        "...\n",
        "? ",
        "kind: List\nitems:\n",
        "%YAML 1.1\n",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}") {
        check(text.as_bytes());
    }

    #[test]
    fn no_soup_of_words_makes_reading_panic(text in soup()) {
        check(text.as_bytes());
    }
}
