//! How far the API server has told of one kind: what a list holds so far, and whether it still answers.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ringfence_cluster::watch::Name;

use super::Source;

/// A watch that is up again says nothing until something changes. But one that is not is tried again, and fails again,
/// within the longest wait between two attempts and the longest wait for a connection.
const FAILS_AGAIN: Duration = Duration::from_secs(45);

/// The state of one kind.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Whether a list came to its end once.
    complete: bool,
    /// What the list that is under way holds so far.
    under_way: Option<HashSet<Name>>,
    /// Since when the kind is said not to be there.
    absent: Option<Instant>,
    /// Whether that is believed.
    is_absent: bool,
    failing: Option<Failing>,
}

/// Attempts that failed, without news in between.
#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    why: String,
}

impl Listing {
    pub(crate) fn begin(&mut self) {
        self.under_way = Some(HashSet::new());
        self.answers();
    }

    pub(crate) fn is(&mut self, name: &Name) {
        if let Some(listed) = &mut self.under_way {
            listed.insert(name.clone());
        }
        self.answers();
    }

    pub(crate) fn gone(&mut self, name: &Name) {
        if let Some(listed) = &mut self.under_way {
            listed.remove(name);
        }
        self.answers();
    }

    /// What was on the list; `None` where none was under way.
    pub(crate) fn end(&mut self) -> Option<HashSet<Name>> {
        self.failing = None;
        self.complete = true;
        (self.absent, self.is_absent) = (None, false);
        self.under_way.take()
    }

    /// Since when the kind is said not to be there.
    pub(crate) fn absent(&mut self, at: Instant) -> Instant {
        self.under_way = None;
        self.failing = None;
        *self.absent.get_or_insert(at)
    }

    /// It is believed.
    pub(crate) fn settle_absent(&mut self) {
        self.is_absent = true;
        self.complete = true;
    }

    pub(crate) fn failed(&mut self, at: Instant, why: String) {
        let before = self.failing.take().filter(|failing| !failing.is_over(at));
        let since = before.map_or(at, |failing| failing.since);
        self.failing = Some(Failing { since, last: at, why });
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn source(&self, now: Instant) -> Source {
        match &self.failing {
            _ if !self.complete => Source::Unlisted,
            Some(failing) if !failing.is_over(now) => {
                Source::Stale { since: failing.since, why: failing.why.clone() }
            }
            _ if self.is_absent => Source::Absent,
            _ => Source::Followed,
        }
    }

    /// Why nothing was listed yet, where the API server has said so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failing.as_ref().map(|failing| failing.why.as_str())
    }

    /// A list that begins does not show yet that the server answers: it can fail after that.
    fn answers(&mut self) {
        if self.under_way.is_none() || self.under_way.as_ref().is_some_and(|listed| !listed.is_empty()) {
            self.failing = None;
        }
    }
}

impl Failing {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FAILS_AGAIN
    }
}
