//! Whatever an API server tells, in whatever order and with whatever gaps: in the end the model is what the server holds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod double;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use ringfence_agent::model::{Model, Source};
use ringfence_cluster::watch::{Kind, News, Object, What};
use ringfence_k8s::Reader;
use ringfence_policy::{Engine, World};
use serde_json::{Value, json};

use double::{namespace, node, pod, policy};

const KINDS: [Kind; 5] =
    [Kind::Namespace, Kind::Node, Kind::Pod, Kind::NetworkPolicy, Kind::ClusterNetworkPolicy];

/// An object of a kind, one of few names, in one of several forms.
fn object(kind: Kind, name: u8, form: u8) -> Value {
    let space = ["shop", "mail"][usize::from(name % 2)];
    match kind {
        Kind::Namespace => {
            let mut object = namespace(space);
            object["metadata"]["labels"] = json!({"zone": (form % 3).to_string()});
            object
        }
        Kind::Node => node(["n1", "n2"][usize::from(name % 2)], &format!("10.{}.0.0/24", form % 2)),
        Kind::Pod => {
            // Few addresses, so that some pods share one.
            let mut object =
                pod(space, &format!("web-{name}"), "n1", &format!("10.0.0.{}", 1 + (name + form) % 5));
            object["metadata"]["labels"] = json!({"app": (["web", "db"][usize::from(form % 2)])});
            match form % 7 {
                3 => object["status"] = json!({"phase": "Pending"}),
                4 => object["status"]["phase"] = json!("Succeeded"),
                5 => object["spec"]["hostNetwork"] = json!(true),
                _ => {}
            }
            object
        }
        Kind::NetworkPolicy => {
            let mut object = policy(space, &format!("p{name}"), "db", "web", 5432 + u16::from(form % 3));
            match form % 5 {
                3 => object["spec"]["egress"] = json!([]),
                4 => object["spec"]["novelty"] = json!(true),
                _ => {}
            }
            object
        }
        _ => json!({"kind": "ClusterNetworkPolicy", "metadata": {"name": format!("c{name}")},
                    "spec": {"tier": "Admin", "priority": form % 4, "subject": {"namespaces": {}},
                             "ingress": [{"action": (["Accept", "Deny", "Pass"][usize::from(form % 3)]),
                                          "from": [{"namespaces": {"matchLabels": {"zone": "1"}}}]}]}}),
    }
}

fn read(kind: Kind, value: &Value) -> Object {
    Object::read(kind, &value.to_string()).unwrap()
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Put(Kind, u8, u8),
    Delete(Kind, u8),
    /// Nothing of this kind is told from now on.
    Lose(Kind),
    /// The kind is listed anew, and told from then on.
    List(Kind),
}

fn act() -> impl Strategy<Value = Act> {
    let kind = || prop::sample::select(KINDS.to_vec());
    prop_oneof![
        6 => (kind(), 0..6u8, 0..21u8).prop_map(|(k, n, f)| Act::Put(k, n, f)),
        3 => (kind(), 0..6u8).prop_map(|(k, n)| Act::Delete(k, n)),
        1 => kind().prop_map(Act::Lose),
        1 => kind().prop_map(Act::List),
    ]
}

fn list(kind: Kind, objects: &BTreeMap<(Kind, String, String), Value>) -> Vec<(Kind, What)> {
    let items =
        objects.iter().filter(|((k, ..), _)| *k == kind).map(|(_, v)| What::Is(Box::new(read(kind, v))));
    [What::Begin].into_iter().chain(items).chain([What::End]).map(|what| (kind, what)).collect()
}

/// The world that a reader of manifests makes of these objects, with the policies that cannot be read left to the model.
fn world(objects: &BTreeMap<(Kind, String, String), Value>) -> World {
    let mut reader = Reader::default();
    let mut names = BTreeSet::new();
    for ((kind, space, _), value) in objects {
        if *kind == Kind::Namespace {
            names.insert(value["metadata"]["name"].as_str().unwrap().to_owned());
        }
        let _ = space;
        if value["spec"]["novelty"].is_null() {
            reader.node(&read(*kind, value).node);
        }
    }
    let mut world = reader.finish().inventory.world();
    world.namespaces.retain(|n| names.contains(&n.name));
    world.pods.retain(|p| p.host_network || !p.addresses.is_empty());
    world
}

