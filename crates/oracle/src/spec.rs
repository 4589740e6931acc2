//! Reads the Markdown tests of the `specs` folder. The format is defined in `specs/README.md`.
//!
//! This only reads: manifests stay text, and names stay names. The runner, which has the reader of manifests and the
//! engine, executes the [`Case`]s.

mod lines;

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::model::{Node, PolicyName, Traffic};

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
    /// The connection passes, and neither side is isolated.
    AllowedByDefault,
    /// The connection does not pass.
    Denied {
        /// Each of these policies isolates a side that denies. Empty: no matter which.
        by: Vec<PolicyName>,
    },
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    /// The policy.
    pub policy: PolicyName,
    /// Whether it is an egress rule.
    pub egress: bool,
    /// Its place among the rules of that direction, from 0.
    pub rule: u32,
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
mod tests {
    use ringfence_policy::model::Protocol;

    use super::{Level, Place, Traffic, Verdict, parse};

    const GOOD: &str = "\
# Title

## First

Prose.

```yaml
a: 1
## no heading
```

```yaml
---
b: 2
```

```verdicts
# a remark
web -> shop/db:5432/TCP  denied by shop/db-in, shop/other

external -> [2001:db8::1]:53/UDP  allowed by shop/db-in ingress#2
shop/Deployment/web -> 10.0.0.1:ICMP  allowed by default
```

## Second

```options
pod-cidr 10.0.0.0/8
node one 192.168.0.1 fd00::1
```

```findings
error 3:5 no such field
warning 4:* `x`
```
";

    #[test]
    fn reads_everything() {
        let cases = parse(GOOD).unwrap();
        let names: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.line)).collect();
        assert_eq!(names, [("First", 3), ("Second", 25)]);
        let [first, second] = cases.as_slice() else { panic!("two cases") };
        assert_eq!(first.yaml, "a: 1\n## no heading\n---\nb: 2\n");
        assert_eq!([1, 4, 5, 0].map(|line| first.markdown_line(line)), [Some(8), Some(14), None, None]);
        let [denied, allowed, default] = first.verdicts.as_slice() else { panic!("three verdicts") };
        let web = Place::Named { namespace: "default".to_owned(), kind: None, name: "web".to_owned() };
        assert_eq!((denied.line, &denied.from), (19, &web));
        assert_eq!(denied.traffic, Traffic::Port(Protocol::Tcp, 5432));
        assert!(matches!(&denied.verdict, Verdict::Denied { by } if by.len() == 2));
        assert_eq!(
            (&allowed.from, &allowed.to),
            (&Place::External, &Place::Address("2001:db8::1".parse().unwrap()))
        );
        let Verdict::Allowed { by } = &allowed.verdict else { panic!("allowed") };
        assert_eq!(
            by.iter().map(|r| (r.policy.to_string(), r.egress, r.rule)).collect::<Vec<_>>(),
            [("shop/db-in".to_owned(), false, 2)]
        );
        assert_eq!((default.traffic, &default.verdict), (Traffic::Other, &Verdict::AllowedByDefault));
        assert!(first.findings.is_none());
        assert_eq!(second.options.nodes.len() + second.options.pod_cidrs.len(), 2);
        let findings = second.findings.as_ref().unwrap();
        let places: Vec<_> = findings.iter().map(|f| (f.level, f.place, f.message.as_str())).collect();
        assert_eq!(
            places,
            [(Level::Error, (3, Some(5)), "no such field"), (Level::Warning, (4, None), "`x`")]
        );
    }

    #[test]
    fn errors_name_the_line() {
        let check = |markdown: &str, expect: &str| {
            let error = parse(markdown).unwrap_err();
            assert!(error.starts_with(expect), "{markdown:?}: {error}");
        };
        let verdict = |line: &str| format!("## A\n```verdicts\n{line}\n```\n");
        check("## A\nprose\n", "line 1: \"A\" asserts nothing");
        check("## A\n```verdicts\n", "line 2: this block has no end");
        check("```yaml\n```\n", "line 1: a block before");
        check("## A\n```verdict\na -> b:1 allowed\n```\n", "line 2: unknown kind of block \"verdict\"");
        check("## A\n```yaml\na: 1\n```\n```yaml\nb: 1\n```\n", "line 5: a further yaml block");
        check("## A\n```findings\n```\n## A\n", "line 4: a second test");
        for wrong in [
            "a b:1 allowed",
            "a -> b allowed",
            "a -> b:70000 allowed",
            "a -> b:1/ICMP allowed",
            "a -> b:1",
            "a -> b:1 maybe",
            "a -> b:1 allowed because",
            "a -> b:1 allowed by x/y",
            "a -> b:1 allowed by x/y ingress#x",
            "a -> b:1 denied by x",
            "a/b/c/d -> b:1 denied",
            "/b -> b:1 denied",
        ] {
            check(&verdict(wrong), "line 3: ");
        }
        for wrong in ["note 1:1 x", "error x:1 x", "error 1:1", "error 1 x", "error 0:1 x"] {
            check(&format!("## A\n```findings\n{wrong}\n```\n"), "line 3: ");
        }
        for wrong in ["pod-cidr 10.0.0.0", "node", "node a", "node a b", "other"] {
            check(&format!("## A\n```options\n{wrong}\n```\n"), "line 3: ");
        }
    }
}
