//! Which groups of pods a selector matches, found through an inverted index over labels.
//!
//! Pods that no selector can tell apart (one namespace, equal labels, equal named ports) are one *group*; a selector
//! is evaluated once per group that it may match, not once per pod. Groups come with their first pod and go with their
//! last; so do namespaces, unless they are declared.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHasher};

use crate::cluster::PodsAcross;
use crate::model::{LabelSelector, Labels, NAMESPACE_NAME_LABEL, NamedPort, Pod, Requirement};
use crate::slots::Slots;

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
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    groups: Slots<Arc<GroupKey>>,
    by_key: FxHashMap<Arc<GroupKey>, GroupId>,
    namespaces: Slots<IndexedNamespace>,
    by_name: FxHashMap<Arc<str>, NamespaceId>,
    /// By the hash of a label, groups in all namespaces that carry it, and maybe some that carry another.
    labelled: FxHashMap<u64, Vec<GroupId>>,
}

#[derive(Debug, Clone)]
struct IndexedNamespace {
    name: Arc<str>,
    declared: bool,
    /// The automatic one among them.
    labels: Labels,
    groups: Vec<GroupId>,
}

/// The hash of a label, alone or within some scope.
pub(crate) fn label_hash(scope: impl Hash, label: Option<(&str, &str)>) -> u64 {
    let mut hasher = FxHasher::default();
    (scope, label).hash(&mut hasher);
    hasher.finish()
}

impl Index {
    pub(crate) fn begin_update(&mut self) {
        self.groups.begin_update();
        self.namespaces.begin_update();
    }

    /// Gives a namespace its labels; says whether they are other than before.
    pub(crate) fn declare(&mut self, name: &str, labels: &Labels) -> bool {
        self.label(name, Some(labels))
    }

    /// A namespace is not declared any more: it has only its automatic label, and goes if it has no pods. Says whether
    /// it had other labels.
    pub(crate) fn undeclare(&mut self, name: &str) -> bool {
        if !self.by_name.contains_key(name) {
            return false;
        }
        let changed = self.label(name, None);
        if let Some(id) = self.find_namespace(name) {
            self.drop_if_unused(id);
        }
        changed
    }

    fn label(&mut self, name: &str, declared: Option<&Labels>) -> bool {
        let id = self.namespace(name);
        let mut labels = declared.cloned().unwrap_or_default();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
        let Some(known) = self.namespaces.get_mut(id.0) else { return false };
        known.declared = declared.is_some();
        let changed = known.labels != labels;
        known.labels = labels;
        changed
    }

