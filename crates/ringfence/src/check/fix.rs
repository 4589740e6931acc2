//! `--fix`: safe edits, written into the files. Never where a file is not what was read, and never where the result could
//! not be read.

use std::fs;
use std::path::Path;

use anyhow::Context;
use ringfence_k8s::{FileId, Level, ReadOptions, SourceFile, Sources, read};
use ringfence_lint::{Finding, Fixed, apply};

use crate::cli::InputArgs;
use crate::terminal::Terminal;

/// Mends what can be mended, says so, and gives what is left.
pub(super) fn fix(
    findings: Vec<Finding>,
    sources: &Sources,
    input: &InputArgs,
    terminal: &Terminal,
) -> anyhow::Result<Vec<Finding>> {
    let mut mended = vec![false; findings.len()];
    for (id, file) in sources.all() {
        let Some(fixed) = mend(id, file, &findings, input, terminal)? else { continue };
        for place in fixed.mended {
            if let (Some(done), Some(finding)) = (mended.get_mut(place), findings.get(place)) {
                *done = true;
                let line = finding.place.as_ref().map_or(0, |p| p.line);
                let help = finding.help.as_deref().unwrap_or(&finding.message);
                terminal.aside(&format!("fixed {}:{line}: {}: {help}\n", file.name, finding.code.id));
            }
        }
    }
    Ok(findings.into_iter().zip(mended).filter(|(_, mended)| !mended).map(|(f, _)| f).collect())
}

fn mend(
    id: FileId,
    file: &SourceFile,
    findings: &[Finding],
    input: &InputArgs,
    terminal: &Terminal,
) -> anyhow::Result<Option<Fixed>> {
    let fixed = apply(id, &file.text, findings);
    if fixed.mended.is_empty() {
        return Ok(None);
    }
    if &*file.name == "-" {
        terminal.note("standard input cannot be mended: name the file");
        return Ok(None);
    }
    let path = Path::new(&*file.name);
    let now = fs::read(path).with_context(|| format!("{} cannot be read again", file.name))?;
    if now != file.text.as_bytes() {
        terminal.note(&format!("{} has changed meanwhile and is left as it is", file.name));
        return Ok(None);
    }
    let options =
        ReadOptions { default_namespace: input.default_namespace().to_owned(), ..Default::default() };
    let errors = |text: &str| {
        let reading = read([(&*file.name, text)], &options);
        reading.findings.iter().filter(|f| f.level == Level::Error).count()
    };
    if errors(&fixed.text) > errors(&file.text) {
        terminal.note(&format!("{} could not be read after the fix and is left as it is", file.name));
        return Ok(None);
    }
    write(path, &fixed.text).with_context(|| format!("{} cannot be written", file.name))?;
    Ok(Some(fixed))
}

/// Puts a new file in the place of the old one, so that nobody ever reads half of it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let real = fs::canonicalize(path)?;
    let mut name = real.file_name().unwrap_or_default().to_owned();
    name.push(format!(".ringfence-{}", std::process::id()));
    let beside = real.with_file_name(name);
    let result = fs::write(&beside, text)
        .and_then(|()| fs::set_permissions(&beside, fs::metadata(&real)?.permissions()))
        .and_then(|()| fs::rename(&beside, &real));
    if result.is_err() {
        // The error of the attempt is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    result
}

#[cfg(test)]
mod tests {
    use clap::ColorChoice;
    use ringfence_k8s::Sources;
    use ringfence_lint::{CODES, Edit};

    use super::*;

    #[test]
    fn a_file_that_has_changed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, "b: 1\n").unwrap();
        let mut sources = Sources::default();
        let file = sources.add(path.display().to_string(), "a: 1\n");
        let finding = Finding {
            code: CODES[0],
            level: Level::Note,
            message: String::new(),
            reason: String::new(),
            object: None,
            place: None,
            help: None,
            related: Vec::new(),
            edits: vec![Edit { file, start: 0, end: 1, text: "c".to_owned() }],
        };
        let input = InputArgs::default();
        let left = fix(vec![finding], &sources, &input, &Terminal::new(ColorChoice::Never)).unwrap();
        assert_eq!((left.len(), fs::read_to_string(&path).unwrap().as_str()), (1, "b: 1\n"));
    }
}
