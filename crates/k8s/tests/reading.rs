//! Reading whole manifests: what each line of the NetworkPolicy semantics asks of a reader, and what bad input says.

#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use ringfence_k8s::{Level, ReadOptions, Reading, read};
use ringfence_policy::{NamespaceScope, NetworkPolicy, Peer, Peers, Ports, Rule};

fn reading(text: &str) -> Reading {
    read([("f", text)], &ReadOptions::default())
}

/// The findings as `line:column level code`.
fn found(reading: &Reading) -> Vec<String> {
    reading
        .findings
        .iter()
        .map(|f| match &f.place {
            Some(p) => format!("{}:{} {} {}", p.line, p.column, f.level, f.code),
            None => format!("? {} {}", f.level, f.code),
        })
        .collect()
}

/// A policy in short: `subject | ingress | egress`; `-` for a direction that it says nothing about.
fn show(policy: &NetworkPolicy) -> String {
    let rules = |rules: &Option<Vec<Rule>>| match rules {
        None => "-".to_owned(),
        Some(rules) => format!("[{}]", rules.iter().map(show_rule).collect::<Vec<_>>().join("; ")),
    };
    format!("{{{}}} | {} | {}", policy.subject, rules(&policy.ingress), rules(&policy.egress))
}

fn show_rule(rule: &Rule) -> String {
    let peers = match &rule.peers {
        Peers::Any => "any".to_owned(),
        Peers::Of(peers) => peers.iter().map(show_peer).collect::<Vec<_>>().join(" or "),
    };
    let ports = match &rule.ports {
        Ports::Any => "any".to_owned(),
        Ports::Of(ports) => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("{peers} on {ports}")
}

fn show_peer(peer: &Peer) -> String {
    match peer {
        Peer::Block(block) => block.to_string(),
        Peer::Pods { namespaces: NamespaceScope::Own, pods } => format!("own{{{pods}}}"),
        Peer::Pods { namespaces: NamespaceScope::Matching(ns), pods } => format!("ns{{{ns}}}{{{pods}}}"),
    }
}

/// A policy with this `spec`, indented by two. The spec starts on line 5.
fn with_spec(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: ns}}\nspec:\n{spec}"
    )
}

#[track_caller]
fn policy(spec: &str, expect: &str, findings: &[&str]) {
    let reading = reading(&with_spec(spec));
    let policies: Vec<String> = reading.inventory.policies.iter().map(show).collect();
    assert_eq!(found(&reading), findings, "{spec}\n{:#?}", reading.findings);
    assert_eq!(policies, [expect], "{spec}");
}

/// A spec that is refused, with these findings.
#[track_caller]
fn refused(spec: &str, findings: &[&str]) {
    let reading = reading(&with_spec(spec));
    assert_eq!(found(&reading), findings, "{spec}\n{:#?}", reading.findings);
    assert!(reading.inventory.policies.is_empty(), "{spec}");
    assert!(reading.has_errors());
}

#[test]
fn policy_types_default_as_on_the_server() {
    policy("  podSelector: {}\n", "{} | [] | -", &[]);
    policy("  podSelector: {}\n  ingress: []\n", "{} | [] | -", &[]);
    policy("  podSelector: {}\n  ingress: null\n", "{} | [] | -", &[]);
    policy("  podSelector: {}\n  ingress:\n", "{} | [] | -", &[]);
    policy("  podSelector: {}\n  egress: []\n", "{} | [] | -", &[]);
    policy("  podSelector: {}\n  egress: null\n", "{} | [] | -", &[]);
    policy("  podSelector: {}\n  egress: [{}]\n", "{} | [] | [any on any]", &[]);
    policy("  podSelector: {}\n  policyTypes: []\n  egress: [{}]\n", "{} | [] | [any on any]", &[]);
    policy("  podSelector: {}\n  policyTypes: [Egress]\n", "{} | - | []", &[]);
    policy("  podSelector: {}\n  policyTypes: [Ingress, Egress]\n", "{} | [] | []", &[]);
    policy("  podSelector: {}\n  policyTypes: [Ingress, Ingress]\n", "{} | [] | -", &[]);
    policy("  podSelector: {}\n  ingress: [{}]\n", "{} | [any on any] | -", &[]);
}

