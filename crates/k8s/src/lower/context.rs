//! What every part of lowering shares: typed access to the fields of a node, and the findings.
//!
//! An `Err(Reported)` always stands for a finding that is already in the list: of level error, or, while
//! [`Context::effect`] is set, of level warning for what makes a rule fail closed.

use ringfence_policy::Labels;

use super::names;
use crate::finding::{Finding, Level};
use crate::node::{Entry, Node, Value};
use crate::source::{Sources, Span};

/// Proof that a finding was reported for what could not be read: an error, or in a rule that fails closed a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reported(());

/// How the server treats the kind of object that is being read.
#[derive(Debug)]
pub(crate) struct Grammar {
    /// Whether it is a custom resource: the server drops what is null in it, and does not look into its selectors.
    pub(crate) custom: bool,
    /// Where a field belongs that was found elsewhere.
    pub(crate) belongs: fn(&str) -> Option<&'static str>,
}

/// The kinds that are built into the server.
pub(crate) static BUILT_IN: Grammar = Grammar { custom: false, belongs: names::belongs };

/// What lowering reads from and reports to.
pub(crate) struct Context<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) findings: Vec<Finding>,
    /// What is being read, such as `NetworkPolicy shop/db`.
    pub(crate) object: Option<String>,
    /// Where that is written: the place of findings that have no better one.
    pub(crate) object_span: Option<Span>,
    /// The namespace of objects that name none.
    pub(crate) default_namespace: &'a str,
    /// How the server treats what is being read.
    pub(crate) grammar: &'static Grammar,
    /// In a rule that fails closed: what the rule does if anything in it is not known.
    pub(crate) effect: Option<&'static str>,
}

impl<'a> Context<'a> {
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        span: Option<Span>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Reported {
        self.report(Level::Error, code, span, message.into(), help);
        Reported(())
    }

    pub(crate) fn warn(
        &mut self,
        code: &'static str,
        span: Option<Span>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.report(Level::Warning, code, span, message.into(), help);
    }

