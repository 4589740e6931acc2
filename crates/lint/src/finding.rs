//! A finding: what is wrong, where, why, and what to do. A value; how it is shown is up to the caller.

use std::ops::Range;

use ringfence_k8s::{FileId, Level, Place};

use crate::code::Code;

/// Something that hardly means what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind of finding.
    pub code: &'static Code,
    /// How bad it is; mostly the code's own level.
    pub level: Level,
    /// One terse line.
    pub message: String,
    /// Why it matters, in the user's words; empty where the message says it all.
    pub reason: String,
    /// The object that it is about, such as `NetworkPolicy shop/db`.
    pub object: Option<String>,
    /// Where it is; `None` for what no text says.
    pub place: Option<Place>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that matter, each with what is there.
    pub related: Vec<(Place, String)>,
    /// The changes of text that mend it, where that is safe. Empty: a person must decide.
    pub edits: Vec<Edit>,
}

/// A change of a file's text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// The file.
    pub file: FileId,
    /// The first byte that goes.
    pub start: usize,
    /// The byte after the last one that goes.
    pub end: usize,
    /// What comes in its place.
    pub text: String,
}

impl Edit {
    /// The bytes that go.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

impl Finding {
    /// A finding of a code's own level, without a place yet.
    pub(crate) fn new(code: &'static Code, message: impl Into<String>) -> Finding {
        Finding {
            code,
            level: code.level,
            message: message.into(),
            reason: String::new(),
            object: None,
            place: None,
            help: None,
            related: Vec::new(),
            edits: Vec::new(),
        }
    }

    pub(crate) fn because(mut self, reason: impl Into<String>) -> Finding {
        self.reason = reason.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn level(mut self, level: Level) -> Finding {
        self.level = level;
        self
    }

    pub(crate) fn about(mut self, object: impl Into<String>) -> Finding {
        self.object = Some(object.into());
        self
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Finding {
        self.place = place;
        self
    }

    pub(crate) fn related(mut self, place: Option<Place>, what: impl Into<String>) -> Finding {
        self.related.extend(place.map(|place| (place, what.into())));
        self
    }

    pub(crate) fn edits(mut self, edits: impl IntoIterator<Item = Edit>) -> Finding {
        self.edits.extend(edits);
        self
    }

    /// The order in which findings are shown.
    pub(crate) fn key(&self) -> impl Ord + '_ {
        let place = self.place.as_ref().map(|p| (p.id, p.bytes.start));
        (place.is_none(), place, self.code.id, &self.object, &self.message)
    }
}
