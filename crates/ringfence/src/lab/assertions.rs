//! `lab --verify`: assertions measured with real packets.
//!
//! What is asked is every pair of pods and outside addresses of the lab that an assertion speaks of; of a large range of
//! ports its ends, what something listens on, and where a rule's range begins or ends. Pods that could be created are not
//! in the lab: of such assertions the pods that are there are measured, and where there are none, that is said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Context;
use ringfence_lab::enforce::Enforcement;
use ringfence_lab::{Lab, Outcome, Place, Probe, ranges::can_be_outside};
use ringfence_policy::{Engine, Pod, PortSet, Protocol, Traffic};

use crate::cli::{DENIED, ExplainFormat, LabArgs};
use crate::complaint::Complaint;
use crate::input::Input;
use crate::lab::progress::Progress;
use crate::lab::rounds::{Round, RoundName};
use crate::lab::{engine, measured};
use crate::ranges;
use crate::terminal::Terminal;
use crate::verify::read::{Assertion, Kind};
use crate::verify::selector::Selector;

/// The most ports of a range that are all asked.
const WHOLE: u16 = 16;

/// The most ports of a larger range that are asked beside its ends.
const MOST_OF_RANGE: usize = 32;

/// The most probes of all assertions.
const MOST: usize = 100_000;

/// An assertion and what was measured for it.
pub(crate) struct Measured<'a> {
    pub(crate) assertion: &'a Assertion,
    pub(crate) wanted: Vec<Wanted>,
    /// Whether there are ranges of ports of which some were asked only.
    pub(crate) sampled: bool,
}

/// A connection, and whether it must be possible.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Places in the round's probes: one for each address family.
    pub(crate) probes: Vec<usize>,
    pub(crate) must_pass: bool,
}

impl Measured<'_> {
    /// What was not as asserted.
    pub(crate) fn wrong<'m>(&'m self, round: &'m Round) -> impl Iterator<Item = &'m Wanted> {
        let passed = |i: &usize| round.outcomes.get(*i).is_some_and(Outcome::passed);
        self.wanted.iter().filter(move |w| w.probes.iter().any(passed) != w.must_pass)
    }
}

/// Brings the policies into the kernels, measures and shows.
pub(crate) fn run(
    args: &LabArgs,
    lab: &Lab,
    input: &Input,
    assertions: &[Assertion],
    progress: &mut Progress,
    terminal: &Terminal,
) -> anyhow::Result<ExitCode> {
    let held = engine(lab, input, &input.inventory.all_policies());
    let mut plan = Plan::new(lab, &held);
    let wanted: Vec<Measured<'_>> = assertions.iter().map(|a| plan.assertion(a)).collect();
    let probes = plan.probes;
    if probes.len() > MOST {
        let message = format!("these assertions ask for {} probes, more than {MOST}", probes.len());
        return Err(Complaint::new(message).help("use fewer replicas (--max-replicas) or assertions").into());
    }
    let mut enforcement = Enforcement::attach(lab).context("the policies cannot be enforced")?;
    enforcement.apply(&held).context("the policies cannot be enforced")?;
    lab.flush_connections()?;
    let round = Round::measure(lab, RoundName::After, &held, &probes, progress)?;
    progress.clear();
    let shown = match args.output {
        ExplainFormat::Text => measured::text(lab, &probes, &round, &wanted, terminal.palette()),
        ExplainFormat::Json => measured::json(lab, &probes, &round, &wanted)?,
    };
    terminal.answer(&shown)?;
    let is_bad = |m: &Measured<'_>| {
        m.wrong(&round).next().is_some() || m.wanted.is_empty() && !m.assertion.is_of_new_pods()
    };
    let nothing = wanted.iter().all(|m| m.wanted.is_empty());
    let fails = nothing || wanted.iter().any(is_bad) || round.broken(lab).next().is_some();
    Ok(if fails { ExitCode::from(DENIED) } else { ExitCode::SUCCESS })
}

/// The outside addresses that assertions ask for: one of each of their ranges, and those just beside it.
pub(crate) fn outside(assertions: &[Assertion], dual_stack: bool) -> Vec<IpAddr> {
    let selectors = assertions.iter().flat_map(|a| a.from.iter().chain(&a.to));
    let mut addresses = Vec::new();
    for net in selectors.filter_map(|s| s.address).filter(|net| dual_stack || net.addr().is_ipv4()) {
        let (first, last) = (net.network(), net.broadcast());
        addresses.extend([last, first].into_iter().find(|a| can_be_outside(*a)));
        let beside = [ranges::before(first), ranges::next(last)].into_iter().flatten();
        addresses.extend(beside.filter(|a| can_be_outside(*a)));
    }
    addresses
}

/// The probes, each once.
struct Plan<'l> {
    engine: &'l Engine,
    ends: Vec<LabEnd<'l>>,
    /// Ports worth asking in a large range.
    interesting: BTreeSet<(Protocol, u16)>,
    probes: Vec<Probe>,
    places: BTreeMap<Probe, usize>,
}

struct LabEnd<'l> {
    place: Place,
    addresses: Vec<IpAddr>,
    /// `None` outside.
    pod: Option<&'l Pod>,
}

