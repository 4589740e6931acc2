//! Which connections are shown: names as typed become ends of the map.

use ringfence_k8s::Inventory;
use ringfence_policy::{Connection, Engine, PodId, Reach, ReachEnd};

use super::args::SelectArgs;
use crate::complaint::Complaint;
use crate::ends::{Catalog, End};
use crate::explain::service;

/// Which connections are shown. Without any choice, all.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// The namespace that one end of each connection is in.
    only: Option<String>,
    focus: Option<Ends>,
    from: Option<Ends>,
    to: Option<Ends>,
    /// By the pod that an end begins with: whether anything can be listed of it.
    wanted: Option<Ends>,
    splits_outside: bool,
}

/// Some ends of a map.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    /// By place among the ends.
    places: Vec<bool>,
    /// The pods that these ends begin with, sorted.
    pods: Vec<PodId>,
}

impl Ends {
    /// Whether an end is among them.
    pub(super) fn has(&self, place: u32) -> bool {
        self.places.get(place as usize) == Some(&true)
    }

    /// Their places, in order.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.places).filter(|(_, is)| **is).map(|(place, _)| place)
    }

    fn new(reach: &Reach, is_meant: impl Fn(&ReachEnd) -> bool) -> Ends {
        let places: Vec<bool> = reach.ends.iter().map(is_meant).collect();
        let of = reach.ends.iter().zip(&places).filter(|(_, is)| **is);
        let mut pods: Vec<PodId> = of.filter_map(|(end, _)| first_pod(end)).collect();
        pods.sort_unstable();
        Ends { places, pods }
    }

    fn or(mut self, other: Ends) -> Ends {
        for (place, other) in self.places.iter_mut().zip(other.places) {
            *place |= other;
        }
        self.pods.extend(other.pods);
        self.pods.sort_unstable();
        self.pods.dedup();
        self
    }

    fn has_outside(&self, reach: &Reach) -> bool {
        reach.ends.iter().zip(&self.places).any(|(end, is)| *is && first_pod(end).is_none())
    }

    fn has_all_outside(&self, reach: &Reach) -> bool {
        reach.ends.iter().zip(&self.places).all(|(end, is)| *is || first_pod(end).is_some())
    }
}

fn first_pod(end: &ReachEnd) -> Option<PodId> {
    match end {
        ReachEnd::Pods { pods, .. } => pods.first().copied(),
        ReachEnd::Outside { .. } => None,
    }
}

/// Finds what is typed.
#[derive(Debug)]
pub(super) struct Finder<'i> {
    engine: &'i Engine,
    inventory: &'i Inventory,
    reach: &'i Reach,
    catalog: Catalog<'i>,
}

