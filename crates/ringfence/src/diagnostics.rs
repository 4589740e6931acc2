//! Findings about the input, for people: the place, the text underlined, what is wrong and what to do.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use ringfence_k8s::{Finding, Place, Sources, finding};

/// A finding as text, with a line end.
pub(crate) fn finding(finding: &Finding, sources: &Sources, color: bool) -> String {
    let level = match finding.level {
        finding::Level::Error => Level::ERROR,
        finding::Level::Warning => Level::WARNING,
        finding::Level::Note => Level::NOTE,
    };
    let title = match (&finding.place, &finding.object) {
        (None, Some(object)) => format!("{object}: {}", finding.message),
        _ => finding.message.clone(),
    };
    let mut group = Group::with_title(level.primary_title(title).id(finding.code));
    if let Some(place) = &finding.place {
        group = match sources.file(place.id) {
            Some(file) => {
                let mark = AnnotationKind::Primary.span(clamp(place, &file.text));
                let mut snippet = Snippet::source(&*file.text).path(&*file.name).annotation(mark);
                let same_file = finding.related.iter().filter(|(p, _)| p.id == place.id);
                for (related, what) in same_file {
                    let mark = AnnotationKind::Context.span(clamp(related, &file.text));
                    snippet = snippet.annotation(mark.label(what.as_str()));
                }
                group.element(snippet)
            }
            None => group.element(Origin::path(&*place.file).line(place.line as usize)),
        };
        for (related, what) in finding.related.iter().filter(|(p, _)| p.id != place.id) {
            group = group.element(Level::NOTE.message(format!("{what}: {related}")));
        }
    }
    if let Some(object) = finding.object.as_ref().filter(|_| finding.place.is_some()) {
        group = group.element(Level::NOTE.message(format!("in {object}")));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.render(&[group]);
    text.push('\n');
    text
}

/// The bytes of a place, on its first line only: a mark over many lines hides more than it shows.
pub(crate) fn clamp(place: &Place, text: &str) -> std::ops::Range<usize> {
    let start = place.bytes.start.min(text.len());
    let end = place.bytes.end.clamp(start, text.len());
    let first_line = text.get(start..end).and_then(|t| t.lines().next()).map_or(0, str::len);
    start..start + first_line
}
