//! Where objects go once they are lowered: each name once, the later one for the earlier, as on a server.

use std::collections::{BTreeMap, HashMap};

use ringfence_policy::{ClusterPolicy, Namespace, NetworkPolicy};

use crate::inventory::{Gateway, Inventory, Route, Service, Workload};
use crate::lower::Lowered;
use crate::lower::context::Context;
use crate::node::Node;
use crate::parts::Object;
use crate::read::Manifest;
use crate::source::Span;

/// What an object is called: kind, namespace, name.
pub(crate) type Key = (String, String, String);

/// Kinds that decide nothing here, but tell which pods talk to the API server.
const RIGHTS: [&str; 4] = ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"];

/// Whether objects of a kind that is passed over are kept as they are written.
pub(crate) fn is_about_rights(kind: &str) -> bool {
    RIGHTS.contains(&kind)
}

fn as_written(kind: &str, node: Node, default_namespace: &str) -> Manifest {
    let metadata = |key: &str| node.get("metadata")?.get(key)?.as_str().filter(|text| !text.is_empty());
    let namespace = match kind.starts_with("Cluster") {
        true => "",
        false => metadata("namespace").unwrap_or(default_namespace),
    };
    let (namespace, name) = (namespace.to_owned(), metadata("name").unwrap_or_default().to_owned());
    Manifest { kind: kind.to_owned(), namespace, name, node }
}

/// Where lowered objects go; each name once.
pub(crate) struct Store<'r> {
    pub(crate) inventory: &'r mut Inventory,
    pub(crate) passed_over: &'r mut BTreeMap<String, usize>,
    pub(crate) manifests: &'r mut Vec<Manifest>,
    /// By name, the place in the inventory and where the name is written.
    pub(crate) seen: &'r mut HashMap<Key, (usize, Option<Span>)>,
    /// How often a name was met that the server completes.
    pub(crate) generated: &'r mut HashMap<Key, usize>,
    /// Where the priority of each cluster-wide policy of the inventory is written.
    pub(crate) priorities: &'r mut Vec<Option<Span>>,
}

impl Store<'_> {
    pub(crate) fn keep(&mut self, context: &mut Context<'_>, object: Object) {
        let Object { mut lowered, span, manifest, .. } = object;
        self.complete_name(&mut lowered);
        let (kind, meta) = match &lowered {
            Lowered::PassedOver(kind) => {
                *self.passed_over.entry(kind.clone()).or_default() += 1;
                let manifest = manifest.map(|node| as_written(kind, node, context.default_namespace));
                self.manifests.extend(manifest);
                return;
            }
            Lowered::Workload(workload, meta) => (workload.kind.as_str(), meta),
            Lowered::Service(_, meta) => ("Service", meta),
            Lowered::Route(route, meta) => (route.kind.as_str(), meta),
            Lowered::Gateway(_, meta) => ("Gateway", meta),
            Lowered::Namespace(_, meta) => ("Namespace", meta),
            Lowered::Node(_, meta) => ("Node", meta),
            Lowered::Policy(_, meta) => ("NetworkPolicy", meta),
            Lowered::ClusterPolicy(policy, meta, _) => (policy.name.kind.as_str(), meta),
        };
        let key = (kind.to_owned(), meta.namespace.clone(), meta.name.clone());
        if let Some(node) = manifest {
            let (kind, namespace, name) = key.clone();
            self.manifests.push(Manifest { kind, namespace, name, node });
        }
        let mut place =
            Place { seen: self.seen, key, is_generated: meta.is_generated, span: meta.span.or(span) };
        let inventory = &mut *self.inventory;
        match lowered {
            Lowered::PassedOver(_) => {}
            Lowered::Workload(workload, _) => {
                place.put(context, &mut inventory.workloads, workload);
            }
            Lowered::Service(service, _) => {
                place.put(context, &mut inventory.services, service);
            }
            Lowered::Route(route, _) => {
                place.put(context, &mut inventory.routes, route);
            }
            Lowered::Gateway(gateway, _) => {
                place.put(context, &mut inventory.gateways, gateway);
            }
            Lowered::Namespace(namespace, _) => {
                place.put(context, &mut inventory.namespaces, namespace);
            }
            Lowered::Node(node, _) => {
                place.put(context, &mut inventory.nodes, node);
            }
            Lowered::Policy(policy, _) => {
                place.put(context, &mut inventory.policies, policy);
            }
            Lowered::ClusterPolicy(policy, _, priority) => {
                let index = place.put(context, &mut inventory.cluster_policies, policy);
                self.priorities.resize(inventory.cluster_policies.len(), None);
                if let Some(place) = self.priorities.get_mut(index) {
                    *place = priority;
                }
            }
        }
    }
}

