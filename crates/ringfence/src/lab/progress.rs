//! One line on a terminal that says what the lab is doing; nothing where there is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ringfence_lab::Stage;

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        // Standard error; indicatif draws nothing where that is no terminal.
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress { bar }
    }

    pub(crate) fn build(&mut self, stage: Stage, done: usize, total: usize) {
        let what = match stage {
            Stage::Namespaces => "making namespaces",
            Stage::Network => "wiring nodes and pods",
            Stage::Listeners => "opening ports",
            Stage::Settling => "waiting for the network",
        };
        self.show(what, done, total);
    }

    pub(crate) fn show(&mut self, what: &str, done: usize, total: usize) {
        self.bar.set_message(what.to_owned());
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    pub(crate) fn clear(&mut self) {
        self.bar.finish_and_clear();
    }
}
