//! YAML text to [`Node`]s, with the place of every word.
//!
//! The grammar is `saphyr-parser`'s; what words mean, merge keys, duplicate keys and the bounds on depth and on
//! expansion are decided here. A document that is broken is a finding, and reading goes on with the next one. Nothing
//! here knows a Kubernetes kind.

mod build;
mod pieces;
mod scalar;
mod write;

use std::ops::Range;

use saphyr_parser::{Event, Parser};

use crate::finding::{Finding, Level};
use crate::node::Node;
use crate::source::{FileId, Sources, Span};
use build::Builder;
pub(crate) use build::{duplicate, too_deep};
pub(crate) use pieces::{parse_piece, pieces};
pub use write::to_yaml;

/// How deep a document may nest. Kubernetes objects stay below 30.
pub(crate) const MAX_DEPTH: usize = 100;

/// How many nodes the aliases of one file may add: a guard against "billion laughs".
pub(crate) const MAX_ALIASED_NODES: usize = 200_000;

/// How many broken documents of one file are told apart.
const MAX_BROKEN: usize = 100;

/// Reads all documents of a file; empty ones are left out.
pub(crate) fn parse(file: FileId, sources: &Sources, findings: &mut Vec<Finding>) -> Vec<Node> {
    let mut documents = Vec::new();
    let Some(text) = sources.file(file).map(|f| f.text.clone()) else { return documents };
    if let Some(fault) = forbidden_character(file, &text) {
        findings.push(fault.into_finding(sources));
        return documents;
    }
    findings.extend(odd_line_break(file, &text, sources));
    let mut broken = 0;
    let mut builder = Builder::new(MAX_DEPTH, MAX_ALIASED_NODES);
    let mut start = first_byte(&text);
    loop {
        let read = parse_from(file, &text, start..text.len(), &mut builder, &mut documents);
        let Stop::Broken(broken_at, fault) = read else { break };
        findings.push(fault.into_finding(sources));
        broken += 1;
        match next_document(&text, broken_at) {
            Some(_) if broken == MAX_BROKEN => {
                let span = end_of(file, &text);
                let message =
                    format!("{MAX_BROKEN} broken documents in this file; the rest of it is not read");
                findings.push(Fault::new("syntax", span, message).into_finding(sources));
                break;
            }
            Some(next) => start = next,
            None => break,
        }
    }
    documents
}

/// Why reading stopped.
enum Stop {
    /// All is read.
    End,
    /// A document starts where reading was to stop.
    Start,
    /// A document is broken: where it starts, and what is wrong.
    Broken(usize, Fault),
}

/// Reads the documents from a place on, until one starts right where the reading is to stop.
fn parse_from(
    file: FileId,
    text: &str,
    span: Range<usize>,
    builder: &mut Builder,
    documents: &mut Vec<Node>,
) -> Stop {
    let Range { start: base, end } = span;
    let (Some(rest), Some(wanted)) = (text.get(base..), text.get(base..end)) else { return Stop::End };
    let offsets = Offsets::new(file, base, wanted);
    let stop = offsets.count();
    let mut document_start = base;
    builder.reset();
    for event in Parser::new_from_str(rest) {
        let (event, mark) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = offsets.span(error.marker().index(), error.marker().index());
                return Stop::Broken(document_start, syntax_fault(text, at, error.info()));
            }
        };
        let span = offsets.span(mark.start.index(), mark.end.index());
        match event {
            Event::DocumentStart(true) if mark.start.index() == stop => return Stop::Start,
            Event::DocumentStart(_) => {
                document_start = span.start as usize;
                builder.reset();
            }
            Event::DocumentEnd => documents.extend(builder.finish().filter(|node| !node.is_null())),
            event => {
                if let Err(fault) = builder.event(event, span) {
                    return Stop::Broken(document_start, fault);
                }
            }
        }
    }
    Stop::End
}

/// Behind a byte order mark.
fn first_byte(text: &str) -> usize {
    if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

fn end_of(file: FileId, text: &str) -> Span {
    let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
    Span { file, start: end, end }
}

/// The first line after `from` that starts a document.
fn next_document(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(rest) = text.get(at..) {
        at += rest.find("\n---")? + 1;
        let after = text.get(at + "---".len()..)?;
        if after.is_empty() || after.starts_with([' ', '\t', '\r', '\n']) {
            return Some(at);
        }
    }
    None
}

/// What is wrong with a text.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) related: Option<(Span, String)>,
}

