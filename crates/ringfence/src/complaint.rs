//! An error for people: one line that says what is wrong, and lines that say what to do.

use std::fmt;

/// What is wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct Complaint {
    message: String,
    help: Vec<String>,
}

impl Complaint {
    pub(crate) fn new(message: impl Into<String>) -> Complaint {
        Complaint { message: message.into(), help: Vec::new() }
    }

    /// Adds a line that says what to do.
    pub(crate) fn help(mut self, line: impl Into<String>) -> Complaint {
        self.help.push(line.into());
        self
    }

    /// The lines that say what to do.
    pub(crate) fn help_lines(&self) -> &[String] {
        &self.help
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Complaint {}
