//! Policies that change nothing, rules that others cover, namespaces without a default deny.
//!
//! The engine decides: a copy of it loses the policy or rule, and what may pass before and after is compared. Compared are
//! the pods of the manifests, every address block, and pods that are not there but could be, so that a rule is not called
//! needless only because of the pods that happen to be here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ringfence_k8s::Level;
use ringfence_policy::{
    Change, Direction, End, Engine, Identity, LabelSelector, Labels, Namespace, NamespaceScope,
    NetworkPolicy, Peer, Peers, PodId, Policy, PortMatch, PortRef, PortSet, Ports, Rule, World,
};

use ringfence_policy::model::NAMESPACE_NAME_LABEL;

use crate::code;
use crate::context::Context;
use crate::finding::Finding;
use crate::rules::open::is_allow_all;
use crate::view::{PolicyView, name_span};
use crate::witness;

/// Policies and rules without which everything would be as it is.
pub(crate) fn policies(context: &Context<'_>) -> Vec<Finding> {
    let mut by_namespace: BTreeMap<&str, Vec<&PolicyView<'_>>> = BTreeMap::new();
    for view in &context.policies {
        // Policies with an allow-all have findings of their own, and would cover everything else.
        let opens = Direction::ALL.into_iter().any(|d| view.rules(d).iter().any(is_allow_all));
        if !opens && !view.subjects.is_empty() {
            by_namespace.entry(view.namespace()).or_default().push(view);
        }
    }
    let mut findings = Vec::new();
    for views in by_namespace.values() {
        let mut trial: Option<Trial<'_>> = None;
        let mut cover = Cover::new(views);
        // The later of two that are alike is the one to tell, and the earlier is judged without it.
        for (place, view) in views.iter().enumerate().rev() {
            if cover.may_spare_policy(place) {
                let trial = trial.get_or_insert_with(|| Trial::new(context, views));
                if trial.changes_nothing(view, None) {
                    cover.gone.insert(place);
                    findings.push(useless_policy(context, view, cover.stands_for(place)));
                }
            }
        }
        for (place, view) in views.iter().enumerate().rev() {
            if cover.gone.contains(&place) {
                continue;
            }
            for direction in Direction::ALL {
                for rule in (0..view.rules(direction).len()).rev() {
                    if !cover.may_spare_rule(direction, place, rule, true) {
                        continue;
                    }
                    let trial = trial.get_or_insert_with(|| Trial::new(context, views));
                    if trial.changes_nothing(view, Some((direction, rule))) {
                        findings.push(covered_rule(context, view, direction, rule));
                    }
                }
            }
        }
    }
    findings
}

fn useless_policy(context: &Context<'_>, view: &PolicyView<'_>, other: Option<&PolicyView<'_>>) -> Finding {
    let finding = Finding::new(&code::RF070, "this policy changes nothing")
        .because("without it everything that may pass still passes, and everything that is denied still is")
        .help("remove it, or correct what it was meant to do")
        .about(view.object())
        .at(context.place(view.name_span()));
    match other {
        Some(other) => finding.related(context.place(other.name_span()), "this policy does the same"),
        None => finding,
    }
}

fn covered_rule(context: &Context<'_>, view: &PolicyView<'_>, direction: Direction, rule: usize) -> Finding {
    Finding::new(&code::RF071, "other rules allow all that this rule allows")
        .because("without it everything that may pass still passes")
        .help("remove it, or correct what it was meant to add")
        .about(view.object())
        .at(context.place(view.rule_span(direction, rule)))
}

/// Places of policy and rule, by direction and peer.
type Uses<'a> = HashMap<(Direction, Option<&'a Peer>), Vec<(usize, usize)>>;

/// What of a namespace's policies may cover what else, by their text. It errs on the side of yes: the engine is asked
/// after it, and only for what is worth asking.
struct Cover<'v, 'a> {
    views: &'v [&'v PolicyView<'a>],
    /// The fewest labels that each policy's own selector matches.
    subjects: Vec<Option<Labels>>,
    /// For each peer those that may hold all that it does, itself among them.
    wider: HashMap<&'a Peer, Vec<&'a Peer>>,
    /// The rules with a peer, or with none, which are for everybody: policy and rule.
    uses: Uses<'a>,
    /// The policies that were found to change nothing.
    gone: BTreeSet<usize>,
}

