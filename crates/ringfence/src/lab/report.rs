//! What a trial showed, for people: who reached whom before and after, and every difference from the promise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use ringfence_lab::listen::Told;
use ringfence_lab::{Lab, Outcome, Place, Plan, Probe};
use ringfence_policy::{Because, Protocol, Traffic};

use crate::lab::rounds::{Difference, Round, RoundName, Trial};
use crate::table;
use crate::terminal::Palette;

/// A table wider than this is shown as a list of what changed.
const WIDEST: usize = 120;

/// The most differences that are shown one by one.
const MOST: usize = 20;

/// The whole report.
pub(crate) fn text(lab: &Lab, trial: &Trial, differences: &[Difference], palette: Palette) -> String {
    let plan = lab.plan();
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", inventory_line(plan));
    let grid = Grid::new(plan, trial);
    if grid.width() <= WIDEST {
        for round in trial.rounds.iter().filter(|r| r.name != RoundName::Removed) {
            let heading = match round.name {
                RoundName::After => "AFTER: the policies are in the kernel",
                _ => "BEFORE: no policies",
            };
            let _ = writeln!(text, "{}", palette.heading(heading));
            text.push_str(&grid.show(trial, round, palette));
            text.push('\n');
        }
    } else if let (Some(before), Some(after)) = (trial.find(RoundName::Before), trial.find(RoundName::After))
    {
        text.push_str(&changes(plan, trial, before, after, palette));
    }
    if let Some(change) = &trial.change {
        let ms = change.in_force.as_secs_f64() * 1e3;
        let _ = writeln!(
            text,
            "policies in force on every node after {ms:.1} ms ({} table operations)",
            change.operations
        );
    }
    for round in &trial.rounds {
        text.push_str(&summary(lab, round));
    }
    if trial.find(RoundName::After).is_some() {
        let [(passed, of_passed), (dropped, of_dropped)] = trial.told_of(lab);
        let _ = writeln!(
            text,
            "events:            {dropped} of {of_dropped} denials and {passed} of {of_passed} connections were told, each \
             with its reason"
        );
    }
    if trial.untold > 0 {
        let _ = writeln!(text, "                   {} events were lost or could not be read", trial.untold);
    }
    let count = trial.rounds.iter().map(|r| r.outcomes.len()).sum::<usize>();
    if differences.is_empty() {
        let line = format!("all {count} measurements are as the engine promised");
        let _ = writeln!(text, "{}", palette.allowed(&line));
    } else {
        let line = format!("{} of {count} measurements are NOT as the engine promised:", differences.len());
        let _ = writeln!(text, "{}", palette.denied(&line));
        for difference in differences.iter().take(MOST) {
            let _ = writeln!(text, "  {}", describe(lab, trial, *difference));
        }
        if differences.len() > MOST {
            let _ = writeln!(text, "  ... and {} more (-o json has all)", differences.len() - MOST);
        }
    }
    text
}

/// A pair of ends and ports whose outcome changed, for labs too large for a grid, and for what a changed file did.
pub(crate) fn changes(plan: &Plan, trial: &Trial, before: &Round, after: &Round, palette: Palette) -> String {
    let mut rows: BTreeSet<Vec<String>> = BTreeSet::new();
    for ((probe, was), is) in trial.probes.iter().zip(&before.outcomes).zip(&after.outcomes) {
        if was.passed() != is.passed() {
            let word = |o: &Outcome| if o.passed() { "ok" } else { "drop" }.to_owned();
            rows.insert(vec![
                place_name(plan, probe.from),
                target_name(plan, probe.to),
                traffic_name(probe.traffic),
                word(was),
                word(is),
            ]);
        }
    }
    if rows.is_empty() {
        return "no connection changed\n".to_owned();
    }
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    table::columns(&["FROM", "TO", "PORT", "BEFORE", "AFTER"], &rows, palette, |_, cell| {
        colour(cell, palette)
    })
}

/// What a probe's promise was, and what came instead.
pub(crate) fn describe(lab: &Lab, trial: &Trial, difference: Difference) -> String {
    let plan = lab.plan();
    let round = trial.rounds.get(difference.round);
    let (Some(round), Some(probe)) = (round, trial.probes.get(difference.probe)) else {
        return String::new();
    };
    let (Some(promise), Some(outcome)) =
        (round.promises.get(difference.probe), round.outcomes.get(difference.probe))
    else {
        return String::new();
    };
    let promised = match promise.ends.first() {
        _ if promise.must_pass() => "promised to pass".to_owned(),
        Some((_, _, verdict)) => {
            let side = if verdict.egress.allowed { &verdict.ingress } else { &verdict.egress };
            match &side.because {
                Because::NoRule(_) => "promised to be dropped (isolated, and no rule allows it)".to_owned(),
                Because::Rule(_) => "promised to be dropped (a rule denies it)".to_owned(),
                _ => "promised to be dropped".to_owned(),
            }
        }
        None => "nothing is promised".to_owned(),
    };
    format!(
        "{}: {} -> {} {}: {promised}; measured: {}",
        round.name.as_str(),
        place_name(plan, probe.from),
        target_name(plan, probe.to),
        traffic_name(probe.traffic),
        outcome_name(outcome)
    )
}

