//! Cluster-wide policies as a server takes them, and everything that it refuses: each limit of the schemas with its
//! place.

use crate::short::{found, show, show_rule};
use ringfence_k8s::{ReadOptions, Reading, read};

const CNP: &str = "policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy";
const ANP: &str = "policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy";
const BANP: &str = "policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy";

fn reading(text: &str) -> Reading {
    read([("f", text)], &ReadOptions::default())
}

/// An object of a kind, with this `spec`, which starts on line 5.
fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

/// A ClusterNetworkPolicy with rules; they start on line 8.
fn with_rules(rules: &str) -> String {
    object(CNP, "p", &format!("  tier: Admin\n  priority: 5\n  subject: {{namespaces: {{}}}}\n{rules}"))
}

#[track_caller]
fn policy(text: &str, expect: &str, findings: &[&str]) {
    let reading = reading(text);
    let policies: Vec<String> = reading.inventory.cluster_policies.iter().map(show).collect();
    assert_eq!(found(&reading), findings, "{text}\n{:#?}", reading.findings);
    assert_eq!(policies, [expect], "{text}");
    assert_eq!(reading.inventory.world().cluster_policies, reading.inventory.cluster_policies);
}

/// A text whose only object is refused.
#[track_caller]
fn refused(text: &str, findings: &[&str]) {
    let reading = reading(text);
    assert_eq!(found(&reading), findings, "{text}\n{:#?}", reading.findings);
    assert!(reading.inventory.cluster_policies.is_empty(), "{text}");
    assert!(reading.has_errors(), "{text}");
}

/// A rule to everybody in the middle of an ingress list, as it is read.
#[track_caller]
fn ingress(rule: &str, expect: &str) {
    let expect = format!("ClusterNetworkPolicy/p Admin 5 {{}}{{}} | {expect} | ");
    policy(&with_rules(&format!("  ingress:\n  - {rule}\n")), &expect, &[]);
}

#[track_caller]
fn egress(rule: &str, expect: &str) {
    let expect = format!("ClusterNetworkPolicy/p Admin 5 {{}}{{}} |  | {expect}");
    policy(&with_rules(&format!("  egress:\n  - {rule}\n")), &expect, &[]);
}

/// A rule on line 9, from column 5, that breaks the policy.
#[track_caller]
fn bad_egress(rule: &str, findings: &[&str]) {
    refused(&with_rules(&format!("  egress:\n  - {rule}\n")), findings);
}

#[test]
fn the_three_kinds() {
    let subject =
        "subject: {pods: {namespaceSelector: {matchLabels: {ns: a}}, podSelector: {matchLabels: {p: b}}}}";
    policy(
        &object(CNP, "p", &format!("  tier: Admin\n  priority: 0\n  {subject}\n")),
        "ClusterNetworkPolicy/p Admin 0 {ns=a}{p=b} |  | ",
        &[],
    );
    policy(
        &object(
            CNP,
            "p",
            "  {tier: Baseline, priority: 1000, subject: {namespaces: {}}, ingress: [], egress: null}\n",
        ),
        "ClusterNetworkPolicy/p Baseline 1000 {}{} |  | ",
        &[],
    );
    policy(
        &object(ANP, "p", &format!("  priority: 7\n  {subject}\n")),
        "AdminNetworkPolicy/p Admin 7 {ns=a}{p=b} |  | ",
        &[],
    );
    policy(
        &object(BANP, "default", &format!("  {subject}\n")),
        "BaselineAdminNetworkPolicy/default Baseline 1000 {ns=a}{p=b} |  | ",
        &[],
    );
    policy(
        &object(CNP, "p", "  {tier: Admin, priority: 1, subject: {pods: {podSelector: {}}}}\n"),
        "ClusterNetworkPolicy/p Admin 1 {}{} |  | ",
        &[],
    );
    let list = object(CNP, "p", "  {tier: Admin, priority: 1, subject: {namespaces: {}}}\n")
        .replace('\n', "\n  ")
        .replace("apiVersion", "- apiVersion");
    policy(
        &format!("apiVersion: v1\nkind: List\nitems:\n{list}"),
        "ClusterNetworkPolicy/p Admin 1 {}{} |  | ",
        &[],
    );
}

