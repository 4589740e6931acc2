//! A value as block YAML. Scalars and keys that are not plain words are written as JSON, which YAML reads alike.

use serde_json::Value;

/// Appends a document.
pub(super) fn document(out: &mut String, value: &Value) {
    out.push_str("---\n");
    if is_block(value) {
        block(out, value, 0);
    } else {
        scalar(out, value);
        out.push('\n');
    }
}

/// Whether a value takes lines of its own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Writes a value whose first line is already indented.
fn block(out: &mut String, value: &Value, indent: usize) {
    let lines: &mut dyn Iterator<Item = (Option<&str>, &Value)> = match value {
        Value::Object(entries) => &mut entries.iter().map(|(key, value)| (Some(key.as_str()), value)),
        Value::Array(items) => &mut items.iter().map(|item| (None, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return scalar(out, value),
    };
    for (place, (key, value)) in lines.enumerate() {
        if place > 0 {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        match key {
            Some(key) => {
                text(out, key);
                out.push(':');
            }
            None => out.push('-'),
        }
        if !is_block(value) {
            out.push(' ');
            scalar(out, value);
            out.push('\n');
        } else if key.is_none() {
            // An item starts on the line of its dash.
            out.push(' ');
            block(out, value, indent + 2);
        } else {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent + 2));
            block(out, value, indent + 2);
        }
    }
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(string) => text(out, string),
        other => out.push_str(&other.to_string()),
    }
}

fn text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

/// Whether a text means itself without quotes, to every reader of YAML 1.1 and 1.2.
fn is_plain(text: &str) -> bool {
    const OTHERWISE: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/' | '_'))
        && !OTHERWISE.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_are_nested_and_what_is_not_plain_is_quoted() {
        let value = json!({
            "a": {"b": [{"c": 1, "d": {"on": "yes"}}, "x", [1, 2], []]},
            "e": {}, "f": "10.0.0.0/8", "g": "", "h": "a: b # c\n\"\u{7f}", "i": "apps/v1", "j": null,
        });
        let mut out = String::new();
        document(&mut out, &value);
        let expect = r#"---
a:
  b:
    - c: 1
      d:
        "on": "yes"
    - x
    - - 1
      - 2
    - []
e: {}
f: "10.0.0.0/8"
g: ""
h: "a: b # c\n\"DEL"
i: apps/v1
j: null
"#;
        assert_eq!(out, expect.replace("DEL", "\u{7f}"));
    }
}
