//! From a change of a file to the kernel having it: yelb, with one policy edited back and forth. What `ringfence lab
//! --watch` does is timed: every file is read, lowered and compiled, and every node gets its image, plan and rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use ringfence_k8s::{Inventory, ReadOptions, Reader};
use ringfence_lab::enforce::Enforcement;
use ringfence_lab::{Lab, Options};
use ringfence_policy::Engine;

use crate::bench::Effort;
use crate::bench::report::{Report, Row, Target, Unit};
use crate::bench::statistics::{median, percentile};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/yelb");
const EDITED: &str = "policies/redis.yaml";
const EDIT: (&str, &str) = ("port: 6379", "port: 6380");

/// Adds two rows: median and 99th percentile.
pub(crate) fn measure(effort: &Effort, report: &mut Report) -> anyhow::Result<()> {
    let copy = Copy::of(Path::new(EXAMPLE))?;
    let first = read(&copy.folder)?;
    let lab =
        Lab::build(&first, &Options::default(), &mut |_, _, _| {}).context("the lab could not be built")?;
    let mut enforcement = Enforcement::attach(&lab)?;
    enforcement.apply(&Engine::new(lab.plan().world(&first, &first.all_policies())))?;

    let edited = copy.folder.join(EDITED);
    let text = fs::read_to_string(&edited)?;
    let other = text.replace(EDIT.0, EDIT.1);
    ensure!(other != text, "{EDITED} of the example has no {:?} any more", EDIT.0);
    let (mut totals, mut reading) = (Vec::new(), Vec::new());
    for edit in 0..effort.edits {
        fs::write(&edited, if edit % 2 == 0 { &other } else { &text })?;
        let start = Instant::now();
        let inventory = read(&copy.folder)?;
        let engine = Engine::new(lab.plan().world(&first, &inventory.all_policies()));
        let read = start.elapsed();
        let change = enforcement.apply(&engine)?;
        ensure!(change.operations > 0, "an edit changed nothing");
        reading.push(read.as_secs_f64() * 1e3);
        totals.push((read + change.in_force).as_secs_f64() * 1e3);
    }
    for (name, share) in [("median", 0.5), ("99th percentile", 0.99)] {
        report.add(Row {
            what: format!("a policy of yelb edited, in force on 2 nodes, {name}"),
            policies: first.policies.len(),
            value: percentile(&totals, share),
            unit: Unit::Milliseconds,
            target: Target::Below(20.0),
            beside: vec![("of it reading and compiling (median)", median(&reading), Unit::Milliseconds)],
        });
    }
    Ok(())
}

fn read(folder: &Path) -> anyhow::Result<Inventory> {
    let mut reader = Reader::new(ReadOptions::default());
    for file in files(folder)? {
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        reader.bytes(file.display().to_string(), bytes);
    }
    let reading = reader.finish();
    ensure!(!reading.has_errors(), "the example has errors: {:?}", reading.findings);
    Ok(reading.inventory)
}

/// The manifests of a folder, in a fixed order.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.append(&mut self::files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The example in a folder of its own, which goes when this is dropped.
#[derive(Debug)]
struct Copy {
    folder: PathBuf,
}

impl Copy {
    fn of(example: &Path) -> anyhow::Result<Copy> {
        let name = format!("ringfence-bench-{}", std::process::id());
        let copy = Copy { folder: std::env::temp_dir().join(name) };
        // Nobody else's: it must not be there yet.
        fs::create_dir(&copy.folder).with_context(|| copy.folder.display().to_string())?;
        for file in files(example)? {
            let to = copy.folder.join(file.strip_prefix(example)?);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(&file, &to).with_context(|| file.display().to_string())?;
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // A folder left behind in /tmp is no reason to fail.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