#[test]
fn rules_keep_their_order_and_names() {
    let rule = |name: &str, action: &str| {
        format!("  - {{name: {name}, action: {action}, from: [{{namespaces: {{}}}}]}}\n")
    };
    let rules = ["  ingress:\n", &rule("b", "Pass"), &rule("a", "Accept"), &rule("''", "Deny")].concat();
    policy(
        &with_rules(&rules),
        "ClusterNetworkPolicy/p Admin 5 {}{} | b: Pass {}{} on any; a: Accept {}{} on any; Deny {}{} on any | ",
        &[],
    );
    let old = rules.replace("Accept", "Allow");
    policy(
        &object(ANP, "p", &format!("  priority: 5\n  subject: {{namespaces: {{}}}}\n{old}")),
        "AdminNetworkPolicy/p Admin 5 {}{} | b: Pass {}{} on any; a: Accept {}{} on any; Deny {}{} on any | ",
        &[],
    );
    let lines: Vec<String> = reading(&with_rules(&rules)).inventory.cluster_policies[0]
        .ingress
        .iter()
        .map(|r| r.source.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(lines, ["f:9", "f:10", "f:11"]);
}

#[test]
fn peers() {
    let peer = |text: &str, expect: &str| {
        ingress(&format!("{{action: Deny, from: [{text}]}}"), &format!("Deny {expect} on any"));
        egress(&format!("{{action: Deny, to: [{text}]}}"), &format!("Deny {expect} on any"));
    };
    peer("{namespaces: {}}", "{}{}");
    peer("{namespaces: {matchLabels: {a: b}}, pods: null}", "{a=b}{}");
    peer("{pods: {podSelector: {}}}", "{}{}");
    peer(
        "{pods: {namespaceSelector: {matchLabels: {a: b}}, podSelector: {matchLabels: {c: d}}}}",
        "{a=b}{c=d}",
    );
    peer("{namespaces: {}}, {pods: {podSelector: {matchLabels: {c: d}}}}", "{}{} or {}{c=d}");
    let to = |text: &str, expect: &str| {
        egress(&format!("{{action: Accept, to: [{text}]}}"), &format!("Accept {expect} on any"));
    };
    to("{nodes: {}}", "nodes{}");
    to("{nodes: {matchExpressions: [{key: a, operator: Exists}]}}", "nodes{a}");
    to("{networks: [10.0.0.0/8, '::/0']}, {namespaces: {}}", "10.0.0.0/8 or ::/0 or {}{}");
    to("{domainNames: ['*.Example.com', kubernetes.io.]}", "*.example.com or kubernetes.io");
}

#[test]
fn protocols_of_v1alpha2() {
    let check = |text: &str, expect: &str| {
        ingress(
            &format!("{{action: Deny, from: [{{namespaces: {{}}}}], protocols: {text}}}"),
            &format!("Deny {{}}{{}} on {expect}"),
        );
    };
    check("null", "any");
    check("[{tcp: {destinationPort: {number: 80}}}]", "TCP 80");
    check(
        "[{udp: {destinationPort: {number: 1}}}, {sctp: {destinationPort: {number: 65535}}}]",
        "UDP 1, SCTP 65535",
    );
    check("[{tcp: {destinationPort: {range: {start: 1, end: 65535}}}}]", "TCP 1-65535");
    check("[{destinationNamedPort: web}]", "TCP web, UDP web, SCTP web");
}

#[test]
fn ports_of_v1alpha1() {
    for (kind, name, priority) in [(ANP, "p", "  priority: 5\n"), (BANP, "default", "")] {
        let check = |text: &str, expect: &str| {
            let spec = format!(
                "{priority}  subject: {{namespaces: {{}}}}\n  egress: [{{action: Allow, to: [{{namespaces: {{}}}}], ports: {text}}}]\n"
            );
            let reading = reading(&object(kind, name, &spec));
            assert_eq!(found(&reading), [""; 0], "{:#?}", reading.findings);
            let rules = &reading.inventory.cluster_policies[0].egress;
            assert_eq!(show_rule(&rules[0]), format!("Accept {{}}{{}} on {expect}"));
        };
        check("null", "any");
        check("[{portNumber: {port: 80}}]", "TCP 80");
        check("[{portNumber: {port: 80, protocol: null}}]", "TCP 80");
        check(
            "[{portNumber: {protocol: SCTP, port: 80}}, {namedPort: web}]",
            "SCTP 80, TCP web, UDP web, SCTP web",
        );
        check("[{portRange: {start: 8080, end: 9090}}]", "TCP 8080-9090");
        check("[{portRange: {protocol: UDP, start: 1, end: 2}}]", "UDP 1-2");
    }
}

#[test]
fn what_a_server_refuses_of_an_object() {
    let spec = |text: &str, findings: &[&str]| refused(&object(CNP, "p", &format!("  {text}\n")), findings);
    spec("{priority: 1, subject: {namespaces: {}}}", &["3:18 error missing-field"]);
    spec("{tier: null, priority: 1, subject: {namespaces: {}}}", &["5:4 error missing-field"]);
    spec("{tier: admin, priority: 1, subject: {namespaces: {}}}", &["5:10 error invalid-tier"]);
    spec("{tier: NetworkPolicy, priority: 1, subject: {namespaces: {}}}", &["5:10 error invalid-tier"]);
    spec("{tier: 1, priority: 1, subject: {namespaces: {}}}", &["5:10 error wrong-type"]);
    spec("{tier: Admin, subject: {namespaces: {}}}", &["3:18 error missing-field"]);
    spec("{tier: Admin, priority: -1, subject: {namespaces: {}}}", &["5:27 error invalid-priority"]);
    spec("{tier: Admin, priority: 1001, subject: {namespaces: {}}}", &["5:27 error invalid-priority"]);
    spec("{tier: Admin, priority: 65536, subject: {namespaces: {}}}", &["5:27 error invalid-priority"]);
    spec("{tier: Admin, priority: '1', subject: {namespaces: {}}}", &["5:27 error wrong-type"]);
    spec("{tier: Admin, prioritty: 1, subject: {namespaces: {}}}", &["5:17 error unknown-field"]);
    spec("{tier: Admin, priority: 1}", &["3:18 error missing-field"]);
    spec("{tier: Admin, priority: 1, subject: {namespaces: {}}, rules: []}", &["5:57 error unknown-field"]);
    spec("{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: {}}", &["5:66 error wrong-type"]);
    spec(
        "{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [null]}",
        &["5:67 error missing-field", "5:67 error missing-field"],
    );
    let subject = |text: &str, findings: &[&str]| {
        spec(&format!("{{tier: Admin, priority: 1, subject: {text}}}"), findings);
    };
    subject("null", &["5:30 error missing-field"]);
    subject("{}", &["5:39 error missing-field"]);
    subject("{namespaces: null}", &["5:39 error missing-field"]);
    subject("{nodes: {}}", &["5:40 error unknown-field"]);
    subject("{namespaces: {}, serviceAccounts: {}}", &["5:56 error unknown-field"]);
    subject("{namespaces: {}, pods: {podSelector: {}}}", &["5:56 error mixed-fields"]);
    subject("{pods: {}}", &["5:46 error missing-field"]);
    subject("{pods: {podSelector: {}, name: a}}", &["5:64 error unknown-field"]);
    subject("{namespaces: {matchlabels: {a: b}}}", &["5:53 error unknown-field"]);
    subject("{namespaces: {matchLabels: {a: null}}}", &["5:67 error null-value"]);
    subject("{namespaces: {matchLabels: {a: b c}}}", &["5:70 error invalid-label"]);
    subject("{namespaces: {matchExpressions: [{key: a, operator: Is}]}}", &["5:91 error invalid-selector"]);
    subject(
        "{namespaces: {matchExpressions: [{key: a, operator: In, values: [null]}]}}",
        &["5:104 error wrong-type"],
    );
    subject("all", &["5:39 error wrong-type"]);
    refused(&format!("apiVersion: {CNP}\nmetadata: {{name: p}}\n"), &["3:18 error missing-field"]);
    refused(&format!("apiVersion: {CNP}\nmetadata: {{name: p}}\nspec: []\n"), &["4:7 error wrong-type"]);
    let good = "  {tier: Admin, priority: 1, subject: {namespaces: {}}}\n";
    refused(&format!("{}subject: {{}}\n", object(CNP, "p", good)), &["6:1 error unknown-field"]);
    refused(&object(CNP, "P", good), &["3:18 error invalid-name"]);
}

#[test]
fn what_a_server_refuses_of_v1alpha1() {
    let admin = |text: &str, findings: &[&str]| refused(&object(ANP, "p", &format!("  {text}\n")), findings);
    admin("{subject: {namespaces: {}}}", &["3:18 error missing-field"]);
    admin("{priority: 1001, subject: {namespaces: {}}}", &["5:14 error invalid-priority"]);
    admin("{tier: Admin, priority: 1, subject: {namespaces: {}}}", &["5:4 error unknown-field"]);
    admin("{priority: 1, subject: {pods: {podSelector: {}}}}", &["5:33 error missing-field"]);
    admin(
        "{priority: 1, subject: {pods: {namespaceSelector: null, podSelector: {}}}}",
        &["5:34 error missing-field"],
    );
    admin("{priority: 1, subject: {pods: {namespaceSelector: {}}}}", &["5:33 error missing-field"]);
    let baseline = "  subject: {namespaces: {}}\n";
    refused(&object(BANP, "other", baseline), &["3:18 error invalid-name"]);
    refused(
        &object(BANP, "default", "  {priority: 1, subject: {namespaces: {}}}\n"),
        &["5:4 error unknown-field"],
    );
    let port = |text: &str, findings: &[&str]| {
        let rule = format!("{{action: Deny, from: [{{namespaces: {{}}}}], ports: {text}}}");
        let spec = format!("  subject: {{namespaces: {{}}}}\n  ingress:\n  - {rule}\n");
        refused(&object(BANP, "default", &spec), findings);
    };
    port("[]", &["7:53 error empty-list"]);
    port("[{portNumber: {port: 0}}]", &["7:74 error invalid-port"]);
    port("[{portNumber: {}}]", &["7:67 error missing-field"]);
    port("[{portNumber: {port: http}}]", &["7:74 error wrong-type"]);
    port("[{portNumber: 80}]", &["7:67 error wrong-type"]);
    port("[{portNumber: {port: 80}, namedPort: a}]", &["7:79 error mixed-fields"]);
    port("[{portRange: {start: 2, end: 2}}]", &["7:82 error invalid-port"]);
    port("[{portRange: {start: 2}}]", &["7:66 error missing-field"]);
    port("[{portRange: {star: 2, end: 3}}]", &["7:67 error unknown-field"]);
}

#[test]
fn what_a_server_refuses_of_a_rule() {
    bad_egress("{to: [{namespaces: {}}]}", &["9:5 error missing-field"]);
    bad_egress("{action: null, to: [{namespaces: {}}]}", &["9:6 error missing-field"]);
    bad_egress("{acton: Deny, to: [{namespaces: {}}]}", &["9:6 error unknown-field"]);
    bad_egress("{action: [Deny], to: [{namespaces: {}}]}", &["9:14 error wrong-type"]);
    bad_egress("{action: Deny}", &["9:5 error missing-field"]);
    bad_egress("{action: Deny, to: null}", &["9:20 error missing-field"]);
    bad_egress("{action: Deny, to: []}", &["9:24 error empty-list"]);
    bad_egress("{action: Deny, too: [{namespaces: {}}]}", &["9:20 error unknown-field"]);
    bad_egress(
        "{action: Deny, from: [{namespaces: {}}]}",
        &["9:5 error missing-field", "9:20 warning fails-closed"],
    );
    bad_egress("{action: Deny, to: {namespaces: {}}}", &["9:24 error wrong-type"]);
    bad_egress("{action: Deny, to: [all]}", &["9:25 error wrong-type"]);
    bad_egress("{name: 1, action: Deny, to: [{namespaces: {}}]}", &["9:12 error wrong-type"]);
    let name =
        |length: usize| format!("{{name: {}, action: Deny, to: [{{namespaces: {{}}}}]}}", "é".repeat(length));
    egress(&name(100), &format!("{}: Deny {{}}{{}} on any", "é".repeat(100)));
    bad_egress(&name(101), &["9:12 error invalid-name"]);
}

#[test]
fn what_a_server_refuses_of_a_peer() {
    let peer =
        |text: &str, findings: &[&str]| bad_egress(&format!("{{action: Accept, to: [{text}]}}"), findings);
    peer("{namespaces: {}, nodes: {}}", &["9:44 error mixed-fields"]);
    peer("{namespaces: all}", &["9:40 error wrong-type"]);
    peer("{pods: {namespaceSelector: {}}}", &["9:34 error missing-field"]);
    peer("{networks: []}", &["9:38 error empty-list"]);
    peer("{networks: 10.0.0.0/8}", &["9:38 error wrong-type"]);
    peer("{networks: [10.0.0.1]}", &["9:39 error invalid-cidr"]);
    peer(
        "{networks: [10.0.0.0/33, '::ffff:10.0.0.0/104']}",
        &["9:39 error invalid-cidr", "9:52 error invalid-cidr"],
    );
    peer("{networks: ['0000:0000:0000:0000:0000:0000:100.100.100.0/128']}", &["9:39 error invalid-cidr"]);
    peer("{networks: [10.0.0.0/8, 10.0.0.0/8]}", &["9:51 error duplicate-item"]);
    peer("{networks: [null]}", &["9:39 error wrong-type"]);
    peer("{domainNames: []}", &["9:41 error empty-list"]);
    peer(
        "{domainNames: [com, 'a.*.com', 'https://a.com', a..com]}",
        &[
            "9:42 error invalid-domain",
            "9:47 error invalid-domain",
            "9:58 error invalid-domain",
            "9:75 error invalid-domain",
        ],
    );
    peer("{domainNames: [a.com, a.com]}", &["9:49 error duplicate-item"]);
    peer("{namespaces: {matchExpressions: [{key: a}]}}", &["9:60 error invalid-selector"]);
}

#[test]
fn what_a_server_refuses_of_ports() {
    let port = |text: &str, findings: &[&str]| {
        bad_egress(&format!("{{action: Deny, to: [{{namespaces: {{}}}}], protocols: {text}}}"), findings);
    };
    port("[]", &["9:55 error empty-list"]);
    port("{}", &["9:55 error wrong-type"]);
    port("[tcp]", &["9:56 error wrong-type"]);
    port("[{tcp: 80}]", &["9:62 error wrong-type"]);
    port("[{tcp: {destinationPort: 80}}]", &["9:80 error wrong-type"]);
    port("[{tcp: {destinationPort: {number: 0}}}]", &["9:89 error invalid-port"]);
    port("[{tcp: {destinationPort: {number: 65536}}}]", &["9:89 error invalid-port"]);
    port("[{tcp: {destinationPort: {number: '80'}}}]", &["9:89 error wrong-type"]);
    port("[{tcp: {destinationPort: {number: 1, range: {start: 1, end: 2}}}}]", &["9:92 error mixed-fields"]);
    port("[{tcp: {destinationPort: {range: {start: 2, end: 2}}}}]", &["9:104 error invalid-port"]);
    port("[{tcp: {destinationPort: {range: {start: 3, end: 2}}}}]", &["9:104 error invalid-port"]);
    port("[{tcp: {destinationPort: {range: {end: 2}}}}]", &["9:88 error missing-field"]);
    port("[{tcp: {destinationPort: {range: {start: 2}}}}]", &["9:88 error missing-field"]);
    port(
        "[{tcp: {destinationPort: {number: 1}}, udp: {destinationPort: {number: 1}}}]",
        &["9:94 error mixed-fields"],
    );
    port("[{destinationNamedPort: 80}]", &["9:79 error wrong-type"]);
}

#[test]
fn named_ports_are_for_pods() {
    for peer in ["networks: [10.0.0.0/8]", "nodes: {}", "domainNames: [a.com]"] {
        let rule = |ports: &str| {
            format!("{{action: Accept, to: [{{namespaces: {{}}}}, {{{peer}}}], protocols: [{ports}]}}")
        };
        let text = with_rules(&format!(
            "  egress:\n  -\n    {}\n",
            rule("{tcp: {destinationPort: {number: 1}}}, {destinationNamedPort: web}")
        ));
        let reading = reading(&text);
        let [finding] = &reading.findings[..] else { panic!("{:#?}", reading.findings) };
        let key = peer.split(':').next().unwrap();
        assert_eq!(
            finding.message,
            format!("`destinationNamedPort` in a rule to `{key}`: only pods name their ports")
        );
        assert_eq!(finding.related[0].0.to_string(), "f:10:46");
        assert!(reading.has_errors() && reading.inventory.cluster_policies.is_empty());
    }
}

#[test]
fn how_much_a_server_takes() {
    let many = |item: &str, n: usize| vec![item; n].join(", ");
    let numbered = |n: usize| (0..n).map(|i| format!("10.0.{i}.0/24")).collect::<Vec<_>>().join(", ");
    let names = |n: usize| (0..n).map(|i| format!("n{i}.example.com")).collect::<Vec<_>>().join(", ");
    let pods = "{namespaces: {}}";
    let tcp = "{tcp: {destinationPort: {number: 1}}}";
    let number = "{portNumber: {port: 1}}";
    let new = |n: usize, rule: &str| with_rules(&format!("  egress: [{}]\n", many(rule, n)));
    let old = |n: usize, rule: &str| {
        let spec = format!("  {{priority: 5, subject: {{namespaces: {{}}}}, egress: [{}]}}\n", many(rule, n));
        object(ANP, "p", &spec)
    };
    let check = |text: String, findings: &[&str]| assert_eq!(found(&reading(&text)), findings, "{text}");
    let rule = |action: &str, peers: &str, ports: &str| format!("{{action: {action}, to: [{peers}]{ports}}}");
    let simple = rule("Deny", pods, "");
    check(new(25, &simple), &[]);
    check(new(26, &simple), &["8:11 error too-many"]);
    check(old(100, &simple), &[]);
    check(old(101, &simple), &["5:52 error too-many"]);
    check(new(1, &rule("Deny", &many(pods, 25), "")), &[]);
    check(new(1, &rule("Deny", &many(pods, 26), "")), &["8:31 error too-many"]);
    check(old(1, &rule("Deny", &many(pods, 100), "")), &[]);
    check(old(1, &rule("Deny", &many(pods, 101), "")), &["5:72 error too-many"]);
    check(new(1, &rule("Deny", pods, &format!(", protocols: [{}]", many(tcp, 25)))), &[]);
    check(
        new(1, &rule("Deny", pods, &format!(", protocols: [{}]", many(tcp, 26)))),
        &["8:62 error too-many"],
    );
    check(old(1, &rule("Deny", pods, &format!(", ports: [{}]", many(number, 100)))), &[]);
    check(
        old(1, &rule("Deny", pods, &format!(", ports: [{}]", many(number, 101)))),
        &["5:99 error too-many"],
    );
    for (at, of) in [("8:43", &new as &dyn Fn(usize, &str) -> String), ("5:84", &old)] {
        check(of(1, &rule("Deny", &format!("{{networks: [{}]}}", numbered(25)), "")), &[]);
        let too_many = format!("{at} error too-many");
        check(of(1, &rule("Deny", &format!("{{networks: [{}]}}", numbered(26)), "")), &[&too_many]);
    }
    check(new(1, &rule("Accept", &format!("{{domainNames: [{}]}}", names(25)), "")), &[]);
    check(
        new(1, &rule("Accept", &format!("{{domainNames: [{}]}}", names(26)), "")),
        &["8:48 error too-many"],
    );
    check(old(1, &rule("Allow", &format!("{{domainNames: [{}]}}", names(25)), "")), &[]);
    check(old(1, &rule("Allow", &format!("{{domainNames: [{}]}}", names(26)), "")), &["5:88 error too-many"]);
}

#[test]
fn one_broken_part_breaks_the_policy_and_every_fault_is_told() {
    refused(
        &object(
            CNP,
            "p",
            "  tier: Top\n  priority: 2000\n  subject: {}\n  ingress: [{action: Deny, from: []}]\n  egress:\n  - action: Deny\n    to: [{networks: [x]}]\n    protocols: [{tcp: {destinationPort: {number: 0}}}]\n",
        ),
        &[
            "5:9 error invalid-tier",
            "6:13 error invalid-priority",
            "7:12 error missing-field",
            "8:34 error empty-list",
            "11:22 error invalid-cidr",
            "12:50 error invalid-port",
        ],
    );
}

#[test]
fn doubtful_but_read() {
    policy(
        &with_rules(
            "  egress: [{action: Accept, to: [{networks: [10.1.2.3/8]}, {domainNames: [10.0.0.1]}]}]\n",
        ),
        "ClusterNetworkPolicy/p Admin 5 {}{} |  | Accept 10.0.0.0/8 or 10.0.0.1 on any",
        &["8:46 warning host-bits", "8:75 warning address-as-name"],
    );
    let text = with_rules("").replace("{name: p}", "{name: p, namespace: kube_system}");
    policy(&text, "ClusterNetworkPolicy/p Admin 5 {}{} |  | ", &["3:32 warning namespace-ignored"]);
    assert_eq!(reading(&text).findings[0].object.as_deref(), Some("ClusterNetworkPolicy p"));
}

#[test]
fn the_same_name_twice() {
    let spec =
        |priority: u32| format!("  {{tier: Admin, priority: {priority}, subject: {{namespaces: {{}}}}}}\n");
    let admin = "  {priority: 9, subject: {namespaces: {}}}\n";
    let objects = [
        object(CNP, "p", &spec(1)),
        object(ANP, "p", admin),
        object(CNP, "p", &spec(2)),
        object(CNP, "q", &spec(1)),
    ];
    let reading = reading(&objects.join("---\n"));
    assert_eq!(
        reading.inventory.cluster_policies.iter().map(show).collect::<Vec<_>>(),
        [
            "ClusterNetworkPolicy/p Admin 2 {}{} |  | ",
            "AdminNetworkPolicy/p Admin 9 {}{} |  | ",
            "ClusterNetworkPolicy/q Admin 1 {}{} |  | "
        ]
    );
    let findings: Vec<String> = reading.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "f:15:18: warning[duplicate-name]: ClusterNetworkPolicy p is written twice: the later replaces the earlier"
        ]
    );
    assert_eq!(reading.findings[0].related[0].0.to_string(), "f:3:18");
    let twice = [object(ANP, "p", admin), format!("# moved\n{}", object(ANP, "p", admin))].join("---\n");
    assert!(self::reading(&twice).findings[0].message.ends_with("both alike"));
}

