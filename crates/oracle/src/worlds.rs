//! Random worlds that are worth asking about: few labels, so that selectors hit; address blocks around addresses that
//! exist; ports that meet and overlap; and every shape that the API allows and people seldom write.
//!
//! The same seed and size give the same world on every machine. A world keeps the promises of the model: each address
//! belongs to one pod or one node, pods have at most one address of a family, policy names are unique. What a server
//! would refuse (port 0, a named port's unknown protocol) is not made here either.

mod cluster;
mod mutate;
mod policies;

pub use mutate::{mutate, reorder};

use ringfence_policy::model::World;

use crate::random::Random;

/// How large a world is, and what may occur in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// At most so many namespaces, listed or not; at least one.
    pub namespaces: usize,
    /// At most so many nodes; no more than 16.
    pub nodes: usize,
    /// At most so many pods; at least one, no more than 3,600.
    pub pods: usize,
    /// At most so many policies.
    pub policies: usize,
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
            addresses: Addresses::Mixed,
            families: Families::Mixed,
            host_network: true,
            pod_cidrs: true,
            sctp: true,
        }
    }
}

impl Size {
    /// A handful of everything: small enough to read when something is wrong.
    pub fn small() -> Size {
        Size { namespaces: 2, nodes: 2, pods: 4, policies: 3, ..Size::default() }
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
        Size { namespaces: 10, nodes: 6, pods: 60, policies: 40, ..Size::default() }
    }
}

/// The world of this seed. One in four is the world of the seed before it with something changed, so that a sequence
/// of seeds holds pairs that differ little.
pub fn world(seed: u64, size: &Size) -> World {
    if seed % 4 == 3 {
        let mut random = Random::new(seed);
        let mut world = fresh(seed - 1, size);
        for _ in 0..random.between(1, 3) {
            mutate(&mut world, &mut random);
        }
        return world;
    }
    fresh(seed, size)
}

fn fresh(seed: u64, size: &Size) -> World {
    let mut random = Random::new(seed);
    let mut world = cluster::cluster(size, &mut random);
    world.policies = policies::policies(size, &world, &mut random);
    world
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use super::{Size, world};

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
        ] {
            assert!(text.contains(shape), "{shape}");
        }
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
                let world = world(seed, &size);
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
                assert!(world.pods.len() <= size.pods && !world.pods.is_empty());
                assert!(world.policies.len() <= size.policies + 3);
            }
        }
    }
}
