//! Random worlds that are worth asking about: few labels, so that selectors hit; address blocks around addresses that
//! exist; ports that meet and overlap; and every shape that the API allows and people seldom write.
//!
//! The same seed and size give the same world on every machine. A world keeps the promises of the model: each address
//! belongs to one pod or one node, pods have at most one address of a family, names are unique. What a server would
//! refuse (port 0, a named port's unknown protocol) is not made here either.

mod cluster;
mod cluster_policies;
mod mutate;
mod mutate_cluster;
mod policies;

pub use mutate::{mutate, reorder};

use policies::Maker;
use ringfence_policy::model::World;

use crate::random::Random;

/// How many worlds a history has.
const STEPS: usize = 12;

/// How large a world is, and what may occur in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// At most so many namespaces, listed or not; at least one.
    pub namespaces: usize,
    /// At most so many nodes; no more than 16.
    pub nodes: usize,
    /// At most so many pods; at least one, no more than 3,600.
    pub pods: usize,
    /// At most so many NetworkPolicies.
    pub policies: usize,
    /// At most so many cluster-wide policies.
    pub cluster_policies: usize,
    /// Whether the addresses of pods are known.
    pub addresses: Addresses,
    /// The families of those addresses.
    pub families: Families,
    /// Whether some pods use their node's network.
    pub host_network: bool,
    /// Whether the ranges that pods live in may be given.
    pub pod_cidrs: bool,
    /// Whether SCTP may occur.
    pub sctp: bool,
    /// Whether it may be known where DNS names lead.
    pub names: bool,
}

/// Whether the addresses of pods are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// All are, as on a cluster.
    Known,
    /// None is, as in manifests.
    Unknown,
    /// Of some pods.
    Mixed,
}

/// Which address families pods and nodes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
    /// Every pod and node as it comes.
    Mixed,
}

impl Default for Size {
    fn default() -> Size {
        Size {
            namespaces: 4,
            nodes: 3,
            pods: 12,
            policies: 8,
            cluster_policies: 4,
            addresses: Addresses::Mixed,
            families: Families::Mixed,
            host_network: true,
            pod_cidrs: true,
            sctp: true,
            names: true,
        }
    }
}

impl Size {
    /// A handful of everything: small enough to read when something is wrong.
    pub fn small() -> Size {
        Size { namespaces: 2, nodes: 2, pods: 4, policies: 3, cluster_policies: 2, ..Size::default() }
    }

    /// A cluster as a kernel sees it: every pod has its addresses.
    pub fn cluster() -> Size {
        Size { addresses: Addresses::Known, pod_cidrs: false, ..Size::default() }
    }

    /// Manifests as people write them: no pod has an address.
    pub fn manifests() -> Size {
        Size { addresses: Addresses::Unknown, ..Size::default() }
    }

    /// The same with more of everything.
    pub fn large() -> Size {
        Size { namespaces: 10, nodes: 6, pods: 60, policies: 40, cluster_policies: 12, ..Size::default() }
    }
}

/// The world of this seed. One in four is the world of the seed before it with something changed, so that a sequence
/// of seeds holds pairs that differ little.
pub fn world(seed: u64, size: &Size) -> World {
    if seed % 4 == 3 {
        let mut random = Random::new(seed);
        return changed(&fresh(seed - 1, size), size, &mut random);
    }
    fresh(seed, size)
}

/// A history of one cluster: each world is the one before with a few things changed, now and then with very many, and
/// now and then another world altogether.
pub fn steps(seed: u64, size: &Size) -> Vec<World> {
    let mut random = Random::new(seed);
    let mut steps = vec![fresh(random.bits(), size)];
    while let Some(last) = steps.last().filter(|_| steps.len() < STEPS) {
        let next = match random.below(12) {
            0 => fresh(random.bits(), size),
            1 => (0..8).fold(last.clone(), |world, _| changed(&world, size, &mut random)),
            _ => changed(last, size, &mut random),
        };
        steps.push(next);
    }
    steps
}

