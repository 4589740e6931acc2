//! What is asked of an API server, and what for: decided from what it serves, before any object is asked for.

use ringfence_k8s::kinds::{KINDS, Kind, Meaning, group, is_policy, meaning};

use crate::discovery::Served;

/// A list to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The API version, such as `apps/v1`.
    pub(crate) version: String,
    /// The kind in the plural, as in URLs.
    pub(crate) plural: String,
    /// Whether objects of it are in namespaces.
    pub(crate) namespaced: bool,
    /// What it is needed for.
    pub(crate) need: Need,
    /// Other versions in which its objects are served and which are not read: what only those can say is not seen.
    pub(crate) unread: Vec<String>,
}

/// What a kind of object is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Without it verdicts would be wrong.
    Verdicts,
    /// It tells what pods belong to, what Services lead to, and what is reached from outside.
    Names,
    /// Another product's policies: whether there are any at all.
    Warning,
}

/// The core's kinds that are read, which every API server has.
const CORE: [(&str, &str, bool); 5] = [
    ("Namespace", "namespaces", false),
    ("Node", "nodes", false),
    ("Pod", "pods", true),
    ("Service", "services", true),
    ("ReplicationController", "replicationcontrollers", true),
];

/// What is asked for, and what is said of what cannot be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In the order in which it is asked for; of one kind in one version only.
    pub(crate) resources: Vec<Resource>,
    /// What is served but not read, and what that means.
    pub(crate) notes: Vec<String>,
}

/// What to ask for where this is served.
pub(crate) fn plan(served: &[Served]) -> Plan {
    let mut plan = Plan::default();
    for (kind, plural, namespaced) in CORE {
        let (version, plural, unread) = ("v1".to_owned(), plural.to_owned(), Vec::new());
        plan.resources.push(Resource { version, plural, namespaced, need: need(kind), unread });
    }
    for kind in KINDS.iter().filter(|kind| !kind.versions.contains(&"v1")) {
        plan.known(kind, served);
    }
    plan.others(served);
    plan
}

/// What a kind that is read is needed for.
fn need(kind: &str) -> Need {
    if is_policy(kind) || matches!(kind, "Namespace" | "Node" | "Pod") { Need::Verdicts } else { Need::Names }
}

impl Plan {
    /// A kind that is read, in the best of the versions that are served.
    fn known(&mut self, kind: &'static Kind, served: &[Served]) {
        let of_kind = || served.iter().filter(|s| s.kind == kind.name);
        let (need, read) =
            (need(kind.name), |s: &Served| matches!(meaning(&s.version, &s.kind), Meaning::Read(_)));
        let best = kind.versions.iter().find_map(|version| of_kind().find(|s| s.version == *version));
        let unread: Vec<&Served> = of_kind().filter(|s| is_its_group(kind, s) && !read(s)).collect();
        match (best, unread.first()) {
            (Some(best), _) => {
                let unread = unread.iter().filter(|_| need == Need::Verdicts).map(|s| s.version.clone());
                self.resources.push(Resource { unread: unread.collect(), ..best.asked(need) });
            }
            // What a policy says in a version that is not read, the reader of manifests refuses.
            (None, Some(first)) if need == Need::Verdicts => self.resources.push(first.asked(need)),
            (None, Some(first)) => self.notes.push(format!(
                "{} are served in {} only, which is not read: they are left out",
                called(&first.version, &first.plural),
                first.version,
            )),
            // Every API server has these, so they are asked for and missed.
            (None, None) if kind.name == "NetworkPolicy" => {
                let (version, plural) = (
                    kind.versions.first().copied().unwrap_or_default().to_owned(),
                    "networkpolicies".to_owned(),
                );
                self.resources.push(Resource { version, plural, namespaced: true, need, unread: Vec::new() });
            }
            (None, None) => {}
        }
    }

    /// Policies of kinds that are not read: those of Kubernetes itself the reader refuses, for others it warns.
    fn others(&mut self, served: &[Served]) {
        for (at, one) in served.iter().enumerate() {
            let need = match meaning(&one.version, &one.kind) {
                Meaning::UnknownPolicy => Need::Verdicts,
                Meaning::OtherVersion(kind) if is_policy(kind.name) && !is_its_group(kind, one) => {
                    Need::Verdicts
                }
                Meaning::ForeignPolicy => Need::Warning,
                _ => continue,
            };
            // In the version that comes first, which is the one that the server prefers.
            let is_same = |s: &Served| s.kind == one.kind && group(&s.version) == group(&one.version);
            if !served.iter().take(at).any(is_same) {
                self.resources.push(one.asked(need));
            }
        }
    }
}

/// Whether a kind is served in a group that it is or was in. In others there are kinds of the same name.
fn is_its_group(kind: &Kind, served: &Served) -> bool {
    kind.versions.iter().any(|version| group(version) == group(&served.version))
}

impl Served {
    fn asked(&self, need: Need) -> Resource {
        let Served { version, plural, namespaced, .. } = self.clone();
        Resource { version, plural, namespaced, need, unread: Vec::new() }
    }
}