/// Who is at a place.
pub(crate) fn place_name(plan: &Plan, place: Place) -> String {
    match place {
        Place::Pod(id) => plan.pod(id).map_or_else(String::new, ringfence_lab::Pod::full_name),
        Place::Node(id) => plan.node(id).map_or_else(String::new, |n| n.name.clone()),
        Place::Outside(address) => format!("outside {address}"),
    }
}

/// Who has an address: a pod, a node, a Service or the outside.
pub(crate) fn target_name(plan: &Plan, to: IpAddr) -> String {
    if let Some(place) = plan.place_of(to) {
        return place_name(plan, place);
    }
    match plan.services.iter().find(|s| s.addresses.contains(&to)) {
        Some(service) => format!("service {}/{}", service.namespace, service.name),
        None => to.to_string(),
    }
}

/// An event as a line.
pub(crate) fn event_line(plan: &Plan, told: &Told) -> String {
    let event = &told.event;
    let traffic = match Protocol::ALL.into_iter().find(|p| p.number() == event.protocol) {
        Some(protocol) => format!("{protocol} {}", event.destination_port),
        None if matches!(event.protocol, 1 | 58) => "ping".to_owned(),
        None => format!("protocol {}", event.protocol),
    };
    format!(
        "{}: {} {} -> {} {traffic} ({})",
        told.node,
        if event.allowed { "allowed" } else { "denied" },
        target_name(plan, event.source),
        target_name(plan, event.destination),
        told.because()
    )
}

/// What was sent.
pub(crate) fn traffic_name(traffic: Traffic) -> String {
    match traffic {
        Traffic::Port(protocol, port) => format!("{protocol} {port}"),
        Traffic::Other => "ping".to_owned(),
    }
}

/// What came of it.
pub(crate) fn outcome_name(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(who) if who.is_empty() => "answered".to_owned(),
        Outcome::Answered(who) => format!("answered by {who}"),
        Outcome::Refused => "refused (nothing listens)".to_owned(),
        Outcome::Echoed => "answered".to_owned(),
        Outcome::Arrived(who) => format!("arrived at {who}"),
        Outcome::Unreachable => "unreachable".to_owned(),
        Outcome::Silent => "dropped".to_owned(),
        Outcome::Failed(why) => format!("could not be sent: {why}"),
    }
}

/// What is in the lab.
pub(crate) fn inventory_line(plan: &Plan) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let families = if plan.dual_stack { "IPv4 and IPv6" } else { "IPv4" };
    format!(
        "lab: {} on {}, {}, {families}",
        count(plan.pods.len(), "pod"),
        count(plan.nodes.len(), "node"),
        count(plan.services.len(), "Service"),
    )
}

fn summary(lab: &Lab, round: &Round) -> String {
    let passed = round.outcomes.iter().filter(|o| o.passed()).count();
    let heading = match round.name {
        RoundName::Before => "without policies:",
        RoundName::After => "with policies:",
        RoundName::Removed => "policies removed:",
    };
    let kept = round.outcomes.len() - round.broken(lab).count();
    format!(
        "{heading:<18} {passed} of {} probes passed, {kept} as promised ({:.1} s)\n",
        round.outcomes.len(),
        round.took.as_secs_f64()
    )
}

fn colour(cell: &str, palette: Palette) -> String {
    match cell {
        "drop" => palette.denied(cell),
        "ok" => palette.allowed(cell),
        _ => cell.to_owned(),
    }
}

/// Sources down, destinations across, each destination with the ports that it declares and ping.
struct Grid {
    rows: Vec<(Place, String)>,
    columns: Vec<(Place, String, Vec<Traffic>)>,
    /// By source, destination and traffic: the probes, one for each address family.
    cells: BTreeMap<(Place, Place, Traffic), Vec<usize>>,
}

impl Grid {
    fn new(plan: &Plan, trial: &Trial) -> Grid {
        let namespaces: BTreeSet<&String> = plan.pods.iter().map(|p| &p.namespace).collect();
        let short = |name: String| match name.split_once('/') {
            Some((_, rest)) if namespaces.len() == 1 => rest.to_owned(),
            _ => name,
        };
        let mut cells: BTreeMap<(Place, Place, Traffic), Vec<usize>> = BTreeMap::new();
        let mut rows = Vec::new();
        let mut columns: Vec<(Place, String, Vec<Traffic>)> = Vec::new();
        for (i, probe) in trial.probes.iter().enumerate() {
            let Some(to) = plan.place_of(probe.to) else { continue };
            if !rows.iter().any(|(place, _)| *place == probe.from) {
                rows.push((probe.from, short(place_name(plan, probe.from))));
            }
            if !columns.iter().any(|(place, ..)| *place == to) {
                let declared = declared(plan, to);
                if !matches!(to, Place::Outside(_)) || changed(trial, to, plan) {
                    columns.push((to, short(place_name(plan, to)), declared));
                }
            }
            cells.entry((probe.from, to, probe.traffic)).or_default().push(i);
        }
        columns.sort_by_key(|(place, ..)| *place);
        Grid { rows, columns, cells }
    }

