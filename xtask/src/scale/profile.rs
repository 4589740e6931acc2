//! The worlds: four shapes of clusters, from a seed.
#![expect(
    clippy::indexing_slicing,
    reason = "places are drawn from the lists that they index, in a chore for developers"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use clap::ValueEnum;
use ipnet::{IpNet, Ipv4Net};
use ringfence_oracle::random::Random;
use ringfence_policy::{
    IpBlock, LabelSelector, Labels, Namespace, NamespaceScope, NetworkPolicy, Peer, Peers, Pod, PolicyName,
    PortMatch, PortRange, PortRef, Ports, Protocol, Rule, Workload, World,
};

/// The shape of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// 5,413 pods, 604 namespaces, 13,678 policies, as counted in a real cluster
    Real,
    /// 25,000 namespaces, 100,000 pods, 75,000 policies
    Xl,
    /// 10,000 pods in one namespace, 10,000 policies that each select all
    Dense,
    /// 100,000 pods, 1,000 namespaces, 10,000 policies whose peers span ten namespaces
    Wide,
}

impl Profile {
    /// All of them.
    pub(crate) const ALL: [Profile; 4] = [Profile::Real, Profile::Xl, Profile::Dense, Profile::Wide];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Real => "real",
            Profile::Xl => "xl",
            Profile::Dense => "dense",
            Profile::Wide => "wide",
        }
    }

    /// The world of a seed.
    pub(crate) fn world(self, seed: u64) -> World {
        let mut random = Random::new(seed);
        match self {
            Profile::Real => real(&mut random),
            Profile::Xl => xl(&mut random),
            Profile::Dense => dense(&mut random),
            Profile::Wide => wide(&mut random),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const PORTS: [u16; 8] = [80, 443, 5432, 6379, 8080, 8443, 9090, 9200];

fn real(random: &mut Random) -> World {
    let mut world = World::default();
    let (namespaces, pods, policies) = (604, 5_413, 13_678);
    for n in 0..namespaces {
        world.namespaces.push(namespace(n, random));
    }
    // Few namespaces are large, and most are small.
    let mut apps_of: Vec<Vec<(String, usize)>> = vec![Vec::new(); namespaces];
    while world.pods.len() < pods {
        let n = skewed(random, namespaces);
        let app = format!("app-{}", apps_of[n].len());
        let replicas = [1, 2, 2, 3, 6][random.below(5)].min(pods - world.pods.len());
        for _ in 0..replicas {
            let mut labels = Labels::from([
                ("app".to_owned(), app.clone()),
                ("team".to_owned(), format!("team-{}", n % 40)),
            ]);
            if random.chance(67) {
                labels.insert("mesh".to_owned(), "on".to_owned());
            }
            add_pod(&mut world, &format!("ns-{n}"), &app, labels);
        }
        apps_of[n].push((app, replicas));
    }
    let inhabited: Vec<usize> = (0..namespaces).filter(|n| !apps_of[*n].is_empty()).collect();
    for p in 0..policies {
        let n = *random.pick(&inhabited);
        let own = format!("ns-{n}");
        let subject = match random.below(100) {
            0..26 => app_selector("nobody"),
            26..60 => LabelSelector::everything(),
            _ => app_selector(&random.pick(&apps_of[n]).0.clone()),
        };
        let rules: Vec<Rule> =
            (0..random.between(1, 3)).map(|_| real_rule(random, &apps_of, &inhabited)).collect();
        let egress = random.chance(40);
        world.policies.push(policy(&own, p, subject, egress, rules));
    }
    world
}

fn real_rule(random: &mut Random, apps_of: &[Vec<(String, usize)>], inhabited: &[usize]) -> Rule {
    if random.chance(40) {
        let peers = (0..random.between(1, 4)).map(|_| block(random)).collect();
        return rule(peers, random.chance(82), random);
    }
    let peer = if random.below(1000) < 8 {
        Peer::Pods {
            namespaces: NamespaceScope::Matching(LabelSelector::everything()),
            pods: LabelSelector::labels([("mesh", "on")]),
        }
    } else {
        let n = *random.pick(inhabited);
        let app = random.pick(&apps_of[n]).0.clone();
        let namespaces = NamespaceScope::Matching(name_selector(&format!("ns-{n}")));
        Peer::Pods { namespaces, pods: app_selector(&app) }
    };
    rule(vec![peer], random.chance(31), random)
}

fn xl(random: &mut Random) -> World {
    let mut world = World::default();
    for n in 0..25_000 {
        world.namespaces.push(namespace(n, random));
        let own = format!("ns-{n}");
        for p in 0..4 {
            let app = format!("app-{p}");
            add_pod(&mut world, &own, &app, Labels::from([("app".to_owned(), app.clone())]));
        }
        world.policies.push(policy(&own, 0, LabelSelector::everything(), false, Vec::new()));
        let by_label = Peer::Pods { namespaces: NamespaceScope::Own, pods: app_selector("app-1") };
        world.policies.push(policy(
            &own,
            1,
            app_selector("app-0"),
            false,
            vec![rule(vec![by_label], true, random)],
        ));
        let other = name_selector(&format!("ns-{}", random.below(25_000)));
        let by_namespace =
            Peer::Pods { namespaces: NamespaceScope::Matching(other), pods: LabelSelector::everything() };
        world.policies.push(policy(
            &own,
            2,
            LabelSelector::everything(),
            false,
            vec![rule(vec![by_namespace], false, random)],
        ));
    }
    world
}

fn dense(random: &mut Random) -> World {
    let mut world = World::default();
    world.namespaces.push(namespace(0, random));
    for p in 0..10_000 {
        let labels = Labels::from([("app".to_owned(), format!("app-{p}"))]);
        add_pod(&mut world, "ns-0", &format!("app-{p}"), labels);
    }
    for p in 0..10_000 {
        let peer = Peer::Pods {
            namespaces: NamespaceScope::Own,
            pods: app_selector(&format!("app-{}", random.below(10_000))),
        };
        let rules = vec![rule(vec![peer], true, random)];
        world.policies.push(policy("ns-0", p, LabelSelector::everything(), false, rules));
    }
    world
}

fn wide(random: &mut Random) -> World {
    let mut world = World::default();
    for n in 0..1_000 {
        let mut namespace = namespace(n, random);
        // Ten namespaces share a zone.
        namespace.labels.insert("zone".to_owned(), format!("zone-{}", n / 10));
        world.namespaces.push(namespace);
        for p in 0..100 {
            let app = format!("app-{}", p % 20);
            add_pod(&mut world, &format!("ns-{n}"), &app, Labels::from([("app".to_owned(), app.clone())]));
        }
    }
    for p in 0..10_000 {
        let zone = LabelSelector::labels([("zone", format!("zone-{}", random.below(100)))]);
        let pods = app_selector(&format!("app-{}", random.below(20)));
        let peer = Peer::Pods { namespaces: NamespaceScope::Matching(zone), pods };
        let subject = app_selector(&format!("app-{}", random.below(20)));
        let rules = vec![rule(vec![peer], true, random)];
        world.policies.push(policy(&format!("ns-{}", random.below(1_000)), p, subject, false, rules));
    }
    world
}

/// A place in a list of which the first are far more frequent.
fn skewed(random: &mut Random, count: usize) -> usize {
    let a = random.below(count);
    let b = random.below(count);
    a.min(b).min(random.below(count))
}

fn namespace(n: usize, random: &mut Random) -> Namespace {
    let labels = BTreeMap::from([("env".to_owned(), (*random.pick(&["dev", "test", "prod"])).to_owned())]);
    Namespace { name: format!("ns-{n}"), labels }
}

fn add_pod(world: &mut World, namespace: &str, app: &str, labels: Labels) {
    let number = world.pods.len();
    let [_, b, c, d] = u32::try_from(number).unwrap_or(0).to_be_bytes();
    world.pods.push(Pod {
        namespace: namespace.to_owned(),
        name: format!("{app}-{number}"),
        workload: Workload { kind: "Deployment".to_owned(), name: app.to_owned() },
        count: 1,
        labels,
        addresses: vec![IpAddr::V4(Ipv4Addr::new(10, b, c, d))],
        named_ports: Vec::new(),
        host_network: false,
        node: Some(format!("node-{}", number / 100)),
    });
}

fn policy(
    namespace: &str,
    number: usize,
    subject: LabelSelector,
    egress: bool,
    rules: Vec<Rule>,
) -> NetworkPolicy {
    let name = PolicyName { namespace: namespace.to_owned(), name: format!("policy-{number}") };
    let (ingress, egress) = if egress { (None, Some(rules)) } else { (Some(rules), None) };
    NetworkPolicy { name, subject, ingress, egress, source: None }
}

fn rule(peers: Vec<Peer>, with_ports: bool, random: &mut Random) -> Rule {
    let ports = if with_ports {
        let port = PortRef::Range(PortRange::single(*random.pick(&PORTS)));
        Ports::Of(vec![PortMatch { protocol: Protocol::Tcp, port }])
    } else {
        Ports::Any
    };
    Rule { peers: Peers::Of(peers), ports, source: None }
}

fn block(random: &mut Random) -> Peer {
    let [a, b, c, d] = u32::try_from(random.bits() >> 32).unwrap_or(0).to_be_bytes();
    let length = *random.pick(&[32, 32, 24, 24, 16, 28]);
    let net = Ipv4Net::new(Ipv4Addr::new(1 + a % 200, b, c, d), length).unwrap_or_default();
    Peer::Block(IpBlock::new(IpNet::V4(net), []))
}

fn app_selector(app: &str) -> LabelSelector {
    LabelSelector::labels([("app", app)])
}

fn name_selector(namespace: &str) -> LabelSelector {
    LabelSelector::labels([("kubernetes.io/metadata.name", namespace)])
}
