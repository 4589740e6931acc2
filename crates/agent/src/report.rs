//! What an agent says of itself: plain values, as `ringfence status` shows them and programs read them.

use serde::{Deserialize, Serialize};

/// How it stands with one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of this form: 1.
    pub version: u32,
    /// The node's name.
    pub node: String,
    /// The agent's version.
    pub agent: String,
    /// Whether policies are in force.
    pub enforcement: Enforcement,
    /// How it stands with each kind of objects.
    pub sources: Vec<SourceReport>,
    /// This node's pods that policies can hold, by address.
    pub endpoints: usize,
    /// The ranges in which an address that no pod has is denied.
    pub pod_ranges: Vec<String>,
    /// The policies, each kind and name once.
    pub policies: Vec<PolicyReport>,
    /// Objects that could not be read as they are written, and what is done instead.
    pub problems: Vec<Problem>,
    /// Where less is promised than could be, and what to do.
    pub weaknesses: Vec<String>,
}

/// Whether what the policies say is what the kernel does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Enforcement {
    /// Not everything that decides was read yet. What an agent before this one has left in the kernel stays in force.
    #[serde(rename_all = "camelCase")]
    Waiting {
        /// What is waited for.
        for_kinds: Vec<String>,
        /// Whether the kernel enforces what was left there.
        left: bool,
        /// Why nothing could be brought into force, where nothing is waited for any more.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        why: Option<String>,
    },
    /// The kernel holds what the policies say.
    InForce {
        /// Since when.
        since: String,
    },
    /// The kernel holds what the policies said at some time before.
    Behind {
        /// Since when.
        since: String,
        /// Why.
        why: String,
    },
}

/// How it stands with a kind of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceReport {
    /// The kind.
    pub kind: String,
    /// How many there are.
    pub objects: usize,
    /// How far it is known.
    pub state: SourceState,
    /// How many seconds ago the API server ceased to answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stale_seconds: Option<u64>,
    /// What the API server says, where it does not give what is asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// How far a kind of objects is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceState {
    /// Not listed yet.
    Unlisted,
    /// The API server has no such kind.
    Absent,
    /// Listed, and followed.
    Followed,
    /// Listed once, but the API server does not answer now.
    Stale,
}

/// Whether one policy is enforced on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for the cluster's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether what it says now is enforced.
    pub enforced: bool,
    /// Since when it is, or is waited for.
    pub since: String,
    /// How many of this node's pods it holds.
    pub endpoints: usize,
    /// Why it is not enforced, or not as it is written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// An object that could not be read as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for the cluster's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is wrong, and what is done instead.
    pub problem: String,
}

/// What the kernel's tables say beside what they should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attestation {
    /// Of this form: 1.
    pub version: u32,
    /// The node's name.
    pub node: String,
    /// Whether every entry is as the engine says, and none is there beside.
    pub equal: bool,
    /// How many entries of each table were compared.
    pub compared: Vec<Compared>,
    /// The differences, the first hundred of them.
    pub differences: Vec<String>,
    /// How many there are.
    pub difference_count: usize,
}

/// How many entries of a table were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// The table.
    pub table: String,
    /// How many.
    pub entries: usize,
}
