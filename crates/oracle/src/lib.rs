//! The independent witness, for tests only: who may talk to whom, decided as slowly and as plainly as possible.
//!
//! - [`naive`] answers every question by looping over everything, in the words of the specification.
//! - [`worlds`] makes random clusters that are worth asking about; [`questions`] asks about them, and [`changes`] leads
//!   from one to the next, [`unruly`] to where no orderly cluster goes.
//! - [`agreement`] holds the engine's answers and reasons against these.
//! - [`minimize`] makes a world that shows a disagreement small enough to read.
//! - [`spec`] reads the Markdown tests of the `specs` folder.
//!
//! No answer here comes from the real engine or shares code with it: of the model only the values are used, and even what a
//! selector, an address block, a port range or a domain name matches is decided again. Nothing here is fast, and nothing that runs
//! in a cluster may depend on it.

pub mod agreement;
pub mod changes;
pub mod minimize;
pub mod naive;
pub mod questions;
pub mod random;
pub mod spec;
pub mod strategies;
pub mod unruly;
pub mod worlds;

mod matching;
mod party;
