//! Where answers and everything else are written: answers to standard output, the rest to standard error.
//!
//! A reader that goes away (`| head`) is no error. Colour is used on a terminal, unless the user says otherwise.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write, stderr, stdout};

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::ColorChoice;

use crate::complaint::Complaint;

/// Large enough that a long answer is a few system calls for each megabyte.
const BUFFER: usize = 256 * 1024;

/// Standard output and standard error, and whether they are coloured.
#[derive(Debug)]
pub(crate) struct Terminal {
    color_out: bool,
    color_err: bool,
}

impl Terminal {
    pub(crate) fn new(choice: ColorChoice) -> Terminal {
        let wanted = |is_terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            // https://no-color.org
            ColorChoice::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Terminal { color_out: wanted(stdout().is_terminal()), color_err: wanted(stderr().is_terminal()) }
    }

    /// The styles of standard output.
    pub(crate) fn palette(&self) -> Palette {
        Palette { color: self.color_out }
    }

    /// Whether standard error is coloured.
    pub(crate) fn colors_errors(&self) -> bool {
        self.color_err
    }

    /// Writes an answer.
    pub(crate) fn answer(&self, text: &str) -> anyhow::Result<()> {
        self.stream(|out| out.write_all(text.as_bytes()))
    }

    /// Writes an answer piece by piece, so that it may be of any size.
    pub(crate) fn stream(
        &self,
        write: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER, stdout().lock());
        match write(&mut out).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.context("the answer cannot be written to standard output"),
        }
    }

    /// Writes to standard error. Where that is closed, nobody listens.
    pub(crate) fn aside(&self, text: &str) {
        let _ = stderr().lock().write_all(text.as_bytes());
    }

    /// Says what is worth knowing beside the answer.
    pub(crate) fn note(&self, message: &str) {
        self.say("note", AnsiColor::Green, message);
    }

    /// Says why there is no answer.
    pub(crate) fn complain(&self, error: &anyhow::Error) {
        self.say("error", AnsiColor::Red, &format!("{error:#}"));
        if let Some(complaint) = error.downcast_ref::<Complaint>() {
            for line in complaint.help_lines() {
                self.say("help", AnsiColor::Cyan, line);
            }
        }
    }

    fn say(&self, word: &str, color: AnsiColor, message: &str) {
        let palette = Palette { color: self.color_err };
        let word = palette.paint(color.on_default().bold(), word);
        self.aside(&format!("{word}: {message}\n"));
    }
}

/// What emphasis looks like, or that there is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    color: bool,
}

impl Palette {
    /// Without any colour.
    #[cfg(test)]
    pub(crate) const PLAIN: Palette = Palette { color: false };

    /// Whether there is no emphasis.
    pub(crate) fn is_plain(self) -> bool {
        !self.color
    }

    /// Allowed, open.
    pub(crate) fn allowed(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default().bold(), text)
    }

    /// Denied.
    pub(crate) fn denied(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    /// A heading.
    pub(crate) fn heading(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    /// Something to look at, such as a fix.
    pub(crate) fn accent(self, text: &str) -> String {
        self.paint(AnsiColor::Cyan.on_default(), text)
    }

    /// What may be overlooked.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.color && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
