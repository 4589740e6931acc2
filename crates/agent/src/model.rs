//! What the API server holds, as an engine that follows its news.
//!
//! A plain value: news in, changes of the engine's answers out. It knows no API server, no kernel and no clock; what it
//! is told comes with its time. What vanished while nobody listened is found when a list ends. What cannot be read is
//! never passed over: a policy then isolates what it is for (`meaning.rs`), and the problem is kept for whoever asks.

mod listing;
mod meaning;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ringfence_cluster::watch::{Kind, Name, News, Object, What, pod_ranges};
use ringfence_policy::{Change, Delta, Engine, PodId, PolicyKey, World};

use listing::Listing;
use meaning::Meaning;

/// How long a kind must be absent before what is known of it is forgotten: an API server that has just been started can
/// deny for a moment that it has the kinds that were added to it, and to forget a denial opens what it closes.
const ABSENT_FOR: Duration = Duration::from_secs(30);

/// A cluster as it was told so far.
#[derive(Debug)]
pub struct Model {
    engine: Engine,
    /// The name of the node that this is for.
    node: String,
    /// The pods that are there; with their numbers, while they count.
    pods: HashMap<Name, Option<PodId>>,
    /// The other objects that are in the engine.
    known: BTreeSet<(Kind, Name)>,
    policies: BTreeMap<(Kind, Name), PolicyKey>,
    listings: BTreeMap<Kind, Listing>,
    problems: BTreeMap<(Kind, Name), String>,
    ranges: Vec<IpNet>,
}

/// What news have come to.
#[derive(Debug, Default)]
pub struct Step {
    /// What changed in the engine's answers.
    pub delta: Delta,
    /// The policies that came, changed or went.
    pub policies: Vec<PolicyKey>,
    /// When the first news came that changed a pod.
    pub pods_since: Option<Instant>,
    /// When the first news came that changed a policy.
    pub policies_since: Option<Instant>,
    /// Whether the ranges of this node's pods are others.
    pub ranges_changed: bool,
}

/// How it stands with a kind of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It was never listed to the end.
    Unlisted,
    /// The API server has no such kind.
    Absent,
    /// It is followed.
    Followed,
    /// It was listed once, but the API server does not answer now: what is known may be old.
    Stale {
        /// Since when.
        since: Instant,
        /// Why.
        why: String,
    },
}

impl Model {
    /// Nothing is known yet.
    pub fn new(node: impl Into<String>) -> Model {
        Model {
            engine: Engine::new(World::default()),
            node: node.into(),
            pods: HashMap::new(),
            known: BTreeSet::new(),
            policies: BTreeMap::new(),
            listings: Kind::ALL.into_iter().map(|kind| (kind, Listing::default())).collect(),
            problems: BTreeMap::new(),
            ranges: Vec::new(),
        }
    }

    /// What follows from all that was told.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The ranges from which this node's pods get their addresses, as its object says.
    pub fn pod_ranges(&self) -> &[IpNet] {
        &self.ranges
    }

    /// Whether everything that decides was listed once, or is known not to be there.
    pub fn is_complete(&self) -> bool {
        self.unlisted().next().is_none()
    }

    /// The kinds that were never listed, and are not known not to be there.
    pub fn unlisted(&self) -> impl Iterator<Item = Kind> {
        let listed = |kind: &Kind| self.listings.get(kind).is_some_and(Listing::is_complete);
        Kind::ALL.into_iter().filter(move |kind| !listed(kind))
    }

    /// How it stands with a kind at a time.
    pub fn source(&self, kind: Kind, now: Instant) -> Source {
        self.listings.get(&kind).map_or(Source::Unlisted, |listing| listing.source(now))
    }

    /// Why a kind that was never listed was not, as far as the API server has said.
    pub fn failure(&self, kind: Kind) -> Option<&str> {
        self.listings.get(&kind).and_then(Listing::failure)
    }

