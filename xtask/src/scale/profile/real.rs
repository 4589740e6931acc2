//! A cluster with the counts of a real one. They are dealt, not diced, so that every seed meets them.

mod catalogue;
mod deck;
mod policies;

use ringfence_oracle::random::Random;
use ringfence_policy::{Label, Labels, NamedPort, Namespace, Protocol, Workload, World};

use self::catalogue::App;
use self::deck::{Deck, Quantiles, quantile};
use self::policies::Writer;
use super::objects::{add_nodes, add_pod, namespace, namespace_name};

/// How many pods a namespace has: few are large, most are small.
const NAMESPACE_SIZES: Quantiles =
    &[(0, 0), (40, 0), (300, 2), (500, 4), (750, 8), (900, 18), (980, 50), (1000, 154)];
/// How many pods a workload has.
const REPLICAS: [usize; 10] = [1, 1, 1, 2, 2, 2, 3, 3, 5, 10];
const COMPONENTS: [&str; 4] = ["api", "web", "worker", "db"];
const TEAMS: usize = 40;
/// Labels that two thirds of all pods bear.
const SHARED: [&str; 2] = ["mesh", "scrape"];
/// Of as many cards as a deck has.
const TWO_THIRDS: usize = 673;
/// The namespace of what runs on every node, on the node's network.
const SYSTEM: &str = "kube-system";

/// 5,413 pods, 604 namespaces, 13,678 policies.
pub(super) fn world(divisor: usize, random: &mut Random) -> World {
    let (namespaces, pods, policies) = (604 / divisor, 5_413 / divisor, 13_678 / divisor);
    let mut world = World::default();
    add_nodes(&mut world, pods);
    add_system(&mut world);
    let sizes = sizes(namespaces - 1, pods - world.pods.len());
    let apps_of = add_pods(&mut world, &sizes, random);
    let mut writer = Writer::new(apps_of, random);
    for number in 0..policies {
        world.policies.push(writer.policy(number));
    }
    world
}

/// A DaemonSet on the nodes' network.
fn add_system(world: &mut World) {
    let labels = Labels::from([("team".to_owned(), "platform".to_owned())]);
    world.namespaces.push(Namespace { name: SYSTEM.to_owned(), labels });
    for n in 0..world.nodes.len() {
        let addresses = world.nodes[n].addresses.clone();
        let labels = Labels::from([("k8s-app".to_owned(), "node-agent".to_owned())]);
        let pod = add_pod(world, SYSTEM, "node-agent", labels);
        pod.workload.kind = "DaemonSet".to_owned();
        pod.host_network = true;
        pod.addresses = addresses;
    }
}

/// How many pods each namespace has, so many in all.
fn sizes(namespaces: usize, pods: usize) -> Vec<usize> {
    // Where there are few, one must not have more than all.
    let size = |n| quantile(NAMESPACE_SIZES, n, namespaces).min(pods / 4);
    let mut sizes: Vec<usize> = (0..namespaces).map(size).collect();
    // What the table has too many or too few goes to all but the largest.
    for n in (0..namespaces.saturating_sub(1)).cycle().take(namespaces * pods) {
        let sum: usize = sizes.iter().sum();
        match sum.cmp(&pods) {
            std::cmp::Ordering::Less => sizes[n] += usize::from(sizes[n] > 0),
            std::cmp::Ordering::Equal => break,
            std::cmp::Ordering::Greater => sizes[n] -= usize::from(sizes[n] > 1),
        }
    }
    sizes
}

fn team(namespace: usize) -> String {
    format!("team-{}", namespace % TEAMS)
}

/// The pods of every namespace; what there is of each workload.
fn add_pods(world: &mut World, sizes: &[usize], random: &mut Random) -> Vec<Vec<App>> {
    let mut shared = [Deck::default(), Deck::default()];
    let mut apps_of = Vec::new();
    for (n, size) in sizes.iter().enumerate() {
        let mut namespace = namespace(n, random);
        namespace.labels.insert("team".to_owned(), team(n));
        world.namespaces.push(namespace);
        let mut apps: Vec<App> = Vec::new();
        let mut left = *size;
        while left > 0 {
            let app = App {
                name: format!("app-{}", apps.len()),
                component: random.pick::<&str>(&COMPONENTS),
                pods: (*random.pick(&REPLICAS)).min(left),
            };
            add_app(world, n, &app, &mut shared, random);
            left -= app.pods;
            apps.push(app);
        }
        apps_of.push(apps);
    }
    apps_of
}

fn add_app(world: &mut World, namespace: usize, app: &App, shared: &mut [Deck; 2], random: &mut Random) {
    let kind = match random.below(100) {
        0..80 => "Deployment",
        80..95 => "StatefulSet",
        _ if app.pods == 1 => "Pod",
        _ => "Job",
    };
    let ports: &[(&str, u16)] = match app.component {
        "worker" => &[("metrics", 9090)],
        "db" => &[],
        _ => &[("http", 8080), ("metrics", 9090)],
    };
    let hash = format!("{:010x}", random.bits() >> 24);
    for _ in 0..app.pods {
        let mut labels: Labels = [("app", app.name.as_str()), ("component", app.component)].map(owned).into();
        if kind == "Deployment" {
            labels.extend([owned(("pod-template-hash", &hash))]);
        }
        for (key, deck) in SHARED.iter().zip(shared.iter_mut()) {
            if deck.deal(random) < TWO_THIRDS {
                labels.extend([owned((key, "on"))]);
            }
        }
        let pod = add_pod(world, &namespace_name(namespace), &app.name, labels);
        let name = if kind == "Pod" { &pod.name } else { &app.name };
        pod.workload = Workload { kind: kind.to_owned(), name: name.clone() };
        let named = |(name, port): &(&str, u16)| NamedPort {
            name: (*name).to_owned(),
            protocol: Protocol::Tcp,
            port: *port,
        };
        pod.named_ports = ports.iter().map(named).collect();
    }
}

fn owned((key, value): (&str, &str)) -> Label {
    (key.to_owned(), value.to_owned())
}
