//! Which groups of pods a selector matches, found through an inverted index over labels.
//!
//! Pods that no selector can tell apart (one namespace, equal labels, equal named ports) are one *group*; a selector
//! is evaluated once per group that it may match, not once per pod.

use rustc_hash::FxHashMap;

use crate::model::{
    LabelSelector, Labels, NAMESPACE_NAME_LABEL, NamedPort, Namespace, NamespaceScope, Pod, Requirement,
};

/// A group of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupId(pub(crate) u32);

/// A namespace's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NamespaceId(pub(crate) u32);

/// What the pods of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    pub(crate) namespace: NamespaceId,
    pub(crate) labels: Labels,
    pub(crate) named_ports: Vec<NamedPort>,
}

/// Groups and namespaces by label.
#[derive(Debug, Default)]
pub(crate) struct Index {
    groups: Vec<GroupKey>,
    by_key: FxHashMap<GroupKey, GroupId>,
    namespaces: Vec<IndexedNamespace>,
    by_name: FxHashMap<String, NamespaceId>,
    /// Groups that carry a label, in all namespaces.
    labelled: FxHashMap<String, FxHashMap<String, Vec<GroupId>>>,
}

#[derive(Debug)]
struct IndexedNamespace {
    labels: Labels,
    groups: Vec<GroupId>,
}

impl Index {
    pub(crate) fn add_namespace(&mut self, namespace: &Namespace) {
        let id = self.namespace(&namespace.name);
        let mut labels = namespace.labels.clone();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), namespace.name.clone());
        if let Some(known) = self.namespaces.get_mut(id.0 as usize) {
            known.labels = labels;
        }
    }

    /// The namespace of this name; one that nobody declared carries the automatic label only.
    pub(crate) fn namespace(&mut self, name: &str) -> NamespaceId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = NamespaceId(number(self.namespaces.len()));
        let labels = Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned())]);
        self.namespaces.push(IndexedNamespace { labels, groups: Vec::new() });
        self.by_name.insert(name.to_owned(), id);
        id
    }

    pub(crate) fn find_namespace(&self, name: &str) -> Option<NamespaceId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn add_pod(&mut self, pod: &Pod) -> GroupId {
        let mut named_ports = pod.named_ports.clone();
        named_ports.sort();
        named_ports.dedup();
        let key =
            GroupKey { namespace: self.namespace(&pod.namespace), labels: pod.labels.clone(), named_ports };
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        let id = GroupId(number(self.groups.len()));
        for (name, value) in &key.labels {
            self.labelled.entry(name.clone()).or_default().entry(value.clone()).or_default().push(id);
        }
        if let Some(namespace) = self.namespaces.get_mut(key.namespace.0 as usize) {
            namespace.groups.push(id);
        }
        self.groups.push(key.clone());
        self.by_key.insert(key, id);
        id
    }

    pub(crate) fn groups(&self) -> &[GroupKey] {
        &self.groups
    }

    pub(crate) fn group(&self, id: GroupId) -> Option<&GroupKey> {
        self.groups.get(id.0 as usize)
    }

    pub(crate) fn namespace_labels(&self, id: NamespaceId) -> Option<&Labels> {
        self.namespaces.get(id.0 as usize).map(|n| &n.labels)
    }

    /// The groups that `pods` selects in the namespaces of `scope`, in no order; `own` is the namespace of the policy.
    pub(crate) fn select(
        &self,
        own: NamespaceId,
        scope: &NamespaceScope,
        pods: &LabelSelector,
    ) -> Vec<GroupId> {
        match scope {
            NamespaceScope::Own => self.select_in(own, pods),
            NamespaceScope::Matching(selector) => {
                let matching = self.matching_namespaces(selector);
                let in_them: usize = matching.iter().map(|n| self.groups_in(*n).len()).sum();
                match self.fewest_candidates(pods) {
                    Some(candidates) if candidates.len() < in_them => {
                        let mut wanted = vec![false; self.namespaces.len()];
                        for namespace in matching {
                            if let Some(slot) = wanted.get_mut(namespace.0 as usize) {
                                *slot = true;
                            }
                        }
                        self.filter(candidates, pods)
                            .filter(|g| {
                                self.group(*g).is_some_and(|k| {
                                    wanted.get(k.namespace.0 as usize).copied().unwrap_or_default()
                                })
                            })
                            .collect()
                    }
                    _ => matching.into_iter().flat_map(|n| self.filter(self.groups_in(n), pods)).collect(),
                }
            }
        }
    }

    fn select_in(&self, namespace: NamespaceId, pods: &LabelSelector) -> Vec<GroupId> {
        let all = self.groups_in(namespace);
        match self.fewest_candidates(pods) {
            Some(candidates) if candidates.len() < all.len() => self
                .filter(candidates, pods)
                .filter(|g| self.group(*g).is_some_and(|k| k.namespace == namespace))
                .collect(),
            _ => self.filter(all, pods).collect(),
        }
    }

    fn matching_namespaces(&self, selector: &LabelSelector) -> Vec<NamespaceId> {
        // The commonest namespace selector names one namespace by the label that is unique to it.
        for requirement in selector.requirements() {
            if let Requirement::In(key, names) = requirement
                && key == NAMESPACE_NAME_LABEL
            {
                return names
                    .iter()
                    .filter_map(|name| self.by_name.get(name).copied())
                    .filter(|id| self.namespace_labels(*id).is_some_and(|labels| selector.matches(labels)))
                    .collect();
            }
        }
        let all = self.namespaces.iter().enumerate();
        all.filter(|(_, n)| selector.matches(&n.labels)).map(|(i, _)| NamespaceId(number(i))).collect()
    }

    fn groups_in(&self, namespace: NamespaceId) -> &[GroupId] {
        self.namespaces.get(namespace.0 as usize).map_or(&[], |n| &n.groups)
    }

    fn filter<'a>(
        &'a self,
        groups: &'a [GroupId],
        pods: &'a LabelSelector,
    ) -> impl Iterator<Item = GroupId> + 'a {
        groups.iter().copied().filter(|g| self.group(*g).is_some_and(|k| pods.matches(&k.labels)))
    }

    /// The shortest list of groups, over all namespaces, that holds every match; `None` where no requirement narrows.
    fn fewest_candidates(&self, pods: &LabelSelector) -> Option<&[GroupId]> {
        pods.requirements()
            .iter()
            .filter_map(|requirement| match requirement {
                Requirement::In(key, values) => {
                    let mut values = values.iter();
                    let (value, None) = (values.next()?, values.next()) else { return None };
                    let groups = self.labelled.get(key).and_then(|by_value| by_value.get(value));
                    Some(groups.map_or(&[][..], |g| g))
                }
                _ => None,
            })
            .min_by_key(|groups| groups.len())
    }
}

/// A place in a list as a 32-bit number; no world holds four thousand million of anything.
pub(crate) fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