impl<'v, 'a> Cover<'v, 'a> {
    fn new(views: &'v [&'v PolicyView<'a>]) -> Cover<'v, 'a> {
        let mut uses = Uses::new();
        let mut peers: BTreeSet<&'a Peer> = BTreeSet::new();
        for (place, view) in views.iter().enumerate() {
            for direction in Direction::ALL {
                for (number, rule) in view.rules(direction).iter().enumerate() {
                    if rule.peers == Peers::Any {
                        uses.entry((direction, None)).or_default().push((place, number));
                    }
                    for peer in peers_of(rule) {
                        peers.insert(peer);
                        uses.entry((direction, Some(peer))).or_default().push((place, number));
                    }
                }
            }
        }
        let wider = peers.iter().map(|peer| {
            let asked = Asked::of(peer);
            (*peer, peers.iter().copied().filter(|other| may_hold(peer, asked.as_ref(), other)).collect())
        });
        let wider = wider.collect();
        let subjects = views.iter().map(|v| witness::labels(&v.policy.subject)).collect();
        Cover { views, subjects, wider, uses, gone: BTreeSet::new() }
    }

    /// Whether everything that a policy does others may do.
    fn may_spare_policy(&self, place: usize) -> bool {
        let Some(view) = self.views.get(place) else { return false };
        Direction::ALL.into_iter().all(|direction| {
            let isolates = view.rules_if_any(direction).is_some();
            !isolates
                || self.stand_ins(place, direction).next().is_some()
                    && (0..view.rules(direction).len())
                        .all(|rule| self.may_spare_rule(direction, place, rule, false))
        })
    }

    /// The policies that isolate in a direction every pod that this one does. A default deny is worth its line even while
    /// other policies happen to isolate everything.
    fn stand_ins(&self, place: usize, direction: Direction) -> impl Iterator<Item = usize> {
        let view = self.views.get(place);
        let labels = self.subjects.get(place).and_then(Option::as_ref);
        self.views.iter().enumerate().filter_map(move |(other, wider)| {
            let is_like = view.is_some_and(|v| !v.denies_all(direction) || wider.denies_all(direction));
            let is_there = other != place && !self.gone.contains(&other);
            let stands = is_there
                && is_like
                && wider.rules_if_any(direction).is_some()
                && labels.is_some_and(|labels| wider.policy.subject.matches(labels));
            stands.then_some(other)
        })
    }

    /// A policy that does the same, for the finding.
    fn stands_for(&self, place: usize) -> Option<&'v PolicyView<'a>> {
        let view = self.views.get(place)?;
        let direction = Direction::ALL.into_iter().find(|d| view.rules_if_any(*d).is_some())?;
        self.views.get(self.stand_ins(place, direction).next()?).copied()
    }

    /// Whether others may allow all that a rule does.
    fn may_spare_rule(&self, direction: Direction, place: usize, number: usize, with_own: bool) -> bool {
        let Some(rule) = self.views.get(place).and_then(|v| v.rules(direction).get(number)) else {
            return false;
        };
        let allows = |peer: Option<&'a Peer>, port: Option<&PortMatch>| {
            self.uses.get(&(direction, peer)).into_iter().flatten().any(|(other, other_rule)| {
                let is_other = *other != place || with_own && *other_rule != number;
                let rule = self.views.get(*other).and_then(|v| v.rules(direction).get(*other_rule));
                is_other
                    && !self.gone.contains(other)
                    && rule.is_some_and(|rule| match (&rule.ports, port) {
                        (Ports::Any, _) => true,
                        (Ports::Of(_), None) => false,
                        (Ports::Of(theirs), Some(port)) => theirs.iter().any(|t| may_be_in(port, t)),
                    })
            })
        };
        let wider =
            |peer: &'a Peer| self.wider.get(peer).into_iter().flatten().map(|p| Some(*p)).chain([None]);
        let covers = |port: Option<&PortMatch>| match &rule.peers {
            Peers::Any => allows(None, port),
            Peers::Of(peers) => peers.iter().all(|peer| wider(peer).any(|p| allows(p, port))),
        };
        match &rule.ports {
            Ports::Any => covers(None),
            Ports::Of(ports) => ports.iter().all(|port| covers(Some(port))),
        }
    }
}

/// What a peer asks for at least: labels of pods, and of their namespaces.
struct Asked {
    pods: Labels,
    /// `None`: the policy's own namespace.
    home: Option<Labels>,
}

impl Asked {
    fn of(peer: &Peer) -> Option<Asked> {
        let Peer::Pods { namespaces, pods } = peer else { return None };
        let home = match namespaces {
            NamespaceScope::Own => None,
            NamespaceScope::Matching(selector) => Some(witness::labels(selector)?),
        };
        Some(Asked { pods: witness::labels(pods)?, home })
    }
}

