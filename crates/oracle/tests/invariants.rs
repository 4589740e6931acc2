//! What must hold of the naive engine on every world, whatever its policies say. What tiers add is in `tiers.rs`.

use std::collections::BTreeSet;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use ringfence_oracle::naive::{Direction, End, allowed, isolated};
use ringfence_oracle::questions::questions;
use ringfence_oracle::random::Random;
use ringfence_oracle::strategies::any_world;
use ringfence_oracle::worlds::reorder;
use ringfence_policy::{
    ClusterPeer, ClusterRule, IpBlock, LabelSelector, Peer, Peers, PodId, PortMatch, PortRange, PortRef,
    Ports, Requirement, Rule, Traffic, World,
};

/// So many questions of each world.
const ASKED: usize = 150;

type Question = (End, End, Traffic);

fn ask(world: &World, seed: u64) -> Vec<Question> {
    questions(world, seed).into_iter().take(ASKED).collect()
}

fn answers(world: &World, asked: &[Question]) -> Vec<bool> {
    asked.iter().map(|(from, to, traffic)| allowed(world, from, to, *traffic)).collect()
}

/// The first question that is allowed before and not after.
fn lost(before: &World, after: &World, asked: &[Question]) -> Option<Question> {
    let mut questions = asked.iter().copied();
    questions.find(|(from, to, traffic)| {
        allowed(before, from, to, *traffic) && !allowed(after, from, to, *traffic)
    })
}

fn rules_mut(world: &mut World) -> impl Iterator<Item = &mut Rule> {
    world.policies.iter_mut().flat_map(|policy| [&mut policy.ingress, &mut policy.egress]).flatten().flatten()
}

fn cluster_rules_mut(world: &mut World) -> impl Iterator<Item = &mut ClusterRule> {
    world.cluster_policies.iter_mut().flat_map(|policy| policy.ingress.iter_mut().chain(&mut policy.egress))
}

