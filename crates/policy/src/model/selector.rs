//! Selectors over labels.

use std::collections::BTreeSet;
use std::fmt;

use super::Labels;

/// A selector over labels: all its requirements must hold. Empty: it matches everything.
///
/// `matchLabels` and `matchExpressions` are one list here, sorted and without repetition, so that two spellings of one
/// selector are equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// The selector that asks all of these.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> LabelSelector {
        let set: BTreeSet<Requirement> = requirements.into_iter().collect();
        LabelSelector { requirements: set.into_iter().collect() }
    }

    /// The selector that matches everything.
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }

    /// The selector that `matchLabels` with these labels is.
    pub fn labels<K: Into<String>, V: Into<String>>(
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> LabelSelector {
        LabelSelector::new(
            labels.into_iter().map(|(k, v)| Requirement::In(k.into(), BTreeSet::from([v.into()]))),
        )
    }

    /// What is asked, all of it.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these labels matches.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// One requirement of a selector. `NotIn` and `DoesNotExist` hold for objects without the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The label has one of these values.
    In(String, BTreeSet<String>),
    /// The label has none of these values, or is absent.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
}

impl Requirement {
    /// The label's key.
    pub fn key(&self) -> &str {
        match self {
            Requirement::In(key, _)
            | Requirement::NotIn(key, _)
            | Requirement::Exists(key)
            | Requirement::DoesNotExist(key) => key,
        }
    }

    /// The one label that an object must carry to meet it, if there is one such label.
    pub(crate) fn only_label(&self) -> Option<(&str, &str)> {
        let Requirement::In(key, values) = self else { return None };
        let mut values = values.iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        Some((key, value))
    }

    /// Whether an object with these labels meets it.
    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

impl fmt::Display for Requirement {
    /// As `kubectl -l` spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match self {
            Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            Requirement::In(key, values) => write!(f, "{key} in ({})", list(values)),
            Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", list(values)),
            Requirement::Exists(key) => f.write_str(key),
            Requirement::DoesNotExist(key) => write!(f, "!{key}"),
        }
    }
}
