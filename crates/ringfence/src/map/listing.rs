//! An answer in lines that is no map: columns for people, a value for programs.

use std::io::{self, Write};

use anyhow::Result;
use serde_json::Value;

use super::args::MapFormat;
use crate::complaint::Complaint;
use crate::escape;
use crate::table::columns;
use crate::terminal::{Palette, Terminal};

/// What is answered.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) headings: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
    /// What is said in words, after the lines.
    pub(super) summary: String,
    pub(super) json: Value,
}

impl Listing {
    /// Writes it in a format. `question` is the flag that asks for it.
    pub(super) fn show(&self, format: MapFormat, question: &str, terminal: &Terminal) -> Result<()> {
        match format {
            MapFormat::Table => terminal.answer(&self.table(terminal.palette())),
            MapFormat::Json => terminal.answer(&format!("{:#}\n", self.json)),
            MapFormat::Csv => terminal.stream(|out| self.csv(out)),
            MapFormat::Markdown => terminal.stream(|out| self.markdown(out)),
            other => {
                let message = format!("{question} has no -o {}", other.as_str());
                Err(Complaint::new(message).help("its formats: table, json, csv, markdown").into())
            }
        }
    }

    fn table(&self, palette: Palette) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", self.summary);
        }
        let paint = |_, cell: &str| match cell {
            "allowed" | "isolated" => palette.allowed(cell),
            "denied" => palette.denied(cell),
            "unknown" => palette.accent(cell),
            _ => cell.to_owned(),
        };
        format!("{}\n{}\n", columns(&self.headings, &self.rows, palette, paint), self.summary)
    }

    fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        let heading = self.headings.iter().map(|h| h.to_lowercase().replace(' ', "_"));
        write!(out, "{}\r\n", heading.collect::<Vec<_>>().join(","))?;
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| escape::csv(cell)).collect();
            write!(out, "{}\r\n", cells.join(","))?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut impl Write) -> io::Result<()> {
        if !self.rows.is_empty() {
            writeln!(out, "| {} |", self.headings.join(" | "))?;
            writeln!(out, "|{}", "---|".repeat(self.headings.len()))?;
            for row in &self.rows {
                let cells: Vec<String> = row.iter().map(|cell| escape::markdown(cell)).collect();
                writeln!(out, "| {} |", cells.join(" | "))?;
            }
            writeln!(out)?;
        }
        writeln!(out, "{}", escape::markdown(&self.summary))
    }
}
