//! What is read, and what happens when it cannot be.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::{fixtures, folder, run, run_in, run_with};

const POD: &str =
    "{kind: Pod, apiVersion: v1, metadata: {name: NAME}, spec: {containers: [{name: a, image: a}]}}\n";

fn pod(name: &str) -> String {
    POD.replace("NAME", name)
}

/// The names of the workloads that a map of a folder shows.
fn read(folder: &std::path::Path, arguments: &str) -> Vec<String> {
    let run = run_in(folder, &format!("map -o json {arguments}"), &pod("stdin"));
    assert_eq!((run.status, run.err.as_str()), (0, ""));
    let json = run.json();
    json["workloads"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn files_folders_and_standard_input() {
    let (a, b, c, hidden) = (pod("a"), pod("b"), pod("c"), pod("hidden"));
    let json = r#"{"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "j1"}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
        {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "j2"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}]}"#;
    let many = format!("{}---\n{}", pod("m1"), pod("m2"));
    let folder = folder(
        "files",
        &[
            ("deep/er/a.yaml", a.as_bytes()),
            ("b.yml", b.as_bytes()),
            ("c.txt", c.as_bytes()),
            (".hidden/x.yaml", hidden.as_bytes()),
            (".hidden.yaml", hidden.as_bytes()),
            ("list.json", json.as_bytes()),
            ("many.yaml", many.as_bytes()),
        ],
    );
    assert_eq!(read(&folder, "."), ["a", "b", "j1", "j2", "m1", "m2"]);
    assert_eq!(read(&folder, "c.txt"), ["c"], "a file that is named is read, whatever it is called");
    assert_eq!(read(&folder, ".hidden.yaml"), ["hidden"]);
    assert_eq!(read(&folder, "- b.yml"), ["b", "stdin"]);
    assert_eq!(read(&folder, "b.yml . deep"), ["a", "b", "j1", "j2", "m1", "m2"], "each file once");
}

#[test]
fn links_are_followed_and_loops_are_reported() {
    let folder = folder("links", &[("real/a.yaml", pod("a").as_bytes())]);
    std::fs::create_dir(folder.join("linked")).unwrap();
    symlink("../real/a.yaml", folder.join("linked/b.yaml")).unwrap();
    assert_eq!(read(&folder, "linked"), ["a"]);
    symlink("..", folder.join("linked/up")).unwrap();
    let run = run_in(&folder, "map .", "");
    assert_eq!(run.status, 2);
    assert!(run.err.contains("loop"), "{}", run.err);
}

#[test]
fn no_path_is_a_usage_error_that_says_what_to_do() {
    insta::assert_snapshot!(run("map").shown());
}

#[test]
fn every_error_is_shown_with_its_place() {
    let folder = folder(
        "broken",
        &[
            ("bytes.yaml", b"a: b\nc: \xff\n"),
            ("field.yaml", b"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p\nspec:\n  podSelector: {}\n  ingress:\n  - ports:\n    - port: 99999\n"),
            ("syntax.yaml", b"a: [b\nc: d\n"),
            ("utf16.yaml", b"\xff\xfea\0"),
        ],
    );
    let run = run_in(&folder, "map . missing.yaml", "");
    insta::assert_snapshot!(run.shown());
    for place in ["bytes.yaml:2:4", "field.yaml:9:13", "syntax.yaml:"] {
        assert!(run.err.contains(place), "{place} in {}", run.err);
    }
}

#[test]
fn what_cannot_be_read_can_be_skipped() {
    let folder = folder("skipped", &[("a.yaml", pod("a").as_bytes()), ("broken.yaml", b"a: [b\n")]);
    let run = run_in(&folder, "map . --skip-invalid", "");
    assert_eq!(run.status, 0);
    assert!(run.err.contains("broken.yaml:"), "{}", run.err);
    assert!(run.out.contains("pod/a"), "{}", run.out);
}

#[test]
fn nothing_to_read() {
    let folder = folder("empty", &[("readme.txt", b"hello")]);
    let run = run_in(&folder, "map .", "");
    assert_eq!((run.status, run.out.as_str()), (2, ""));
    assert!(run.err.starts_with("error: .: no manifests in this folder\n"), "{}", run.err);
    let run = run_with("map -", "");
    assert_eq!((run.status, run.out.as_str()), (2, ""));
    assert!(run.err.starts_with("error: -: standard input is empty\n"), "{}", run.err);
    let run = run_with("map -", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n");
    assert_eq!((run.status, run.out.as_str()), (0, ""));
    assert_eq!(run.err, "note: no workloads in these manifests\n");
}

#[test]
fn warnings_do_not_stop_the_answer() {
    let old = "
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata: {name: old}
spec: {podSelector: {}}
";
    let run = run_with("map -", &format!("{}---{old}", pod("a")));
    assert_eq!(run.status, 0);
    assert!(run.err.contains("warning"), "{}", run.err);
    assert!(run.out.contains("pod/a"), "{}", run.out);
}

#[test]
fn n_is_the_namespace_of_what_has_none() {
    let run = run_with("map -n shop -o json -", &pod("a"));
    assert_eq!(run.json()["workloads"][0]["namespace"], "shop");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["map", "shop.yaml", "-o", "json"])
        .current_dir(fixtures())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(!err.contains("panic"), "{err}");
}

#[test]
fn a_full_disk_is_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["map", "shop.yaml"])
        .current_dir(fixtures())
        .stdout(std::fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.starts_with("error: the answer cannot be written to standard output"), "{err}");
}

#[test]
fn colour_only_where_it_is_wanted() {
    let escape = '\u{1b}';
    assert!(!run("explain shop/web shop/api:9000 shop.yaml").out.contains(escape), "not a terminal");
    assert!(run("explain shop/web shop/api:9000 shop.yaml --color always").out.contains(escape));
    assert!(run("map nowhere --color=always").err.contains(escape));
    assert!(!run("map shop.yaml --color always -o json").out.contains(escape));
}

#[test]
fn usage() {
    let version = run("--version");
    assert_eq!((version.status, version.out), (0, format!("ringfence {}\n", env!("CARGO_PKG_VERSION"))));
    for command in ["", "map", "explain"] {
        let help = run(&format!("{command} --help"));
        assert_eq!(help.status, 0);
        assert!(help.out.contains("Examples:"), "{}", help.out);
    }
    for wrong in ["", "mapp", "map --pod-cidr 10 x", "explain a", "map -o xml x"] {
        let run = run(wrong);
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{wrong}");
        assert!(!run.err.is_empty(), "{wrong}");
    }
}
