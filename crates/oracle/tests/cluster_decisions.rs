//! The naive engine on worlds small enough to check by hand: one case for each decision that a reader of the
//! specification of ClusterNetworkPolicy could take otherwise. What its rules match is in `cluster_peers.rs`.

mod by_hand;

use by_hand::cluster::{
    OUTSIDE, admin, all, baseline, domain, network, node, on, policy, rule, unknown, world,
};
use by_hand::{CLIENT, HTTP, SERVER, egress, ingress, ip, selector};
use ringfence_oracle::naive::{Direction, End, RuleName, Tier, allowed, decision, egress_allowed};
use ringfence_policy::{
    Action, ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterTier, NetworkPolicy, Peers,
    PodsAcross, Ports, Rule, Traffic, World,
};

/// Where it is decided whether the client reaches the server, by which rule, and by which rules it was passed on.
fn decided(world: &World) -> (bool, Tier, String, Vec<String>) {
    let made = decision(world, Direction::Ingress, &CLIENT, &SERVER, HTTP);
    let name = |rule: &RuleName| format!("{}#{}", rule.policy, rule.rule);
    (made.allowed, made.tier, made.rule.iter().map(name).collect(), made.passed.iter().map(name).collect())
}

fn check(
    cluster_policies: Vec<ClusterPolicy>,
    policies: Vec<NetworkPolicy>,
    allowed: bool,
    tier: Tier,
    rule: &str,
    passed: &[&str],
) {
    let (is_allowed, at, by, on_the_way) = decided(&world(cluster_policies, policies));
    let kind = |text: &str| {
        if text.is_empty() || text.contains('/') {
            text.to_owned()
        } else {
            format!("ClusterNetworkPolicy/{text}")
        }
    };
    let passed: Vec<String> = passed.iter().map(|text| kind(text)).collect();
    assert_eq!((is_allowed, at, by, on_the_way), (allowed, tier, kind(rule), passed));
}

/// NetworkPolicies that isolate the server: with no rule, or with one for everybody.
fn closed() -> Vec<NetworkPolicy> {
    vec![ingress("a", "app=server", Vec::new())]
}

fn open() -> Vec<NetworkPolicy> {
    vec![ingress("a", "app=server", vec![Rule { peers: Peers::Any, ports: Ports::Any, source: None }])]
}

#[test]
fn tiers_follow_one_another() {
    use Action::{Accept, Deny};
    check(Vec::new(), Vec::new(), true, Tier::Default, "", &[]);
    check(vec![admin(9, "x", vec![all(Accept)])], closed(), true, Tier::Admin, "x#0", &[]);
    check(vec![admin(9, "x", vec![all(Deny)])], open(), false, Tier::Admin, "x#0", &[]);
    check(vec![baseline(0, "x", vec![all(Accept)])], closed(), false, Tier::NetworkPolicy, "", &[]);
    check(vec![baseline(0, "x", vec![all(Deny)])], open(), true, Tier::NetworkPolicy, "a/policy#0", &[]);
    check(vec![baseline(0, "x", vec![all(Deny)])], Vec::new(), false, Tier::Baseline, "x#0", &[]);
    let both = vec![baseline(0, "x", vec![all(Accept)]), admin(1000, "y", vec![all(Deny)])];
    check(both, Vec::new(), false, Tier::Admin, "y#0", &[]);
}

#[test]
fn a_tier_is_asked_by_priority_and_a_policy_rule_by_rule() {
    use Action::{Accept, Deny};
    for make in [admin, baseline] {
        let tier = make(0, "x", Vec::new()).tier;
        let tier = if tier == ClusterTier::Admin { Tier::Admin } else { Tier::Baseline };
        let nobody = || rule(Deny, []);
        let by_priority = vec![make(10, "a", vec![all(Deny)]), make(9, "z", vec![all(Accept)])];
        check(by_priority, Vec::new(), true, tier, "z#0", &[]);
        let by_place = vec![make(5, "x", vec![nobody(), all(Accept), all(Deny)])];
        check(by_place, Vec::new(), true, tier, "x#1", &[]);
        let none_matches = vec![make(0, "x", vec![nobody()]), make(1000, "y", vec![all(Deny)])];
        check(none_matches, Vec::new(), false, tier, "y#0", &[]);
        let by_name = vec![make(5, "b", vec![all(Deny)]), make(5, "a", vec![all(Accept)])];
        check(by_name, Vec::new(), true, tier, "a#0", &[]);
    }
}

