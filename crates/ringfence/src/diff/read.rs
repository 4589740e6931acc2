//! The two sides of a comparison, from what was typed.

use std::io::stdin;
use std::path::PathBuf;

use anyhow::Context;
use ringfence_k8s::{Level, Node};
use ringfence_policy::World;

use super::args::DiffArgs;
use super::git;
use crate::cluster;
use crate::complaint::Complaint;
use crate::files::{self, Files};
use crate::input;
use crate::terminal::Terminal;

/// Reads both sides, at the same time. Of the old one only errors are reported: what is doubtful in it is not news.
pub(super) fn both(args: &DiffArgs, terminal: &Terminal) -> anyhow::Result<(World, World)> {
    if args.old == "-" && args.new == "-" {
        return Err(Complaint::new("OLD and NEW cannot both be standard input")
            .help("put one of them into a file")
            .into());
    }
    let find = |which, text: &str| find(text, args, terminal).with_context(|| format!("{which} ({text})"));
    let old = find("OLD", &args.old)?;
    // What is wrong with the old side is told first.
    let new = find("NEW", &args.new);
    let gather = |found| {
        let gathered = match found {
            Found::Files(files) => input::gather_files(files, &args.input, false),
            Found::Lists(lists) => input::gather_lists(&lists, &args.input, false),
        };
        let world = input::world(&gathered.reading.inventory, &args.input);
        (gathered, world)
    };
    let (old, new) = std::thread::scope(|scope| {
        let old = scope.spawn(|| gather(old));
        let new = new.map(gather);
        (old.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), new)
    });
    let report = |gathered: &_, which, text: &str, least| {
        let reported = input::report_all(gathered, &args.input, terminal, least);
        reported.with_context(|| format!("{which} ({text})"))
    };
    let (gathered, old) = old;
    report(&gathered, "OLD", &args.old, Level::Error)?;
    input::leave(gathered);
    let (gathered, new) = new?;
    report(&gathered, "NEW", &args.new, Level::Note)?;
    input::leave(gathered);
    Ok((old, new))
}

/// What was found where a side is said to be, before it is read.
enum Found {
    Files(Files),
    Lists(Vec<Node>),
}

fn find(text: &str, args: &DiffArgs, terminal: &Terminal) -> anyhow::Result<Found> {
    if let Some(context) = text.strip_prefix("cluster:") {
        let context = Some(context).filter(|name| !name.is_empty());
        return cluster::read(context, &args.input, terminal).map(Found::Lists);
    }
    match git::Place::parse(text) {
        Some(place) => git::read(&place?).map(Found::Files),
        None => Ok(Found::Files(files::read(&[PathBuf::from(text)], &mut stdin().lock()))),
    }
}
