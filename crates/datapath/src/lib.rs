//! The kernel's half of Ringfence: its tables as values, and the program that decides by them.

pub mod abi;
pub mod image;
mod naming;
pub mod plan;
pub mod mirror;

pub use image::{Image, NodeView};
pub use plan::{PlanError, Planner};
pub use mirror::{Fate, Packet, Passage, Tables};
