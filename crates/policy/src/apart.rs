//! What policies could tell of a pod that is not there yet: the selectors that may meet it, the port names that it may
//! declare, and the finite number of label sets that selectors tell apart.
//!
//! Nothing is decided here: whoever wants to know adds such pods to the world, and asks the engine.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::cluster::Action;
use crate::engine::Engine;
use crate::matchers::DistinctPeer;
use crate::model::{LabelSelector, Labels, Policy, PortMatch, PortRef, Ports, Protocol, Requirement};
use crate::policies::{Compiled, SetId};
use crate::verdict::Direction;

impl Engine {
    /// The namespaces that are declared, have pods or have policies.
    pub fn namespaces(&self) -> BTreeSet<&str> {
        let with_policies = self.policies().filter_map(|(_, policy)| match policy {
            Policy::Network(policy) => Some(policy.name.namespace.as_str()),
            Policy::Cluster(_) => None,
        });
        self.index.namespaces().chain(with_policies).collect()
    }

    /// What the policies hold that say something about a direction; some of it twice.
    pub fn subjects(&self, direction: Direction) -> impl Iterator<Item = &DistinctPeer> {
        let compiled = self.compiled().filter(move |c| c.tier(direction).is_some());
        compiled.filter_map(|c| self.matchers.get(c.subject))
    }

    /// What the rules of all policies name in a direction; some of it twice.
    pub fn peers(&self, direction: Direction) -> impl Iterator<Item = &DistinctPeer> {
        let rules = self.compiled().filter_map(move |c| c.peers.get(direction.place()));
        let peers = rules.flat_map(|rules| rules.iter().flatten().flatten());
        peers.filter_map(|peer| self.matchers.get(*peer))
    }

    /// What the rules of a policy set name; some of it twice.
    pub fn set_peers(&self, set: SetId) -> impl Iterator<Item = &DistinctPeer> {
        self.peers_named(set).filter_map(|peer| self.matchers.get(peer))
    }

    /// The port names that rules use, and what those rules do.
    pub fn port_names(&self) -> BTreeMap<(&str, Protocol), BTreeSet<Action>> {
        let mut names: BTreeMap<(&str, Protocol), BTreeSet<Action>> = BTreeMap::new();
        for (action, port) in self.ports_in_force() {
            if let PortRef::Named(name) = &port.port {
                names.entry((name, port.protocol)).or_default().insert(action);
            }
        }
        names
    }

    /// The ports at which ranges of rules begin, and those after which one ends, of every protocol.
    pub fn port_bounds(&self) -> BTreeSet<u16> {
        let mut bounds = BTreeSet::new();
        for (_, port) in self.ports_in_force() {
            if let PortRef::Range(range) = &port.port {
                bounds.insert(range.first());
                bounds.extend(range.last().checked_add(1));
            }
        }
        bounds
    }

    fn compiled(&self) -> impl Iterator<Item = &Compiled> {
        self.policies.iter().filter_map(|(id, _)| self.policies.get(id))
    }

    fn ports_in_force(&self) -> impl Iterator<Item = (Action, &PortMatch)> {
        let rules = self.compiled().flat_map(|c| {
            Direction::ALL.into_iter().flat_map(move |direction| {
                let count = c.peers.get(direction.place()).map_or(0, |rules| rules.len());
                (0u32..).take(count).filter_map(move |rule| c.effect(direction, rule))
            })
        });
        rules.flat_map(|(action, ports)| {
            let listed = match ports {
                Ports::Any => &[][..],
                Ports::Of(listed) => listed,
            };
            listed.iter().map(move |port| (action, port))
        })
    }
}

/// The labels that an object could carry beside `base`, as far as the selectors can tell: of all label sets that meet the
/// same selectors one, with few labels. `None` where there are more than `most`.
pub fn possible_labels(
    base: &Labels,
    selectors: &BTreeSet<&LabelSelector>,
    most: usize,
) -> Option<Vec<Labels>> {
    let mut by_key: BTreeMap<&str, Vec<(usize, &Requirement)>> = BTreeMap::new();
    let mut open: Vec<bool> = vec![true; selectors.len()];
    for ((place, selector), open) in selectors.iter().enumerate().zip(&mut open) {
        for requirement in selector.requirements() {
            if base.contains_key(requirement.key()) {
                *open &= requirement.matches(base);
            } else {
                by_key.entry(requirement.key()).or_default().push((place, requirement));
            }
        }
    }
    // Label by label: what is kept of a choice is which selectors can still be met.
    let mut states = vec![(open, base.clone())];
    for (key, requirements) in by_key {
        let choices = choices(key, &requirements);
        let mut seen = HashSet::new();
        let mut next = Vec::new();
        for choice in &choices {
            for (open, labels) in &states {
                let mut left = open.clone();
                for (place, requirement) in &requirements {
                    if let Some(open) = left.get_mut(*place) {
                        *open &= requirement.matches(choice);
                    }
                }
                if seen.insert(left.clone()) {
                    let mut labels = labels.clone();
                    labels.extend(choice.clone());
                    next.push((left, labels));
                }
                if next.len() > most {
                    return None;
                }
            }
        }
        states = next;
    }
    Some(states.into_iter().map(|(_, labels)| labels).collect())
}

