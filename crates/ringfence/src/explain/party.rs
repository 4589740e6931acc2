//! The ends of a case: pods or an address that stand for all which policies do not tell apart from them.

use std::net::IpAddr;

use ipnet::{IpAddrRange, Ipv4AddrRange, Ipv6AddrRange};
use ringfence_policy::{Change, Direction, Engine, Identity, NamedPort, Pod, PodId, SetId, Workload};

use super::service;
use crate::ends::End;
use crate::reference::{Reference, Referrer};

/// One end of a case.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    pub(crate) reference: Reference,
    pub(crate) end: ringfence_policy::End,
    /// The pods that it stands for; policies do not tell them apart.
    pub(crate) pods: Vec<PodId>,
}

impl Party {
    /// The pod that it is, by its address too.
    pub(crate) fn pod(&self, engine: &Engine) -> Option<PodId> {
        match self.end {
            ringfence_policy::End::Pod(pod) => Some(pod),
            ringfence_policy::End::Address(address) => engine.pod_at(address),
        }
    }
}

/// Picks pods for the two ends of a case, two different ones wherever there are two.
#[derive(Debug)]
pub(crate) struct Pairing<'e> {
    engine: &'e Engine,
    made: Option<Engine>,
    twins: Vec<(PodId, PodId)>,
}

impl<'e> Pairing<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Pairing<'e> {
        Pairing { engine, made: None, twins: Vec::new() }
    }

    pub(crate) fn pair(&mut self, mut from: Party, mut to: Party) -> (Party, Party) {
        let pods = (from.pod(self.engine), to.pod(self.engine));
        if let (Some(source), Some(destination)) = pods
            && source == destination
        {
            let other = |party: &Party| party.pods.iter().find(|p| **p != source).copied();
            if let Some(other) = other(&to) {
                to.end = ringfence_policy::End::Pod(other);
            } else if let Some(other) = other(&from) {
                from.end = ringfence_policy::End::Pod(other);
            } else if !from.pods.is_empty()
                && !to.pods.is_empty()
                && let Some(twin) = self.twin(source)
            {
                to.end = ringfence_policy::End::Pod(twin);
            }
        }
        (from, to)
    }

    /// Another pod of the same manifest, if that asks for more than one. A DaemonSet has one on each node.
    fn twin(&mut self, pod: PodId) -> Option<PodId> {
        if let Some((_, twin)) = self.twins.iter().find(|(p, _)| *p == pod) {
            return Some(*twin);
        }
        let is_on_nodes = |p: &Pod| p.workload.kind == "DaemonSet" && p.addresses.is_empty();
        self.engine.pod(pod).filter(|p| p.count > 1 || is_on_nodes(p))?;
        let twin = self.engine.pod(pod)?.clone();
        let made = self.made.get_or_insert_with(|| self.engine.clone());
        let twin = *made.apply([Change::AddPod(twin)]).added.first()?;
        self.twins.push((pod, twin));
        Some(twin)
    }

    /// The engine that knows all pods that were picked.
    pub(crate) fn asked(&self) -> &Engine {
        self.made.as_ref().unwrap_or(self.engine)
    }

    /// The engine of a world with the twins, if there are any.
    pub(super) fn engine(self) -> Option<Engine> {
        self.made
    }
}

/// An end as one or several parties.
pub(super) fn end_parties(engine: &Engine, end: &End<'_>) -> Vec<Party> {
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
pub(super) fn parties(engine: &Engine, pods: &[PodId], whole: Option<&Reference>) -> Vec<Party> {
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
        classes.iter().filter(|(c, _)| (c.namespace, c.workload) == (class.namespace, class.workload)).count()
            == 1
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
        engine.pod_at(*address).is_none() && !engine.nodes().any(|n| n.addresses.contains(address))
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
