//! Parser events to a tree: anchors, merge keys, duplicate keys, bounds. Iterative, so that no input can exhaust the
//! stack.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, ScalarStyle, Tag};

use super::{Fault, scalar};
use crate::node::{Entry, Keys, Node, Value};
use crate::source::Span;

/// Builds one document after the other.
pub(super) struct Builder {
    max_depth: usize,
    /// How many nodes aliases may still add, and how many they have added.
    budget: usize,
    aliased: usize,
    stack: Vec<Frame>,
    root: Option<Node>,
    /// By the parser's number. `None` while the anchored collection is still open.
    anchors: HashMap<usize, Option<Node>>,
}

/// A collection that is still open.
struct Frame {
    span: Span,
    anchor: usize,
    kind: Collection,
}

enum Collection {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<Key>,
        /// The merge key: where it is written, how many entries were before it, and what it merges.
        merge: Option<(Span, usize, Node)>,
    },
}

/// A key that waits for its value.
enum Key {
    Named(String, Span),
    Merge(Span),
}

impl Builder {
    pub(super) fn new(max_depth: usize, budget: usize) -> Builder {
        Builder { max_depth, budget, aliased: 0, stack: Vec::new(), root: None, anchors: HashMap::new() }
    }

    /// How many nodes aliases have added.
    pub(super) fn aliased(&self) -> usize {
        self.aliased
    }

    /// Forgets what an earlier document left. The budget is the file's, and stays.
    pub(super) fn reset(&mut self) {
        self.stack.clear();
        self.root = None;
        self.anchors.clear();
    }

    /// The document, if it had any content.
    pub(super) fn finish(&mut self) -> Option<Node> {
        self.root.take()
    }

    pub(super) fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), span),
            Event::SequenceStart(anchor, _) => self.open(anchor, span, Collection::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.open(anchor, span, Collection::Mapping { entries: Vec::new(), key: None, merge: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Fault> {
        let plain = style == ScalarStyle::Plain;
        if plain && tag.is_none() && text == "<<" && self.wants_key() {
            return self.merge_key(span);
        }
        let place = self.place_empty(&text, span);
        let value = match tag {
            None if plain => scalar::resolve(text),
            None => Value::String(text.into_owned()),
            Some(tag) => tagged(&text, tag).map_err(|name| {
                Fault::new("syntax", span, format!("`{text}` cannot be read as `!!{name}`"))
                    .help("remove the tag")
            })?,
        };
        let node = Node { value, span: Some(place) };
        if anchor != 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        self.push(node, span)
    }

    /// The parser puts a value that is not written wherever it looked last; its key is the better place.
    fn place_empty(&self, text: &str, span: Span) -> Span {
        match self.stack.last() {
            Some(Frame { kind: Collection::Mapping { key: Some(Key::Named(_, key)), .. }, .. })
                if text.is_empty() && span.start == span.end =>
            {
                *key
            }
            _ => span,
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { kind: Collection::Mapping { key: None, .. }, .. }))
    }

    fn merge_key(&mut self, span: Span) -> Result<(), Fault> {
        if let Some(Frame { kind: Collection::Mapping { key, merge, .. }, .. }) = self.stack.last_mut() {
            if let Some((first, ..)) = merge {
                return Err(duplicate("<<", span, *first));
            }
            *key = Some(Key::Merge(span));
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, span: Span, kind: Collection) -> Result<(), Fault> {
        if self.wants_key() {
            return Err(no_key(span));
        }
        if self.stack.len() >= self.max_depth {
            return Err(too_deep(span, self.max_depth));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Frame { span, anchor, kind });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Fault> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let anchor = frame.anchor;
        let node = match frame.kind {
            Collection::Sequence(items) => {
                let span = extent(frame.span, end, items.last().and_then(|n| n.span));
                Node { value: Value::Sequence(items), span: Some(span) }
            }
            Collection::Mapping { entries, merge, .. } => {
                let last =
                    entries.last().and_then(|e| e.value.span).max(merge.as_ref().and_then(|m| m.2.span));
                let entries = merged(unique(entries)?, merge)?;
                Node { value: Value::Mapping(entries), span: Some(extent(frame.span, end, last)) }
            }
        };
        if anchor != 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        self.push(node, end)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Fault> {
        let node = match self.anchors.get(&anchor) {
            Some(Some(node)) => node,
            Some(None) => return Err(Fault::new("syntax", span, "an anchor that contains itself")),
            None => return Err(Fault::new("syntax", span, "an alias without its anchor in this document")),
        };
        let (nodes, depth) = node.size();
        if self.stack.len() + depth > self.max_depth {
            return Err(too_deep(span, self.max_depth));
        }
        let Some(left) = self.budget.checked_sub(nodes) else {
            return Err(Fault::new("too-large", span, "aliases expand to more than this file may hold"));
        };
        let node = node.clone();
        self.budget = left;
        self.aliased += nodes;
        self.push(node, span)
    }

    fn push(&mut self, node: Node, span: Span) -> Result<(), Fault> {
        match self.stack.last_mut().map(|f| &mut f.kind) {
            None => self.root = Some(node),
            Some(Collection::Sequence(items)) => items.push(node),
            Some(Collection::Mapping { entries, key, merge }) => match key.take() {
                Some(Key::Named(name, span)) => {
                    entries.push(Entry { key: name, key_span: Some(span), value: node });
                }
                Some(Key::Merge(span)) => *merge = Some((span, entries.len(), node)),
                None => *key = Some(named_key(node, span)?),
            },
        }
        Ok(())
    }
}

/// The value of a scalar with a tag. `Err` is the name of a tag that does not fit it.
fn tagged<'t>(text: &str, tag: &'t Tag) -> Result<Value, &'t str> {
    let string = || Value::String(text.to_owned());
    let Some(name) = yaml_tag(tag) else { return Ok(string()) };
    let value = scalar::resolve(text.into());
    match (name.as_ref(), &value) {
        ("str" | "timestamp", _) => Ok(string()),
        ("null", Value::Null)
        | ("bool", Value::Bool(_))
        | ("int", Value::Int(_))
        | ("float", Value::Float(_)) => Ok(value),
        ("float", Value::Int(_)) => Ok(value),
        _ => Err(tag.suffix.as_str()),
    }
}

/// The name of one of YAML's own tags, such as `str`.
fn yaml_tag(tag: &Tag) -> Option<Cow<'_, str>> {
    const PREFIX: &str = "tag:yaml.org,2002:";
    let whole = format!("{}{}", tag.handle, tag.suffix);
    whole.strip_prefix(PREFIX).or_else(|| whole.strip_prefix("!!")).map(|name| Cow::Owned(name.to_owned()))
}

