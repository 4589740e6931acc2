//! A namespace's policies on trial: an engine of their own is asked what it would say without a policy or a rule.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ringfence_policy::{
    ClassId, Direction, End, Engine, Identity, LabelSelector, Labels, Namespace, NamespaceScope, Peer, Peers,
    PodId, PortMatch, PortRef, Ports, Rule, RuleRef, SetId, Without, World,
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
    /// What pods that are not there may have for an address, where it is known that pods have one: for each family, one that
    /// nobody in particular names.
    addresses: Vec<ClassId>,
    /// What was found needless.
    gone: Without,
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
            let families = [true, false].map(|v4| pod.pod.addresses.iter().any(|a| a.is_ipv4() == v4));
            let is_new = seen.insert((kind.clone(), pod.pod.named_ports.clone(), families, beyond));
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
            addresses: Vec::new(),
            gone: Without::default(),
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
        let ranges = trial.engine.address_space().ranges();
        let named_by = |class: &ClassId| trial.engine.address_space().peers(*class).len();
        let of_family = |v4: bool| {
            let known = context.addresses.iter().any(|(address, _)| address.is_ipv4() == v4);
            let classes = ranges.iter().filter(|r| known && r.first.is_ipv4() == v4).map(|r| r.class);
            classes.min_by_key(named_by)
        };
        trial.addresses = [true, false].into_iter().filter_map(of_family).collect();
        trial
    }

    /// Whether the policy, or one rule of it, may go without any change. Then it is gone from now on.
    pub(super) fn changes_nothing(
        &mut self,
        view: &PolicyView<'a>,
        rule: Option<(Direction, usize)>,
    ) -> bool {
        let Some(policy) = self.engine.find_policy(&view.key()) else { return false };
        let mut more = self.gone.clone();
        let (directions, taken): (Vec<Direction>, Vec<&'a Rule>) = match rule {
            Some((direction, place)) => {
                let Ok(number) = u32::try_from(place) else { return false };
                more.rule(RuleRef { policy, egress: direction == Direction::Egress, rule: number });
                (vec![direction], view.rules(direction).get(place).into_iter().collect())
            }
            None => {
                more.policy(policy);
                let isolates = |d: &Direction| view.rules_if_any(*d).is_some();
                let rules = Direction::ALL.into_iter().flat_map(|d| view.rules(d));
                (Direction::ALL.into_iter().filter(isolates).collect(), rules.collect())
            }
        };
        let Some(sets) = self.held(view, &directions) else { return false };
        let Some(others) = self.others(&taken) else { return false };
        let same = sets.iter().all(|set| {
            let is_same = |other: &Identity| self.engine.is_same_without(*set, *other, &self.gone, &more);
            others.iter().all(is_same)
        });
        if same {
            self.gone = more;
        }
        same
    }

    /// The ways in which the policy's pods are held, and a pod as its selector asks for it.
    fn held(&self, view: &PolicyView<'a>, directions: &[Direction]) -> Option<BTreeSet<SetId>> {
        let witness = (*self.subjects.get(&view.policy.subject)?)?;
        let pods = view.subjects.iter().filter_map(|p| self.numbers.get(p)).copied().chain([witness]);
        let sets = |pod| directions.iter().filter_map(move |d| self.engine.policy_set(pod, *d));
        Some(pods.flat_map(sets).collect())
    }

    /// Everybody of whom the answer could differ. `None` where a selector contradicts itself: a rule that matches nobody
    /// that is or could be is no rule that another covers.
    fn others(&self, taken: &[&'a Rule]) -> Option<BTreeSet<Identity>> {
        let mut identities = BTreeSet::from([Identity::NOBODY]);
        let mut ends = BTreeSet::new();
        // A rule for everybody is covered only by others for everybody, which nobody in particular shows (and is always
        // asked); but what a port's name means each pod says for itself.
        let is_named = |r: &Rule| matches!(&r.ports, Ports::Of(ports) if ports.iter().any(is_name));
        if taken.iter().any(|r| r.peers == Peers::Any && is_named(r)) {
            ends.extend(self.engine.pods().map(|(id, _)| End::Pod(id)));
        }
        for peer in taken.iter().flat_map(|r| peers_of(r)) {
            let Peer::Block(block) = peer else {
                let witness = (*self.peers.get(peer)?)?;
                ends.insert(End::Pod(witness));
                identities.extend(self.addresses.iter().map(|c| self.engine.identity_with(witness, *c)));
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
        for end in ends {
            identities.insert(self.engine.identity(end));
            // A connection goes from one address to one address.
            if let End::Pod(pod) = end
                && let Some(pod) = self.engine.pod(pod)
            {
                let addresses = pod.addresses.iter().map(|a| self.engine.identity(End::Address(*a)));
                identities.extend(addresses);
            }
        }
        Some(identities)
    }
}

/// A pod as a peer asks for it, and the namespace for it, if there must be one.
fn peer_witness(world: &mut World, own: &str, peer: &Peer) -> Option<(String, Labels)> {
    let Peer::Pods { namespaces, pods } = peer else { return None };
    let labels = witness::labels(pods)?;
    let home = match namespaces {
        NamespaceScope::Own => own.to_owned(),
        NamespaceScope::Matching(selector) => match witness::named_namespace(selector) {
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
