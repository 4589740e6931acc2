//! A namespace's policies on trial: an engine of their own, with and without a policy or a rule.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ringfence_policy::model::NAMESPACE_NAME_LABEL;
use ringfence_policy::{
    Change, Direction, End, Engine, Identity, LabelSelector, Labels, Namespace, NamespaceScope,
    NetworkPolicy, Peer, Peers, PodId, Policy, PortMatch, PortRef, PortSet, Ports, Rule, World,
};

use super::cover::peers_of;
use crate::context::Context;
use crate::view::PolicyView;
use crate::witness;

/// A small world of one namespace's policies, from which policies and rules are taken on trial: its pods, one pod of each
/// kind that its peers can tell apart, and pods as its selectors ask for them.
pub(super) struct Trial<'a> {
    engine: Engine,
    /// The numbers here of the context's pods.
    numbers: BTreeMap<usize, PodId>,
    /// The pods here that a peer matches, in the order of the context.
    matched: HashMap<&'a Peer, Vec<PodId>>,
    /// A pod as a subject or a peer asks for it; `None` where a selector contradicts itself.
    subjects: HashMap<&'a LabelSelector, Option<PodId>>,
    peers: HashMap<&'a Peer, Option<PodId>>,
    /// The policies as they are now, where rules were taken from them.
    now: BTreeMap<&'a str, NetworkPolicy>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(context: &Context<'a>, views: &[&PolicyView<'a>]) -> Trial<'a> {
        let own = views.first().map_or("", |v| v.namespace());
        let rules = || views.iter().flat_map(|v| Direction::ALL.into_iter().flat_map(|d| v.rules(d)));
        let mut peers: Vec<&'a Peer> = rules().flat_map(peers_of).collect();
        peers.sort_unstable();
        peers.dedup();
        let mut kinds: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, peer) in peers.iter().enumerate() {
            let pods: Vec<usize> = match peer {
                // Everybody is no kind of its own.
                Peer::Block(block) if block.is_everyone() => continue,
                Peer::Block(block) => context.inside(block).collect(),
                Peer::Pods { .. } => context.matched(own, peer).to_vec(),
            };
            for pod in pods {
                let kind = kinds.entry(pod).or_default();
                if kind.last() != Some(&number) {
                    kind.push(number);
                }
            }
        }
        let mut world = World {
            policies: views.iter().map(|v| v.policy.clone()).collect(),
            cluster_policies: context.inventory.cluster_policies.clone(),
            nodes: context.inventory.nodes.clone(),
            pod_cidrs: context.engine.pod_cidrs().to_vec(),
            ..World::default()
        };
        let mut numbers = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut matched: HashMap<&Peer, Vec<PodId>> = HashMap::new();
        for place in context.pods_of(own).iter().chain(kinds.keys()) {
            let Some(pod) = context.pod(*place).filter(|p| !p.pod.host_network) else { continue };
            let kind = kinds.get(place).cloned().unwrap_or_default();
            let beyond =
                (!context.cluster_policies.is_empty()).then(|| context.engine.identity(End::Pod(pod.id)));
            let is_new =
                seen.insert((kind.clone(), pod.pod.named_ports.clone(), pod.pod.addresses.len(), beyond));
            if !is_new && pod.pod.namespace != own || numbers.contains_key(place) {
                continue;
            }
            let id = number(world.pods.len());
            numbers.insert(*place, id);
            for peer in kind.iter().filter_map(|n| peers.get(*n)) {
                matched.entry(peer).or_default().push(id);
            }
            world.pods.push(pod.pod.clone());
        }
        let mut trial = Trial {
            engine: Engine::new(World::default()),
            numbers,
            matched,
            subjects: HashMap::new(),
            peers: HashMap::new(),
            now: BTreeMap::new(),
        };
        for view in views {
            let pod = witness::labels(&view.policy.subject).map(|labels| (own.to_owned(), labels));
            let id = pod.map(|pod| add(&mut world, pod));
            trial.subjects.insert(&view.policy.subject, id);
        }
        for peer in peers {
            let id = peer_witness(&mut world, own, peer).map(|pod| add(&mut world, pod));
            trial.peers.insert(peer, id);
        }
        let known: BTreeSet<String> = world.namespaces.iter().map(|n| n.name.clone()).collect();
        let inhabited: BTreeSet<&str> = world.pods.iter().map(|p| p.namespace.as_str()).collect();
        let others = inhabited.into_iter().filter(|n| !known.contains(*n));
        let others =
            others.map(|n| Namespace { name: n.to_owned(), labels: context.engine.namespace_labels(n) });
        let others: Vec<Namespace> = others.collect();
        world.namespaces.extend(others);
        trial.engine = Engine::new(world);
        trial
    }

    /// Whether the policy, or one rule of it, may go without any change. Then it is gone from now on.
    pub(super) fn changes_nothing(
        &mut self,
        view: &PolicyView<'a>,
        rule: Option<(Direction, usize)>,
    ) -> bool {
        let name = view.policy.name.name.as_str();
        let policy = self.now.get(name).unwrap_or(view.policy).clone();
        let (changed, less) = match rule {
            None => (Change::RemovePolicy(view.key()), None),
            Some((direction, place)) => {
                // Rules are taken from the last to the first, so that places stay what they were.
                let mut less = policy.clone();
                let rules = match direction {
                    Direction::Ingress => less.ingress.as_mut(),
                    Direction::Egress => less.egress.as_mut(),
                };
                let Some(rules) = rules.filter(|r| place < r.len()) else { return false };
                rules.remove(place);
                (Change::SetPolicy(Policy::Network(less.clone())), Some(less))
            }
        };
        let (directions, taken): (Vec<Direction>, Vec<&'a Rule>) = match rule {
            Some((direction, place)) => {
                (vec![direction], view.rules(direction).get(place).into_iter().collect())
            }
            None => (
                Direction::ALL.into_iter().filter(|d| view.rules_if_any(*d).is_some()).collect(),
                Direction::ALL.into_iter().flat_map(|d| view.rules(d)).collect(),
            ),
        };
        let Some(subjects) = self.held(view, &directions) else { return false };
        let Some(others) = self.others(&taken) else { return false };
        let before = self.allowed(&subjects, &others, &directions);
        self.engine.apply([changed]);
        let same = before == self.allowed(&subjects, &others, &directions);
        if !same {
            self.engine.apply([Change::SetPolicy(Policy::Network(policy))]);
        } else if let Some(less) = less {
            self.now.insert(name, less);
        }
        same
    }

    /// One pod for each way in which the policy's pods are held, and one as its selector asks for it.
    fn held(&self, view: &PolicyView<'a>, directions: &[Direction]) -> Option<Vec<PodId>> {
        let witness = (*self.subjects.get(&view.policy.subject)?)?;
        let mut seen = BTreeSet::new();
        let pods = view.subjects.iter().filter_map(|p| self.numbers.get(p)).copied().chain([witness]);
        let held =
            |pod: &PodId| directions.iter().map(|d| self.engine.policy_set(*pod, *d)).collect::<Vec<_>>();
        Some(pods.filter(|pod| seen.insert(held(pod))).collect())
    }

    /// Everybody of whom the answer could differ. `None` where a selector contradicts itself: a rule that matches nobody
    /// that is or could be is no rule that another covers.
    fn others(&self, taken: &[&'a Rule]) -> Option<Vec<End>> {
        let mut ends = BTreeSet::new();
        // A rule for everybody is covered only by others for everybody, which nobody in particular shows (and is always
        // asked); but what a port's name means each pod says for itself.
        let is_named = |r: &Rule| matches!(&r.ports, Ports::Of(ports) if ports.iter().any(is_name));
        if taken.iter().any(|r| r.peers == Peers::Any && is_named(r)) {
            ends.extend(self.engine.pods().map(|(id, _)| End::Pod(id)));
        }
        for peer in taken.iter().flat_map(|r| peers_of(r)) {
            let Peer::Block(block) = peer else {
                ends.insert(End::Pod((*self.peers.get(peer)?)?));
                ends.extend(self.matched.get(peer).into_iter().flatten().map(|p| End::Pod(*p)));
                continue;
            };
            ends.insert(End::Address(block.cidr().network()));
            for (prefix, _) in self.engine.address_space().prefixes() {
                if block.cidr().contains(&prefix) || prefix.contains(&block.cidr()) {
                    // What holds an address changes only where a prefix starts or ends.
                    ends.extend([prefix.network(), prefix.broadcast()].map(End::Address));
                    ends.extend(after(prefix.broadcast()).map(End::Address));
                }
            }
            // From manifests, a block of everybody matches pods without an address.
            if block.is_everyone() {
                ends.extend(self.subjects.values().flatten().min().map(|p| End::Pod(*p)));
            }
        }
        Some(ends.into_iter().collect())
    }

    fn allowed(&self, subjects: &[PodId], others: &[End], directions: &[Direction]) -> Vec<PortSet> {
        let mut all = Vec::new();
        for subject in subjects {
            for direction in directions {
                let set = self.engine.policy_set(*subject, *direction);
                let ask = |identity| match set {
                    Some(set) => self.engine.port_map(set, identity).allowed(),
                    None => PortSet::all(),
                };
                all.push(ask(Identity::NOBODY));
                all.extend(others.iter().map(|end| ask(self.engine.identity(*end))));
            }
        }
        all
    }
}

