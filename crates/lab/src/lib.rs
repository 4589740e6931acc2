//! A cluster in network namespaces on this machine: pods, Services, probes.
//!
//! [`Lab::build`] turns manifests into namespaces that are wired like a Kubernetes cluster with a routed network
//! plugin: one for each node and each pod, one for the outside, Services translated on the nodes. What the pods'
//! containers declare to listen on answers with the pod's name, so that [`Lab::probe`] can tell who was reached.
//! [`enforce`] brings policies
//! into the nodes' kernels, and [`trial`] compares what was measured with what the engine promises.
//!
//! Decisions are values ([`Plan`], and the wiring made from it); a small executor carries them out. The namespaces
//! have no name and are held by this process only, so nothing of a lab outlives it, and the machine's own network is
//! never touched.

#[cfg(not(target_os = "linux"))]
compile_error!("the lab is made of Linux network namespaces");

mod build;
pub mod child;
mod command;
pub mod enforce;
mod hosts;
mod lab;
pub mod listen;
mod nat;
mod netns;
mod note;
mod plan;
mod probe;
mod prober;
pub mod ranges;
mod responder;
mod sctp;
pub mod trial;
mod wiring;

pub use build::{BuildError, Stage};
pub use command::{ENVIRONMENT, Helper, Launch, Running};
pub use lab::{Lab, LabError, Place};
pub use nat::TABLE;
pub use netns::{Netns, NetnsError};
pub use note::Note;
pub use plan::{Node, NodeId, Options, Plan, PlanError, Pod, PodId, Service, ServicePort, node_names};
pub use probe::{MatrixOptions, Outcome, Patience, Probe};
pub use responder::ResponderError;
