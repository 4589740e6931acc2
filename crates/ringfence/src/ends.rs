//! The ends of a connection, as typed, found among what was read.

use std::fmt::Write;
use std::net::IpAddr;

use ringfence_k8s::{Inventory, Service};
use ringfence_policy::{Engine, PodId};

use crate::complaint::Complaint;
use crate::reference::{Reference, Referrer};

/// What stands for all outside addresses.
const EXTERNAL: &str = "external";

/// An end of a connection.
#[derive(Debug)]
pub(crate) enum End<'i> {
    /// The pods of a workload, or one of them.
    Pods(Reference, Vec<PodId>),
    /// A Service: whatever it leads to.
    Service(&'i Service),
    /// An address.
    Address(IpAddr),
    /// All outside addresses.
    External,
}

/// All that can be named.
#[derive(Debug)]
pub(crate) struct Catalog<'i> {
    default_namespace: &'i str,
    entries: Vec<Entry<'i>>,
    /// Scaled to nothing: known, but no end.
    idle: Vec<(&'i str, &'i str, &'i str)>,
}

#[derive(Debug)]
struct Entry<'i> {
    namespace: &'i str,
    kind: &'i str,
    name: &'i str,
    is: Named<'i>,
}

#[derive(Debug)]
enum Named<'i> {
    Pods(Reference, Vec<PodId>),
    Service(&'i Service),
}

impl<'i> Catalog<'i> {
    pub(crate) fn new(
        engine: &'i Engine,
        inventory: &'i Inventory,
        default_namespace: &'i str,
    ) -> Catalog<'i> {
        let referrer = Referrer::new(engine);
        let mut entries: Vec<Entry<'i>> = Vec::new();
        let pods = || engine.pods();
        let mut workloads: std::collections::BTreeMap<_, Vec<PodId>> = Default::default();
        for (id, pod) in pods() {
            workloads.entry((&pod.namespace, &pod.workload)).or_default().push(id);
        }
        for ((namespace, workload), ids) in &workloads {
            let reference = referrer.workload(namespace, workload, ids, true);
            let is = Named::Pods(reference, ids.clone());
            entries.push(Entry { namespace, kind: &workload.kind, name: &workload.name, is });
        }
        for (id, pod) in pods().filter(|(_, p)| p.workload.name != p.name) {
            let reference = referrer.workload(&pod.namespace, &pod.workload, &[id], false);
            let is = Named::Pods(reference, vec![id]);
            entries.push(Entry { namespace: &pod.namespace, kind: "Pod", name: &pod.name, is });
        }
        for service in &inventory.services {
            let is = Named::Service(service);
            entries.push(Entry { namespace: &service.namespace, kind: "Service", name: &service.name, is });
        }
        let idle = inventory.workloads.iter().filter(|w| w.replicas == 0);
        Catalog {
            default_namespace,
            entries,
            idle: idle.map(|w| (w.namespace.as_str(), w.kind.as_str(), w.name.as_str())).collect(),
        }
    }

    /// The end that a text names.
    pub(crate) fn find(&self, text: &str) -> Result<End<'i>, Complaint> {
        if text == EXTERNAL {
            return Ok(End::External);
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(End::Address(address));
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|p| p.is_empty()) || parts.len() > 3 {
            return Err(Complaint::new(format!("`{text}` is not an end of a connection")).help(
                "write NAMESPACE/NAME or NAMESPACE/KIND/NAME, an address, or external (any outside address)",
            ));
        }
        let readings = self.readings(&parts);
        let found: Vec<&Entry<'i>> =
            self.entries.iter().filter(|e| readings.iter().any(|r| r.matches(e))).collect();
        let (services, pods): (Vec<&Entry<'i>>, Vec<&Entry<'i>>) =
            found.iter().copied().partition(|e| matches!(e.is, Named::Service(_)));
        match (pods.as_slice(), services.as_slice()) {
            ([one], _) | ([], [one]) => Ok(match &one.is {
                Named::Pods(reference, pods) => End::Pods(reference.clone(), pods.clone()),
                Named::Service(service) => End::Service(service),
            }),
            ([], []) => Err(self.unknown(text, &readings)),
            _ => {
                let mut names: Vec<String> = found.iter().map(|e| e.full_name()).collect();
                names.sort();
                Err(Complaint::new(format!("`{text}` can mean more than one thing"))
                    .help(format!("write one of: {}", names.join(", "))))
            }
        }
    }

    /// What the parts of a name can mean. Two parts are namespace and name, or kind and name.
    fn readings<'t>(&'t self, parts: &[&'t str]) -> Vec<NameReading<'t>> {
        let reading = |namespace, kind, name| NameReading { namespace, kind, name };
        match parts {
            [name] => vec![reading(self.default_namespace, None, name)],
            [first, name] => {
                let mut readings = vec![reading(first, None, name)];
                if self.is_kind(first) {
                    readings.push(reading(self.default_namespace, Some(first), name));
                }
                readings
            }
            [namespace, kind, name] => vec![reading(namespace, Some(kind), name)],
            _ => Vec::new(),
        }
    }

    fn is_kind(&self, word: &str) -> bool {
        let kind = full_kind(word);
        SHORT_KINDS.iter().any(|(_, known)| *known == kind)
            || self.entries.iter().any(|e| e.kind.eq_ignore_ascii_case(&kind))
    }

    fn unknown(&self, text: &str, readings: &[NameReading<'_>]) -> Complaint {
        let idle = self
            .idle
            .iter()
            .find(|(namespace, kind, name)| readings.iter().any(|r| r.is(namespace, kind, name)));
        if let Some((namespace, kind, name)) = idle {
            return Complaint::new(format!(
                "{namespace}/{}/{name} is scaled to 0: it has no pods",
                kind.to_lowercase()
            ))
            .help("give it replicas to ask what its pods could reach");
        }
        let meant = readings.first().map(NameReading::text).unwrap_or_else(|| text.to_owned());
        let mut complaint = Complaint::new(format!("nothing in the manifests is called `{meant}`"));
        let near = self.near_misses(readings);
        if !near.is_empty() {
            complaint = complaint.help(format!("did you mean {}?", near.join(" or ")));
        } else if self.entries.is_empty() {
            complaint = complaint.help("the manifests have no workloads and no Services");
        } else if let Some(reading) = readings.first()
            && !self.entries.iter().any(|e| e.namespace == reading.namespace)
        {
            let mut namespaces: Vec<&str> = self.entries.iter().map(|e| e.namespace).collect();
            namespaces.sort_unstable();
            namespaces.dedup();
            complaint = complaint.help(format!(
                "nothing is in namespace `{}`; there are: {}",
                reading.namespace,
                some_of(&namespaces)
            ));
        } else {
            complaint = complaint.help("`ringfence map` lists what can be named");
        }
        complaint
    }

    /// Whether this is a Service that has its name from a workload.
    fn is_hidden(&self, entry: &Entry<'_>) -> bool {
        let same_name = |e: &&Entry<'_>| e.namespace == entry.namespace && e.name == entry.name;
        let workload = |e: &Entry<'_>| matches!(e.is, Named::Pods(..));
        !workload(entry) && self.entries.iter().filter(same_name).any(workload)
    }

    /// The names that come nearest, the nearest first: the same name elsewhere, or one with a slip of the finger.
    fn near_misses(&self, readings: &[NameReading<'_>]) -> Vec<String> {
        const SHOWN: usize = 3;
        let mut near: Vec<(usize, bool, String)> = Vec::new();
        for reading in readings {
            for entry in self.entries.iter().filter(|e| reading.kind.is_some() || !self.is_hidden(e)) {
                let name = distance(reading.name, entry.name);
                let namespace = distance(reading.namespace, entry.namespace);
                let kind =
                    usize::from(reading.kind.is_some_and(|k| !full_kind(k).eq_ignore_ascii_case(entry.kind)));
                let by_name = name.map(|n| n + kind + namespace.unwrap_or(1).min(1));
                if let Some(total) = by_name.filter(|_| name == Some(0) || namespace.is_some()) {
                    near.push((total, matches!(entry.is, Named::Service(_)), entry.short_name()));
                }
            }
        }
        near.sort();
        near.dedup();
        near.into_iter().map(|(_, _, name)| name).take(SHOWN).collect()
    }
}

impl Entry<'_> {
    fn full_name(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.kind.to_lowercase(), self.name)
    }

    fn short_name(&self) -> String {
        match &self.is {
            Named::Pods(reference @ Reference::Workload { pods: None, .. }, _) => reference.text(),
            _ => self.full_name(),
        }
    }
}

