//! The kernel's half of Ringfence: its tables as values, and the program that decides by them.

pub mod abi;
pub mod conntrack;
pub mod event;
mod grace;
pub mod kernel;
pub mod options;
pub mod requirements;
mod sys;
pub mod tables;
mod words;