#[test]
fn rules_of_a_direction_that_is_not_listed_are_reported() {
    policy(
        "  podSelector: {}\n  policyTypes: [Ingress]\n  egress: [{}]\n",
        "{} | [] | -",
        &["7:3 warning rules-without-effect"],
    );
    policy(
        "  podSelector: {}\n  policyTypes: [Egress]\n  ingress: [{}]\n",
        "{} | - | []",
        &["7:3 warning rules-without-effect"],
    );
    policy("  podSelector: {}\n  policyTypes: [Egress]\n  ingress: []\n", "{} | - | []", &[]);
}

#[test]
fn absent_and_empty_lists_are_any() {
    for from in ["", "from: []", "from: null", "from:"] {
        policy(
            &format!("  podSelector: {{}}\n  ingress:\n  - ports: []\n    {from}\n"),
            "{} | [any on any] | -",
            &[],
        );
    }
    for ports in ["", "ports: []", "ports: null", "ports:"] {
        let spec =
            format!("  podSelector: {{}}\n  ingress:\n  - from: [{{podSelector: {{}}}}]\n    {ports}\n");
        policy(&spec, "{} | [own{} on any] | -", &[]);
    }
}

#[test]
fn selectors() {
    policy("  podSelector: {matchLabels: {app: db, tier: back}}\n", "{app=db,tier=back} | [] | -", &[]);
    policy("  podSelector: {matchLabels: {}, matchExpressions: null}\n", "{} | [] | -", &[]);
    policy(
        "  podSelector:\n    matchExpressions:\n    - {key: a, operator: In, values: [x, z]}\n    - {key: b, operator: NotIn, values: [z]}\n    - {key: c, operator: Exists}\n    - {key: d, operator: DoesNotExist, values: []}\n",
        "{a in (x,z),b notin (z),c,!d} | [] | -",
        &[],
    );
    policy("  podSelector: {matchLabels: {app: ''}}\n", "{app=} | [] | -", &[]);
    policy("  podSelector:\n    matchLabels:\n      app:\n", "{app=} | [] | -", &["7:7 warning null-value"]);
    policy("  {}\n", "{} | [] | -", &["3:18 warning no-pod-selector"]);
    policy("  podSelector:\n", "{} | [] | -", &["5:3 warning no-pod-selector"]);
}

#[test]
fn bad_selectors_are_refused() {
    let selector = |text: &str, findings: &[&str]| refused(&format!("  podSelector: {text}\n"), findings);
    selector("{matchLabels: {app: 1}}", &["5:36 error wrong-type"]);
    selector("{matchLabels: {app: yes}}", &["5:36 error wrong-type"]);
    selector("{matchLabels: {app: a b}}", &["5:36 error invalid-label"]);
    selector("{matchLabels: {-app: a}}", &["5:31 error invalid-label"]);
    selector("{matchLabels: [app]}", &["5:30 error wrong-type"]);
    selector("{matchlabels: {app: db}}", &["5:17 error unknown-field"]);
    selector("{app: db}", &["5:17 error unknown-field"]);
    selector("[]", &["5:16 error wrong-type"]);
    selector("app", &["5:16 error wrong-type"]);
    let expression = |text: &str, findings: &[&str]| {
        refused(&format!("  podSelector:\n    matchExpressions:\n    - {text}\n"), findings);
    };
    expression("{key: a, operator: in, values: [x]}", &["7:26 error invalid-selector"]);
    expression("{key: a, operator: Equals, values: [x]}", &["7:26 error invalid-selector"]);
    expression("{key: a, operator: In}", &["7:7 error invalid-selector"]);
    expression("{key: a, operator: NotIn, values: []}", &["7:41 error invalid-selector"]);
    expression("{key: a, operator: Exists, values: [x]}", &["7:42 error invalid-selector"]);
    expression("{key: a, operator: In, values: x}", &["7:38 error wrong-type"]);
    expression("{key: a, operator: In, values: [1]}", &["7:39 error wrong-type"]);
    expression("{operator: Exists}", &["7:7 error invalid-selector"]);
    expression("{key: a}", &["7:7 error invalid-selector"]);
    expression("{key: a/, operator: Exists}", &["7:13 error invalid-label"]);
    expression("{key: a, operator: Exists, value: x}", &["7:34 error unknown-field"]);
}