#[test]
fn equal_priorities_are_ordered_by_name_and_reported() {
    let spec = |tier: &str, priority: u32| {
        format!("  {{tier: {tier}, priority: {priority}, subject: {{namespaces: {{}}}}}}\n")
    };
    let objects = [
        object(CNP, "c", &spec("Admin", 5)),
        object(CNP, "a", &spec("Admin", 5)),
        object(CNP, "b", &spec("Baseline", 5)),
        object(ANP, "b", "  {priority: 5, subject: {namespaces: {}}}\n"),
        object(CNP, "z", &spec("Baseline", 1000)),
        object(BANP, "default", "  subject: {namespaces: {}}\n"),
        object(CNP, "d", &spec("Admin", 6)),
    ];
    let reading = reading(&objects.join("---\n"));
    let findings: Vec<String> = reading.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "f:5:27: warning[equal-priority]: AdminNetworkPolicy b and ClusterNetworkPolicy c both have priority 5 in the Admin tier: b is asked first, by the order of the names",
            "f:23:14: warning[equal-priority]: ClusterNetworkPolicy a and AdminNetworkPolicy b both have priority 5 in the Admin tier: a is asked first, by the order of the names",
            "f:29:30: warning[equal-priority]: BaselineAdminNetworkPolicy default and ClusterNetworkPolicy z both have priority 1000 in the Baseline tier: default is asked first, by the order of the names",
        ]
    );
    let related: Vec<String> =
        reading.findings.iter().map(|f| format!("{} {}", f.related[0].0, f.related[0].1)).collect();
    assert_eq!(
        related,
        [
            "f:23:14 AdminNetworkPolicy b is here",
            "f:11:27 ClusterNetworkPolicy a is here",
            "f:33:18 BaselineAdminNetworkPolicy default is here"
        ]
    );
    assert!(reading.findings[2].help.as_ref().unwrap().contains("always 1000"));
}

