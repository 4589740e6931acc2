//! A question in terms of the engine: which pods and addresses stand for the ends, and what is sent.
//!
//! An end can stand for several that policies tell apart: pods of one workload, the pods behind a Service, outside
//! addresses. Then there is a [`Case`] for each; the connection is allowed if all are. A Service that is asked about
//! without a port has a group of cases for each of its ports; something may pass if one group may.

use ringfence_k8s::{Inventory, Service, ServicePort};
use ringfence_policy::{Engine, PodId, Protocol, Traffic};

use super::party::{Pairing, Party, end_parties, parties};
use super::service;
use crate::complaint::Complaint;
use crate::ends::End;
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
#[derive(Debug, Clone)]
pub(super) struct Case<'i> {
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) traffic: Option<Traffic>,
    pub(super) service_port: Option<&'i ServicePort>,
}

/// What comes in at one end.
#[derive(Debug)]
struct Arrival<'i> {
    party: Party,
    traffic: Option<Traffic>,
    service_port: Option<&'i ServicePort>,
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
            return Err(no_source(engine, service, &from.text()));
        }
        if matches!((&from, &to), (End::External, End::External)) {
            return Err(Complaint::new("both ends are outside: no policy sees such a connection")
                .help("name a workload or a Service as one of the ends"));
        }
        let mut notes = Vec::new();
        notes.extend(outside_pod_cidr(engine, &from));
        notes.extend(outside_pod_cidr(engine, &to));
        let sources = end_parties(engine, &from);
        let (destinations, sent, through) = match &to {
            End::Service(service) => {
                let (groups, sent) = through_service(engine, service, port)?;
                (groups, sent, Some(*service))
            }
            _ => {
                let (group, sent) = directly(engine, &to, port)?;
                let pods: Vec<PodId> = group.iter().flat_map(|a| a.party.pods.clone()).collect();
                notes.extend(service::port_mistaken(engine, inventory, &pods, sent));
                (vec![group], sent, None)
            }
        };
        let mut pairing = Pairing::new(engine);
        let mut groups = Vec::new();
        for group in destinations {
            let mut cases = Vec::new();
            for source in &sources {
                for Arrival { party, traffic, service_port } in &group {
                    let (from, to) = pairing.pair(source.clone(), party.clone());
                    cases.push(Case { from, to, traffic: *traffic, service_port: *service_port });
                }
            }
            groups.push(cases);
        }
        let made = pairing.engine();
        if made.is_some() {
            notes.push(
                "this is about two different pods of one workload: a pod always reaches itself".to_owned(),
            );
        }
        Ok(Question {
            given: engine,
            made,
            from: from.text(),
            to: to.text(),
            sent,
            service: through,
            groups,
            notes,
        })
    }

    /// The same question to another engine, whose pods have the same numbers.
    pub(super) fn to_engine(&self, engine: Engine) -> Question<'i> {
        Question {
            given: self.given,
            made: Some(engine),
            from: self.from.clone(),
            to: self.to.clone(),
            sent: self.sent,
            service: self.service,
            groups: self.groups.clone(),
            notes: self.notes.clone(),
        }
    }

    /// The engine that answers.
    pub(super) fn engine(&self) -> &Engine {
        self.made.as_ref().unwrap_or(self.given)
    }
}

impl Case<'_> {
    /// Whether a pod reaches itself through a Service, so that its packets leave it and come back.
    pub(super) fn is_hairpin(&self, engine: &Engine) -> bool {
        let (from, to) = (self.from.pod(engine), self.to.pod(engine));
        self.service_port.is_some() && from.is_some() && from == to
    }

    /// Whether neither end is an address.
    pub(super) fn is_between_pods(&self) -> bool {
        !self.from.pods.is_empty() && !self.to.pods.is_empty()
    }
}

/// The pods behind a Service, a group for each of its ports that is asked for; and that port, if it is one.
fn through_service<'i>(
    engine: &Engine,
    service: &'i Service,
    port: Option<&Port>,
) -> Result<(Vec<Vec<Arrival<'i>>>, Option<Traffic>), Complaint> {
    let targets = service::targets(engine, service, port)?;
    let sent = match targets.as_slice() {
        [service::Target { port: Some(port), .. }] => Some(Traffic::Port(port.protocol, port.port)),
        [service::Target { port: None, direct, .. }] => *direct,
        _ => None,
    };
    let group = |target: &service::Target<'i>| {
        let arrival = |party: Party| {
            let traffic = party.pods.first().and_then(|p| target.traffic(engine, *p));
            Arrival { party, traffic, service_port: target.port }
        };
        parties(engine, &target.pods, None).into_iter().map(arrival).collect()
    };
    Ok((targets.iter().map(group).collect(), sent))
}

/// What stands for an end that is no Service, and what is sent to it, if that is the same for all.
fn directly<'i>(
    engine: &Engine,
    to: &End<'_>,
    port: Option<&Port>,
) -> Result<(Vec<Arrival<'i>>, Option<Traffic>), Complaint> {
    let sent = match port {
        Some(Port::Number(number, protocol)) => {
            Some(Traffic::Port(protocol.unwrap_or(Protocol::Tcp), *number))
        }
        Some(Port::Icmp) => Some(Traffic::Other),
        Some(Port::Name(..)) | None => None,
    };
    let mut group = Vec::new();
    for party in end_parties(engine, to) {
        let traffic = match port {
            Some(Port::Name(name, protocol)) => Some(named_port(engine, &party, name, *protocol)?),
            _ => sent,
        };
        group.push(Arrival { party, traffic, service_port: None });
    }
    let first = group.first().and_then(|a| a.traffic);
    let sent = first.filter(|_| group.iter().all(|a| a.traffic == first));
    Ok((group, sent))
}

fn no_source(engine: &Engine, service: &Service, called: &str) -> Complaint {
    let pods = parties(engine, &service::pods(engine, service), None);
    let names: Vec<String> = pods.iter().map(|p| p.reference.text()).collect();
    let complaint = Complaint::new(format!("{called} only receives connections"));
    match names.as_slice() {
        [] => complaint.help("name a workload as the source"),
        _ => complaint.help(format!("its pods can be a source: {}", names.join(", "))),
    }
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
        [] => {
            Err(Complaint::new(format!("{called} has no port called `{name}`")).help(if known.is_empty() {
                "none of its ports has a name: give the port by number".to_owned()
            } else {
                format!("its ports with a name: {}", known.join(", "))
            }))
        }
        _ => Err(Complaint::new(format!("`{name}` is more than one port of {called}: {}", known.join(", ")))
            .help("give the port by number, or add the protocol: NAME:PORT/tcp")),
    }
}

/// That an address should be a pod's, but no pod is known to have it.
fn outside_pod_cidr(engine: &Engine, end: &End<'_>) -> Option<String> {
    let End::Address(address) = end else { return None };
    let range = engine.pod_cidrs().iter().find(|c| c.contains(address))?;
    engine.pod_at(*address).is_none().then(|| {
        format!("{address} is in the pod range {range}, but no pod here is known to have it: taken for an outside address")
    })
}
