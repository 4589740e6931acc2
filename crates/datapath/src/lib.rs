//! The kernel's half of Ringfence: its tables as values, and the program that decides by them.
//!
//! From an engine to the kernel: [`Image`] is what a node's tables must say, [`Planner`] finds the operations that lead
//! there, [`Kernel`] carries them out, [`Enforcer`] does all three and what it takes when one fails. [`Tables`] mirrors what
//! the kernel holds and looks packets up as the program does. [`pins`] are what outlives the process.
//! Nothing here decides: every row is an answer of the engine.

pub mod abi;
mod attach;
pub mod attest;
pub mod conntrack;
pub mod enforcer;
pub mod event;
mod grace;
pub mod image;
pub mod kernel;
pub mod mirror;
mod naming;
mod object;
pub mod options;
pub mod pins;
pub mod plan;
pub mod requirements;
mod sys;
pub mod tables;
mod takeover;
mod words;

pub use enforcer::{Enforcer, EnforcerError};
pub use image::{Image, ImageChanges, ImageKeeper, NodeView};
pub use kernel::{Error, Kernel};
pub use mirror::{Fate, Packet, Tables};
pub use options::Options;
pub use pins::{Found, PinError};
pub use plan::{PlanError, Planner};
pub use tables::ApplyError;
