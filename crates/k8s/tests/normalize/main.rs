//! Policies as the server would store them: exactly these documents, always the same meaning, and never again another.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod made_up;

use std::path::{Path, PathBuf};

use ringfence_k8s::{Entry, Inventory, Node, ReadOptions, Reading, Value, normalize, read, to_yaml};
use ringfence_policy::{ClusterPolicy, NetworkPolicy};

fn reading(text: &str) -> Reading {
    let options = ReadOptions { keep_manifests: true, ..ReadOptions::default() };
    read([("f.yaml", text)], &options)
}

fn normal(reading: &Reading) -> String {
    let manifests = normalize(&reading.inventory, &reading.manifests);
    to_yaml(manifests.iter().map(|m| &m.node))
}

/// The policies without their places and their order.
fn policies(inventory: &Inventory) -> (Vec<NetworkPolicy>, Vec<ClusterPolicy>) {
    let (mut network, mut cluster) = (inventory.policies.clone(), inventory.cluster_policies.clone());
    for policy in &mut network {
        policy.source = None;
        policy.ingress.iter_mut().chain(&mut policy.egress).flatten().for_each(|r| r.source = None);
    }
    for policy in &mut cluster {
        policy.source = None;
        policy.ingress.iter_mut().chain(&mut policy.egress).for_each(|r| r.source = None);
    }
    network.sort_by(|a, b| a.name.cmp(&b.name));
    cluster.sort_by(|a, b| a.name.cmp(&b.name));
    (network, cluster)
}

/// A tree without its places.
fn bare(node: &Node) -> Value {
    match &node.value {
        Value::Sequence(items) => Value::Sequence(items.iter().map(|i| Node::new(bare(i))).collect()),
        Value::Mapping(entries) => {
            let entry =
                |e: &Entry| Entry { key: e.key.clone(), key_span: None, value: Node::new(bare(&e.value)) };
            Value::Mapping(entries.iter().map(entry).collect())
        }
        value => value.clone(),
    }
}

/// What must be true of every input. How many policies it had.
fn holds(text: &str) -> usize {
    let before = reading(text);
    let once = normal(&before);
    let after = reading(&once);
    assert!(!after.has_errors(), "{:#?}\nof\n{once}\nfrom\n{text}", after.findings);
    assert_eq!(policies(&after.inventory), policies(&before.inventory), "\n{once}\nfrom\n{text}");
    assert_eq!(normal(&after), once, "from\n{text}");
    let trees = |reading: &Reading| -> Vec<Value> {
        normalize(&reading.inventory, &reading.manifests).iter().map(|m| bare(&m.node)).collect()
    };
    assert_eq!(trees(&after), trees(&before), "as text\n{once}\nfrom\n{text}");
    before.inventory.policies.len() + before.inventory.cluster_policies.len()
}

#[track_caller]
fn check(text: &str, expect: &str) {
    assert_eq!(normal(&reading(text)), expect);
    holds(text);
}

const POLICY: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}";

#[test]
fn defaults_are_written() {
    check(
        &format!("{POLICY}}}"),
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  namespace: default
spec:
  podSelector: {}
  policyTypes:
  - Ingress
",
    );
    check(
        &format!(
            "{POLICY}, spec: {{egress: [{{ports: [{{port: dns}}, {{port: 53.0, protocol: UDP}}, ]}}]}}}}"
        ),
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  namespace: default
spec:
  egress:
  - ports:
    - port: dns
      protocol: TCP
    - port: 53
      protocol: UDP
  podSelector: {}
  policyTypes:
  - Ingress
  - Egress
",
    );
}

#[test]
fn what_is_empty_is_dropped_where_the_server_drops_it() {
    let spec = "spec: {ingress: [], egress: null, policyTypes: [], podSelector: {matchLabels: {}}}";
    check(
        &format!("{POLICY}, {spec}}}"),
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  namespace: default
spec:
  podSelector: {}
  policyTypes:
  - Ingress
",
    );
    let peers = "from: [{podSelector: {}}, {namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: []}]}, podSelector: null}, {ipBlock: {cidr: 10.1.2.3/8, except: []}}]";
    let rules = format!("[{{}}, null, {{from: [], ports: null}}, {{ports: [null]}}, {{{peers}}}]");
    check(
        &format!("{POLICY}, spec: {{policyTypes: [Egress, Ingress], ingress: {rules}}}}}"),
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  namespace: default
spec:
  ingress:
  - {}
  - {}
  - {}
  - ports:
    - protocol: TCP
  - from:
    - podSelector: {}
    - namespaceSelector:
        matchExpressions:
        - key: a
          operator: Exists
    - ipBlock:
        cidr: 10.1.2.3/8
  podSelector: {}
  policyTypes:
  - Egress
  - Ingress
",
    );
}

