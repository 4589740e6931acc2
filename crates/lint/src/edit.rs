//! Edits of text: a word for another, a field before another. None where the layout is not plain enough to be sure.

use ringfence_k8s::{Node, Sources, Span};

use crate::finding::Edit;
use crate::view::entries;

/// Another word in the place of a scalar, in the same quotes.
pub(crate) fn replace(sources: &Sources, span: Span, word: &str) -> Option<Edit> {
    let written = sources.text(span);
    let quote = match written.chars().next()? {
        '"' => "\"",
        '\'' => "'",
        '|' | '>' | '&' | '*' | '!' => return None,
        _ => "",
    };
    if !is_plain(word) && quote.is_empty() {
        return None;
    }
    Some(Edit {
        file: span.file,
        start: span.start as usize,
        end: span.end as usize,
        text: format!("{quote}{word}{quote}"),
    })
}

/// A new field of a mapping, before its first one. `json` is the value as JSON and `yaml` the same as YAML.
pub(crate) fn insert_field(
    sources: &Sources,
    mapping: &Node,
    key: &str,
    yaml: &str,
    json: &str,
) -> Option<Edit> {
    let first = entries(mapping).first()?.key_span?;
    let text = &sources.file(first.file)?.text;
    let start = first.start as usize;
    let before = text.get(..start)?;
    let line = before.get(before.rfind('\n').map_or(0, |i| i + 1)..)?;
    let whole = mapping.span.map(|s| sources.text(s)).unwrap_or_default();
    let text = if whole.starts_with('{') {
        if sources.text(first).starts_with('"') {
            format!("\"{key}\": {json}, ")
        } else {
            format!("{key}: {yaml}, ")
        }
    } else if line.trim().is_empty() {
        // The line ends as the one before it does.
        let end = if before.strip_suffix(line).is_some_and(|b| b.ends_with("\r\n")) { "\r\n" } else { "\n" };
        format!("{key}: {yaml}{end}{line}")
    } else {
        return None;
    };
    Some(Edit { file: first.file, start, end: start, text })
}

/// Whether a word needs no quotes in YAML: a letter first, and nothing that means anything.
fn is_plain(word: &str) -> bool {
    const RESERVED: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "null", "y"];
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && !RESERVED.contains(&word.to_ascii_lowercase().as_str())
}