fn changed(world: &World, size: &Size, random: &mut Random) -> World {
    let mut world = world.clone();
    for _ in 0..random.between(1, 3) {
        mutate(&mut world, size, random);
    }
    world
}

/// What is made last may be left out without another world around it.
fn fresh(seed: u64, size: &Size) -> World {
    let mut random = Random::new(seed);
    let mut world = cluster::cluster(size, &mut random);
    world.policies = Maker::new(size, &world, &mut random).policies();
    for node in &mut world.nodes {
        node.labels = cluster::labels(&mut random);
    }
    if size.names {
        world.names = Maker::new(size, &world, &mut random).names();
    }
    world.cluster_policies = Maker::new(size, &world, &mut random).cluster_policies();
    world
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use ringfence_policy::cluster::ClusterPeer;
    use ringfence_policy::model::World;

    use super::{Size, steps, world};

    const SEEDS: u64 = 300;

    /// What seldom is written, and must be among the worlds for that reason.
    #[test]
    fn rare_shapes_occur() {
        let text: String = (0..SEEDS).map(|seed| format!("{:?}\n", world(seed, &Size::default()))).collect();
        for shape in [
            "In(",
            "NotIn(",
            "Exists(",
            "DoesNotExist(",
            "peers: Any, ports: Any",
            "Of([])",
            "ingress: Some([])",
            "ingress: None, egress: None",
            "cidr: 0.0.0.0/0, except: []",
            "cidr: ::/0, except: []",
            "cidr: ::/0, except: [",
            "/32, except",
            "/128, except",
            "host_network: true",
            "addresses: []",
            "node: None",
            "node-unlisted",
            "pod_cidrs: [10.244.0.0/17",
            "Named(\"nobody-has-it\")",
            "Named(\"http\")",
            "port: All",
            "last: 65535",
            "protocol: Sctp",
            "namespaces: Own",
            "namespaces: Matching(LabelSelector { requirements: [] })",
            "namespace: \"empty\"",
            "-again",
            "tier: Admin",
            "tier: Baseline",
            "kind: ClusterNetworkPolicy",
            "kind: AdminNetworkPolicy",
            "kind: BaselineAdminNetworkPolicy",
            "action: Accept, matches: None",
            "action: Deny, matches: None",
            "action: Pass, matches: None",
            "matches: Some(ClusterMatch { peers: []",
            "Nodes(LabelSelector { requirements: [] })",
            "Nodes(LabelSelector { requirements: [In(",
            "Network(0.0.0.0/0)",
            "Network(::/0)",
            "DomainPattern { below: true",
            "DomainPattern { below: false",
            "PortMatch { protocol: Sctp, port: Named(\"http\") }",
            "name: Some(\"rule 3\")",
            "ingress: [], egress: [ClusterRule",
            "ingress: [], egress: [], source",
        ] {
            assert!(text.contains(shape), "{shape}");
        }
    }

    #[test]
    fn rare_meetings_occur() {
        let (mut equal, mut shared, mut of_pods, mut of_nodes, mut outside, mut nowhere) = (0, 0, 0, 0, 0, 0);
        for world in (0..SEEDS).map(|seed| world(seed, &Size::default())) {
            let mut orders = BTreeSet::new();
            equal += (world.cluster_policies.iter()).filter(|p| !orders.insert((p.tier, p.priority))).count();
            let mut seen = BTreeSet::new();
            for name in &world.names {
                nowhere += usize::from(name.addresses.is_empty());
                for address in &name.addresses {
                    shared += usize::from(!seen.insert(address));
                    let of_pod = world.pods.iter().any(|pod| pod.addresses.contains(address));
                    let of_node = world.nodes.iter().any(|node| node.addresses.contains(address));
                    of_pods += usize::from(of_pod);
                    of_nodes += usize::from(of_node);
                    outside += usize::from(!of_pod && !of_node);
                }
            }
        }
        let counts = [equal, shared, of_pods, of_nodes, outside, nowhere];
        assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    }

    #[test]
    fn policies_of_the_cluster_and_names_can_be_left_out() {
        let size = Size { cluster_policies: 0, names: false, ..Size::default() };
        for seed in 0..SEEDS {
            let made = world(seed, &size);
            assert!(made.cluster_policies.is_empty() && made.names.is_empty(), "seed {seed}");
            let with = world(seed, &Size::default());
            if seed % 4 != 3 {
                assert_eq!((&made.pods, &made.policies), (&with.pods, &with.policies), "seed {seed}");
            }
        }
    }

    #[test]
    fn steps_are_small_and_now_and_then_large() {
        let (mut kept, mut changed) = (0, 0);
        for seed in 0..40 {
            let steps = steps(seed, &Size::default());
            assert_eq!(steps.len(), 12);
            for (before, after) in steps.iter().zip(steps.iter().skip(1)) {
                let same = after.pods.iter().filter(|pod| before.pods.contains(pod)).count();
                kept += usize::from(same + 3 >= after.pods.len());
                changed += usize::from(same == 0);
                check_promises(after, seed, &Size::default());
            }
        }
        assert!(kept > 300 && changed > 10, "{kept} small, {changed} large");
    }

    #[test]
    fn the_same_seed_is_the_same_world() {
        for seed in 0..20 {
            let size = Size::default();
            assert_eq!(format!("{:?}", world(seed, &size)), format!("{:?}", world(seed, &size)));
        }
    }

    #[test]
    fn worlds_keep_the_promises_of_the_model() {
        for seed in 0..SEEDS {
            for size in [Size::small(), Size::cluster(), Size::manifests(), Size::large()] {
                check_promises(&world(seed, &size), seed, &size);
            }
        }
    }

    fn check_promises(world: &World, seed: u64, size: &Size) {
        let names: BTreeSet<_> = world.policies.iter().map(|p| &p.name).collect();
        assert_eq!(names.len(), world.policies.len(), "policy names, seed {seed}");
        let names: BTreeSet<_> = world.namespaces.iter().map(|n| &n.name).collect();
        assert_eq!(names.len(), world.namespaces.len(), "namespace names, seed {seed}");
        let addresses: Vec<IpAddr> = (world.pods.iter().filter(|p| !p.host_network))
            .flat_map(|p| &p.addresses)
            .chain(world.nodes.iter().flat_map(|n| &n.addresses))
            .copied()
            .collect();
        let distinct: BTreeSet<_> = addresses.iter().collect();
        assert_eq!(distinct.len(), addresses.len(), "addresses, seed {seed}");
        for pod in &world.pods {
            let v4 = pod.addresses.iter().filter(|a| a.is_ipv4()).count();
            assert!(v4 <= 1 && pod.addresses.len() - v4 <= 1, "families, seed {seed}");
        }
        let names: BTreeSet<_> = world.cluster_policies.iter().map(|p| &p.name).collect();
        assert_eq!(names.len(), world.cluster_policies.len(), "cluster policy names, seed {seed}");
        let names: BTreeSet<_> = world.names.iter().map(|n| &n.name).collect();
        assert_eq!(names.len(), world.names.len(), "DNS names, seed {seed}");
        for policy in &world.cluster_policies {
            for rule in &policy.ingress {
                let peers = rule.matches.iter().flat_map(|matches| &matches.peers);
                for peer in peers {
                    assert!(matches!(peer, ClusterPeer::Pods(_)), "an ingress peer, seed {seed}: {peer:?}");
                }
            }
        }
        assert!(world.pods.len() <= size.pods && !world.pods.is_empty());
        assert!(world.cluster_policies.len() <= size.cluster_policies);
        assert!(world.policies.len() <= size.policies + 9);
    }
}
