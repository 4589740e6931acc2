//! Everything in one namespace, and every policy for every pod.

use ringfence_oracle::random::Random;
use ringfence_policy::{LabelSelector, NamespaceScope, Peer, World};

use super::objects::{
    add_nodes, add_pod, app_labels, app_selector, namespace, namespace_name, one_port, policy, rule,
};

/// 10,000 pods in one namespace, each with a label of its own; 10,000 policies that each select all.
pub(super) fn world(divisor: usize, random: &mut Random) -> World {
    let (pods, policies) = (10_000 / divisor, 10_000 / divisor);
    let mut world = World::default();
    add_nodes(&mut world, pods);
    world.namespaces.push(namespace(0, random));
    let own = namespace_name(0);
    for p in 0..pods {
        let app = format!("app-{p}");
        add_pod(&mut world, &own, &app, app_labels(&app));
    }
    for p in 0..policies {
        let pods = app_selector(&format!("app-{}", random.below(pods)));
        let peer = Peer::Pods { namespaces: NamespaceScope::Own, pods };
        let rules = vec![rule(vec![peer], one_port(random))];
        world.policies.push(policy(&own, p, LabelSelector::everything(), Some(rules), None));
    }
    world
}
