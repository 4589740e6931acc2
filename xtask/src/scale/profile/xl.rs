//! The cluster of Antrea's controller benchmark: very many small namespaces, three policies and four pods in each.
//!
//! <https://github.com/antrea-io/antrea/blob/main/pkg/controller/networkpolicy/networkpolicy_controller_perf_test.go>

use ringfence_oracle::random::Random;
use ringfence_policy::{LabelSelector, NamespaceScope, Peer, Ports, World};

use super::objects::{
    add_nodes, add_pod, app_labels, app_selector, name_selector, namespace, namespace_name, one_port, policy,
    rule,
};

const PODS: usize = 4;

/// 25,000 namespaces, 100,000 pods, 75,000 policies.
pub(super) fn world(divisor: usize, random: &mut Random) -> World {
    let namespaces = 25_000 / divisor;
    let mut world = World::default();
    add_nodes(&mut world, namespaces * PODS);
    for n in 0..namespaces {
        world.namespaces.push(namespace(n, random));
        let own = namespace_name(n);
        for p in 0..PODS {
            let app = format!("app-{p}");
            add_pod(&mut world, &own, &app, app_labels(&app));
        }
        let everything = LabelSelector::everything;
        let by_label = Peer::Pods { namespaces: NamespaceScope::Own, pods: app_selector("app-1") };
        let other = name_selector(&namespace_name(random.below(namespaces)));
        let by_namespace = Peer::Pods { namespaces: NamespaceScope::Matching(other), pods: everything() };
        let by_label = vec![rule(vec![by_label], one_port(random))];
        let by_namespace = vec![rule(vec![by_namespace], Ports::Any)];
        world.policies.push(policy(&own, 0, everything(), Some(Vec::new()), None));
        world.policies.push(policy(&own, 1, app_selector("app-0"), Some(by_label), None));
        world.policies.push(policy(&own, 2, everything(), Some(by_namespace), None));
    }
    world
}
