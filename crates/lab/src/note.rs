//! What a person should know who takes the lab for their cluster: each place where it differs from their manifests.

use std::fmt;
use std::net::IpAddr;

use ringfence_policy::Protocol;

/// Where the lab differs from what was asked. `Display` says it to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A workload has fewer pods than its replicas.
    ReplicasCapped {
        /// The workload, as `namespace/name`.
        workload: String,
        /// Its replicas.
        replicas: u32,
        /// Its pods here.
        pods: u32,
    },
    /// A workload names a node that the lab does not have; its pods are on others.
    NoSuchNode {
        /// The workload, as `namespace/name`.
        workload: String,
        /// The node that it names.
        node: String,
    },
    /// Two pods of one node's network want the same port; the later does not answer there.
    PortTaken {
        /// The pod that does not get it.
        pod: String,
        /// The pod that has it.
        by: String,
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
    },
    /// A Service has a port that no pod answers behind.
    NoBackend {
        /// The Service, as `namespace/name`.
        service: String,
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
    },
    /// An address cannot be outside: the lab uses it, it is no unicast address, or there is no IPv6 here.
    NotOutside(IpAddr),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::ReplicasCapped { workload, replicas, pods } => {
                write!(f, "{workload} has {pods} pods here instead of {replicas}")
            }
            Note::NoSuchNode { workload, node } => {
                write!(f, "{workload} names node {node}, which the lab does not have; placed on another")
            }
            Note::PortTaken { pod, by, protocol, port } => {
                write!(f, "{pod} does not answer on {protocol} {port}: {by} has that port of their node")
            }
            Note::NoBackend { service, protocol, port } => {
                write!(f, "no pod is behind {protocol} {port} of Service {service}")
            }
            Note::NotOutside(address) => {
                write!(
                    f,
                    "{address} cannot be an outside address here: not unicast, or of a range that the lab uses"
                )
            }
        }
    }
}
