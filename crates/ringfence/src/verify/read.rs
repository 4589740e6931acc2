//! The file of assertions. Every word is known or an error with its place; names must exist in the input.

use std::collections::BTreeSet;

use ringfence_k8s::{Finding, Level, Node, Place, Sources, Value};
use ringfence_policy::{Engine, Labels, PortSet};

use super::selector::{Selector, Zone};
use super::words;

/// The label that says a pod's zone, where the file does not name another.
const ZONE_LABEL: &str = "zone";

/// What a file may say that it is, so that it can lie among manifests and is passed over there.
const HEAD: [(&str, &str); 2] = [("apiVersion", "ringfence.dev/v1alpha1"), ("kind", "Assertions")];

/// What was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) assertions: Vec<Assertion>,
    pub(super) findings: Vec<Finding>,
    pub(super) sources: Sources,
}

/// What must hold.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) name: String,
    pub(crate) place: Option<Place>,
    pub(crate) kind: Kind,
    pub(crate) from: Vec<Selector>,
    pub(crate) to: Vec<Selector>,
    pub(crate) ports: PortSet,
}

impl Assertion {
    /// File and line.
    pub(crate) fn source(&self) -> String {
        self.place.as_ref().map(|place| format!("{}:{}", place.file, place.line)).unwrap_or_default()
    }

    /// Whether it is about pods that could be created.
    pub(crate) fn is_of_new_pods(&self) -> bool {
        self.from.iter().chain(&self.to).any(|s| s.any_pod)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every one of these may connect on all the ports.
    Allow,
    /// None may on any of the ports.
    Deny,
    /// These may on all the ports and nothing else, and nobody else on any port.
    Only,
}

impl Kind {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Allow => "allow",
            Kind::Deny => "deny",
            Kind::Only => "only",
        }
    }
}

struct Reader<'e> {
    engine: &'e Engine,
    sources: Sources,
    findings: Vec<Finding>,
    zone_label: String,
}

/// Reads a text.
pub(crate) fn assertions(name: &str, text: &str, engine: &Engine) -> Read {
    let (documents, sources, mut findings) = ringfence_k8s::documents(name, text);
    findings.retain(|finding| finding.level == Level::Error);
    let mut reader = Reader { engine, sources, findings, zone_label: ZONE_LABEL.to_owned() };
    let mut assertions = Vec::new();
    for document in &documents {
        reader.keys(document, &["apiVersion", "kind", "zoneLabel", "assertions"]);
        for (key, is) in HEAD {
            if let Some(node) = document.get(key).filter(|node| node.as_str() != Some(is)) {
                reader.error(node, format!("`{key}` of assertions is `{is}`"), None);
            }
        }
        reader.zone_label = reader.zone_label(document);
        let list = document.get("assertions");
        match list.map(|list| &list.value) {
            Some(Value::Sequence(items)) => {
                assertions.extend(items.iter().filter_map(|i| reader.assertion(i)))
            }
            _ => reader.error(list.unwrap_or(document), "`assertions` must be a list", None),
        }
    }
    if assertions.is_empty() && reader.findings.is_empty() {
        let empty = Node::new(Value::Null);
        reader.error(&empty, "there are no assertions in this file", None);
    }
    Read { assertions, findings: reader.findings, sources: reader.sources }
}

