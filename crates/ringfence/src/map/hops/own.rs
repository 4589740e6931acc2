//! What pods of one workload may do among each other where policies tell them apart: a step that the map leaves out.

use std::collections::BTreeMap;

use ringfence_policy::{PodId, PortSet, Reach, ReachEnd, View, Workload};

use crate::map::Map;

/// By source and destination, places among the ends of the map.
#[derive(Debug, Default)]
pub(super) struct Own {
    allowed: BTreeMap<(u32, u32), PortSet>,
}

impl Own {
    pub(super) fn new(map: &Map<'_>) -> Own {
        let mut parts: BTreeMap<(&str, &Workload), Vec<(u32, PodId)>> = BTreeMap::new();
        for (place, end) in (0u32..).zip(&map.reach.ends) {
            if let ReachEnd::Pods { namespace, workload, pods, whole: false } = end {
                let pod = pods.first().map(|pod| (place, *pod));
                parts.entry((namespace.as_str(), workload)).or_default().extend(pod);
            }
        }
        // In the map of pods they are listed, and nothing is missing there.
        if map.view == View::Pods || parts.is_empty() {
            return Own::default();
        }
        let reach = Reach::with_view(map.engine, View::Pods);
        let mut places = BTreeMap::new();
        for (place, end) in (0u32..).zip(&reach.ends) {
            if let ReachEnd::Pods { pods, .. } = end {
                places.extend(pods.iter().map(|pod| (*pod, place)));
            }
        }
        let rows = reach.rows();
        let mut allowed = BTreeMap::new();
        for parts in parts.values() {
            for ((from, source), (to, destination)) in
                parts.iter().flat_map(|from| parts.iter().map(move |to| (from, to)))
            {
                let pair = places.get(source).zip(places.get(destination));
                if let Some(set) = pair.and_then(|(source, destination)| rows.allowed(*source, *destination))
                {
                    allowed.insert((*from, *to), set.clone());
                }
            }
        }
        Own { allowed }
    }

    /// What may pass between two ends of one workload; `None` for nothing, and for any other ends.
    pub(super) fn allowed(&self, from: u32, to: u32) -> Option<&PortSet> {
        self.allowed.get(&(from, to))
    }
}
