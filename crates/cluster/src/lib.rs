//! A cluster's objects through its API server, as the trees that [`ringfence_k8s`] reads.
//!
//! [`read`] asks what the cluster serves and lists everything that decides who may talk to whom, once; [`watch`] goes on to
//! tell of every change. Nothing is lowered here and nothing decided: a list from an API server goes the way of a manifest, and what the reader would refuse or warn
//! of is listed too, so that it does. What a cluster does not have is left out; what may not be read is an error where
//! answers would be wrong without it, and else told.

mod asker;
mod discovery;
mod error;
mod resource;
mod snapshot;
mod tree;
pub mod watch;

pub use asker::{Access, connect};
pub use error::{Error, causes};
pub use snapshot::{Snapshot, read};
pub use watch::watch;
