//! JSON text to [`Node`]s: any number of values after each other, tabs and all.
//!
//! `kubectl` reads what starts with a brace as JSON first and as YAML second; so it is here. Nothing here knows a
//! Kubernetes kind.

use crate::node::{Entry, Keys, Node, Value};
use crate::source::{FileId, Span};
use crate::yaml::{Fault, MAX_DEPTH, duplicate, too_deep};

/// Whether a text is to be tried as JSON.
pub(crate) fn is_likely(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
}

/// Reads all values of a text; those before a fault are returned too.
pub(crate) fn parse(file: FileId, text: &str) -> (Vec<Node>, Option<Fault>) {
    let mut json = Json { file, text, at: 0 };
    if text.starts_with('\u{feff}') {
        json.at = '\u{feff}'.len_utf8();
    }
    let mut values = Vec::new();
    loop {
        json.blank();
        if json.peek().is_none() {
            return (values, None);
        }
        match json.value(0) {
            Ok(node) if node.is_null() => {}
            Ok(node) => values.push(node),
            Err(fault) => return (values, Some(fault)),
        }
    }
}

struct Json<'t> {
    file: FileId,
    text: &'t str,
    at: usize,
}

impl<'t> Json<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn span(&self, start: usize) -> Span {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: offset(start), end: offset(self.at.max(start)) }
    }

    fn fault(&self, message: &str) -> Fault {
        Fault::new("syntax", self.span(self.at), format!("not valid JSON: {message}"))
    }

    fn expect(&mut self, byte: u8, message: &str) -> Result<(), Fault> {
        self.blank();
        if self.peek() != Some(byte) {
            return Err(self.fault(message));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        self.blank();
        let start = self.at;
        if depth >= MAX_DEPTH {
            return Err(too_deep(self.span(start), MAX_DEPTH));
        }
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { value, span: Some(self.span(start)) })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        self.at += 1;
        let mut entries = Vec::new();
        let mut seen = Keys::default();
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Mapping(entries));
        }
        loop {
            self.blank();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault("expected a key in double quotes"));
            }
            let key = self.string()?;
            let key_span = self.span(start);
            self.expect(b':', "expected a colon after the key")?;
            let value = self.value(depth + 1)?;
            if let Some(first) = seen.find(&entries, &key).and_then(|e| e.key_span) {
                return Err(duplicate(&key, key_span, first));
            }
            entries.push(Entry { key, key_span: Some(key_span), value });
            if self.ends(b'}')? {
                return Ok(Value::Mapping(entries));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Fault> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Sequence(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.ends(b']')? {
                return Ok(Value::Sequence(items));
            }
        }
    }

    /// Whether the collection ends here; else there is a comma.
    fn ends(&mut self, close: u8) -> Result<bool, Fault> {
        self.blank();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(b) if b == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.fault(&format!("expected a comma or `{}`", char::from(close)))),
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let mut result = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or("");
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            result.push_str(rest.get(..plain).unwrap_or(""));
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(result);
                }
                Some(b'\\') => result.push(self.escape()?),
                Some(_) => return Err(self.fault("a line break or control character in a string")),
                None => return Err(self.fault("a string without its closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let escaped = self.text.as_bytes().get(self.at + 1).copied();
        let simple = match escaped {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.fault("an unknown escape in a string")),
        };
        self.at += 2;
        Ok(simple)
    }

    /// `\uXXXX`, or two of them for a character beyond the first 65536.
    fn unicode(&mut self) -> Result<char, Fault> {
        let unit = |at: usize| {
            let hex = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
            hex.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(hex, 16).ok()).flatten()
        };
        let units = [unit(self.at), unit(self.at + 6)];
        let mut decoded = char::decode_utf16(units.into_iter().map_while(|u| u));
        match decoded.next() {
            Some(Ok(c)) => {
                self.at += 6 * c.len_utf16();
                Ok(c)
            }
            _ => Err(self.fault("a broken \\u escape in a string")),
        }
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let rest = self.text.get(self.at..).unwrap_or("");
        let len = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
            .count();
        let text = rest.get(..len).unwrap_or("");
        let value = is_number(text).then(|| match text.parse::<i64>() {
            Ok(i) => Some(Value::Int(i)),
            Err(_) => text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Value::Float),
        });
        match value.flatten() {
            Some(value) => {
                self.at += len;
                Ok(value)
            }
            None => Err(self.fault("not a number")),
        }
    }

    fn word(&mut self) -> Result<Value, Fault> {
        let rest = self.text.get(self.at..).unwrap_or("");
        let len = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let value = match rest.get(..len) {
            Some("null") => Value::Null,
            Some("true") => Value::Bool(true),
            Some("false") => Value::Bool(false),
            _ if rest.is_empty() => return Err(self.fault("the text ends too early")),
            _ => return Err(self.fault("expected a value")),
        };
        self.at += len;
        Ok(value)
    }
}

/// JSON's own grammar of numbers: no plus sign, no leading zeros, digits around the point.
fn is_number(text: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    /// The values as Rust prints them without spans, or `byte: message`.
    #[track_caller]
    fn check(text: &str, values: &[Value], fault: Option<u32>) {
        let file = Sources::default().add("f", text);
        let (nodes, found) = parse(file, text);
        assert_eq!(nodes.into_iter().map(|n| n.value).collect::<Vec<_>>(), values, "{text:?}");
        assert_eq!(found.map(|f| f.span.start), fault, "{text:?}");
    }

    fn list(values: &[Value]) -> Value {
        // Spans are not compared here, and cannot be made up.
        Value::Sequence(values.iter().map(|v| Node::new(v.clone())).collect())
    }

    #[test]
    fn values() {
        let string = |s: &str| Value::String(s.into());
        check("", &[], None);
        check(" \t\r\n", &[], None);
        check("{}", &[Value::Mapping(vec![])], None);
        check("[]\t[]", &[list(&[]), list(&[])], None);
        check("{}{}\n{}", &[Value::Mapping(vec![]), Value::Mapping(vec![]), Value::Mapping(vec![])], None);
        check("null", &[], None);
        check("true false", &[Value::Bool(true), Value::Bool(false)], None);
        check(
            "1 -2 0 1.5 8e1",
            &[Value::Int(1), Value::Int(-2), Value::Int(0), Value::Float(1.5), Value::Float(80.0)],
            None,
        );
        check("\"a\\n\\u00e9\\/\\ud83d\\ude00ä\"", &[string("a\né/😀ä")], None);
        check("\"yes\"", &[string("yes")], None);
    }

    #[test]
    fn faults() {
        for (text, at) in [
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("\"abc", 4),
            ("\"a\nb\"", 2),
            ("\"\\x\"", 1),
            ("\"\\ud83d\"", 1),
            ("\"\\u00g0\"", 1),
            ("01", 0),
            ("+1", 0),
            ("1.", 0),
            (".5", 0),
            ("1e999", 0),
            ("yes", 0),
            ("nullx", 0),
            ("--- ", 0),
            ("{\"a\":1,\"a\":2}", 7),
        ] {
            check(text, &[], Some(at));
        }
        check(&"[".repeat(100_000), &[], Some(100));
    }
}