#[test]
fn peers() {
    let peer = |text: &str, expect: &str| {
        policy(
            &format!("  podSelector: {{}}\n  ingress: [{{from: [{text}]}}]\n"),
            &format!("{{}} | [{expect} on any] | -"),
            &[],
        );
    };
    peer("{podSelector: {}}", "own{}");
    peer("{podSelector: {matchLabels: {a: b}}}", "own{a=b}");
    peer("{namespaceSelector: {}}", "ns{}{}");
    peer("{namespaceSelector: {}, podSelector: null}", "ns{}{}");
    peer("{namespaceSelector: {matchLabels: {t: x}}, podSelector: {matchLabels: {a: b}}}", "ns{t=x}{a=b}");
    peer(
        "{namespaceSelector: {matchLabels: {t: x}}}, {podSelector: {matchLabels: {a: b}}}",
        "ns{t=x}{} or own{a=b}",
    );
    peer("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}", "10.0.0.0/8 except 10.1.0.0/16");
    peer("{ipBlock: {cidr: '::/0', except: null}}", "::/0");
}

#[test]
fn bad_peers_are_refused() {
    let peer = |text: &str, findings: &[&str]| {
        refused(&format!("  podSelector: {{}}\n  egress:\n  - to:\n    - {text}\n"), findings);
    };
    peer("{}", &["8:7 error empty-peer"]);
    peer("podSelector:", &["8:7 error empty-peer"]);
    peer("{podSelector: null, namespaceSelector: null}", &["8:7 error empty-peer"]);
    peer("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}", &["8:8 error mixed-peer"]);
    peer("{podselector: {}}", &["8:8 error unknown-field"]);
    peer("{ipBlock: {}}", &["8:17 error missing-field"]);
    peer("{ipBlock: 10.0.0.0/8}", &["8:17 error wrong-type"]);
    peer("{ipBlock: {cidr: 10.0.0.1}}", &["8:24 error invalid-cidr"]);
    peer("{ipBlock: {cidr: 10.0.0.0/33}}", &["8:24 error invalid-cidr"]);
    peer("{ipBlock: {cidr: '::ffff:10.0.0.0/104'}}", &["8:24 error invalid-cidr"]);
    peer("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}", &["8:45 error invalid-except"]);
    peer("{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}", &["8:45 error invalid-except"]);
    peer("{ipBlock: {cidr: 10.0.0.0/8, except: [0.0.0.0/0]}}", &["8:45 error invalid-except"]);
    peer("{ipBlock: {cidr: 10.0.0.0/8, except: ['::/64']}}", &["8:45 error invalid-except"]);
    peer("{ipBlock: {cidr: 10.0.0.0/8, except: 10.1.0.0/16}}", &["8:44 error wrong-type"]);
    peer("just text", &["8:7 error wrong-type"]);
}

#[test]
fn host_bits_are_masked_with_a_warning() {
    policy(
        "  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8}}]}]\n",
        "{} | [10.0.0.0/8 on any] | -",
        &["6:38 warning host-bits"],
    );
}

#[test]
fn ports() {
    let port = |text: &str, expect: &str| {
        policy(
            &format!("  podSelector: {{}}\n  ingress: [{{ports: [{text}]}}]\n"),
            &format!("{{}} | [any on {expect}] | -"),
            &[],
        );
    };
    port("{}", "TCP (all ports)");
    port("{protocol: UDP}", "UDP (all ports)");
    port("{protocol: SCTP, port: 80}", "SCTP 80");
    port("{port: 80}", "TCP 80");
    port("{port: 80, protocol: null}", "TCP 80");
    port("{port: 0x50}", "TCP 80");
    port("{port: 80.0}", "TCP 80");
    port("{port: http}", "TCP http");
    port("{port: 80, endPort: 80}", "TCP 80");
    port("{port: 80, endPort: 90}", "TCP 80-90");
    port("{port: 80, endPort: null}", "TCP 80");
    port("{port: 65535}", "TCP 65535");
    port("{port: 53, protocol: UDP}, {port: 53}", "UDP 53, TCP 53");
}

