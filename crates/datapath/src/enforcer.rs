//! A node's kernel, kept at what an engine says, whatever goes wrong on the way.
//!
//! A plan supposes that every plan before it was carried out. Here that is made true: after an operation that failed
//! the tables are read again, and what was written for nothing is taken out, so that it does not take the room of what
//! comes next. Where old and new contents share a number, the image is made anew with other numbers.
//!
//! What is not done here: loading and attaching, and deciding when there is something new.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_policy::{Delta, Engine};
use thiserror::Error;

use crate::abi::Op;
use crate::image::{Image, ImageKeeper, NodeView, RuleName};
use crate::kernel::{self, Kernel};
use crate::pins::Removed;
use crate::plan::{PlanError, Planner};
use crate::tables::ApplyError;

/// A clash of numbers is rarer than one in a thousand million million; many in a row are a defect.
const ATTEMPTS: usize = 8;

/// What the numbers of rules stand for: of the policies in force and of those just before, whose events may come late.
pub type RuleNames = Arc<Mutex<BTreeMap<u32, RuleName>>>;

/// Why the kernel is not where it should be.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EnforcerError {
    #[error("the kernel's tables could not be read")]
    Read { source: kernel::Error },
    #[error("no way from the old tables to the new ones was found")]
    Plan { source: PlanError },
    #[error("the policies could not be written; those before stay in force")]
    Switch { source: ApplyError },
    #[error("the policies are in force, but what they replace could not be removed")]
    Sweep { source: ApplyError },
}

/// Brings a program's tables from one engine's answers to another's.
#[derive(Debug)]
pub struct Enforcer {
    view: NodeView,
    kernel: Kernel,
    /// `None` where the tables must be read before anything else.
    planner: Option<Planner>,
    now: Now,
    /// What is left to do after the last switch.
    rest: Vec<Op>,
    names: RuleNames,
    /// Of the rules before the last switch, those that are no rules any more.
    late: Vec<u32>,
}

/// What packets are judged by.
#[derive(Debug)]
enum Now {
    /// It was not written here.
    Unknown,
    /// An engine's answers, which can be followed.
    Followed(Box<ImageKeeper>),
    /// What an engine said before one that could not be brought into force.
    Stuck(Box<Image>),
}

impl Enforcer {
    /// For a program with any tables, such as another process left them.
    pub fn new(kernel: Kernel, view: NodeView) -> Enforcer {
        let (rest, late) = (Vec::new(), Vec::new());
        Enforcer { view, kernel, planner: None, now: Now::Unknown, rest, names: RuleNames::default(), late }
    }

    /// For a program that was loaded just now, so that its tables are empty and no packet can be reading them.
    pub fn fresh(kernel: Kernel, view: NodeView) -> Enforcer {
        Enforcer { planner: Some(Planner::new()), ..Enforcer::new(kernel, view) }
    }

    /// The program.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Whose tables these are.
    pub fn view(&self) -> &NodeView {
        &self.view
    }

    /// What the node is from now on: its ranges of pods, and who in them is none. The next switch, or update to follow,
    /// brings it into force, and costs as much as [`Enforcer::switch`]. Says whether anything is different. The numbers
    /// that are in use stay, whatever the view's salt.
    pub fn set_view(&mut self, mut view: NodeView) -> bool {
        view.salt = self.view.salt;
        if view == self.view {
            return false;
        }
        self.view = view;
        // What is followed was made for another view.
        self.now = std::mem::replace(&mut self.now, Now::Unknown).stuck();
        true
    }

    /// Attaches and pins the program: [`Kernel::attach_pinned`]. Where its tables were empty they must have been written
    /// before, by a switch.
    ///
    /// # Errors
    /// What was in force stays in force.
    pub fn attach_pinned(&mut self) -> Result<Removed, kernel::Error> {
        self.kernel.attach_pinned()
    }

