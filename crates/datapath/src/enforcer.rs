//! A node's kernel, kept at what an engine says, whatever goes wrong on the way.
//!
//! A plan supposes that every plan before it was carried out. Here that is made true: after an operation that failed
//! the tables are read again, and what was written for nothing is taken out, so that it does not take the room of what
//! comes next. Where old and new contents share a number, the image is made anew with other numbers.
//!
//! What is not done here: loading and attaching, and deciding when there is something new.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_policy::Engine;
use thiserror::Error;

use crate::abi::Op;
use crate::image::{Image, NodeView, RuleName};
use crate::kernel::{self, Kernel};
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
    /// What packets are judged by, if it was written here.
    image: Option<Image>,
    /// What is left to do after the last switch.
    rest: Vec<Op>,
    names: RuleNames,
}

impl Enforcer {
    /// For a program with any tables, such as another process left them.
    pub fn new(kernel: Kernel, view: NodeView) -> Enforcer {
        Enforcer { view, kernel, planner: None, image: None, rest: Vec::new(), names: RuleNames::default() }
    }

    /// The program.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Whose tables these are.
    pub fn view(&self) -> &NodeView {
        &self.view
    }

    /// Brings into force what an engine says, and says how many operations that takes. What it replaces is still
    /// there, until [`Enforcer::sweep`].
    ///
    /// # Errors
    /// What was in force before stays in force.
    pub fn switch(&mut self, engine: &Engine) -> Result<usize, EnforcerError> {
        self.sweep()?;
        let (image, mut ops) = self.plan(engine)?;
        let operations = ops.len();
        let switched = ops.iter().position(Op::is_switch).map_or(0, |at| at + 1);
        let rest = ops.split_off(switched);
        self.name_rules(&image);
        match self.kernel.apply(&ops) {
            Ok(_) => {
                self.image = Some(image);
                self.rest = rest;
                Ok(operations)
            }
            Err(source) => {
                self.recover();
                Err(EnforcerError::Switch { source })
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

    /// Before the switch, so that no event comes before its name.
    fn name_rules(&self, next: &Image) {
        let mut names = next.rule_names.clone();
        names.extend(self.image.iter().flat_map(|i| i.rule_names.clone()));
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn plan(&mut self, engine: &Engine) -> Result<(Image, Vec<Op>), EnforcerError> {
        let mut planner = match self.planner.take() {
            Some(planner) => planner,
            None => self.settled()?,
        };
        let mut attempt = 1;
        let planned = loop {
            let image = Image::new(engine, &self.view);
            match planner.plan(&image) {
                Ok(ops) => break Ok((image, ops)),
                Err(PlanError::Clash { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    self.view.salt = self.view.salt.wrapping_add(1);
                }
                Err(source) => break Err(EnforcerError::Plan { source }),
            }
        };
        self.planner = Some(planner);
        planned
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
        if let Some(image) = &self.image {
            let ops = planner.plan(image).map_err(|source| EnforcerError::Plan { source })?;
            self.kernel.apply(&ops).map_err(|source| EnforcerError::Sweep { source })?;
        }
        Ok(planner)
    }
}
