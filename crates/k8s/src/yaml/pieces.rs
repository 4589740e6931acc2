//! A large text in pieces, which can be read at the same time.
//!
//! A piece starts where a line starts with `---`. It is read on until a document starts exactly where the next piece does;
//! then the parser has nothing in mind, and reading the pieces is reading the text. Whatever is not as plain as that (an
//! error, a directive, an odd character) gives no result, and the text is to be read as a whole.

use std::ops::Range;

use super::build::Builder;
use super::{MAX_ALIASED_NODES, MAX_DEPTH, Stop, first_byte, next_document, parse_from};
use crate::node::Node;
use crate::source::FileId;

/// The pieces of a text, each at least so large but the last; one where the text does not come apart.
pub(crate) fn pieces(text: &str, size: usize) -> Vec<Range<usize>> {
    let mut start = first_byte(text);
    // A directive is for the document after it.
    let is_plain = u32::try_from(text.len()).is_ok() && !text.starts_with('%') && !text.contains("\n%");
    let mut pieces = Vec::new();
    while is_plain && let Some(next) = next_document(text, boundary(text, start + size)) {
        pieces.push(start..next);
        start = next;
    }
    pieces.push(start..text.len());
    pieces
}

/// Where a character starts, here or soon after.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// Reads a piece: its documents, and how many nodes aliases added. `None` where anything is not plain.
pub(crate) fn parse_piece(file: FileId, text: &str, piece: Range<usize>) -> Option<(Vec<Node>, usize)> {
    let is_last = piece.end == text.len();
    if !text.get(piece.clone())?.chars().all(is_plain) {
        return None;
    }
    let mut documents = Vec::new();
    let mut builder = Builder::new(MAX_DEPTH, MAX_ALIASED_NODES);
    let is_read = match parse_from(file, text, piece, &mut builder, &mut documents) {
        Stop::End => is_last,
        Stop::Start => !is_last,
        Stop::Broken(..) => false,
    };
    is_read.then(|| (documents, builder.aliased()))
}

/// Whether a character is what all tools take it for.
fn is_plain(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
        || !c.is_control() && !matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse;
    use super::*;
    use crate::source::Sources;

    /// Reads a text in pieces and as a whole, and holds one against the other; how many pieces there were, if the text was
    /// plain enough for them.
    #[track_caller]
    fn check(text: &str, size: usize) -> Option<usize> {
        let mut sources = Sources::default();
        let file = sources.add("f", text);
        let mut findings = Vec::new();
        let whole = parse(file, &sources, &mut findings);
        let pieces = pieces(text, size);
        let covered: String = pieces.iter().map(|piece| text.get(piece.clone()).unwrap()).collect();
        assert_eq!(covered, text.strip_prefix('\u{feff}').unwrap_or(text), "{text:?}");
        let count = pieces.len();
        let read: Option<Vec<(Vec<Node>, usize)>> =
            pieces.into_iter().map(|piece| parse_piece(file, text, piece)).collect();
        let read = read.filter(|r| r.iter().map(|(_, aliased)| aliased).sum::<usize>() <= MAX_ALIASED_NODES);
        let documents: Vec<Node> = read?.into_iter().flat_map(|(documents, _)| documents).collect();
        assert_eq!(documents, whole, "{text:?}");
        assert_eq!(findings, [], "{text:?}");
        Some(count)
    }

    #[test]
    fn plain_texts_come_apart() {
        assert_eq!(check("a: 1\n---\nb: 2\n---\nc: 3\n", 1), Some(3));
        assert_eq!(check("---\na: 1\n---\nb: 2\n", 1), Some(2));
        assert_eq!(check("a: 1\n---\nb: 2\n---\nc: 3\n", 6), Some(2));
        assert_eq!(check("a: 1\n---\nb: 2\n", 100), Some(1));
        assert_eq!(check("", 1), Some(1));
        assert_eq!(check("\u{feff}a: 1\n---\nb: 2\n", 1), Some(2));
        assert_eq!(check("a: é\r\n---\r\nb: ü # x\r\n# y\r\n--- {c: d}\r\n", 1), Some(3));
        assert_eq!(check("a:\n---\n- b\n...\n# c\n---\nd: |\n  e\n\n---\n---\nf: g", 1), Some(5));
        assert_eq!(check("a: &x {b: c}\nd: *x\n---\ne: f\n", 1), Some(2));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_whole() {
        assert_eq!(check("%YAML 1.2\n---\na: 1\n---\nb: 2\n", 1), Some(1));
        assert_eq!(check("a: 1\n...\n%TAG ! tag:x,2000:\n---\nb: !y 2\n---\nc: 3\n", 1), Some(1));
        for text in [
            "a: 1\n---\nb: [\n---\nc: 3\n",
            "a: \"b\n---\nc\"\n",
            "a: &x 1\n---\nb: *x\n",
            "a: 1\n---\na: 1\na: 2\n",
            "a: \u{2028}\n---\nb: 1\n",
            "a: \u{1}\n---\nb: 1\n",
            "a: 1\n\u{feff}\n---\nb: 1\n",
        ] {
            assert_eq!(check(text, 1), None, "{text:?}");
        }
        // Texts whose document is one string: a line that looks like a separator is one.
        check("|\na\n---\nb\n", 1);
        check("--- |\na\n---\n---\nb\n", 1);
        check("--- >-\n---\n  ---\n", 1);
        check("'a\n--- b'\n", 1);
        check("{a: b,\n---\nc: d}\n", 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_read_alike(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "a: 1", "- b", "  ", "\n", "\n", "\n---\n", "\n--- ", "\n---\r\n", "...\n", "'", "\"", "|\n", ">-\n",
                    "{", "}", "[", "]", ",", ": ", "? ", "&x ", "*x", "# c", "%YAML 1.2\n", "é", "\u{2028}", "\u{feff}",
                    "---", "<<: ", "!!str ", "\t", "\r", "a: b\n---\nc:\n  - d\n---\n",
                ]),
                0..30,
            ),
            size in 1usize..20,
        ) {
            check(&words.concat(), size);
        }
    }
}
