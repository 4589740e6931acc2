//! `ringfence check`: pitfalls in the policies. What is wrong is decided in `ringfence-lint`; here it is read, suppressed,
//! mended and shown.

mod args;
mod concise;
mod config;
mod fix;
mod full;
mod github;
mod json;
mod junit;
mod markdown;
mod page;
mod sarif;

use std::process::ExitCode;

use ringfence_k8s::{Level, Reading, Sources};
use ringfence_lint::{Context, Finding, Options, Suppressed};

use crate::cli;
use crate::input::{self, Gathered};
use crate::terminal::Terminal;

pub(crate) use args::CheckArgs;
use args::{CheckFormat, FailOn};
use config::Config;

/// Reads, checks, mends and shows.
pub(crate) fn run(args: &CheckArgs, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    if let Some(code) = &args.explain {
        terminal.answer(&page::of(code)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::find(args.config.as_deref(), &args.paths)?;
    let Gathered { reading, problems } = input::gather(&args.paths, &args.input, terminal, true)?;
    let errors = reading.findings.iter().filter(|f| f.level == Level::Error).count() + problems.len();
    let is_whole = errors == 0 || args.input.skip_invalid;
    let found = findings(&reading, args, &config, is_whole);
    let mut suppressed = if is_whole {
        ringfence_lint::suppress(found, &reading, &config.ignores)
    } else {
        // Of a part of the input nobody can say that a suppression is unused.
        Suppressed { left: found, accepted: Vec::new() }
    };
    if args.fix && is_whole {
        suppressed.left = fix::fix(suppressed.left, &reading.sources, &args.input, terminal)?;
    }
    let report = Report {
        findings: &suppressed.left,
        accepted: &suppressed.accepted,
        sources: &reading.sources,
        fail_on: args.fail_on,
    };
    terminal.answer(&report.render(args.output, terminal))?;
    if !is_whole {
        return Err(input::unreadable(errors).into());
    }
    let fails = report.findings.iter().any(|f| args.fail_on.fails(f.level));
    input::leave(suppressed);
    input::leave(reading);
    Ok(if fails { ExitCode::from(cli::DENIED) } else { ExitCode::SUCCESS })
}

/// What the reader and, of a whole input, the rules find; with the levels of the config.
fn findings(reading: &Reading, args: &CheckArgs, config: &Config, is_whole: bool) -> Vec<Finding> {
    let mut findings = ringfence_lint::reading(&reading.findings);
    if is_whole {
        let engine = input::engine(&reading.inventory, &args.input);
        let options = Options { namespace: args.input.namespace.clone() };
        let context = Context::new(reading, &engine, options);
        findings.extend(ringfence_lint::check(&context));
        input::leave(context);
        input::leave(engine);
    }
    let mut findings: Vec<Finding> = findings.into_iter().filter_map(|f| config.level(f)).collect();
    ringfence_lint::sort(&mut findings);
    findings
}

/// What is shown, in whatever format.
#[derive(Debug)]
struct Report<'r> {
    findings: &'r [Finding],
    /// What someone has accepted, each with the reason.
    accepted: &'r [(Finding, String)],
    sources: &'r Sources,
    fail_on: FailOn,
}

impl Report<'_> {
    fn render(&self, format: CheckFormat, terminal: &Terminal) -> String {
        match format {
            CheckFormat::Full => full::render(self, terminal.palette()),
            CheckFormat::Concise => concise::render(self, terminal.palette()),
            CheckFormat::Json => json::render(self),
            CheckFormat::Sarif => sarif::render(self),
            CheckFormat::Github => github::render(self),
            CheckFormat::Junit => junit::render(self),
            CheckFormat::Markdown => markdown::render(self),
        }
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }

    /// `2 warnings, 1 note, 1 suppressed`.
    fn summary(&self) -> String {
        let several = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        };
        let levels = [(Level::Error, "error"), (Level::Warning, "warning"), (Level::Note, "note")];
        let mut parts: Vec<String> =
            levels.into_iter().filter_map(|(level, word)| several(self.count(level), word)).collect();
        if parts.is_empty() {
            parts.push("no findings".to_owned());
        }
        if !self.accepted.is_empty() {
            parts.push(format!("{} suppressed", self.accepted.len()));
        }
        parts.join(", ")
    }
}
