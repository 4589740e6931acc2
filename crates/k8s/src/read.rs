//! Texts in, an inventory and findings out. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ringfence_policy::Namespace;

use crate::finding::{Finding, Level};
use crate::inventory::Inventory;
use crate::lower::context::{BUILT_IN, Context};
use crate::node::Node;
use crate::source::{FileId, SourceFile, Sources, Span};
use crate::store::{Key, Store};
use crate::{json, priority, yaml};

/// How to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// The namespace of objects that name none.
    pub default_namespace: String,
    /// Whether to keep the objects as they are written, in [`Reading::manifests`].
    pub keep_manifests: bool,
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        ReadOptions { default_namespace: "default".to_owned(), keep_manifests: false }
    }
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// What the objects say. It is the whole of the input only where no finding is an error: broken objects are left
    /// out, each as a whole.
    pub inventory: Inventory,
    /// What is wrong or doubtful, in the order of the input.
    pub findings: Vec<Finding>,
    /// The texts that the findings point into.
    pub sources: Sources,
    /// The objects that were read, as they are written, if [`ReadOptions::keep_manifests`] asks for them: for whoever
    /// needs the place of a word, or wants to tell what is written from what is defaulted. Roles and their bindings are
    /// among them, though nothing is read from them.
    pub manifests: Vec<Manifest>,
    /// How many objects of other kinds there were, by kind.
    pub passed_over: BTreeMap<String, usize>,
}

/// An object as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Its kind.
    pub kind: String,
    /// Its namespace, written or not; empty for what belongs to the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// All of it.
    pub node: Node,
}

impl Reading {
    /// Whether anything could not be read, so that the inventory must not be taken for the whole.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.level == Level::Error)
    }
}

/// Reads named texts: YAML or JSON, each with any number of documents.
pub fn read<N, T>(files: impl IntoIterator<Item = (N, T)>, options: &ReadOptions) -> Reading
where
    N: Into<Arc<str>>,
    T: Into<Arc<str>>,
{
    let mut reader = Reader::new(options.clone());
    for (name, text) in files {
        reader.text(name, text);
    }
    reader.finish()
}

/// Reads the documents of one text as trees, with the place of every word: for files that are no manifests. The findings
/// say what could not be read.
pub fn documents(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> (Vec<Node>, Sources, Vec<Finding>) {
    let mut reader = Reader::default();
    let file = reader.reading.sources.add(name, text);
    let documents = reader.documents(file);
    (documents, reader.reading.sources, reader.reading.findings)
}

/// Reads one source after the other; [`read`] in steps.
#[derive(Debug, Default)]
pub struct Reader {
    options: ReadOptions,
    reading: Reading,
    /// Where each object is in the inventory, by kind, namespace and name, and where its name is written; of a generated
    /// name, how often it was met.
    seen: HashMap<Key, (usize, Option<Span>)>,
    generated: HashMap<Key, usize>,
    /// Where the priority of each cluster-wide policy of the inventory is written.
    priorities: Vec<Option<Span>>,
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new(options: ReadOptions) -> Reader {
        Reader { options, ..Reader::default() }
    }

    /// Reads a text.
    pub fn text(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) {
        let file = self.reading.sources.add(name, text);
        for document in &self.documents(file) {
            self.node(document);
        }
    }

    /// The documents of a file: as JSON where it is JSON, else as YAML.
    fn documents(&mut self, file: FileId) -> Vec<Node> {
        let sources = &self.reading.sources;
        let Some(SourceFile { name, text, .. }) = sources.file(file) else { return Vec::new() };
        if u32::try_from(text.len()).is_err() {
            let fault = yaml::Fault::new(
                "too-large",
                Span { file, start: 0, end: 0 },
                "the file is larger than 4 GiB",
            );
            self.reading.findings.push(fault.into_finding(sources));
            return Vec::new();
        }
        let json = json::is_likely(text).then(|| json::parse(file, text));
        if let Some((documents, None)) = json {
            return documents;
        }
        let mut findings = Vec::new();
        let mut documents = yaml::parse(file, sources, &mut findings);
        if let Some((read, Some(fault))) = json {
            let rest = text.get(fault.span.start as usize..).unwrap_or("");
            let goes_on_as_yaml = rest.starts_with("---") || rest.starts_with('#');
            let meant_as_json = name.ends_with(".json") || starts_as_json(text);
            if !findings.is_empty() && meant_as_json && !goes_on_as_yaml {
                (documents, findings) = (read, vec![fault.into_finding(sources)]);
            }
        }
        self.reading.findings.append(&mut findings);
        documents
    }

    /// Reads bytes that should be UTF-8; where they are not, that is a finding, and what is before it is not read.
    pub fn bytes(&mut self, name: impl Into<Arc<str>>, bytes: Vec<u8>) {
        match String::from_utf8(bytes) {
            Ok(text) => self.text(name, text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let help = match error.as_bytes() {
                    [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "this looks like UTF-16: save it as UTF-8",
                    _ => "save the file as UTF-8",
                };
                let valid = error.as_bytes().get(..at).unwrap_or(&[]);
                let file = self.reading.sources.add(name, String::from_utf8_lossy(valid).into_owned());
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                let span = Span { file, start: at, end: at };
                let fault = yaml::Fault::new("encoding", span, "not UTF-8").help(help);
                self.reading.findings.push(fault.into_finding(&self.reading.sources));
            }
        }
    }

    /// Reads an object, or a list of them.
    pub fn node(&mut self, node: &Node) {
        let mut context = Context {
            sources: &self.reading.sources,
            findings: std::mem::take(&mut self.reading.findings),
            object: None,
            object_span: None,
            default_namespace: &self.options.default_namespace,
            grammar: &BUILT_IN,
            effect: None,
        };
        let mut store = Store {
            inventory: &mut self.reading.inventory,
            passed_over: &mut self.reading.passed_over,
            manifests: self.options.keep_manifests.then_some(&mut self.reading.manifests),
            seen: &mut self.seen,
            generated: &mut self.generated,
            priorities: &mut self.priorities,
        };
        context.document(node, &mut |context, lowered, node| store.keep(context, lowered, node));
        self.reading.findings = context.findings;
    }

    /// What was read. Namespaces that are only mentioned are added, and what shows only in the whole is reported.
    pub fn finish(mut self) -> Reading {
        let inventory = &mut self.reading.inventory;
        let mut known: BTreeSet<String> = inventory.namespaces.iter().map(|n| n.name.clone()).collect();
        let mentioned = (inventory.workloads.iter().map(|w| &w.namespace))
            .chain(inventory.services.iter().map(|s| &s.namespace))
            .chain(inventory.policies.iter().map(|p| &p.name.namespace));
        let mut added = Vec::new();
        for name in mentioned {
            if known.insert(name.clone()) {
                added.push(Namespace { name: name.clone(), labels: Default::default() });
            }
        }
        inventory.namespaces.extend(added);
        let equal = priority::equal(&inventory.cluster_policies, &self.priorities, &self.reading.sources);
        self.reading.findings.extend(equal);
        let place = |f: &Finding| f.place.as_ref().map(|p| (p.id, p.bytes.start));
        self.reading.findings.sort_by_key(place);
        self.reading
    }
}

/// Whether the first key is in double quotes, as few people write it in YAML.
fn starts_as_json(text: &str) -> bool {
    text.split_once('{').is_some_and(|(_, rest)| rest.trim_start().starts_with('"'))
}