fn map_selectors(world: &mut World, change: impl Fn(&LabelSelector) -> LabelSelector) {
    for policy in &mut world.cluster_policies {
        policy.subject.pods = change(&policy.subject.pods);
    }
    for matches in cluster_rules_mut(world).filter_map(|rule| rule.matches.as_mut()) {
        for peer in &mut matches.peers {
            match peer {
                ClusterPeer::Pods(across) => across.pods = change(&across.pods),
                ClusterPeer::Nodes(nodes) => *nodes = change(nodes),
                ClusterPeer::Network(_) | ClusterPeer::Domain(_) => {}
            }
        }
    }
    for policy in &mut world.policies {
        policy.subject = change(&policy.subject);
    }
    for rule in rules_mut(world) {
        let Peers::Of(peers) = &mut rule.peers else { continue };
        for peer in peers {
            if let Peer::Pods { pods, .. } = peer {
                *pods = change(pods);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn order_means_nothing(world in any_world(), seed in any::<u64>()) {
        let asked = ask(&world, seed);
        let mut shuffled = world.clone();
        reorder(&mut shuffled, &mut Random::new(seed));
        shuffled.namespaces.reverse();
        shuffled.nodes.reverse();
        shuffled.pod_cidrs.reverse();
        prop_assert_eq!(answers(&world, &asked), answers(&shuffled, &asked));
    }

    #[test]
    fn without_policies_everything_passes(mut world in any_world(), seed in any::<u64>()) {
        let asked = ask(&world, seed);
        world.policies.clear();
        world.cluster_policies.clear();
        prop_assert!(answers(&world, &asked).into_iter().all(|allowed| allowed));
    }

    #[test]
    fn a_further_rule_takes_nothing_away(world in any_world(), other in any_world(), seed in any::<u64>()) {
        let asked = ask(&world, seed);
        let new_rules = || other.policies.iter().flat_map(|p| [&p.ingress, &p.egress].into_iter().flatten().flatten());
        let mut larger = world.clone();
        let mut random = Random::new(seed);
        for policy in &mut larger.policies {
            for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
                let place = random.below(rules.len() + 1);
                rules.splice(place..place, new_rules().filter(|_| random.chance(30)).cloned());
            }
        }
        prop_assert_eq!(lost(&world, &larger, &asked), None);
    }

    #[test]
    fn a_wider_rule_takes_nothing_away(world in any_world(), seed in any::<u64>()) {
        let asked = ask(&world, seed);
        let mut random = Random::new(seed);
        let mut wider = world.clone();
        for rule in rules_mut(&mut wider) {
            if random.chance(30) {
                rule.peers = Peers::Any;
            }
            if random.chance(30) {
                rule.ports = Ports::Any;
            }
        }
        prop_assert_eq!(lost(&world, &wider, &asked), None);
    }

    /// A policy that isolates no pod anew can only allow more.
    #[test]
    fn a_further_policy_takes_nothing_from_the_isolated(world in any_world(), other in any_world(), seed in any::<u64>()) {
        let asked = ask(&world, seed);
        for policy in &other.policies {
            let mut larger = world.clone();
            larger.policies.push(policy.clone());
            let isolates_anew = (0..world.pods.len() as u32).map(PodId).any(|pod| {
                Direction::ALL.iter().any(|d| isolated(&larger, pod, *d) && !isolated(&world, pod, *d))
            });
            if !isolates_anew {
                prop_assert_eq!(lost(&world, &larger, &asked), None);
            }
        }
    }

    #[test]
    fn one_spelling_of_a_selector_is_as_good_as_another(world in any_world(), seed in any::<u64>()) {
        let asked = ask(&world, seed);
        let mut respelled = world.clone();
        map_selectors(&mut respelled, |selector| {
            LabelSelector::new(selector.requirements().iter().flat_map(|requirement| match requirement {
                // One of these values: there, and none of the others that anything has.
                Requirement::In(key, values) => {
                    let all = ["a", "b", "c", ""].map(str::to_owned);
                    let others: BTreeSet<String> = all.into_iter().filter(|v| !values.contains(v)).collect();
                    vec![Requirement::Exists(key.clone()), Requirement::NotIn(key.clone(), others)]
                }
                // None of these: one requirement for each.
                Requirement::NotIn(key, values) => {
                    let each = values.iter().map(|v| Requirement::NotIn(key.clone(), BTreeSet::from([v.clone()])));
                    each.collect()
                }
                other => vec![other.clone()],
            }))
        });
        prop_assert_eq!(answers(&world, &asked), answers(&respelled, &asked));
    }

    #[test]
    fn ranges_and_blocks_can_be_split(world in any_world(), seed in any::<u64>()) {
        let asked = ask(&world, seed);
        let mut split = world.clone();
        for rule in rules_mut(&mut split) {
            if let Ports::Of(ports) = &mut rule.ports {
                *ports = ports.iter().flat_map(halves_of_port).collect();
            }
            if let Peers::Of(peers) = &mut rule.peers {
                *peers = peers.iter().flat_map(halves_of_peer).collect();
            }
        }
        for matches in cluster_rules_mut(&mut split).filter_map(|rule| rule.matches.as_mut()) {
            if let Ports::Of(ports) = &mut matches.ports {
                *ports = ports.iter().flat_map(halves_of_port).collect();
            }
            matches.peers = matches.peers.iter().flat_map(halves_of_cluster_peer).collect();
        }
        // Of a pod without an address the whole can be known where the halves say nothing.
        let asked: Vec<Question> =
            asked.into_iter().filter(|(from, to, _)| !matches!((from, to), (End::Pod(_), _) | (_, End::Pod(_)))).collect();
        prop_assert_eq!(answers(&world, &asked), answers(&split, &asked));
    }
}

fn halves_of_port(entry: &PortMatch) -> Vec<PortMatch> {
    let PortRef::Range(range) = entry.port else { return vec![entry.clone()] };
    let middle = range.first() + (range.last() - range.first()) / 2;
    let halves =
        [PortRange::new(range.first(), middle), PortRange::new(middle.saturating_add(1), range.last())];
    let distinct: BTreeSet<PortRange> = halves.into_iter().flatten().collect();
    distinct.into_iter().map(|half| PortMatch { port: PortRef::Range(half), ..entry.clone() }).collect()
}

fn halves_of_peer(peer: &Peer) -> Vec<Peer> {
    let Peer::Block(block) = peer else { return vec![peer.clone()] };
    match block.cidr().subnets(block.cidr().prefix_len() + 1) {
        Ok(halves) => {
            halves.map(|half| Peer::Block(IpBlock::new(half, block.except().iter().copied()))).collect()
        }
        Err(_) => vec![peer.clone()],
    }
}

fn halves_of_cluster_peer(peer: &ClusterPeer) -> Vec<ClusterPeer> {
    let ClusterPeer::Network(network) = peer else { return vec![peer.clone()] };
    match network.trunc().subnets(network.prefix_len() + 1) {
        Ok(halves) => halves.map(ClusterPeer::Network).collect(),
        Err(_) => vec![peer.clone()],
    }
}