impl Store<'_> {
    /// The server completes a generated name. Policies are told apart by their names, and each is in force: the second
    /// and later of one name get a number in brackets, which no name can have, and so does the first where it could be
    /// a whole name, as it has no dash at its end.
    fn complete_name(&mut self, lowered: &mut Lowered) {
        let (kind, name, meta) = match lowered {
            Lowered::Policy(policy, meta) => ("NetworkPolicy", &mut policy.name.name, meta),
            Lowered::ClusterPolicy(policy, meta, _) => {
                (policy.name.kind.as_str(), &mut policy.name.name, meta)
            }
            _ => return,
        };
        if !meta.is_generated {
            return;
        }
        let key = (kind.to_owned(), meta.namespace.clone(), meta.name.clone());
        let count = self.generated.entry(key).or_default();
        *count += 1;
        if *count > 1 || !meta.name.ends_with('-') {
            *name = format!("{}({count})", meta.name);
            meta.name.clone_from(name);
        }
    }
}

/// Where one object goes.
struct Place<'r> {
    seen: &'r mut HashMap<Key, (usize, Option<Span>)>,
    key: Key,
    is_generated: bool,
    span: Option<Span>,
}

impl Place<'_> {
    /// Puts the object where an earlier one of this name is, as a server would, and says so. Gives its place.
    fn put<T: Alike>(&mut self, context: &mut Context<'_>, list: &mut Vec<T>, object: T) -> usize {
        let end = list.len();
        if self.is_generated {
            list.push(object);
            return end;
        }
        let Some((index, first)) = self.seen.get_mut(&self.key) else {
            self.seen.insert(self.key.clone(), (end, self.span));
            list.push(object);
            return end;
        };
        let (index, first) = (*index, std::mem::replace(first, self.span));
        let Some(earlier) = list.get_mut(index) else { return index };
        let (kind, namespace, name) = &self.key;
        let slash = if namespace.is_empty() { "" } else { "/" };
        let called = format!("{kind} {namespace}{slash}{name}");
        let help = Some("rename one of them, or remove it".to_owned());
        if earlier.is_like(&object) {
            context.warn("duplicate-name", self.span, format!("{called} is written twice, both alike"), help);
        } else {
            let message = format!("{called} is written twice: the later replaces the earlier");
            context.warn("duplicate-name", self.span, message, help);
        }
        context.related(first, "the earlier is here");
        *earlier = object;
        index
    }
}

/// Whether two objects differ at most in where they are written.
trait Alike {
    fn is_like(&self, other: &Self) -> bool;
}

impl Alike for Workload {
    fn is_like(&self, other: &Workload) -> bool {
        Workload { source: None, ..self.clone() } == Workload { source: None, ..other.clone() }
    }
}

impl Alike for Service {
    fn is_like(&self, other: &Service) -> bool {
        Service { source: None, ..self.clone() } == Service { source: None, ..other.clone() }
    }
}

impl Alike for Route {
    fn is_like(&self, other: &Route) -> bool {
        let bare = |route: &Route| {
            let mut route = Route { source: None, ..route.clone() };
            for backend in &mut route.backends {
                backend.source = None;
            }
            route
        };
        bare(self) == bare(other)
    }
}

impl Alike for Gateway {
    fn is_like(&self, other: &Gateway) -> bool {
        Gateway { source: None, ..self.clone() } == Gateway { source: None, ..other.clone() }
    }
}

impl Alike for Namespace {
    fn is_like(&self, other: &Namespace) -> bool {
        self == other
    }
}

impl Alike for ringfence_policy::Node {
    fn is_like(&self, other: &ringfence_policy::Node) -> bool {
        self == other
    }
}

impl Alike for NetworkPolicy {
    fn is_like(&self, other: &NetworkPolicy) -> bool {
        let bare = |policy: &NetworkPolicy| {
            let mut policy = NetworkPolicy { source: None, ..policy.clone() };
            for rule in policy.ingress.iter_mut().chain(policy.egress.iter_mut()).flatten() {
                rule.source = None;
            }
            policy
        };
        bare(self) == bare(other)
    }
}

impl Alike for ClusterPolicy {
    fn is_like(&self, other: &ClusterPolicy) -> bool {
        let bare = |policy: &ClusterPolicy| {
            let mut policy = ClusterPolicy { source: None, ..policy.clone() };
            for rule in policy.ingress.iter_mut().chain(policy.egress.iter_mut()) {
                rule.source = None;
            }
            policy
        };
        bare(self) == bare(other)
    }
}
