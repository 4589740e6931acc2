//! What small changes cost an engine that answers already: one pod added, one policy changed, each applied alone.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use ringfence_oracle::random::Random;
use ringfence_policy::{
    Change, Engine, IpBlock, LabelSelector, NamespaceScope, NetworkPolicy, Peer, Peers, Pod, Policy,
    PortMatch, PortRange, PortRef, Ports, Protocol, Rule,
};

/// How many changes of each kind are made.
const CHANGES: usize = 200;

/// Microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

/// Adds pods, each a copy of one that is there with a name and an address of its own; half of them bear labels that
/// no pod had before. `None` where there are no pods that policies can hold.
pub(crate) fn pods_added(engine: &mut Engine, random: &mut Random) -> Option<Cost> {
    let pods: Vec<&Pod> = engine.pods().map(|(_, p)| p).filter(|p| !p.host_network).collect();
    let added: Option<Vec<Change>> =
        (0..CHANGES).map(|number| Some(Change::AddPod(another(random.pick_any(&pods)?, number)))).collect();
    cost(engine, added?)
}

fn another(pod: &Pod, number: usize) -> Pod {
    let mut pod = pod.clone();
    pod.name = format!("added-{number}");
    if number % 2 == 1 {
        pod.labels.insert("version".to_owned(), format!("added-{number}"));
    }
    // Beyond the addresses of any profile's pods, and inside the range of pods.
    let host = u8::try_from(number).unwrap_or(u8::MAX);
    pod.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 200, 0, host))];
    pod
}

/// Changes policies, each in the peers or the ports of one rule. `None` where no policy has rules.
pub(crate) fn policies_changed(engine: &mut Engine, random: &mut Random) -> Option<Cost> {
    let policies: Vec<&NetworkPolicy> = engine
        .policies()
        .filter_map(|(_, policy)| match policy {
            Policy::Network(policy) => Some(policy),
            Policy::Cluster(_) => None,
        })
        .filter(|p| rules(p).next().is_some())
        .collect();
    let pods: Vec<&Pod> = engine.pods().map(|(_, p)| p).collect();
    let changed: Option<Vec<Change>> = (0..CHANGES)
        .map(|_| {
            let mut policy = NetworkPolicy::clone(random.pick_any(&policies)?);
            edit(&mut policy, &pods, random)?;
            Some(Change::SetPolicy(Policy::Network(policy)))
        })
        .collect();
    cost(engine, changed?)
}

fn rules(policy: &NetworkPolicy) -> impl Iterator<Item = &Rule> {
    policy.ingress.iter().chain(&policy.egress).flatten()
}

/// One more selector, one more block, or another port, in one of the policy's rules.
fn edit(policy: &mut NetworkPolicy, pods: &[&Pod], random: &mut Random) -> Option<()> {
    let place = random.below(rules(policy).count());
    let rule = policy.ingress.iter_mut().chain(&mut policy.egress).flatten().nth(place)?;
    let peer = match random.below(3) {
        0 => {
            let pod = random.pick_any(pods)?;
            let name = [("kubernetes.io/metadata.name", pod.namespace.as_str())];
            let namespaces = NamespaceScope::Matching(LabelSelector::labels(name));
            Peer::Pods { namespaces, pods: LabelSelector::labels(pod.labels.clone()) }
        }
        1 => {
            let [a, b, c, _] = u32::try_from(random.bits() >> 32).unwrap_or(0).to_be_bytes();
            let net = ipnet::Ipv4Net::new(Ipv4Addr::new(1 + a % 200, b, c, 0), 24).ok()?;
            Peer::Block(IpBlock::new(net.into(), []))
        }
        _ => {
            let port = u16::try_from(random.between(1, usize::from(u16::MAX))).unwrap_or(1);
            let port = PortRef::Range(PortRange::single(port));
            rule.ports = Ports::Of(vec![PortMatch { protocol: Protocol::Tcp, port }]);
            return Some(());
        }
    };
    match &mut rule.peers {
        Peers::Of(peers) => peers.push(peer),
        any => *any = Peers::Of(vec![peer]),
    }
    Some(())
}

/// Applies changes one after the other; what it takes to make them up is not counted.
fn cost(engine: &mut Engine, changes: Vec<Change>) -> Option<Cost> {
    let mut times = Vec::with_capacity(changes.len());
    for change in changes {
        let start = Instant::now();
        let delta = engine.apply([change]);
        times.push(start.elapsed().as_secs_f64() * 1e6);
        black_box(delta);
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    Some(Cost { median: at(50)?, p99: at(99)? })
}
