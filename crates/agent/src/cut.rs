//! Open connections that policies no longer permit, cut.
//!
//! Conntrack lets the packets of a connection pass that was permitted once. So after a change the connections that it can
//! concern are put to the engine again, as they are seen at the program's hooks: before source NAT, after destination NAT.
//! What the engine permits is not touched.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_datapath::conntrack::{self, Connections, ConnectionsError, CutError, Entry};
use ringfence_datapath::{Kernel, NodeView};
use ringfence_policy::{Delta, End, Engine, Protocol, Traffic};

/// Where connections are looked at: the engine, and what only this node knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) view: &'a NodeView,
    /// The addresses of the node's own interfaces.
    pub(crate) own: &'a [IpAddr],
}

/// Which connections a change can concern.
#[derive(Debug, Default)]
pub(crate) struct Concern {
    all: bool,
    addresses: HashSet<IpAddr>,
    prefixes: Vec<IpNet>,
    /// Addresses that a pod of this node had, and none has any more.
    left: HashSet<IpAddr>,
}

impl Concern {
    /// Every connection.
    pub(crate) fn all() -> Concern {
        Concern { all: true, ..Concern::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.all && self.addresses.is_empty() && self.prefixes.is_empty() && self.left.is_empty()
    }

    /// What an update has changed is of concern too. `local` are this node's endpoints before it, and after.
    pub(crate) fn add(&mut self, scene: Scene<'_>, delta: &Delta, local: &mut HashSet<IpAddr>) {
        for address in &delta.addresses {
            match (scene.is_local(*address), local.contains(address)) {
                (true, _) => {
                    self.left.remove(address);
                    local.insert(*address);
                }
                (false, true) => {
                    local.remove(address);
                    self.left.insert(*address);
                }
                (false, false) => {}
            }
        }
        self.addresses.extend(&delta.addresses);
        self.prefixes.extend(&delta.prefixes);
    }

    /// Connections that were not looked at remain so.
    pub(crate) fn merge(&mut self, other: Concern) {
        self.all |= other.all;
        if self.all {
            // Of all connections it need not be known any more which.
            self.addresses = HashSet::new();
            self.prefixes = Vec::new();
            self.left.extend(other.left);
            return;
        }
        self.addresses.extend(other.addresses);
        self.prefixes.extend(other.prefixes);
        self.left.extend(other.left);
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.all
            || self.addresses.contains(&address)
            || self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }
}

impl Scene<'_> {
    /// Whether an open connection may go on.
    pub(crate) fn permits(self, connection: &Entry, concern: &Concern) -> bool {
        let (from, to) = (connection.source, connection.destination);
        if !(concern.holds(from) || concern.holds(to)) {
            return true;
        }
        if concern.left.contains(&from) || concern.left.contains(&to) {
            return false;
        }
        // What the node itself begins is no pod's egress, and is not asked who has the address that it goes to.
        if self.own.contains(&from) {
            return true;
        }
        if self.is_unknown(from) || self.is_unknown(to) {
            return false;
        }
        if !self.is_local(from) && !self.is_local(to) {
            return true;
        }
        let traffic = traffic(connection);
        let verdict = match from == to {
            true => self.engine.hairpin_verdict(End::Address(from), traffic),
            false => self.engine.verdict(End::Address(from), End::Address(to), traffic),
        };
        verdict.allowed()
    }

    /// Whether it is the address of an endpoint: one of this node's pods, with a network of its own.
    fn is_local(self, address: IpAddr) -> bool {
        let pod = self.engine.pod_at(address).and_then(|id| self.engine.pod(id));
        pod.is_some_and(|pod| pod.node.as_deref() == Some(&self.view.name) && !pod.host_network)
    }

    /// Whether it lies where this node's pods live, and is none of them.
    fn is_unknown(self, address: IpAddr) -> bool {
        !self.is_local(address)
            && !self.view.not_pods.contains(&address)
            && self.view.pod_ranges.iter().any(|range| range.contains(&address))
    }
}

fn traffic(connection: &Entry) -> Traffic {
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.number() == connection.protocol);
    protocol.map_or(Traffic::Other, |protocol| Traffic::Port(protocol, connection.destination_port))
}

/// Cuts connections of the network namespace of the thread that uses it.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    connections: Option<Connections>,
}

impl Cutter {
    /// Cuts what is not permitted any more, and says how many that were. One that cannot be cut does not keep the others
    /// from it.
    ///
    /// # Errors
    /// The first, where something could not be cut.
    pub(crate) fn cut(
        &mut self,
        scene: Scene<'_>,
        concern: &Concern,
        kernel: &Kernel,
    ) -> Result<u64, CutError> {
        let mut connections = match self.connections.take() {
            Some(connections) => connections,
            None => Connections::open()?,
        };
        let entries = connections.dump()?;
        let mut cut = 0;
        let mut failure = None;
        for entry in entries.iter().filter(|entry| !scene.permits(entry, concern)) {
            match conntrack::cut(kernel, &mut connections, entry) {
                Ok(was_there) => cut += u64::from(was_there),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        // After an answer that could not be read the next would not be the one to the next question.
        if !matches!(failure, Some(CutError::Connections(ConnectionsError::Decode { .. }))) {
            self.connections = Some(connections);
        }
        failure.map_or(Ok(cut), Err)
    }
}