    /// Reports what is not known here, such as a field or an operator. It breaks the object, or, in a rule that can fail
    /// closed, only the rule: then it is a warning that says what the rule does now.
    pub(crate) fn not_known(
        &mut self,
        code: &'static str,
        span: Option<Span>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Reported {
        let message = message.into();
        match self.effect {
            Some(effect) => self.warn("fails-closed", span, format!("{message}; {effect}"), help),
            None => self.report(Level::Error, code, span, message, help),
        }
        Reported(())
    }

    /// Whether an error is among the findings from this one on.
    pub(crate) fn has_errors_from(&self, first: usize) -> bool {
        self.findings.get(first..).is_some_and(|f| f.iter().any(|f| f.level == Level::Error))
    }

    fn report(
        &mut self,
        level: Level,
        code: &'static str,
        span: Option<Span>,
        message: String,
        help: Option<String>,
    ) {
        let place = span.or(self.object_span).and_then(|s| self.sources.place(s));
        let object = self.object.clone();
        self.findings.push(Finding { code, level, message, object, place, help, related: Vec::new() });
    }

    /// Adds a place to the finding reported last.
    pub(crate) fn related(&mut self, span: Option<Span>, what: &str) {
        let place = span.and_then(|s| self.sources.place(s));
        if let (Some(place), Some(finding)) = (place, self.findings.last_mut()) {
            finding.related.push((place, what.to_owned()));
        }
    }

    /// Reports that a value is of the wrong type.
    pub(crate) fn expected(&mut self, wanted: &str, field: &str, node: &Node) -> Reported {
        let found = node.value.describe();
        let written = node.span.map_or("", |s| self.sources.text(s));
        let help = match &node.value {
            Value::Bool(_) | Value::Int(_) | Value::Float(_)
                if wanted.contains("string") && is_word(written) =>
            {
                Some(format!("quote it: \"{written}\""))
            }
            Value::String(s) if wanted.contains("number") && s.parse::<i64>().is_ok() => {
                Some("remove the quotes".to_owned())
            }
            Value::Mapping(_) if wanted == "a list" => Some("start each item with a dash".to_owned()),
            Value::Sequence(_) if wanted == "a mapping" => Some("remove the dash".to_owned()),
            _ => None,
        };
        self.error("wrong-type", node.span, format!("`{field}` must be {wanted}, not {found}"), help)
    }

    /// The fields of a mapping. Null reads as an empty one, as it does on the server.
    pub(crate) fn mapping<'n>(&mut self, node: &'n Node, field: &str) -> Result<&'n [Entry], Reported> {
        match &node.value {
            Value::Mapping(entries) => Ok(entries),
            Value::Null => Ok(&[]),
            _ => Err(self.expected("a mapping", field, node)),
        }
    }

    /// The items of a list. Null reads as an empty one, as it does on the server.
    pub(crate) fn sequence<'n>(&mut self, node: &'n Node, field: &str) -> Result<&'n [Node], Reported> {
        match &node.value {
            Value::Sequence(items) => Ok(items),
            Value::Null => Ok(&[]),
            _ => Err(self.expected("a list", field, node)),
        }
    }

    pub(crate) fn string<'n>(&mut self, node: &'n Node, field: &str) -> Result<&'n str, Reported> {
        match &node.value {
            Value::String(s) => Ok(s),
            _ => Err(self.expected("a string", field, node)),
        }
    }

    pub(crate) fn boolean(&mut self, node: &Node, field: &str) -> Result<bool, Reported> {
        match &node.value {
            Value::Bool(b) => Ok(*b),
            _ => Err(self.expected("true or false", field, node)),
        }
    }

    /// A whole number; `80.0` is one, as it is in JSON.
    pub(crate) fn integer(&mut self, node: &Node, field: &str) -> Result<i64, Reported> {
        match whole(&node.value) {
            Some(i) => Ok(i),
            None => Err(self.expected("a whole number", field, node)),
        }
    }

    /// A mapping of strings to strings. A value that is null reads as the empty string, as it does on the server; in a
    /// custom resource the server would drop it.
    pub(crate) fn strings(&mut self, node: &Node, field: &str) -> Result<Labels, Reported> {
        let mut result = Ok(Labels::new());
        for entry in self.mapping(node, field)? {
            let value = match &entry.value.value {
                Value::Null if self.grammar.custom => {
                    let message = format!("`{}` has no value: the server drops it", entry.key);
                    let help = Some("write \"\" if the empty string is meant".to_owned());
                    Err(self.not_known("null-value", entry.key_span, message, help))
                }
                Value::Null => {
                    self.warn(
                        "null-value",
                        entry.key_span,
                        format!("`{}` has no value: it reads as the empty string", entry.key),
                        Some("write \"\" if the empty string is meant".to_owned()),
                    );
                    Ok("")
                }
                _ => self.string(&entry.value, &entry.key),
            };
            match (value, &mut result) {
                (Ok(value), Ok(map)) => {
                    map.insert(entry.key.clone(), value.to_owned());
                }
                (Ok(_), Err(_)) => {}
                (Err(reported), _) => result = Err(reported),
            }
        }
        result
    }

    /// Labels, each checked as the server checks it.
    pub(crate) fn labels(&mut self, node: &Node, field: &str) -> Result<Labels, Reported> {
        let labels = self.strings(node, field)?;
        let mut result = Ok(());
        for entry in self.mapping(node, field)? {
            if let Err(why) = names::label_key(&entry.key) {
                let message = format!("`{}` is no label key: {why}", entry.key);
                result = Err(self.not_known("invalid-label", entry.key_span, message, None));
            }
            if let Some(value) = labels.get(&entry.key)
                && let Err(why) = names::label_value(value)
            {
                let message = format!("`{value}` is no label value: {why}");
                result = Err(self.not_known("invalid-label", entry.value.span, message, None));
            }
        }
        result.map(|()| labels)
    }

    /// Refuses fields that are not in the API: the server would refuse or drop them.
    pub(crate) fn known_fields<'n>(
        &mut self,
        entries: impl IntoIterator<Item = &'n Entry>,
        known: &[&str],
        of: &str,
    ) -> Result<(), Reported> {
        let mut result = Ok(());
        for entry in entries.into_iter().filter(|e| !known.contains(&e.key.as_str())) {
            let help = match names::near_miss(&entry.key, known.iter().copied()) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None => match (self.grammar.belongs)(&entry.key) {
                    Some(place) => Some(format!("`{}` belongs {place}", entry.key)),
                    None => self.grammar.custom.then(|| format!("this version knows {}", names::list(known))),
                },
            };
            let message = format!("unknown field `{}` in {of}", entry.key);
            result = Err(self.not_known("unknown-field", entry.key_span.or(entry.value.span), message, help));
        }
        result
    }
}

/// The value of a field that is there and not null.
pub(crate) fn field<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Node> {
    entries.iter().find(|e| e.key == key).map(|e| &e.value).filter(|v| !v.is_null())
}

/// Where a field is written, its key included.
pub(crate) fn key_span(entries: &[Entry], key: &str) -> Option<Span> {
    entries.iter().find(|e| e.key == key).and_then(|e| e.key_span)
}

/// All of them, or the last error; every item is looked at.
pub(crate) fn all<T>(items: impl IntoIterator<Item = Result<T, Reported>>) -> Result<Vec<T>, Reported> {
    let mut result = Ok(Vec::new());
    for item in items {
        match (item, &mut result) {
            (Ok(item), Ok(list)) => list.push(item),
            (Ok(_), Err(_)) => {}
            (Err(reported), _) => result = Err(reported),
        }
    }
    result
}

/// The whole number that a JSON decoder would take this for.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(i) => Some(*i),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e15 => format!("{f:.0}").parse().ok(),
        _ => None,
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() < 40 && !text.contains(['\n', '"', '\\'])
}