#[test]
fn bad_ports_are_refused() {
    let port = |text: &str, findings: &[&str]| {
        refused(&format!("  podSelector: {{}}\n  ingress:\n  - ports:\n    - {text}\n"), findings);
    };
    port("{port: '80'}", &["8:14 error invalid-port"]);
    port("{port: 0}", &["8:14 error invalid-port"]);
    port("{port: 65536}", &["8:14 error invalid-port"]);
    port("{port: -1}", &["8:14 error invalid-port"]);
    port("{port: 80.5}", &["8:14 error wrong-type"]);
    port("{port: yes}", &["8:14 error wrong-type"]);
    port("{port: 80-90}", &["8:14 error invalid-port"]);
    port("{port: HTTP}", &["8:14 error invalid-port"]);
    port("{port: [80]}", &["8:14 error wrong-type"]);
    port("{port: 80, protocol: tcp}", &["8:28 error invalid-protocol"]);
    port("{protocol: ''}", &["8:18 error invalid-protocol"]);
    port("{protocol: ICMP}", &["8:18 error invalid-protocol"]);
    port("{port: 80, endPort: 79}", &["8:18 error invalid-port"]);
    port("{port: 80, endPort: 65536}", &["8:27 error invalid-port"]);
    port("{port: 80, endPort: '90'}", &["8:27 error wrong-type"]);
    port("{port: http, endPort: 90}", &["8:20 error invalid-port"]);
    port("{endPort: 90}", &["8:8 error invalid-port"]);
    port("{port: 80, endport: 90}", &["8:18 error unknown-field"]);
    port("80", &["8:7 error wrong-type"]);
}

#[test]
fn unknown_fields_are_refused_and_explained() {
    let help = |spec: &str, place: &str, expect: &str| {
        let reading = reading(&with_spec(spec));
        let first = &reading.findings[0];
        let at = first.place.as_ref().unwrap();
        assert_eq!(
            (format!("{}:{}", at.line, at.column).as_str(), first.help.as_deref()),
            (place, Some(expect)),
            "{spec}"
        );
        assert!(reading.inventory.policies.is_empty());
    };
    help("  podselector: {}\n", "5:3", "did you mean `podSelector`?");
    help(
        "  podSelector: {}\n  ports: []\n",
        "6:3",
        "`ports` belongs in an item of `ingress` or `egress`, beside `from` or `to`",
    );
    help(
        "  podSelector: {}\n  ingress:\n  - from:\n    - podSelector: {}\n      ports: []\n",
        "9:7",
        "`ports` belongs in an item of `ingress` or `egress`, beside `from` or `to`",
    );
    help("  podSelector: {}\n  egress:\n  - from: []\n", "7:5", "write `to`, or move the rule to `ingress`");
    help("  podSelector:\n    app: db\n", "6:5", "labels go under `matchLabels`: `matchLabels: {app: ...}`");
    help("  podSelector: {}\n  policyTypes: [ingress]\n", "6:17", "did you mean Ingress?");
    help("  podSelector: {}\n  ingress:\n  - ports:\n    - port: '80'\n", "8:13", "remove the quotes");
    help("  podSelector: {matchLabels: {v: 1.10}}\n", "5:34", "quote it: \"1.10\"");
}

#[test]
fn wrong_shapes_are_refused() {
    refused("  podSelector: {}\n  ingress: {}\n", &["6:12 error wrong-type"]);
    refused("  podSelector: {}\n  ingress: [[]]\n", &["6:13 error wrong-type"]);
    refused("  podSelector: {}\n  ingress:\n  - from: {}\n", &["7:11 error wrong-type"]);
    refused("  podSelector: {}\n  ingress:\n  - from:\n      podSelector: {}\n", &["8:7 error wrong-type"]);
    refused("  podSelector: {}\n  policyTypes: Ingress\n", &["6:16 error wrong-type"]);
    refused(
        "  podSelector: {}\n  policyTypes: [Ingress, Egress, Egress]\n",
        &["6:16 error invalid-policy-type"],
    );
    refused("  podSelector: {}\n  policyTypes: [null]\n", &["6:17 error wrong-type"]);
    refused("  [a]\n", &["5:3 error wrong-type"]);
}

#[test]
fn empty_items_read_as_on_the_server() {
    policy("  podSelector: {}\n  ingress:\n  -\n", "{} | [any on any] | -", &["7:4 warning empty-item"]);
    policy(
        "  podSelector: {}\n  ingress:\n  - ports:\n    -\n",
        "{} | [any on TCP (all ports)] | -",
        &["8:6 warning empty-item"],
    );
    refused("  podSelector: {}\n  ingress:\n  - from:\n    -\n", &["8:6 error empty-peer"]);
}

#[test]
fn one_broken_part_breaks_the_policy_and_every_fault_is_told() {
    refused(
        "  podSelector: {x: w}\n  policyTypes: [Out]\n  ingress:\n  - ports: [{port: 0}]\n    from: [{}]\n",
        &[
            "5:17 error unknown-field",
            "6:17 error invalid-policy-type",
            "8:20 error invalid-port",
            "9:12 error empty-peer",
        ],
    );
}

