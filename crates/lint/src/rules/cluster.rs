//! Cluster-wide policies: rules that are never reached, and an Accept that overrides what namespaces deny.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_k8s::Level;
use ringfence_policy::{
    Action, Because, Change, ClusterMatch, ClusterPeer, ClusterPolicy, ClusterRule, ClusterTier, Direction,
    End, Engine, Identity, InForce, Namespace, PodId, PodsAcross, Policy, PolicyKey, PortRef, PortSet, Ports,
    Protocol, Traffic,
};

use crate::code;
use crate::context::{Context, names};
use crate::finding::Finding;
use crate::view::ClusterView;
use crate::witness;

/// Rules that decide nothing, because earlier ones decide all that they match.
pub(crate) fn never_reached(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if context.cluster_policies.is_empty() {
        return findings;
    }
    let (mut engine, subjects, others) = populated(context);
    for view in &context.cluster_policies {
        for direction in Direction::ALL {
            for (place, rule) in rules(view.policy, direction).iter().enumerate() {
                let InForce::AsWritten(_, matches) = rule.in_force() else { continue };
                if matches.peers.iter().any(|p| matches!(p, ClusterPeer::Domain(_) | ClusterPeer::Nodes(_))) {
                    continue;
                }
                let meant = Meant { view, direction, matches };
                let held: Vec<PodId> =
                    subjects.iter().copied().filter(|p| holds(&engine, &view.policy.subject, *p)).collect();
                let met: Vec<End> = others.iter().copied().filter(|e| meant.matches(&engine, *e)).collect();
                if held.is_empty() || met.is_empty() || !meant.has_ports_to_tell() {
                    continue;
                }
                if meant.is_covered(context, place) && meant.decides_nothing(&mut engine, place, &held, &met)
                {
                    findings.push(
                        Finding::new(&code::RF082, "this rule is never reached")
                            .because("rules that are asked before it decide everything that it matches")
                            .help("move it before them, or remove it")
                            .about(view.object())
                            .at(context.place(view.rule_span(direction, place))),
                    );
                }
            }
        }
    }
    findings
}

/// A rule and where it stands.
struct Meant<'c, 'a> {
    view: &'c ClusterView<'a>,
    direction: Direction,
    matches: &'c ClusterMatch,
}

impl Meant<'_, '_> {
    /// Whether for each peer another rule may match all that it does, of all the pods that the policy is for: those of the
    /// input and one of each kind, which the engine is asked about, do not show that.
    fn is_covered(&self, context: &Context<'_>, place: usize) -> bool {
        let holds = |narrow: &PodsAcross, wide: &PodsAcross| {
            witness::is_within(&narrow.pods, &wide.pods)
                && context.is_namespace_within(&narrow.namespaces, &wide.namespaces)
        };
        let wider: Vec<&ClusterPeer> = (context.cluster_policies.iter())
            .filter(|other| holds(&self.view.policy.subject, &other.policy.subject))
            .flat_map(|other| rules(other.policy, self.direction).iter().enumerate().map(move |r| (other, r)))
            .filter(|(other, (number, _))| other.policy.name != self.view.policy.name || *number != place)
            .filter_map(|(_, (_, rule))| rule.matches.as_ref())
            .flat_map(|matches| &matches.peers)
            .collect();
        self.matches.peers.iter().all(|peer| match peer {
            ClusterPeer::Pods(narrow) => {
                wider.iter().any(|p| matches!(p, ClusterPeer::Pods(wide) if holds(narrow, wide)))
            }
            _ => true,
        })
    }

    /// Whether the same may pass if the rule accepts and if it denies. The engine is as before afterwards.
    fn decides_nothing(&self, engine: &mut Engine, place: usize, held: &[PodId], met: &[End]) -> bool {
        let with = |action| {
            let mut policy = self.view.policy.clone();
            let rules = match self.direction {
                Direction::Ingress => &mut policy.ingress,
                Direction::Egress => &mut policy.egress,
            };
            if let Some(rule) = rules.get_mut(place) {
                rule.action = action;
            }
            [Change::SetPolicy(Policy::Cluster(policy))]
        };
        engine.apply(with(Action::Accept));
        let accepted = self.allowed(engine, held, met);
        engine.apply(with(Action::Deny));
        let denied = self.allowed(engine, held, met);
        engine.apply([Change::SetPolicy(Policy::Cluster(self.view.policy.clone()))]);
        accepted == denied
    }