impl<'i> Finder<'i> {
    pub(super) fn new(
        engine: &'i Engine,
        inventory: &'i Inventory,
        reach: &'i Reach,
        default_namespace: &'i str,
    ) -> Finder<'i> {
        Finder { engine, inventory, reach, catalog: Catalog::new(engine, inventory, default_namespace) }
    }

    /// The ends that a name stands for: those of a workload, pod, Service or namespace, or outside ranges.
    pub(super) fn ends(&self, text: &str) -> Result<Ends, Complaint> {
        let namespace = text.strip_suffix('/').unwrap_or(text);
        let in_namespace =
            |end: &ReachEnd| matches!(end, ReachEnd::Pods { namespace: n, .. } if n == namespace);
        let is_namespace = !namespace.contains('/')
            && (self.inventory.namespaces.iter().any(|n| n.name == namespace)
                || self.reach.ends.iter().any(in_namespace));
        let found = self.catalog.find(text);
        let found = match found {
            Ok(_) if is_namespace => {
                return Err(Complaint::new(format!(
                    "`{text}` is a namespace and something in the default one"
                ))
                .help(format!("write {namespace}/ for the namespace, and NAMESPACE/NAME for the other")));
            }
            Err(_) if is_namespace => return Ok(Ends::new(self.reach, in_namespace)),
            found => found?,
        };
        let holds = |wanted: &[PodId]| {
            Ends::new(
                self.reach,
                |end| matches!(end, ReachEnd::Pods { pods, .. } if pods.iter().any(|p| wanted.contains(p))),
            )
        };
        Ok(match found {
            End::Pods(_, pods) => holds(&pods),
            End::Service(service) => holds(&service::pods(self.engine, service)),
            End::External => Ends::new(self.reach, |end| matches!(end, ReachEnd::Outside { .. })),
            End::Address(address) => match self.engine.pod_at(address) {
                Some(pod) => holds(&[pod]),
                None => Ends::new(self.reach, |end| match end {
                    ReachEnd::Outside { first, last } => {
                        first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last
                    }
                    ReachEnd::Pods { .. } => false,
                }),
            },
        })
    }

    /// The ends that any of these names stands for; `None` where there are no names.
    fn any(&self, names: &[String]) -> Result<Option<Ends>, Complaint> {
        let mut all: Option<Ends> = None;
        for name in names {
            let ends = self.ends(name)?;
            all = Some(match all {
                Some(known) => known.or(ends),
                None => ends,
            });
        }
        Ok(all)
    }

    /// What is chosen.
    pub(super) fn selection(&self, args: &SelectArgs, only: Option<&str>) -> Result<Selection, Complaint> {
        let (focus, from, to) = (self.any(&args.focus)?, self.any(&args.from)?, self.any(&args.to)?);
        // Connections between pods and outside are found from their pods.
        let listable = |ends: &Option<Ends>| ends.clone().filter(|e| !e.has_outside(self.reach));
        let of_namespace = only.map(|only| {
            Ends::new(self.reach, |end| matches!(end, ReachEnd::Pods { namespace, .. } if namespace == only))
        });
        let candidates = [of_namespace, listable(&focus), listable(&from), listable(&to)];
        let wanted = candidates.into_iter().flatten().min_by_key(|ends| ends.pods.len());
        let splits = |ends: &Option<Ends>| {
            ends.as_ref().is_some_and(|e| e.has_outside(self.reach) && !e.has_all_outside(self.reach))
        };
        let splits_outside = splits(&focus) || splits(&from) || splits(&to);
        Ok(Selection { only: only.map(str::to_owned), focus, from, to, wanted, splits_outside })
    }
}

impl Selection {
    /// Whether ends were chosen by name, so that only what takes part is shown.
    pub(super) fn is_narrow(&self) -> bool {
        self.focus.is_some() || self.from.is_some() || self.to.is_some()
    }

    /// The namespace that is shown alone.
    pub(super) fn only(&self) -> Option<&str> {
        self.only.as_deref()
    }

    /// Whether some outside ranges are asked for and not all, so that they must not be shown as one.
    pub(super) fn splits_outside(&self) -> bool {
        self.splits_outside
    }

    /// Whether an end is one that was chosen by name.
    pub(super) fn names(&self, place: u32) -> bool {
        [&self.focus, &self.from, &self.to].into_iter().flatten().any(|ends| ends.has(place))
    }

    /// Whether a destination can have lines at all.
    pub(super) fn may_be_destination(&self, place: u32) -> bool {
        self.to.as_ref().is_none_or(|to| to.has(place))
    }

    /// Whether a connection between two ends is shown.
    pub(super) fn has(&self, reach: &Reach, from: u32, to: u32) -> bool {
        let in_namespace = |place: u32| match (&self.only, reach.ends.get(place as usize)) {
            (Some(only), Some(ReachEnd::Pods { namespace, .. })) => namespace == only,
            (Some(_), _) => false,
            (None, _) => true,
        };
        (in_namespace(from) || in_namespace(to))
            && self.focus.as_ref().is_none_or(|focus| focus.has(from) || focus.has(to))
            && self.from.as_ref().is_none_or(|ends| ends.has(from))
            && self.to.as_ref().is_none_or(|ends| ends.has(to))
    }

    /// The connections that are shown, in order.
    pub(super) fn connections<'r>(&'r self, reach: &'r Reach) -> impl Iterator<Item = Connection> + 'r {
        let wanted = |end: &ReachEnd| match (&self.wanted, first_pod(end)) {
            (Some(wanted), Some(pod)) => wanted.pods.binary_search(&pod).is_ok(),
            (_, pod) => pod.is_some(),
        };
        reach.connections_of(wanted).filter(|c| self.has(reach, c.from, c.to))
    }
}
