//! The differences for a pull request: a line that says it all, and the rest folded away.

use std::io::{self, Write};

use super::model::{Diff, Line, Risk, plural};
use super::table;
use crate::escape::markdown as escaped;
use crate::ports::PortList;

/// Writes all as Markdown, as GitHub and GitLab show it.
pub(super) fn write(diff: &Diff<'_>, all: bool, out: &mut impl Write) -> io::Result<()> {
    let limit = if all { usize::MAX } else { table::LINES };
    writeln!(out, "**Network policies {}**\n", escaped(&diff.summary()))?;
    for text in &diff.untold {
        writeln!(out, "- not shown by the input: {}", escaped(text))?;
    }
    for gained in [true, false] {
        let verb = if gained { "gained" } else { "lost" };
        let counts = Risk::ALL.iter().filter_map(|risk| {
            let groups = diff.groups.iter().filter(|g| g.gained == gained && g.risk == *risk);
            let count: usize = groups.map(|g| g.lines.len()).sum();
            (count > 0).then(|| format!("{count} {}", risk.text()))
        });
        let counts: Vec<String> = counts.collect();
        if !counts.is_empty() {
            writeln!(out, "- {verb}: {}", counts.join(", "))?;
        }
    }
    policies(diff, out)?;
    for gained in [true, false] {
        let groups: Vec<_> = diff.groups.iter().filter(|g| g.gained == gained).collect();
        if groups.is_empty() {
            continue;
        }
        let verb = if gained { "gained" } else { "lost" };
        open(out, &format!("{} {verb}", plural(diff.count(gained), "connection")))?;
        for group in groups {
            writeln!(out, "**{verb} {}: {}**\n", group.risk.text(), escaped(&group.subject.text()))?;
            for (direction, now, before) in diff.reasons(group) {
                writeln!(out, "- {} now: {}", direction.as_str(), escaped(&now))?;
                writeln!(out, "- before: {}", escaped(&before))?;
            }
            writeln!(out)?;
            connections(&group.lines, limit, out)?;
        }
        close(out)?;
    }
    for (list, word) in [(&diff.come, "new"), (&diff.gone, "gone")] {
        if list.is_empty() {
            continue;
        }
        open(out, &format!("{} {word}", plural(list.len(), "workload")))?;
        for present in list {
            writeln!(out, "**{}**\n", escaped(&present.reference.text()))?;
            connections(&present.lines, limit, out)?;
        }
        close(out)?;
    }
    if !diff.objects.is_empty() {
        open(out, "Other changes")?;
        for text in &diff.objects {
            writeln!(out, "- {}", escaped(text))?;
        }
        writeln!(out)?;
        close(out)?;
    }
    Ok(())
}

fn policies(diff: &Diff<'_>, out: &mut impl Write) -> io::Result<()> {
    if diff.policies.is_empty() {
        return Ok(());
    }
    open(
        out,
        &match diff.policies.len() {
            1 => "1 policy changed".to_owned(),
            many => format!("{many} policies changed"),
        },
    )?;
    writeln!(out, "| change | policy | old | new |\n|---|---|---|---|")?;
    for change in &diff.policies {
        let [old, new] = table::places(diff, change).map(|place| escaped(&place.unwrap_or_default()));
        writeln!(out, "| {} | {} | {old} | {new} |", table::word(change), escaped(&change.key.to_string()))?;
    }
    writeln!(out)?;
    close(out)
}

fn connections(lines: &[Line], limit: usize, out: &mut impl Write) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "| from | to | ports |\n|---|---|---|")?;
    for line in lines.iter().take(limit) {
        let ports = PortList::from(&line.ports).to_text();
        writeln!(out, "| {} | {} | {ports} |", escaped(&line.from.text()), escaped(&line.to.text()))?;
    }
    if let Some(more @ 1..) = lines.len().checked_sub(limit) {
        writeln!(out, "\nand {more} more; `--all` lists them")?;
    }
    writeln!(out)
}

fn open(out: &mut impl Write, title: &str) -> io::Result<()> {
    writeln!(out, "\n<details><summary>{title}</summary>\n")
}

fn close(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "</details>")
}