    fn allowed(&self, engine: &Engine, held: &[PodId], met: &[End]) -> Vec<Option<PortSet>> {
        let mut all = Vec::new();
        for pod in held {
            let set = engine.policy_set(*pod, self.direction);
            let ask = |end: &End| set.map(|set| engine.port_map(set, engine.identity(*end)).allowed());
            all.extend(met.iter().map(ask));
        }
        all
    }

    fn matches(&self, engine: &Engine, end: End) -> bool {
        self.matches.peers.iter().any(|peer| match (peer, end) {
            (ClusterPeer::Pods(across), End::Pod(pod)) => holds(engine, across, pod),
            (ClusterPeer::Network(net), End::Address(address)) => net.contains(&address),
            _ => false,
        })
    }

    /// Named ports mean something only on pods that have them, so that nobody can say that they never match.
    fn has_ports_to_tell(&self) -> bool {
        match &self.matches.ports {
            Ports::Any => true,
            Ports::Of(ports) => !ports.iter().any(|p| matches!(p.port, PortRef::Named(_))),
        }
    }
}

fn holds(engine: &Engine, across: &PodsAcross, pod: PodId) -> bool {
    engine.pod(pod).is_some_and(|pod| {
        !pod.host_network
            && across.pods.matches(&pod.labels)
            && across.namespaces.matches(&engine.namespace_labels(&pod.namespace))
    })
}

/// The engine with pods as the selectors of cluster-wide policies ask for them; one pod of each kind, and one address of
/// each block.
fn populated(context: &Context<'_>) -> (Engine, Vec<PodId>, Vec<End>) {
    let mut engine = context.engine.clone();
    let mut kinds: BTreeSet<PodsAcross> = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for view in &context.cluster_policies {
        kinds.insert(view.policy.subject.clone());
        let all = Direction::ALL.into_iter().flat_map(|d| rules(view.policy, d));
        for peer in all.filter_map(|r| r.matches.as_ref()).flat_map(|m| &m.peers) {
            match peer {
                ClusterPeer::Pods(across) => {
                    kinds.insert(across.clone());
                }
                ClusterPeer::Network(net) => {
                    addresses.extend([net.network(), net.broadcast()]);
                }
                ClusterPeer::Nodes(_) | ClusterPeer::Domain(_) => {}
            }
        }
    }
    let mut changes = Vec::new();
    for (place, across) in kinds.iter().enumerate() {
        let Some(labels) = witness::labels(&across.pods) else { continue };
        let name = format!("ringfence-witness-{place}");
        let home = match witness::named_namespace(&across.namespaces) {
            Some(named) => named,
            None => {
                let Some(Namespace { labels, .. }) = witness::namespace(&name, &across.namespaces) else {
                    continue;
                };
                changes.push(Change::SetNamespace(Namespace { name: name.clone(), labels }));
                name.clone()
            }
        };
        changes.push(Change::AddPod(witness::pod(&home, &name, labels)));
    }
    engine.apply(changes);
    let mut seen = BTreeSet::new();
    let mut subjects = Vec::new();
    let mut others: Vec<End> = addresses.into_iter().map(End::Address).collect();
    let mut identities: BTreeSet<Identity> = BTreeSet::new();
    for (id, pod) in engine.pods().filter(|(_, p)| !p.host_network) {
        let held = Direction::ALL.map(|d| engine.policy_set(id, d));
        if seen.insert((pod.namespace.clone(), held)) {
            subjects.push(id);
        }
        if identities.insert(engine.identity(End::Pod(id))) {
            others.push(End::Pod(id));
        }
    }
    (engine, subjects, others)
}

