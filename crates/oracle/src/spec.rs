//! Reads the Markdown tests of the `specs` folder. The format is defined in `specs/README.md`.
//!
//! This only reads: manifests stay text, and names stay names. The runner, which has the reader of manifests and the
//! engine, executes the [`Case`]s.

mod lines;

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::model::{Node, PolicyName, ResolvedName, Traffic};

use crate::naive::RuleName;

/// One test: a `##` heading and what stands under it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// The heading.
    pub name: String,
    /// The heading's line in the Markdown file, from 1.
    pub line: u32,
    /// The manifests: all `yaml` blocks, one after the other.
    pub yaml: String,
    /// For each line of [`Case::yaml`], its line in the Markdown file.
    pub yaml_lines: Vec<u32>,
    /// What the command line would be told beside the manifests.
    pub options: Options,
    /// What the engine must answer.
    pub verdicts: Vec<Assertion>,
    /// What reading must report; `None` where the test does not say.
    pub findings: Option<Vec<Finding>>,
}

/// What an `options` block says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The ranges that pods live in.
    pub pod_cidrs: Vec<IpNet>,
    /// Nodes, beside those that the manifests declare.
    pub nodes: Vec<Node>,
    /// Where DNS names lead.
    pub names: Vec<ResolvedName>,
}

/// One line of a `verdicts` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Its line in the Markdown file, from 1.
    pub line: u32,
    /// The source.
    pub from: Place,
    /// The destination.
    pub to: Place,
    /// What is sent.
    pub traffic: Traffic,
    /// What must be answered.
    pub verdict: Verdict,
}

/// An end of a connection as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `namespace/name` or `namespace/kind/name`: a workload or a pod.
    Named {
        /// The namespace.
        namespace: String,
        /// The kind, where it is written.
        kind: Option<String>,
        /// The name.
        name: String,
    },
    /// An address, which may turn out to be a pod's or a node's.
    Address(IpAddr),
    /// `external`: the assertion holds for each outside address.
    External,
}

/// What must be answered, and why if the test says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The connection passes.
    Allowed {
        /// Each of these rules allows it, on its side. Empty: no matter which.
        by: Vec<RuleName>,
    },
    /// The connection passes, and no rule decides either side, nor is one isolated.
    AllowedByDefault,
    /// The connection does not pass.
    Denied {
        /// For each of these there is a side that denies for this reason. Empty: no matter which.
        by: Vec<Denial>,
    },
}

/// Why a side denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// This NetworkPolicy isolates it, and nothing allows it.
    Isolated(PolicyName),
    /// This rule of a cluster-wide policy denies it.
    Rule(RuleName),
}

/// One line of a `findings` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its line in the Markdown file, from 1.
    pub line: u32,
    /// How bad it is.
    pub level: Level,
    /// The place in [`Case::yaml`], line and column from 1. No column: any.
    pub place: (u32, Option<u32>),
    /// A part of the message.
    pub message: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The manifests cannot be read as they are.
    Error,
    /// They can, and probably do not say what was meant.
    Warning,
}

/// The tests of a Markdown file, in order. An error names the line.
pub fn parse(markdown: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = (1u32..).zip(markdown.lines());
    while let Some((line, text)) = lines.next() {
        if let Some(name) = text.strip_prefix("## ") {
            let name = name.trim().to_owned();
            if cases.iter().any(|case| case.name == name) {
                return Err(format!("line {line}: a second test with the heading \"{name}\""));
            }
            cases.push(Case { name, line, ..Case::default() });
        } else if let Some(language) = text.strip_prefix("```") {
            let block = block(line, &mut lines)?;
            match (language.trim(), cases.last_mut()) {
                ("text", _) => {}
                (_, None) => return Err(format!("line {line}: a block before the first \"##\" heading")),
                (language, Some(case)) => case.add(line, language, &block)?,
            }
        }
    }
    match cases.iter().find(|case| case.verdicts.is_empty() && case.findings.is_none()) {
        Some(case) => Err(format!("line {}: \"{}\" asserts nothing", case.line, case.name)),
        None => Ok(cases),
    }
}

/// The lines up to the end of a fenced block.
fn block<'t>(
    start: u32,
    lines: &mut impl Iterator<Item = (u32, &'t str)>,
) -> Result<Vec<(u32, &'t str)>, String> {
    let mut block = Vec::new();
    for (line, text) in lines {
        if text.trim_end() == "```" {
            return Ok(block);
        }
        block.push((line, text));
    }
    Err(format!("line {start}: this block has no end"))
}

impl Case {
    /// The line in the Markdown file that a line of [`Case::yaml`], from 1, comes from.
    pub fn markdown_line(&self, yaml_line: u32) -> Option<u32> {
        let place = usize::try_from(yaml_line).ok()?.checked_sub(1)?;
        self.yaml_lines.get(place).copied()
    }

    fn add(&mut self, start: u32, language: &str, block: &[(u32, &str)]) -> Result<(), String> {
        if language == "yaml" {
            return self.add_yaml(start, block);
        }
        let asserted = block.iter().filter(|(_, text)| {
            let text = text.trim();
            !text.is_empty() && !text.starts_with('#')
        });
        if language == "findings" {
            self.findings.get_or_insert_default();
        }
        for (line, text) in asserted.copied() {
            let result = match language {
                "verdicts" => lines::assertion(line, text).map(|assertion| self.verdicts.push(assertion)),
                "findings" => lines::finding(line, text)
                    .map(|finding| self.findings.get_or_insert_default().push(finding)),
                "options" => lines::option(text, &mut self.options),
                _ => return Err(format!("line {start}: unknown kind of block \"{language}\"")),
            };
            result.map_err(|error| format!("line {line}: {error}"))?;
        }
        Ok(())
    }

    fn add_yaml(&mut self, start: u32, block: &[(u32, &str)]) -> Result<(), String> {
        if !self.yaml.is_empty() && block.first().is_none_or(|(_, text)| *text != "---") {
            return Err(format!("line {start}: a further yaml block of a test begins with \"---\""));
        }
        for (line, text) in block {
            self.yaml.push_str(text);
            self.yaml.push('\n');
            self.yaml_lines.push(*line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
