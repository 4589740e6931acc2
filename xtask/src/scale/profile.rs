//! The worlds: four shapes of clusters, from a seed.
//!
//! [`shape`](super::shape) counts what they are to have.
#![expect(
    clippy::indexing_slicing,
    reason = "places are drawn from the lists that they index, in a chore for developers"
)]

mod cluster_policies;
mod dense;
mod objects;
mod real;
mod wide;
mod xl;

use std::fmt;

use clap::ValueEnum;
use ringfence_oracle::random::Random;
use ringfence_policy::World;

/// The shape of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// 5,413 pods, 604 namespaces, 13,678 policies, as counted in a real cluster
    Real,
    /// 25,000 namespaces, 100,000 pods, 75,000 policies
    Xl,
    /// 10,000 pods in one namespace, 10,000 policies that each select all
    Dense,
    /// 100,000 pods, 1,000 namespaces, 10,000 policies whose peers span ten namespaces, 100 cluster policies
    Wide,
}

impl Profile {
    /// All of them.
    pub(crate) const ALL: [Profile; 4] = [Profile::Real, Profile::Xl, Profile::Dense, Profile::Wide];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Real => "real",
            Profile::Xl => "xl",
            Profile::Dense => "dense",
            Profile::Wide => "wide",
        }
    }

    /// The world of a seed, with one in `divisor` of everything that there is in great number.
    pub(crate) fn world(self, seed: u64, divisor: usize) -> World {
        let mut random = Random::new(seed);
        match self {
            Profile::Real => real::world(divisor, &mut random),
            Profile::Xl => xl::world(divisor, &mut random),
            Profile::Dense => dense::world(divisor, &mut random),
            Profile::Wide => wide::world(divisor, &mut random),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