    /// How many objects of a kind are known.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Pod => self.pods.len(),
            _ => self.known.iter().filter(|(k, _)| *k == kind).count(),
        }
    }

    /// What could not be read as it is written, and what is done instead.
    pub fn problems(&self) -> impl Iterator<Item = (Kind, &Name, &str)> {
        self.problems.iter().map(|((kind, name), problem)| (*kind, name, problem.as_str()))
    }

    /// The policies by their objects.
    pub fn policies(&self) -> impl Iterator<Item = (Kind, &Name, &PolicyKey)> {
        self.policies.iter().map(|((kind, name), key)| (*kind, name, key))
    }

    /// Takes news, in the order in which they came. Several at once cost less than one by one.
    pub fn take(&mut self, news: impl IntoIterator<Item = News>) -> Step {
        let mut pending = Pending::default();
        for News { kind, what, at } in news {
            self.note(kind, what, at, &mut pending);
        }
        let mut step = Step::default();
        let mut changes = Vec::new();
        let mut added = Vec::new();
        for (kind, name) in pending.order {
            let Some((object, at)) = pending.objects.remove(&(kind, name.clone())) else { continue };
            let before = changes.len();
            match kind {
                Kind::Pod => {
                    let comes = self.pod(name, object, &mut changes);
                    added.extend(comes);
                }
                _ => self.other(kind, name, object, &mut changes, &mut step),
            }
            if changes.len() > before {
                let since = match kind {
                    Kind::Pod => &mut step.pods_since,
                    kind if kind.is_policy() => &mut step.policies_since,
                    _ => continue,
                };
                *since = Some(since.map_or(at, |earlier: Instant| earlier.min(at)));
            }
        }
        step.delta = self.engine.apply(changes);
        for (name, id) in added.into_iter().zip(&step.delta.added) {
            self.pods.insert(name, Some(*id));
        }
        step
    }

    /// Notes one piece of news: the last that is told of an object is what counts.
    fn note(&mut self, kind: Kind, what: What, at: Instant, pending: &mut Pending) {
        let listing = self.listings.entry(kind).or_default();
        match what {
            What::Begin => listing.begin(),
            What::Is(object) => {
                listing.is(&object.name);
                pending.put(kind, object.name.clone(), Some(*object), at);
            }
            What::Gone(name) => {
                listing.gone(&name);
                pending.put(kind, name, None, at);
            }
            What::End => {
                if let Some(listed) = listing.end() {
                    let mut vanished = self.names(kind);
                    vanished.extend(pending.names(kind));
                    vanished.retain(|name| !listed.contains(name));
                    vanished.into_iter().for_each(|name| pending.put(kind, name, None, at));
                }
            }
            What::Absent => {
                let long = at.saturating_duration_since(listing.absent(at)) >= ABSENT_FOR;
                let names = self.names(kind);
                if names.is_empty() || long {
                    if let Some(listing) = self.listings.get_mut(&kind) {
                        listing.settle_absent();
                    }
                    names.into_iter().for_each(|name| pending.put(kind, name, None, at));
                }
            }
            What::Failed(why) => listing.failed(at, why),
        }
    }

    /// The objects of a kind that are known.
    fn names(&self, kind: Kind) -> Vec<Name> {
        if kind == Kind::Pod {
            return self.pods.keys().cloned().collect();
        }
        self.known.iter().filter(|(k, _)| *k == kind).map(|(_, name)| name.clone()).collect()
    }

    /// A pod came, changed or went. Gives its name where it will get a number.
    fn pod(&mut self, name: Name, object: Option<Object>, changes: &mut Vec<Change>) -> Option<Name> {
        let Some(object) = object else {
            self.problems.remove(&(Kind::Pod, name.clone()));
            let id = self.pods.remove(&name)??;
            changes.push(Change::RemovePod(id));
            return None;
        };
        let pod = match self.read(Kind::Pod, &name, &object) {
            Meaning::Pod(pod) => Some(*pod),
            _ => None,
        };
        let known = self.pods.entry(name.clone()).or_default();
        match (*known, pod) {
            (Some(id), Some(pod)) => {
                if self.engine.pod(id) != Some(&pod) {
                    changes.push(Change::SetPod(id, pod));
                }
                None
            }
            (Some(id), None) => {
                *known = None;
                changes.push(Change::RemovePod(id));
                None
            }
            (None, Some(pod)) => {
                changes.push(Change::AddPod(pod));
                Some(name)
            }
            (None, None) => None,
        }
    }

    /// Any other object that decides.
    fn other(
        &mut self,
        kind: Kind,
        name: Name,
        object: Option<Object>,
        changes: &mut Vec<Change>,
        step: &mut Step,
    ) {
        let place = (kind, name);
        let meaning = match &object {
            Some(object) => self.read(kind, &place.1, object),
            None => {
                self.problems.remove(&place);
                Meaning::Nothing
            }
        };
        if kind == Kind::Node && place.1.name == self.node {
            let ranges = object.as_ref().map(|object| pod_ranges(&object.node)).unwrap_or_default();
            if let Some(unreadable) = ranges.1.first() {
                let problem =
                    format!("`{unreadable}` is no range of addresses: it is not known where its pods live");
                self.problems.insert(place.clone(), problem);
            }
            step.ranges_changed |= self.ranges != ranges.0;
            self.ranges = ranges.0;
        }
        let was_there = self.known.contains(&place);
        match meaning {
            Meaning::Namespace(namespace) => changes.push(Change::SetNamespace(namespace)),
            Meaning::Node(node) => changes.push(Change::SetNode(node)),
            Meaning::Policy(policy) => {
                let key = policy.key();
                let same =
                    self.engine.find_policy(&key).and_then(|id| self.engine.policy(id)) == Some(&policy);
                if !same {
                    step.policies.push(key.clone());
                    changes.push(Change::SetPolicy(*policy));
                }
                self.policies.insert(place.clone(), key);
            }
            Meaning::Nothing | Meaning::Pod(_) => {
                self.known.remove(&place);
                let gone = match kind {
                    Kind::Namespace => Some(Change::RemoveNamespace(place.1.name.clone())),
                    Kind::Node => Some(Change::RemoveNode(place.1.name.clone())),
                    _ => self.policies.remove(&place).map(|key| {
                        step.policies.push(key.clone());
                        Change::RemovePolicy(key)
                    }),
                };
                changes.extend(gone.filter(|_| was_there));
                return;
            }
        }
        self.known.insert(place);
    }

    /// What an object means; what could not be read of it becomes a problem.
    fn read(&mut self, kind: Kind, name: &Name, object: &Object) -> Meaning {
        let (meaning, problem) = meaning::of(kind, object);
        let place = (kind, name.clone());
        match problem {
            Some(problem) => drop(self.problems.insert(place, problem)),
            None => drop(self.problems.remove(&place)),
        }
        meaning
    }
}

/// The last that was told of each object, in the order in which they were first told of.
#[derive(Debug, Default)]
struct Pending {
    order: Vec<(Kind, Name)>,
    objects: HashMap<(Kind, Name), (Option<Object>, Instant)>,
}

impl Pending {
    fn put(&mut self, kind: Kind, name: Name, object: Option<Object>, at: Instant) {
        let key = (kind, name);
        match self.objects.get_mut(&key) {
            Some(earlier) => *earlier = (object, earlier.1.min(at)),
            None => {
                self.order.push(key.clone());
                self.objects.insert(key, (object, at));
            }
        }
    }

    fn names(&self, kind: Kind) -> Vec<Name> {
        self.order.iter().filter(|(k, _)| *k == kind).map(|(_, name)| name.clone()).collect()
    }
}