/// One thing that a typed name can mean.
#[derive(Debug, Clone, Copy)]
struct NameReading<'t> {
    namespace: &'t str,
    kind: Option<&'t str>,
    name: &'t str,
}

impl NameReading<'_> {
    fn matches(&self, entry: &Entry<'_>) -> bool {
        self.is(entry.namespace, entry.kind, entry.name)
    }

    fn is(&self, namespace: &str, kind: &str, name: &str) -> bool {
        self.namespace == namespace
            && self.name == name
            && self.kind.is_none_or(|k| full_kind(k).eq_ignore_ascii_case(kind))
    }

    fn text(&self) -> String {
        match self.kind {
            Some(kind) => format!("{}/{}/{}", self.namespace, full_kind(kind).to_lowercase(), self.name),
            None => format!("{}/{}", self.namespace, self.name),
        }
    }
}

/// The short names and plurals that kubectl takes.
const SHORT_KINDS: [(&[&str], &str); 9] = [
    (&["po", "pod", "pods"], "pod"),
    (&["deploy", "deployment", "deployments"], "deployment"),
    (&["sts", "statefulset", "statefulsets"], "statefulset"),
    (&["ds", "daemonset", "daemonsets"], "daemonset"),
    (&["rs", "replicaset", "replicasets"], "replicaset"),
    (&["rc", "replicationcontroller", "replicationcontrollers"], "replicationcontroller"),
    (&["job", "jobs"], "job"),
    (&["cj", "cronjob", "cronjobs"], "cronjob"),
    (&["svc", "service", "services"], "service"),
];

fn full_kind(word: &str) -> String {
    let word = word.to_ascii_lowercase();
    let known = SHORT_KINDS.iter().find(|(names, _)| names.contains(&word.as_str()));
    known.map_or(word, |(_, kind)| (*kind).to_owned())
}

/// How many slips apart two names are; `None` where that is too far for a slip.
fn distance(a: &str, b: &str) -> Option<usize> {
    let distance = strsim::osa_distance(a, b);
    let longest = a.chars().count().max(b.chars().count());
    (distance <= (longest / 3).clamp(1, 3)).then_some(distance)
}

/// The first few of a list, and how many more there are.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}