#[test]
fn versions_that_there_are_not_and_kinds_of_the_group() {
    let check = |text: &str, findings: &[&str], passed_over: &[&str]| {
        let reading = reading(text);
        assert_eq!(found(&reading), findings, "{text}");
        assert_eq!(reading.passed_over.keys().collect::<Vec<_>>(), passed_over, "{text}");
    };
    let of = |version: &str, kind: &str| format!("apiVersion: {version}\nkind: {kind}\n");
    let group = "policy.networking.k8s.io";
    for (version, kind) in [
        ("v1alpha1", "ClusterNetworkPolicy"),
        ("v1beta1", "ClusterNetworkPolicy"),
        ("v1", "ClusterNetworkPolicy"),
        ("v1alpha2", "AdminNetworkPolicy"),
        ("v1beta1", "BaselineAdminNetworkPolicy"),
    ] {
        check(&of(&format!("{group}/{version}"), kind), &["1:13 error unknown-version"], &[]);
    }
    check(&of("networking.k8s.io/v1", "ClusterNetworkPolicy"), &["1:13 error unknown-version"], &[]);
    check(&of(&format!("{group}/v1alpha2"), "ClusterNetworkPolcy"), &["2:7 error unknown-kind"], &[]);
    check(&of(&format!("{group}/v1"), "TenantPolicy"), &["2:7 error unsupported-kind"], &[]);
    let list =
        format!("apiVersion: {group}/v1\nkind: TenantPolicyList\nitems: [{{metadata: {{name: a}}}}]\n");
    check(&list, &["3:10 error unsupported-kind"], &[]);
    check(
        &of("crd.antrea.io/v1alpha1", "ClusterNetworkPolicy"),
        &["1:13 warning foreign-policy"],
        &["ClusterNetworkPolicy"],
    );
}
