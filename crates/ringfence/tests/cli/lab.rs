//! `ringfence lab` as a user runs it. Needs root.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const YELB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/yelb");

/// Whether this can be tested here. On a development machine without root it is skipped; in CI that is a failure.
fn privileged() -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "the lab's tests need root");
    println!("skipped: needs root");
    false
}

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.arg("lab").args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = lab(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// What a lab could leave in this machine's own network.
fn machine() -> String {
    let mut seen = String::new();
    for words in ["ip -o link", "ip -o address", "ip route", "ip netns", "nft list ruleset"] {
        let mut words = words.split(' ');
        let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
        seen.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    seen
}

#[test]
fn yelb_before_and_after() {
    if !privileged() {
        return;
    }
    let before = machine();
    for options in [&["--nodes", "1"][..], &["--nodes", "3", "--dual-stack"]] {
        let (status, out, err) = run(&[&[YELB], options].concat());
        assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
        assert!(out.contains("measurements are as the engine promised"), "{out}");
        let after = out.split_once("AFTER").unwrap().1;
        let row = |name: &str| {
            let line = after.lines().find(|l| l.starts_with(name)).unwrap();
            line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        // redis: 6379, ping; appserver: 4567, ping; db: 5432, ping; ui: 80, ping.
        assert_eq!(row("yelb-ui-0"), ["drop", "drop", "ok", "drop", "drop", "drop", "-", "-"]);
        assert_eq!(row("yelb-appserver-0"), ["ok", "drop", "-", "-", "ok", "drop", "ok", "drop"]);
    }
    assert_eq!(machine(), before, "nothing is left behind");
}

/// What an example of `examples` promises is measured, and so are these verdicts.
#[track_caller]
fn example(name: &str, allowed: &[(&str, &str, u64)], denied: &[(&str, &str, u64)]) {
    if !privileged() {
        return;
    }
    let folder = |part: &str| format!("{YELB}/../{name}/{part}");
    let (status, out, err) = run(&[&folder("app"), &folder("policies"), "-o", "json"]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["differences"].as_array().unwrap().len(), 0);
    let probes = value["probes"].as_array().unwrap();
    for (expect, questions) in [(true, allowed), (false, denied)] {
        for (from, to, port) in questions {
            let asked = |p: &&serde_json::Value| p["from"] == *from && p["to"] == *to && p["port"] == *port;
            let found: Vec<_> = probes.iter().filter(asked).collect();
            assert!(!found.is_empty(), "{from} to {to} {port} was not measured");
            for probe in found {
                assert_eq!(probe["before"]["passed"], true, "{probe}");
                assert_eq!(probe["after"]["passed"], expect, "{probe}");
                assert_eq!(probe["removed"]["passed"], true, "{probe}");
            }
        }
    }
}

#[test]
fn bank_is_enforced_as_told() {
    let allowed = [
        ("bank/balance-0", "bank/postgres-0", 5432),
        ("ops/admin-0", "bank/postgres-0", 5432),
        ("bank/indexer-0", "service kube-system/kube-dns", 53),
        ("ops/reports-0", "service bank/balance", 80),
    ];
    let denied = [
        ("ops/reports-0", "bank/postgres-0", 5432),
        ("bank/balance-0", "kube-system/metrics-0", 53),
        ("bank/balance-0", "outside 203.0.113.7", 53),
        ("outside 203.0.113.7", "bank/balance-0", 8080),
        ("bank/postgres-0", "bank/balance-0", 8080),
    ];
    example("bank", &allowed, &denied);
}

#[test]
fn retail_is_enforced_as_told() {
    let allowed = [
        ("prod/web-0", "service prod/customer", 80),
        ("outside 203.0.113.7", "prod/web-0", 80),
        ("prod/customer-0", "service prod/web", 80),
    ];
    let denied = [
        ("prod/orders-0", "prod/customer-0", 80),
        ("prod/orders-0", "outside 198.51.100.15", 80),
        ("prod/web-0", "outside 203.0.113.7", 80),
        ("outside 203.0.113.7", "prod/customer-0", 80),
    ];
    example("retail", &allowed, &denied);
    if !privileged() {
        return;
    }
    // No pod has the database's port, so the trial does not ask for it.
    let folder = |part: &str| format!("{YELB}/../retail/{part}");
    let connect = ["bash", "-c", "timeout 1 bash -c '</dev/tcp/198.51.100.15/3306'"];
    for (from, expect) in [("prod/orders", Some(0)), ("prod/customer", Some(124))] {
        let (status, ..) =
            run(&[&[&folder("app")[..], &folder("policies"), "--in", from, "--"], &connect[..]].concat());
        assert_eq!(status, expect, "{from}");
    }
}

#[test]
fn search_is_enforced_as_told() {
    let allowed = [
        ("outside 203.0.113.7", "search/frontend-0", 8080),
        ("search/frontend-0", "service search/product-search", 80),
        ("search/product-search-0", "search/product-db-0", 27017),
    ];
    let denied = [
        ("search/frontend-0", "search/product-db-0", 27017),
        ("search/product-search-0", "search/frontend-0", 8080),
        ("search/product-search-0", "payments/card-vault-0", 8443),
        ("search/product-search-0", "outside 203.0.113.7", 8080),
        ("outside 203.0.113.7", "search/product-search-0", 8080),
    ];
    example("search", &allowed, &denied);
}

#[test]
fn json_has_every_probe_and_event() {
    if !privileged() {
        return;
    }
    let (status, out, _) = run(&[YELB, "-o", "json"]);
    assert_eq!(status, Some(0));
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((value["version"].as_u64(), value["differences"].as_array().unwrap().len()), (Some(1), 0));
    let probe = |from: &str, to: &str, port: u64| {
        let probes = value["probes"].as_array().unwrap();
        let found = probes.iter().find(|p| p["from"] == from && p["to"] == to && p["port"] == port);
        found.unwrap_or_else(|| panic!("no probe from {from} to {to} {port}")).clone()
    };
    let denied = probe("yelb/yelb-ui-0", "yelb/yelb-db-0", 5432);
    assert_eq!(
        (&denied["before"]["outcome"], &denied["after"]["outcome"]),
        (&"answered".into(), &"dropped".into())
    );
    assert_eq!(
        (&denied["after"]["promised"], &denied["removed"]["passed"]),
        (&"denied".into(), &true.into())
    );
    let through_service = probe("yelb/yelb-appserver-0", "service yelb/yelb-db", 5432);
    assert_eq!(through_service["after"]["outcome"], "answered");
    let events = value["events"].as_array().unwrap();
    let told = events.iter().any(|e| {
        let line = e.as_str().unwrap();
        line.contains("allowed yelb/yelb-appserver-0 -> yelb/yelb-db-0 TCP 5432 (yelb/db ingress rule 0")
    });
    assert!(told, "{events:#?}");
}

#[test]
fn a_command_has_its_own_exit_status() {
    if !privileged() {
        return;
    }
    let (status, out, _) =
        run(&[YELB, "--in", "yelb/yelb-ui", "--", "sh", "-c", "getent hosts yelb-db && exit 7"]);
    assert_eq!(status, Some(7));
    assert!(out.contains("yelb-db.yelb.svc.cluster.local"), "{out}");
    let connect = ["bash", "-c", "timeout 1 bash -c '</dev/tcp/yelb-db/5432'"];
    let (denied, ..) = run(&[&[YELB, "--in", "yelb/yelb-ui", "--"], &connect[..]].concat());
    let (open, ..) = run(&[&[YELB, "--no-policies", "--in", "yelb/yelb-ui", "--"], &connect[..]].concat());
    assert_eq!((denied, open), (Some(124), Some(0)));
    let (status, _, err) = run(&[YELB, "--in", "yelb/nobody", "--", "true"]);
    assert_eq!(status, Some(2));
    assert!(err.contains("there is no pod or node `yelb/nobody`") && err.contains("yelb/yelb-db-0"), "{err}");
}

#[test]
fn a_changed_file_takes_hold() {
    if !privileged() {
        return;
    }
    let folder = copy("watch");
    let child =
        lab(&[folder.to_str().unwrap(), "--watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Ended(child.unwrap());
    let mut errors = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut answers = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(errors.any(|line| line.contains("watching the manifests")));

    let db = folder.join("policies/db.yaml");
    let text = std::fs::read_to_string(&db).unwrap();
    // As an editor does it: a new file in the place of the old.
    std::fs::write(folder.join("policies/.db.swp"), text.replace("5432", "5433")).unwrap();
    std::fs::rename(folder.join("policies/.db.swp"), &db).unwrap();
    assert!(answers.any(|line| line.contains("in force on every node after")));
    let closed = "yelb/yelb-appserver-0   yelb/yelb-db-0         TCP 5432   ok       drop";
    assert!(answers.any(|line| line == closed));

    std::fs::write(&db, "spec: [").unwrap();
    assert!(errors.any(|line| line.contains("the policies before stay in force")));
    std::fs::write(&db, text).unwrap();
    assert!(answers.any(|line| line == closed.replace("ok       drop", "drop     ok")));
}

#[test]
fn without_pods_there_is_no_lab() {
    if !privileged() {
        return;
    }
    let (status, out, err) = run(&[&format!("{YELB}/policies")]);
    assert_eq!((status, out.as_str()), (Some(2), ""));
    assert!(err.contains("run no pods"), "{err}");
}

/// A process that is killed when the test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        if let Some(mut rest) = self.0.stderr.take() {
            rest.read_to_string(&mut String::new()).unwrap();
        }
    }
}

fn copy(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{name}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    for part in ["app", "policies"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
        for entry in std::fs::read_dir(Path::new(YELB).join(part)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.join(part).join(entry.file_name())).unwrap();
        }
    }
    folder
}

/// The assertions of the examples, with real packets: they hold under the policies, and what would not hold is seen.
#[test]
fn assertions_are_measured() {
    if !privileged() {
        return;
    }
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    for example in crate::examples::EXAMPLES {
        let folder = format!("{examples}/{example}");
        let (app, policies) = (format!("{folder}/app"), format!("{folder}/policies"));
        let file = format!("{folder}/assertions.yaml");
        let (status, out, err) = run(&[&app, &policies, "--verify", &file]);
        assert_eq!(status, Some(0), "{example}: {out}{err}");
        assert!(out.contains("measurements are as the engine promised"), "{example}: {out}");
        assert!(!out.contains("violated"), "{example}: {out}");
    }
    let folder = crate::folder("lab-verify", &[("a.yaml", VIOLATED.as_bytes())]);
    let file = folder.join("a.yaml");
    let (status, out, _) = run(&[YELB, "--verify", file.to_str().unwrap()]);
    assert_eq!(status, Some(1), "{out}");
    for line in [
        "violated: the interface opens the database",
        "  yelb/yelb-ui-0 must connect to yelb/yelb-db-0 on TCP 5432: dropped",
        "violated: nobody opens the interface",
        "  outside 203.0.113.7 must not connect to yelb/yelb-ui-0 on TCP 80: answered by yelb/yelb-ui-0",
        "not measurable: newcomers are closed",
        "holds: nobody pings the database",
        "1 of 4 assertions hold, 1 cannot be measured",
        "measurements are as the engine promised",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let (status, out, _) = run(&[YELB, "--verify", file.to_str().unwrap(), "-o", "json"]);
    let got: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status, Some(1));
    assert_eq!(got["assertions"][0]["violations"][0]["measured"], serde_json::json!(["dropped"]));
    assert_eq!(got["assertions"][2]["result"], "not measurable");
}

const VIOLATED: &str = "
assertions:
- name: the interface opens the database
  allow: {from: {workload: yelb-ui}, to: {workload: yelb-db}, ports: [5432]}
- name: nobody opens the interface
  deny: {from: external, to: {workload: yelb-ui}, ports: [80]}
- name: newcomers are closed
  deny: {from: external, to: {anyPod: {namespace: yelb, labels: {app: newcomer}}}}
- name: nobody pings the database
  deny: {from: any, to: {workload: yelb-db}, ports: [icmp]}
";