#[test]
fn sources_are_the_lines_of_policy_and_rule() {
    let text = format!(
        "# comment\n---\n{}",
        with_spec("  podSelector: {}\n  ingress:\n  - {}\n  -\n    from: []\n")
    );
    let reading = reading(&text);
    let policy = &reading.inventory.policies[0];
    let line = |source: &Option<ringfence_policy::Source>| source.as_ref().unwrap().to_string();
    assert_eq!(line(&policy.source), "f:3");
    let rules: Vec<String> = policy.ingress.as_ref().unwrap().iter().map(|r| line(&r.source)).collect();
    assert_eq!(rules, ["f:9", "f:11"]);
}

#[test]
fn old_spelling_is_read_with_a_warning() {
    let text =
        "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n";
    let reading = reading(text);
    assert_eq!(found(&reading), ["1:13 warning old-api"]);
    assert_eq!(reading.inventory.policies.len(), 1);
}

#[test]
fn the_same_name_twice_is_a_loss() {
    let one = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {matchLabels: {a: b}}}\n";
    let two = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: default}\nspec: {podSelector: {}}\n";
    let other = two.replace("default", "other");
    let reading = read([("one", one), ("two", two), ("three", &other)], &ReadOptions::default());
    assert_eq!(
        reading.inventory.policies.iter().map(show).collect::<Vec<_>>(),
        ["{} | [] | -", "{} | [] | -"]
    );
    let finding = &reading.findings[0];
    assert_eq!(reading.findings.len(), 1);
    assert_eq!(
        finding.to_string(),
        "two:3:18: warning[duplicate-name]: NetworkPolicy default/p is written twice: the later replaces the earlier"
    );
    assert_eq!(finding.related[0].0.to_string(), "one:3:18");
}

#[test]
fn kinds_and_versions() {
    #[track_caller]
    fn check(text: &str, findings: &[&str], passed_over: &[&str]) {
        let reading = reading(text);
        assert_eq!(found(&reading), findings, "{text}");
        assert_eq!(reading.passed_over.keys().collect::<Vec<_>>(), passed_over, "{text}");
    }
    check("{apiVersion: v1, kind: ConfigMap}", &[], &["ConfigMap"]);
    check("{apiVersion: serving.knative.dev/v1, kind: Service}", &[], &["Service"]);
    check(
        "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy}",
        &["1:14 warning foreign-policy"],
        &["NetworkPolicy"],
    );
    check(
        "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy}",
        &["1:34 warning foreign-policy"],
        &["CiliumNetworkPolicy"],
    );
    check(
        "{apiVersion: k8s.ovn.org/v1, kind: EgressFirewall}",
        &["1:36 warning foreign-policy"],
        &["EgressFirewall"],
    );
    check("apiVersion: v1\nkind: NetworkPolicy\n", &["1:13 error unknown-version"], &[]);
    check("apiVersion: networking.k8s.io/v1\nkind: Networkpolicy\n", &["2:7 error unknown-kind"], &[]);
    check("apiVersion: v1\nkind: Deployment\n", &["1:13 error unknown-version"], &[]);
    check("apiVersion: v1\nkind: ConfigMap\n", &[], &["ConfigMap"]);
    check("foo: bar\n", &["1:1 error not-an-object"], &[]);
    check("kind: Pod\nmetadata: {name: a}\n", &["1:1 error not-an-object"], &[]);
    check("apiVersion: v1\n", &["1:1 error not-an-object"], &[]);
    check("- a\n", &["1:1 error not-an-object"], &[]);
    check("just text\n", &["1:1 error not-an-object"], &[]);
    check("{}\n", &[], &[]);
    check("apiVersion: 1\nkind: Pod\n", &["1:13 error wrong-type"], &[]);
    check("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n", &["2:1 error missing-field"], &[]);
    check("apiVersion: v1\nkind: Pod\nmetadata: {}\n", &["3:11 error missing-field"], &[]);
}

