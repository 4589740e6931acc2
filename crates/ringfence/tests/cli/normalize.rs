//! `ringfence normalize`, `completion` and `man` as a user runs them.

use std::process::{Command, Stdio};

use crate::{folder, run, run_in, run_with};

const STORED: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  namespace: shop
spec:
  podSelector: {}
  policyTypes:
  - Ingress
";

#[test]
fn policies_as_the_server_stores_them() {
    let text = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, ingress: []}}";
    let yaml = run_with("normalize - -n shop", text);
    assert_eq!((yaml.status, yaml.out.as_str(), yaml.err.as_str()), (0, STORED, ""));
    let again = run_with("normalize -", STORED);
    assert_eq!(again.out, STORED);
    let json = run_with("normalize - -o json", STORED).json();
    assert_eq!(
        (&json["kind"], &json["items"][0]["spec"]["policyTypes"][0]),
        (&"List".into(), &"Ingress".into())
    );
    assert_eq!(run_with("normalize -", &json.to_string()).out, STORED);
}

#[test]
fn what_cannot_be_read_is_not_left_out_in_silence() {
    let broken = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, specs: {}}";
    let refused = run_with("normalize -", broken);
    assert_eq!((refused.status, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("did you mean `spec`?"), "{}", refused.err);
    let skipped = run_with("normalize - --skip-invalid", broken);
    assert_eq!((skipped.status, skipped.out.as_str()), (0, ""));
    assert!(skipped.err.ends_with("note: no policies in these manifests\n"), "{}", skipped.err);
}

#[test]
fn shells_are_taught_to_complete() {
    for (shell, word) in [
        ("bash", "complete -F _ringfence"),
        ("zsh", "#compdef ringfence"),
        ("fish", "complete -c ringfence"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[ringfence]"),
    ] {
        let script = run(&format!("completion {shell}"));
        assert_eq!((script.status, script.err.as_str()), (0, ""));
        let knows = |what: &str| assert!(script.out.contains(what), "{shell}: no {what}");
        knows(word);
        ["explain", "normalize", "pod-cidr"].into_iter().for_each(knows);
        assert!(!script.out.contains("--skip-invalids"));
    }
    let file = folder("completion", &[("ringfence.bash", run("completion bash").out.as_bytes())]);
    let bash =
        Command::new("bash").args(["-n", "ringfence.bash"]).current_dir(file).stdin(Stdio::null()).output();
    let bash = bash.unwrap();
    assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
    assert_eq!(run("completion tcsh").status, 2);
}

#[test]
fn every_command_has_a_man_page() {
    let page = run("man");
    assert_eq!((page.status, page.err.as_str()), (0, ""));
    assert!(
        page.out.contains(".TH ringfence 1") && page.out.contains("ringfence\\-explain(1)"),
        "{}",
        page.out
    );
    let folder = folder("man", &[]);
    assert_eq!(run_in(&folder, "man pages", "").status, 0);
    let mut names: Vec<String> = std::fs::read_dir(folder.join("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in ["ringfence.1", "ringfence-explain.1", "ringfence-normalize.1"] {
        assert!(names.iter().any(|n| n == name), "{names:?}");
    }
    assert!(!names.iter().any(|n| n.contains("child") || n.contains("help")), "{names:?}");
    let page = std::fs::read_to_string(folder.join("pages/ringfence-normalize.1")).unwrap();
    assert!(page.contains(".TH ringfence-normalize 1") && page.contains("\n.SH EXAMPLES\n"), "{page}");
}
