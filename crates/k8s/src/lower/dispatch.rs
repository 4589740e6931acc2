//! `apiVersion` and `kind`: what is read, what is passed over, what is refused.

use ringfence_policy::{ClusterPolicy, Namespace, NetworkPolicy};

use super::cluster::{ADMIN, BASELINE, CLUSTER};
use super::context::{BUILT_IN, Context, Reported, field, key_span};
use super::meta::Meta;
use super::names;
use crate::inventory::{Gateway, Route, Service, Workload};
use crate::kinds::{Kind, Meaning, group, is_of_policies, known, meaning, near_kind};
use crate::node::{Entry, Node, Value};
use crate::source::Span;
use crate::yaml::MAX_DEPTH;

/// An object that was read.
#[derive(Debug, Clone)]
pub(crate) enum Lowered {
    Workload(Workload, Meta),
    Service(Service, Meta),
    Route(Route, Meta),
    Gateway(Gateway, Meta),
    Namespace(Namespace, Meta),
    Node(ringfence_policy::Node, Meta),
    Policy(NetworkPolicy, Meta),
    /// With the place of its priority, for what is said of it beside others.
    ClusterPolicy(ClusterPolicy, Meta, Option<Span>),
    /// Of a kind that does not matter here.
    PassedOver(String),
}