/// A pod as a peer asks for it, and the namespace for it, if there must be one.
fn peer_witness(world: &mut World, own: &str, peer: &Peer) -> Option<(String, Labels)> {
    let Peer::Pods { namespaces, pods } = peer else { return None };
    let labels = witness::labels(pods)?;
    let home = match namespaces {
        NamespaceScope::Own => own.to_owned(),
        NamespaceScope::Matching(selector) => match named_namespace(selector) {
            // Only one namespace has this name, with whatever labels it has.
            Some(named) => named,
            None => {
                let name = format!("ringfence-witness-{}", world.pods.len());
                world.namespaces.push(witness::namespace(&name, selector)?);
                name
            }
        },
    };
    Some((home, labels))
}

fn add(world: &mut World, (namespace, labels): (String, Labels)) -> PodId {
    let id = number(world.pods.len());
    world.pods.push(witness::pod(&namespace, &format!("ringfence-{}", id.0), labels));
    id
}

fn number(place: usize) -> PodId {
    PodId(u32::try_from(place).unwrap_or(u32::MAX))
}

fn is_name(port: &PortMatch) -> bool {
    matches!(port.port, PortRef::Named(_))
}

/// The namespace that a selector asks for by its name.
fn named_namespace(selector: &LabelSelector) -> Option<String> {
    witness::labels(selector)?.remove(NAMESPACE_NAME_LABEL)
}

fn after(address: std::net::IpAddr) -> Option<std::net::IpAddr> {
    match address {
        std::net::IpAddr::V4(a) => {
            a.to_bits().checked_add(1).map(|b| std::net::Ipv4Addr::from_bits(b).into())
        }
        std::net::IpAddr::V6(a) => {
            a.to_bits().checked_add(1).map(|b| std::net::Ipv6Addr::from_bits(b).into())
        }
    }
}
