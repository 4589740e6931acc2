//! The loop: news to changes of the engine, those to the kernel, and what follows from them to open connections.
//!
//! One thread does all of it, in this order, so that there is one truth at a time. Nothing is written before everything
//! that decides was listed once: until then the kernel keeps what an agent before this one left there, if any did.

mod answers;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::Timestamp;
use ringfence_cluster::causes;
use ringfence_cluster::watch::News;
use ringfence_datapath::{Enforcer, EnforcerError, NodeView};
use ringfence_policy::PolicyKey;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::cut::{Concern, Cutter, Scene};
use crate::metrics::{Metrics, What};
use crate::model::{Model, Step};
use crate::report::{Attestation, Report};

/// How many pieces of news are taken together at most.
const BATCH: usize = 4096;

/// After how long without news what the last change has replaced is removed from the kernel's tables.
const IDLE: Duration = Duration::from_millis(200);

/// How long until what the kernel has refused is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How long between two looks at all open connections at least; longer where one takes long.
const BETWEEN_CUTS: Duration = Duration::from_millis(20);

/// How often it is counted how full the kernel's tables are: every key is read for that.
const COUNT: Duration = Duration::from_secs(30);

/// How often the addresses of the node's own interfaces are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// The node that the worker runs on, as far as the kernel knows it.
pub trait Host: Send {
    /// The addresses of the node's own interfaces.
    ///
    /// # Errors
    /// If the kernel does not say.
    fn addresses(&self) -> std::io::Result<Vec<IpAddr>>;

    /// From here on packets are judged. Called once, after the first policies are written.
    ///
    /// # Errors
    /// If the program could not be attached.
    fn attach(&mut self, enforcer: &mut Enforcer) -> Result<(), String>;
}

/// How this node is looked at.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The node's name.
    pub node: String,
    /// Where its pods live; none: what its object says.
    pub pod_ranges: Vec<IpNet>,
    /// Whether addresses there that no pod has are let through.
    pub allow_unknown: bool,
}

/// What is asked of the worker.
#[derive(Debug)]
pub enum Question {
    /// How it stands.
    Report(oneshot::Sender<Report>),
    /// Whether the kernel holds what it should.
    Attest(oneshot::Sender<Result<Attestation, String>>),
    /// To bring the metrics that are read, not counted, up to date.
    Measure(oneshot::Sender<()>),
    /// Whether it still works.
    Alive(oneshot::Sender<()>),
}

/// Brings what the API server says into force.
pub struct Worker<H> {
    settings: Settings,
    host: H,
    model: Model,
    enforcer: Enforcer,
    cutter: Cutter,
    /// Which connections must be looked at again, and not before when.
    concern: Concern,
    next_cut: Instant,
    /// This node's endpoints.
    local: HashSet<IpAddr>,
    /// The addresses of the node's own interfaces.
    own: Vec<IpAddr>,
    phase: Phase,
    /// Why nothing could be brought into force, although everything was listed.
    refused: Option<String>,
    /// Whether the kernel enforces what an agent before this one has left.
    left: bool,
    /// Since when the kernel holds what a policy says.
    enforced: BTreeMap<PolicyKey, Timestamp>,
    /// Policies of which the kernel does not hold what was told last, since when.
    pending: BTreeMap<PolicyKey, Timestamp>,
    metrics: Arc<Metrics>,
    is_swept: bool,
    /// When the kernel was last written to.
    written: Instant,
    looked: Instant,
    /// When it was last counted how full the tables are.
    counted: Option<Instant>,
}

/// How far it has come.
#[derive(Debug, Clone)]
enum Phase {
    /// Not everything that decides was listed yet.
    Listing,
    /// The kernel is where the engine is.
    InForce { since: Timestamp },
    /// The kernel is behind the engine.
    Behind { since: Timestamp, why: String },
}

