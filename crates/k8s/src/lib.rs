//! Kubernetes objects and YAML text to the policy model, with the place of every word.

pub mod inventory;

pub use inventory::{ContainerPort, Inventory, Service, ServicePort, TargetPort, Workload};
