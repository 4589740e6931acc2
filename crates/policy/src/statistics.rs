//! How large a compiled world is.

/// How many distinct things an engine holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Pods.
    pub pods: usize,
    /// Groups of pods that no selector can tell apart.
    pub groups: usize,
    /// Namespaces, declared or with pods.
    pub namespaces: usize,
    /// Nodes, those too that only pods name.
    pub nodes: usize,
    /// Addresses of pods and nodes.
    pub addresses: usize,
    /// Policies of every kind.
    pub policies: usize,
    /// Subjects and peers.
    pub matchers: usize,
    /// Lists of policies of one tier that hold some pods.
    pub lists: usize,
    /// Sets of such lists.
    pub sets: usize,
    /// Sets of selectors that match some pods.
    pub signatures: usize,
    /// Lists of named ports that rules can reach.
    pub port_names: usize,
    /// Prefixes that address peers bring.
    pub prefixes: usize,
    /// Sets of address peers that hold some address.
    pub classes: usize,
}