/// Whether all of one entry's ports may be another's. What a name means only a pod can tell.
fn may_be_in(port: &PortMatch, other: &PortMatch) -> bool {
    port.protocol == other.protocol
        && match (&port.port, &other.port) {
            (PortRef::Range(ours), PortRef::Range(theirs)) => {
                theirs.first() <= ours.first() && ours.last() <= theirs.last()
            }
            (_, PortRef::All) | (PortRef::Named(_), PortRef::Range(_)) => true,
            (PortRef::Named(ours), PortRef::Named(theirs)) => ours == theirs,
            (PortRef::Range(_), PortRef::Named(_)) => true,
            (PortRef::All, _) => false,
        }
}

/// Whether one peer may hold everybody that another, which asks for this, holds.
fn may_hold(peer: &Peer, asked: Option<&Asked>, other: &Peer) -> bool {
    match (peer, other) {
        (Peer::Block(ours), Peer::Block(theirs)) => theirs.cidr().contains(&ours.cidr()),
        (Peer::Pods { .. }, Peer::Block(block)) => block.is_everyone(),
        (Peer::Block(_), Peer::Pods { .. }) => false,
        (Peer::Pods { .. }, Peer::Pods { namespaces, pods }) => {
            let Some(asked) = asked else { return false };
            let holds_home = match (namespaces, &asked.home) {
                // Namespaces by other labels may be the policy's own.
                (NamespaceScope::Own, _) | (_, None) => true,
                (NamespaceScope::Matching(selector), Some(home)) => {
                    home.contains_key(NAMESPACE_NAME_LABEL) || selector.matches(home)
                }
            };
            holds_home && pods.matches(&asked.pods)
        }
    }
}

/// A small world of one namespace's policies, from which policies and rules are taken on trial: its pods, one pod of each
/// kind that its peers can tell apart, and pods as its selectors ask for them.
struct Trial<'a> {
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
    fn new(context: &Context<'a>, views: &[&PolicyView<'a>]) -> Trial<'a> {
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
    fn changes_nothing(&mut self, view: &PolicyView<'a>, rule: Option<(Direction, usize)>) -> bool {
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

fn peers_of(rule: &Rule) -> &[Peer] {
    match &rule.peers {
        Peers::Any => &[],
        Peers::Of(peers) => peers,
    }
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

/// Namespaces that belong to the cluster itself.
const SYSTEM: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Namespaces in which a new pod is open to everybody.
pub(crate) fn default_deny(context: &Context<'_>) -> Vec<Finding> {
    let mut engine = context.engine.clone();
    let inhabited: Vec<&str> = context
        .inhabited()
        .filter(|n| !SYSTEM.contains(n) && context.views(context.pods_of(n)).any(|p| !p.pod.host_network))
        .collect();
    let pods = inhabited.iter().map(|n| Change::AddPod(witness::pod(n, "ringfence-new", Labels::new())));
    let added = engine.apply(pods).added;
    let mut findings = Vec::new();
    for (namespace, pod) in inhabited.into_iter().zip(added) {
        let is_open = match engine.policy_set(pod, Direction::Ingress) {
            None => true,
            // Cluster-wide policies may deny for all namespaces at once.
            Some(set) => {
                engine.isolating(pod, Direction::Ingress).is_empty()
                    && engine.port_map(set, engine.identity(End::Pod(pod))).allowed().is_all()
            }
        };
        if !is_open {
            continue;
        }
        let node = context.manifest("Namespace", "", namespace).or_else(|| {
            let first = context.pods_of(namespace).first().and_then(|p| context.pod(*p))?;
            context.workload_manifest(first.workload)
        });
        let is_held =
            context.policies.iter().any(|v| v.namespace() == namespace && v.policy.ingress.is_some());
        let reason = if is_held {
            "policies hold some of its pods, and a new one that none of them selects is open to everybody"
        } else {
            "no policy isolates its pods for ingress: everybody may reach all of them"
        };
        findings.push(
            Finding::new(&code::RF072, format!("namespace {namespace} has no default deny for ingress"))
                .because(reason)
                .level(Level::Note)
                .help("add a policy with `podSelector: {}`, `policyTypes: [Ingress]` and no rules")
                .about(format!("Namespace {namespace}"))
                .at(context.place(node.and_then(name_span))),
        );
    }
    findings
}
