//! The whole map in memory: for every ordered pair of ends the number of its port set.
//!
//! A row lists neighbours with the same ports as one run. Senders that nothing tells apart share a row, and toward
//! outside a row is that of the policy set.

use crate::portset::PortSet;
use crate::reach::Reach;
use crate::reach::portsets::{PortSetId, PortSets};
use crate::reach::row::RowMaker;
use crate::slots::number;

/// Every pair's ports.
#[derive(Debug, Clone)]
pub struct Rows<'r> {
    reach: &'r Reach,
    /// By sender: the ports to each end with pods.
    to_pods: Vec<Vec<Run>>,
    sets: PortSets,
}

/// From `first` to where the next run begins.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    ports: PortSetId,
}

impl<'r> Rows<'r> {
    pub(super) fn new(reach: &'r Reach) -> Rows<'r> {
        let ends: Vec<u32> = (0..reach.pods.len()).collect();
        Rows::made(reach, RowMaker::new(reach, &ends))
    }

    pub(super) fn of_policies(reach: &'r Reach) -> Rows<'r> {
        let ends: Vec<u32> = (0..reach.pods.len()).collect();
        Rows::made(reach, RowMaker::of_policies(reach, &ends))
    }

    fn made(reach: &'r Reach, mut maker: RowMaker<'r>) -> Rows<'r> {
        let mut sets = reach.sets.clone();
        let mut runs = Vec::new();
        let to_pods = (0..number(reach.pods.senders().len()))
            .map(|sender| {
                runs.clear();
                let mut before = PortSetId::UNKNOWN;
                for (first, ports) in (0u32..).zip(maker.make(sender, &mut sets)) {
                    if *ports != before {
                        runs.push(Run { first, ports: *ports });
                        before = *ports;
                    }
                }
                runs.clone()
            })
            .collect();
        Rows { reach, to_pods, sets }
    }

    /// What may pass from one end to another, by their places in [`Reach::ends`]. `None` for nothing, and for pairs that
    /// the map does not list.
    pub fn allowed(&self, from: u32, to: u32) -> Option<&PortSet> {
        let pods = &self.reach.pods;
        let ports = match (from.checked_sub(pods.len()), to.checked_sub(pods.len())) {
            (None, None) => self.between_pods(from, to),
            (None, Some(range)) => self.with_outside(pods.get(from).map(|end| end.egress), range),
            (Some(range), None) => self.with_outside(pods.get(to).map(|end| end.ingress), range),
            (Some(_), Some(_)) => PortSetId::NONE,
        };
        (ports != PortSetId::NONE).then(|| self.sets.get(ports))
    }

    /// How many ordered pairs may connect.
    pub fn count(&self) -> u64 {
        let Reach { pods, outside, sides, .. } = self.reach;
        let mut count = 0;
        for end in pods.ends() {
            for span in outside.open(sides, end.ingress).chain(outside.open(sides, end.egress)) {
                count += u64::from(span.last - span.first) + 1;
            }
            let (own_first, own_last) = end.own;
            let runs = self.row(end.sender);
            let nexts = runs.iter().skip(1).map(|run| run.first).chain([pods.len()]);
            for (run, next) in runs.iter().zip(nexts).filter(|(run, _)| run.ports != PortSetId::NONE) {
                let own = next.min(own_last + 1).saturating_sub(run.first.max(own_first));
                count += u64::from(next - run.first - own);
            }
        }
        count
    }

    fn between_pods(&self, from: u32, to: u32) -> PortSetId {
        let Some(end) = self.reach.pods.get(from) else { return PortSetId::NONE };
        let (first, last) = end.own;
        if first <= to && to <= last {
            return PortSetId::NONE;
        }
        let runs = self.row(end.sender);
        let after = runs.partition_point(|run| run.first <= to);
        after.checked_sub(1).and_then(|place| runs.get(place)).map_or(PortSetId::NONE, |run| run.ports)
    }

    fn with_outside(&self, set: Option<u32>, range: u32) -> PortSetId {
        let Reach { outside, sides, .. } = self.reach;
        let set = set.filter(|_| range < outside.len());
        set.map_or(PortSetId::NONE, |set| outside.ports(sides, set, range))
    }

    fn row(&self, sender: u32) -> &[Run] {
        self.to_pods.get(sender as usize).map_or(&[], |runs| runs)
    }
}
