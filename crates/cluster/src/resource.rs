//! What is asked of an API server, and what for.

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// The group and version as in URLs, such as `apis/apps/v1`.
    pub api: &'static str,
    /// The kind in the plural, as in URLs.
    pub plural: &'static str,
    /// Whether objects of it are in namespaces.
    pub namespaced: bool,
    /// What it is needed for.
    pub need: Need,
}

/// What a kind of object is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Without it verdicts would be wrong.
    Verdicts,
    /// Without it a cluster that has it would be answered for wrongly; many clusters do not have it.
    VerdictsWhereThere,
    /// It tells what pods belong to, and what Services lead to.
    Names,
}

/// Everything that is asked for. What comes first is not needed for what comes later.
pub const RESOURCES: [Resource; 16] = [
    cluster("api/v1", "namespaces", Need::Verdicts),
    cluster("api/v1", "nodes", Need::Verdicts),
    namespaced("api/v1", "pods", Need::Verdicts),
    namespaced("apis/networking.k8s.io/v1", "networkpolicies", Need::Verdicts),
    cluster("apis/policy.networking.k8s.io/v1alpha2", "clusternetworkpolicies", Need::VerdictsWhereThere),
    cluster("apis/policy.networking.k8s.io/v1alpha1", "adminnetworkpolicies", Need::VerdictsWhereThere),
    cluster(
        "apis/policy.networking.k8s.io/v1alpha1",
        "baselineadminnetworkpolicies",
        Need::VerdictsWhereThere,
    ),
    namespaced("api/v1", "services", Need::Names),
    namespaced("api/v1", "replicationcontrollers", Need::Names),
    namespaced("apis/apps/v1", "deployments", Need::Names),
    namespaced("apis/apps/v1", "replicasets", Need::Names),
    namespaced("apis/apps/v1", "statefulsets", Need::Names),
    namespaced("apis/apps/v1", "daemonsets", Need::Names),
    namespaced("apis/batch/v1", "jobs", Need::Names),
    namespaced("apis/batch/v1", "cronjobs", Need::Names),
    namespaced("apis/networking.k8s.io/v1", "ingresses", Need::Names),
];

const fn cluster(api: &'static str, plural: &'static str, need: Need) -> Resource {
    Resource { api, plural, namespaced: false, need }
}

const fn namespaced(api: &'static str, plural: &'static str, need: Need) -> Resource {
    Resource { api, plural, namespaced: true, need }
}

impl Resource {
    /// The API group, empty for the core's.
    pub fn group(&self) -> &'static str {
        let mut parts = self.api.split('/');
        match (parts.next(), parts.next()) {
            (Some("apis"), Some(group)) => group,
            _ => "",
        }
    }

    /// The path of the list of all of them.
    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.api, self.plural)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_groups() {
        let find = |plural: &str| RESOURCES.iter().find(|r| r.plural == plural).unwrap();
        assert_eq!((find("pods").path().as_str(), find("pods").group()), ("/api/v1/pods", ""));
        let policies = find("networkpolicies");
        assert_eq!(policies.path(), "/apis/networking.k8s.io/v1/networkpolicies");
        assert_eq!(policies.group(), "networking.k8s.io");
    }
}
