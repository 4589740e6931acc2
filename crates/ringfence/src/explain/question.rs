//! A question in terms of the engine: which pods and addresses stand for the ends, and what is sent.
//!
//! An end can stand for several that policies tell apart: pods of one workload, the pods behind a Service, outside
//! addresses. Then there is a [`Case`] for each; the connection is allowed if all are. A Service that is asked about
//! without a port has a group of cases for each of its ports; something may pass if one group may.

use std::net::IpAddr;

use ipnet::{IpAddrRange, Ipv4AddrRange, Ipv6AddrRange};
use ringfence_k8s::{Inventory, Service, ServicePort};
use ringfence_policy::{Direction, Engine, Identity, NamedPort, PodId, Protocol, SetId, Traffic, Workload};

use super::service;
use crate::complaint::Complaint;
use crate::ends::End;
use crate::reference::{Reference, Referrer};
use crate::target::Port;

/// What is asked.
#[derive(Debug)]
pub(super) struct Question<'i> {
    given: &'i Engine,
    /// A world in which pods that are asked about as both ends have a twin.
    made: Option<Engine>,
    /// The ends as the user knows them.
    pub(super) from: String,
    /// The same for the destination.
    pub(super) to: String,
    /// What is sent to the destination as the user knows it, such as a Service's port; `None`: all that may pass.
    pub(super) sent: Option<Traffic>,
    /// The Service that is asked for.
    pub(super) service: Option<&'i Service>,
    /// Allowed if all cases of one group are.
    pub(super) groups: Vec<Vec<Case<'i>>>,
    /// What the answer rests on.
    pub(super) notes: Vec<String>,
}

/// One connection, or, without traffic, all that may pass between two ends.
#[derive(Debug)]
pub(super) struct Case<'i> {
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) traffic: Option<Traffic>,
    pub(super) service_port: Option<&'i ServicePort>,
}

/// One end of a case.
#[derive(Debug, Clone)]
pub(super) struct Party {
    pub(super) reference: Reference,
    pub(super) end: ringfence_policy::End,
    /// The pods that it stands for; policies do not tell them apart.
    pods: Vec<PodId>,
}

impl<'i> Question<'i> {
    pub(super) fn new(
        engine: &'i Engine,
        inventory: &'i Inventory,
        from: End<'i>,
        to: End<'i>,
        port: Option<&Port>,
    ) -> Result<Question<'i>, Complaint> {
        if let End::Service(service) = &from {
            let pods = parties(engine, &service::pods(engine, service), None);
            let names: Vec<String> = pods.iter().map(|p| p.reference.text()).collect();
            let complaint = Complaint::new(format!("{} only receives connections", from.text()));
            return Err(match names.as_slice() {
                [] => complaint.help("name a workload as the source"),
                _ => complaint.help(format!("its pods can be a source: {}", names.join(", "))),
            });
        }
        if matches!((&from, &to), (End::External, End::External)) {
            return Err(Complaint::new("both ends are outside: no policy sees such a connection")
                .help("name a workload or a Service as one of the ends"));
        }
        let mut notes = Vec::new();
        notes.extend(outside_pod_cidr(engine, &from));
        notes.extend(outside_pod_cidr(engine, &to));
        let sources = end_parties(engine, &from);
        let mut sent = match port {
            Some(Port::Number(number, protocol)) => {
                Some(Traffic::Port(protocol.unwrap_or(Protocol::Tcp), *number))
            }
            Some(Port::Icmp) => Some(Traffic::Other),
            Some(Port::Name(..)) | None => None,
        };
        let mut destinations: Vec<Vec<(Party, Option<Traffic>, Option<&'i ServicePort>)>> = Vec::new();
        let mut through = None;
        if let End::Service(service) = &to {
            through = Some(*service);
            let targets = service::targets(engine, service, port)?;
            if let [service::Target { port: Some(port), .. }] = targets.as_slice() {
                sent = Some(Traffic::Port(port.protocol, port.port));
            }
            for target in targets {
                let mut group = Vec::new();
                for party in parties(engine, &target.pods, None) {
                    let traffic = party.pods.first().and_then(|p| target.traffic(engine, *p));
                    group.push((party, traffic, target.port));
                }
                destinations.push(group);
            }
        } else {
            let mut group = Vec::new();
            for party in end_parties(engine, &to) {
                let traffic = match port {
                    Some(Port::Name(name, protocol)) => Some(named_port(engine, &party, name, *protocol)?),
                    _ => sent,
                };
                group.push((party, traffic, None));
            }
            if let [(_, Some(traffic), _)] = group.as_slice() {
                sent = Some(*traffic);
            }
            notes.extend(service::port_mistaken(engine, inventory, &group_pods(&group), sent));
            destinations.push(group);
        }
        let mut pairing = Pairing::new(engine);
        let mut groups = Vec::new();
        for group in destinations {
            let mut cases = Vec::new();
            for source in &sources {
                for (party, traffic, service_port) in &group {
                    let (from, to) = pairing.pair(source.clone(), party.clone());
                    cases.push(Case { from, to, traffic: *traffic, service_port: *service_port });
                }
            }
            groups.push(cases);
        }
        let made = pairing.engine();
        if made.is_some() {
            notes.push("this is about two different pods of one workload: a pod always reaches itself".to_owned());
        }
        Ok(Question { given: engine, made, from: from.text(), to: to.text(), sent, service: through, groups, notes })
    }

