//! `cargo xtask scale`: the engine at the size of real clusters, as one table.
//!
//! Worlds are generated from a seed, so that a figure can be had again. Each profile runs in a process of its own: peak
//! memory is the process's, the generated world included.

mod change;
mod measure;
mod profile;
mod shape;
mod write;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use crate::scale::measure::Figures;
use crate::scale::profile::Profile;
use crate::scale::shape::Shape;

/// Options of `scale`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// This profile, and others that are named; else all
    #[arg(long = "profile", value_name = "NAME")]
    profiles: Vec<Profile>,

    /// Another seed gives another world of the same shape
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// One JSON object for each profile, a line each, instead of the table
    #[arg(long)]
    json: bool,

    /// Count how the generated world is shaped, instead of measuring
    #[arg(long, conflicts_with = "json")]
    shape: bool,

    /// Write the world as manifests too; of several profiles each into a folder of its name
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// Measures, in a process for each profile.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let [only] = arguments.profiles.as_slice() {
        return alone(*only, arguments);
    }
    let profiles = if arguments.profiles.is_empty() { &Profile::ALL[..] } else { &arguments.profiles };
    if !arguments.json && !arguments.shape {
        println!("{}", header());
    }
    for profile in profiles {
        let text = apart(*profile, arguments)?;
        if arguments.json || arguments.shape {
            print!("{text}");
        } else {
            let value: Value =
                serde_json::from_str(&text).with_context(|| format!("{profile} said: {text}"))?;
            println!("{}", row(*profile, &Figures::from_json(&value)));
        }
    }
    Ok(())
}

/// What a process for one profile alone says.
fn apart(profile: Profile, arguments: &Arguments) -> anyhow::Result<String> {
    let mut command = Command::new(std::env::current_exe().context("this program cannot find itself")?);
    command.args(["scale", "--profile", profile.name(), "--seed", &arguments.seed.to_string()]);
    command.arg(if arguments.shape { "--shape" } else { "--json" });
    if let Some(folder) = &arguments.write {
        command.arg("--write").arg(folder.join(profile.name()));
    }
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("{profile} cannot be measured"))?;
    if !output.status.success() {
        bail!("{profile} was not measured: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The one profile, in this process.
fn alone(profile: Profile, arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(folder) = &arguments.write {
        write::prepare(folder).context("the manifests cannot be written")?;
    }
    let world = profile.world(arguments.seed, 1);
    if arguments.shape {
        println!("{profile}:\n{}", Shape::of(&world));
    } else {
        let figures = measure::measure(world, arguments.seed);
        if arguments.json {
            println!("{}", figures.to_json(profile.name()));
        } else {
            println!("{}\n{}", header(), row(profile, &figures));
        }
    }
    arguments.write.as_deref().map_or(Ok(()), |folder| write_out(profile, arguments.seed, folder))
}

/// After measuring, whose memory writing is no part of.
fn write_out(profile: Profile, seed: u64, folder: &Path) -> anyhow::Result<()> {
    let bytes = write::write(&profile.world(seed, 1), folder).context("the manifests cannot be written")?;
    eprintln!("{profile}: {} MB of manifests in {}", bytes.div_ceil(1_000_000), folder.display());
    Ok(())
}

fn header() -> String {
    format!(
        "{:<8} {:>9} {:>9} {:>11} {:>11} {:>13} {:>18} {:>8} {:>9}",
        "profile",
        "build ms",
        "map ms",
        "verdict ns",
        "explain µs",
        "pod added µs",
        "policy changed µs",
        "p99 µs",
        "peak MB"
    )
}

fn row(profile: Profile, f: &Figures) -> String {
    let cell = |figure: Option<f64>, decimals: usize| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.decimals$}"))
    };
    format!(
        "{:<8} {:>9} {:>9} {:>11} {:>11} {:>13} {:>18} {:>8} {:>9}",
        profile.name(),
        cell(f.build_ms, 0),
        cell(f.map_ms, 0),
        cell(f.verdict_ns, 0),
        cell(f.explain_us, 1),
        cell(f.pod_added_us, 1),
        cell(f.policy_changed_us, 1),
        cell(f.policy_changed_p99_us, 1),
        cell(f.peak_mb, 0)
    )
}
