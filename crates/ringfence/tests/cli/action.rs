//! The GitHub Action and the pre-commit hook: what they would run, with a `ringfence` that only says what it was told.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::examples::root;
use crate::folder;

/// Runs the action's script; the stand-in's exit status is given. Its exit status, what the stand-in was told, the
/// summary, and standard error.
fn action(name: &str, inputs: &[(&str, &str)], status: i32) -> (Option<i32>, String, String, String) {
    let script = format!("#!/bin/sh\nfor word; do echo \"<$word>\"; done\nexit {status}\n");
    let folder = folder(name, &[("ringfence", script.as_bytes()), ("summary", b"")]);
    std::fs::set_permissions(folder.join("ringfence"), PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(root().join(".github/action/run"));
    command.current_dir(&folder).stdin(Stdio::null()).env("PATH", path).env("RUNNER_TEMP", &folder);
    command.env("GITHUB_STEP_SUMMARY", folder.join("summary"));
    for (key, default) in [
        ("COMMAND", "check"),
        ("PATHS", "."),
        ("ARGS", ""),
        ("FAIL_ON", "warning"),
        ("BASE", "abc123"),
        ("FAIL_ON_DIFF", "false"),
    ] {
        let value = inputs.iter().find(|(k, _)| *k == key).map_or(default, |(_, v)| v);
        command.env(format!("INPUT_{key}"), value);
    }
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap().lines().collect(),
        std::fs::read_to_string(folder.join("summary")).unwrap().lines().collect(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn check_looks_at_every_path_and_takes_no_text_for_a_command() {
    let (status, told, ..) = action("action-check", &[], 1);
    assert_eq!((status, told.as_str()), (Some(1), "<check><-o><github><--fail-on><warning><--><.>"));
    let inputs = [
        ("PATHS", "  deploy/base \n\n$(touch pwned) two words\n--flag"),
        ("ARGS", "-n shop\n--pod-cidr 10.0.0.0/8 *"),
        ("FAIL_ON", "error"),
    ];
    let (status, told, ..) = action("action-paths", &inputs, 0);
    let expect = "<check><-n><shop><--pod-cidr><10.0.0.0/8><*><-o><github><--fail-on><error><--><deploy/base>\
                  <$(touch pwned) two words><--flag>";
    assert_eq!((status, told.as_str()), (Some(0), expect));
}

#[test]
fn diff_goes_into_the_summary_and_fails_only_where_asked() {
    let expect = "<diff><-o><markdown><--><git:abc123:deploy><deploy>";
    for (fail, status, exit) in [("false", 0, 0), ("false", 1, 0), ("true", 1, 1), ("false", 2, 2)] {
        let inputs = [("COMMAND", "diff"), ("PATHS", "deploy/"), ("FAIL_ON_DIFF", fail)];
        let (code, told, summary, _) = action(&format!("action-diff-{fail}-{status}"), &inputs, status);
        assert_eq!((code, told.as_str(), summary.as_str()), (Some(exit), expect, expect));
    }
    let (code, told, _, err) = action("action-diff-two", &[("COMMAND", "diff"), ("PATHS", "a\nb")], 0);
    assert_eq!((code, told.as_str()), (Some(2), ""));
    assert!(err.contains("diff compares one path"), "{err}");
    let (code, _, _, err) = action("action-diff-base", &[("COMMAND", "diff"), ("BASE", "")], 0);
    assert!(code == Some(2) && err.contains("needs a base"), "{err}");
}

#[test]
fn other_commands_get_their_arguments_first() {
    let inputs = [("COMMAND", "explain"), ("ARGS", "shop/web shop/db:5432"), ("PATHS", "k8s")];
    let (status, told, ..) = action("action-explain", &inputs, 1);
    assert_eq!((status, told.as_str()), (Some(1), "<explain><shop/web><shop/db:5432><k8s>"));
}

/// Runs the script that fetches a release, with a `curl` that has what is published: the exit status, what was added to the
/// path, what `ringfence --version` said, and standard error.
fn install(name: &str, archive: &[u8], checksum: &str, inputs: [&str; 2]) -> (Option<i32>, String, String) {
    let curl =
        "#!/bin/sh\nfor word; do case $word in https://*) cp \"$PUBLISHED/${word##*/}\" .;; esac; done\n";
    let machine = std::env::consts::ARCH;
    let published = format!("ringfence-v0.1.0-{machine}-linux.tar.gz");
    let line = format!("{checksum}  {published}\n");
    let files: [(&str, &[u8]); 4] = [
        ("curl", curl.as_bytes()),
        ("path", b""),
        (&published, archive),
        (&format!("{published}.sha256"), line.as_bytes()),
    ];
    let folder = folder(name, &files);
    std::fs::set_permissions(folder.join("curl"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(root().join(".github/action/install"));
    command.current_dir(&folder).stdin(Stdio::null());
    command.env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()));
    command.env("RUNNER_TEMP", &folder).env("PUBLISHED", &folder).env("GITHUB_PATH", folder.join("path"));
    command.env("GITHUB_ACTION_PATH", root());
    let [version, sha256] = inputs;
    let output = command.env("INPUT_VERSION", version).env("INPUT_SHA256", sha256).output().unwrap();
    let added = std::fs::read_to_string(folder.join("path")).unwrap();
    assert!(added.is_empty() || added == format!("{}\n", folder.join("ringfence/bin").display()), "{added}");
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), said, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_release_is_taken_only_with_its_checksum() {
    // An archive with a `ringfence` that says what it was told.
    let made = folder("action-archive", &[("ringfence", b"#!/bin/sh\necho \"the release: $1\"\n")]);
    std::fs::set_permissions(made.join("ringfence"), PermissionsExt::from_mode(0o755)).unwrap();
    let tar =
        Command::new("tar").args(["-czf", "a.tar.gz", "ringfence"]).current_dir(&made).status().unwrap();
    assert!(tar.success());
    let archive = std::fs::read(made.join("a.tar.gz")).unwrap();
    let sum = Command::new("sha256sum").arg("a.tar.gz").current_dir(&made).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned();
    let other = "0".repeat(64);

    let taken = (Some(0), "the release: --version\n".to_owned(), String::new());
    assert_eq!(install("action-release", &archive, &sum, ["v0.1.0", ""]), taken);
    assert_eq!(install("action-release", &archive, &sum, ["v0.1.0", &sum]), taken);
    for (published, wanted) in [(&other, ""), (&sum, other.as_str())] {
        let (status, said, err) = install("action-wrong", &archive, published, ["v0.1.0", wanted]);
        assert!(
            status == Some(1) && !said.contains("the release") && err.contains("checksum"),
            "{status:?} {said} {err}"
        );
    }
    for version in ["v0.2.0; true", "latest", "../v0.1.0"] {
        let (status, said, err) = install("action-version", &archive, &sum, [version, ""]);
        assert!(status == Some(2) && said.is_empty() && err.contains("version must be"), "{status:?} {err}");
    }
    let (status, _, err) = install("action-source", &archive, &sum, ["source", &sum]);
    assert!(status == Some(2) && err.contains("sha256 is for a release"), "{status:?} {err}");
    // What is not published fails; nothing else is taken in its place.
    let (status, said, _) = install("action-none", &archive, &sum, ["v9.9.9", ""]);
    assert!(status.is_some_and(|status| status != 0) && said.is_empty(), "{status:?} {said}");
}

#[test]
fn the_definitions_are_whole() {
    let text = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    for path in ["action.yml", ".pre-commit-hooks.yaml"] {
        let read = ringfence_k8s::read([(path, text(path))], &ringfence_k8s::ReadOptions::default());
        // A definition is no Kubernetes object, which is all that there is to say of it.
        assert!(read.findings.iter().all(|f| f.code == "not-an-object"), "{:#?}", read.findings);
    }
    let (definition, page) = (text("action.yml"), text("docs/ci.md"));
    let inputs = definition.split_once("\ninputs:\n").unwrap().1.split("\nruns:").next().unwrap();
    let names = inputs.lines().filter_map(|l| l.strip_prefix("  ")).filter(|l| !l.starts_with(' '));
    let names: Vec<&str> = names.filter_map(|l| l.strip_suffix(':')).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    for name in names {
        assert!(definition.contains(&format!("inputs.{name} ")), "{name} is not handed on");
        assert!(page.contains(&format!("| `{name}` |")), "docs/ci.md does not tell of {name}");
    }
    for script in ["install", "run"] {
        let file = root().join(".github/action").join(script);
        assert_ne!(Path::new(&file).metadata().unwrap().permissions().mode() & 0o100, 0, "{script} runs");
        let parses = Command::new("bash").arg("-n").arg(&file).status().unwrap();
        assert!(parses.success(), "{script}");
        let used = std::fs::read_to_string(&file).unwrap();
        for word in used.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_') {
            let handed = !word.starts_with("INPUT_") || definition.contains(&format!("{word}: "));
            assert!(handed, "{script}: action.yml does not hand on {word}");
        }
    }
}