impl<H: Host> Worker<H> {
    /// A worker that knows nothing yet of the cluster.
    pub fn new(
        settings: Settings,
        host: H,
        enforcer: Enforcer,
        left: bool,
        metrics: Arc<Metrics>,
    ) -> Worker<H> {
        let model = Model::new(settings.node.clone());
        Worker {
            settings,
            host,
            model,
            enforcer,
            cutter: Cutter::default(),
            concern: Concern::default(),
            next_cut: Instant::now(),
            local: HashSet::new(),
            own: Vec::new(),
            phase: Phase::Listing,
            refused: None,
            left,
            enforced: BTreeMap::new(),
            pending: BTreeMap::new(),
            metrics,
            is_swept: true,
            written: Instant::now(),
            looked: Instant::now(),
            counted: None,
        }
    }

    /// Works until nobody tells it anything any more.
    pub async fn run(mut self, mut news: mpsc::Receiver<News>, mut questions: mpsc::Receiver<Question>) {
        self.look();
        let mut batch = Vec::new();
        loop {
            let wait = self.patience();
            tokio::select! {
                count = news.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.step(batch.drain(..));
                }
                question = questions.recv() => match question {
                    Some(question) => self.answer(question),
                    None => return,
                },
                () = sleep(wait) => self.idle(),
            }
        }
    }

    /// Carries news as far as they go.
    fn step(&mut self, news: impl IntoIterator<Item = News>) {
        let began = Instant::now();
        let step = self.model.take(news);
        let now = Timestamp::now();
        for policy in &step.policies {
            self.enforced.remove(policy);
            match self.model.engine().find_policy(policy) {
                Some(_) => drop(self.pending.entry(policy.clone()).or_insert(now)),
                None => drop(self.pending.remove(policy)),
            }
        }
        self.concern.add(scene(&self.model, &self.enforcer, &self.own), &step.delta, &mut self.local);
        if matches!(self.phase, Phase::Listing) && !self.model.is_complete() {
            return;
        }
        // What was refused is refused again, and costs the whole each time.
        if self.is_failing() && self.written.elapsed() < RETRY {
            return;
        }
        let first = matches!(self.phase, Phase::Listing);
        let looks_else = (first || self.looked.elapsed() >= LOOK) && self.look();
        let written = match (&self.phase, first || step.ranges_changed || looks_else) {
            (_, true) | (Phase::Behind { .. }, _) => Some(self.switch_to_new_view()),
            _ if step.delta.is_empty() => None,
            _ => Some(self.enforcer.follow(self.model.engine(), &step.delta).map(drop)),
        };
        match written {
            Some(written) => self.settle(written),
            None => self.hold(),
        }
        if matches!(self.phase, Phase::InForce { .. }) {
            self.tell_latency(&step);
            self.cut();
        }
        self.metrics.worked(began.elapsed());
    }

    /// How long to wait for news.
    fn patience(&self) -> Duration {
        if self.is_failing() {
            return RETRY.saturating_sub(self.written.elapsed());
        }
        let wait = if self.is_swept { RETRY } else { IDLE };
        match self.concern.is_empty() {
            true => wait,
            false => wait.min(self.next_cut.saturating_duration_since(Instant::now())),
        }
    }

    /// When nothing is told: clears up, tries again, looks around.
    fn idle(&mut self) {
        if matches!(self.phase, Phase::InForce { .. }) {
            self.cut();
        }
        if !self.is_swept && self.written.elapsed() >= IDLE {
            self.is_swept = true;
            if let Err(error) = self.enforcer.sweep() {
                self.fail(&causes(&error));
            }
        }
        if self.looked.elapsed() >= LOOK && self.look() && !matches!(self.phase, Phase::Listing) {
            let written = self.switch_to_new_view();
            self.settle(written);
        }
        if self.is_failing() && self.written.elapsed() >= RETRY {
            let written = self.switch_to_new_view();
            self.settle(written);
        }
    }

    /// Whether the kernel has refused what it was last asked for.
    fn is_failing(&self) -> bool {
        self.refused.is_some() || matches!(self.phase, Phase::Behind { .. })
    }

    /// What became of an attempt to write.
    fn settle(&mut self, written: Result<(), EnforcerError>) {
        let first = matches!(self.phase, Phase::Listing);
        self.written = Instant::now();
        let attached = match (&written, first) {
            (Ok(()), true) => self.host.attach(&mut self.enforcer),
            _ => Ok(()),
        };
        let failure = match (written, attached) {
            (Ok(()), Ok(())) => None,
            (Err(error), _) => Some(causes(&error)),
            (_, Err(error)) => Some(error),
        };
        let now = Timestamp::now();
        self.is_swept = false;
        self.phase = match (failure, &self.phase) {
            (None, Phase::InForce { since }) => Phase::InForce { since: *since },
            (None, _) => Phase::InForce { since: now },
            // What was never attached is not behind, it is not there.
            (Some(why), Phase::Listing) => {
                self.fail(&why);
                self.refused = Some(why);
                Phase::Listing
            }
            (Some(why), earlier) => {
                self.fail(&why);
                let since = match earlier {
                    Phase::Behind { since, .. } => *since,
                    _ => now,
                };
                Phase::Behind { since, why }
            }
        };
        if matches!(self.phase, Phase::InForce { .. }) {
            if first {
                // What is open since before policies were in force here was never judged by them.
                self.concern.merge(Concern::all());
            }
            (self.left, self.refused) = (false, None);
        }
        self.hold();
        self.metrics.ready(matches!(self.phase, Phase::InForce { .. }));
    }

    /// The kernel holds what was told of every policy, if it is where the engine is.
    fn hold(&mut self) {
        if matches!(self.phase, Phase::InForce { .. }) {
            let now = Timestamp::now();
            self.enforced.extend(std::mem::take(&mut self.pending).into_keys().map(|key| (key, now)));
        }
    }

    fn fail(&self, why: &str) {
        self.metrics.failed();
        eprintln!("ringfence agent: {why}");
    }

    fn tell_latency(&self, step: &Step) {
        let pods = step.pods_since.map(|since| (What::Pod, since));
        let policies = step.policies_since.map(|since| (What::Policy, since));
        for (what, since) in pods.into_iter().chain(policies) {
            self.metrics.programmed(what, since.elapsed());
        }
    }

    /// Cuts the open connections that are not permitted any more, unless that was done just now.
    fn cut(&mut self) {
        let began = Instant::now();
        if self.concern.is_empty() || began < self.next_cut {
            return;
        }
        let concern = std::mem::take(&mut self.concern);
        let scene = scene(&self.model, &self.enforcer, &self.own);
        match self.cutter.cut(scene, &concern, self.enforcer.kernel()) {
            Ok(cut) => self.metrics.cut(cut),
            Err(error) => {
                self.fail(&format!("open connections could not be cut: {}", causes(&error)));
                self.concern.merge(concern);
                self.next_cut = Instant::now() + RETRY;
                return;
            }
        }
        self.next_cut = Instant::now() + BETWEEN_CUTS.max(4 * began.elapsed());
    }

    /// Looks at the node's own addresses; says whether they are others.
    fn look(&mut self) -> bool {
        self.looked = Instant::now();
        match self.host.addresses() {
            Ok(addresses) if addresses != self.own => {
                self.own = addresses;
                true
            }
            Ok(_) => false,
            Err(error) => {
                eprintln!("ringfence agent: the addresses of this node cannot be read: {error}");
                false
            }
        }
    }

    fn switch_to_new_view(&mut self) -> Result<(), EnforcerError> {
        let view = self.view();
        if self.enforcer.set_view(view) {
            self.concern.merge(Concern::all());
        }
        self.enforcer.switch(self.model.engine()).map(drop)
    }

    fn view(&self) -> NodeView {
        let ranges = match self.settings.pod_ranges.as_slice() {
            [] => self.model.pod_ranges(),
            given => given,
        };
        let pod_ranges = if self.settings.allow_unknown { Vec::new() } else { ranges.to_vec() };
        let not_pods =
            self.own.iter().copied().filter(|a| pod_ranges.iter().any(|r| r.contains(a))).collect();
        NodeView { name: self.settings.node.clone(), pod_ranges, not_pods, salt: self.enforcer.view().salt }
    }
}

fn scene<'a>(model: &'a Model, enforcer: &'a Enforcer, own: &'a [IpAddr]) -> Scene<'a> {
    Scene { engine: model.engine(), view: enforcer.view(), own }
}
