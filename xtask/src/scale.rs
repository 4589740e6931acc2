//! `cargo xtask scale`: the engine at the size of real clusters, as one table.
//!
//! Worlds are generated from a seed, so that a figure can be had again. Each profile runs in a process of its own: peak
//! memory is the process's, the generated world included.

mod measure;
mod profile;
mod shape;

use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::scale::measure::Figures;
use crate::scale::profile::Profile;

/// Options of `scale`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One profile only
    #[arg(long, value_name = "NAME")]
    profile: Option<Profile>,

    /// Another seed gives another world of the same shape
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// One JSON object for each profile, instead of the table
    #[arg(long)]
    json: bool,

    /// Say how the generated world is shaped, and stop
    #[arg(long)]
    shape: bool,
}

/// Measures, in a process for each profile.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(profile) = arguments.profile {
        let world = profile.world(arguments.seed);
        if arguments.shape {
            println!("{profile}: {}", shape::describe(world));
            return Ok(());
        }
        let figures = measure::measure(world, arguments.seed);
        if arguments.json {
            println!("{}", object(profile, &figures));
        } else {
            println!("{}", header());
            println!("{}", row(profile, &figures));
        }
        return Ok(());
    }
    if !arguments.json && !arguments.shape {
        println!("{}", header());
    }
    for profile in Profile::ALL {
        let mut command = Command::new(std::env::current_exe().context("this program cannot find itself")?);
        command.args(["scale", "--profile", profile.name(), "--seed", &arguments.seed.to_string()]);
        command.arg(if arguments.shape { "--shape" } else { "--json" });
        let output = command.output().with_context(|| format!("{profile} cannot be measured"))?;
        if !output.status.success() {
            bail!("{profile}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        if arguments.json || arguments.shape {
            print!("{text}");
        } else {
            let value: Value =
                serde_json::from_str(&text).with_context(|| format!("{profile} said: {text}"))?;
            println!("{}", row(profile, &Figures::from_json(&value)));
        }
    }
    Ok(())
}

fn object(profile: Profile, figures: &Figures) -> Value {
    let mut object = json!({ "profile": profile.name() });
    if let (Value::Object(object), Value::Object(figures)) = (&mut object, figures.to_json()) {
        object.extend(figures);
    }
    object
}

fn header() -> String {
    format!(
        "{:<8} {:>9} {:>9} {:>11} {:>11} {:>9}",
        "profile", "build ms", "map ms", "verdict ns", "explain µs", "peak MB"
    )
}

fn row(profile: Profile, f: &Figures) -> String {
    format!(
        "{:<8} {:>9.0} {:>9.0} {:>11.0} {:>11.1} {:>9.0}",
        profile.name(),
        f.build_ms,
        f.map_ms,
        f.verdict_ns,
        f.explain_us,
        f.peak_mb
    )
}
