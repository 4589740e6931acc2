//! The user's own lines: what is written at a place, with line numbers.

use ringfence_k8s::Sources;
use ringfence_policy::Source;

/// No rule is quoted with more lines than this.
const MOST: usize = 14;

/// Lines of a file, each with its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quote<'s> {
    pub(super) lines: Vec<(usize, &'s str)>,
    /// Whether there is more than was quoted.
    pub(super) cut: bool,
}

/// The list item or block that starts at a place: its line, and the lines below that are indented deeper.
pub(super) fn block<'s>(source: &Source, sources: &'s Sources) -> Option<Quote<'s>> {
    let file = sources.files().iter().find(|f| f.name == source.file)?;
    Some(block_of(&file.text, source.line as usize)).filter(|q| !q.lines.is_empty())
}

fn block_of(text: &str, first: usize) -> Quote<'_> {
    let mut lines = text.lines().zip(1..).skip(first.saturating_sub(1));
    let mut quoted: Vec<(usize, &str)> = Vec::new();
    let Some((head, number)) = lines.next() else { return Quote { lines: quoted, cut: false } };
    quoted.push((number, head));
    let depth = indentation(head);
    for (line, number) in lines {
        let blank = line.trim().is_empty();
        let closes = line.trim_start().starts_with(['}', ']']) && indentation(line) == depth;
        if !blank && indentation(line) <= depth && !closes {
            break;
        }
        quoted.push((number, line));
        if closes {
            break;
        }
    }
    while quoted.last().is_some_and(|(_, l)| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        quoted.pop();
    }
    let cut = quoted.len() > MOST;
    quoted.truncate(MOST);
    let margin = quoted.iter().filter(|(_, l)| !l.trim().is_empty()).map(|(_, l)| indentation(l)).min();
    for (_, line) in &mut quoted {
        *line = line.get(margin.unwrap_or(0)..).unwrap_or_default().trim_end();
    }
    Quote { lines: quoted, cut }
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, first: usize, expect: &[(usize, &str)]) {
        assert_eq!(block_of(text, first).lines, expect);
    }

    #[test]
    fn a_block_ends_where_the_indentation_does() {
        let text =
            "ingress:\n  - from:\n    - podSelector: {}\n\n    ports: []\n\n  # next\n  - {}\negress:\n";
        check(text, 2, &[(2, "- from:"), (3, "  - podSelector: {}"), (4, ""), (5, "  ports: []")]);
        check(text, 8, &[(8, "- {}")]);
        check(text, 99, &[]);
    }

    #[test]
    fn json_keeps_its_closing_bracket() {
        check("[\n  {\n    \"a\": 1\n  },\n  {}\n]", 2, &[(2, "{"), (3, "  \"a\": 1"), (4, "},")]);
    }
}
