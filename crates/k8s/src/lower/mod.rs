//! Nodes to the model: which kinds there are, and what each means.
//!
//! Lowering is loss-free, or it is an error with its place. It does not know where the nodes come from: text and live
//! objects go the same way.

mod block;
mod cluster;
pub(crate) mod context;
mod dispatch;
mod meta;
pub(crate) mod names;
mod policy;
mod ports;
mod route;
mod selector;
mod service;
mod workload;

pub(crate) use dispatch::Lowered;
pub(crate) use policy::default_types;
