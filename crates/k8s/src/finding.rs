//! What is wrong or doubtful in the input, in the user's words.
//!
//! A finding is a value; how it is shown is up to the caller, except for the one-line form of `Display`.

use std::fmt;

use crate::source::Place;

/// Something to tell the user about the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A stable name for the kind of finding, such as `unknown-field`.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// One terse line.
    pub message: String,
    /// The object it is about, such as `NetworkPolicy shop/db`, if that is known.
    pub object: Option<String>,
    /// Where it is; `None` for objects that were not read from text.
    pub place: Option<Place>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that matter, each with what is there.
    pub related: Vec<(Place, String)>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Read, but it hardly means what was meant.
    Warning,
    /// Not read; what is left must not be taken for the whole.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        })
    }
}

impl fmt::Display for Finding {
    /// `file:line:column: error[code]: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.object) {
            (Some(place), _) => write!(f, "{place}: ")?,
            (None, Some(object)) => write!(f, "{object}: ")?,
            (None, None) => {}
        }
        write!(f, "{}[{}]: {}", self.level, self.code, self.message)
    }
}