    /// The engine that answers.
    pub(super) fn engine(&self) -> &Engine {
        self.made.as_ref().unwrap_or(self.given)
    }
}

impl Case<'_> {
    /// Whether neither end is an address.
    pub(super) fn is_between_pods(&self) -> bool {
        !self.from.pods.is_empty() && !self.to.pods.is_empty()
    }
}

/// Picks pods for the two ends of a case, two different ones wherever there are two.
struct Pairing<'e> {
    engine: &'e Engine,
    twins: Vec<(PodId, PodId)>,
}

impl<'e> Pairing<'e> {
    fn new(engine: &'e Engine) -> Pairing<'e> {
        Pairing { engine, twins: Vec::new() }
    }

    fn pair(&mut self, from: Party, mut to: Party) -> (Party, Party) {
        if let (Some(source), Some(destination)) = (from.pods.first(), to.pods.first())
            && source == destination
        {
            let other = to.pods.iter().find(|p| *p != source).copied().or_else(|| self.twin(*source));
            if let Some(other) = other {
                to.end = ringfence_policy::End::Pod(other);
            }
        }
        (from, to)
    }

    /// Another pod of the same manifest, if that asks for more than one.
    fn twin(&mut self, pod: PodId) -> Option<PodId> {
        if let Some((_, twin)) = self.twins.iter().find(|(p, _)| *p == pod) {
            return Some(*twin);
        }
        self.engine.pod(pod).filter(|p| p.count > 1)?;
        let next = u32::try_from(self.engine.world().pods.len() + self.twins.len()).ok()?;
        self.twins.push((pod, PodId(next)));
        Some(PodId(next))
    }

    /// The engine of a world with the twins, if there are any.
    fn engine(self) -> Option<Engine> {
        if self.twins.is_empty() {
            return None;
        }
        let mut world = self.engine.world().clone();
        world.pods.extend(self.twins.iter().filter_map(|(pod, _)| self.engine.pod(*pod).cloned()));
        Some(Engine::new(world))
    }
}

fn end_parties(engine: &Engine, end: &End<'_>) -> Vec<Party> {
    match end {
        End::Pods(reference, pods) => parties(engine, pods, Some(reference)),
        End::Service(service) => parties(engine, &service::pods(engine, service), None),
        End::Address(address) => vec![Party {
            reference: Reference::Address(*address),
            end: ringfence_policy::End::Address(*address),
            pods: Vec::new(),
        }],
        End::External => outside(engine),
    }
}

/// What policies can tell of a pod, and what it belongs to.
#[derive(PartialEq, Eq)]
struct Class<'e> {
    namespace: &'e str,
    workload: &'e Workload,
    named_ports: &'e [NamedPort],
    host_network: bool,
    ingress: Option<SetId>,
    egress: Option<SetId>,
    identity: Identity,
}

