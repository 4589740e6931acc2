//! Texts in, an inventory and findings out. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::string::FromUtf8Error;
use std::sync::Arc;

use ringfence_policy::Namespace;

use crate::finding::{Finding, Level};
use crate::inventory::Inventory;
use crate::lower::context::{BUILT_IN, Context};
use crate::node::Node;
use crate::parts::{self, Step};
use crate::source::{FileId, Sources, Span};
use crate::store::{Key, Store};
use crate::{priority, yaml};

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
    let sources = &mut reader.reading.sources;
    let files: Vec<FileId> = files.into_iter().map(|(name, text)| sources.add(name, text)).collect();
    reader.files(&files);
    reader.finish()
}

/// Reads the documents of one text as trees, with the place of every word: for files that are no manifests. The findings
/// say what could not be read.
pub fn documents(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> (Vec<Node>, Sources, Vec<Finding>) {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    let mut findings = Vec::new();
    let documents = parts::documents(&sources, file, &mut findings);
    (documents, sources, findings)
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
        self.files(&[file]);
    }

    /// Reads texts that should be UTF-8, by name, many at the same time; where one is not, that is a finding, and nothing
    /// of it is read.
    pub fn texts<N: Into<Arc<str>>>(&mut self, texts: impl IntoIterator<Item = (N, Vec<u8>)>) {
        let mut files = Vec::new();
        for (name, bytes) in texts {
            match String::from_utf8(bytes) {
                Ok(text) => files.push(self.reading.sources.add(name, text)),
                Err(error) => self.not_utf8(name, &error),
            }
        }
        self.files(&files);
    }

    /// Reads bytes as one of [`Reader::texts`].
    pub fn bytes(&mut self, name: impl Into<Arc<str>>, bytes: Vec<u8>) {
        self.texts([(name, bytes)]);
    }

    fn not_utf8(&mut self, name: impl Into<Arc<str>>, error: &FromUtf8Error) {
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

    fn files(&mut self, files: &[FileId]) {
        for steps in parts::read(&self.reading.sources, files, &self.options) {
            self.keep(steps);
        }
    }

    /// Reads an object, or a list of them.
    pub fn node(&mut self, node: &Node) {
        let mut steps = Vec::new();
        let own = parts::lower(&self.reading.sources, &self.options, node, &mut steps);
        if let Some(Step::Object(object)) = own.and_then(|place| steps.get_mut(place)) {
            object.manifest = Some(node.clone());
        }
        self.keep(steps);
    }

    /// Brings together what was read with what was read before.
    fn keep(&mut self, steps: Vec<Step>) {
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
            manifests: &mut self.reading.manifests,
            seen: &mut self.seen,
            generated: &mut self.generated,
            priorities: &mut self.priorities,
        };
        for step in steps {
            match step {
                Step::Finding(finding) => context.findings.push(finding),
                Step::Object(mut object) => {
                    (context.object, context.object_span) = (object.name.take(), object.span);
                    store.keep(&mut context, *object);
                }
            }
        }
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
