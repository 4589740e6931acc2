//! Plain columns, as kubectl prints them: a line of headings, three blanks between columns, no rules.

use std::fmt::Write;

use crate::terminal::Palette;

const GAP: usize = 3;

/// Lays out rows under headings. `paint` may colour a cell, by its column and text.
pub(crate) fn columns(
    headings: &[&str],
    rows: &[Vec<String>],
    palette: Palette,
    paint: impl Fn(usize, &str) -> String,
) -> String {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(i, heading)| {
            let cells = rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count());
            cells.chain([heading.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let mut text = heading(headings, &widths, palette);
    for row in rows {
        line(&mut text, row, &widths, &paint);
    }
    text
}

/// The line of headings over columns of these widths.
pub(crate) fn heading(headings: &[&str], widths: &[usize], palette: Palette) -> String {
    let mut text = String::new();
    let headings: Vec<String> = headings.iter().map(|h| (*h).to_owned()).collect();
    line(&mut text, &headings, widths, |_, cell| palette.heading(cell));
    text
}

/// A cell that another one follows.
pub(crate) fn cell(text: &str, width: usize) -> String {
    format!("{text}{:blank$}", "", blank = width.saturating_sub(text.chars().count()) + GAP)
}

fn line(text: &mut String, cells: &[String], widths: &[usize], paint: impl Fn(usize, &str) -> String) {
    let mut owed = 0;
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if !cell.is_empty() {
            let _ = write!(text, "{:owed$}{}", "", paint(i, cell));
            owed = 0;
        }
        owed += width.saturating_sub(cell.chars().count()) + GAP;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_blanks_at_the_end_of_a_line() {
        let rows = [vec!["a".to_owned(), String::new()], vec!["long".to_owned(), "x".to_owned()]];
        let text = columns(&["ONE", "TWO"], &rows, Palette::PLAIN, |_, c| c.to_owned());
        assert_eq!(text, "ONE    TWO\na\nlong   x\n");
    }
}
