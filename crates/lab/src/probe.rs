//! What can be asked of a lab's network, what can come of it, and the list of everything worth asking.
//!
//! Sending is [`prober`](crate::prober)'s work.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ringfence_policy::{Protocol, Traffic};

use crate::plan::{NodeId, Plan};
use crate::{Place, PodId, ranges};

/// One connection to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// From where.
    pub from: Place,
    /// To which address; of the family of the source's address, if the source is one.
    pub to: IpAddr,
    /// A port, or [`Traffic::Other`] for a ping.
    pub traffic: Traffic,
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A listener answered, and this is who: `namespace/pod` or `outside`. Empty where a TCP connection was made and
    /// the name did not arrive in time.
    Answered(String),
    /// Nobody listens there, and that was said: a TCP reset or a port unreachable. It passed.
    ///
    /// A Service without a backend refuses in the same way, and so would a firewall that rejects; Ringfence drops.
    Refused,
    /// A ping came back.
    Echoed,
    /// An SCTP INIT arrived, here: `namespace.pod`, a node's name or `outside`.
    Arrived(String),
    /// The network said that there is no such host or no way to it.
    Unreachable,
    /// Nothing came back in time: dropped.
    Silent,
    /// It could not be sent.
    Failed(String),
}

impl Outcome {
    /// Whether the packet got to its destination.
    pub fn passed(&self) -> bool {
        matches!(self, Outcome::Answered(_) | Outcome::Refused | Outcome::Echoed | Outcome::Arrived(_))
    }
}

/// How long a probe waits before it counts as [`Outcome::Silent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Duration);

impl Patience {
    /// For a first round: what passes comes back in a fraction of this.
    pub const QUICK: Patience = Patience(Duration::from_millis(400));
    /// For those that were silent and should not be: on a busy machine, or after a lost packet.
    pub const LONG: Patience = Patience(Duration::from_millis(1500));
}

/// What [`matrix`](Plan::matrix) asks beside the pods and the outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatrixOptions {
    /// The Services too, from every pod.
    pub services: bool,
    /// A port that no pod declares, asked by TCP and UDP. `None`: the first from 4242 that no pod declares.
    pub undeclared: Option<u16>,
}

impl Plan {
    /// Every ordered pair of pods and outside addresses, on every port that any pod declares, on one that none does,
    /// and by ping, in each family that both ends have.
    ///
    /// Pods that use their node's network are that node, once. An end to itself is left out, and so is the outside to
    /// the outside. The order is that of the plan.
    pub fn matrix(&self, options: &MatrixOptions) -> Vec<Probe> {
        let mut ports: BTreeSet<(Protocol, u16)> =
            self.pods.iter().flat_map(|p| &p.ports).map(|p| (p.protocol, p.port)).collect();
        let declared = |port: &u16| ports.iter().any(|(_, p)| p == port);
        if let Some(port) = options.undeclared.or_else(|| (4242..=u16::MAX).find(|p| !declared(p))) {
            ports.extend([(Protocol::Tcp, port), (Protocol::Udp, port)]);
        }
        let mut traffic: Vec<Traffic> =
            ports.into_iter().map(|(protocol, port)| Traffic::Port(protocol, port)).collect();
        traffic.push(Traffic::Other);

        let ends = self.ends();
        let mut probes = Vec::new();
        for (from, sources) in &ends {
            for (to, targets) in ends.iter().filter(|(to, _)| to != from) {
                if matches!((from, to), (Place::Outside(_), Place::Outside(_))) {
                    continue;
                }
                for target in targets.iter().filter(|t| sources.iter().any(|s| s.is_ipv4() == t.is_ipv4())) {
                    probes.extend(traffic.iter().map(|&traffic| Probe { from: *from, to: *target, traffic }));
                }
            }
            if options.services && !matches!(from, Place::Outside(_)) {
                for service in &self.services {
                    for (address, port) in
                        service.addresses.iter().flat_map(|a| service.ports.iter().map(move |p| (a, p)))
                    {
                        let traffic = Traffic::Port(port.protocol, port.port);
                        probes.push(Probe { from: *from, to: *address, traffic });
                    }
                }
            }
        }
        probes
    }

    /// The ends of the matrix with their addresses: pods, the nodes that pods share, the outside.
    fn ends(&self) -> Vec<(Place, Vec<IpAddr>)> {
        let mut nodes = BTreeSet::<NodeId>::new();
        let mut ends = Vec::new();
        for (id, pod) in self.pod_ids() {
            if !pod.host_network {
                ends.push((Place::Pod(id), pod.addresses.clone()));
            } else if nodes.insert(pod.node) {
                ends.push((Place::Node(pod.node), pod.addresses.clone()));
            }
        }
        ends.extend(self.outside.iter().map(|a| (Place::Outside(*a), vec![*a])));
        ends
    }

    /// A ping from each node to the outside, to every other node and to each of its pods.
    pub(crate) fn neighbours(&self) -> Vec<Probe> {
        let outside = self.families((ranges::OUTSIDE_V4, ranges::OUTSIDE_V6));
        let mut probes = Vec::new();
        for i in 0..self.nodes.len() {
            let node = NodeId(i);
            let nodes = self
                .nodes
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != i)
                .flat_map(|(_, n)| &n.addresses);
            let pods =
                self.pods.iter().filter(|p| p.node == node && !p.host_network).flat_map(|p| &p.addresses);
            let from = Place::Node(node);
            probes.extend(outside.iter().chain(nodes).chain(pods).map(|to| Probe {
                from,
                to: *to,
                traffic: Traffic::Other,
            }));
        }
        probes
    }

    /// Who has an address: a pod of its own, else a node, else the outside. Services have none here.
    pub fn place_of(&self, address: IpAddr) -> Option<Place> {
        let pod = self.pod_ids().find(|(_, p)| !p.host_network && p.addresses.contains(&address));
        let node = || self.nodes.iter().position(|n| n.addresses.contains(&address));
        pod.map(|(id, _): (PodId, _)| Place::Pod(id))
            .or_else(|| node().map(|i| Place::Node(NodeId(i))))
            .or_else(|| self.outside.contains(&address).then_some(Place::Outside(address)))
    }
}
