//! Policies made up at random: most of them sound, with every way to write what is empty, null or in other words.

use proptest::prelude::*;

use crate::holds;

/// One of these texts, in JSON but for the quotes.
fn any(texts: &[&str]) -> impl Strategy<Value = String> + use<> {
    let quoted: Vec<String> = texts.iter().map(|text| text.replace('\'', "\"")).collect();
    prop::sample::select(quoted)
}

/// A list of such texts, absent, or null.
fn list(items: impl Strategy<Value = String>) -> impl Strategy<Value = Option<String>> {
    let list = prop::collection::vec(items, 0..3).prop_map(|items| Some(format!("[{}]", items.join(", "))));
    prop_oneof![4 => list, 1 => Just(None), 1 => Just(Some("null".to_owned()))]
}

/// A mapping of the fields that are there.
fn object(fields: &[(&str, &Option<String>)]) -> String {
    let fields = fields.iter().filter_map(|(key, value)| Some(format!("\"{key}\": {}", value.as_ref()?)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

fn selector() -> impl Strategy<Value = String> {
    any(&[
        "{}",
        "null",
        "{'matchLabels': {}, 'matchExpressions': []}",
        "{'matchLabels': {'z': 'yes', 'a': '1'}, 'matchExpressions': null}",
        "{'matchLabels': {'a': null}}",
        "{'matchExpressions': [{'operator': 'In', 'key': 'a', 'values': ['b', 'a']}]}",
        "{'matchExpressions': [{'operator': 'NotIn', 'key': 'a', 'values': ['b', null]}]}",
        "{'matchExpressions': [{'operator': 'Exists', 'key': 'a', 'values': []}]}",
        "{'matchExpressions': [{'operator': 'Later', 'key': 'a', 'values': null}]}",
        "{'matchThings': null}",
    ])
}

/// The `spec` of a NetworkPolicy, mostly sound.
fn network_spec() -> impl Strategy<Value = String> {
    let peer = prop_oneof![
        selector().prop_map(|s| format!("{{\"podSelector\": {s}, \"namespaceSelector\": {{}}}}")),
        selector().prop_map(|s| format!("{{\"namespaceSelector\": {s}, \"podSelector\": null}}")),
        any(&[
            "{'ipBlock': {'cidr': '10.1.2.3/8', 'except': []}}",
            "{'ipBlock': {'except': ['::1/128'], 'cidr': '::/0'}}"
        ]),
    ];
    let port = any(&[
        "{}",
        "null",
        "{'port': 80}",
        "{'port': 8e1, 'endPort': 90.0, 'protocol': 'SCTP'}",
        "{'protocol': null, 'port': 'on'}",
        "{'protocol': 'UDP', 'port': null, 'endPort': null}",
    ]);
    let rule = |peers: &'static str, peer: BoxedStrategy<String>, port: BoxedStrategy<String>| {
        let rule = (list(peer), list(port)).prop_map(move |(p, q)| object(&[(peers, &p), ("ports", &q)]));
        prop_oneof![8 => rule, 1 => Just("null".to_owned())]
    };
    let (peer, port) = (peer.boxed(), port.boxed());
    let types = list(any(&["'Ingress'", "'Egress'"]));
    let rules = (list(rule("from", peer.clone(), port.clone())), list(rule("to", peer, port)));
    (selector(), types, rules).prop_map(|(subject, types, (ingress, egress))| {
        let subject = Some(subject);
        object(&[
            ("policyTypes", &types),
            ("podSelector", &subject),
            ("ingress", &ingress),
            ("egress", &egress),
        ])
    })
}

/// The `spec` of an AdminNetworkPolicy or, without the field `tier`, of a ClusterNetworkPolicy.
fn cluster_spec() -> impl Strategy<Value = String> {
    let peer = || {
        prop_oneof![
            selector().prop_map(|s| format!("{{\"namespaces\": {s}}}")),
            selector()
                .prop_map(|s| format!("{{\"pods\": {{\"podSelector\": {s}, \"namespaceSelector\": {{}}}}}}")),
            any(&[
                "{'networks': ['10.1.2.3/8'], 'pods': null}",
                "{'domainNames': ['*.example.com']}",
                "{'later': 1}",
                "{}"
            ]),
        ]
    };
    let ports = any(&[
        "{'portNumber': {'port': 80}}",
        "{'portRange': {'end': 9, 'start': 1, 'protocol': null}}",
        "{'namedPort': 'web'}",
        "{'tcp': {'destinationPort': {'number': 80.0, 'range': null}}}",
        "{'destinationNamedPort': 'on'}",
        "{'icmp': null}",
    ])
    .boxed();
    let rule = move |peers: &'static str| {
        let action = any(&["'Accept'", "'Allow'", "'Deny'", "'Pass'", "'Later'"]);
        let peer = prop::collection::vec(peer(), 1..3).prop_map(|p| Some(format!("[{}]", p.join(", "))));
        let more = any(&["null", "'first'", "''"]);
        let key = prop::sample::select(vec!["ports", "protocols"]);
        (action, peer, list(ports.clone()), key, more).prop_map(move |(action, peer, ports, key, name)| {
            object(&[("name", &Some(name)), (key, &ports), (peers, &peer), ("action", &Some(action))])
        })
    };
    let tier = any(&["'Admin'", "'Baseline'", "null"]);
    let rules = (list(rule("from")), list(rule("to")));
    (selector(), tier, rules).prop_map(|(subject, tier, (ingress, egress))| {
        let subject = Some(format!("{{\"namespaces\": {subject}, \"pods\": null}}"));
        let (tier, priority) = (Some(tier).filter(|t| t != "null"), Some("1e1".to_owned()));
        object(&[
            ("tier", &tier),
            ("subject", &subject),
            ("priority", &priority),
            ("ingress", &ingress),
            ("egress", &egress),
        ])
    })
}

/// A string in JSON that hides nothing behind another way to write it.
fn json_string(text: &str) -> String {
    let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{}\"", units.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn made_up_network_policies_keep_their_meaning(spec in network_spec(), annotation in any_text()) {
        let metadata = format!("{{\"name\": \"p\", \"annotations\": {{{0}: {0}}}}}", json_string(&annotation));
        holds(&format!(
            "{{\"kind\": \"NetworkPolicy\", \"apiVersion\": \"extensions/v1beta1\", \"spec\": {spec}, \"metadata\": {metadata}}}"
        ));
    }

    #[test]
    fn made_up_cluster_policies_keep_their_meaning(spec in cluster_spec()) {
        let (kind, version) = match spec.contains("\"tier\"") {
            true => ("ClusterNetworkPolicy", "v1alpha2"),
            false => ("AdminNetworkPolicy", "v1alpha1"),
        };
        holds(&format!(
            "{{\"spec\": {spec}, \"metadata\": {{\"name\": \"p\"}}, \"kind\": \"{kind}\", \"apiVersion\": \"policy.networking.k8s.io/{version}\"}}"
        ));
    }
}

/// Text as annotations hold it: any at all, or lines of what YAML could take for something else.
fn any_text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "a", " ", "  ", "\n", "\t", "- ", ": ", "#", "|", "\"", "\\", "{", "\u{feff}", "\r",
    ]);
    prop_oneof![any_string(), prop::collection::vec(odd, 0..8).prop_map(|words| words.concat())]
}

fn any_string() -> impl Strategy<Value = String> {
    prop::string::string_regex("(?s).{0,20}").unwrap()
}
