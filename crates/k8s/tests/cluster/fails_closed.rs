//! What this version does not know in a rule of a cluster-wide policy: the rule fails closed, and says so.

use crate::short::{found, show_rule};
use ringfence_k8s::{Level, ReadOptions, Reading, read};
use ringfence_policy::{ClusterRule, InForce};

const CNP: &str = "policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\nspec:\n  tier: Admin\n  priority: 5\n";
const ANP: &str = "policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: p}\nspec:\n  priority: 5\n\n";
const BANP: &str = "policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\nspec:\n\n\n";

/// A policy with one rule, which is on line 9 from column 5.
fn reading(kind: &str, direction: &str, rule: &str) -> Reading {
    let text = format!("apiVersion: {kind}  subject: {{namespaces: {{}}}}\n  {direction}:\n  - {rule}\n");
    read([("f", text)], &ReadOptions::default())
}

fn rule(reading: &Reading) -> &ClusterRule {
    let [policy] = &reading.inventory.cluster_policies[..] else { panic!("{:#?}", reading.findings) };
    policy.ingress.first().or(policy.egress.first()).unwrap()
}

/// A rule of a kind that fails closed, with one finding: its place, its message and its help.
#[track_caller]
fn closed(kind: &str, direction: &str, text: &str, expect: &str, at: &str, message: &str, help: &str) {
    let reading = reading(kind, direction, text);
    assert_eq!(found(&reading), [format!("{at} warning fails-closed")], "{text}\n{:#?}", reading.findings);
    let finding = &reading.findings[0];
    assert_eq!((finding.message.as_str(), finding.help.as_deref()), (message, Some(help)), "{text}");
    assert_eq!(show_rule(rule(&reading)), expect, "{text}");
    let in_force = rule(&reading).in_force();
    let as_said = if message.ends_with("; this rule matches nothing") {
        InForce::Nothing
    } else {
        assert!(message.ends_with("; this rule denies everything"), "{message}");
        InForce::DenyAll
    };
    assert_eq!(in_force, as_said, "{text}");
}

/// A `to` of an Accept rule, its peer on column 27.
#[track_caller]
fn peer(text: &str, at: &str, message: &str, help: &str) {
    let rule = format!("{{action: Accept, to: [{text}]}}");
    closed(CNP, "egress", &rule, "Accept ?", at, &format!("{message}; this rule matches nothing"), help);
}

/// The item of `protocols` of a Deny rule, on column 56.
#[track_caller]
fn protocol(text: &str, at: &str, message: &str, help: &str) {
    let rule = format!("{{action: Deny, to: [{{namespaces: {{}}}}], protocols: [{text}]}}");
    closed(CNP, "egress", &rule, "Deny ?", at, &format!("{message}; this rule denies everything"), help);
}

#[test]
fn a_peer_that_is_not_known() {
    peer(
        "{}",
        "9:27",
        "nothing in a peer of `to`",
        "this version knows `namespaces`, `pods`, `nodes`, `networks` and `domainNames`",
    );
    peer(
        "null",
        "9:27",
        "nothing in a peer of `to`",
        "this version knows `namespaces`, `pods`, `nodes`, `networks` and `domainNames`",
    );
    peer(
        "{namespaces: null}",
        "9:27",
        "nothing in a peer of `to`",
        "`namespaces` is null; write `namespaces: {}` to select everything",
    );
    peer(
        "{networks: null}",
        "9:27",
        "nothing in a peer of `to`",
        "`networks` is null; remove it, or give it a value",
    );
    peer(
        "{serviceAccounts: {}}",
        "9:28",
        "unknown field `serviceAccounts` in a peer of `to`",
        "this version knows `namespaces`, `pods`, `nodes`, `networks` and `domainNames`",
    );
    peer(
        "{network: [10.0.0.0/8]}",
        "9:28",
        "unknown field `network` in a peer of `to`",
        "did you mean `networks`?",
    );
    peer(
        "{namespaces: {}}, {ipBlock: {cidr: 10.0.0.0/8}}",
        "9:46",
        "unknown field `ipBlock` in a peer of `to`",
        "`ipBlock` belongs to NetworkPolicy; here it is `networks`, in an item of `to`",
    );
    peer(
        "{namespaces: {}, serviceAccounts: {}}",
        "9:44",
        "unknown field `serviceAccounts` in a peer of `to`",
        "this version knows `namespaces`, `pods`, `nodes`, `networks` and `domainNames`",
    );
}

#[test]
fn a_selector_that_is_not_understood() {
    peer(
        "{namespaces: {namespaceSelector: {}}}",
        "9:41",
        "unknown field `namespaceSelector` in `namespaces`",
        "`namespaceSelector` belongs in `pods`; under `namespaces` the selector stands directly",
    );
    peer(
        "{nodes: {matchLabel: {a: b}}}",
        "9:36",
        "unknown field `matchLabel` in `nodes`",
        "did you mean `matchLabels`?",
    );
    peer(
        "{pods: {podSelector: {}, serviceAccount: a}}",
        "9:52",
        "unknown field `serviceAccount` in `pods`",
        "this version knows `namespaceSelector` and `podSelector`",
    );
    peer(
        "{nodes: {matchExpressions: [{key: a, operator: Gt, values: ['1']}]}}",
        "9:74",
        "`Gt` is no operator",
        "the operators are In, NotIn, Exists and DoesNotExist",
    );
    peer(
        "{nodes: {matchExpressions: [{key: a, operator: In}]}}",
        "9:55",
        "operator In needs `values`",
        "for any value, use Exists",
    );
    peer(
        "{nodes: {matchLabels: {a: null}}}",
        "9:50",
        "`a` has no value: the server drops it",
        "write \"\" if the empty string is meant",
    );
}