    fn width(&self) -> usize {
        let first = self.rows.iter().map(|(_, n)| n.len()).max().unwrap_or(0);
        first + self.columns.iter().map(|c| Self::column_width(c) + 3).sum::<usize>()
    }

    fn column_width((_, name, traffic): &(Place, String, Vec<Traffic>)) -> usize {
        let cells: usize = traffic.iter().map(|t| cell_heading(*t).len().max(4) + 2).sum();
        name.len().max(cells.saturating_sub(2))
    }

    fn show(&self, trial: &Trial, round: &Round, palette: Palette) -> String {
        let first = self.rows.iter().map(|(_, n)| n.len()).max().unwrap_or(0).max("FROM \\ TO".len());
        let mut lines = vec![format!("{:first$}", "FROM \\ TO"), " ".repeat(first)];
        let mut body: Vec<String> = self.rows.iter().map(|(_, name)| format!("{name:first$}")).collect();
        for column in &self.columns {
            let (to, name, traffic) = column;
            let width = Self::column_width(column);
            let pad = |plain: &str, painted: String, width: usize| {
                format!("{painted}{:1$}", "", width.saturating_sub(plain.chars().count()))
            };
            if let [top, under] = lines.as_mut_slice() {
                let _ = write!(top, "   {}", pad(name, palette.heading(name), width));
                let headings: Vec<String> = traffic
                    .iter()
                    .map(|t| format!("{:<1$}", cell_heading(*t), cell_heading(*t).len().max(4)))
                    .collect();
                let _ = write!(under, "   {:width$}", headings.join("  "));
            }
            for ((from, _), line) in self.rows.iter().zip(&mut body) {
                let mut plain = String::new();
                let mut painted = String::new();
                for (i, t) in traffic.iter().enumerate() {
                    let word = self.cell(trial, round, *from, *to, *t);
                    let gap = if i == 0 { "" } else { "  " };
                    let cell_width = cell_heading(*t).len().max(4);
                    let _ = write!(plain, "{gap}{word:cell_width$}");
                    let _ = write!(painted, "{gap}{}", pad(word, colour(word, palette), cell_width));
                }
                let _ = write!(line, "   {}", pad(&plain, painted, width));
            }
        }
        lines.extend(body);
        lines.iter().map(|l| format!("{}\n", l.trim_end())).collect()
    }

    fn cell(&self, trial: &Trial, round: &Round, from: Place, to: Place, traffic: Traffic) -> &'static str {
        let Some(probes) = self.cells.get(&(from, to, traffic)) else { return "-" };
        let passed = |v4: Option<bool>| {
            let mut outcomes = probes
                .iter()
                .filter(|i| {
                    v4.is_none_or(|v4| trial.probes.get(**i).is_some_and(|p: &Probe| p.to.is_ipv4() == v4))
                })
                .filter_map(|i| round.outcomes.get(*i));
            let any = outcomes.clone().next().is_some();
            any && outcomes.all(Outcome::passed)
        };
        match (passed(None), passed(Some(true)), passed(Some(false))) {
            (true, ..) => "ok",
            (false, true, _) => "v4",
            (false, _, true) => "v6",
            _ => "drop",
        }
    }
}

/// What a destination is asked in the grid: its declared ports, and ping.
fn declared(plan: &Plan, to: Place) -> Vec<Traffic> {
    let mut ports: BTreeSet<(Protocol, u16)> = BTreeSet::new();
    for pod in &plan.pods {
        let here = match to {
            Place::Pod(id) => plan.pod(id).is_some_and(|p| p.addresses == pod.addresses && !pod.host_network),
            Place::Node(id) => pod.host_network && pod.node == id,
            Place::Outside(_) => true,
        };
        if here {
            ports.extend(pod.ports.iter().map(|p| (p.protocol, p.port)));
        }
    }
    let mut traffic: Vec<Traffic> =
        ports.into_iter().map(|(protocol, port)| Traffic::Port(protocol, port)).collect();
    traffic.push(Traffic::Other);
    traffic
}

/// Whether anything toward this place changed with the policies.
fn changed(trial: &Trial, to: Place, plan: &Plan) -> bool {
    let (Some(before), Some(after)) = (trial.find(RoundName::Before), trial.find(RoundName::After)) else {
        return false;
    };
    let rounds = before.outcomes.iter().zip(&after.outcomes);
    trial
        .probes
        .iter()
        .zip(rounds)
        .any(|(probe, (was, is))| plan.place_of(probe.to) == Some(to) && was.passed() != is.passed())
}

fn cell_heading(traffic: Traffic) -> String {
    match traffic {
        Traffic::Port(Protocol::Tcp, port) => port.to_string(),
        Traffic::Port(protocol, port) => format!("{port}/{protocol}"),
        Traffic::Other => "ping".to_owned(),
    }
}