#[test]
fn the_older_kinds_mean_the_same_and_come_later_at_one_name() {
    let older = |kind, tier, rules| {
        let name = ClusterPolicyName { name: "x".to_owned(), kind };
        ClusterPolicy { name, ingress: rules, ..policy("x", tier, 5) }
    };
    let admin_kind =
        |action| older(ClusterPolicyKind::AdminNetworkPolicy, ClusterTier::Admin, vec![all(action)]);
    let baseline_kind = |action| {
        older(ClusterPolicyKind::BaselineAdminNetworkPolicy, ClusterTier::Baseline, vec![all(action)])
    };
    let (accept, deny) = (Action::Accept, Action::Deny);
    check(vec![admin_kind(accept)], closed(), true, Tier::Admin, "AdminNetworkPolicy/x#0", &[]);
    check(vec![baseline_kind(deny)], open(), true, Tier::NetworkPolicy, "a/policy#0", &[]);
    let name = "BaselineAdminNetworkPolicy/x#0";
    check(vec![baseline_kind(deny)], Vec::new(), false, Tier::Baseline, name, &[]);
    let both = vec![admin_kind(deny), admin(5, "x", vec![all(accept)])];
    check(both, Vec::new(), true, Tier::Admin, "x#0", &[]);
    let both = vec![baseline_kind(deny), baseline(5, "x", vec![all(accept)])];
    check(both, Vec::new(), true, Tier::Baseline, "x#0", &[]);
}

#[test]
fn pass_goes_on_with_the_next_tier() {
    use Action::{Accept, Deny, Pass};
    let skips = |rest| vec![admin(1, "x", vec![all(Pass), all(Deny)]), admin(2, "y", vec![all(rest)])];
    check(skips(Deny), Vec::new(), true, Tier::Default, "", &["x#0"]);
    check(skips(Accept), closed(), false, Tier::NetworkPolicy, "", &["x#0"]);
    let mut with_baseline = skips(Accept);
    with_baseline.push(baseline(0, "z", vec![all(Deny)]));
    check(with_baseline, Vec::new(), false, Tier::Baseline, "z#0", &["x#0"]);
    // In the last tier it goes on with the default.
    let mut with_both = skips(Deny);
    with_both.extend([baseline(0, "p", vec![all(Pass)]), baseline(1, "z", vec![all(Deny)])]);
    check(with_both.clone(), Vec::new(), true, Tier::Default, "", &["x#0", "p#0"]);
    check(with_both, open(), true, Tier::NetworkPolicy, "a/policy#0", &["x#0"]);
    // It skips nothing in the other direction.
    let mut world = world(skips(Deny), Vec::new());
    world.cluster_policies[1].egress = vec![all(Deny)];
    assert!(!allowed(&world, &CLIENT, &SERVER, HTTP));
}

#[test]
fn the_baseline_is_asked_in_the_direction_that_is_not_isolated() {
    let out = egress("a", "app=server", Vec::new());
    check(vec![baseline(0, "x", vec![all(Action::Deny)])], vec![out], false, Tier::Baseline, "x#0", &[]);
    let policy = ClusterPolicy { egress: vec![all(Action::Deny)], ..baseline(0, "x", Vec::new()) };
    let mut made = world(vec![policy], open());
    // The server is isolated for what comes in; what goes out of the client is the baseline's.
    assert_eq!(decided(&made).1, Tier::NetworkPolicy);
    assert!(!allowed(&made, &CLIENT, &SERVER, HTTP));
    made.cluster_policies[0].subject.pods = selector("app=server");
    assert!(allowed(&made, &CLIENT, &SERVER, HTTP));
}

