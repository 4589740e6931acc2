//! `lab --events`: each new connection and each denial as a line on standard error, while it happens.

use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use ringfence_lab::Lab;
use ringfence_lab::enforce::Enforcement;
use ringfence_lab::listen::Listener;

use crate::lab::report::event_line;

/// Prints events until it is dropped.
#[derive(Debug)]
pub(crate) struct Teller {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    pub(crate) fn new(lab: &Lab, enforcement: &Enforcement) -> anyhow::Result<Teller> {
        let listener = Listener::new(enforcement).context("the kernel's events cannot be read")?;
        let plan = lab.plan().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let print = |listener: &Listener| {
                for told in listener.take() {
                    // Where standard error is closed, nobody listens.
                    let _ = writeln!(stderr().lock(), "{}", event_line(&plan, &told));
                }
            };
            let mut garbled = 0;
            while !stopped.load(Ordering::Relaxed) {
                print(&listener);
                if listener.unreadable() > garbled {
                    garbled = listener.unreadable();
                    let _ = writeln!(stderr().lock(), "{garbled} events could not be read");
                }
            }
            // What came after the last look.
            print(&listener);
        });
        Ok(Teller { stop, thread: Some(thread) })
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only prints; how it ended is of no interest any more.
            let _ = thread.join();
        }
    }
}
