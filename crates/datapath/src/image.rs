//! The image: what one node's kernel tables must say, as a plain value computed from an engine.
//!
//! It knows nothing of what the kernel holds now; [`crate::plan`] finds the way from there to here. How it is made, and
//! kept when the engine changes, is in [`keeper`].

mod changes;
mod holders;
pub mod keeper;
mod portmaps;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use ringfence_policy::{Direction, Engine, PolicyKey, Source};

use crate::abi::{Address, PortMapKey, PortMapValue, Prefix, RuleKey};

pub use changes::ImageChanges;
pub use keeper::ImageKeeper;

/// What to make an image for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeView {
    /// The node's name: pods with it are its endpoints.
    pub name: String,
    /// The addresses from which this node's pods get theirs; one that no pod has is denied.
    pub pod_ranges: Vec<IpNet>,
    /// Addresses inside them that are not pods, the node's own gateway for one.
    pub not_pods: Vec<IpAddr>,
    /// Another value gives every number anew, for the case that old and new contents share one.
    pub salt: u64,
}

/// What the tables of one node must say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// This node's pods, by address.
    pub endpoints: BTreeMap<Address, Endpoint>,
    /// The identity of every pod of the cluster, by address.
    pub peers: BTreeMap<Address, u64>,
    /// The identity of every other address, by its longest prefix.
    pub cidrs: BTreeMap<Prefix, u64>,
    /// The ranges in which an unknown address is denied, and what inside them is exempt.
    pub ranges: BTreeMap<Prefix, u32>,
    /// The port map of a policy set toward an identity. Toward an identity that is not listed the one toward
    /// [`IDENTITY_ANY`](crate::abi::IDENTITY_ANY) holds, which every set has. Where
    /// cluster-wide policies have a say of how a pod reaches itself that is at [`RuleKey::hairpin`].
    pub rules: BTreeMap<RuleKey, u64>,
    /// The rows of each port map.
    pub portmaps: BTreeMap<u64, Arc<[PortRow]>>,
    /// What the numbers of rules stand for.
    pub rule_names: BTreeMap<u32, RuleName>,
}

/// One address of one of this node's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The policy set for what comes in; `None`: open.
    pub ingress: Option<u64>,
    /// The policy set for what goes out; `None`: open.
    pub egress: Option<u64>,
}

/// A row of a port map, before the map has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRow {
    /// The protocol's number; `None`: all.
    pub protocol: Option<u8>,
    /// The first port.
    pub port: u16,
    /// How many leading bits of the port count; 0: all ports.
    pub bits: u8,
    /// What holds there.
    pub value: PortMapValue,
}

impl PortRow {
    /// The row's key in a port map.
    pub fn key(&self, portmap: u64) -> PortMapKey {
        match self.protocol {
            None => PortMapKey::everything(portmap),
            Some(protocol) => PortMapKey::ports(portmap, protocol, self.port, self.bits),
        }
    }
}

/// What a rule's number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    /// The policy.
    pub policy: PolicyKey,
    /// The direction.
    pub direction: Direction,
    /// The rule's place among the policy's rules of that direction.
    pub rule: u32,
    /// Where it is written.
    pub source: Option<Source>,
}

impl Image {
    /// The image of a node.
    pub fn new(engine: &Engine, node: &NodeView) -> Image {
        ImageKeeper::new(engine, node).into_image()
    }
}