/// A key as the YAML to JSON conversion spells it: whatever it resolves to becomes a string.
fn named_key(node: Node, span: Span) -> Result<Key, Fault> {
    let name = match node.value {
        Value::String(s) => s,
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => f.to_string(),
        Value::Null => return Err(Fault::new("syntax", span, "a key is missing before the colon")),
        Value::Sequence(_) | Value::Mapping(_) => return Err(no_key(span)),
    };
    Ok(Key::Named(name, span))
}

/// Refuses a key that is written twice. `kubectl` would take the last one without a word.
fn unique(entries: Vec<Entry>) -> Result<Vec<Entry>, Fault> {
    let mut keys = Keys::default();
    for (place, entry) in entries.iter().enumerate() {
        let first = keys.find(entries.get(..place).unwrap_or_default(), &entry.key);
        if let (Some(first), Some(second)) = (first.and_then(|e| e.key_span), entry.key_span) {
            return Err(duplicate(&entry.key, second, first));
        }
    }
    Ok(entries)
}

/// The entries with those that `<<` brings in. What the mapping says itself wins.
fn merged(mut entries: Vec<Entry>, merge: Option<(Span, usize, Node)>) -> Result<Vec<Entry>, Fault> {
    let Some((at, before, node)) = merge else { return Ok(entries) };
    let refuse = || Fault::new("syntax", at, "`<<` merges a mapping or a list of mappings, nothing else");
    let sources = match node.value {
        Value::Mapping(_) => vec![node],
        Value::Sequence(items) => items,
        _ => return Err(refuse()),
    };
    let mut index: HashMap<String, usize> =
        entries.iter().enumerate().map(|(i, e)| (e.key.clone(), i)).collect();
    for source in sources {
        let Value::Mapping(brought) = source.value else { return Err(refuse()) };
        for entry in brought {
            match index.get(&entry.key).and_then(|i| Some((*i, entries.get(*i)?))) {
                // go-yaml lets `<<` override what stands before it, other parsers do not.
                Some((i, own)) if i < before && own.value.value != entry.value.value => {
                    let fault =
                        Fault::new("duplicate-key", at, format!("`<<` brings another `{}`", entry.key))
                            .help("put `<<` before the keys that override it");
                    return Err(match own.key_span {
                        Some(span) => fault.related(span, "the first is here"),
                        None => fault,
                    });
                }
                Some(_) => {}
                None => {
                    index.insert(entry.key.clone(), entries.len());
                    entries.push(entry);
                }
            }
        }
    }
    Ok(entries)
}

/// From where a collection starts to where it ends: for flow style the closing bracket, else the last thing in it.
fn extent(start: Span, end: Span, last: Option<Span>) -> Span {
    if end.end > end.start {
        return start.to(end);
    }
    match last {
        Some(last) if last.start >= start.start => start.to(last),
        _ => start,
    }
}

pub(crate) fn duplicate(key: &str, second: Span, first: Span) -> Fault {
    Fault::new("duplicate-key", second, format!("the key `{key}` is written twice"))
        .related(first, "the first is here")
        .help("remove one of them, or merge the two")
}

fn no_key(span: Span) -> Fault {
    Fault::new("syntax", span, "a list or mapping where a key should be")
        .help("text in braces wants quotes; a template wants rendering first (`helm template`)")
}

pub(crate) fn too_deep(span: Span, max: usize) -> Fault {
    Fault::new("too-deep", span, format!("nested deeper than {max} levels"))
}
