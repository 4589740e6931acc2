//! Nodes to YAML text in the style of `kubectl`: blocks, the dash of an item under its key, two spaces.
//!
//! A text stands without quotes only where every reader of YAML 1.1 and 1.2 takes it for itself; all other strings are
//! written as JSON, which YAML reads alike, or as a literal block where they have several lines.

use std::fmt::Write;

use crate::node::{Entry, Node, Value};

/// Documents as one text, each after the first with a line of dashes before it.
pub fn to_yaml<'n>(documents: impl IntoIterator<Item = &'n Node>) -> String {
    let mut out = String::new();
    for (place, document) in documents.into_iter().enumerate() {
        if place > 0 {
            out.push_str("---\n");
        }
        if is_block(document) {
            block(&mut out, document, 0);
        } else {
            scalar(&mut out, document, 0);
        }
    }
    out
}

/// Whether a value takes lines of its own.
fn is_block(node: &Node) -> bool {
    match &node.value {
        Value::Mapping(entries) => !entries.is_empty(),
        Value::Sequence(items) => !items.is_empty(),
        _ => false,
    }
}

/// Writes a value whose first line is already indented.
fn block(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::Mapping(entries) => {
            for (place, Entry { key, value, .. }) in entries.iter().enumerate() {
                if place > 0 {
                    spaces(out, indent);
                }
                text(out, key);
                out.push(':');
                if !is_block(value) {
                    out.push(' ');
                    scalar(out, value, indent + 2);
                    continue;
                }
                out.push('\n');
                let inner = if matches!(value.value, Value::Sequence(_)) { indent } else { indent + 2 };
                spaces(out, inner);
                block(out, value, inner);
            }
        }
        Value::Sequence(items) => {
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    spaces(out, indent);
                }
                // An item starts on the line of its dash.
                out.push_str("- ");
                if is_block(item) {
                    block(out, item, indent + 2);
                } else {
                    scalar(out, item, indent + 2);
                }
            }
        }
        _ => scalar(out, node, indent),
    }
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// Writes the rest of a line, and the lines of a literal block after it.
fn scalar(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::String(string) => match literal(string) {
            Some(head) => {
                out.push_str(head);
                for line in string.lines() {
                    out.push('\n');
                    if !line.is_empty() {
                        spaces(out, indent);
                        out.push_str(line);
                    }
                }
            }
            None => text(out, string),
        },
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Mapping(_) => out.push_str("{}"),
        Value::Sequence(_) => out.push_str("[]"),
    }
    out.push('\n');
}

/// How a literal block of this text starts; `None` where it cannot be written as one.
fn literal(text: &str) -> Option<&'static str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let printable = |c: char| c == '\n' || (!c.is_control() && !is_line_break(c));
    let plain_lines = body.split('\n').all(|line| !line.ends_with(' ') && !line.starts_with(' '));
    let writable = text.contains('\n') && text.chars().all(printable) && plain_lines;
    // A first or last line that is empty would need more than these two heads.
    let edges = !body.is_empty() && !body.starts_with('\n') && !body.ends_with('\n');
    (writable && edges).then_some(if body.len() < text.len() { "|" } else { "|-" })
}

/// What YAML 1.1 takes for the end of a line, and YAML 1.2 does not; and what no reader wants to see bare.
fn is_line_break(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn float(value: f64) -> String {
    if value.is_nan() {
        ".nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        format!("{value:?}")
    }
}

fn text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        quoted(out, text);
    }
}

/// Whether a text means itself without quotes, to every reader of YAML 1.1 and 1.2.
fn is_plain(text: &str) -> bool {
    const OTHERWISE: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/' | '_');
    // An address with its prefix is no number to any reader, and is what policies are full of.
    let address = text.contains('/') && text.starts_with(|c: char| c.is_ascii_digit());
    (text.starts_with(|c: char| c.is_ascii_alphabetic()) || address)
        && text.chars().all(word)
        && !OTHERWISE.contains(&text.to_ascii_lowercase().as_str())
}

