//! What the kernels of a lab tell: each new connection and each denial, with the name of the rule that decided.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringfence_datapath::enforcer::RuleNames;
use ringfence_datapath::event::{Direction, Event, Reason};
use ringfence_datapath::image::RuleName;

use crate::enforce::{EnforceError, Enforcement};

/// How long a listener may take to notice that it is no longer wanted.
const TURN: Duration = Duration::from_millis(20);

/// An event with its rule's name.
#[derive(Debug, Clone)]
pub struct Told {
    /// The node that saw it.
    pub node: String,
    /// What it saw.
    pub event: Event,
    /// The rule that decided, where one did.
    pub rule: Option<RuleName>,
}

impl Told {
    /// Why it was decided so, in words.
    pub fn because(&self) -> impl fmt::Display + '_ {
        Because(self)
    }
}

struct Because<'t>(&'t Told);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.0.event.direction {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
            Direction::None => "",
        };
        match (&self.0.rule, self.0.event.reason) {
            (Some(rule), _) => {
                write!(f, "{} {} rule {}", rule.policy, rule.direction.as_str(), rule.rule)?;
                rule.source.as_ref().map_or(Ok(()), |source| write!(f, ", {source}"))
            }
            (None, Reason::Open) => write!(f, "{side} open: no policy isolates it"),
            (None, Reason::Rule) => write!(f, "{side} by a rule that is gone"),
            (None, Reason::Default) if self.0.event.allowed => {
                write!(f, "{side} open: no rule of the cluster's policies decides it")
            }
            (None, Reason::Default) => write!(f, "{side} isolated, and no rule allows it"),
            (None, Reason::UnknownEndpoint) => f.write_str("an address of the pod range that no pod has"),
            (None, Reason::Malformed) => f.write_str("the packet cannot be read"),
            (None, Reason::Fragment) => f.write_str("a fragment without ports"),
            (None, Reason::MissingRow) => f.write_str("the kernel's tables do not say: a defect"),
            (None, Reason::OwnNode) => f.write_str("from its own node"),
            (None, Reason::Cut) => f.write_str("its connection was cut"),
            (None, Reason::Itself) => f.write_str("to itself"),
        }
    }
}

/// Reads the events of every node until it is dropped.
#[derive(Debug)]
pub struct Listener {
    events: Receiver<Told>,
    unreadable: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Listener {
    /// Listens to all nodes of an enforcement. Each event goes to one listener only.
    pub fn new(enforcement: &Enforcement) -> Result<Listener, EnforceError> {
        let (sender, events) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let unreadable = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        for node in enforcement.nodes() {
            let (names, tell) = (node.rule_names(), sender.clone());
            let name = &node.view().name;
            let (told_by, garbled) = (name.clone(), unreadable.clone());
            let ring = node
                .kernel()
                .events(move |event| match event {
                    Ok(event) => say(&tell, &names, &told_by, event),
                    Err(_) => drop(garbled.fetch_add(1, Ordering::Relaxed)),
                })
                .map_err(|source| EnforceError::Kernel { node: name.clone(), source })?;
            let stopped = stop.clone();
            threads.push(thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    // An error is a signal's interruption, or stays: then there is nothing to hurry for.
                    if ring.poll(TURN).is_err() {
                        thread::sleep(TURN);
                    }
                }
            }));
        }
        Ok(Listener { events, unreadable, stop, threads })
    }

    /// Events that came and could not be read: a defect of the kernel program or of this build.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// What has been told up to now and not yet taken.
    pub fn take(&self) -> Vec<Told> {
        // Whoever asks has seen the packets' fate; the kernel's words about it are a turn away at most.
        thread::sleep(TURN);
        self.events.try_iter().collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // How it ended is of no interest any more.
            let _ = thread.join();
        }
    }
}

fn say(tell: &Sender<Told>, names: &RuleNames, node: &str, event: Event) {
    let names = names.lock().unwrap_or_else(PoisonError::into_inner);
    let rule = event.rule.and_then(|number| names.get(&number)).cloned();
    // The listener may be gone already.
    let _ = tell.send(Told { node: node.to_owned(), event, rule });
}
