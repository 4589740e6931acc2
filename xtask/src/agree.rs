//! `cargo xtask agree`: the engine against the naive engine, on as many random worlds as one likes.

use std::time::Instant;

use anyhow::bail;
use clap::Args;
use ringfence_oracle::agreement::compare;
use ringfence_oracle::worlds::{Size, world};
use ringfence_policy::{Engine, PodId};

/// Options of `agree`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The first seed; each world has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Go on until so many sides of connections were decided by both
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    verdicts: usize,
}

/// Compares until enough was compared, or a difference is found.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let start = Instant::now();
    let sizes = [Size::small(), Size::cluster(), Size::manifests(), Size::default(), Size::large()];
    let (mut worlds, mut verdicts) = (0u64, 0);
    for (seed, size) in (arguments.seed..).zip(sizes.iter().cycle()) {
        if verdicts >= arguments.verdicts {
            break;
        }
        let world = world(seed, size);
        let engine = Engine::new(world.clone());
        let pods: Vec<PodId> = engine.pods().map(|(id, _)| id).collect();
        match compare(&world, &engine, &pods, seed) {
            Ok(sides) => verdicts += sides,
            Err(difference) => bail!("seed {seed}, {size:?}: {difference}"),
        }
        worlds += 1;
    }
    println!(
        "{verdicts} verdicts of {worlds} worlds from seed {} agree, with their reasons ({:.0} s)",
        arguments.seed,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
