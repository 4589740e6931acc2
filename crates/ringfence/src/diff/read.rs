//! The two sides of a comparison, from what was typed.

use std::io::stdin;
use std::path::PathBuf;

use anyhow::Context;
use ringfence_k8s::Level;
use ringfence_policy::World;

use super::args::DiffArgs;
use super::git;
use crate::complaint::Complaint;
use crate::files;
use crate::input;
use crate::terminal::Terminal;

/// Reads both sides. Of the old one only errors are reported: what is doubtful in it is not news.
pub(super) fn both(args: &DiffArgs, terminal: &Terminal) -> anyhow::Result<(World, World)> {
    if args.old == "-" && args.new == "-" {
        return Err(Complaint::new("OLD and NEW cannot both be standard input")
            .help("put one of them into a file")
            .into());
    }
    let old = side("OLD", &args.old, args, terminal, Level::Error)?;
    let new = side("NEW", &args.new, args, terminal, Level::Note)?;
    Ok((old, new))
}

fn side(
    which: &str,
    text: &str,
    args: &DiffArgs,
    terminal: &Terminal,
    least: Level,
) -> anyhow::Result<World> {
    let read = match (text.strip_prefix("cluster:"), git::Place::parse(text)) {
        (Some(context), _) => input::of_cluster(context, &args.input, terminal, least),
        (None, Some(place)) => input::parse(git::read(&place?)?, &args.input, terminal, false, least),
        (None, None) => {
            let files = files::read(&[PathBuf::from(text)], &mut stdin().lock());
            input::parse(files, &args.input, terminal, false, least)
        }
    };
    read.map(|(world, _)| world).with_context(|| format!("{which} ({text})"))
}
