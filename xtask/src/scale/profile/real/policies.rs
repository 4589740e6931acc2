//! The policies of the `real` world.

use ringfence_oracle::random::Random;
use ringfence_policy::{
    IpBlock, LabelSelector, NamespaceScope, NetworkPolicy, Peer, PortMatch, PortRange, PortRef, Ports,
    Protocol, Requirement, Rule,
};

use super::super::objects::{PORTS, app_selector, namespace_name, policy, random_net, rule, single};
use super::catalogue::{App, Catalogue};
use super::deck::{CARDS, Deck, Quantiles};
use super::{SHARED, team};

/// How many pods a policy selects: median 6, mean 13, at most 154.
const SELECTED: Quantiles = &[(0, 1), (250, 3), (500, 6), (750, 12), (900, 28), (980, 70), (1000, 154)];
/// How many pods a selector peer matches: median 2. Those that match two thirds of the cluster come on top.
const MATCHED: Quantiles = &[(0, 1), (300, 1), (400, 2), (600, 2), (800, 6), (960, 30), (1000, 154)];

/// Writes the policies.
pub(super) struct Writer<'r> {
    random: &'r mut Random,
    subjects: Catalogue,
    /// By namespace: what a policy there can select without naming a namespace.
    own: Vec<Catalogue>,
    peers: Catalogue,
    nets: Vec<IpBlock>,
    fates: Deck,
    selected: Deck,
    matched: Deck,
    wide: Deck,
    kinds: Deck,
    ports: Deck,
}

/// What becomes of a policy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It selects pods and allows something.
    Live,
    /// It selects no pod.
    SelectsNothing,
    /// It has no rules.
    NoRules,
    /// Its rules name only pods that are gone.
    NobodyLeft,
}

impl Writer<'_> {
    pub(super) fn new(apps_of: Vec<Vec<App>>, random: &mut Random) -> Writer<'_> {
        let catalogue = |n: usize| Catalogue::of_namespaces([(n, apps_of[n].as_slice())]);
        let subjects = Catalogue::of_namespaces(apps_of.iter().map(Vec::as_slice).enumerate());
        let peers = subjects.and(&Catalogue::of_teams(&apps_of, team));
        let nets = (0..200).map(|_| IpBlock::new(random_net(random), [])).collect();
        Writer {
            subjects,
            peers,
            own: (0..apps_of.len()).map(catalogue).collect(),
            fates: Deck::default(),
            selected: Deck::default(),
            matched: Deck::default(),
            wide: Deck::default(),
            kinds: Deck::default(),
            ports: Deck::default(),
            nets,
            random,
        }
    }

    pub(super) fn policy(&mut self, number: usize) -> NetworkPolicy {
        let fate = match self.fates.deal(self.random) {
            0..130 => Fate::SelectsNothing,
            130..230 => Fate::NoRules,
            230..260 => Fate::NobodyLeft,
            _ => Fate::Live,
        };
        let count = match fate {
            Fate::SelectsNothing => self.random.between(1, 10),
            _ => self.selected.number(SELECTED, self.random),
        };
        let selection = self.subjects.near(count, self.random);
        let (own, mut subject) =
            selection.map_or_else(Default::default, |s| (s.namespace.unwrap_or(0), s.pods.clone()));
        if fate == Fate::SelectsNothing {
            subject = app_selector(&format!("retired-{}", self.random.below(20)));
        }
        let (ingress, egress) =
            *self.random.pick(&[(true, false), (true, false), (false, true), (true, true)]);
        let ingress = ingress.then(|| self.rules(own, fate));
        let egress = egress.then(|| self.rules(own, fate));
        policy(&namespace_name(own), number, subject, ingress, egress)
    }

    fn rules(&mut self, own: usize, fate: Fate) -> Vec<Rule> {
        let count = if fate == Fate::NoRules { 0 } else { *self.random.pick(&[1, 1, 1, 2, 3]) };
        (0..count).map(|_| self.rule(own, fate)).collect()
    }

    /// The peers of a rule are of one kind, since ports are a rule's: so each kind can have its share of ports.
    fn rule(&mut self, own: usize, fate: Fate) -> Rule {
        let peers = *self.random.pick(&[1, 1, 2, 3]);
        // Policies with nobody left have selectors only, so the others have more than their share of blocks.
        let blocks = fate != Fate::NobodyLeft && self.kinds.deal(self.random) < CARDS * 414 / 1000;
        let with_ports = self.ports.deal(self.random) < CARDS * if blocks { 82 } else { 31 } / 100;
        let peers = match fate {
            Fate::NobodyLeft => (0..peers).map(|_| self.nobody()).collect(),
            _ if blocks => (0..peers).map(|_| Peer::Block(self.block())).collect(),
            _ => (0..peers).map(|_| self.selector(own)).collect(),
        };
        let ports = if with_ports { self.port_list(!blocks) } else { Ports::Any };
        rule(peers, ports)
    }

    fn nobody(&mut self) -> Peer {
        let pods = app_selector(&format!("retired-{}", self.random.below(20)));
        Peer::Pods { namespaces: NamespaceScope::Own, pods }
    }

    fn selector(&mut self, own: usize) -> Peer {
        if self.wide.deal(self.random) < CARDS * 8 / 1000 {
            let key = (*self.random.pick(&SHARED)).to_owned();
            let pods = if self.random.chance(50) {
                Requirement::Exists(key)
            } else {
                Requirement::In(key, ["on".to_owned()].into())
            };
            let namespaces = NamespaceScope::Matching(LabelSelector::everything());
            return Peer::Pods { namespaces, pods: LabelSelector::new([pods]) };
        }
        let count = self.matched.number(MATCHED, self.random);
        let own_pods = self.own.get(own).and_then(|c| c.exactly(count, self.random));
        let selection = match own_pods.filter(|_| self.random.chance(60)) {
            Some(selection) => Some(selection),
            None => self.peers.near(count, self.random),
        };
        let peer = selection.map(|s| s.peer(own));
        peer.unwrap_or_else(|| self.nobody())
    }

    /// The internet, a range that several policies name, or one of the policy's own.
    fn block(&mut self) -> IpBlock {
        match self.random.below(100) {
            0..5 => internet(),
            5..25 => self.random.pick(&self.nets).clone(),
            _ => IpBlock::new(random_net(self.random), []),
        }
    }

    fn port_list(&mut self, of_pods: bool) -> Ports {
        let port = |random: &mut Random| match random.below(100) {
            0..8 if of_pods => PortMatch {
                protocol: Protocol::Tcp,
                port: PortRef::Named((*random.pick(&["http", "metrics"])).to_owned()),
            },
            8..14 => single(Protocol::Udp, 53),
            14..20 => {
                let range = PortRange::new(30_000, 32_767).unwrap_or(PortRange::ALL);
                PortMatch { protocol: Protocol::Tcp, port: PortRef::Range(range) }
            }
            _ => single(Protocol::Tcp, *random.pick(&PORTS)),
        };
        Ports::Of((0..*self.random.pick(&[1, 1, 1, 2, 3])).map(|_| port(self.random)).collect())
    }
}

/// Everything but the private ranges: <https://www.rfc-editor.org/rfc/rfc1918>.
fn internet() -> IpBlock {
    let net = |text: &str| text.parse().unwrap_or_default();
    IpBlock::new(net("0.0.0.0/0"), ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(net))
}
