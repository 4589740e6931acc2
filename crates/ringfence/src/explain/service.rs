//! Services: which pods are behind one, and what becomes of its ports on the way, as kube-proxy does it.
//!
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/>

use ringfence_k8s::{Inventory, Leads, Service, ServicePort, TargetPort};
use ringfence_policy::{Engine, PodId, Protocol, Traffic};

use crate::complaint::Complaint;
use crate::target::Port;

/// Where a Service leads.
#[derive(Debug)]
pub(crate) struct Target<'i> {
    /// The Service's port; `None` where pods are reached without translation.
    pub(crate) port: Option<&'i ServicePort>,
    /// The pods that receive it. Never empty.
    pub(crate) pods: Vec<PodId>,
    /// Without translation, what is sent, if that was asked for.
    pub(crate) direct: Option<Traffic>,
}

impl Target<'_> {
    /// What a pod receives; `None`: whatever is sent.
    pub(crate) fn traffic(&self, engine: &Engine, pod: PodId) -> Option<Traffic> {
        match self.port {
            Some(port) => pod_port(engine, port, pod),
            None => self.direct,
        }
    }
}

/// The pods that a Service selects.
pub(crate) fn pods(engine: &Engine, service: &Service) -> Vec<PodId> {
    let selected = engine.pods().filter(|(_, pod)| service.selects(&pod.namespace, &pod.labels));
    selected.map(|(id, _)| id).collect()
}

/// Where a port of a Service leads; without a port, each of its ports.
pub(crate) fn targets<'i>(
    engine: &Engine,
    service: &'i Service,
    port: Option<&Port>,
) -> Result<Vec<Target<'i>>, Complaint> {
    let called = format!("Service {}/{}", service.namespace, service.name);
    let behind = pods(engine, service);
    if behind.is_empty() {
        return Err(no_pods(service, &called));
    }
    let headless = service.leads() == Leads::Headless;
    let direct = |direct| Ok(vec![Target { port: None, pods: behind.clone(), direct }]);
    let wanted: Vec<&ServicePort> = match port {
        None if headless => return direct(None),
        Some(Port::Icmp) if headless => return direct(Some(Traffic::Other)),
        Some(Port::Number(number, protocol)) if headless => {
            return direct(Some(Traffic::Port(protocol.unwrap_or(Protocol::Tcp), *number)));
        }
        Some(Port::Icmp) => {
            return Err(Complaint::new(format!("{called} translates ports, and ICMP has none"))
                .help("ask about its pods: name the workload"));
        }
        None => service.ports.iter().collect(),
        Some(Port::Number(number, protocol)) => {
            let protocol = protocol.unwrap_or(Protocol::Tcp);
            service.ports.iter().filter(|p| p.port == *number && p.protocol == protocol).collect()
        }
        Some(Port::Name(name, protocol)) => {
            let is_wanted = |p: &&ServicePort| {
                p.name.as_ref() == Some(name) && protocol.is_none_or(|wanted| wanted == p.protocol)
            };
            service.ports.iter().filter(is_wanted).collect()
        }
    };
    if wanted.is_empty() {
        let known: Vec<String> = service.ports.iter().map(port_text).collect();
        return Err(Complaint::new(format!("{called} has no such port")).help(if known.is_empty() {
            "it has no ports at all".to_owned()
        } else {
            format!("its ports: {}", known.join(", "))
        }));
    }
    let ready = |port: &'i ServicePort| {
        let pods: Vec<PodId> =
            behind.iter().filter(|p| pod_port(engine, port, **p).is_some()).copied().collect();
        (!pods.is_empty()).then_some(Target { port: Some(port), pods, direct: None })
    };
    let targets: Vec<Target<'i>> = wanted.iter().filter_map(|port| ready(port)).collect();
    match (targets.is_empty(), wanted.first().map(|p| &p.target)) {
        (true, Some(TargetPort::Name(name))) => {
            Err(Complaint::new(format!("{called} leads to port `{name}`, which none of its pods has"))
                .help("give the container port that name, or use its number as targetPort"))
        }
        _ => Ok(targets),
    }
}

/// That a pod is asked about on a port which only its Service has.
pub(crate) fn port_mistaken(
    engine: &Engine,
    inventory: &Inventory,
    asked: &[PodId],
    sent: Option<Traffic>,
) -> Option<String> {
    let Some(Traffic::Port(protocol, number)) = sent else { return None };
    let mut ports = inventory
        .services
        .iter()
        .filter(|s| s.leads() == Leads::ToPods)
        .filter(|s| pods(engine, s).iter().any(|p| asked.contains(p)))
        .flat_map(|s| s.ports.iter().filter(|p| p.protocol == protocol).map(move |p| (s, p)));
    let pod = *asked.first()?;
    let leads_to = |port: &ServicePort| pod_port(engine, port, pod);
    let asked_port = Traffic::Port(protocol, number);
    if ports.clone().any(|(_, p)| leads_to(p) == Some(asked_port)) {
        return None;
    }
    let (service, port) = ports.find(|(_, p)| p.port == number)?;
    let Service { namespace, name, .. } = service;
    let target = leads_to(port)?;
    Some(format!(
        "{number} is the port of Service {namespace}/{name}, its pods listen on {target}: \
         {namespace}/service/{name}:{number} asks about the Service"
    ))
}

/// Such as `http (TCP 80 to 8080)`.
fn port_text(port: &ServicePort) -> String {
    let ServicePort { name, protocol, port, target, .. } = port;
    let target = match target {
        TargetPort::Number(number) => number.to_string(),
        TargetPort::Name(name) => name.clone(),
    };
    match name {
        Some(name) => format!("{name} ({protocol} {port} to {target})"),
        None => format!("{protocol} {port} to {target}"),
    }
}

/// What a pod receives of a Service's port; `None` where it has no port of the target's name.
pub(crate) fn pod_port(engine: &Engine, port: &ServicePort, pod: PodId) -> Option<Traffic> {
    port.traffic_on(&engine.pod(pod)?.named_ports)
}

fn no_pods(service: &Service, called: &str) -> Complaint {
    match service.leads() {
        Leads::ExternalName => {
            Complaint::new(format!("{called} is another name for something outside (ExternalName)"))
                .help("give the address that it stands for, or external")
        }
        Leads::Elsewhere => {
            Complaint::new(format!("{called} has no selector: the manifests do not say where it leads"))
                .help("give the address of its endpoint, or external")
        }
        Leads::ToPods | Leads::Headless => {
            let selector = service.selector_in_force().into_iter().flatten();
            let labels: Vec<String> = selector.map(|(k, v)| format!("{k}={v}")).collect();
            Complaint::new(format!("{called} leads nowhere: no pod has the labels {}", labels.join(",")))
                .help("compare the Service's selector with the labels of the pod template")
        }
    }
}
