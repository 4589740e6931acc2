//! Label selectors, checked as the API server checks them.

use std::collections::BTreeSet;

use ringfence_policy::{LabelSelector, Requirement};

use super::context::{Context, Reported, all, field};
use super::names;
use crate::node::{Entry, Node, Value};
use crate::source::Span;

const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

impl Context<'_> {
    /// A `LabelSelector`; `{}` and null select everything.
    pub(crate) fn selector(&mut self, node: &Node, name: &str) -> Result<LabelSelector, Reported> {
        let entries = self.mapping(node, name)?;
        let known = self.selector_fields(entries, name);
        let labels = match field(entries, "matchLabels") {
            Some(node) => self.labels(node, "matchLabels"),
            None => Ok(Default::default()),
        };
        let expressions = match field(entries, "matchExpressions") {
            Some(node) => match self.sequence(node, "matchExpressions") {
                Ok(items) => all(items.iter().map(|item| self.expression(item))),
                Err(reported) => Err(reported),
            },
            None => Ok(Vec::new()),
        };
        known?;
        let equal = labels?.into_iter().map(|(key, value)| Requirement::In(key, BTreeSet::from([value])));
        Ok(LabelSelector::new(equal.chain(expressions?)))
    }

    fn selector_fields(&mut self, entries: &[Entry], name: &str) -> Result<(), Reported> {
        const KNOWN: [&str; 2] = ["matchLabels", "matchExpressions"];
        let mut result = Ok(());
        for entry in entries.iter().filter(|e| !KNOWN.contains(&e.key.as_str())) {
            let key = &entry.key;
            let help = match names::near_miss(key, KNOWN) {
                Some(near) => format!("did you mean `{near}`?"),
                None => match ((self.grammar.belongs)(key), &entry.value.value) {
                    (Some(place), _) => format!("`{key}` belongs {place}"),
                    (None, Value::String(_) | Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
                        format!("labels go under `matchLabels`: `matchLabels: {{{key}: ...}}`")
                    }
                    (None, _) => "a selector has `matchLabels` and `matchExpressions`".to_owned(),
                },
            };
            let message = format!("unknown field `{key}` in `{name}`");
            result = Err(self.not_known(
                "unknown-field",
                entry.key_span.or(entry.value.span),
                message,
                Some(help),
            ));
        }
        result
    }

    fn expression(&mut self, node: &Node) -> Result<Requirement, Reported> {
        let entries = self.mapping(node, "matchExpressions")?;
        let known = self.known_fields(entries, &["key", "operator", "values"], "`matchExpressions`");
        let key = self.expression_key(entries, node.span);
        let operator = self.operator(entries, node.span);
        let values = match field(entries, "values") {
            Some(node) => match self.sequence(node, "values") {
                Ok(items) => all(items.iter().map(|item| self.expression_value(item))),
                Err(reported) => Err(reported),
            },
            None => Ok(Vec::new()),
        };
        known?;
        let (key, operator, values) = (key?, operator?, values?);
        let values: BTreeSet<String> = values.into_iter().collect();
        let values_span = field(entries, "values").and_then(|v| v.span).or(node.span);
        match (operator, values.is_empty()) {
            ("In", false) => Ok(Requirement::In(key, values)),
            ("NotIn", false) => Ok(Requirement::NotIn(key, values)),
            ("Exists", true) => Ok(Requirement::Exists(key)),
            ("DoesNotExist", true) => Ok(Requirement::DoesNotExist(key)),
            (operator, true) => {
                let message = format!("operator {operator} needs `values`");
                let other = if operator == "In" { "Exists" } else { "DoesNotExist" };
                Err(self.not_known(
                    "invalid-selector",
                    values_span,
                    message,
                    Some(format!("for any value, use {other}")),
                ))
            }
            (operator, false) => {
                let message = format!("operator {operator} takes no `values`");
                let other = if operator == "Exists" { "In" } else { "NotIn" };
                Err(self.not_known(
                    "invalid-selector",
                    values_span,
                    message,
                    Some(format!("for these values, use {other}")),
                ))
            }
        }
    }

    fn expression_key(&mut self, entries: &[Entry], span: Option<Span>) -> Result<String, Reported> {
        let Some(node) = field(entries, "key") else {
            return Err(self.error("invalid-selector", span, "an expression without `key`", None));
        };
        let key = self.string(node, "key")?;
        names::label_key(key).map(|()| key.to_owned()).map_err(|why| {
            self.not_known("invalid-label", node.span, format!("`{key}` is no label key: {why}"), None)
        })
    }

    fn operator(&mut self, entries: &[Entry], span: Option<Span>) -> Result<&'static str, Reported> {
        let Some(node) = field(entries, "operator") else {
            return Err(self.error("invalid-selector", span, "an expression without `operator`", None));
        };
        let written = self.string(node, "operator")?;
        if let Some(operator) = OPERATORS.into_iter().find(|o| *o == written) {
            return Ok(operator);
        }
        let help = match names::near_miss(written, OPERATORS) {
            Some(near) => format!("did you mean {near}?"),
            None => "the operators are In, NotIn, Exists and DoesNotExist".to_owned(),
        };
        Err(self.not_known("invalid-selector", node.span, format!("`{written}` is no operator"), Some(help)))
    }

    fn expression_value(&mut self, node: &Node) -> Result<String, Reported> {
        // Go reads null in a list of strings as the empty string; the schema of a custom resource refuses it.
        let value = if node.is_null() && !self.grammar.custom { "" } else { self.string(node, "values")? };
        names::label_value(value).map(|()| value.to_owned()).map_err(|why| {
            self.not_known("invalid-label", node.span, format!("`{value}` is no label value: {why}"), None)
        })
    }
}
