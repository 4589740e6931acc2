//! Text from manifests inside other languages. Nothing in a manifest is trusted: a name may hold any character.

/// A field of a CSV line (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe.
pub(crate) fn csv(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Text in Markdown, in a table's cell too: nothing in it is markup, a mention, a link to an issue or a line end.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("&#64;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '$' | '!' | '#' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The same for prose of ours, in which words between backticks are code and stay so.
pub(crate) fn markdown_prose(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((prose, code, behind)) = between_backticks(rest) {
        escaped.push_str(&markdown(prose));
        escaped.push_str(&markdown_code(code));
        rest = behind;
    }
    escaped.push_str(&markdown(rest));
    escaped
}

/// What stands before, in and after the first code.
fn between_backticks(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, behind) = rest.split_once('`')?;
    (!code.trim().is_empty()).then_some((before, code, behind))
}

/// Text as code in Markdown, in a table's cell too.
pub(crate) fn markdown_code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // A fence that is longer than any in it, and a blank between, which is not shown.
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let blank = if longest > 0 || text.starts_with(' ') && text.ends_with(' ') { " " } else { "" };
    // A table takes a bar for its own even in code, unless it is escaped.
    format!("{fence}{blank}{}{blank}{fence}", text.replace('|', "\\|"))
}

/// The inside of a quoted label of a Mermaid diagram.
pub(crate) fn mermaid(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("#quot;"),
            '&' => escaped.push_str("#amp;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            // Even so, Mermaid takes what it reads with an `n` behind it for a line end: nothing stands between them.
            '\\' => escaped.push_str("#92;#8203;"),
            '#' | ';' | '`' | '*' | '_' | '|' | '%' => {
                escaped.push_str(&format!("#{};", u32::from(c)));
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The inside of a quoted string of Graphviz's DOT.
pub(crate) fn dot(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                escaped.push('\\');
                escaped.push(c);
            }
            // Graphviz reads HTML entities even in plain labels.
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text or an attribute's value in XML 1.0, which has no way to write most control characters. Lines stay lines.
///
/// <https://www.w3.org/TR/xml/#charsets>
pub(crate) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "a\"b'c<script>&|`\\\n#;[x](y)*_";

    fn check(escape: fn(&str) -> String, expect: &str) {
        assert_eq!(escape(EVIL), expect);
        assert_eq!(escape("shop/web"), "shop/web");
    }

    #[test]
    fn names_stay_text_in_every_language() {
        check(csv, "\"a\"\"b'c<script>&|`\\\n#;[x](y)*_\"");
        check(markdown, "a\"b'c&lt;script&gt;&amp;\\|\\`\\\\ \\#;\\[x\\](y)\\*\\_");
        check(mermaid, "a#quot;b'c#lt;script#gt;#amp;#124;#96;#92;#8203; #35;#59;[x](y)#42;#95;");
        check(dot, "a\\\"b'c<script>&amp;|`\\\\ #;[x](y)*_");
        check(xml, "a&quot;b&#39;c&lt;script&gt;&amp;|`\\\n#;[x](y)*_");
        assert_eq!(xml("a\u{1b}b\u{FFFE}"), "a b\u{FFFD}");
    }

    #[test]
    fn code_stays_code_and_the_rest_is_text() {
        let check = |text: &str, expect: &str| assert_eq!(markdown_prose(text), expect);
        check("no label `a|b_c` <b>*", "no label `a\\|b_c` &lt;b&gt;\\*");
        check("`a_b`, not `c_d`", "`a_b`, not `c_d`");
        check("one ` alone_", "one \\` alone\\_");
        check("`` empty_", "\\`\\` empty\\_");
        assert_eq!(markdown_code("a`b|c\n"), "`` a`b\\|c  ``");
        assert_eq!(markdown_code("deploy/web.yaml:3"), "`deploy/web.yaml:3`");
    }

    #[test]
    fn a_spreadsheet_runs_nothing() {
        assert_eq!(csv("=HYPERLINK(1,2)"), "\"'=HYPERLINK(1,2)\"");
        assert_eq!(csv("-1"), "'-1");
        assert_eq!(csv("@x"), "'@x");
    }
}
