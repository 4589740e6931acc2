//! Every code has a page, every page a code, and the index has them all.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::path::Path;

use ringfence_lint::CODES;

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/checks");
    let pages: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let codes: BTreeSet<String> = CODES.iter().map(|c| format!("{}.md", c.id)).collect();
    assert_eq!(pages, codes);
    assert_eq!(codes.len(), CODES.len(), "a code twice");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for code in CODES {
        let level = code.level;
        let row = format!("| [{0}]({0}.md) | {level} | `{1}` | {2} |", code.id, code.name, code.title);
        assert!(index.contains(&row), "the index has no row\n{row}");
        assert!(code.page.starts_with(&format!("# {}: {}\n", code.id, code.title)), "{}", code.id);
        let about = format!("Level: {level}. Name: `{}`.", code.name);
        for part in [about.as_str(), "## What happens", "## Why it matters", "## Example", "## Fix"] {
            assert!(code.page.contains(part), "{} has no `{part}`", code.id);
        }
    }
}

#[test]
fn names_are_used_once() {
    let names: BTreeSet<&str> = CODES.iter().map(|c| c.name).collect();
    assert_eq!(names.len(), CODES.len());
}
