//! How a generated world is shaped, to be held against the shape that it is to have. Counted by plain matching, without
//! the engine.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use ringfence_policy::model::NAMESPACE_NAME_LABEL;
use ringfence_policy::{
    LabelSelector, Labels, NamespaceScope, NetworkPolicy, Peer, Peers, Pod, Ports, Requirement, World,
};

/// The counts that the profiles are described by. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) nodes: usize,
    pub(crate) namespaces: usize,
    pub(crate) pods: usize,
    pub(crate) policies: usize,
    pub(crate) cluster_policies: usize,
    /// The policies that select nothing or allow nothing.
    pub(crate) idle: f64,
    /// How many pods a policy selects, of those that select any.
    pub(crate) selected: Spread,
    /// The peers that are selectors; the others are blocks.
    pub(crate) selectors: f64,
    /// How many pods a selector peer matches.
    pub(crate) matched: Spread,
    /// The selector peers that match about two thirds of the cluster.
    pub(crate) two_thirds: f64,
    /// The selector peers whose rule has ports.
    pub(crate) selectors_with_ports: f64,
    /// The blocks whose rule has ports.
    pub(crate) blocks_with_ports: f64,
}

/// A number of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: usize,
    pub(crate) mean: f64,
    pub(crate) max: usize,
}

