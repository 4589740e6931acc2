//! The file of assertions. Every word is known or an error with its place; names must exist in the input.

use ipnet::IpNet;
use ringfence_k8s::{Finding, Level, Node, Sources, Value};
use ringfence_policy::{Engine, Labels, PortRange, PortSet, Protocol};

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) assertions: Vec<Assertion>,
    pub(super) findings: Vec<Finding>,
    pub(super) sources: Sources,
}

/// What must hold.
#[derive(Debug)]
pub(super) struct Assertion {
    pub(super) name: String,
    /// File and line.
    pub(super) place: String,
    pub(super) kind: Kind,
    pub(super) from: Vec<Selector>,
    pub(super) to: Vec<Selector>,
    pub(super) ports: PortSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every one of these may connect on all the ports.
    Allow,
    /// None may on any of the ports.
    Deny,
    /// These may on all the ports and nothing else, and nobody else on any port.
    Only,
}

/// Which ends are meant. All that is given must hold.
#[derive(Debug, Default)]
pub(super) struct Selector {
    pub(super) external: bool,
    pub(super) any: bool,
    pub(super) address: Option<IpNet>,
    pub(super) namespace: Option<String>,
    pub(super) workload: Option<String>,
    pub(super) labels: Labels,
    pub(super) namespace_labels: Labels,
}

struct Reader<'e> {
    engine: &'e Engine,
    sources: Sources,
    findings: Vec<Finding>,
}

/// Reads a text.
pub(super) fn assertions(name: &str, text: &str, engine: &Engine) -> Read {
    let (documents, sources, mut findings) = ringfence_k8s::documents(name, text);
    findings.retain(|finding| finding.level == Level::Error);
    let mut reader = Reader { engine, sources, findings };
    let mut assertions = Vec::new();
    for document in &documents {
        reader.keys(document, &["assertions"]);
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
            let help =
                near(&entry.key, known.iter().copied()).unwrap_or(format!("known: {}", known.join(", ")));
            let place = Node { value: Value::Null, span: entry.key_span };
            self.error(&place, format!("`{}` is not known here", entry.key), Some(help));
        }
    }

    fn assertion(&mut self, node: &Node) -> Option<Assertion> {
        self.keys(node, &["name", "allow", "deny", "only"]);
        let kinds = [("allow", Kind::Allow), ("deny", Kind::Deny), ("only", Kind::Only)];
        let mut bodies = kinds.into_iter().filter_map(|(key, kind)| Some((key, kind, node.get(key)?)));
        let (Some((key, kind, body)), None) = (bodies.next(), bodies.next()) else {
            self.error(node, "one of `allow`, `deny` and `only` is wanted", None);
            return None;
        };
        self.keys(body, &["from", "to", "ports"]);
        let place = node.span.and_then(|span| self.sources.place(span));
        let place = place.map(|place| format!("{}:{}", place.file, place.line)).unwrap_or_default();
        let name = node.get("name").and_then(Node::as_str).map(str::to_owned);
        Some(Assertion {
            name: name.unwrap_or_else(|| format!("{key} at {place}")),
            place,
            kind,
            from: self.selectors(body, "from")?,
            to: self.selectors(body, "to")?,
            ports: self.ports(body.get("ports"))?,
        })
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
        let before = self.findings.len();
        self.keys(node, &["namespace", "workload", "labels", "namespaceLabels", "address"]);
        let selector = Selector {
            namespace: self.name(node, "namespace", |pod| vec![pod.namespace.clone()]),
            workload: self.name(node, "workload", |pod| {
                let workload = &pod.workload;
                vec![workload.name.clone(), format!("{}/{}", workload.kind.to_lowercase(), workload.name)]
            }),
            labels: self.labels(node, "labels"),
            namespace_labels: self.labels(node, "namespaceLabels"),
            address: node.get("address").and_then(|address| self.address(address)),
            ..Selector::default()
        };
        let of_pods =
            ["namespace", "workload", "labels", "namespaceLabels"].iter().any(|k| node.get(k).is_some());
        if selector.address.is_some() && of_pods {
            self.error(node, "an address is outside: it has no namespace, workload or labels", None);
        } else if self.findings.len() == before && !of_pods && selector.address.is_none() {
            self.error(node, "nothing is selected", Some("write `any` for everybody".to_owned()));
        }
        (self.findings.len() == before).then_some(selector)
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
        let all: std::collections::BTreeSet<String> = engine.pods().flat_map(|(_, pod)| names(pod)).collect();
        let wanted =
            name.split_once('/').map_or(name.to_owned(), |(k, n)| format!("{}/{n}", k.to_lowercase()));
        if !all.contains(&wanted) {
            let help = near(name, all.iter().map(String::as_str));
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

    fn address(&mut self, node: &Node) -> Option<IpNet> {
        let text = node.as_str().unwrap_or_default();
        let net =
            text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|a: std::net::IpAddr| a.into()));
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
            match port(&text) {
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

fn port(text: &str) -> Option<PortSet> {
    let protocol = |text: &str| Protocol::ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text));
    match text {
        "all" => return Some(PortSet::all()),
        "icmp" => return Some(PortSet::new([], true)),
        _ => {}
    }
    if let Some(protocol) = protocol(text) {
        return Some(PortSet::new([(protocol, PortRange::ALL)], false));
    }
    let (ports, named) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let range = PortRange::new(first.parse().ok().filter(|p| *p > 0)?, last.parse().ok()?)?;
    Some(PortSet::new([(protocol(named)?, range)], false))
}

fn near<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let nearest = known.map(|known| (strsim::osa_distance(name, known), known)).min()?;
    (nearest.0 <= 3).then(|| format!("did you mean `{}`?", nearest.1))
}