impl<'l> Plan<'l> {
    fn new(lab: &'l Lab, engine: &'l Engine) -> Plan<'l> {
        let plan = lab.plan();
        let by_name: BTreeMap<(&str, &str), &Pod> =
            engine.pods().map(|(_, pod)| ((pod.namespace.as_str(), pod.name.as_str()), pod)).collect();
        let mut ends = Vec::new();
        for (id, pod) in plan.pod_ids() {
            let Some(known) = by_name.get(&(pod.namespace.as_str(), pod.name.as_str())) else { continue };
            let place = if pod.host_network { Place::Node(pod.node) } else { Place::Pod(id) };
            ends.push(LabEnd { place, addresses: pod.addresses.clone(), pod: Some(known) });
        }
        let outside = plan.outside.iter();
        ends.extend(outside.map(|a| LabEnd { place: Place::Outside(*a), addresses: vec![*a], pod: None }));
        let declared = plan.pods.iter().flat_map(|pod| &pod.ports).map(|p| (p.protocol, p.port));
        let bounds = engine.port_bounds().into_iter().flat_map(|bound| [Some(bound), bound.checked_sub(1)]);
        let bounds = bounds.flatten().flat_map(|port| Protocol::ALL.map(|protocol| (protocol, port)));
        let interesting = declared.chain(bounds).collect();
        Plan { engine, ends, interesting, probes: Vec::new(), places: BTreeMap::new() }
    }

    fn assertion<'a>(&mut self, assertion: &'a Assertion) -> Measured<'a> {
        let Assertion { kind, from, to, ports, .. } = assertion;
        let is_meant = |selectors: &[Selector], end: &LabEnd<'_>| match (end.pod, end.place) {
            (Some(pod), _) => selectors.iter().any(|s| s.means(self.engine, pod)),
            (None, Place::Outside(address)) => selectors.iter().any(|s| s.means_address(address)),
            (None, _) => false,
        };
        let (asked, asked_some) = self.chosen(ports);
        let (others, others_some) = self.chosen(&PortSet::all().minus(ports));
        let (all, all_some) = self.chosen(&PortSet::all());
        let (mut wanted, mut sampled) = (Vec::new(), false);
        for target in self.ends.iter().filter(|end| is_meant(to, end)) {
            for source in self.ends.iter().filter(|end| self.can_be_asked(end, target)) {
                let parts: &[(&[Traffic], bool, bool)] = match (kind, is_meant(from, source)) {
                    (Kind::Allow, true) => &[(&asked, true, asked_some)],
                    (Kind::Deny, true) => &[(&asked, false, asked_some)],
                    (Kind::Allow | Kind::Deny, false) => &[],
                    (Kind::Only, true) => &[(&asked, true, asked_some), (&others, false, others_some)],
                    (Kind::Only, false) => &[(&all, false, all_some)],
                };
                for (traffic, must_pass, some) in parts {
                    sampled |= some;
                    for traffic in *traffic {
                        let same = |a: &&IpAddr| source.addresses.iter().any(|s| s.is_ipv4() == a.is_ipv4());
                        let to = target.addresses.iter().filter(same);
                        let probe = |to: &IpAddr| Probe { from: source.place, to: *to, traffic: *traffic };
                        let probes: Vec<Probe> = to.map(probe).collect();
                        if !probes.is_empty() {
                            wanted.push((probes, *must_pass));
                        }
                    }
                }
            }
        }
        let place = |(probes, must_pass): (Vec<Probe>, bool)| Wanted {
            probes: probes.into_iter().map(|probe| self.place(probe)).collect(),
            must_pass,
        };
        Measured { assertion, wanted: wanted.into_iter().map(place).collect(), sampled }
    }

    /// Whether assertions speak of a pair: not of one workload's pods among each other, of outside addresses among each
    /// other, nor of a node's way to its own pods.
    fn can_be_asked(&self, from: &LabEnd<'_>, to: &LabEnd<'_>) -> bool {
        match (from.pod, to.pod) {
            (None, None) => false,
            (Some(source), Some(target)) => {
                let same_workload =
                    source.workload == target.workload && source.namespace == target.namespace;
                let own_node = source.host_network && source.node == target.node;
                !same_workload && !own_node && from.place != to.place
            }
            _ => true,
        }
    }

    /// What is asked of a set of ports, and whether that is some of them only.
    fn chosen(&self, ports: &PortSet) -> (Vec<Traffic>, bool) {
        let (mut chosen, mut some) = (Vec::new(), false);
        for protocol in Protocol::ALL {
            for range in ports.ranges(protocol) {
                let (first, last) = (range.first().max(1), range.last());
                let mut of_range: BTreeSet<u16> = [first, last].into_iter().filter(|p| *p > 0).collect();
                if last.saturating_sub(first) < WHOLE {
                    of_range.extend(first..=last);
                } else {
                    let inside = self.interesting.range((protocol, first)..=(protocol, last));
                    of_range.extend(inside.map(|(_, port)| *port).take(MOST_OF_RANGE));
                    some = true;
                }
                chosen.extend(of_range.into_iter().map(|port| Traffic::Port(protocol, port)));
            }
        }
        chosen.extend(ports.other().then_some(Traffic::Other));
        (chosen, some)
    }

    fn place(&mut self, probe: Probe) -> usize {
        let next = self.probes.len();
        let place = *self.places.entry(probe).or_insert(next);
        if place == next {
            self.probes.push(probe);
        }
        place
    }
}