    /// Brings into force what an engine says, and says how many operations that takes. What it replaces is still
    /// there, until [`Enforcer::sweep`].
    ///
    /// # Errors
    /// What was in force before stays in force.
    pub fn switch(&mut self, engine: &Engine) -> Result<usize, EnforcerError> {
        // Should this fail, what was followed so far is no longer what the caller will follow next.
        self.now = std::mem::replace(&mut self.now, Now::Unknown).stuck();
        self.sweep()?;
        let mut planner = self.planner()?;
        let mut attempt = 1;
        let (mut next, ops) = loop {
            let next = ImageKeeper::new(engine, &self.view);
            match planner.plan(next.image()) {
                Ok(ops) => break (next, ops),
                Err(PlanError::Clash { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    self.view.salt = self.view.salt.wrapping_add(1);
                }
                Err(source) => {
                    self.planner = Some(planner);
                    return Err(EnforcerError::Plan { source });
                }
            }
        };
        next.accept();
        self.name_all_rules(next.image());
        self.planner = Some(planner);
        match self.write(ops) {
            Ok(operations) => {
                self.now = Now::Followed(Box::new(next));
                Ok(operations)
            }
            Err(error) => {
                self.recover();
                Err(error)
            }
        }
    }

    /// Brings into force what an engine says after an update, where what it said before the update was the last that
    /// was asked for. It costs what the update changes; after a failure once as much as [`Enforcer::switch`].
    ///
    /// # Errors
    /// What was in force before stays in force.
    pub fn follow(&mut self, engine: &Engine, delta: &Delta) -> Result<usize, EnforcerError> {
        let planner = self.planner.take();
        let (mut planner, mut next) = match (planner, std::mem::replace(&mut self.now, Now::Unknown)) {
            (Some(planner), Now::Followed(next)) => (planner, next),
            (planner, now) => {
                (self.planner, self.now) = (planner, now);
                return self.switch(engine);
            }
        };
        next.update(engine, delta);
        let ops = match self.sweep().map(|()| planner.follow(next.image(), next.changes())) {
            Ok(Ok(ops)) => ops,
            // Where numbers clash, or rows of no use are left, everything is made anew.
            failed => {
                self.now = Now::Stuck(Box::new(next.into_accepted()));
                self.planner = failed.is_ok().then_some(planner);
                return self.switch(engine);
            }
        };
        self.name_rules(&next);
        self.planner = Some(planner);
        match self.write(ops) {
            Ok(operations) => {
                next.accept();
                self.now = Now::Followed(next);
                Ok(operations)
            }
            Err(error) => {
                self.now = Now::Stuck(Box::new(next.into_accepted()));
                self.recover();
                Err(error)
            }
        }
    }

    /// Removes what the last switch has replaced.
    ///
    /// # Errors
    /// What is in force stays in force. The next call, or the next switch, tries again.
    pub fn sweep(&mut self) -> Result<(), EnforcerError> {
        let rest = std::mem::take(&mut self.rest);
        self.kernel.apply(&rest).map(drop).map_err(|source| {
            self.recover();
            EnforcerError::Sweep { source }
        })
    }

    /// What the numbers of rules in events stand for, from now on.
    pub fn rule_names(&self) -> RuleNames {
        self.names.clone()
    }

    /// Carries out a plan up to the switch.
    fn write(&mut self, mut ops: Vec<Op>) -> Result<usize, EnforcerError> {
        let operations = ops.len();
        let switched = ops.iter().position(Op::is_switch).map_or(0, |at| at + 1);
        let rest = ops.split_off(switched);
        self.kernel.apply(&ops).map_err(|source| EnforcerError::Switch { source })?;
        self.rest = rest;
        Ok(operations)
    }

    /// Before the switch, so that no event comes before its name.
    fn name_all_rules(&mut self, next: &Image) {
        let mut names = self.now.image().map(|image| image.rule_names.clone()).unwrap_or_default();
        names.extend(next.rule_names.clone());
        self.late = names.keys().filter(|rule| !next.rule_names.contains_key(rule)).copied().collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// The same, for what an update has changed.
    fn name_rules(&mut self, next: &ImageKeeper) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let now = &next.image().rule_names;
        for rule in self.late.drain(..).filter(|rule| !now.contains_key(rule)) {
            names.remove(&rule);
        }
        for rule in next.changes().rules_named() {
            match now.get(&rule) {
                Some(name) => drop(names.insert(rule, name.clone())),
                None => self.late.push(rule),
            }
        }
    }

    fn planner(&mut self) -> Result<Planner, EnforcerError> {
        match self.planner.take() {
            Some(planner) => Ok(planner),
            None => self.settled(),
        }
    }

    /// After an operation that failed. If this fails too, the next switch begins with it, and reports.
    fn recover(&mut self) {
        self.rest.clear();
        self.planner = None;
        self.planner = self.settled().ok();
    }

    /// A planner that knows what the kernel holds, which then is nothing but what is in force.
    fn settled(&mut self) -> Result<Planner, EnforcerError> {
        let tables = self.kernel.dump().map_err(|source| EnforcerError::Read { source })?;
        let mut planner = Planner::from_tables(tables);
        if let Some(image) = self.now.image() {
            let ops = planner.plan(image).map_err(|source| EnforcerError::Plan { source })?;
            self.kernel.apply(&ops).map_err(|source| EnforcerError::Sweep { source })?;
        }
        Ok(planner)
    }
}

impl Now {
    fn image(&self) -> Option<&Image> {
        match self {
            Now::Unknown => None,
            Now::Followed(keeper) => Some(keeper.image()),
            Now::Stuck(image) => Some(image),
        }
    }

    fn stuck(self) -> Now {
        match self {
            Now::Followed(keeper) => Now::Stuck(Box::new(keeper.into_accepted())),
            other => other,
        }
    }
}
