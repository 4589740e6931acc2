//! The node agent: what the API server says, enforced on one node, and told to whoever asks.
//!
//! [`model`] follows the news as a plain value; [`worker`] carries what changes to the kernel and cuts the connections that
//! are not permitted any more; [`server`] answers over HTTP; [`run`] ties them together. Nothing here decides who may talk
//! to whom: that is the engine's, and the kernel's tables are an image of it.
//!
//! What is absent: no state on disk. What must outlive the agent is in the kernel, and everything else the API server
//! tells again.

mod cut;
pub mod metrics;
pub mod model;
pub mod report;
pub mod run;
pub mod server;
pub mod worker;

pub use report::Report;
pub use run::{Options, RunError, run};