#[test]
fn a_direction_that_does_not_know_the_peer() {
    let from = |kind, text: &str, at: &str, message: &str, help: &str| {
        let rule = format!("{{action: Deny, from: [{text}]}}");
        let message = format!("{message}; this rule denies everything");
        closed(kind, "ingress", &rule, "Deny ?", at, &message, help);
    };
    for kind in [CNP, ANP, BANP] {
        from(
            kind,
            "{networks: [10.0.0.0/8]}",
            "9:28",
            "unknown field `networks` in a peer of `from`",
            "`networks` belongs in an item of `to`",
        );
        from(
            kind,
            "{nodes: {}}",
            "9:28",
            "unknown field `nodes` in a peer of `from`",
            "`nodes` belongs in an item of `to`",
        );
    }
    closed(
        BANP,
        "egress",
        "{action: Allow, to: [{domainNames: [a.com]}]}",
        "Accept ?",
        "9:27",
        "unknown field `domainNames` in a peer of `to`; this rule matches nothing",
        "this version knows `namespaces`, `pods`, `nodes` and `networks`",
    );
}

#[test]
fn a_protocol_that_is_not_known() {
    let known = "this version knows `tcp`, `udp`, `sctp` and `destinationNamedPort`";
    protocol("{}", "9:56", "nothing in an item of `protocols`", known);
    protocol(
        "{tcp: null}",
        "9:56",
        "nothing in an item of `protocols`",
        "`tcp` is null; remove it, or give it a value",
    );
    protocol("{icmp: {type: 8}}", "9:57", "unknown field `icmp` in an item of `protocols`", known);
    protocol("{TCP: {}}", "9:57", "unknown field `TCP` in an item of `protocols`", "did you mean `tcp`?");
    protocol(
        "{portNumber: {port: 80}}",
        "9:57",
        "unknown field `portNumber` in an item of `protocols`",
        "`portNumber` belongs to v1alpha1; here it is `tcp: {destinationPort: ...}`",
    );
    protocol("{tcp: {}}", "9:62", "nothing in `tcp`", "this version knows `destinationPort`");
    protocol(
        "{udp: {flags: [SYN]}}",
        "9:63",
        "unknown field `flags` in `udp`",
        "this version knows `destinationPort`",
    );
    protocol(
        "{sctp: {destinationPort: {number: 1}, sourcePort: {number: 1}}}",
        "9:94",
        "unknown field `sourcePort` in `sctp`",
        "this version knows `destinationPort`",
    );
    protocol(
        "{tcp: {destinationPort: {}}}",
        "9:80",
        "nothing in `destinationPort`",
        "this version knows `number` and `range`",
    );
    protocol(
        "{tcp: {destinationPort: {range: {start: 1, end: 2, step: 1}}}}",
        "9:107",
        "unknown field `step` in `range`",
        "this version knows `start` and `end`",
    );
    protocol(
        "{destinationNamedPort: ''}",
        "9:79",
        "`` is no port name: it is empty",
        "the name of a container's port has small letters, digits and single dashes, and a letter",
    );
}

#[test]
fn ports_of_v1alpha1_that_are_not_known() {
    let port = |text: &str, at: &str, message: &str, help: &str| {
        let rule = format!("{{action: Pass, to: [{{namespaces: {{}}}}], ports: [{text}]}}");
        let message = format!("{message}; this rule denies everything");
        closed(ANP, "egress", &rule, "Pass ?", at, &message, help);
    };
    let known = "this version knows `portNumber`, `namedPort` and `portRange`";
    port("{}", "9:52", "nothing in an item of `ports`", known);
    port(
        "{port: 80}",
        "9:53",
        "unknown field `port` in an item of `ports`",
        "`port` belongs in `portNumber`",
    );
    port("{portNumber: {protocol: tcp, port: 80}}", "9:76", "`tcp` is no protocol", "did you mean TCP?");
    port(
        "{portNumber: {port: 80, endPort: 90}}",
        "9:76",
        "unknown field `endPort` in `portNumber`",
        "`endPort` belongs to NetworkPolicy; here it is `portRange`",
    );
    port(
        "{portRange: {protocol: QUIC, start: 1, end: 2}}",
        "9:75",
        "`QUIC` is no protocol",
        "the protocols are TCP, UDP and SCTP",
    );
}