/// A string in double quotes, as JSON writes it.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_line_break(c) => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;
    use crate::source::Sources;

    fn mapping(entries: &[(&str, Value)]) -> Value {
        let entry = |(key, value): &(&str, Value)| Entry {
            key: (*key).to_owned(),
            key_span: None,
            value: Node::new(value.clone()),
        };
        Value::Mapping(entries.iter().map(entry).collect())
    }

    fn list(items: &[Value]) -> Value {
        Value::Sequence(items.iter().cloned().map(Node::new).collect())
    }

    fn string(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn bare(node: &Node) -> Value {
        match &node.value {
            Value::Sequence(items) => list(&items.iter().map(bare).collect::<Vec<_>>()),
            Value::Mapping(entries) => {
                mapping(&entries.iter().map(|e| (e.key.as_str(), bare(&e.value))).collect::<Vec<_>>())
            }
            other => other.clone(),
        }
    }

    /// What the project's own reader makes of a text.
    fn read(text: &str) -> Vec<Value> {
        let (mut sources, mut findings) = (Sources::default(), Vec::<Finding>::new());
        let file = sources.add("f", text);
        let nodes = crate::yaml::parse(file, &sources, &mut findings);
        assert_eq!(findings, [], "{text}");
        nodes.iter().map(bare).collect()
    }

    #[test]
    fn blocks_are_nested_as_kubectl_nests_them() {
        let inner = mapping(&[("c", Value::Int(1)), ("d", mapping(&[("on", string("yes"))]))]);
        let items = list(&[inner, string("x"), list(&[Value::Int(1), list(&[])]), Value::Null]);
        let value = mapping(&[
            ("a", mapping(&[("b", items)])),
            ("e", mapping(&[])),
            ("text", string("one\n\n  two\n")),
            ("lines", string("one\ntwo")),
        ]);
        let expect = "\
a:
  b:
  - c: 1
    d:
      \"on\": \"yes\"
  - x
  - - 1
    - []
  - null
e: {}
text: \"one\\n\\n  two\\n\"
lines: |-
  one
  two
";
        let node = Node::new(value.clone());
        assert_eq!(to_yaml([&node]), expect);
        assert_eq!(to_yaml([&node, &node]), format!("{expect}---\n{expect}"));
        assert_eq!(read(expect), [value]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let texts = [
            "",
            " ",
            "a",
            "a b",
            "80",
            "1.5",
            "010",
            "0x1F",
            "1_000",
            "10:30",
            "2001-01-01",
            "~",
            "null",
            "Null",
            "y",
            "No",
            "on",
            "true",
            ".inf",
            ".nan",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "[",
            "{",
            "|",
            ">",
            "'",
            "\"",
            "\\",
            "a\\nb",
            "a\nb",
            "a\n",
            "a\n\n",
            "\na",
            " a\nb",
            "a \nb",
            "a\n b",
            "a\tb",
            "a\r\nb",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "ä",
            "😀",
            "10.0.0.0/8",
            "2001:db8::/32",
            "1/2",
            "1e3",
            "app.kubernetes.io/name",
            "---",
            "...",
            "=",
            "<<",
            "? a",
            "?",
            ":",
            "a:",
            "{\"a\":1}\n",
            "a\n---\nb\n",
        ];
        for text in texts {
            let value = mapping(&[("k", string(text)), (text, list(&[string(text), Value::Int(-7)]))]);
            let written = to_yaml([&Node::new(value.clone())]);
            if text != "k" && text != "<<" {
                assert_eq!(read(&written), [value], "{text:?} as\n{written}");
            }
        }
        for value in
            [Value::Null, Value::Bool(true), Value::Int(i64::MIN), Value::Float(0.25), Value::Float(1e300)]
        {
            let value = mapping(&[("k", value)]);
            assert_eq!(read(&to_yaml([&Node::new(value.clone())])), [value]);
        }
    }
}