#[test]
fn only_policies_that_select_the_pod_and_have_rules_for_the_direction_count() {
    let selecting = |namespaces: &str, pods: &str| {
        let subject = PodsAcross { namespaces: selector(namespaces), pods: selector(pods) };
        vec![ClusterPolicy { subject, ..admin(0, "x", vec![all(Action::Deny)]) }]
    };
    let by_name = "kubernetes.io/metadata.name";
    check(selecting("", "app=server"), Vec::new(), false, Tier::Admin, "x#0", &[]);
    check(selecting("", "app=client"), Vec::new(), true, Tier::Default, "", &[]);
    check(selecting(&format!("{by_name}=a"), ""), Vec::new(), false, Tier::Admin, "x#0", &[]);
    check(selecting(&format!("{by_name}=b"), ""), Vec::new(), true, Tier::Default, "", &[]);
    let out_only = ClusterPolicy { egress: vec![all(Action::Deny)], ..admin(0, "x", Vec::new()) };
    check(vec![out_only], closed(), false, Tier::NetworkPolicy, "", &[]);
    // No rule of it matches: it does not isolate.
    let others = vec![admin(0, "x", vec![rule(Action::Accept, [])])];
    check(others, Vec::new(), true, Tier::Default, "", &[]);
}

#[test]
fn what_is_not_known_fails_closed_at_its_place() {
    use Action::{Accept, Deny, Pass};
    check(vec![admin(0, "x", vec![unknown(Accept)])], Vec::new(), true, Tier::Default, "", &[]);
    check(vec![admin(0, "x", vec![unknown(Accept)])], closed(), false, Tier::NetworkPolicy, "", &[]);
    check(vec![admin(0, "x", vec![unknown(Accept), all(Deny)])], open(), false, Tier::Admin, "x#1", &[]);
    for action in [Deny, Pass] {
        check(vec![admin(0, "x", vec![unknown(action)])], open(), false, Tier::Admin, "x#0", &[]);
        let later = vec![admin(0, "x", vec![all(Accept), unknown(action)])];
        check(later, Vec::new(), true, Tier::Admin, "x#0", &[]);
        let last = vec![baseline(0, "x", vec![unknown(action)])];
        check(last.clone(), open(), true, Tier::NetworkPolicy, "a/policy#0", &[]);
        check(last, Vec::new(), false, Tier::Baseline, "x#0", &[]);
        // Everything: whoever it is and whatever is sent.
        let out = vec![ClusterPolicy { egress: vec![unknown(action)], ..admin(0, "x", Vec::new()) }];
        assert!(!egress_allowed(&world(out, Vec::new()), &CLIENT, &OUTSIDE, Traffic::Other));
        // A name can be accepted only.
        let named = on([], rule(action, [network("10.9.0.0/16"), domain("example.com")]));
        let out = vec![ClusterPolicy { egress: vec![named], ..admin(0, "x", Vec::new()) }];
        assert!(!egress_allowed(&world(out, Vec::new()), &CLIENT, &OUTSIDE, HTTP));
    }
}

#[test]
fn a_pod_to_itself_and_the_probes_of_its_node_are_exempt() {
    let rules = || vec![unknown(Action::Deny)];
    for tier in [ClusterTier::Admin, ClusterTier::Baseline] {
        let policy = ClusterPolicy { ingress: rules(), egress: rules(), ..policy("x", tier, 0) };
        let mut made = world(vec![policy], Vec::new());
        made.nodes = vec![node("one", "", &["192.168.0.1"]), node("two", "", &["192.168.0.2"])];
        made.pods[1].node = Some("one".to_owned());
        let itself = End::Outside(ip("10.0.0.2"));
        assert!(allowed(&made, &SERVER, &SERVER, HTTP) && allowed(&made, &SERVER, &itself, HTTP));
        let comes_from = |address: &str| {
            let made = decision(&made, Direction::Ingress, &End::Outside(ip(address)), &SERVER, HTTP);
            (made.allowed, made.tier == Tier::Default)
        };
        assert_eq!(comes_from("192.168.0.1"), (true, true));
        assert_eq!(comes_from("192.168.0.2"), (false, false));
        assert!(!allowed(&made, &SERVER, &End::Outside(ip("192.168.0.1")), HTTP));
    }
}
