//! The firewall table, by destination: which source, which service, what happens to it, and the rules that say so.
//!
//! The lines of a destination are read from the top, the first that fits decides: single sources, then what holds for
//! every other one, last the default. What is allowed is what [`Reach`](ringfence_policy::Reach) says; the engine's port
//! maps say which rule it is by. One destination is put together at a time, and forgotten.

mod attribution;
mod block;

use std::io::{self, Write};

pub(super) use self::block::Blocks;
use self::block::Line;
use super::Map;
use crate::escape;
use crate::table::{cell, heading};
use crate::terminal::Palette;

const HEADINGS: [&str; 5] = ["SOURCE", "DESTINATION", "SERVICE", "ACTION", "BY"];

/// For people.
pub(super) fn table(map: &Map<'_>, palette: Palette, out: &mut impl Write) -> io::Result<()> {
    let mut blocks = Blocks::new(map);
    let mut first = true;
    for place in blocks.destinations() {
        let lines = blocks.lines(place);
        if lines.is_empty() {
            continue;
        }
        let columns: Vec<[&str; 4]> =
            lines.iter().map(|l| [l.source.as_str(), &l.destination, &l.service, l.action()]).collect();
        let width = |column: usize| {
            let cells = columns.iter().filter_map(|c| c.get(column)).map(|c| c.chars().count());
            cells.chain(HEADINGS.get(column).map(|h| h.len())).max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3), 0];
        if !first {
            out.write_all(b"\n")?;
        }
        first = false;
        out.write_all(heading(&HEADINGS, &widths, palette).as_bytes())?;
        for (line, columns) in lines.iter().zip(&columns) {
            for (text, width) in columns.iter().zip(widths) {
                let cell = cell(text, width);
                let painted = match (*text == line.action(), line.is_allowed) {
                    (true, true) => palette.allowed(&cell),
                    (true, false) => palette.denied(&cell),
                    (false, _) => cell,
                };
                out.write_all(painted.as_bytes())?;
            }
            writeln!(out, "{}", line.by)?;
        }
    }
    Ok(())
}

/// For spreadsheets.
pub(super) fn csv(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"source,destination,service,action,by,default\r\n")?;
    let mut blocks = Blocks::new(map);
    for place in blocks.destinations() {
        for line in blocks.lines(place) {
            let Line { source, destination, service, by, is_default, .. } = &line;
            let fields = [source.as_str(), destination, service, line.action(), by];
            let fields: Vec<String> = fields.iter().map(|field| escape::csv(field)).collect();
            write!(out, "{},{}\r\n", fields.join(","), if *is_default { "yes" } else { "no" })?;
        }
    }
    Ok(())
}