    /// The namespace of this name; one that nobody declared carries the automatic label only.
    fn namespace(&mut self, name: &str) -> NamespaceId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let labels = Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned())]);
        let name: Arc<str> = name.into();
        let entry = IndexedNamespace { name: name.clone(), declared: false, labels, groups: Vec::new() };
        let id = NamespaceId(self.namespaces.insert(entry));
        self.by_name.insert(name, id);
        id
    }

    fn drop_if_unused(&mut self, id: NamespaceId) {
        if self.namespaces.get(id.0).is_some_and(|n| !n.declared && n.groups.is_empty())
            && let Some(gone) = self.namespaces.remove(id.0)
        {
            self.by_name.remove(&gone.name);
        }
    }

    pub(crate) fn find_namespace(&self, name: &str) -> Option<NamespaceId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn namespace_labels(&self, id: NamespaceId) -> Option<&Labels> {
        self.namespaces.get(id.0).map(|n| &n.labels)
    }

    pub(crate) fn namespace_name(&self, id: NamespaceId) -> &str {
        self.namespaces.get(id.0).map_or("", |n| &n.name)
    }

    pub(crate) fn namespace_count(&self) -> usize {
        self.namespaces.len()
    }

    pub(crate) fn is_declared(&self, name: &str) -> bool {
        self.find_namespace(name).and_then(|id| self.namespaces.get(id.0)).is_some_and(|n| n.declared)
    }

    /// The namespaces that are declared or have pods, in no order.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().map(|(_, n)| &*n.name)
    }

    /// The declared namespaces, in no order.
    pub(crate) fn declared(&self) -> impl Iterator<Item = (&str, &Labels)> {
        self.namespaces.iter().filter(|(_, n)| n.declared).map(|(_, n)| (&*n.name, &n.labels))
    }

    /// The group that a pod belongs to, and whether it is new.
    pub(crate) fn add_group(&mut self, pod: &Pod) -> (GroupId, bool) {
        let mut named_ports = pod.named_ports.clone();
        named_ports.sort();
        named_ports.dedup();
        let key =
            GroupKey { namespace: self.namespace(&pod.namespace), labels: pod.labels.clone(), named_ports };
        if let Some(id) = self.by_key.get(&key) {
            return (*id, false);
        }
        let key = Arc::new(key);
        let id = GroupId(self.groups.insert(key.clone()));
        for (name, value) in &key.labels {
            self.labelled.entry(label_hash((), Some((name, value)))).or_default().push(id);
        }
        if let Some(namespace) = self.namespaces.get_mut(key.namespace.0) {
            namespace.groups.push(id);
        }
        self.by_key.insert(key, id);
        (id, true)
    }

    /// Forgets a group whose last pod is gone.
    pub(crate) fn remove_group(&mut self, id: GroupId) {
        let Some(key) = self.groups.remove(id.0) else { return };
        self.by_key.remove(&key);
        for (name, value) in &key.labels {
            let hash = label_hash((), Some((name, value)));
            if let Some(list) = self.labelled.get_mut(&hash) {
                remove_one(list, id);
                if list.is_empty() {
                    self.labelled.remove(&hash);
                }
            }
        }
        if let Some(namespace) = self.namespaces.get_mut(key.namespace.0) {
            remove_one(&mut namespace.groups, id);
        }
        self.drop_if_unused(key.namespace);
    }

    pub(crate) fn group(&self, id: GroupId) -> Option<&GroupKey> {
        self.groups.get(id.0).map(|key| &**key)
    }

    pub(crate) fn groups_in(&self, namespace: NamespaceId) -> &[GroupId] {
        self.namespaces.get(namespace.0).map_or(&[], |n| &n.groups)
    }

    /// The groups that a selector matches in a namespace, in no order.
    pub(crate) fn select_in(&self, namespace: &str, pods: &LabelSelector) -> Vec<GroupId> {
        let Some(namespace) = self.find_namespace(namespace) else { return Vec::new() };
        let all = self.groups_in(namespace);
        match self.fewest_candidates(pods) {
            Some(candidates) if candidates.len() < all.len() => self
                .filter(candidates, pods)
                .filter(|g| self.group(*g).is_some_and(|k| k.namespace == namespace))
                .collect(),
            _ => self.filter(all, pods).collect(),
        }
    }

    /// The groups that `pods` selects in the namespaces that another selector matches, in no order.
    pub(crate) fn select_across(&self, across: &PodsAcross) -> Vec<GroupId> {
        let pods = &across.pods;
        let matching = self.matching_namespaces(&across.namespaces);
        let in_them: usize = matching.iter().map(|n| self.groups_in(*n).len()).sum();
        match self.fewest_candidates(pods) {
            Some(candidates) if candidates.len() < in_them => {
                let is_wanted = |g: &GroupId| {
                    let namespace = self.group(*g).and_then(|k| self.namespace_labels(k.namespace));
                    namespace.is_some_and(|labels| across.namespaces.matches(labels))
                };
                self.filter(candidates, pods).filter(is_wanted).collect()
            }
            _ => matching.into_iter().flat_map(|n| self.filter(self.groups_in(n), pods)).collect(),
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
                    .filter_map(|name| self.find_namespace(name))
                    .filter(|id| self.namespace_labels(*id).is_some_and(|labels| selector.matches(labels)))
                    .collect();
            }
        }
        let all = self.namespaces.iter();
        all.filter(|(_, n)| selector.matches(&n.labels)).map(|(id, _)| NamespaceId(id)).collect()
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
            .filter_map(|requirement| {
                let hash = label_hash((), Some(requirement.only_label()?));
                Some(self.labelled.get(&hash).map_or(&[][..], |groups| groups))
            })
            .min_by_key(|groups| groups.len())
    }
}

fn remove_one<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if let Some(at) = list.iter().position(|i| *i == item) {
        list.swap_remove(at);
    }
}
