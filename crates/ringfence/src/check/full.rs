//! For people: the place with the text underlined, the reason, and what to do.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use ringfence_k8s::{Place, SourceFile, finding};
use ringfence_lint::Finding;

use super::Report;
use crate::diagnostics::clamp;
use crate::terminal::Palette;

pub(super) fn render(report: &Report<'_>, palette: Palette) -> String {
    let renderer = if palette.is_plain() { Renderer::plain() } else { Renderer::styled() };
    let mut text = String::new();
    for finding in report.findings {
        text.push_str(&renderer.render(&[group(finding, report)]));
        text.push_str("\n\n");
    }
    text.push_str(&report.summary());
    let fixable = report.findings.iter().filter(|f| !f.edits.is_empty()).count();
    if fixable > 0 {
        text.push_str(&format!("; --fix mends {fixable}"));
    }
    text.push('\n');
    text
}

fn group<'f>(finding: &'f Finding, report: &Report<'f>) -> Group<'f> {
    let level = match finding.level {
        finding::Level::Error => Level::ERROR,
        finding::Level::Warning => Level::WARNING,
        finding::Level::Note => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(finding.message.as_str()).id(finding.code.id));
    if let Some(place) = &finding.place {
        group = match report.sources.file(place.id) {
            Some(file) => group.element(snippet(finding, place, file)),
            None => group.element(Origin::path(&*place.file).line(place.line as usize)),
        };
        for (related, what) in finding.related.iter().filter(|(p, _)| !is_beside(place, p)) {
            group = group.element(Level::NOTE.message(format!("{what}: {related}")));
        }
    }
    if let Some(object) = &finding.object {
        group = group.element(Level::NOTE.message(format!("in {object}")));
    }
    if !finding.reason.is_empty() {
        group = group.element(Level::NOTE.with_name("why").message(finding.reason.as_str()));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// The lines around a place, cut out of the file so that a long one costs no more than a short one.
fn snippet<'f>(
    finding: &'f Finding,
    place: &Place,
    file: &'f SourceFile,
) -> Snippet<'f, annotate_snippets::Annotation<'f>> {
    let beside = || finding.related.iter().filter(|(p, _)| is_beside(place, p));
    let first = beside().map(|(p, _)| p.bytes.start).chain([place.bytes.start]).min().unwrap_or(0);
    let last = beside().map(|(p, _)| p.bytes.end).chain([place.bytes.end]).max().unwrap_or(0);
    let first_line = beside().map(|(p, _)| p.line).chain([place.line]).min().unwrap_or(1);
    let text = &*file.text;
    let start = text.get(..first).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1);
    let end = text.get(last..).and_then(|t| t.find('\n')).map_or(text.len(), |i| last + i);
    let within = |place: &Place| {
        let range = clamp(place, text);
        range.start.saturating_sub(start)..range.end.saturating_sub(start)
    };
    let mut snippet = Snippet::source(text.get(start..end).unwrap_or_default())
        .path(&*file.name)
        .line_start(first_line as usize)
        .annotation(AnnotationKind::Primary.span(within(place)));
    for (related, what) in beside() {
        snippet = snippet.annotation(AnnotationKind::Context.span(within(related)).label(what.as_str()));
    }
    snippet
}

/// Whether a related place is near enough to be shown in one picture.
fn is_beside(place: &Place, related: &Place) -> bool {
    place.id == related.id && place.line.abs_diff(related.line) < 40
}