impl Resource {
    /// The path of the list of all of them, or of those in a namespace.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let Resource { version, plural, .. } = self;
        let root = if version.contains('/') { "apis" } else { "api" };
        match namespace {
            Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("/{root}/{version}/{plural}"),
        }
    }

    /// As kubectl and roles name it, such as `deployments.apps`.
    pub(crate) fn name(&self) -> String {
        called(&self.version, &self.plural)
    }
}

fn called(version: &str, plural: &str) -> String {
    match group(version) {
        "" => plural.to_owned(),
        group => format!("{plural}.{group}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(all: &[(&str, &str)]) -> Vec<Served> {
        let one = |(version, kind): &(&str, &str)| Served {
            version: (*version).to_owned(),
            kind: (*kind).to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
            namespaced: true,
        };
        all.iter().map(one).collect()
    }

    /// What is asked for beyond what every cluster is asked for, and the notes.
    #[track_caller]
    fn check(all: &[(&str, &str)], resources: &[&str], notes: &[&str]) {
        let plan = plan(&served(all));
        let lists = plan.resources.iter().filter(|r| r.version != "v1").map(|r| {
            let unread: String = r.unread.iter().map(|version| format!(", not {version}")).collect();
            format!("{} {:?}{unread}", r.path(None), r.need)
        });
        let lists: Vec<String> =
            lists.filter(|l| l != "/apis/networking.k8s.io/v1/networkpolicies Verdicts").collect();
        assert_eq!(
            (lists, plan.notes),
            (
                resources.iter().map(|r| (*r).to_owned()).collect(),
                notes.iter().map(|n| (*n).to_owned()).collect()
            )
        );
    }

    #[test]
    fn what_every_cluster_has() {
        let plan = plan(&[]);
        let paths: Vec<String> = plan.resources.iter().map(|r| r.path(None)).collect();
        let core = ["namespaces", "nodes", "pods", "services", "replicationcontrollers"]
            .map(|p| format!("/api/v1/{p}"));
        assert_eq!(paths, [&core[..], &["/apis/networking.k8s.io/v1/networkpolicies".to_owned()]].concat());
        let named = |plural: &str| plan.resources.iter().find(|r| r.plural == plural).unwrap();
        assert_eq!(named("pods").path(Some("shop")), "/api/v1/namespaces/shop/pods");
        assert_eq!((named("pods").name().as_str(), named("pods").need), ("pods", Need::Verdicts));
        assert_eq!(named("networkpolicies").name(), "networkpolicies.networking.k8s.io");
    }

    #[test]
    fn one_version_of_each_kind_the_newest_that_is_read() {
        check(
            &[("extensions/v1beta1", "Ingress"), ("networking.k8s.io/v1", "Ingress")],
            &["/apis/networking.k8s.io/v1/ingresss Names"],
            &[],
        );
        check(&[("batch/v1beta1", "CronJob")], &["/apis/batch/v1beta1/cronjobs Names"], &[]);
        check(
            &[("batch/v2", "CronJob")],
            &[],
            &["cronjobs.batch are served in batch/v2 only, which is not read: they are left out"],
        );
        let gateways = "gateway.networking.k8s.io";
        check(
            &[
                (&format!("{gateways}/v1alpha2"), "TCPRoute"),
                (&format!("{gateways}/v1"), "Gateway"),
                ("networking.istio.io/v1", "Gateway"),
            ],
            &[
                &format!("/apis/{gateways}/v1/gateways Names"),
                &format!("/apis/{gateways}/v1alpha2/tcproutes Names"),
            ],
            &[],
        );
    }

    #[test]
    fn policies_in_versions_and_of_kinds_that_are_not_read() {
        let group = "policy.networking.k8s.io";
        let (old, new) = (format!("{group}/v1alpha2"), format!("{group}/v1beta1"));
        check(
            &[(&new, "ClusterNetworkPolicy"), (&old, "ClusterNetworkPolicy")],
            &[&format!("/apis/{group}/v1alpha2/clusternetworkpolicys Verdicts, not {group}/v1beta1")],
            &[],
        );
        check(
            &[(&new, "ClusterNetworkPolicy")],
            &[&format!("/apis/{new}/clusternetworkpolicys Verdicts")],
            &[],
        );
        check(&[(&new, "TenantPolicy")], &[&format!("/apis/{new}/tenantpolicys Verdicts")], &[]);
    }

    #[test]
    fn other_products_policies_once() {
        check(
            &[
                ("cilium.io/v2", "CiliumNetworkPolicy"),
                ("cilium.io/v2alpha1", "CiliumNetworkPolicy"),
                ("cilium.io/v2", "CiliumIdentity"),
                ("crd.projectcalico.org/v1", "NetworkPolicy"),
            ],
            &[
                "/apis/cilium.io/v2/ciliumnetworkpolicys Warning",
                "/apis/crd.projectcalico.org/v1/networkpolicys Warning",
            ],
            &[],
        );
    }
}