/// Pods, those together that belong to one workload and that policies do not tell apart.
fn parties(engine: &Engine, pods: &[PodId], whole: Option<&Reference>) -> Vec<Party> {
    let referrer = Referrer::new(engine);
    let mut classes: Vec<(Class<'_>, Vec<PodId>)> = Vec::new();
    for id in pods {
        let Some(pod) = engine.pod(*id) else { continue };
        let class = Class {
            namespace: &pod.namespace,
            workload: &pod.workload,
            named_ports: &pod.named_ports,
            host_network: pod.host_network,
            ingress: engine.policy_set(*id, Direction::Ingress),
            egress: engine.policy_set(*id, Direction::Egress),
            identity: engine.identity(ringfence_policy::End::Pod(*id)),
        };
        match classes.iter_mut().find(|(known, _)| *known == class) {
            Some((_, ids)) => ids.push(*id),
            None => classes.push((class, vec![*id])),
        }
    }
    let is_alone = |class: &Class<'_>| {
        classes.iter().filter(|(c, _)| (c.namespace, c.workload) == (class.namespace, class.workload)).count() == 1
    };
    let party = |(class, ids): &(Class<'_>, Vec<PodId>)| {
        let reference = match whole {
            Some(reference) if classes.len() == 1 => reference.clone(),
            _ => referrer.workload(class.namespace, class.workload, ids, is_alone(class)),
        };
        Some(Party { reference, end: ringfence_policy::End::Pod(*ids.first()?), pods: ids.clone() })
    };
    classes.iter().filter_map(party).collect()
}

/// All outside addresses, those together that policies do not tell apart.
fn outside(engine: &Engine) -> Vec<Party> {
    let is_outside = |address: &IpAddr| {
        engine.pod_at(*address).is_none() && !engine.world().nodes.iter().any(|n| n.addresses.contains(address))
    };
    let party = |range: ringfence_policy::AddressRange| {
        let mut addresses = match (range.first, range.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => IpAddrRange::V4(Ipv4AddrRange::new(first, last)),
            (IpAddr::V6(first), IpAddr::V6(last)) => IpAddrRange::V6(Ipv6AddrRange::new(first, last)),
            _ => return None,
        };
        Some(Party {
            reference: Reference::Outside(range.first, range.last),
            end: ringfence_policy::End::Address(addresses.find(is_outside)?),
            pods: Vec::new(),
        })
    };
    engine.address_space().ranges().into_iter().filter_map(party).collect()
}

/// The port of a name on the pods of an end.
fn named_port(
    engine: &Engine,
    party: &Party,
    name: &str,
    protocol: Option<Protocol>,
) -> Result<Traffic, Complaint> {
    let at = match party.end {
        ringfence_policy::End::Pod(pod) => Some(pod),
        ringfence_policy::End::Address(address) => engine.pod_at(address),
    };
    let called = party.reference.text();
    let Some(pod) = at.and_then(|id| engine.pod(id)) else {
        return Err(Complaint::new(format!("{called} is no pod: `{name}` has no number there"))
            .help("give the port by number"));
    };
    let mut found: Vec<Traffic> = pod
        .named_ports
        .iter()
        .filter(|p| p.name == name && protocol.is_none_or(|wanted| wanted == p.protocol))
        .map(|p| Traffic::Port(p.protocol, p.port))
        .collect();
    found.sort_unstable();
    found.dedup();
    let known: Vec<String> =
        pod.named_ports.iter().map(|p| format!("{} ({} {})", p.name, p.protocol, p.port)).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Complaint::new(format!("{called} has no port called `{name}`")).help(if known.is_empty() {
            "none of its ports has a name: give the port by number".to_owned()
        } else {
            format!("its ports with a name: {}", known.join(", "))
        })),
        _ => Err(Complaint::new(format!("`{name}` is more than one port of {called}: {}", known.join(", ")))
            .help("give the port by number, or add the protocol: NAME:PORT/tcp")),
    }
}

/// That an address should be a pod's, but no pod is known to have it.
fn outside_pod_cidr(engine: &Engine, end: &End<'_>) -> Option<String> {
    let End::Address(address) = end else { return None };
    let range = engine.world().pod_cidrs.iter().find(|c| c.contains(address))?;
    engine.pod_at(*address).is_none().then(|| {
        format!("{address} is in the pod range {range}, but no pod here is known to have it: taken for an outside address")
    })
}

fn group_pods<T, U>(group: &[(Party, T, U)]) -> Vec<PodId> {
    group.iter().flat_map(|(party, _, _)| party.pods.clone()).collect()
}
