//! Large namespaces in zones of ten, policies whose peers are a zone, and cluster policies over them.

use ringfence_oracle::random::Random;
use ringfence_policy::{LabelSelector, NamespaceScope, Peer, World};

use super::cluster_policies::cluster_policies;
use super::objects::{
    add_nodes, add_pod, app_labels, app_selector, namespace, namespace_name, one_port, policy, rule,
};

const PODS_OF_A_NAMESPACE: usize = 100;
const NAMESPACES_OF_A_ZONE: usize = 10;
/// How many applications a namespace has; they are called alike everywhere.
pub(super) const APPS: usize = 20;

/// 100,000 pods, 1,000 namespaces, 10,000 policies whose peers span ten namespaces, 100 cluster policies.
pub(super) fn world(divisor: usize, random: &mut Random) -> World {
    let (namespaces, policies) = (1_000 / divisor, 10_000 / divisor);
    let zones = namespaces.div_ceil(NAMESPACES_OF_A_ZONE);
    let mut world = World::default();
    add_nodes(&mut world, namespaces * PODS_OF_A_NAMESPACE);
    for n in 0..namespaces {
        let mut namespace = namespace(n, random);
        namespace.labels.insert("zone".to_owned(), zone(n / NAMESPACES_OF_A_ZONE));
        world.namespaces.push(namespace);
        for p in 0..PODS_OF_A_NAMESPACE {
            let app = format!("app-{}", p % APPS);
            add_pod(&mut world, &namespace_name(n), &app, app_labels(&app));
        }
    }
    for p in 0..policies {
        let namespaces_of_zone = LabelSelector::labels([("zone", zone(random.below(zones)))]);
        let pods = app_selector(&format!("app-{}", random.below(APPS)));
        let peer = Peer::Pods { namespaces: NamespaceScope::Matching(namespaces_of_zone), pods };
        let subject = app_selector(&format!("app-{}", random.below(APPS)));
        let rules = vec![rule(vec![peer], one_port(random))];
        let own = namespace_name(random.below(namespaces));
        world.policies.push(policy(&own, p, subject, Some(rules), None));
    }
    world.cluster_policies = cluster_policies((100 / divisor).max(4), zones, random);
    world
}

/// The name of a zone.
pub(super) fn zone(number: usize) -> String {
    format!("zone-{number}")
}
