//! Policies that change nothing, rules that others cover, namespaces without a default deny.
//!
//! The engine decides: a copy of it loses the policy or rule, and what may pass before and after is compared. Compared are
//! the pods of the manifests, every address block, and pods that are not there but could be, so that a rule is not called
//! needless only because of the pods that happen to be here.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_k8s::Level;
use ringfence_policy::{
    Change, Direction, End, Engine, Identity, Labels, Namespace, NamespaceScope, NetworkPolicy, Peer, Peers,
    PodId, Policy, PortSet, Ports, Rule,
};

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
    let mut trial: Option<Trial<'_, '_>> = None;
    let mut findings = Vec::new();
    for views in by_namespace.values() {
        let mut there: Vec<&PolicyView<'_>> = views.clone();
        // The later of two that are alike is the one to tell, and the earlier is judged without it.
        for view in views.iter().rev() {
            if is_candidate(view, &there) {
                let trial = trial.get_or_insert_with(|| Trial::new(context));
                if trial.changes_nothing(view, None) {
                    there.retain(|v| v.policy.name != view.policy.name);
                    findings.push(useless_policy(context, view, &there));
                }
            }
        }
        for view in there.clone().into_iter().rev() {
            for direction in Direction::ALL {
                for rule in covered_rules(view, direction, &there) {
                    let trial = trial.get_or_insert_with(|| Trial::new(context));
                    if trial.changes_nothing(view, Some((direction, rule))) {
                        findings.push(covered_rule(context, view, direction, rule));
                    }
                }
            }
        }
    }
    findings
}

fn useless_policy(context: &Context<'_>, view: &PolicyView<'_>, others: &[&PolicyView<'_>]) -> Finding {
    let other = others.iter().find(|o| Direction::ALL.into_iter().all(|d| may_stand_for(view, o, d)));
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

/// Whether another policy isolates in a direction every pod that this one does.
fn may_stand_for(view: &PolicyView<'_>, other: &PolicyView<'_>, direction: Direction) -> bool {
    let (subject, wider) = (&view.policy.subject, &other.policy.subject);
    view.rules_if_any(direction).is_none()
        || other.rules_if_any(direction).is_some()
            && (wider.is_everything()
                || subject == wider
                || witness::labels(subject).is_some_and(|labels| wider.matches(&labels)))
}

/// Whether it is worth asking the engine: everything that the policy does, others seem to do.
fn is_candidate(view: &PolicyView<'_>, there: &[&PolicyView<'_>]) -> bool {
    let others = || there.iter().filter(|o| o.policy.name != view.policy.name);
    Direction::ALL.into_iter().all(|direction| {
        // A default deny is worth its line even while other policies happen to isolate everything.
        let is_like = |o: &PolicyView<'_>| !view.denies_all(direction) || o.denies_all(direction);
        let isolated = others().any(|o| {
            may_stand_for(view, o, direction) && (view.rules_if_any(direction).is_none() || is_like(o))
        });
        isolated
            && view.rules(direction).iter().all(|rule| {
                others()
                    .flat_map(|o| o.rules(direction))
                    .any(|other| may_cover(view.namespace(), rule, other))
            })
    })
}

/// The rules of a policy that others seem to cover, the last first.
fn covered_rules(view: &PolicyView<'_>, direction: Direction, there: &[&PolicyView<'_>]) -> Vec<usize> {
    let rules = view.rules(direction);
    let covered = |(place, rule): &(usize, &Rule)| {
        let own = rules.iter().enumerate().filter(|(other, _)| other != place).map(|(_, r)| r);
        let others = there.iter().filter(|o| o.policy.name != view.policy.name);
        // Rules that let nobody in are another matter.
        let others = others.flat_map(|o| o.rules(direction));
        own.chain(others).any(|other| may_cover(view.namespace(), rule, other))
    };
    let mut places: Vec<usize> = rules.iter().enumerate().filter(covered).map(|(place, _)| place).collect();
    places.reverse();
    places
}

/// Whether one rule may allow some of what another does. Errs on the side of yes: the engine is asked after it.
fn may_cover(namespace: &str, rule: &Rule, other: &Rule) -> bool {
    let ports = match (&rule.ports, &other.ports) {
        (_, Ports::Any) => true,
        (Ports::Any, Ports::Of(_)) => false,
        (Ports::Of(ours), Ports::Of(theirs)) => {
            ours.iter().any(|p| theirs.iter().any(|t| t.protocol == p.protocol))
        }
    };
    let peers = match (&rule.peers, &other.peers) {
        (_, Peers::Any) => true,
        (Peers::Any, Peers::Of(_)) => false,
        (Peers::Of(ours), Peers::Of(theirs)) => {
            ours.iter().all(|p| theirs.iter().any(|t| may_hold(namespace, p, t)))
        }
    };
    ports && peers
}