#[test]
fn lists() {
    let check = |text: &str, names: &[&str], findings: &[&str]| {
        let reading = reading(text);
        assert_eq!(found(&reading), findings, "{text}");
        let found: Vec<String> =
            reading.inventory.workloads.iter().map(|w| format!("{}/{}", w.kind, w.name)).collect();
        assert_eq!(found, names, "{text}");
    };
    check(
        "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: a}}]}",
        &["Pod/a"],
        &[],
    );
    check(
        "{apiVersion: v1, kind: PodList, items: [{metadata: {name: a}}, {metadata: {name: b}}]}",
        &["Pod/a", "Pod/b"],
        &[],
    );
    check("{apiVersion: v1, kind: List, items: [{metadata: {name: a}}]}", &[], &["1:39 error not-an-object"]);
    check("{apiVersion: v1, kind: List, items: null}", &[], &[]);
    check("{apiVersion: v1, kind: List, items: {}}", &[], &["1:37 error wrong-type"]);
    check("{apiVersion: v1, kind: ConfigMapList, items: [{}, 1]}", &[], &[]);
    check(
        "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: a}}]}]}",
        &["Pod/a"],
        &[],
    );
    check(
        "{apiVersion: v1, kind: List, items: [1, {apiVersion: v1, kind: Pod, metadata: {name: a}}]}",
        &["Pod/a"],
        &["1:38 error not-an-object"],
    );
}

#[test]
fn a_broken_object_is_left_out_as_a_whole_and_the_others_are_read() {
    let text = format!(
        "{}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\n",
        with_spec("  podSelector: {}\n  egres: []\n")
    );
    let reading = reading(&text);
    assert_eq!(found(&reading), ["6:3 error unknown-field"]);
    assert_eq!((reading.inventory.policies.len(), reading.inventory.workloads.len()), (0, 1));
    assert_eq!(reading.findings[0].object.as_deref(), Some("NetworkPolicy ns/p"));
    assert_eq!(reading.findings[0].level, Level::Error);
}

#[test]
fn bytes_that_are_not_text_are_a_finding() {
    let mut reader = ringfence_k8s::Reader::new(ReadOptions::default());
    reader.bytes("b", b"a: 1\nb: \xff\n".to_vec());
    let reading = reader.finish();
    assert_eq!(found(&reading), ["2:4 error encoding"]);
}

#[test]
fn json_documents() {
    let pod = |name: &str| {
        format!(
            "{{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"metadata\": {{\"name\": \"{name}\"}}\n}}\n"
        )
    };
    let check = |text: &str, names: &[&str], findings: &[&str]| {
        let reading = reading(text);
        assert_eq!(found(&reading), findings, "{text}");
        assert_eq!(
            reading.inventory.workloads.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(),
            names,
            "{text}"
        );
    };
    check(&pod("a"), &["a"], &[]);
    check(&format!("\u{feff}\n{}", pod("a")), &["a"], &[]);
    check(&format!("{}{}", pod("a"), pod("b")), &["a", "b"], &[]);
    check(&format!("{}---\n{}", pod("a"), pod("b")), &["a", "b"], &[]);
    check(&format!("---\n{}", pod("a")), &["a"], &[]);
    check("{apiVersion: v1, kind: Pod, metadata: {name: a}}", &["a"], &[]);
    check(&format!("{}{}", pod("a"), "{\"apiVersion\": \"v1\",}}"), &["a"], &["6:21 error syntax"]);
    check("{\"apiVersion\": \"v1\", \"apiVersion\": \"v1\"}", &[], &["1:22 error duplicate-key"]);
}

#[test]
fn policies_with_one_generated_name_are_all_kept() {
    let policy = with_spec("  podSelector: {}\n").replace("name: p,", "generateName: p-,");
    let cluster = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {generateName: p-}\nspec: {tier: Admin, priority: 1, subject: {namespaces: {}}}\n";
    let other = policy.replace("namespace: ns", "namespace: other");
    let text = [policy.as_str(), cluster, &policy, &other, cluster, &policy].join("---\n");
    let options = ReadOptions { keep_manifests: true, ..ReadOptions::default() };
    let kept = read([("f", text.as_str())], &options);
    let names: Vec<String> = kept.inventory.all_policies().iter().map(|p| p.key().to_string()).collect();
    let cluster = ["ClusterNetworkPolicy/p-", "ClusterNetworkPolicy/p-(2)"];
    assert_eq!(names, [&["ns/p-", "ns/p-(2)", "other/p-", "ns/p-(3)"][..], &cluster].concat());
    let of_manifests: Vec<&str> = kept.manifests.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(of_manifests, ["p-", "p-", "p-(2)", "p-", "p-(2)", "p-(3)"]);
    assert_eq!(found(&kept), ["27:31 warning equal-priority"]);
    // A dash at the end is a habit, and no part of a name that is complete.
    let undashed = policy.replace("p-", "p");
    let dashed = policy.replace("generateName", "name");
    let reading = reading(&[undashed.as_str(), &undashed, &dashed].join("---\n"));
    let names: Vec<String> = reading.inventory.policies.iter().map(|p| p.name.to_string()).collect();
    assert_eq!(names, ["ns/p(1)", "ns/p(2)"]);
    assert_eq!(found(&reading), ["15:18 error invalid-name"]);
}

