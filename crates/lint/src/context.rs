//! What every rule looks at: the inventory, the engine, and the text with its places.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_k8s::{Inventory, Manifest, Node, Place, Reading, Service, Sources, Span, Workload};
use ringfence_policy::{
    Direction, Engine, IpBlock, LabelSelector, Labels, NamespaceScope, Peer, Peers, Pod, PodId, Policy,
    PolicyId, PolicyName, Rule,
};

use crate::view::{ClusterView, PolicyView};
use crate::witness;

/// What the caller knows beside the manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The namespace that was asked for, which goes for objects that name none.
    pub namespace: Option<String>,
}

/// The inventory with the whole of it in view.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) engine: &'a Engine,
    pub(crate) sources: &'a Sources,
    pub(crate) options: Options,
    pub(crate) policies: Vec<PolicyView<'a>>,
    pub(crate) cluster_policies: Vec<ClusterView<'a>>,
    /// The pods that count, in the order of the engine.
    pub(crate) pods: Vec<PodView<'a>>,
    by_namespace: BTreeMap<String, Vec<usize>>,
    manifests: HashMap<(&'a str, &'a str, &'a str), &'a Node>,
    all_manifests: &'a [Manifest],
    /// What was asked for before.
    peers: Mutex<Matches>,
    scopes: Mutex<Scopes>,
    /// The Services before each pod.
    fronts: Vec<Vec<usize>>,
    by_name: HashMap<&'a PolicyName, usize>,
    /// The pods, less those on their node's network, by their addresses.
    pub(crate) addresses: BTreeSet<(IpAddr, usize)>,
    /// The labels of the namespaces with pods, the automatic one among them.
    labels: BTreeMap<String, Labels>,
}

/// The pods that peers match, by the policy's namespace where that matters.
type Matches = HashMap<Peer, HashMap<String, Arc<[usize]>>>;

/// The namespaces with pods that selectors match.
type Scopes = HashMap<LabelSelector, Arc<[String]>>;

/// A pod, or pods of one workload, and what it is made from.
#[derive(Debug)]
pub(crate) struct PodView<'a> {
    pub(crate) id: PodId,
    pub(crate) pod: Pod,
    pub(crate) workload: &'a Workload,
}

impl PodView<'_> {
    /// What people call it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.pod.namespace, self.pod.workload.name)
    }
}

impl<'a> Context<'a> {
    /// Puts together what was read, with the manifests kept, and the engine that was compiled from its inventory.
    pub fn new(reading: &'a Reading, engine: &'a Engine, options: Options) -> Context<'a> {
        let inventory = &reading.inventory;
        // Of two of one name the later is in force.
        let manifests: HashMap<_, _> = reading
            .manifests
            .iter()
            .map(|Manifest { kind, namespace, name, node }| {
                ((kind.as_str(), namespace.as_str(), name.as_str()), node)
            })
            .collect();
        let mut by_namespace: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut pods = Vec::new();
        for (workload, pod) in inventory.pods() {
            let Some(workload) = inventory.workloads.get(workload) else { continue };
            let place = pods.len();
            by_namespace.entry(pod.namespace.clone()).or_default().push(place);
            let id = PodId(u32::try_from(place).unwrap_or(u32::MAX));
            pods.push(PodView { id, pod, workload });
        }
        let labels = by_namespace.keys().map(|n| (n.clone(), engine.namespace_labels(n))).collect();
        let held = pods.iter().enumerate().filter(|(_, p): &(usize, &PodView<'_>)| !p.pod.host_network);
        let addresses =
            held.flat_map(|(place, p)| p.pod.addresses.iter().map(move |a| (*a, place))).collect();
        let mut context = Context {
            addresses,
            labels,
            inventory,
            engine,
            sources: &reading.sources,
            options,
            policies: Vec::new(),
            cluster_policies: Vec::new(),
            pods,
            by_namespace,
            manifests,
            all_manifests: &reading.manifests,
            peers: Mutex::default(),
            scopes: Mutex::default(),
            fronts: Vec::new(),
            by_name: inventory.policies.iter().enumerate().map(|(place, p)| (&p.name, place)).collect(),
        };
        context.fronts = vec![Vec::new(); context.pods.len()];
        for (place, service) in inventory.services.iter().enumerate() {
            for pod in context.behind(service) {
                if let Some(fronts) = context.fronts.get_mut(pod) {
                    fronts.push(place);
                }
            }
        }
        let policies = inventory.policies.iter().map(|policy| {
            let (host_subjects, subjects) = context
                .pods_of(&policy.name.namespace)
                .iter()
                .filter(|p| context.pod(**p).is_some_and(|p| policy.subject.matches(&p.pod.labels)))
                .partition(|p| context.pod(**p).is_some_and(|p| p.pod.host_network));
            let node = context.manifest("NetworkPolicy", &policy.name.namespace, &policy.name.name);
            PolicyView { policy, node, subjects, host_subjects }
        });
        let policies = policies.collect();
        let cluster_policies = inventory.cluster_policies.iter().map(|policy| ClusterView {
            policy,
            node: context.manifest(policy.name.kind.as_str(), "", &policy.name.name),
        });
        let cluster_policies = cluster_policies.collect();
        (context.policies, context.cluster_policies) = (policies, cluster_policies);
        context
    }

    pub(crate) fn pod(&self, place: usize) -> Option<&PodView<'a>> {
        self.pods.get(place)
    }