fn sorted(mut world: World) -> (Vec<String>, Vec<String>) {
    let closed = |p: &ringfence_policy::NetworkPolicy| p.ingress == Some(vec![]) && p.egress == Some(vec![]);
    let (denying, rest): (Vec<_>, Vec<_>) = world.policies.drain(..).partition(closed);
    let mut all: Vec<String> = (world.pods.iter().map(|p| format!("{p:?}")))
        .chain(world.namespaces.iter().map(|n| format!("{n:?}")))
        .chain(world.nodes.iter().map(|n| format!("{n:?}")))
        .chain(rest.iter().map(|p| format!("{p:?}")))
        .chain(world.cluster_policies.iter().map(|p| format!("{p:?}")))
        .collect();
    all.sort();
    (all, denying.iter().map(|p| p.name.to_string()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_it_is_what_the_server_holds(acts in prop::collection::vec(act(), 0..80), cuts in prop::collection::vec(1..12usize, 1..8)) {
        let mut objects: BTreeMap<(Kind, String, String), Value> = BTreeMap::new();
        let mut told: BTreeSet<Kind> = BTreeSet::new();
        let mut news = Vec::new();
        let key = |kind: Kind, value: &Value| {
            let text = |k: &str| value["metadata"][k].as_str().unwrap_or_default().to_owned();
            (kind, text("namespace"), text("name"))
        };
        for act in acts {
            match act {
                Act::Put(kind, name, form) => {
                    let value = object(kind, name, form);
                    if told.contains(&kind) {
                        news.push((kind, What::Is(Box::new(read(kind, &value)))));
                    }
                    objects.insert(key(kind, &value), value);
                }
                Act::Delete(kind, name) => {
                    let value = object(kind, name, 0);
                    if objects.remove(&key(kind, &value)).is_some() && told.contains(&kind) {
                        news.push((kind, What::Gone(read(kind, &value).name)));
                    }
                }
                Act::Lose(kind) => {
                    told.remove(&kind);
                    news.push((kind, What::Failed("connection reset".to_owned())));
                }
                Act::List(kind) => {
                    told.insert(kind);
                    news.extend(list(kind, &objects));
                }
            }
        }
        for kind in KINDS.into_iter().filter(|kind| !told.contains(kind)) {
            news.extend(list(kind, &objects));
        }
        news.push((Kind::AdminNetworkPolicy, What::Absent));
        news.push((Kind::BaselineAdminNetworkPolicy, What::Absent));

        let mut model = Model::new("n1");
        let mut news = news.into_iter().map(|(kind, what)| News { kind, what, at: Instant::now() }).peekable();
        for size in cuts.iter().cycle() {
            if news.peek().is_none() {
                break;
            }
            model.take(news.by_ref().take(*size).collect::<Vec<_>>());
        }
        prop_assert!(model.is_complete());
        let (found, denying) = sorted(model.engine().to_world());
        let (expected, denying_expected) = sorted(Engine::new(world(&objects)).to_world());
        prop_assert_eq!(found, expected);
        // What cannot be read denies instead, and is told.
        let unreadable: BTreeSet<String> = (objects.iter())
            .filter(|(_, v)| !v["spec"]["novelty"].is_null())
            .map(|((_, space, name), _)| format!("{space}/{name}"))
            .collect();
        let denying: BTreeSet<String> = denying.into_iter().chain(denying_expected).collect();
        prop_assert!(denying.is_superset(&unreadable));
        prop_assert_eq!(model.problems().count(), unreadable.len());
        let fresh = Engine::new(model.engine().to_world());
        prop_assert_eq!(model.engine().statistics(), fresh.statistics());
    }
}

/// A model that has listed everything, with a policy of the cluster.
fn listed(at: Instant) -> Model {
    let mut objects = BTreeMap::new();
    let value = object(Kind::ClusterNetworkPolicy, 1, 1);
    objects.insert((Kind::ClusterNetworkPolicy, String::new(), "c1".to_owned()), value);
    let mut model = Model::new("n1");
    assert!(!model.is_complete());
    let mut news: Vec<(Kind, What)> = KINDS.into_iter().flat_map(|kind| list(kind, &objects)).collect();
    news.push((Kind::AdminNetworkPolicy, What::Absent));
    news.push((Kind::BaselineAdminNetworkPolicy, What::Absent));
    model.take(news.into_iter().map(|(kind, what)| News { kind, what, at }));
    assert!(model.is_complete());
    model
}

#[test]
fn a_kind_that_is_gone_for_a_moment_takes_nothing_with_it() {
    let start = Instant::now();
    let mut model = listed(start);
    let absent = |seconds| News {
        kind: Kind::ClusterNetworkPolicy,
        what: What::Absent,
        at: start + Duration::from_secs(seconds),
    };
    let count = |model: &Model| model.engine().policies().count();
    model.take([absent(1)]);
    model.take([absent(20)]);
    assert_eq!((count(&model), model.source(Kind::ClusterNetworkPolicy, start)), (1, Source::Followed));
    let step = model.take([absent(40)]);
    assert_eq!((count(&model), model.source(Kind::ClusterNetworkPolicy, start)), (0, Source::Absent));
    assert_eq!(step.policies.len(), 1);
}

#[test]
fn an_api_server_that_does_not_answer_changes_nothing() {
    let start = Instant::now();
    let mut model = listed(start);
    let failed = |why: &str| News { kind: Kind::Pod, what: What::Failed(why.to_owned()), at: start };
    let step = model.take([failed("connection refused")]);
    assert!(step.delta.is_empty());
    assert!(model.is_complete());
    let why = "connection refused".to_owned();
    assert_eq!(model.source(Kind::Pod, start), Source::Stale { since: start, why });
    // A watch that is up again is silent until something changes; one that is not fails again before this.
    assert_eq!(model.source(Kind::Pod, start + Duration::from_secs(60)), Source::Followed);
    model.take([What::Begin, What::End].map(|what| News { kind: Kind::Pod, what, at: start }));
    assert_eq!(model.source(Kind::Pod, start), Source::Followed);
}

#[test]
fn what_cannot_be_read_denies_for_as_narrow_a_set_as_can_be_read() {
    let mut model = listed(Instant::now());
    let mut put = |kind: Kind, value: Value| {
        let what = What::Is(Box::new(read(kind, &value)));
        model.take([News { kind, what, at: Instant::now() }]);
        let name = value["metadata"]["name"].as_str().unwrap().to_owned();
        let world = model.engine().to_world();
        let problems: Vec<String> = model.problems().map(|(_, _, problem)| problem.to_owned()).collect();
        let network = world.policies.iter().find(|p| p.name.name == name).map(|p| format!("{:?}", p.subject));
        let cluster = world.cluster_policies.iter().find(|p| p.name.name == name);
        let cluster = cluster
            .map(|p| format!("{:?} {} {} rules", p.tier, p.priority, p.ingress.len() + p.egress.len()));
        (network.or(cluster).unwrap(), problems)
    };
    let mut unknown = policy("shop", "a", "db", "web", 5432);
    unknown["spec"]["novelty"] = json!(1);
    let (subject, problems) = put(Kind::NetworkPolicy, unknown);
    assert!(subject.contains("\"db\""), "{subject}");
    assert!(problems[0].contains("novelty") && problems[0].contains("denies everything"), "{problems:?}");
    let broken =
        json!({"metadata": {"name": "b", "namespace": "shop"}, "spec": {"podSelector": {"labels": {}}}});
    let (subject, problems) = put(Kind::NetworkPolicy, broken);
    assert_eq!((subject.as_str(), problems.len()), ("LabelSelector { requirements: [] }", 2));
    let mut cluster = object(Kind::ClusterNetworkPolicy, 7, 2);
    cluster["spec"]["novelty"] = json!(1);
    let (policy, problems) = put(Kind::ClusterNetworkPolicy, cluster);
    assert_eq!((policy.as_str(), problems.len()), ("Admin 2 2 rules", 3));
}