fn may_hold(namespace: &str, peer: &Peer, other: &Peer) -> bool {
    match (peer, other) {
        (Peer::Block(ours), Peer::Block(theirs)) => {
            ours.cidr().contains(&theirs.cidr()) || theirs.cidr().contains(&ours.cidr())
        }
        (Peer::Pods { .. }, Peer::Block(block)) => block.is_everyone(),
        (Peer::Block(_), Peer::Pods { .. }) => false,
        (Peer::Pods { namespaces, pods }, Peer::Pods { namespaces: other_scope, pods: other_pods }) => {
            let labels = witness::labels(pods);
            let home = match namespaces {
                NamespaceScope::Own => Some(with_name(Labels::new(), namespace)),
                NamespaceScope::Matching(selector) => witness::labels(selector),
            };
            let holds_home = match (other_scope, home) {
                // Namespaces by other labels may be the same ones.
                (NamespaceScope::Own, _) | (_, None) => true,
                (NamespaceScope::Matching(_), _) if *namespaces == NamespaceScope::Own => true,
                (NamespaceScope::Matching(selector), Some(home)) => selector.matches(&home),
            };
            holds_home && labels.is_some_and(|labels| other_pods.matches(&labels))
        }
    }
}

fn with_name(mut labels: Labels, name: &str) -> Labels {
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    labels
}

/// A copy of the engine from which policies and rules are taken on trial.
struct Trial<'c, 'a> {
    context: &'c Context<'a>,
    engine: Engine,
    /// The policies as they are now, where rules were taken from them.
    now: BTreeMap<String, NetworkPolicy>,
}

impl<'c, 'a> Trial<'c, 'a> {
    fn new(context: &'c Context<'a>) -> Trial<'c, 'a> {
        let mut engine = context.engine.clone();
        let opens =
            |v: &&PolicyView<'_>| Direction::ALL.into_iter().any(|d| v.rules(d).iter().any(is_allow_all));
        let gone: Vec<Change> =
            context.policies.iter().filter(opens).map(|v| Change::RemovePolicy(v.key())).collect();
        engine.apply(gone);
        Trial { context, engine, now: BTreeMap::new() }
    }

    /// Whether the policy, or one rule of it, may go without any change. Then it is gone from now on.
    fn changes_nothing(&mut self, view: &PolicyView<'_>, rule: Option<(Direction, usize)>) -> bool {
        let name = view.policy.name.to_string();
        let policy = self.now.get(&name).unwrap_or(view.policy).clone();
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
        let directions: Vec<Direction> = match rule {
            Some((direction, _)) => vec![direction],
            None => Direction::ALL.into_iter().filter(|d| view.rules_if_any(*d).is_some()).collect(),
        };
        let taken: Vec<&Rule> = match rule {
            Some((direction, place)) => rules_of(&policy, direction).get(place).into_iter().collect(),
            None => Direction::ALL.into_iter().flat_map(|d| rules_of(&policy, d)).collect(),
        };
        // A rule that matches nobody that is or could be here is no rule that another covers.
        let Some(witnesses) = self.add_witnesses(view, &taken) else { return false };
        let subjects = self.subjects(view, &directions, witnesses.subject);
        let others = self.others(view, &taken, &witnesses.pods);
        let before = self.allowed(&subjects, &others, &directions);
        self.engine.apply([changed]);
        let same = before == self.allowed(&subjects, &others, &directions);
        let mut back: Vec<Change> =
            witnesses.pods.iter().chain([&witnesses.subject]).map(|p| Change::RemovePod(*p)).collect();
        back.extend(witnesses.namespaces.iter().map(|n| Change::RemoveNamespace(n.clone())));
        if !same {
            back.push(Change::SetPolicy(Policy::Network(policy)));
        } else if let Some(less) = less {
            self.now.insert(name, less);
        }
        self.engine.apply(back);
        same
    }

