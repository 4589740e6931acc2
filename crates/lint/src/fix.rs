//! Edits applied to a text, all or none of each finding's. Pure: the caller reads and writes the file.

use ringfence_k8s::FileId;

use crate::finding::{Edit, Finding};

/// A text after the edits of some findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The new text.
    pub text: String,
    /// The findings that are mended, by their places in the list.
    pub mended: Vec<usize>,
}

/// The edits of a file, applied to its text. A finding whose edits meet another's is left for the next time.
pub fn apply(file: FileId, text: &str, findings: &[Finding]) -> Fixed {
    let mut taken: Vec<&Edit> = Vec::new();
    let mut mended = Vec::new();
    for (place, finding) in findings.iter().enumerate() {
        let edits = &finding.edits;
        let is_here = !edits.is_empty() && edits.iter().all(|e| e.file == file && fits(text, e));
        // Two insertions at one place are both kept, in order; anything else that touches is not.
        let meets = |a: &Edit, b: &Edit| a.start < b.end && b.start < a.end || *a == *b;
        if is_here && !edits.iter().any(|e| taken.iter().any(|t| meets(e, t))) {
            taken.extend(edits);
            mended.push(place);
        }
    }
    taken.sort_by_key(|e| (e.start, e.end));
    let mut fixed = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for edit in taken {
        fixed.push_str(text.get(at..edit.start).unwrap_or_default());
        fixed.push_str(&edit.text);
        at = edit.end;
    }
    fixed.push_str(text.get(at..).unwrap_or_default());
    Fixed { text: fixed, mended }
}

fn fits(text: &str, edit: &Edit) -> bool {
    text.get(edit.range()).is_some()
}