impl Fault {
    pub(crate) fn new(code: &'static str, span: Span, message: impl Into<String>) -> Fault {
        Fault { code, span, message: message.into(), help: None, related: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Fault {
        Fault { help: Some(help.into()), ..self }
    }

    pub(crate) fn related(self, span: Span, what: impl Into<String>) -> Fault {
        Fault { related: Some((span, what.into())), ..self }
    }

    pub(crate) fn into_finding(self, sources: &Sources) -> Finding {
        Finding {
            code: self.code,
            level: Level::Error,
            message: self.message,
            object: None,
            place: sources.place(self.span),
            help: self.help,
            related: self
                .related
                .into_iter()
                .filter_map(|(span, what)| Some((sources.place(span)?, what)))
                .collect(),
        }
    }
}

/// The parser's complaint, with the likely human cause.
fn syntax_fault(text: &str, span: Span, info: &str) -> Fault {
    let fault = Fault::new("syntax", span, format!("not valid YAML: {info}"));
    let at = span.start as usize;
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = text.get(line_start..).unwrap_or("").lines().next().unwrap_or("");
    let indent = line.len() - line.trim_start().len();
    if line.get(..indent).is_some_and(|blank| blank.contains('\t')) || info.contains("tab") {
        fault.help("indent with spaces: YAML does not allow tabs there")
    } else if text.contains("{{") {
        fault.help("this looks like a template: render it first (`helm template`) and read the result")
    } else if info.contains("mapping values") {
        fault.help("a colon in a value wants quotes; otherwise check the indentation of this line")
    } else if info.contains("did not find expected key") || info.contains("block") {
        fault.help("check the indentation of this line against the lines above")
    } else {
        fault
    }
}

/// A control character, which YAML refuses and some parsers take for the end.
fn forbidden_character(file: FileId, text: &str) -> Option<Fault> {
    let allowed = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{85}' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => !c.is_control(),
    };
    let (at, c) = text.char_indices().find(|(_, c)| !allowed(*c))?;
    let start = u32::try_from(at).ok()?;
    let span = Span { file, start, end: start + u32::try_from(c.len_utf8()).ok()? };
    Some(Fault::new("syntax", span, format!("not valid YAML: control character U+{:04X}", u32::from(c))))
}

/// A line break that YAML 1.1 knows, and with it `kubectl`, but YAML 1.2 does not, and with it most editors.
fn odd_line_break(file: FileId, text: &str, sources: &Sources) -> Option<Finding> {
    let (at, c) = text.char_indices().find(|(_, c)| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}'))?;
    let start = u32::try_from(at).ok()?;
    let span = Span { file, start, end: start + u32::try_from(c.len_utf8()).ok()? };
    let message = format!("U+{:04X} ends a line for kubectl, but not here", u32::from(c));
    let fault = Fault::new("odd-line-break", span, message)
        .help("remove it, or write it as an escape in double quotes");
    Some(Finding { level: Level::Warning, ..fault.into_finding(sources) })
}

/// The parser counts characters; spans count bytes of the whole text.
struct Offsets {
    file: FileId,
    base: usize,
    len: usize,
    /// The byte of each character, unless all are one byte.
    bytes: Option<Vec<u32>>,
}

impl Offsets {
    fn new(file: FileId, base: usize, rest: &str) -> Offsets {
        let bytes = (!rest.is_ascii())
            .then(|| rest.char_indices().map(|(i, _)| u32::try_from(i).unwrap_or(u32::MAX)).collect());
        Offsets { file, base, len: rest.len(), bytes }
    }

    /// How many characters there are.
    fn count(&self) -> usize {
        self.bytes.as_ref().map_or(self.len, Vec::len)
    }

    fn byte(&self, character: usize) -> u32 {
        let byte = match &self.bytes {
            None => character.min(self.len),
            Some(bytes) => bytes.get(character).map_or(self.len, |b| *b as usize),
        };
        u32::try_from(self.base + byte).unwrap_or(u32::MAX)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: self.byte(start), end: self.byte(end.max(start)) }
    }
}

#[cfg(test)]
mod tests;
