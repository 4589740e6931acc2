//! Which ends an assertion means. All that a selector says must hold.

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_policy::{Engine, Labels, Pod};

/// Which ends are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    pub(crate) external: bool,
    pub(crate) any: bool,
    pub(crate) address: Option<IpNet>,
    pub(crate) namespace: Option<String>,
    /// `name` or `kind/name`.
    pub(crate) workload: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) namespace_labels: Labels,
    pub(crate) zone: Option<Zone>,
    /// Beside the pods of the input those that could be created so.
    pub(crate) any_pod: bool,
    /// In namespaces that could be created too.
    pub(crate) new_namespaces: bool,
}

/// A zone: the label that says it, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) label: String,
    pub(crate) name: String,
}

impl Zone {
    /// The zone of a pod: what its own label says, else that of its namespace.
    pub(crate) fn of<'l>(label: &str, pod: &'l Labels, namespace: &'l Labels) -> Option<&'l str> {
        pod.get(label).or_else(|| namespace.get(label)).map(String::as_str)
    }
}

impl Selector {
    /// Whether a pod of the input is meant.
    pub(crate) fn means(&self, engine: &Engine, pod: &Pod) -> bool {
        self.any || self.is_of_pods() && self.fits(pod, &engine.namespace_labels(&pod.namespace))
    }

    /// Whether a pod is meant that is not there yet, nor perhaps its namespace.
    pub(super) fn means_new(&self, engine: &Engine, pod: &Pod, in_new_namespace: bool) -> bool {
        self.any_pod
            && (self.new_namespaces || !in_new_namespace)
            && self.fits(pod, &engine.namespace_labels(&pod.namespace))
    }

    /// Whether an address outside is meant.
    pub(crate) fn means_address(&self, address: IpAddr) -> bool {
        self.any || self.external || self.address.is_some_and(|net| net.contains(&address))
    }

    /// Whether pods of a namespace can be meant.
    pub(super) fn means_namespace(&self, name: &str, labels: &Labels) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| namespace == name)
            && has(labels, &self.namespace_labels)
    }

    /// Whether labels of a pod, in a namespace that is meant, are as they should be.
    pub(super) fn fits_labels(&self, labels: &Labels, namespace: &Labels) -> bool {
        let in_zone = |zone: &Zone| Zone::of(&zone.label, labels, namespace) == Some(zone.name.as_str());
        has(labels, &self.labels) && self.zone.as_ref().is_none_or(in_zone)
    }

    fn is_of_pods(&self) -> bool {
        !self.external && self.address.is_none()
    }

    fn fits(&self, pod: &Pod, namespace: &Labels) -> bool {
        let workload = &pod.workload;
        let is_named = |name: &String| {
            *name == workload.name || *name == format!("{}/{}", workload.kind.to_lowercase(), workload.name)
        };
        self.means_namespace(&pod.namespace, namespace)
            && self.workload.as_ref().is_none_or(is_named)
            && self.fits_labels(&pod.labels, namespace)
    }
}

fn has(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
