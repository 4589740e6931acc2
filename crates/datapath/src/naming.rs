//! Names by content: a policy set, identity, port map or rule is numbered by what it says.
//!
//! Equal content has one number, today and after a restart, so a changed policy gets new numbers and its tables can be
//! written beside the old ones. Numbers are hashes; two contents that share one are told apart by the namer, which
//! then takes the next number (within one image) or refuses (between the old and the new tables, see
//! [`crate::plan`]), so that a clash can cost time but never a verdict.

use std::hash::{Hash, Hasher};

use ringfence_policy::{Direction, Engine, Identity, Policy, PolicyKey, RuleRef, SetId, Tier};
use rustc_hash::FxHashSet;
use siphasher::sip::SipHasher24;

use crate::abi::{EndpointWord, PORTMAP_NO_BLOCKS, PORTMAP_NO_PORTS, PortMapKey};
use crate::image::PortRow;

/// What separates the numbers of one purpose from those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    Set,
    Identity,
    PortMap,
    Rule,
}

/// Gives out numbers for one image, to each content once: whoever asks keeps what it was given.
#[derive(Debug, Clone)]
pub(crate) struct Namer {
    salt: u64,
    taken: FxHashSet<(Space, u64)>,
}

impl Namer {
    pub(crate) fn new(salt: u64) -> Namer {
        Namer { salt, taken: FxHashSet::default() }
    }

    /// A number's content is gone.
    pub(crate) fn forget(&mut self, space: Space, number: u64) {
        self.taken.remove(&(space, number));
    }

    /// How many numbers are in use.
    pub(crate) fn len(&self) -> usize {
        self.taken.len()
    }

    /// The first number that `name` proposes which is neither reserved nor another content's.
    fn take(&mut self, space: Space, name: impl Fn(SipHasher24) -> u64) -> u64 {
        let mut attempt = 0u32;
        loop {
            let mut hasher = SipHasher24::new_with_keys(self.salt, 0);
            (space, attempt).hash(&mut hasher);
            let number = name(hasher);
            if number >= RESERVED && self.taken.insert((space, number)) {
                return number;
            }
            attempt += 1;
        }
    }

    /// A policy set's number; its reserved bits are clear.
    pub(crate) fn set(&mut self, engine: &Engine, set: SetId) -> u64 {
        self.take(Space::Set, |mut hasher| {
            engine.direction(set).hash(&mut hasher);
            engine.set_named_ports(set).hash(&mut hasher);
            for tier in Tier::WITH_POLICIES {
                tier.hash(&mut hasher);
                for policy in engine.set_policies(set, tier) {
                    hash_rules(engine.policy(*policy), engine.direction(set), &mut hasher);
                }
            }
            hasher.finish() & !EndpointWord::RESERVED
        })
    }

    /// An identity's number; that of [`Identity::NOBODY`] is 0.
    pub(crate) fn identity(&mut self, engine: &Engine, identity: Identity) -> u64 {
        if identity == Identity::NOBODY {
            return crate::abi::IDENTITY_UNMATCHED;
        }
        self.take(Space::Identity, |mut hasher| {
            let (peers, named_ports) = engine.describe(identity);
            // The order of an engine's peers depends on all its policies; the content does not.
            let mut peers: Vec<_> = peers.collect();
            peers.sort();
            peers.hash(&mut hasher);
            named_ports.hash(&mut hasher);
            hasher.finish()
        })
    }

    /// A port map's number; two of its bits say which kinds of rows it has not.
    pub(crate) fn portmap(&mut self, rows: &[PortRow]) -> u64 {
        self.take(Space::PortMap, |mut hasher| {
            rows.hash(&mut hasher);
            let keys = || rows.iter().map(|row| row.key(0));
            let flag = |flag: u64, absent: bool| if absent { flag } else { 0 };
            let no_ports = flag(PORTMAP_NO_PORTS, !keys().any(PortMapKey::is_port));
            let no_blocks = flag(PORTMAP_NO_BLOCKS, keys().all(|key| key.is_port() || key.is_everything()));
            hasher.finish() & !(PORTMAP_NO_PORTS | PORTMAP_NO_BLOCKS) | no_ports | no_blocks
        })
    }

    /// A rule's number, in 32 bits.
    pub(crate) fn rule(&mut self, name: &PolicyKey, rule: RuleRef) -> u32 {
        let number = self.take(Space::Rule, |mut hasher| {
            (name, rule.egress, rule.rule).hash(&mut hasher);
            hasher.finish() & u64::from(u32::MAX)
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

/// All that a policy's rules of a direction say, and in which order they are asked.
fn hash_rules(policy: Option<&Policy>, direction: Direction, hasher: &mut impl Hasher) {
    match policy {
        None => {}
        Some(Policy::Network(policy)) => {
            policy.name.hash(hasher);
            let rules = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            for rule in rules.iter().flatten() {
                (&rule.peers, &rule.ports).hash(hasher);
            }
        }
        Some(Policy::Cluster(policy)) => {
            (&policy.name, policy.tier, policy.priority).hash(hasher);
            let rules = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            for rule in rules {
                (rule.action, &rule.matches).hash(hasher);
            }
        }
    }
}

/// Numbers below this are no content's: 0 is nobody's, and the plan has one of its own.
const RESERVED: u64 = 8;
