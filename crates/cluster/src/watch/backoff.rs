//! How long to wait between two attempts to reach an API server.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use kube::runtime::utils::{Backoff, ResetTimerBackoff};

/// The first wait; each further one is twice as long, with some chance in it, so that not all nodes of a cluster ask at once.
const FIRST: Duration = Duration::from_millis(500);

/// The longest, but for the chance: so long it takes until an API server that is back is asked, twice that where it has
/// forgotten how far it had told.
const LONGEST: Duration = Duration::from_secs(5);

/// After so long without a failure the next one is a first one.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Waits between attempts, without end.
#[derive(Debug)]
pub(crate) struct Waits(ExponentialBackoff);

pub(crate) fn waits() -> ResetTimerBackoff<Waits> {
    ResetTimerBackoff::new(Waits(fresh()), FORGOTTEN)
}

fn fresh() -> ExponentialBackoff {
    let builder = ExponentialBuilder::default().with_min_delay(FIRST).with_max_delay(LONGEST);
    builder.with_factor(2.0).without_max_times().with_jitter().build()
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Waits {
    fn reset(&mut self) {
        self.0 = fresh();
    }
}