impl Reader<'_> {
    fn error(&mut self, node: &Node, message: impl Into<String>, help: Option<String>) {
        self.findings.push(Finding {
            code: "assertion",
            level: Level::Error,
            message: message.into(),
            object: None,
            place: node.span.and_then(|span| self.sources.place(span)),
            help,
            related: Vec::new(),
        });
    }

    /// Refuses keys that are not known.
    fn keys(&mut self, node: &Node, known: &[&str]) {
        let Value::Mapping(entries) = &node.value else {
            return self.error(
                node,
                format!("a mapping is wanted here, not {}", node.value.describe()),
                None,
            );
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let help = words::near(&entry.key, known.iter().copied())
                .unwrap_or(format!("known: {}", known.join(", ")));
            let place = Node { value: Value::Null, span: entry.key_span };
            self.error(&place, format!("`{}` is not known here", entry.key), Some(help));
        }
    }

    fn assertion(&mut self, node: &Node) -> Option<Assertion> {
        self.keys(node, &["name", "allow", "deny", "only"]);
        let kinds = [Kind::Allow, Kind::Deny, Kind::Only];
        let mut bodies = kinds.into_iter().filter_map(|kind| Some((kind, node.get(kind.as_str())?)));
        let (Some((kind, body)), None) = (bodies.next(), bodies.next()) else {
            self.error(node, "one of `allow`, `deny` and `only` is wanted", None);
            return None;
        };
        self.keys(body, &["from", "to", "ports"]);
        let place = node.span.and_then(|span| self.sources.place(span));
        let name = node.get("name");
        if let Some(name) = name.filter(|n| n.as_str().is_none()) {
            self.error(name, "`name` must be text: quote it", None);
        }
        let name = name.and_then(Node::as_str).map(str::to_owned);
        let mut assertion = Assertion {
            name: name.unwrap_or_default(),
            place,
            kind,
            from: self.selectors(body, "from")?,
            to: self.selectors(body, "to")?,
            ports: self.ports(body.get("ports"))?,
        };
        if assertion.name.is_empty() {
            assertion.name = format!("{} at {}", kind.as_str(), assertion.source());
        }
        let in_new = |selectors: &[Selector]| selectors.iter().any(|s| s.new_namespaces);
        if in_new(&assertion.from) && in_new(&assertion.to) {
            let help = "write two assertions".to_owned();
            self.error(body, "only one end can have `newNamespaces`", Some(help));
        }
        Some(assertion)
    }

    fn selectors(&mut self, body: &Node, key: &str) -> Option<Vec<Selector>> {
        let Some(node) = body.get(key) else {
            self.error(body, format!("`{key}` is missing; `any` means everybody"), None);
            return None;
        };
        match &node.value {
            Value::Sequence(items) => items.iter().map(|item| self.selector(item)).collect(),
            _ => Some(vec![self.selector(node)?]),
        }
    }

    fn selector(&mut self, node: &Node) -> Option<Selector> {
        match node.as_str() {
            Some("external") => return Some(Selector { external: true, ..Selector::default() }),
            Some("any") => return Some(Selector { any: true, ..Selector::default() }),
            _ => {}
        }
        if let Some(of) = node.get("anyPod") {
            self.keys(node, &["anyPod"]);
            return self.any_pod(of);
        }
        let before = self.findings.len();
        self.keys(node, &["namespace", "workload", "labels", "namespaceLabels", "zone", "address", "anyPod"]);
        let selector = Selector {
            namespace: self.name(node, "namespace", |pod| vec![pod.namespace.clone()]),
            workload: self.name(node, "workload", |pod| {
                let workload = &pod.workload;
                vec![workload.name.clone(), format!("{}/{}", workload.kind.to_lowercase(), workload.name)]
            }),
            labels: self.labels(node, "labels"),
            namespace_labels: self.labels(node, "namespaceLabels"),
            zone: self.zone(node),
            address: node.get("address").and_then(|address| self.address(address)),
            ..Selector::default()
        };
        let keys = ["namespace", "workload", "labels", "namespaceLabels", "zone"];
        let of_pods = keys.iter().any(|k| node.get(k).is_some());
        if selector.address.is_some() && of_pods {
            self.error(node, "an address is outside: it has no namespace, workload, labels or zone", None);
        } else if self.findings.len() == before && !of_pods && selector.address.is_none() {
            self.error(node, "nothing is selected", Some("write `any` for everybody".to_owned()));
        }
        (self.findings.len() == before).then_some(selector)
    }

    /// The pods that could be created with these labels; `{}` for every pod.
    fn any_pod(&mut self, node: &Node) -> Option<Selector> {
        let before = self.findings.len();
        self.keys(node, &["namespace", "labels", "namespaceLabels", "zone", "newNamespaces"]);
        let new_namespaces = match node.get("newNamespaces").map(|n| (n, &n.value)) {
            None => false,
            Some((_, Value::Bool(is_so))) => *is_so,
            Some((node, _)) => {
                self.error(node, "`newNamespaces` is true or false", None);
                false
            }
        };
        let selector = Selector {
            namespace: self.namespace(node),
            labels: self.labels(node, "labels"),
            namespace_labels: self.labels(node, "namespaceLabels"),
            zone: self.zone(node),
            any_pod: true,
            new_namespaces,
            ..Selector::default()
        };
        if new_namespaces && selector.namespace.is_some() {
            self.error(node, "a namespace that is named is there: `newNamespaces` has no meaning", None);
        }
        (self.findings.len() == before).then_some(selector)
    }

    /// A namespace of the input, with pods or without.
    fn namespace(&mut self, node: &Node) -> Option<String> {
        let value = node.get("namespace")?;
        let known = self.engine.namespaces();
        match value.as_str() {
            Some(name) if known.contains(name) => return Some(name.to_owned()),
            Some(name) => {
                let help = words::near(name, known.iter().copied());
                self.error(value, format!("the input has no namespace `{name}`"), help);
            }
            None => self.error(value, "`namespace` must be a name", None),
        }
        None
    }

    /// A zone that some pod or namespace of the input is in.
    fn zone(&mut self, node: &Node) -> Option<Zone> {
        let value = node.get("zone")?;
        let Some(name) = value.as_str() else {
            self.error(value, "`zone` must be a name", None);
            return None;
        };
        let (engine, label) = (self.engine, self.zone_label.clone());
        let of_pods = engine.pods().filter_map(|(_, pod)| pod.labels.get(&label).cloned());
        let namespaces = engine.namespaces().into_iter();
        let of_namespaces = namespaces.filter_map(|name| engine.namespace_labels(name).get(&label).cloned());
        let known: BTreeSet<String> = of_pods.chain(of_namespaces).collect();
        if !known.contains(name) {
            let help = words::near(name, known.iter().map(String::as_str));
            let help =
                help.or_else(|| Some("`zoneLabel` at the head of the file names the label".to_owned()));
            let message = format!("nothing in the input is in zone `{name}`: no label {label}={name}");
            self.error(value, message, help);
        }
        Some(Zone { label, name: name.to_owned() })
    }

    fn zone_label(&mut self, document: &Node) -> String {
        let Some(node) = document.get("zoneLabel") else { return ZONE_LABEL.to_owned() };
        match node.as_str() {
            Some(label) if !label.is_empty() => label.to_owned(),
            _ => {
                self.error(node, "`zoneLabel` must be the key of a label", None);
                ZONE_LABEL.to_owned()
            }
        }
    }

    /// A name that some pod of the input has.
    fn name(
        &mut self,
        node: &Node,
        key: &str,
        names: impl Fn(&ringfence_policy::Pod) -> Vec<String>,
    ) -> Option<String> {
        let value = node.get(key)?;
        let Some(name) = value.as_str() else {
            self.error(value, format!("`{key}` must be a name"), None);
            return None;
        };
        let engine = self.engine;
        let all: BTreeSet<String> = engine.pods().flat_map(|(_, pod)| names(pod)).collect();
        let wanted =
            name.split_once('/').map_or(name.to_owned(), |(k, n)| format!("{}/{n}", k.to_lowercase()));
        if !all.contains(&wanted) {
            let help = words::near(name, all.iter().map(String::as_str));
            self.error(value, format!("no pod of the input has the {key} `{name}`"), help);
        }
        Some(wanted)
    }

    fn labels(&mut self, node: &Node, key: &str) -> Labels {
        let mut labels = Labels::new();
        let Some(value) = node.get(key) else { return labels };
        let Value::Mapping(entries) = &value.value else {
            self.error(value, format!("`{key}` must be a mapping of labels"), None);
            return labels;
        };
        for entry in entries {
            match entry.value.as_str() {
                Some(text) => drop(labels.insert(entry.key.clone(), text.to_owned())),
                None => self.error(&entry.value, "the value of a label is a string: quote it", None),
            }
        }
        labels
    }

    fn address(&mut self, node: &Node) -> Option<ipnet::IpNet> {
        let net = words::address(node.as_str().unwrap_or_default());
        if net.is_none() {
            self.error(node, "this is no address and no range", Some("such as 10.0.0.0/8".to_owned()));
        }
        net
    }

    /// All where none are given.
    fn ports(&mut self, node: Option<&Node>) -> Option<PortSet> {
        let Some(node) = node else { return Some(PortSet::all()) };
        let items = match &node.value {
            Value::Sequence(items) if !items.is_empty() => items.as_slice(),
            Value::Sequence(_) => {
                self.error(node, "no ports: leave `ports` out to mean all", None);
                return None;
            }
            _ => std::slice::from_ref(node),
        };
        let mut ports = PortSet::new([], false);
        for item in items {
            let text = match &item.value {
                Value::Int(number) => number.to_string(),
                Value::String(text) => text.to_ascii_lowercase(),
                _ => String::new(),
            };
            match words::port(&text) {
                Some(set) => ports = ports.union(&set),
                None => {
                    let help = "write 5432, 53/udp, 8000-8010/tcp, tcp, icmp or all".to_owned();
                    self.error(item, "this is no port", Some(help));
                    return None;
                }
            }
        }
        Some(ports)
    }
}