impl Context<'_> {
    /// Reads a document: an object, or a list of them. What is broken is reported and left out.
    pub(crate) fn document(&mut self, node: &Node, read: &mut dyn FnMut(&mut Self, Lowered, &Node)) {
        // The reports say what is wrong; the document itself has nothing to return.
        let _: Result<(), Reported> = self.object(node, None, 0, read);
        self.object = None;
    }

    fn object(
        &mut self,
        node: &Node,
        defaults: Option<(&str, &str)>,
        depth: usize,
        read: &mut dyn FnMut(&mut Self, Lowered, &Node),
    ) -> Result<(), Reported> {
        self.object = None;
        self.object_span = node.span;
        self.grammar = &BUILT_IN;
        self.effect = None;
        let Value::Mapping(entries) = &node.value else {
            let message = format!("a Kubernetes object must be a mapping, not {}", node.value.describe());
            return Err(self.error("not-an-object", node.span, message, None));
        };
        let Some((version, kind)) = self.kind(node, entries, defaults)? else { return Ok(()) };
        if let Some(item) = kind.strip_suffix("List")
            && entries.iter().any(|e| e.key == "items")
        {
            return self.list(entries, version, item, depth, read);
        }
        if kind == "List" {
            return Err(self.error("missing-field", node.span, "a List without `items`", None));
        }
        let lowered = self.lower(node, version, kind)?;
        read(self, lowered, node);
        Ok(())
    }

    /// `apiVersion` and `kind`; `None` for a mapping without anything in it.
    fn kind<'n>(
        &mut self,
        node: &Node,
        entries: &'n [Entry],
        defaults: Option<(&'n str, &'n str)>,
    ) -> Result<Option<(&'n str, &'n str)>, Reported> {
        if entries.is_empty() && defaults.is_none() {
            return Ok(None);
        }
        let mut read = |key: &str, default: Option<&'n str>| match field(entries, key) {
            Some(node) => self.string(node, key),
            None => match default {
                Some(default) => Ok(default),
                None => {
                    let span =
                        key_span(entries, key).or(entries.first().and_then(|e| e.key_span)).or(node.span);
                    let near = names::near_miss(key, entries.iter().map(|e| e.key.as_str()));
                    let help = match near {
                        Some(near) => Some(format!("did you mean `{key}` where `{near}` is written?")),
                        None => span.and_then(|s| self.sources.file(s.file)).and_then(|f| recipe(&f.name)),
                    };
                    Err(self.error(
                        "not-an-object",
                        span,
                        format!("no `{key}`: not a Kubernetes object"),
                        help,
                    ))
                }
            },
        };
        let version = read("apiVersion", defaults.map(|(version, _)| version))?;
        let kind = read("kind", defaults.map(|(_, kind)| kind))?;
        Ok(Some((version, kind)))
    }

    fn list(
        &mut self,
        entries: &[Entry],
        version: &str,
        item: &str,
        depth: usize,
        read: &mut dyn FnMut(&mut Self, Lowered, &Node),
    ) -> Result<(), Reported> {
        let Some(items) = field(entries, "items") else { return Ok(()) };
        if depth > MAX_DEPTH {
            return Err(self.error("too-deep", items.span, "lists nested too deep", None));
        }
        // Only in a typed list may the items leave out what they are.
        let defaults = (!item.is_empty()).then_some((version, item));
        let meaning = meaning(version, item);
        let is_read = item.is_empty()
            || !matches!(meaning, Meaning::ForeignPolicy | Meaning::PassedOver)
            || near_kind(version, item).is_some();
        let mut result = Ok(());
        let items = self.sequence(items, "items")?;
        if let (Meaning::ForeignPolicy, Some(first)) = (meaning, items.first()) {
            self.foreign_policy(first.span, version, item);
        }
        let is_another = |node: &Node| {
            let says = |key: &str, default: &str| {
                node.get(key).and_then(Node::as_str).is_some_and(|own| own != default)
            };
            says("apiVersion", version) || says("kind", item)
        };
        for node in items {
            if is_read || is_another(node) {
                result = self.object(node, defaults, depth + 1, read).and(result);
            } else {
                read(self, Lowered::PassedOver(item.to_owned()), node);
            }
        }
        result
    }

    fn lower(&mut self, node: &Node, version: &str, kind: &str) -> Result<Lowered, Reported> {
        let entries = self.mapping(node, kind)?;
        let kind = match meaning(version, kind) {
            Meaning::Read(kind) => kind.name,
            Meaning::OtherVersion(kind) => return self.other_version(entries, version, kind),
            other => return self.other_kind(entries, version, kind, other),
        };
        match kind {
            "Pod" => self.pod(node).map(|(w, m)| Lowered::Workload(w, m)),
            "Service" => self.service(node).map(|(s, m)| Lowered::Service(s, m)),
            "Ingress" => self.ingress(node).map(|(r, m)| Lowered::Route(r, m)),
            "Gateway" => self.gateway(node).map(|(g, m)| Lowered::Gateway(g, m)),
            "HTTPRoute" | "GRPCRoute" | "TCPRoute" | "TLSRoute" | "UDPRoute" => {
                self.gateway_route(node, kind).map(|(r, m)| Lowered::Route(r, m))
            }
            "Namespace" => self.namespace(node).map(|(n, m)| Lowered::Namespace(n, m)),
            "Node" => self.cluster_node(node).map(|(n, m)| Lowered::Node(n, m)),
            "NetworkPolicy" => {
                let (policy, meta) = self.network_policy(node)?;
                if version != "networking.k8s.io/v1" {
                    let span = field(entries, "apiVersion").and_then(|n| n.span).or(node.span);
                    let message =
                        format!("NetworkPolicy {version} is gone from the API since Kubernetes 1.16");
                    self.warn("old-api", span, message, Some("write networking.k8s.io/v1".to_owned()));
                }
                Ok(Lowered::Policy(policy, meta))
            }
            "ClusterNetworkPolicy" => self.cluster_policy(node, &CLUSTER),
            "AdminNetworkPolicy" => self.cluster_policy(node, &ADMIN),
            "BaselineAdminNetworkPolicy" => self.cluster_policy(node, &BASELINE),
            kind => self.controller(node, kind).map(|(w, m)| Lowered::Workload(w, m)),
        }
    }

    fn other_kind(
        &mut self,
        entries: &[Entry],
        version: &str,
        kind: &str,
        meaning: Meaning,
    ) -> Result<Lowered, Reported> {
        // A kind whose name is known is another one by its group.
        let telling = if known(kind).is_some() { "apiVersion" } else { "kind" };
        let span = field(entries, telling).and_then(|n| n.span).or_else(|| key_span(entries, "metadata"));
        if let Some(near) = near_kind(version, kind) {
            let message = format!("there is no kind `{kind}` in {version}");
            return Err(self.error("unknown-kind", span, message, Some(format!("did you mean {near}?"))));
        }
        if meaning == Meaning::UnknownPolicy {
            let message = format!("{kind} is not supported by this version");
            let help = "without it every verdict could be wrong; leave it out with --skip-invalid".to_owned();
            return Err(self.error("unsupported-kind", span, message, Some(help)));
        }
        if meaning == Meaning::ForeignPolicy {
            self.foreign_policy(span, version, kind);
        }
        Ok(Lowered::PassedOver(kind.to_owned()))
    }

    fn other_version(&mut self, entries: &[Entry], version: &str, kind: &Kind) -> Result<Lowered, Reported> {
        let span = field(entries, "apiVersion").and_then(|n| n.span).or_else(|| key_span(entries, "kind"));
        // That group is young: what there is not today, a cluster may serve tomorrow.
        let message = if is_of_policies(version) {
            format!("{} in `{version}` is not supported by this version", kind.name)
        } else {
            format!("there is no {} in `{version}`", kind.name)
        };
        let help = kind.versions.first().map(|v| format!("write `apiVersion: {v}`"));
        Err(self.error("unknown-version", span, message, help))
    }

    /// Says that a network plugin's own policy is not taken into account.
    fn foreign_policy(&mut self, span: Option<Span>, version: &str, kind: &str) {
        let message = format!("{kind} of {} is another product's policy and is passed over", group(version));
        self.warn("foreign-policy", span, message, None);
    }
}

/// What to do with a file that tools make manifests from, by its name.
fn recipe(file: &str) -> Option<String> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let command = match name {
        "kustomization.yaml" | "kustomization.yml" => "kustomize build",
        "Chart.yaml" | "values.yaml" => "helm template",
        _ => return None,
    };
    Some(format!("this is what manifests are made from: render it first (`{command}`) and read the result"))
}
