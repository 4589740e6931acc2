//! Kubernetes objects and YAML text to the policy model, with the place of every word.
//!
//! [`read`] takes named texts and gives an [`Inventory`], the [`Finding`]s and the [`Sources`] that they point into.
//! Nothing is dropped in silence: an object is read whole, or it is an error with its place. And back: [`normalize`] gives
//! the policies as the API server would store them, and [`to_yaml`] writes them. No I/O here, and no
//! verdicts.

pub mod finding;
pub mod inventory;
mod json;
pub mod kinds;
mod lower;
pub mod node;
mod normalize;
mod parts;
mod priority;
mod read;
mod service;
pub mod source;
mod store;
mod world;
mod yaml;

pub use finding::{Finding, Level};
pub use inventory::{
    Backend, BackendPort, ContainerPort, FromOutside, Gateway, Inventory, Listener, Owner, Route,
    RouteParent, Service, ServicePort, TargetPort, Workload,
};
pub use node::{Entry, Node, Value};
pub use normalize::normalize;
pub use read::{Manifest, ReadOptions, Reader, Reading, documents, read};
pub use service::Leads;
pub use source::{FileId, Place, SourceFile, Sources, Span};
pub use yaml::to_yaml;