#[test]
fn a_generated_name_never_takes_the_place_of_a_whole_one() {
    let whole = with_spec("  podSelector: {}\n");
    let generated = whole.replace("name: p,", "generateName: p,");
    for texts in [[&generated, &whole, &generated], [&whole, &generated, &generated]] {
        let reading = reading(&texts.map(String::as_str).join("---\n"));
        let mut names: Vec<String> = reading.inventory.policies.iter().map(|p| p.name.to_string()).collect();
        names.sort_unstable();
        assert_eq!(names, ["ns/p", "ns/p(1)", "ns/p(2)"]);
        assert_eq!(found(&reading), [""; 0]);
    }
}

#[test]
fn nothing_is_passed_over_without_a_word() {
    let foreign = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicyList\nitems:\n- metadata: {name: a}\n";
    assert_eq!(found(&reading(foreign)), ["4:3 warning foreign-policy"]);
    // Once for a list, however its items say what they are.
    let foreign = "apiVersion: projectcalico.org/v3\nkind: NetworkPolicyList\nitems:\n- {metadata: {name: a}}\n\
                   - {apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: b}}\n";
    assert_eq!(found(&reading(foreign)), ["4:3 warning foreign-policy"]);
    let others = "apiVersion: example.com/v1\nkind: PodList\nitems:\n\
                  - {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}\n";
    assert_eq!(reading(others).inventory.workloads.len(), 1);
    let misspelled = "apiVersion: v1\nkind: List\nitem: []\n";
    assert_eq!(found(&reading(misspelled)), ["1:1 error missing-field"]);
    let wrong_group =
        with_spec("  podSelector: {}\n").replace("networking.k8s.io/v1", "gateway.networking.k8s.io/v1");
    assert_eq!(
        reading(&wrong_group).findings.iter().map(|f| f.code).collect::<Vec<_>>(),
        ["unknown-version"]
    );
}

#[test]
fn the_same_object_twice_and_alike_loses_nothing() {
    let one = with_spec("  podSelector: {}\n  ingress: [{}]\n");
    let reading = reading(&format!("{one}---\n{one}"));
    assert_eq!(found(&reading), ["10:18 warning duplicate-name"]);
    assert_eq!(reading.inventory.policies.len(), 1);
}

#[test]
fn metadata_is_held_to_its_fields() {
    #[track_caller]
    fn check(kind: &str, metadata: &str, findings: &[&str]) {
        let (version, spec) = match kind {
            "NetworkPolicy" => ("networking.k8s.io/v1", "{podSelector: {}}"),
            "Deployment" => ("apps/v1", "{template: {metadata: {lables: {a: b}}, spec: {containers: []}}}"),
            _ => ("v1", "{containers: []}"),
        };
        let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n");
        assert_eq!(found(&reading(&text)), findings, "{text}");
    }
    // Whoever writes `namepace` means another namespace than the default.
    check("NetworkPolicy", "{name: p, namepace: shop}", &["3:21 error unknown-field"]);
    check("NetworkPolicy", "{name: p, tags: {}}", &["3:21 error unknown-field"]);
    check("Pod", "{name: p, namepace: shop}", &["3:21 error unknown-field"]);
    check("Pod", "{name: p, lables: {a: b}}", &["3:21 error unknown-field"]);
    check("Pod", "{name: p, tags: {}}", &[]);
    check("Deployment", "{name: p}", &["4:30 error unknown-field"]);
    let of_a_server = "{name: p, generateName: p-, namespace: ns, uid: u, resourceVersion: '1', generation: 1, \
                       creationTimestamp: null, selfLink: /p, managedFields: [], finalizers: [], \
                       deletionTimestamp: null, deletionGracePeriodSeconds: 0}";
    check("NetworkPolicy", of_a_server, &[]);
    check("NetworkPolicy", "{name: p, annotations: {a b: c}}", &["3:35 error invalid-name"]);
    check("Pod", "{name: p, annotations: {a/b/c: c}}", &["3:35 warning invalid-name"]);
    check("NetworkPolicy", "{name: p, annotations: {Example.com/A: c}}", &[]);
    // An empty name is none.
    check("NetworkPolicy", "{name: '', generateName: p-}", &[]);
    check("NetworkPolicy", "{name: '', generateName: ''}", &["3:18 error missing-field"]);
}

