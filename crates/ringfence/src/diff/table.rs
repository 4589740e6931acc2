//! The differences for people: the answer first, then policies, then connections, the riskiest first.

use std::io::{self, Write};

use ringfence_policy::{Engine, PolicyChange, PolicyId};

use super::model::{Diff, Group, Line, plural};
use super::present::Present;
use crate::ports::PortList;
use crate::table::columns;
use crate::terminal::Palette;

/// How many connections of a group are listed, unless all are asked for.
pub(super) const LINES: usize = 12;

/// Writes everything.
pub(super) fn write(diff: &Diff<'_>, all: bool, palette: Palette, out: &mut impl Write) -> io::Result<()> {
    let summary = diff.summary();
    let (word, rest) = summary.split_once(':').unwrap_or((&summary, ""));
    let word = if diff.is_equivalent() { palette.allowed(word) } else { palette.denied(word) };
    writeln!(out, "{word}:{rest}")?;
    if !diff.untold.is_empty() && !diff.is_unchanged() {
        writeln!(out, "and there is more that the input does not show:")?;
    }
    for text in &diff.untold {
        writeln!(out, "  {text}")?;
    }
    let limit = if all { usize::MAX } else { LINES };
    policies(diff, palette, out)?;
    if !diff.objects.is_empty() {
        writeln!(out, "\n{}", palette.heading("OTHER CHANGES"))?;
        for text in diff.objects.iter().take(limit) {
            writeln!(out, "{text}")?;
        }
        more(diff.objects.len(), limit, "", out)?;
    }
    for group in &diff.groups {
        self::group(diff, group, limit, palette, out)?;
    }
    for (list, word) in [(&diff.come, "new"), (&diff.gone, "gone")] {
        for Present { reference, lines } in list {
            let word = palette.accent(word);
            writeln!(out, "\n{word}: {}, {}", reference.text(), plural(lines.len(), "connection"))?;
            connections(lines, limit, palette, out)?;
        }
    }
    Ok(())
}

fn policies(diff: &Diff<'_>, palette: Palette, out: &mut impl Write) -> io::Result<()> {
    if diff.policies.is_empty() {
        return Ok(());
    }
    let row = |change: &PolicyChange| {
        let [old, new] = places(diff, change);
        vec![
            word(change).to_owned(),
            change.key.to_string(),
            old.unwrap_or_default(),
            new.unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = diff.policies.iter().map(row).collect();
    let table = columns(&["POLICY", "NAME", "OLD", "NEW"], &rows, palette, |_, cell| cell.to_owned());
    write!(out, "\n{table}")
}

/// Whether a policy came, went or changed.
pub(super) fn word(change: &PolicyChange) -> &'static str {
    match (change.old, change.new) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    }
}

/// Where a policy is written, on either side.
pub(super) fn places(diff: &Diff<'_>, change: &PolicyChange) -> [Option<String>; 2] {
    let place = |engine: &Engine, id: Option<PolicyId>| Some(engine.policy(id?)?.source()?.to_string());
    [place(diff.old.engine(), change.old), place(diff.new.engine(), change.new)]
}

fn group(
    diff: &Diff<'_>,
    group: &Group,
    limit: usize,
    palette: Palette,
    out: &mut impl Write,
) -> io::Result<()> {
    let verb = if group.gained { palette.accent("gained") } else { palette.denied("lost") };
    let subject = group.subject.text();
    writeln!(out, "\n{verb} {}: {subject}", group.risk.text())?;
    for (direction, now, before) in diff.reasons(group) {
        writeln!(out, "  {} now: {now}", direction.as_str())?;
        writeln!(out, "  {}: {before}", palette.dim("before"))?;
    }
    connections(&group.lines, limit, palette, out)
}

fn connections(lines: &[Line], limit: usize, palette: Palette, out: &mut impl Write) -> io::Result<()> {
    let row = |line: &Line| {
        vec![String::new(), line.from.text(), line.to.text(), PortList::from(&line.ports).to_text()]
    };
    let rows: Vec<Vec<String>> = lines.iter().take(limit).map(row).collect();
    if !rows.is_empty() {
        out.write_all(
            columns(&["", "FROM", "TO", "PORTS"], &rows, palette, |_, cell| cell.to_owned()).as_bytes(),
        )?;
    }
    more(lines.len(), limit, "   ", out)
}

fn more(count: usize, limit: usize, indent: &str, out: &mut impl Write) -> io::Result<()> {
    match count.checked_sub(limit) {
        Some(more) if more > 0 => writeln!(out, "{indent}and {more} more; --all lists them"),
        _ => Ok(()),
    }
}