    /// Pods as the selectors ask for them, in namespaces as they ask for them. `None` where a selector contradicts itself.
    fn add_witnesses(&mut self, view: &PolicyView<'_>, taken: &[&Rule]) -> Option<Witnesses> {
        let own = view.namespace();
        let mut changes = vec![Change::AddPod(witness::pod(
            own,
            "ringfence-subject",
            witness::labels(&view.policy.subject)?,
        ))];
        let mut namespaces: Vec<Namespace> = Vec::new();
        for peer in taken.iter().flat_map(|r| peers_of(r)) {
            let Peer::Pods { namespaces: scope, pods } = peer else { continue };
            let labels = witness::labels(pods)?;
            let place = changes.len();
            let home = match scope {
                NamespaceScope::Own => own.to_owned(),
                NamespaceScope::Matching(selector) => {
                    let name = format!("ringfence-witness-{place}");
                    match named_namespace(selector) {
                        // Only one namespace has this name, with whatever labels it has.
                        Some(named) => named,
                        None => {
                            namespaces.push(witness::namespace(&name, selector)?);
                            name
                        }
                    }
                }
            };
            changes.push(Change::AddPod(witness::pod(&home, &format!("ringfence-{place}"), labels)));
        }
        let names = namespaces.iter().map(|n| n.name.clone()).collect();
        let changes = namespaces.into_iter().map(Change::SetNamespace).chain(changes);
        let added = self.engine.apply(changes).added;
        let (subject, pods) = added.split_first()?;
        Some(Witnesses { subject: *subject, pods: pods.to_vec(), namespaces: names })
    }

    /// One pod for each way in which the policy's pods are held.
    fn subjects(&self, view: &PolicyView<'_>, directions: &[Direction], witness: PodId) -> Vec<PodId> {
        let mut seen = BTreeSet::new();
        let pods = self.context.views(&view.subjects).map(|p| p.id).chain([witness]);
        pods.filter(|pod| {
            let held: Vec<_> = directions.iter().map(|d| self.engine.policy_set(*pod, *d)).collect();
            seen.insert(held)
        })
        .collect()
    }

    /// Everybody of whom the answer could differ: those that the rules match, or all where a whole direction may open.
    fn others(&self, view: &PolicyView<'_>, taken: &[&Rule], witnesses: &[PodId]) -> Vec<End> {
        let mut ends: Vec<End> = witnesses.iter().copied().map(End::Pod).collect();
        let is_broad =
            !self.context.cluster_policies.is_empty() || taken.iter().any(|r| r.peers == Peers::Any);
        let mut seen = BTreeSet::new();
        let mut add = |id: PodId| {
            let end = End::Pod(id);
            if seen.insert(self.engine.identity(end)) {
                ends.push(end);
            }
        };
        if is_broad {
            self.context.pods.iter().for_each(|p| add(p.id));
        } else {
            for peer in taken.iter().flat_map(|r| peers_of(r)) {
                let matched = self.context.matched(view.namespace(), peer);
                self.context.views(&matched).for_each(|p| add(p.id));
            }
        }
        let blocks = taken.iter().flat_map(|r| peers_of(r)).filter_map(|p| match p {
            Peer::Block(block) => Some(block),
            Peer::Pods { .. } => None,
        });
        let mut addresses = BTreeSet::new();
        for block in blocks {
            addresses.insert(block.cidr().network());
            for (prefix, _) in self.engine.address_space().prefixes() {
                if block.cidr().contains(&prefix) || prefix.contains(&block.cidr()) {
                    // What holds an address changes only where a prefix starts or ends.
                    addresses.extend([prefix.network(), prefix.broadcast()]);
                    addresses.extend(after(prefix.broadcast()));
                }
            }
        }
        ends.extend(addresses.into_iter().map(End::Address));
        ends
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

/// The pods that were added for a question.
struct Witnesses {
    subject: PodId,
    pods: Vec<PodId>,
    namespaces: Vec<String>,
}

fn rules_of(policy: &NetworkPolicy, direction: Direction) -> &[Rule] {
    match direction {
        Direction::Ingress => policy.ingress.as_deref().unwrap_or_default(),
        Direction::Egress => policy.egress.as_deref().unwrap_or_default(),
    }
}

fn peers_of(rule: &Rule) -> &[Peer] {
    match &rule.peers {
        Peers::Any => &[],
        Peers::Of(peers) => peers,
    }
}

/// The namespace that a selector asks for by its name.
fn named_namespace(selector: &ringfence_policy::LabelSelector) -> Option<String> {
    witness::labels(selector)?.remove("kubernetes.io/metadata.name")
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
