//! Findings that someone has accepted, each with a reason: by a comment in the YAML or by an entry of a config file.
//!
//! `# ringfence: ignore RF012 -- reason` counts for its own line; among comments of their own, for the line below these.
//! It takes out the findings of that line, and where an object starts there those of the whole object. What suppresses
//! nothing is a finding itself.

use std::collections::BTreeMap;

use ringfence_k8s::{FileId, Level, Place, Reading, Sources, Span};

use crate::code::{self, Code};
use crate::finding::Finding;

/// An entry of a config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignore {
    /// Which code.
    pub code: &'static Code,
    /// Which objects, as `namespace/name` with `*` for anything; `None`: all.
    pub policy: Option<String>,
    /// Why.
    pub reason: String,
    /// Where the entry is written, for what is said of it.
    pub source: String,
}

/// The findings that are left, and those that were taken out with the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// What is left to say, with notes about suppressions that suppress nothing.
    pub left: Vec<Finding>,
    /// What was accepted, each with the reason.
    pub accepted: Vec<(Finding, String)>,
}

/// Takes out what comments and ignores accept. Errors are never taken out: what cannot be read is not judged.
pub fn suppress(findings: Vec<Finding>, reading: &Reading, ignores: &[Ignore]) -> Suppressed {
    let mut comments = comments(&reading.sources);
    let objects = if comments.is_empty() { Vec::new() } else { objects(reading) };
    let mut used = vec![false; ignores.len()];
    let mut result = Suppressed::default();
    for finding in findings {
        let reason = if finding.code.level == Level::Error {
            None
        } else {
            by_comment(&finding, &mut comments, &objects).or_else(|| by_config(&finding, ignores, &mut used))
        };
        match reason {
            Some(reason) => result.accepted.push((finding, reason)),
            None => result.left.push(finding),
        }
    }
    let unused = comments.into_values().flatten().filter(|c| c.used < c.codes.len() || c.reason.is_empty());
    result.left.extend(unused.map(|c| c.complaint()));
    for (ignore, used) in ignores.iter().zip(used) {
        if !used {
            let what = ignore.policy.as_deref().map_or(String::new(), |p| format!(" for {p}"));
            let message = format!("{} in {}{what} suppresses nothing", ignore.code.id, ignore.source);
            result.left.push(Finding::new(&code::RF110, message).help("remove the entry"));
        }
    }
    crate::sort(&mut result.left);
    result
}

/// A comment that accepts findings.
#[derive(Debug)]
struct Comment {
    codes: Vec<String>,
    reason: String,
    used: usize,
    place: Option<Place>,
    hits: Vec<&'static str>,
}

impl Comment {
    fn complaint(&self) -> Finding {
        let left: Vec<&str> =
            self.codes.iter().map(String::as_str).filter(|c| !self.hits.contains(c)).collect();
        let (message, help) = if self.reason.is_empty() {
            (
                "a suppression without a reason suppresses nothing".to_owned(),
                "write `-- ` and the reason behind it",
            )
        } else if let Some(unknown) = left.iter().find(|c| Code::find(c).is_none()) {
            (
                format!("`{unknown}` is no code of check"),
                "`ringfence check --explain RF001` shows a code's page",
            )
        } else {
            (format!("{} has nothing to suppress here", left.join(", ")), "remove the comment")
        };
        Finding::new(&code::RF110, message).help(help).at(self.place.clone())
    }
}

type Comments = BTreeMap<(FileId, u32), Vec<Comment>>;

/// The comments, by file and line.
fn comments(sources: &Sources) -> Comments {
    const WORD: &str = "ringfence: ignore";
    let mut found = Comments::new();
    for (id, file) in sources.all() {
        if !file.text.contains(WORD) {
            continue;
        }
        let lines: Vec<&str> = file.text.split_inclusive('\n').collect();
        let mut start = 0;
        for (index, text) in lines.iter().enumerate() {
            let hash = text.match_indices('#').find(|(i, _)| {
                let starts = *i == 0 || text.get(..*i).is_some_and(|t| t.ends_with([' ', '\t']));
                starts && text.get(i + 1..).is_some_and(|t| t.trim_start().starts_with(WORD))
            });
            let is_alone = |text: &&&str| text.trim_start().starts_with('#');
            let comments_below = lines.iter().skip(index).take_while(is_alone).count();
            let line = u32::try_from(index + comments_below + 1).unwrap_or(u32::MAX);
            if let Some((hash, _)) = hash {
                let rest = text.get(hash + 1..).unwrap_or_default().trim();
                let rest = rest.strip_prefix(WORD).unwrap_or_default();
                let (codes, reason) = rest.split_once("--").unwrap_or((rest, ""));
                let codes = codes.split([' ', ',']).filter(|c| !c.is_empty()).map(str::to_ascii_uppercase);
                let (from, to) = (start + hash, start + text.trim_end().len());
                let at = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
                found.entry((id, line)).or_default().push(Comment {
                    codes: codes.collect(),
                    reason: reason.trim().to_owned(),
                    used: 0,
                    place: sources.place(Span { file: id, start: at(from), end: at(to) }),
                    hits: Vec::new(),
                });
            }
            start += text.len();
        }
    }
    found
}

/// The first and last line of each object.
fn objects(reading: &Reading) -> Vec<(FileId, u32, u32)> {
    let places = reading.manifests.iter().filter_map(|m| reading.sources.place(m.node.span?));
    places.map(|p| (p.id, p.line, p.end_line)).collect()
}

/// `objects` are the first and last line of each object of a file.
fn by_comment(finding: &Finding, comments: &mut Comments, objects: &[(FileId, u32, u32)]) -> Option<String> {
    if comments.is_empty() {
        return None;
    }
    let place = finding.place.as_ref()?;
    let object =
        objects.iter().find(|(id, first, last)| *id == place.id && (*first..=*last).contains(&place.line));
    for line in [Some(place.line), object.map(|(_, first, _)| *first)].into_iter().flatten() {
        for comment in comments.get_mut(&(place.id, line)).into_iter().flatten() {
            if !comment.reason.is_empty() && comment.codes.iter().any(|c| c == finding.code.id) {
                if !comment.hits.contains(&finding.code.id) {
                    comment.hits.push(finding.code.id);
                    comment.used += 1;
                }
                return Some(comment.reason.clone());
            }
        }
    }
    None
}

fn by_config(finding: &Finding, ignores: &[Ignore], used: &mut [bool]) -> Option<String> {
    let name = finding.object.as_deref().and_then(|o| o.split_once(' ')).map_or("", |(_, name)| name);
    let matches = |i: &Ignore| i.code == finding.code && i.policy.as_deref().is_none_or(|p| glob(p, name));
    let mut reason = None;
    for (ignore, used) in ignores.iter().zip(used).filter(|(i, _)| matches(i)) {
        *used = true;
        reason.get_or_insert_with(|| ignore.reason.clone());
    }
    reason
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).filter_map(|i| rest.get(i..)).any(|rest| glob(after, rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let check = |pattern: &str, name: &str, expect: bool| {
            assert_eq!(glob(pattern, name), expect, "{pattern} {name}")
        };
        check("shop/*", "shop/web", true);
        check("shop/*", "bank/web", false);
        check("*/web", "shop/web", true);
        check("*", "", true);
        check("shop/web", "shop/web2", false);
        check("s*p/w*b", "shop/web", true);
    }
}
