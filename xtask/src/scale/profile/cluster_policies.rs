//! The cluster policies of `wide`, as administrators write them: most in the Admin tier, each for the pods of some
//! zones or of one application, with a few rules that accept, deny or pass on.

use ringfence_oracle::random::Random;
use ringfence_policy::{
    Action, ClusterMatch, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPolicyName, ClusterRule,
    ClusterTier, LabelSelector, PodsAcross, PortMatch, PortRange, PortRef, Ports, Protocol, Requirement,
};

use super::objects::{PORTS, app_selector, random_net, single};
use super::wide::{APPS, zone};

/// So many policies; in each tier no two have one priority.
pub(super) fn cluster_policies(count: usize, zones: usize, random: &mut Random) -> Vec<ClusterPolicy> {
    let mut priorities: Vec<u16> = (0..=1000).collect();
    random.shuffle(&mut priorities);
    let mut policies: Vec<ClusterPolicy> = priorities
        .into_iter()
        .take(count)
        .enumerate()
        .map(|(number, priority)| {
            let tier = if number % 10 < 7 { ClusterTier::Admin } else { ClusterTier::Baseline };
            Author { tier, zones, random }.policy(number, priority)
        })
        .collect();
    policies.sort_by_key(|policy| (policy.tier, policy.priority));
    policies
}

struct Author<'r> {
    tier: ClusterTier,
    zones: usize,
    random: &'r mut Random,
}

impl Author<'_> {
    fn policy(&mut self, number: usize, priority: u16) -> ClusterPolicy {
        let kind = ClusterPolicyKind::ClusterNetworkPolicy;
        let subject = if self.random.chance(60) {
            PodsAcross { namespaces: self.namespaces(), pods: LabelSelector::everything() }
        } else {
            self.app()
        };
        let rules = self.random.between(2, 6);
        let outbound = self.random.between(0, rules);
        ClusterPolicy {
            name: ClusterPolicyName { name: format!("cluster-policy-{number}"), kind },
            tier: self.tier,
            priority,
            subject,
            ingress: (outbound..rules).map(|place| self.rule(place, false)).collect(),
            egress: (0..outbound).map(|place| self.rule(place, true)).collect(),
            source: None,
        }
    }

    fn rule(&mut self, place: usize, outbound: bool) -> ClusterRule {
        // Nothing comes after Baseline that it could pass on to.
        let action = match (self.random.below(100), self.tier) {
            (0..45, _) => Action::Accept,
            (45..70, ClusterTier::Admin) => Action::Pass,
            _ => Action::Deny,
        };
        let peers = (0..self.random.between(1, 3)).map(|_| self.peer(outbound)).collect();
        let ports = if self.random.chance(60) { self.ports() } else { Ports::Any };
        ClusterRule {
            name: self.random.chance(70).then(|| format!("rule-{place}")),
            action,
            matches: Some(ClusterMatch { peers, ports }),
            source: None,
        }
    }

    fn peer(&mut self, outbound: bool) -> ClusterPeer {
        match self.random.below(100) {
            0..15 if outbound => ClusterPeer::Network(random_net(self.random)),
            15..25 if outbound => ClusterPeer::Nodes(self.nodes()),
            25..65 => ClusterPeer::Pods(PodsAcross {
                namespaces: self.namespaces(),
                pods: LabelSelector::everything(),
            }),
            _ => ClusterPeer::Pods(self.app()),
        }
    }

    /// One application, in the namespaces of some zones.
    fn app(&mut self) -> PodsAcross {
        let app = app_selector(&format!("app-{}", self.random.below(APPS)));
        PodsAcross { namespaces: self.namespaces(), pods: app }
    }

    fn namespaces(&mut self) -> LabelSelector {
        let mut some_zone = || zone(self.random.below(self.zones));
        let (one, other) = (some_zone(), some_zone());
        match self.random.below(100) {
            0..50 => LabelSelector::labels([("zone", one)]),
            50..65 => LabelSelector::new([Requirement::In("zone".to_owned(), [one, other].into())]),
            65..80 => LabelSelector::labels([("zone", one.as_str()), ("env", "prod")]),
            80..90 => LabelSelector::labels([("env", "test")]),
            90..97 => LabelSelector::new([Requirement::NotIn("env".to_owned(), ["prod".to_owned()].into())]),
            _ => LabelSelector::everything(),
        }
    }

    fn nodes(&mut self) -> LabelSelector {
        let control_plane = "node-role.kubernetes.io/control-plane".to_owned();
        match self.random.below(3) {
            0 => LabelSelector::new([Requirement::Exists(control_plane)]),
            1 => LabelSelector::new([Requirement::DoesNotExist(control_plane)]),
            _ => LabelSelector::labels([(
                "topology.kubernetes.io/zone",
                format!("zone-{}", self.random.below(3)),
            )]),
        }
    }

    fn ports(&mut self) -> Ports {
        let port = |random: &mut Random| match random.below(100) {
            0..70 => single(Protocol::Tcp, *random.pick(&PORTS)),
            70..85 => single(Protocol::Udp, 53),
            _ => {
                let first = *random.pick(&[1024, 8000, 30_000]);
                let range = PortRange::new(first, first + 2767).unwrap_or(PortRange::ALL);
                PortMatch { protocol: Protocol::Tcp, port: PortRef::Range(range) }
            }
        };
        Ports::Of((0..self.random.between(1, 3)).map(|_| port(self.random)).collect())
    }
}