/// Accept rules of the Admin tier that let in what a namespace's own policies deny.
pub(crate) fn accepts(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.cluster_policies {
        if view.policy.tier != ClusterTier::Admin {
            continue;
        }
        for direction in Direction::ALL {
            for (place, rule) in rules(view.policy, direction).iter().enumerate() {
                let InForce::AsWritten(Action::Accept, matches) = rule.in_force() else { continue };
                let overridden = overridden(context, view, direction, place, matches);
                let Some(first) = overridden.first() else { continue };
                let pods = names(context.views(&overridden));
                let is_everybody = matches.ports == Ports::Any
                    && matches.peers.iter().any(|p| match p {
                        ClusterPeer::Pods(across) => *across == PodsAcross::default(),
                        ClusterPeer::Network(net) => net.prefix_len() == 0,
                        ClusterPeer::Nodes(_) | ClusterPeer::Domain(_) => false,
                    });
                let deny = context
                    .pod(*first)
                    .and_then(|p| context.view_of(*context.engine.isolating(p.id, direction).first()?));
                let finding =
                    Finding::new(&code::RF083, format!("this accepts what the policies of {pods} deny"))
                        .because(
                            "an Accept of the Admin tier is final: NetworkPolicies are not asked any more",
                        )
                        .help("use Pass to leave it to the namespaces, or suppress this with the reason")
                        .level(if is_everybody { Level::Warning } else { Level::Note })
                        .about(view.object())
                        .at(context.place(view.rule_span(direction, place)));
                findings.push(match deny {
                    Some(deny) => {
                        finding.related(context.place(deny.name_span()), "this policy is overridden")
                    }
                    None => finding,
                });
            }
        }
    }
    findings
}

/// The pods for which the rule decides something that their NetworkPolicies would deny.
fn overridden(
    context: &Context<'_>,
    view: &ClusterView<'_>,
    direction: Direction,
    place: usize,
    matches: &ClusterMatch,
) -> Vec<usize> {
    let mut without = view.policy.clone();
    let rules = match direction {
        Direction::Ingress => &mut without.ingress,
        Direction::Egress => &mut without.egress,
    };
    if let Some(rule) = rules.get_mut(place) {
        rule.action = Action::Pass;
    }
    let mut engine = context.engine.clone();
    engine.apply([Change::SetPolicy(Policy::Cluster(without))]);
    let id = context.engine.find_policy(&PolicyKey::Cluster(view.policy.name.clone()));
    let traffics = samples(matches);
    let meant = Meant { view, direction, matches };
    let mut identities = BTreeSet::new();
    let pods = context.pods.iter().map(|p| End::Pod(p.id));
    let outside = matches.peers.iter().filter_map(|p| match p {
        ClusterPeer::Network(net) => Some(End::Address(net.network())),
        _ => None,
    });
    let others: Vec<End> = pods
        .chain(outside)
        .filter(|e| meant.matches(context.engine, *e) && identities.insert(context.engine.identity(*e)))
        .collect();
    let mut known = BTreeMap::new();
    let mut found = Vec::new();
    for (index, pod) in context.pods.iter().enumerate() {
        let Some(set) = context.engine.policy_set(pod.id, direction) else { continue };
        if context.engine.isolating(pod.id, direction).is_empty()
            || !holds(context.engine, &view.policy.subject, pod.id)
        {
            continue;
        }
        let is_overridden = *known.entry(set).or_insert_with(|| {
            let ends = others.iter().filter(|e| **e != End::Pod(pod.id));
            let mut pairs = ends.flat_map(|e| traffics.iter().map(move |t| (*e, *t)));
            pairs.any(|(end, traffic)| {
                let (from, to) = match direction {
                    Direction::Ingress => (end, End::Pod(pod.id)),
                    Direction::Egress => (End::Pod(pod.id), end),
                };
                let now = context.engine.verdict(from, to, traffic);
                let by_rule = matches!(&now.side(direction).because, Because::Rule(r)
                    if Some(r.policy) == id && r.rule as usize == place);
                let then = engine.verdict(from, to, traffic);
                by_rule
                    && now.side(direction).allowed
                    && matches!(then.side(direction).because, Because::NoRule(_))
            })
        });
        if is_overridden {
            found.push(index);
        }
    }
    found
}

/// Traffic that the rule matches, one for each of its ports.
fn samples(matches: &ClusterMatch) -> Vec<Traffic> {
    match &matches.ports {
        Ports::Any => vec![Traffic::Other, Traffic::Port(Protocol::Tcp, 1)],
        Ports::Of(ports) => ports
            .iter()
            .filter_map(|p| match &p.port {
                PortRef::Range(range) => Some(Traffic::Port(p.protocol, range.first())),
                PortRef::All => Some(Traffic::Port(p.protocol, 1)),
                PortRef::Named(_) => None,
            })
            .collect(),
    }
}

fn rules(policy: &ClusterPolicy, direction: Direction) -> &[ClusterRule] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}
