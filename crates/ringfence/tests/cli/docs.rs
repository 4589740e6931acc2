//! The book of `docs`: a page for each command from its own help, a table of contents that names every page, links that
//! lead somewhere.
//!
//! `cargo xtask docs` writes the pages anew.

use std::path::{Path, PathBuf};

use crate::examples::{check, root};
use crate::run;

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = run("--help").out;
    let list = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    // A name stands two spaces in; what goes on from the line before, further.
    let names =
        list.lines().filter_map(|l| l.strip_prefix("  ")?.split(' ').next()).filter(|n| !n.is_empty());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn page(title: &str, arguments: &str) -> String {
    let run = run(arguments);
    assert_eq!((run.status, run.err.as_str()), (0, ""), "{arguments}");
    // Help pads empty lines.
    let help: Vec<&str> = run.out.lines().map(str::trim_end).collect();
    let about = help.first().unwrap();
    let help = help.join("\n");
    format!("# {title}\n\n{about}.\n\n```text\n$ ringfence {arguments}\n{}\n```\n", help.trim_end())
}

/// What the program says of itself is what the pages say.
#[test]
fn command_pages_are_the_help() {
    let folder = root().join("docs/commands");
    std::fs::create_dir_all(&folder).unwrap();
    // Not README.md: mdBook renames that, and links to it lead nowhere.
    check(&folder.join("index.md"), &page("All commands", "--help"));
    let commands = commands();
    assert!(commands.len() >= 6, "{commands:?}");
    for name in &commands {
        let file = folder.join(format!("{name}.md"));
        check(&file, &page(&format!("ringfence {name}"), &format!("{name} --help")));
    }
    for file in markdown_in(&folder) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            name == "index" || commands.contains(&name),
            "{name} is no command: remove {}",
            file.display()
        );
    }
}

/// The Markdown files of a folder, sorted.
fn markdown_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|e| e.unwrap().path()).collect())
        .unwrap_or_default();
    files.retain(|f| f.extension().is_some_and(|e| e == "md"));
    files.sort();
    files
}

fn title(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let title = text.lines().find_map(|l| l.strip_prefix("# "));
    title.unwrap_or_else(|| panic!("{} has no title", file.display())).replace(['`', '[', ']'], "")
}

/// The first part of the table of contents is written by hand, the rest lists the folders.
#[test]
fn the_table_of_contents_names_every_page() {
    let docs = root().join("docs");
    let file = docs.join("SUMMARY.md");
    let written = std::fs::read_to_string(&file).unwrap();
    let mut text = written.split("# Commands\n").next().unwrap().to_owned();
    for page in markdown_in(&docs).iter().filter(|p| **p != file) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(text.contains(&format!("]({name})")), "SUMMARY.md does not name {name}");
    }
    for (heading, folder) in [("Commands", "commands"), ("Checks", "checks"), ("Decisions", "adr")] {
        let mut pages = markdown_in(&docs.join(folder));
        pages.sort_by_key(|page| page.file_stem().is_none_or(|stem| stem != "index"));
        if pages.is_empty() {
            continue;
        }
        text.push_str(&format!("# {heading}\n\n"));
        for page in pages {
            let name = page.file_name().unwrap().to_str().unwrap();
            text.push_str(&format!("- [{}]({folder}/{name})\n", title(&page)));
        }
        text.push('\n');
    }
    check(&file, &format!("{}\n", text.trim_end()));
}

/// The targets of Markdown links, without code blocks.
fn links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    });
    let prose: Vec<&str> = prose.collect();
    let prose = prose.join("\n");
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

/// What a heading is called in a link, as GitHub and mdBook do it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = root();
    let folders =
        ["", "docs", "docs/adr", "docs/checks", "docs/commands", "specs", "fuzz"].map(|f| root.join(f));
    let examples = crate::examples::EXAMPLES.map(|e| root.join("examples").join(e));
    let mut checked = 0;
    for file in folders.iter().chain(&examples).flat_map(|f| markdown_in(f)) {
        let text = std::fs::read_to_string(&file).unwrap();
        for link in links(&text).into_iter().filter(|l| !l.contains("://")) {
            let (path, part) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: ({link}) leads nowhere", file.display());
            if !part.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let mut headings =
                    text.lines().filter_map(|l| l.strip_prefix('#')).map(|l| l.trim_start_matches('#'));
                assert!(headings.any(|h| anchor(h) == part), "{}: ({link}): no such heading", file.display());
            }
            // The book holds nothing but its own folder.
            let docs = root.join("docs");
            let leaves = file.starts_with(&docs) && !target.canonicalize().unwrap().starts_with(&docs);
            assert!(!leaves, "{}: ({link}) leads out of the book: write the address", file.display());
            checked += 1;
        }
    }
    assert!(checked >= 40, "{checked}");
}
