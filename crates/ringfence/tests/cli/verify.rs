//! `ringfence verify`.

use serde_json::json;

use crate::{Run, fixtures, folder, run_in};

/// The fixture shop against these assertions.
fn verify(name: &str, assertions: &str, rest: &str) -> Run {
    let shop = std::fs::read(fixtures().join("shop.yaml")).unwrap();
    let folder = folder(name, &[("shop/shop.yaml", &shop), ("a.yaml", assertions.as_bytes())]);
    run_in(&folder, &format!("verify -a a.yaml shop {rest}"), "")
}

const HOLD: &str = "
assertions:
- name: web serves one network
  only:
    to: {namespace: shop, workload: web}
    from: {address: 192.0.2.0/24}
    ports: [8080]
- name: web uses api
  allow: {from: {workload: deployment/web}, to: {workload: api}, ports: 9000/tcp}
- deny: {from: external, to: [{labels: {app: db}}, {workload: api}]}
- deny: {from: {namespaceLabels: {team: sre}}, to: {namespace: shop}, ports: [icmp, 1-65535/tcp]}
";

#[test]
fn what_holds() {
    let run = verify("verify-hold", HOLD, "");
    assert_eq!(run.status, 0, "{run:?}");
    assert!(
        run.out.ends_with(
            "4 of 4 assertions hold
"
        ),
        "{run:?}"
    );
}

#[test]
fn a_violation_has_a_connection_and_its_reasons() {
    let assertions = "
assertions:
- name: api uses db
  allow: {from: {workload: api}, to: {workload: db}, ports: [5432]}
- name: nobody reaches web
  deny: {from: any, to: {workload: web}}
- {name: db is closed, deny: {from: external, to: {workload: db}}}
";
    insta::assert_snapshot!(verify("verify-violated", assertions, "").shown());
    let got = verify("verify-violated", assertions, "-o json").json();
    assert_eq!(
        got["assertions"][0]["message"],
        "shop/deployment/api may not connect to shop/statefulset/db on TCP 5432"
    );
    assert_eq!(got["assertions"][2]["holds"], json!(true));
    let junit = verify("verify-violated", assertions, "-o junit").out;
    assert!(junit.contains("tests=\"3\" failures=\"2\""), "{junit}");
}

#[test]
fn only_keeps_out_everybody_else() {
    let assertions = "
assertions:
- name: api only from web
  only: {from: {workload: web}, to: {workload: api}, ports: [9000]}
- name: too narrow
  only: {from: {address: 192.0.2.0/25}, to: {workload: web}, ports: [8080]}
";
    let got = verify("verify-only", assertions, "-o json").json();
    assert_eq!(got["assertions"][0]["holds"], json!(true));
    assert_eq!(got["assertions"][1]["holds"], json!(false));
}

#[test]
fn what_selects_nothing_is_violated() {
    let assertions = "assertions:\n- deny: {from: external, to: {labels: {app: gone}}}\n";
    assert_eq!(verify("verify-empty", assertions, "").status, 1);
    assert_eq!(verify("verify-empty", assertions, "--allow-empty").status, 0);
    let pairless = "assertions:\n- deny: {from: external, to: external}\n";
    let run = verify("verify-pairless", pairless, "");
    assert!(run.status == 1 && run.out.contains("have no pair to check"), "{run:?}");
    assert_eq!(verify("verify-pairless", pairless, "--allow-empty").status, 0);
}

#[test]
fn a_slip_is_an_error_with_its_place() {
    let check = |name: &str, text: &str, place: &str, message: &str| {
        let run = verify(name, text, "");
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{run:?}");
        assert!(run.err.contains(message) && run.err.contains(place), "{run:?}");
    };
    check("verify-key", "assertions:\n- deny: {form: any, to: any}\n", "a.yaml:2:10", "did you mean `from`?");
    let text = "assertions:\n- deny: {from: any, to: {workload: bd}}\n";
    check("verify-name", text, "a.yaml:2:36", "no pod of the input has the workload `bd`");
    check(
        "verify-port",
        "assertions:\n- deny: {from: any, to: any, ports: [0]}\n",
        "a.yaml:2:38",
        "this is no port",
    );
    check("verify-no-items", "assertions: []\n", "a.yaml", "there are no assertions in this file");
    check("verify-none", "assertion: []\n", "a.yaml:1:1", "did you mean `assertions`?");
}
