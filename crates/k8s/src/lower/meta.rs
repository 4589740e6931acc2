//! `metadata`: what an object is called and where it lives.

use ringfence_policy::Labels;

use super::context::{Context, Reported, field, key_span};
use super::names;
use crate::finding::Level;
use crate::node::{Entry, Node};
use crate::source::Span;

/// The part of `metadata` that matters here.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) name: String,
    /// Whether the server completes the name, so that two objects with it do not meet.
    pub(crate) is_generated: bool,
    /// Empty for what belongs to the whole cluster.
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    /// The controller that owns the object, by kind and name.
    pub(crate) owner: Option<(String, String)>,
    /// Where the name is written, or else the object.
    pub(crate) span: Option<Span>,
}

/// A name and where it is written.
struct Named {
    name: String,
    is_generated: bool,
    span: Option<Span>,
}

/// How strictly an object's name is held to the server's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// A DNS subdomain, or the object is broken.
    Subdomain,
    /// A DNS label, or the object is broken.
    Label,
    /// A DNS subdomain; another is reported and read.
    Lenient,
}

/// The kinds that live in no namespace.
const CLUSTER_SCOPED: [&str; 5] =
    ["Namespace", "Node", "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"];

/// What `metadata` has, or had and is still written: it has no effect.
const FIELDS: [&str; 16] = [
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
    "clusterName",
];

impl Context<'_> {
    /// Reads `metadata` and remembers what is being read, for the findings.
    pub(crate) fn meta(&mut self, object: &Node, kind: &str, rule: Name) -> Result<Meta, Reported> {
        self.object = Some(kind.to_owned());
        let entries = self.mapping(object, kind)?;
        let Some(node) = field(entries, "metadata") else {
            let span = key_span(entries, "kind").or(object.span);
            return Err(self.error("missing-field", span, format!("{kind} without `metadata.name`"), None));
        };
        let metadata = self.mapping(node, "metadata")?;
        let known = self.metadata_fields(metadata, rule);
        let namespace = match field(metadata, "namespace") {
            Some(node) => self.string(node, "namespace").map(|name| (name, node.span)),
            None => Ok(("", None)),
        };
        let Named { name, is_generated, span } = self.name(metadata, node, kind)?;
        let (namespace, namespace_span) = namespace?;
        let namespace = if CLUSTER_SCOPED.contains(&kind) {
            self.object = Some(format!("{kind} {name}"));
            self.no_namespace(kind, namespace, namespace_span);
            String::new()
        } else {
            let namespace = if namespace.is_empty() { self.default_namespace } else { namespace }.to_owned();
            self.object = Some(format!("{kind} {namespace}/{name}"));
            namespace
        };
        // A generated name may end in a dash until the server has completed it.
        let complete = if is_generated { name.strip_suffix('-').unwrap_or(&name) } else { &name };
        self.check_name(complete, span, rule)?;
        if !CLUSTER_SCOPED.contains(&kind)
            && let Err(why) = names::dns_label(&namespace)
        {
            let message = format!("`{namespace}` is no namespace name: {why}");
            let level = if rule == Name::Lenient { Level::Warning } else { Level::Error };
            self.name_finding(level, namespace_span, message)?;
        }
        let labels = field(metadata, "labels").map_or(Ok(Labels::new()), |node| self.labels(node, "labels"));
        let annotations =
            field(metadata, "annotations").map_or(Ok(Labels::new()), |node| self.annotations(node, rule));
        let owner = self.owner(metadata)?;
        known?;
        Ok(Meta { name, is_generated, namespace, labels: labels?, annotations: annotations?, owner, span })
    }

    fn name(&mut self, metadata: &[Entry], node: &Node, kind: &str) -> Result<Named, Reported> {
        let fields = ["name", "generateName"].map(|key| Some((key, field(metadata, key)?)));
        let fields = || fields.into_iter().flatten();
        // An empty name is none, where the server makes one.
        let written = fields().find(|(_, value)| value.as_str() != Some("")).or_else(|| fields().next());
        let Some((key, value)) = written else {
            let help = names::near_miss("name", metadata.iter().map(|e| e.key.as_str()))
                .map(|near| format!("`{near}` is no field of metadata; did you mean `name`?"));
            return Err(self.error(
                "missing-field",
                node.span,
                format!("{kind} without `metadata.name`"),
                help,
            ));
        };
        let name = self.string(value, key)?;
        if name.is_empty() {
            return Err(self.error(
                "missing-field",
                value.span,
                format!("{kind} with an empty `metadata.name`"),
                None,
            ));
        }
        Ok(Named { name: name.to_owned(), is_generated: key == "generateName", span: value.span })
    }

    /// Refuses fields that `metadata` does not have: whoever writes `namepace` means another namespace. In kinds whose
    /// other fields are not looked at, only such slips.
    pub(crate) fn metadata_fields(&mut self, metadata: &[Entry], rule: Name) -> Result<(), Reported> {
        let matters = |key: &str| {
            !FIELDS.contains(&key) && (rule != Name::Lenient || names::near_miss(key, FIELDS).is_some())
        };
        self.known_fields(metadata.iter().filter(|e| matters(&e.key)), &FIELDS, "`metadata`")
    }

    /// Annotations; their keys are those of labels, of any case.
    fn annotations(&mut self, node: &Node, rule: Name) -> Result<Labels, Reported> {
        let annotations = self.strings(node, "annotations")?;
        let level = if rule == Name::Lenient { Level::Warning } else { Level::Error };
        for entry in self.mapping(node, "annotations")? {
            if let Err(why) = names::label_key(&entry.key.to_lowercase()) {
                let message = format!("the server refuses the annotation `{}`: {why}", entry.key);
                self.name_finding(level, entry.key_span, message)?;
            }
        }
        Ok(annotations)
    }

    /// Warns of a namespace on what lives in none.
    fn no_namespace(&mut self, kind: &str, namespace: &str, span: Option<Span>) {
        if !namespace.is_empty() {
            let message = format!("`namespace` has no effect on {kind}, which belongs to the whole cluster");
            self.warn("namespace-ignored", span, message, Some("remove it".to_owned()));
        }
    }

    fn check_name(&mut self, name: &str, span: Option<Span>, rule: Name) -> Result<(), Reported> {
        let checked = if rule == Name::Label { names::dns_label(name) } else { names::subdomain(name) };
        let Err(why) = checked else { return Ok(()) };
        let level = if rule == Name::Lenient { Level::Warning } else { Level::Error };
        self.name_finding(level, span, format!("the server refuses the name `{name}`: {why}"))
    }

    fn name_finding(&mut self, level: Level, span: Option<Span>, message: String) -> Result<(), Reported> {
        if level == Level::Error {
            return Err(self.error("invalid-name", span, message, None));
        }
        self.warn("invalid-name", span, message, None);
        Ok(())
    }

    fn owner(&mut self, metadata: &[Entry]) -> Result<Option<(String, String)>, Reported> {
        let Some(node) = field(metadata, "ownerReferences") else { return Ok(None) };
        for item in self.sequence(node, "ownerReferences")? {
            let entries = self.mapping(item, "ownerReferences")?;
            let controller = match field(entries, "controller") {
                Some(node) => self.boolean(node, "controller")?,
                None => false,
            };
            if let (true, Some(kind), Some(name)) =
                (controller, field(entries, "kind"), field(entries, "name"))
            {
                let kind = self.string(kind, "kind")?.to_owned();
                return Ok(Some((kind, self.string(name, "name")?.to_owned())));
            }
        }
        Ok(None)
    }
}
