//! What a text says by itself: its objects and what is wrong with each, before they meet those of other texts. Texts, and
//! the pieces of large ones, are read at the same time; what comes out does not depend on how many are.
//!
//! What is absent: nothing here knows which object replaces which.

use std::ops::Range;

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

use crate::finding::Finding;
use crate::lower::Lowered;
use crate::lower::context::{BUILT_IN, Context};
use crate::node::Node;
use crate::read::ReadOptions;
use crate::source::{FileId, SourceFile, Sources, Span};
use crate::store;
use crate::{json, yaml};

/// How large the pieces of a large text are, in bytes.
const PIECE: usize = 1 << 17;

/// What comes of reading, in the order of the text.
pub(crate) enum Step {
    Finding(Finding),
    Object(Box<Object>),
}

/// An object as it stands for itself.
pub(crate) struct Object {
    pub(crate) lowered: Lowered,
    /// What findings call it.
    pub(crate) name: Option<String>,
    /// Where it is written.
    pub(crate) span: Option<Span>,
    /// As it is written, if that is to be kept.
    pub(crate) manifest: Option<Node>,
}

/// Reads files; what each of them says, in their order.
pub(crate) fn read(sources: &Sources, files: &[FileId], options: &ReadOptions) -> Vec<Vec<Step>> {
    let cut = |file: &FileId| {
        let text = sources.file(*file).map_or("", |f| &f.text);
        let pieces = if json::is_likely(text) { Vec::new() } else { yaml::pieces(text, PIECE) };
        let pieces: Vec<_> = pieces.into_iter().map(|piece| (*file, Some(piece))).collect();
        if pieces.len() > 1 { pieces } else { vec![(*file, None)] }
    };
    let work: Vec<(FileId, Option<Range<usize>>)> = files.iter().flat_map(cut).collect();
    let part = |(file, piece): &(FileId, Option<Range<usize>>)| match piece {
        Some(piece) => {
            let text = sources.file(*file).map_or("", |f| &f.text);
            let (documents, aliased) = yaml::parse_piece(*file, text, piece.clone())?;
            Some((lower_all(sources, options, documents), aliased))
        }
        None => Some((whole(sources, *file, options), 0)),
    };
    let read: Vec<Option<(Vec<Step>, usize)>> = work.par_iter().map(part).collect();
    let mut read = work.iter().map(|(file, _)| *file).zip(read).peekable();
    let mut all = Vec::with_capacity(files.len());
    for file in files {
        let mut steps = Some(Vec::new());
        let mut aliased = 0usize;
        while let Some((_, part)) = read.next_if(|(of, _)| of == file) {
            steps = steps.zip(part).map(|(mut steps, (more, aliases))| {
                aliased = aliased.saturating_add(aliases);
                steps.extend(more);
                steps
            });
        }
        // Where anything in a piece is not plain, the text is read as a whole, by which it is judged.
        let steps = steps.filter(|_| aliased <= yaml::MAX_ALIASED_NODES);
        all.push(steps.unwrap_or_else(|| whole(sources, *file, options)));
    }
    all
}

/// Reads all of a text.
fn whole(sources: &Sources, file: FileId, options: &ReadOptions) -> Vec<Step> {
    let mut findings = Vec::new();
    let documents = documents(sources, file, &mut findings);
    let mut steps: Vec<Step> = findings.into_iter().map(Step::Finding).collect();
    steps.extend(lower_all(sources, options, documents));
    steps
}

/// The documents of a file: as JSON where it is JSON, else as YAML.
pub(crate) fn documents(sources: &Sources, file: FileId, findings: &mut Vec<Finding>) -> Vec<Node> {
    let Some(SourceFile { name, text, .. }) = sources.file(file) else { return Vec::new() };
    if u32::try_from(text.len()).is_err() {
        let span = Span { file, start: 0, end: 0 };
        let fault = yaml::Fault::new("too-large", span, "the file is larger than 4 GiB");
        findings.push(fault.into_finding(sources));
        return Vec::new();
    }
    let json = json::is_likely(text).then(|| json::parse(file, text));
    if let Some((documents, None)) = json {
        return documents;
    }
    let mut found = Vec::new();
    let mut documents = yaml::parse(file, sources, &mut found);
    if let Some((read, Some(fault))) = json {
        let rest = text.get(fault.span.start as usize..).unwrap_or("");
        let goes_on_as_yaml = rest.starts_with("---") || rest.starts_with('#');
        let meant_as_json = name.ends_with(".json") || starts_as_json(text);
        if !found.is_empty() && meant_as_json && !goes_on_as_yaml {
            (documents, found) = (read, vec![fault.into_finding(sources)]);
        }
    }
    findings.append(&mut found);
    documents
}

/// Whether the first key is in double quotes, as few people write it in YAML.
fn starts_as_json(text: &str) -> bool {
    text.split_once('{').is_some_and(|(_, rest)| rest.trim_start().starts_with('"'))
}

fn lower_all(sources: &Sources, options: &ReadOptions, documents: Vec<Node>) -> Vec<Step> {
    let mut steps = Vec::new();
    for document in documents {
        let own = lower(sources, options, &document, &mut steps);
        if let Some(Step::Object(object)) = own.and_then(|place| steps.get_mut(place)) {
            object.manifest = Some(document);
        }
    }
    steps
}

/// Reads an object, or a list of them. Gives the place of the object that wants the whole document for its manifest, which
/// is not copied for it.
pub(crate) fn lower(
    sources: &Sources,
    options: &ReadOptions,
    document: &Node,
    steps: &mut Vec<Step>,
) -> Option<usize> {
    let mut context = Context {
        sources,
        findings: Vec::new(),
        object: None,
        object_span: None,
        default_namespace: &options.default_namespace,
        grammar: &BUILT_IN,
        effect: None,
    };
    let mut own = None;
    context.document(document, &mut |context, lowered, node| {
        steps.extend(context.findings.drain(..).map(Step::Finding));
        let is_wanted = match &lowered {
            Lowered::PassedOver(kind) => store::is_about_rights(kind),
            _ => true,
        };
        let mut is_kept = options.keep_manifests && is_wanted;
        if is_kept && std::ptr::eq(node, document) {
            own = Some(steps.len());
            is_kept = false;
        }
        let manifest = is_kept.then(|| node.clone());
        let (name, span) = (context.object.take(), node.span);
        steps.push(Step::Object(Box::new(Object { lowered, name, span, manifest })));
    });
    steps.extend(context.findings.drain(..).map(Step::Finding));
    own
}
