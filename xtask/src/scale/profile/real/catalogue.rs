//! What selectors of a cluster could select, by how much they do: to draw one that selects about so many pods.

use std::collections::BTreeMap;

use ringfence_oracle::random::Random;
use ringfence_policy::{LabelSelector, NamespaceScope, Peer, Requirement};

use super::super::objects::{app_selector, apps_selector, name_selector, namespace_name};

/// Pods of one workload that are alike.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) component: &'static str,
    pub(super) pods: usize,
}

/// Pods that a selector selects.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// The namespace; `None` where it is several.
    pub(super) namespace: Option<usize>,
    namespaces: LabelSelector,
    pub(super) pods: LabelSelector,
    count: usize,
}

impl Selection {
    /// As a peer of a policy of a namespace.
    pub(super) fn peer(&self, own: usize) -> Peer {
        let namespaces = if self.namespace == Some(own) {
            NamespaceScope::Own
        } else {
            NamespaceScope::Matching(self.namespaces.clone())
        };
        Peer::Pods { namespaces, pods: self.pods.clone() }
    }
}

/// Selections, from the smallest to the largest.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    selections: Vec<Selection>,
}

impl Catalogue {
    /// What can be selected within one namespace.
    pub(super) fn of_namespaces<'a>(namespaces: impl IntoIterator<Item = (usize, &'a [App])>) -> Catalogue {
        Catalogue::sorted(namespaces.into_iter().flat_map(|(n, apps)| within(n, apps)).collect())
    }

    /// What can be selected in all namespaces of a team together.
    pub(super) fn of_teams(apps_of: &[Vec<App>], team: impl Fn(usize) -> String) -> Catalogue {
        let mut counts: BTreeMap<(String, Option<&str>), usize> = BTreeMap::new();
        for (n, apps) in apps_of.iter().enumerate() {
            for app in apps {
                *counts.entry((team(n), None)).or_default() += app.pods;
                *counts.entry((team(n), Some(app.component))).or_default() += app.pods;
            }
        }
        let selections = counts.into_iter().map(|((team, component), count)| Selection {
            namespace: None,
            namespaces: LabelSelector::labels([("team", team)]),
            pods: component.map_or_else(LabelSelector::everything, component_selector),
            count,
        });
        Catalogue::sorted(selections.collect())
    }

    /// Both.
    pub(super) fn and(&self, other: &Catalogue) -> Catalogue {
        Catalogue::sorted(self.selections.iter().chain(&other.selections).cloned().collect())
    }

    fn sorted(mut selections: Vec<Selection>) -> Catalogue {
        selections.retain(|s| s.count > 0);
        selections.sort_by_key(|s| s.count);
        Catalogue { selections }
    }

    /// One of those that select as nearly as can be so many pods.
    pub(super) fn near(&self, count: usize, random: &mut Random) -> Option<&Selection> {
        let above = self.selections.partition_point(|s| s.count < count);
        let around = [above.checked_sub(1), Some(above)].into_iter().flatten();
        let nearest =
            around.filter_map(|i| self.selections.get(i)).map(|s| s.count).min_by_key(|c| c.abs_diff(count));
        self.exactly(nearest?, random)
    }

    /// One of those that select so many pods.
    pub(super) fn exactly(&self, count: usize, random: &mut Random) -> Option<&Selection> {
        let from = self.selections.partition_point(|s| s.count < count);
        let to = self.selections.partition_point(|s| s.count <= count);
        random.pick_any(self.selections.get(from..to)?)
    }
}

/// What people select in a namespace: all of it, one application, two, all but one, a component.
fn within(namespace: usize, apps: &[App]) -> Vec<Selection> {
    let total: usize = apps.iter().map(|a| a.pods).sum();
    let mut selections = vec![(LabelSelector::everything(), total)];
    let mut components: BTreeMap<&str, usize> = BTreeMap::new();
    for app in apps {
        *components.entry(app.component).or_default() += app.pods;
        let but = Requirement::NotIn("app".to_owned(), [app.name.clone()].into());
        selections.push((app_selector(&app.name), app.pods));
        selections.push((LabelSelector::new([but]), total - app.pods));
    }
    for pair in apps.windows(2) {
        let count = pair.iter().map(|a| a.pods).sum();
        selections.push((apps_selector(pair.iter().map(|a| a.name.as_str())), count));
    }
    selections.extend(components.into_iter().map(|(c, count)| (component_selector(c), count)));
    let namespaces = name_selector(&namespace_name(namespace));
    let selection =
        |(pods, count)| Selection { namespace: Some(namespace), namespaces: namespaces.clone(), pods, count };
    selections.into_iter().map(selection).collect()
}

fn component_selector(component: &str) -> LabelSelector {
    LabelSelector::labels([("component", component)])
}
