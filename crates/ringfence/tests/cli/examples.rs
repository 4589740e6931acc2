//! What the documentation shows is what the command says, and the examples mean what they promise.
//!
//! With `RINGFENCE_BLESS=1` (`cargo xtask docs`) the texts are written anew instead of compared: read the difference
//! before it is kept.

use std::path::{Path, PathBuf};

use crate::run_in;

pub(crate) const EXAMPLES: [&str; 4] = ["bank", "retail", "search", "yelb"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Compares, or writes.
pub(crate) fn check(file: &Path, text: &str) {
    if std::env::var_os("RINGFENCE_BLESS").is_some() {
        return std::fs::write(file, text).unwrap();
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    for (place, (is, should)) in written.lines().zip(text.lines()).enumerate() {
        let at = format!("{}:{}", file.display(), place + 1);
        assert_eq!(is, should, "{at}: `cargo xtask docs` writes it anew");
    }
    assert!(written == text, "{} has more or fewer lines: `cargo xtask docs` writes it anew", file.display());
}

/// The text with what each `$ ringfence ...` of its `console` blocks prints, and how many there are.
fn refreshed(text: &str, folder: &Path) -> (String, usize) {
    let (mut out, mut sessions, mut in_block, mut in_answer) = (String::new(), 0, false, false);
    for line in text.lines() {
        match line.strip_prefix("$ ringfence ").filter(|_| in_block) {
            Some(arguments) => {
                let run = run_in(folder, arguments, "");
                assert!(!run.err.contains("there is no such file or folder"), "{line}: {}", run.err);
                out.push_str(if in_answer { "\n" } else { "" });
                out.push_str(&format!("{line}\n{}\n", format!("{}{}", run.out, run.err).trim_end()));
                (sessions, in_answer) = (sessions + 1, true);
                continue;
            }
            None if line.starts_with("```") => (in_block, in_answer) = (line == "```console", false),
            None if line.starts_with("$ ") => in_answer = false,
            None => {}
        }
        if !in_answer {
            out.push_str(&format!("{line}\n"));
        }
    }
    (out, sessions)
}

/// Checks a file's sessions, run in a folder.
fn sessions(file: &Path, folder: &Path) -> usize {
    let (text, sessions) = refreshed(&std::fs::read_to_string(file).unwrap(), folder);
    check(file, &text);
    sessions
}

/// Every `$ ringfence ...` of an example's README, run in the example's folder, prints what stands below it.
#[test]
fn the_readmes_tell_the_truth() {
    for example in EXAMPLES {
        let folder = root().join("examples").join(example);
        let shown = sessions(&folder.join("README.md"), &folder);
        assert!(shown >= 4, "{example}: {shown}");
    }
}

/// The same for the README of the project and the pages of `docs`, run from the top.
#[test]
fn the_documentation_tells_the_truth() {
    let mut shown = sessions(&root().join("README.md"), &root());
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let page = entry.unwrap().path();
        if page.extension().is_some_and(|e| e == "md") {
            shown += sessions(&page, &root());
        }
    }
    assert!(shown >= 1, "{shown}");
}

/// The application with all of its policies has exactly the connections that are written down beside it.
#[test]
fn the_maps_are_as_expected() {
    for example in EXAMPLES {
        let folder = root().join("examples").join(example);
        let map = run_in(&folder, "map app policies", "");
        check(&folder.join("expected-map.txt"), &map.out);
    }
}

/// What each application needs and must not have, its policies give; without them, they do not.
#[test]
fn the_assertions_hold() {
    for example in EXAMPLES {
        let folder = root().join("examples").join(example);
        let run = run_in(&folder, "verify -a assertions.yaml app policies", "");
        let last = run.out.lines().last().unwrap_or_default();
        let (hold, all) = last.split_once(" of ").unwrap();
        assert!(run.status == 0 && all == format!("{hold} assertions hold"), "{example}: {run:?}");
        let open = run_in(&folder, "verify -a assertions.yaml app", "");
        assert_eq!(open.status, 1, "{example}: {open:?}");
        let text = std::fs::read_to_string(folder.join("assertions.yaml")).unwrap();
        for kind in ["allow:", "deny:", "only:", "anyPod:"] {
            assert!(text.contains(kind), "{example} has no {kind}");
        }
    }
}
