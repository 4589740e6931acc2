//! Files, folders and standard input, to bytes. What cannot be read is a [`Problem`]; nothing is passed over but hidden
//! files, and files of a folder that are no manifests by their name. What the bytes mean is decided elsewhere.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

/// What is taken for a manifest in a folder.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Contents and what could not be read, both in the order of the paths.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Name, as the user gave it or found from there, and content.
    pub(crate) contents: Vec<(String, Vec<u8>)>,
    /// What could not be read.
    pub(crate) problems: Vec<Problem>,
    seen: HashSet<PathBuf>,
}

/// Something that could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file or folder; `-` for standard input.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: String,
}

/// Reads the paths; `-` is `stdin`.
pub(crate) fn read(paths: &[PathBuf], stdin: &mut dyn Read) -> Files {
    let mut files = Files::default();
    let mut stdin = Some(stdin);
    for path in paths {
        if path.as_os_str() == "-" {
            if let Some(stdin) = stdin.take() {
                files.add_stdin(stdin);
            }
        } else if path.is_dir() {
            files.add_folder(path);
        } else {
            files.add_file(path);
        }
    }
    files
}

impl Files {
    /// What was read elsewhere.
    pub(crate) fn of(contents: Vec<(String, Vec<u8>)>, problems: Vec<Problem>) -> Files {
        Files { contents, problems, seen: HashSet::new() }
    }

    /// Whether a file in a folder is taken for a manifest, by its name.
    pub(crate) fn is_manifest(path: &Path) -> bool {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
    }

    fn add_stdin(&mut self, stdin: &mut dyn Read) {
        let mut bytes = Vec::new();
        match stdin.read_to_end(&mut bytes) {
            Ok(0) => self.problem(
                "-",
                "standard input is empty",
                "pipe manifests into this command, or give a file or folder",
            ),
            Ok(_) => self.contents.push(("-".to_owned(), bytes)),
            Err(error) => self.problem("-", &describe(&error), "give a file or folder instead"),
        }
    }

    fn add_folder(&mut self, folder: &Path) {
        let mut walk = WalkBuilder::new(folder);
        walk.standard_filters(false).hidden(true).follow_links(true).sort_by_file_name(|a, b| a.cmp(b));
        let mut found = false;
        for entry in walk.build() {
            match entry {
                Ok(entry) => {
                    let is_file = entry.file_type().is_some_and(|t| t.is_file());
                    if is_file && Files::is_manifest(entry.path()) {
                        found = true;
                        self.add_file(entry.path());
                    }
                }
                Err(error) => {
                    found = true;
                    let help = "make it readable, or name the files that matter";
                    self.problem(&folder.display().to_string(), &error.to_string(), help);
                }
            }
        }
        if !found {
            let help = "name a folder with .yaml, .yml or .json files; hidden files are passed over";
            self.problem(&folder.display().to_string(), "no manifests in this folder", help);
        }
    }

    fn add_file(&mut self, path: &Path) {
        // A file that two paths lead to is one file.
        if fs::canonicalize(path).is_ok_and(|real| real.is_file() && !self.seen.insert(real)) {
            return;
        }
        match fs::read(path) {
            Ok(bytes) => self.contents.push((path.display().to_string(), bytes)),
            Err(error) => {
                let help = match error.kind() {
                    std::io::ErrorKind::NotFound => "check the spelling; paths start at the current folder",
                    _ => "make it readable, or name other files",
                };
                self.problem(&path.display().to_string(), &describe(&error), help);
            }
        }
    }

    fn problem(&mut self, path: &str, message: &str, help: &str) {
        let (path, message, help) = (path.to_owned(), message.to_owned(), help.to_owned());
        self.problems.push(Problem { path, message, help });
    }
}

/// An error of the system without its number.
fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this may not be read: permission denied".to_owned(),
        _ => format!("this cannot be read: {error}"),
    }
}