#[test]
fn manifests_are_kept_on_demand() {
    let options = ReadOptions { keep_manifests: true, ..ReadOptions::default() };
    let reading = read([("f", with_spec("  podSelector: {}\n"))], &options);
    let manifest = &reading.manifests[0];
    assert_eq!(
        (manifest.kind.as_str(), manifest.namespace.as_str(), manifest.name.as_str()),
        ("NetworkPolicy", "ns", "p")
    );
    assert!(manifest.node.get("spec").is_some_and(|s| s.get("policyTypes").is_none()));
}

/// Backends as `namespace/service:port host path`.
fn backends(reading: &Reading) -> Vec<String> {
    use ringfence_k8s::BackendPort;
    let all = reading.inventory.routes.iter().flat_map(|r| &r.backends);
    all.map(|b| {
        let port = match &b.port {
            Some(BackendPort::Number(number)) => number.to_string(),
            Some(BackendPort::Name(name)) => name.clone(),
            None => "-".to_owned(),
        };
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        format!("{}/{}:{port} {} {}", b.namespace, b.service, or_none(&b.host), or_none(&b.path))
    })
    .collect()
}

#[test]
fn routes_from_outside() {
    #[track_caller]
    fn check(text: &str, expect: &[&str], findings: &[&str]) {
        let reading = reading(text);
        assert_eq!(
            (backends(&reading), found(&reading)),
            (
                expect.iter().map(|e| (*e).to_owned()).collect(),
                findings.iter().map(|f| (*f).to_owned()).collect(),
            )
        );
    }
    let ingress = |version: &str, spec: &str| {
        format!(
            "apiVersion: {version}\nkind: Ingress\nmetadata: {{name: i, namespace: shop}}\nspec: {spec}\n"
        )
    };
    let v1 = "networking.k8s.io/v1";
    let rules = "{defaultBackend: {service: {name: d, port: {name: http}}}, tls: [{unknown: field}], rules: [{host: h, \
                 http: {paths: [{path: /p, backend: {service: {name: s, port: {number: 80}}}}]}}]}";
    check(&ingress(v1, rules), &["shop/d:http - -", "shop/s:80 h /p"], &[]);
    check(&ingress(v1, "{defaultBackend: {resource: {kind: Bucket, name: b}}}"), &[], &[]);
    check(&ingress(v1, "{defaultBackend: {}}"), &[], &["4:24 error missing-field"]);
    check(&ingress(v1, "{rules: {host: h}}"), &[], &["4:15 error wrong-type"]);
    let old = "{rules: [{http: {paths: [{backend: {serviceName: s, servicePort: http}}]}}]}";
    check(&ingress("extensions/v1beta1", old), &["shop/s:http - -"], &[]);
    let route = |kind: &str, spec: &str| {
        let version = "gateway.networking.k8s.io/v1";
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: r, namespace: shop}}\nspec: {spec}\n")
    };
    let http = "{parentRefs: [{name: g, namespace: infra}], hostnames: [a, b], rules: [{matches: [{path: {value: /p}}], \
                backendRefs: [{name: s, port: 80}, {name: t, namespace: m, port: 81}]}]}";
    check(
        &route("HTTPRoute", http),
        &["shop/s:80 a /p", "shop/s:80 b /p", "m/t:81 a /p", "m/t:81 b /p"],
        &[],
    );
    let plain = "{rules: [{backendRefs: [{name: s, port: 5432}, {group: x, kind: Other, name: o}]}]}";
    for kind in ["GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"] {
        check(&route(kind, plain), &["shop/s:5432 - -"], &[]);
    }
    check(&route("TCPRoute", "{rules: [{backendRefs: [{port: 1}]}]}"), &[], &["4:31 error missing-field"]);
    let gateway = reading(&route(
        "Gateway",
        "{gatewayClassName: c, listeners: [{name: l, port: 443, protocol: HTTPS}]}",
    ));
    let of = &gateway.inventory.gateways[0];
    assert_eq!((of.class.as_deref(), of.listeners[0].port, found(&gateway)), (Some("c"), 443, vec![]));
    // Of another product, and of a version to come.
    assert_eq!(reading("{apiVersion: networking.istio.io/v1, kind: Gateway}").passed_over.len(), 1);
    let to_come = reading("{apiVersion: gateway.networking.k8s.io/v2, kind: TCPRoute}");
    assert_eq!((to_come.passed_over.len(), found(&to_come)), (1, vec![]));
}