impl Spread {
    fn of(mut numbers: Vec<usize>) -> Spread {
        numbers.sort_unstable();
        Spread {
            median: numbers.get(numbers.len() / 2).copied().unwrap_or(0),
            mean: share(numbers.iter().sum(), numbers.len()),
            max: numbers.last().copied().unwrap_or(0),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "median {}, mean {:.1}, at most {}", self.median, self.mean, self.max)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Shape {
    /// Counts.
    pub(crate) fn of(world: &World) -> Shape {
        let mut census = Census::new(world);
        let (mut idle, mut selected, mut matched) = (0, Vec::new(), Vec::new());
        let (mut blocks, mut blocks_with_ports, mut selectors_with_ports) = (0, 0, 0);
        for policy in &world.policies {
            let own = policy.name.namespace.as_str();
            let subjects = census.within(own, &policy.subject);
            let mut allows = false;
            for rule in policy.ingress.iter().chain(policy.egress.iter()).flatten() {
                let with_ports = usize::from(rule.ports != Ports::Any);
                let Peers::Of(peers) = &rule.peers else {
                    allows = true;
                    continue;
                };
                for peer in peers {
                    let Some(pods) = census.peer(policy, peer) else {
                        (blocks, blocks_with_ports, allows) =
                            (blocks + 1, blocks_with_ports + with_ports, true);
                        continue;
                    };
                    allows |= pods > 0;
                    selectors_with_ports += with_ports;
                    matched.push(pods);
                }
            }
            idle += usize::from(subjects == 0 || !allows);
            selected.extend(Some(subjects).filter(|n| *n > 0));
        }
        let two_thirds = |n: &&usize| (0.63..0.70).contains(&share(**n, world.pods.len()));
        Shape {
            nodes: world.nodes.len(),
            namespaces: world.namespaces.len(),
            pods: world.pods.len(),
            policies: world.policies.len(),
            cluster_policies: world.cluster_policies.len(),
            idle: share(idle, world.policies.len()),
            selected: Spread::of(selected),
            selectors: share(matched.len(), matched.len() + blocks),
            two_thirds: share(matched.iter().filter(two_thirds).count(), matched.len()),
            selectors_with_ports: share(selectors_with_ports, matched.len()),
            blocks_with_ports: share(blocks_with_ports, blocks),
            matched: Spread::of(matched),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { nodes, namespaces, pods, policies, cluster_policies, selected, matched, .. } = self;
        let percent = |part: f64| format!("{:.1}%", 100.0 * part);
        writeln!(f, "  {nodes} nodes, {namespaces} namespaces, {pods} pods")?;
        writeln!(f, "  {policies} policies, {cluster_policies} cluster policies")?;
        writeln!(f, "  {} of policies select nothing or allow nothing", percent(self.idle))?;
        writeln!(f, "  pods selected by policies that select any: {selected}")?;
        writeln!(f, "  {} of peers are selectors", percent(self.selectors))?;
        writeln!(f, "  pods matched by selector peers: {matched}")?;
        writeln!(f, "  {} of selector peers match two thirds of the cluster", percent(self.two_thirds))?;
        let (selectors, blocks) = (percent(self.selectors_with_ports), percent(self.blocks_with_ports));
        write!(f, "  {selectors} of selector peers and {blocks} of CIDR peers carry ports")
    }
}

/// Counts the pods that selectors match, each question once.
struct Census<'w> {
    pods: BTreeMap<&'w str, Vec<&'w Pod>>,
    labels: BTreeMap<&'w str, Labels>,
    within: HashMap<(&'w str, &'w LabelSelector), usize>,
    across: HashMap<(&'w LabelSelector, &'w LabelSelector), usize>,
}

impl<'w> Census<'w> {
    fn new(world: &'w World) -> Census<'w> {
        let mut pods: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        // No selector matches a pod on its node's network.
        for pod in world.pods.iter().filter(|p| !p.host_network) {
            pods.entry(&pod.namespace).or_default().push(pod);
        }
        let with_name = |n: &'w ringfence_policy::Namespace| {
            let mut labels = n.labels.clone();
            labels.insert(NAMESPACE_NAME_LABEL.to_owned(), n.name.clone());
            (n.name.as_str(), labels)
        };
        let labels = world.namespaces.iter().map(with_name).collect();
        Census { pods, labels, within: HashMap::new(), across: HashMap::new() }
    }

    /// The pods that a peer matches; `None` where it is a block.
    fn peer(&mut self, policy: &'w NetworkPolicy, peer: &'w Peer) -> Option<usize> {
        match peer {
            Peer::Block(_) => None,
            Peer::Pods { namespaces: NamespaceScope::Own, pods } => {
                Some(self.within(&policy.name.namespace, pods))
            }
            Peer::Pods { namespaces: NamespaceScope::Matching(namespaces), pods } => {
                Some(self.across(namespaces, pods))
            }
        }
    }

    fn within(&mut self, namespace: &'w str, pods: &'w LabelSelector) -> usize {
        let here = self.pods.get(namespace);
        let count = || here.map_or(0, |here| here.iter().filter(|p| pods.matches(&p.labels)).count());
        *self.within.entry((namespace, pods)).or_insert_with(count)
    }

    fn across(&mut self, namespaces: &'w LabelSelector, pods: &'w LabelSelector) -> usize {
        if let Some(known) = self.across.get(&(namespaces, pods)) {
            return *known;
        }
        let by_name = namespaces.requirements().iter().find_map(|r| match r {
            Requirement::In(key, names) if key == NAMESPACE_NAME_LABEL => Some(names),
            _ => None,
        });
        let candidates: Vec<(&'w str, &Labels)> = match by_name {
            // One of tens of thousands is not to be searched for by all of them.
            Some(names) => names
                .iter()
                .filter_map(|n| self.labels.get_key_value(n.as_str()))
                .map(|(n, l)| (*n, l))
                .collect(),
            None => self.labels.iter().map(|(n, l)| (*n, l)).collect(),
        };
        let found: Vec<&'w str> =
            candidates.into_iter().filter(|(_, labels)| namespaces.matches(labels)).map(|(n, _)| n).collect();
        let count = found.into_iter().map(|n| self.within(n, pods)).sum();
        self.across.insert((namespaces, pods), count);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::profile::Profile;

    fn check(what: &str, got: f64, expect: f64, tolerance: f64) {
        assert!((got - expect).abs() <= tolerance, "{what}: {got} is not {expect} ± {tolerance}");
    }

    #[test]
    fn the_real_cluster() {
        for seed in [1, 2, 3] {
            let shape = Shape::of(&Profile::Real.world(seed, 1));
            assert_eq!((shape.pods, shape.namespaces, shape.policies), (5_413, 604, 13_678));
            assert_eq!(shape.nodes, 55);
            check("idle", shape.idle, 0.26, 0.005);
            assert_eq!((shape.selected.median, shape.selected.max), (6, 154));
            check("mean selected", shape.selected.mean, 13.0, 0.4);
            check("selectors", shape.selectors, 0.60, 0.01);
            assert_eq!(shape.matched.median, 2);
            check("two thirds", shape.two_thirds, 0.008, 0.0004);
            check("selectors with ports", shape.selectors_with_ports, 0.31, 0.01);
            check("blocks with ports", shape.blocks_with_ports, 0.82, 0.01);
        }
    }

    #[test]
    fn very_many_namespaces() {
        let shape = Shape::of(&Profile::Xl.world(1, 1));
        assert_eq!((shape.namespaces, shape.pods, shape.policies), (25_000, 100_000, 75_000));
        assert_eq!(shape.nodes, 1_000);
        // A default deny each.
        check("idle", shape.idle, 1.0 / 3.0, 1e-9);
    }

    #[test]
    fn one_namespace() {
        // A tenth: each policy is held against each pod.
        let shape = Shape::of(&Profile::Dense.world(1, 10));
        assert_eq!((shape.namespaces, shape.pods, shape.policies, shape.nodes), (1, 1_000, 1_000, 10));
        assert_eq!(shape.selected, Spread { median: 1_000, mean: 1_000.0, max: 1_000 });
    }

    #[test]
    fn zones_of_ten_namespaces() {
        let world = Profile::Wide.world(1, 1);
        let shape = Shape::of(&world);
        assert_eq!((shape.namespaces, shape.pods, shape.policies), (1_000, 100_000, 10_000));
        assert_eq!((shape.nodes, shape.cluster_policies), (1_000, 100));
        // Five pods of an application in each of ten namespaces.
        assert_eq!(shape.matched, Spread { median: 50, mean: 50.0, max: 50 });
        for policy in &world.cluster_policies {
            assert!((2..=6).contains(&(policy.ingress.len() + policy.egress.len())), "{}", policy.name);
        }
        let mut places: Vec<_> = world.cluster_policies.iter().map(|p| (p.tier, p.priority)).collect();
        places.dedup();
        assert_eq!(places.len(), 100);
    }
}