#[test]
fn a_field_of_a_rule_that_is_not_known() {
    let check = |kind, action: &str, field: &str, message: &str, help: &str| {
        let rule = format!("{{to: [{{namespaces: {{}}}}], {field}: [], action: {action}}}");
        let expect = if action == "Allow" { "Accept" } else { action };
        closed(kind, "egress", &rule, &format!("{expect} ?"), "9:30", message, help);
    };
    check(
        CNP,
        "Accept",
        "protocol",
        "unknown field `protocol` in a rule of `egress`; this rule matches nothing",
        "did you mean `protocols`?",
    );
    check(
        CNP,
        "Pass",
        "ports",
        "unknown field `ports` in a rule of `egress`; this rule denies everything",
        "`ports` belongs to other kinds; here it is `protocols`",
    );
    check(
        CNP,
        "Deny",
        "from",
        "unknown field `from` in a rule of `egress`; this rule denies everything",
        "`from` belongs in an item of `ingress`",
    );
    check(
        CNP,
        "Deny",
        "schedule",
        "unknown field `schedule` in a rule of `egress`; this rule denies everything",
        "this version knows `name`, `action`, `to` and `protocols`",
    );
    check(
        ANP,
        "Allow",
        "protocols",
        "unknown field `protocols` in a rule of `egress`; this rule matches nothing",
        "`protocols` belongs to v1alpha2; here it is `ports`",
    );
}

#[test]
fn an_action_that_is_not_known() {
    let check = |kind, action: &str, help: &str| {
        let rule = format!("{{action: {action}, from: [{{namespaces: {{}}}}]}}");
        let message = format!("`{action}` is no action; this rule denies everything");
        closed(kind, "ingress", &rule, "Deny ?", "9:14", &message, help);
    };
    check(CNP, "accept", "did you mean Accept?");
    check(CNP, "Allow", "v1alpha2 spells it Accept");
    check(CNP, "Log", "the actions of a ClusterNetworkPolicy are `Accept`, `Deny` and `Pass`");
    check(ANP, "Accept", "v1alpha1 spells it Allow");
    check(ANP, "Denny", "did you mean Deny?");
    check(BANP, "Pass", "the actions of a BaselineAdminNetworkPolicy are `Allow` and `Deny`");
}

#[test]
fn domain_names_can_only_be_accepted() {
    let help = "accept the names that are allowed, and deny the rest in a later rule";
    for (kind, action) in [(CNP, "Deny"), (CNP, "Pass"), (ANP, "Deny"), (ANP, "Pass")] {
        let rule = format!("{{to: [{{namespaces: {{}}}}, {{domainNames: [a.com]}}], action: {action}}}");
        let message = format!(
            "`domainNames` in a {action} rule: names can only be accepted; this rule denies everything"
        );
        closed(kind, "egress", &rule, &format!("{action} ?"), "9:30", &message, help);
    }
}

#[test]
fn every_fault_is_told_and_other_rules_stay() {
    let text = format!(
        "apiVersion: {CNP}  subject: {{namespaces: {{}}}}\n  ingress:\n  - {{action: Accept, from: [{{}}, {{x: 1}}], protocols: [{{}}]}}\n  - {{action: Deny, from: [{{namespaces: {{}}}}]}}\n"
    );
    let reading = read([("f", text)], &ReadOptions::default());
    assert_eq!(
        found(&reading),
        ["9:29 warning fails-closed", "9:34 warning fails-closed", "9:54 warning fails-closed"]
    );
    assert!(!reading.has_errors());
    let rules: Vec<String> = reading.inventory.cluster_policies[0].ingress.iter().map(show_rule).collect();
    assert_eq!(rules, ["Accept ?", "Deny {}{} on any"]);
}

#[test]
fn what_a_server_refuses_is_an_error_beside_what_is_not_known() {
    let check = |rule: &str, findings: &[&str]| {
        let reading = reading(CNP, "egress", rule);
        assert_eq!(found(&reading), findings, "{rule}");
        assert!(reading.findings.iter().any(|f| f.level == Level::Error));
        assert!(reading.inventory.cluster_policies.is_empty(), "{rule}");
    };
    check("{action: Log, to: []}", &["9:14 warning fails-closed", "9:23 error empty-list"]);
    check(
        "{action: Deny, to: [{x: 1}, {networks: [x]}]}",
        &["9:26 warning fails-closed", "9:45 error invalid-cidr"],
    );
    check(
        "{action: Deny, to: [{domainNames: [a..b]}]}",
        &["9:26 warning fails-closed", "9:40 error invalid-domain"],
    );
    check(
        &format!("{{action: Deny, to: [{{}}], name: {}}}", "x".repeat(101)),
        &["9:25 warning fails-closed", "9:36 error invalid-name"],
    );
    // What stands after the rule is not in it: the next rule is read as ever, and so is the next object.
    let text = format!(
        "apiVersion: {CNP}  subject: {{namespaces: {{}}}}\n  egress: [{{action: Accept, to: [{{}}]}}]\n  rules: []\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {{podSelector: {{x: 1}}}}\n"
    );
    let reading = read([("f", text)], &ReadOptions::default());
    assert_eq!(
        found(&reading),
        ["8:34 warning fails-closed", "9:3 error unknown-field", "14:22 error unknown-field"]
    );
}