/// What an object can have of one key, as far as these requirements can tell: nothing, a value that some of them names, or
/// another.
fn choices(key: &str, requirements: &[(usize, &Requirement)]) -> Vec<Labels> {
    let mut values: BTreeSet<&str> = BTreeSet::new();
    for (_, requirement) in requirements {
        match requirement {
            Requirement::In(_, named) | Requirement::NotIn(_, named) => {
                values.extend(named.iter().map(String::as_str));
            }
            Requirement::Exists(_) | Requirement::DoesNotExist(_) => {}
        }
    }
    let with = |value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
    let other = unlike("other", |name| values.contains(name));
    let all = [Labels::new()].into_iter().chain(values.iter().map(|v| with(v))).chain([with(&other)]);
    let mut seen = HashSet::new();
    let is_new = |labels: &Labels| {
        seen.insert(requirements.iter().map(|(_, r)| r.matches(labels)).collect::<Vec<bool>>())
    };
    all.filter(is_new).collect()
}

/// A name that is not taken: the one given, or with a number.
pub fn unlike(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2u32..).map(|n| format!("{name}-{n}"));
    [name.to_owned()].into_iter().chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(requirements: &[Requirement]) -> LabelSelector {
        LabelSelector::new(requirements.iter().cloned())
    }

    fn values(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    fn labels(labels: &[(&str, &str)]) -> Labels {
        labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn shown(base: &[(&str, &str)], selectors: &[LabelSelector], most: usize) -> Option<Vec<String>> {
        let found = possible_labels(&labels(base), &selectors.iter().collect(), most)?;
        let text = |l: &Labels| l.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
        let mut texts: Vec<String> = found.iter().map(text).collect();
        texts.sort();
        Some(texts)
    }

    #[test]
    fn each_way_to_meet_selectors_once() {
        let r#in = |key: &str, of: &[&str]| Requirement::In(key.into(), values(of));
        let not_in = |key: &str, of: &[&str]| Requirement::NotIn(key.into(), values(of));
        let exists = |key: &str| Requirement::Exists(key.into());
        let absent = |key: &str| Requirement::DoesNotExist(key.into());
        let check = |base: &[(&str, &str)], selectors: &[LabelSelector], expect: &[&str]| {
            assert_eq!(shown(base, selectors, 100).unwrap(), expect);
        };
        check(&[("app", "web")], &[selector(&[])], &["app=web"]);
        check(&[], &[selector(&[r#in("app", &["a", "b"])])], &["", "app=a"]);
        check(&[], &[selector(&[not_in("app", &["a"])])], &["", "app=a"]);
        check(&[], &[selector(&[exists("app")]), selector(&[absent("app")])], &["", "app=other"]);
        check(
            &[],
            &[selector(&[r#in("app", &["other"])]), selector(&[exists("app")])],
            &["", "app=other", "app=other-2"],
        );
        // What the base carries cannot be otherwise.
        check(&[("app", "web")], &[selector(&[r#in("app", &["a"]), exists("tier")])], &["app=web"]);
        // Both labels are asked by one selector: one of them alone meets it no more than none.
        check(&[], &[selector(&[r#in("a", &["x"]), r#in("b", &["y"])])], &["", "a=x,b=y"]);
        let two = [selector(&[r#in("a", &["x"])]), selector(&[r#in("b", &["y"])])];
        check(&[], &two, &["", "a=x", "a=x,b=y", "b=y"]);
        assert_eq!(shown(&[], &two, 3), None);
    }

    /// Whatever an object carries, one of the label sets meets exactly the same selectors.
    #[test]
    fn every_object_has_its_like() {
        let keys = ["a", "b", "c"];
        let choices = ["", "x", "y", "z"];
        let selectors = [
            selector(&[Requirement::In("a".into(), values(&["x"])), Requirement::Exists("b".into())]),
            selector(&[Requirement::NotIn("b".into(), values(&["x", "y"]))]),
            selector(&[
                Requirement::DoesNotExist("c".into()),
                Requirement::NotIn("a".into(), values(&["y"])),
            ]),
            selector(&[Requirement::In("c".into(), values(&["x", "z"]))]),
        ];
        let found = possible_labels(&Labels::new(), &selectors.iter().collect(), 1000).unwrap();
        let met = |labels: &Labels| selectors.iter().map(|s| s.matches(labels)).collect::<Vec<_>>();
        let known: HashSet<Vec<bool>> = found.iter().map(met).collect();
        assert_eq!(known.len(), found.len(), "each once");
        for number in 0..64usize {
            let picked =
                keys.iter().enumerate().map(|(i, key)| (*key, choices[number / 4usize.pow(i as u32) % 4]));
            let object: Vec<(&str, &str)> = picked.filter(|(_, value)| !value.is_empty()).collect();
            assert!(known.contains(&met(&labels(&object))), "{object:?}");
        }
    }
}
