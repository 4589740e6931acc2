//! What a figure was measured on. Without that it means nothing.

use std::{fs, thread};

/// The facts of this machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The processor's name.
    pub(crate) processor: String,
    /// How many processors this process may use.
    pub(crate) processors: usize,
    /// The load average of the last minute before the run: what else was going on.
    pub(crate) load: String,
}

impl Machine {
    pub(crate) fn read() -> Machine {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let model = |cpuinfo: String| {
            let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Machine {
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: model(text("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: thread::available_parallelism().map_or(1, usize::from),
            load: text("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}
