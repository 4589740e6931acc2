//! Manifests of a git revision: `git:REVISION:PATH`, read by the git command, without a checkout.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::complaint::Complaint;
use crate::files::{Files, Problem};

/// A revision and a path in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    revision: String,
    /// Without a slash at the end; empty: the whole repository.
    path: String,
}

impl Place {
    /// The place that a text names; `None` where it does not begin with `git:`.
    pub(super) fn parse(text: &str) -> Option<Result<Place, Complaint>> {
        let rest = text.strip_prefix("git:")?;
        let (revision, path) = rest.split_once(':').unwrap_or((rest, ""));
        if revision.is_empty() || revision.starts_with('-') {
            return Some(Err(Complaint::new(format!("`{text}` names no git revision"))
                .help("write git:REVISION:PATH, such as git:main:deploy or git:HEAD~1:./k8s")));
        }
        let path = path.trim_end_matches('/').to_owned();
        Some(Ok(Place { revision: revision.to_owned(), path }))
    }

    /// As git names an object.
    fn object(&self) -> String {
        let path = if self.path == "." { "./" } else { &self.path };
        format!("{}:{path}", self.revision)
    }

    /// What a file in it is called in answers.
    fn name(&self, file: &str) -> String {
        let path = [self.path.as_str(), file].into_iter().filter(|part| !part.is_empty() && *part != ".");
        format!("git:{}:{}", self.revision, path.collect::<Vec<_>>().join("/"))
    }
}

/// Reads the manifests of a file or folder as they are in a revision.
pub(super) fn read(place: &Place) -> anyhow::Result<Files> {
    git(&["rev-parse", "--verify", "--quiet", &format!("{}^{{tree}}", place.revision)], b"").map_err(
        |why| match why {
            Failure::NotThere(complaint) => complaint,
            Failure::Refused(why) if why.contains("not a git repository") => {
                Complaint::new("this folder is not in a git repository")
                    .help("run this inside of the repository")
            }
            Failure::Refused(_) => Complaint::new(format!("git knows no revision `{}`", place.revision))
                .help(
                    "`git branch --all` and `git tag` list what there is; a shallow clone has little of it",
                ),
        },
    )?;
    let object = place.object();
    let kind = git(&["cat-file", "-t", &object], b"").map_err(|why| {
        why.complaint(&format!("there is no `{}` in revision {}", place.path, place.revision)).help(
            "the path starts at the root of the repository; write ./PATH for one that starts at this folder",
        )
    })?;
    if kind.starts_with(b"blob") {
        let bytes = git(&["cat-file", "blob", &object], b"").map_err(|why| why.complaint("git cat-file"))?;
        return Ok(Files::of(vec![(place.name(""), bytes)], Vec::new()));
    }
    // By its number: of a name git lists only what is below the current folder.
    let tree = git(&["rev-parse", "--verify", &object], b"").map_err(|why| why.complaint("git rev-parse"))?;
    let tree = String::from_utf8_lossy(&tree);
    let listing = git(&["ls-tree", "--full-tree", "-r", "-z", tree.trim()], b"")
        .map_err(|why| why.complaint("git ls-tree"))?;
    folder(place, &String::from_utf8_lossy(&listing))
}

/// Reads the files that a listing of `git ls-tree -r -z` names.
fn folder(place: &Place, listing: &str) -> anyhow::Result<Files> {
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    let mut problems = Vec::new();
    for entry in listing.split('\0').filter(|entry| !entry.is_empty()) {
        let Some((about, path)) = entry.split_once('\t') else { continue };
        let is_hidden = path.split('/').any(|part| part.starts_with('.'));
        if is_hidden || !Files::is_manifest(Path::new(path)) {
            continue;
        }
        match about.split(' ').collect::<Vec<_>>().as_slice() {
            ["120000", ..] => problems.push(Problem {
                path: place.name(path),
                message: "this is a symbolic link".to_owned(),
                help: "name the file that it leads to".to_owned(),
            }),
            [_, "blob", object] => wanted.push((object, path)),
            _ => {}
        }
    }
    if wanted.is_empty() && problems.is_empty() {
        problems.push(Problem {
            path: place.name(""),
            message: "no manifests in this folder".to_owned(),
            help: "name a folder with .yaml, .yml or .json files; hidden files are passed over".to_owned(),
        });
    }
    let objects: String = wanted.iter().map(|(object, _)| format!("{object}\n")).collect();
    let answer =
        git(&["cat-file", "--batch"], objects.as_bytes()).map_err(|w| w.complaint("git cat-file"))?;
    let bodies = bodies(&answer);
    if bodies.len() != wanted.len() {
        return Err(Complaint::new("git did not give every file of the revision")
            .help("a partial clone may lack them: `git fetch` brings them")
            .into());
    }
    let contents = wanted.iter().zip(bodies).map(|((_, path), body)| (place.name(path), body.to_vec()));
    Ok(Files::of(contents.collect(), problems))
}

/// The objects in the answer of `git cat-file --batch`: each a line that ends with its size, then as many bytes.
fn bodies(mut answer: &[u8]) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while let Some(end) = answer.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = answer.split_at(end);
        let size = std::str::from_utf8(line).ok().and_then(|line| line.rsplit(' ').next()?.parse().ok());
        let Some(body) = size.and_then(|size: usize| rest.get(1..size.checked_add(1)?)) else { break };
        bodies.push(body);
        answer = rest.get(body.len() + 2..).unwrap_or_default();
    }
    bodies
}

/// Why git gave no answer.
enum Failure {
    /// There is no git.
    NotThere(Complaint),
    /// What it said.
    Refused(String),
}

impl Failure {
    fn complaint(self, what: &str) -> Complaint {
        match self {
            Failure::NotThere(complaint) => complaint,
            Failure::Refused(why) if why.trim().is_empty() => Complaint::new(what),
            Failure::Refused(why) => Complaint::new(what).help(format!("git says: {}", why.trim())),
        }
    }
}

fn git(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, Failure> {
    let not_there = |error: &std::io::Error| {
        Failure::NotThere(
            Complaint::new(format!("git cannot be run: {error}"))
                .help("install git, or give files and folders instead of git:REVISION:PATH"),
        )
    };
    let mut child = Command::new("git")
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_there(&error))?;
    let pipe = child.stdin.take();
    // Git answers while it is asked: whoever does not listen meanwhile waits for ever.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(input)));
        child.wait_with_output()
    });
    let output = output.map_err(|error| not_there(&error))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::Refused(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_their_names() {
        let place = |text: &str| Place::parse(text).unwrap().unwrap();
        assert_eq!(place("git:main:deploy/").object(), "main:deploy");
        assert_eq!(place("git:main:deploy/").name("a/b.yaml"), "git:main:deploy/a/b.yaml");
        assert_eq!(place("git:HEAD~1").object(), "HEAD~1:");
        assert_eq!(place("git:v1:.").object(), "v1:./");
        assert_eq!(place("git:v1:x.yaml").name(""), "git:v1:x.yaml");
        assert!(Place::parse("deploy/").is_none());
        assert!(Place::parse("git::deploy").unwrap().is_err());
        assert!(Place::parse("git:--upload-pack=x:deploy").unwrap().is_err());
    }

    #[test]
    fn a_batch_is_cut_by_size() {
        let answer = b"aa blob 3\na\nb\nbb blob 0\n\ncc blob 1\nx\n";
        assert_eq!(bodies(answer), [b"a\nb".as_slice(), b"", b"x"]);
        assert_eq!(bodies(b"aa missing\n"), [] as [&[u8]; 0]);
    }
}
