//! `ringfence lab --watch`: how edits take hold. Needs root.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run_with;

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 81}]}]}
";

const DENY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}
";

const NAMESPACE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {team: a}}
";

fn privileged() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "needs root, and CI must not skip it");
    root
}

#[test]
fn what_cannot_be_watched_is_refused() {
    if !privileged() {
        return;
    }
    let run = run_with("lab - --watch", PODS);
    assert_eq!(run.status, 2);
    assert!(run.err.contains("standard input cannot be watched"), "{run:?}");
    let run = run_with("lab - --watch --no-policies", PODS);
    assert_eq!(run.status, 2);
    assert!(run.err.contains("cannot be used with"), "{run:?}");
}

/// Killed when a test ends, however it ends.
struct Lab(Child);

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn edits_take_hold_however_they_are_made() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let manifests = at("k8s");
    fs::create_dir(&manifests).unwrap();
    let (pods, policy) = (manifests.join("pods.yaml"), manifests.join("policy.yaml"));
    fs::write(&pods, PODS).unwrap();
    let output = fs::File::create(at("output")).unwrap();
    let lab = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["lab", "--nodes", "1", "--watch"])
        .arg(&manifests)
        .stdin(Stdio::null())
        .stderr(output.try_clone().unwrap())
        .stdout(output)
        .spawn()
        .unwrap();
    let mut lab = Lab(lab);
    let mut shows = |what: &str, times: usize| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let shown = fs::read_to_string(at("output")).unwrap();
            if shown.matches(what).count() >= times {
                return;
            }
            assert!(lab.0.try_wait().unwrap().is_none(), "the lab has ended: {shown}");
            assert!(Instant::now() < deadline, "not {times} times {what:?}: {shown}");
            std::thread::yield_now();
        }
    };
    shows("watching the manifests", 1);

    // As editors do: a new file takes the place of the old one.
    fs::write(at("new"), DENY).unwrap();
    fs::rename(at("new"), &policy).unwrap();
    shows("every measurement is as the engine promised", 1);

    // What cannot be read changes nothing.
    fs::write(&policy, "spec: [").unwrap();
    shows("the policies before stay in force", 1);

    // The label of a namespace opens what the policy asks it for.
    fs::write(manifests.join("namespace.yaml"), NAMESPACE).unwrap();
    shows("the policies before stay in force", 2);
    fs::write(&policy, DENY).unwrap();
    shows("every measurement is as the engine promised", 2);
    let shown = fs::read_to_string(at("output")).unwrap();
    let opened = shown.lines().any(|l| l.starts_with("default/web") && l.contains("db") && l.ends_with("ok"));
    assert!(opened, "{shown}");

    // All gone, and back.
    fs::rename(&manifests, at("away")).unwrap();
    shows("the policies before stay in force", 3);
    fs::remove_file(at("away/policy.yaml")).unwrap();
    fs::rename(at("away"), &manifests).unwrap();
    shows("every measurement is as the engine promised", 3);
    assert!(!fs::read_to_string(at("output")).unwrap().contains("NOT as"));
}
