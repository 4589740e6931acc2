//! The texts that were read, and places in them.
//!
//! A [`Span`] is small and points; a [`Place`] is resolved and can be shown. No rendering here.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ringfence_policy::Source;

/// A place in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A stretch of one file, in bytes; the end is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// From the start of this to the end of another of the same file.
    pub fn to(self, other: Span) -> Span {
        Span { end: self.end.max(other.end), ..self }
    }
}

/// A text that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The name as the user gave it; `-` for standard input.
    pub name: Arc<str>,
    /// What it holds.
    pub text: Arc<str>,
    /// The byte at which each line starts.
    lines: Vec<u32>,
}

impl SourceFile {
    fn new(name: Arc<str>, text: Arc<str>) -> SourceFile {
        let bytes = text.as_bytes();
        let mut lines = vec![0];
        for (i, byte) in bytes.iter().enumerate() {
            let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(i + 1) != Some(&b'\n'));
            if ends {
                lines.push(u32::try_from(i + 1).unwrap_or(u32::MAX));
            }
        }
        SourceFile { name, text, lines }
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub fn position(&self, offset: u32) -> (u32, u32) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start as usize..offset as usize).unwrap_or("");
        // A byte order mark is not a column that an editor counts.
        let column = before.chars().filter(|c| *c != '\u{feff}').count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// Every text that was read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Adds a text.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile::new(name.into(), text.into()));
        id
    }

    /// The files, in the order in which they were read.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The files with what they are known by.
    pub fn all(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(&self.files)
    }

    /// The file.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).and_then(|f| f.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }

    /// The span, resolved.
    pub fn place(&self, span: Span) -> Option<Place> {
        let file = self.file(span.file)?;
        let (line, column) = file.position(span.start);
        let (end_line, end_column) = file.position(span.end.max(span.start));
        Some(Place {
            file: file.name.clone(),
            id: span.file,
            line,
            column,
            end_line,
            end_column,
            bytes: span.start as usize..span.end.max(span.start) as usize,
        })
    }

    /// File and line of a span, as the model keeps them.
    pub fn source(&self, span: Span) -> Option<Source> {
        let file = self.file(span.file)?;
        Some(Source { file: file.name.clone(), line: file.position(span.start).0 })
    }
}

/// A stretch of a file that can be shown. Lines and columns count from 1, columns in characters; the end is excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: Arc<str>,
    /// The file's text, in [`Sources`].
    pub id: FileId,
    /// The first line.
    pub line: u32,
    /// The first column.
    pub column: u32,
    /// The last line.
    pub end_line: u32,
    /// The column after the last one.
    pub end_column: u32,
    /// The same, in bytes of the text.
    pub bytes: Range<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let check = |text: &str, offset: u32, expect: (u32, u32)| {
            let file = SourceFile::new("f".into(), text.into());
            assert_eq!(file.position(offset), expect, "{text:?} at {offset}");
        };
        check("", 0, (1, 1));
        check("a\nb", 0, (1, 1));
        check("a\nb", 1, (1, 2));
        check("a\nb", 2, (2, 1));
        check("a\r\nb", 3, (2, 1));
        check("a\rb", 2, (2, 1));
        check("é: x", 3, (1, 3));
        check("\u{feff}a", 3, (1, 1));
        check("a\n", 2, (2, 1));
        check("a", 99, (1, 1));
    }
}