    /// The NetworkPolicy of a number, beside its text.
    pub(crate) fn view_of(&self, id: PolicyId) -> Option<&PolicyView<'a>> {
        match self.engine.policy(id)? {
            Policy::Network(policy) => self.policies.get(*self.by_name.get(&policy.name)?),
            Policy::Cluster(_) => None,
        }
    }

    /// The cluster-wide policy of a number, beside its text.
    pub(crate) fn cluster_view_of(&self, id: PolicyId) -> Option<&ClusterView<'a>> {
        match self.engine.policy(id)? {
            Policy::Cluster(policy) => self.cluster_policies.iter().find(|v| v.policy.name == policy.name),
            Policy::Network(_) => None,
        }
    }

    /// The pods of a namespace, those on their node's network too.
    pub(crate) fn pods_of(&self, namespace: &str) -> &[usize] {
        self.by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The namespaces with pods.
    pub(crate) fn inhabited(&self) -> impl Iterator<Item = &str> {
        self.by_namespace.keys().map(String::as_str)
    }

    /// The pods that policies can hold, of these.
    pub(crate) fn views<'c>(&'c self, places: &'c [usize]) -> impl Iterator<Item = &'c PodView<'a>> {
        places.iter().filter_map(|p| self.pod(*p))
    }

    /// Whether a peer's namespaces hold one.
    pub(crate) fn in_scope(&self, scope: &NamespaceScope, own: &str, namespace: &str) -> bool {
        match scope {
            NamespaceScope::Own => own == namespace,
            NamespaceScope::Matching(selector) => match self.labels.get(namespace) {
                Some(labels) => selector.matches(labels),
                None => selector.matches(&self.engine.namespace_labels(namespace)),
            },
        }
    }

    /// The namespaces with pods that a selector matches.
    pub(crate) fn matching_namespaces(&self, selector: &LabelSelector) -> Arc<[String]> {
        let known = || self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(selector) {
            return known.clone();
        }
        let matching = self.labels.iter().filter(|(_, labels)| selector.matches(labels));
        let matching: Arc<[String]> = matching.map(|(name, _)| name.clone()).collect();
        known().insert(selector.clone(), matching.clone());
        matching
    }

    /// The namespaces with pods that a peer looks in.
    pub(crate) fn scope(&self, scope: &NamespaceScope, own: &str) -> Arc<[String]> {
        match scope {
            NamespaceScope::Own if self.by_namespace.contains_key(own) => Arc::from([own.to_owned()]),
            NamespaceScope::Own => Arc::from([]),
            NamespaceScope::Matching(selector) => self.matching_namespaces(selector),
        }
    }

    /// The pods that a peer of selectors matches; none on their node's network.
    pub(crate) fn matched(&self, own: &str, peer: &Peer) -> Arc<[usize]> {
        let Peer::Pods { namespaces, pods } = peer else { return Arc::from([]) };
        let own = if *namespaces == NamespaceScope::Own { own } else { "" };
        let known = || self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(peer).and_then(|by_own| by_own.get(own)) {
            return known.clone();
        }
        let is_matched = |p: &PodView<'_>| !p.pod.host_network && pods.matches(&p.pod.labels);
        let scope = self.scope(namespaces, own);
        let places = scope.iter().flat_map(|n| self.pods_of(n)).copied();
        let matched: Arc<[usize]> = places.filter(|p| self.pod(*p).is_some_and(is_matched)).collect();
        known().entry(peer.clone()).or_default().insert(own.to_owned(), matched.clone());
        matched
    }

    /// The pods with an address in a block.
    pub(crate) fn inside<'c>(&'c self, block: &'c IpBlock) -> impl Iterator<Item = usize> + 'c {
        let range =
            self.addresses.range((block.cidr().network(), 0)..=(block.cidr().broadcast(), usize::MAX));
        range.filter(|(address, _)| block.contains(*address)).map(|(_, place)| *place)
    }

    /// Whether every namespace that a selector matches, those included that are not here, is matched by another, as far as
    /// can be told. Those that are asked for by name have labels that are known.
    pub(crate) fn is_namespace_within(&self, narrow: &LabelSelector, wide: &LabelSelector) -> bool {
        let matches = |name: &&String| wide.matches(&self.engine.namespace_labels(name));
        witness::is_within(narrow, wide)
            || witness::names(narrow).is_some_and(|names| names.iter().all(matches))
    }

    /// The object as it is written.
    pub(crate) fn manifest(&self, kind: &str, namespace: &str, name: &str) -> Option<&'a Node> {
        self.manifests.get(&(kind, namespace, name)).copied()
    }

    /// Every object as it is written, in order.
    pub(crate) fn all_manifests(&self) -> &'a [Manifest] {
        self.all_manifests
    }

    /// Whether a namespace is written here, so that its labels are known.
    pub(crate) fn is_declared(&self, namespace: &str) -> bool {
        self.manifest("Namespace", "", namespace).is_some()
    }

    pub(crate) fn workload_manifest(&self, workload: &Workload) -> Option<&'a Node> {
        self.manifest(&workload.kind, &workload.namespace, &workload.name)
    }

    /// The `spec` of a workload's pods as it is written.
    pub(crate) fn pod_spec(&self, workload: &Workload) -> Option<&'a Node> {
        let spec = self.workload_manifest(workload)?.get("spec")?;
        match workload.kind.as_str() {
            "Pod" => Some(spec),
            "CronJob" => spec.get("jobTemplate")?.get("spec")?.get("template")?.get("spec"),
            _ => spec.get("template")?.get("spec"),
        }
    }

    pub(crate) fn place(&self, span: Option<Span>) -> Option<Place> {
        span.and_then(|s| self.sources.place(s))
    }

    /// The Services before a pod.
    pub(crate) fn fronts(&self, pod: usize) -> impl Iterator<Item = &'a Service> {
        let services = self.fronts.get(pod).map_or(&[][..], Vec::as_slice);
        services.iter().filter_map(|s| self.inventory.services.get(*s))
    }

    /// The pods that receive what a rule is about, as far as selectors name them.
    pub(crate) fn receivers(&self, view: &PolicyView<'_>, direction: Direction, rule: &Rule) -> Vec<usize> {
        match (direction, &rule.peers) {
            (Direction::Ingress, _) => view.subjects.clone(),
            (Direction::Egress, Peers::Any) => Vec::new(),
            (Direction::Egress, Peers::Of(peers)) => {
                let all: BTreeSet<usize> =
                    peers.iter().flat_map(|p| self.matched(view.namespace(), p).to_vec()).collect();
                all.into_iter().collect()
            }
        }
    }

    /// The pods that a Service selects, if it selects any by itself.
    pub(crate) fn behind(&self, service: &Service) -> Vec<usize> {
        let selected = |p: &PodView<'_>| service.selects(&p.pod.namespace, &p.pod.labels);
        let pods = self.pods_of(&service.namespace).iter().copied();
        pods.filter(|p| self.pod(*p).is_some_and(selected)).collect()
    }
}

/// The names of some pods, the first few of them: `shop/web, shop/api and 3 more`.
pub(crate) fn names<'p, 'a: 'p>(pods: impl IntoIterator<Item = &'p PodView<'a>>) -> String {
    let mut names: Vec<String> = pods.into_iter().map(PodView::name).collect();
    names.sort_unstable();
    names.dedup();
    let rest = names.len().saturating_sub(3);
    names.truncate(3);
    match rest {
        0 => names.join(", "),
        rest => format!("{} and {rest} more", names.join(", ")),
    }
}