#[test]
fn metadata_is_what_a_person_wrote() {
    check(
        r#"
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata:
  name: p
  uid: 1234
  resourceVersion: "7"
  creationTimestamp: null
  namespace: shop
  labels: {b: "1", a: null}
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{\"a\": 1}\n", empty: ""}
  finalizers: []
  ownerReferences: [{uid: u, name: web, kind: Service, apiVersion: v1, controller: true}]
status: {}
"#,
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  annotations:
    empty: \"\"
    kubectl.kubernetes.io/last-applied-configuration: |
      {\"a\": 1}
  labels:
    a: \"\"
    b: \"1\"
  name: p
  namespace: shop
  ownerReferences:
  - apiVersion: v1
    controller: true
    kind: Service
    name: web
    uid: u
spec:
  podSelector: {}
  policyTypes:
  - Ingress
",
    );
}

#[test]
fn policies_alone_sorted_and_each_name_once() {
    let text = "
{apiVersion: v1, kind: Namespace, metadata: {name: a}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicyList
items:
- {metadata: {name: q}, spec: {podSelector: {matchLabels: {from: first}}}}
- {metadata: {name: p}}
- {metadata: {name: p, namespace: a}}
- {metadata: {name: q}}
- {metadata: {generateName: g-}}
- {metadata: {generateName: g-}, spec: {policyTypes: [Egress]}}
";
    let reading = reading(text);
    let names: Vec<String> = normalize(&reading.inventory, &reading.manifests)
        .iter()
        .map(|m| format!("{} {}/{}", m.kind, m.namespace, m.name))
        .collect();
    let expect = ["a/p", "default/g-", "default/g-(2)", "default/p", "default/q"];
    assert_eq!(names, expect.map(|n| format!("NetworkPolicy {n}")));
    assert!(!normal(&reading).contains("first"), "the later replaces the earlier");
    holds(text);
}

#[test]
fn custom_resources_keep_empty_lists_and_get_their_schemas_defaults() {
    check(
        "
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: a, namespace: ignored}
spec:
  subject: {namespaces: {matchLabels: {}}}
  priority: 10.0
  egress: []
  ingress:
  - ports: [{portNumber: {port: 80}}, {portRange: {start: 1, end: 9, protocol: UDP}}, {namedPort: web}]
    name: null
    from: [{pods: {podSelector: {}, namespaceSelector: {}}, namespaces: null}]
    action: Allow
",
        "\
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata:
  name: a
spec:
  egress: []
  ingress:
  - action: Allow
    from:
    - pods:
        namespaceSelector: {}
        podSelector: {}
    ports:
    - portNumber:
        port: 80
        protocol: TCP
    - portRange:
        end: 9
        protocol: UDP
        start: 1
    - namedPort: web
  priority: 10
  subject:
    namespaces:
      matchLabels: {}
",
    );
}

#[test]
fn a_rule_that_fails_closed_does_not_become_a_wider_one() {
    check(
        "
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: a}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  ingress: [{action: Accept, from: [{namespaces: {matchLabels: {app: null}}}]}, {action: Accept, from: [{namespaces: {}}], unknown: null}]
",
        "\
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata:
  name: a
spec:
  ingress:
  - action: Accept
    from:
    - namespaces:
        matchLabels:
          app: null
  - action: Accept
    from:
    - namespaces: {}
    unknown: null
  priority: 1
  subject:
    namespaces: {}
  tier: Admin
",
    );
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| extension.is_empty() || f.extension().is_some_and(|e| e == extension));
    files.sort();
    files
}

#[test]
fn every_manifest_of_the_specs_keeps_its_meaning() {
    let mut policies = 0;
    for file in files("specs", "md").iter().filter(|f| !f.ends_with("README.md")) {
        for case in ringfence_oracle::spec::parse(&std::fs::read_to_string(file).unwrap()).unwrap() {
            policies += holds(&case.yaml);
        }
    }
    assert!(policies >= 100, "{policies}");
}

#[test]
fn what_fuzzing_kept_keeps_its_meaning() {
    let heads = [
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n",
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\nspec:\n  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n",
        "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: p}\nspec:\n  priority: 1\n  subject: {namespaces: {}}\n",
    ];
    for file in files("fuzz/corpus/lower", "") {
        let Ok(inside) = std::fs::read_to_string(&file) else { continue };
        for head in heads {
            holds(&format!("{head}{inside}"));
        }
    }
    for file in files("fuzz/corpus/read_yaml", "") {
        if let Ok(text) = std::fs::read_to_string(&file) {
            holds(&text);
        }
    }
}
