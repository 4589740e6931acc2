//! What the schemas of cluster-wide policies ask of mappings and lists: fields that must be there, mappings with
//! exactly one field, lists of so many items, each once.

use std::collections::BTreeMap;

use crate::lower::context::{Context, Reported, field, key_span};
use crate::lower::names;
use crate::node::{Entry, Node};
use crate::source::Span;

/// The fields that a mapping may have.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    /// What the mapping is, to people.
    pub(super) of: &'a str,
    pub(super) known: &'a [&'a str],
    /// Those of the known ones that must be there.
    pub(super) required: &'a [&'a str],
}

impl Fields<'_> {
    /// The entry with an unknown key that was probably meant to be this field, which is missing.
    fn meant<'n>(&self, entries: &'n [Entry], name: &str) -> Option<&'n Entry> {
        if field(entries, name).is_some() {
            return None;
        }
        let unknown = entries.iter().map(|e| e.key.as_str()).filter(|key| !self.known.contains(key));
        let key = names::near_miss(name, unknown)?;
        entries.iter().find(|e| e.key == key)
    }
}

impl Context<'_> {
    /// Reports the fields that are not known, but for those that [`Context::required`] explains.
    pub(super) fn fields(&mut self, entries: &[Entry], fields: &Fields<'_>) -> Result<(), Reported> {
        let explained: Vec<&str> = fields
            .required
            .iter()
            .filter_map(|name| fields.meant(entries, name))
            .map(|e| e.key.as_str())
            .collect();
        let others = entries.iter().filter(|e| !explained.contains(&e.key.as_str()));
        self.known_fields(others, fields.known, fields.of)
    }

    /// A field that must be there: without it a server refuses the object. `span` is where it would be.
    pub(super) fn required<'n>(
        &mut self,
        entries: &'n [Entry],
        name: &str,
        fields: &Fields<'_>,
        span: Option<Span>,
    ) -> Result<&'n Node, Reported> {
        if let Some(node) = field(entries, name) {
            return Ok(node);
        }
        if let Some(entry) = fields.meant(entries, name) {
            let message = format!("unknown field `{}` in {}, which needs `{name}`", entry.key, fields.of);
            let help = format!("did you mean `{name}`?");
            return Err(self.error("unknown-field", entry.key_span.or(span), message, Some(help)));
        }
        let null = key_span(entries, name);
        let help = match name {
            "podSelector" => Some("write `podSelector: {}` for every pod of those namespaces"),
            "namespaceSelector" => Some("write `namespaceSelector: {}` for every namespace"),
            "from" => Some("write `- namespaces: {}` for every pod"),
            "to" => Some(
                "write `- namespaces: {}` for every pod, or `- networks: [0.0.0.0/0, \"::/0\"]` for everybody",
            ),
            "priority" => Some("write a number from 0, asked first, to 1000"),
            "tier" => Some("write Admin or Baseline"),
            _ => None,
        };
        let message = format!("no `{name}` in {}", fields.of);
        Err(self.error("missing-field", null.or(span), message, help.map(str::to_owned)))
    }

    /// A mapping that must have exactly one of some fields, and what `read` makes of that one. Without any that is
    /// known, the mapping says something that this version does not know. It is called by its field and in full.
    pub(super) fn one_of<T>(
        &mut self,
        node: &Node,
        (name, of): (&str, &str),
        known: &[&'static str],
        read: impl FnOnce(&mut Self, &'static str, &Node) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let entries = self.mapping(node, name)?;
        let unknown = self.known_fields(entries, known, of);
        let mut written = known.iter().filter_map(|name| Some((*name, field(entries, name)?)));
        let Some((one, value)) = written.next() else {
            unknown?;
            let help = match entries.first() {
                Some(entry) if matches!(entry.key.as_str(), "namespaces" | "nodes") => {
                    format!("`{0}` is null; write `{0}: {{}}` to select everything", entry.key)
                }
                Some(entry) => format!("`{}` is null; remove it, or give it a value", entry.key),
                None => format!("this version knows {}", names::list(known)),
            };
            return Err(self.not_known("missing-field", node.span, format!("nothing in {of}"), Some(help)));
        };
        let result = read(self, one, value);
        if let Some((other, _)) = written.next() {
            let span = key_span(entries, other).or(node.span);
            let message = format!("`{one}` and `{other}` in {of}, which takes one of them");
            let help = match name {
                "subject" => "write a policy for each",
                "destinationPort" => "remove one of them",
                _ => "make each an item of its own, with its own dash",
            };
            return Err(self.error("mixed-fields", span, message, Some(help.to_owned())));
        }
        unknown?;
        result
    }

    /// Refuses a list that is longer than the schema allows.
    pub(super) fn at_most(
        &mut self,
        node: &Node,
        items: &[Node],
        name: &str,
        most: usize,
    ) -> Result<(), Reported> {
        if items.len() <= most {
            return Ok(());
        }
        let message = format!("`{name}` has {} items, and a server takes {most} at most", items.len());
        Err(self.error("too-many", node.span, message, None))
    }

    /// Refuses a list that is longer than the schema allows, or empty.
    pub(super) fn some_but_at_most(
        &mut self,
        node: &Node,
        items: &[Node],
        name: &str,
        most: usize,
        help: &str,
    ) -> Result<(), Reported> {
        if items.is_empty() {
            let message = format!("`{name}` is empty, which a server refuses");
            return Err(self.error("empty-list", node.span, message, Some(help.to_owned())));
        }
        self.at_most(node, items, name, most)
    }

    /// Refuses a text that is twice in a list.
    pub(super) fn each_once(&mut self, items: &[Node], name: &str) -> Result<(), Reported> {
        let mut seen = BTreeMap::new();
        let mut result = Ok(());
        for item in items {
            let Some(text) = item.as_str() else { continue };
            let Some(first) = seen.insert(text, item.span) else { continue };
            let message = format!("`{text}` is twice in `{name}`, which a server refuses");
            result = Err(self.error("duplicate-item", item.span, message, Some("remove one".to_owned())));
            self.related(first, "the other is here");
        }
        result
    }
}
