//! The answer for people: the verdict first, then each side with its reason and, for a denial, what would allow it.

use std::fmt::Write;

use ringfence_k8s::{ServicePort, Sources};
use ringfence_policy::{Direction, Engine, NearMiss, PolicyKey, RuleRef, Tier, Traffic};

use super::answer::{Answer, Answers, Side, Why};
use super::question::{Case, Question};
use super::repair::Repair;
use super::rule::RuleText;
use super::syntax::flow;
use super::{fix, quote};
use crate::ports::PortList;
use crate::ranges::{self, Range};
use crate::reference::Reference;
use crate::terminal::Palette;

/// How many near misses are shown; the rest is counted.
const MISSES: usize = 3;

/// The whole answer.
pub(super) fn render(
    question: &Question<'_>,
    answers: &Answers<'_>,
    repair: Option<&Repair>,
    sources: &Sources,
    palette: Palette,
) -> String {
    let mut page = Page { text: String::new(), engine: question.engine(), sources, palette };
    let Some(deciding) = answers.deciding() else { return String::new() };
    page.headline(question, answers, deciding);
    page.service(question, answers);
    if !answers.is_uniform() {
        page.cases(answers);
        page.line("");
        page.line(&format!("The reasons, for {}:", case_text(&deciding.case)));
    }
    page.side(deciding, Direction::Egress);
    page.side(deciding, Direction::Ingress);
    if deciding.ports.is_some() && !deciding.allowed && deciding.egress.allowed && deciding.ingress.allowed {
        page.line("");
        page.line("The two sides have no port in common.");
    }
    if let Some(repair) = repair {
        page.repair(repair);
    }
    page.text
}

struct Page<'a> {
    text: String,
    engine: &'a Engine,
    sources: &'a Sources,
    palette: Palette,
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}");
    }

    fn verdict(&self, allowed: bool) -> String {
        if allowed { self.palette.allowed("allowed") } else { self.palette.denied("denied") }
    }

    fn headline(&mut self, question: &Question<'_>, answers: &Answers<'_>, deciding: &Answer<'_>) {
        let allowed = answers.allowed();
        let Question { from, to, .. } = question;
        let partly = !answers.is_uniform() && !allowed && answers.all().any(|a| a.allowed);
        let may = match (allowed, partly) {
            (true, _) => "may connect to",
            (false, true) => "may not always connect to",
            (false, false) => "may not connect to",
        };
        let what = match (question.sent, &deciding.ports) {
            (Some(Traffic::Other), _) => " with ICMP (ping)".to_owned(),
            (Some(traffic), _) => format!(" on {traffic}"),
            (None, Some(ports)) if allowed && answers.is_uniform() => {
                let list = PortList::from(ports);
                if list.is_all() {
                    " on every port, ICMP too".to_owned()
                } else {
                    format!(" on {}, and on nothing else", list.to_text())
                }
            }
            (None, _) if allowed => " on some ports".to_owned(),
            (None, _) if partly => String::new(),
            (None, _) => " on any port".to_owned(),
        };
        let verdict = self.verdict(allowed);
        self.line(&format!("{verdict}: {from} {may} {to}{what}"));
    }

    /// What becomes of the ports of a Service.
    fn service(&mut self, question: &Question<'_>, answers: &Answers<'_>) {
        let Some(service) = question.service else { return };
        let place = service.source.as_ref().map(|s| format!(", {s}")).unwrap_or_default();
        let mut known: Vec<String> = Vec::new();
        for case in answers.all().map(|a| &a.case) {
            let to = case.to.reference.text();
            let line = match (case.service_port, case.traffic) {
                (Some(port), Some(traffic)) => format!("  {} goes to {traffic} of {to}", service_port(port)),
                _ => format!("  its names lead to the pods of {to} directly: ports are not translated"),
            };
            if !known.contains(&line) {
                known.push(line);
            }
        }
        self.line(&format!("  Service {}/{}{place}:", service.namespace, service.name));
        for line in known {
            self.line(&line);
        }
    }

    /// One line for each outcome: outside ranges that fare alike share one.
    fn cases(&mut self, answers: &Answers<'_>) {
        let mut lines: Vec<(bool, String, Vec<Range>)> = Vec::new();
        for answer in answers.all() {
            let Case { from, to, .. } = &answer.case;
            let ports = match (&answer.ports, answer.case.traffic, answer.case.service_port) {
                (Some(ports), ..) if answer.allowed => format!(" on {}", PortList::from(ports).to_text()),
                (None, Some(traffic), Some(port)) => format!(" on {} ({traffic})", service_port(port)),
                _ => String::new(),
            };
            let (text, range) = match (&from.reference, &to.reference) {
                (Reference::Outside(first, last), to) => {
                    (format!("to {}{ports} from ", to.text()), Some((*first, *last)))
                }
                (from, Reference::Outside(first, last)) => {
                    (format!("from {}{ports} to ", from.text()), Some((*first, *last)))
                }
                (from, to) => (format!("{} to {}{ports}", from.text(), to.text()), None),
            };
            match lines.iter_mut().find(|(a, t, _)| *a == answer.allowed && *t == text) {
                Some((_, _, ranges)) => ranges.extend(range),
                None => lines.push((answer.allowed, text, range.into_iter().collect())),
            }
        }
        for (allowed, text, ranges) in lines {
            let verdict = self.verdict(allowed);
            let ranges: Vec<String> =
                ranges::joined(&ranges).into_iter().map(|(first, last)| ranges::text(first, last)).collect();
            self.line(&format!("  {verdict}: {text}{}", ranges.join(", ")));
        }
    }

    fn side(&mut self, answer: &Answer<'_>, direction: Direction) {
        let side = answer.side(direction);
        let (subject, word) = match direction {
            Direction::Egress => (&answer.case.from, "Egress of"),
            Direction::Ingress => (&answer.case.to, "Ingress of"),
        };
        let called = subject.reference.text();
        let heading = self.palette.heading(&format!("{word} {called}"));
        let verdict = self.verdict(side.allowed);
        self.line("");
        self.line(&format!("{heading}: {verdict}"));
        match &side.why {
            Why::Itself => self.line("  a pod always reaches itself"),
            Why::OwnNode => self.line("  a node always reaches its own pods"),
            Why::NotIsolated if side.holding.is_empty() => {
                let direction = direction.as_str();
                self.line(&format!(
                    "  open: no policy selects it for {direction}, so everything is allowed (default)"
                ));
            }
            Why::NotIsolated => {
                self.passed(side);
                let count = side.holding.len();
                let policies = if count == 1 { "policy that holds" } else { "policies that hold" };
                self.line(&format!(
                    "  open: no rule of the {count} cluster {policies} it decides this, and no NetworkPolicy isolates \
                     it for {} (default)",
                    direction.as_str()
                ));
            }
            Why::NoSubject => match subject.reference {
                Reference::Workload { .. } => {
                    self.line("  open: it uses its node's network, and no policy holds such pods (default)");
                }
                _ => self.line("  open: it is no pod, and policies hold only pods (default)"),
            },
            Why::Rule(rule) => {
                self.passed(side);
                self.tier(side, *rule, direction);
                let verdict = if side.allowed { "allowed" } else { "denied" };
                self.line(&format!("  {verdict}: {}", self.rule_text(*rule)));
                self.quote(*rule);
                self.misses(side, &answer.case, direction);
            }
            Why::Shares(shares, rest) => {
                let mut tier = None;
                for share in shares {
                    if tier.replace(self.engine.rule_tier(share.rule))
                        != Some(self.engine.rule_tier(share.rule))
                    {
                        self.tier(side, share.rule, direction);
                    }
                    let verdict = if share.allows { "allowed" } else { "denied" };
                    self.line(&format!(
                        "  {verdict}: {} by {}",
                        share.ports.to_text(),
                        self.rule_text(share.rule)
                    ));
                    self.quote(share.rule);
                }
                if let Some(rest) = rest {
                    self.rest(side, rest, direction);
                }
                self.misses(side, &answer.case, direction);
            }
            Why::NoRule => {
                self.passed(side);
                self.isolated(side, direction);
                let it = if answer.case.traffic.is_some() { "this" } else { "anything of this" };
                self.line(&format!("  denied: no {} rule of these policies allows {it}", direction.as_str()));
                self.misses(side, &answer.case, direction);
            }
        }
    }

    /// What no rule decides.
    fn rest(&mut self, side: &Side, rest: &PortList, direction: Direction) {
        if side.isolated_by.is_empty() {
            self.line(&format!("  allowed: {}: no rule decides this (default)", rest.to_text()));
            return;
        }
        self.isolated(side, direction);
        let direction = direction.as_str();
        self.line(&format!(
            "  denied: {}: no {direction} rule of these policies allows this",
            rest.to_text()
        ));
    }

    /// What earlier tiers left to later ones.
    fn passed(&mut self, side: &Side) {
        for rule in &side.passed {
            let tier = self.engine.rule_tier(*rule);
            let next = match tier {
                Tier::Baseline => "what is left is the default",
                _ => "the next tier is asked",
            };
            self.line(&format!("  tier {}: a rule passes it on, so {next}", tier.as_str()));
            self.line(&format!("  passed on: {}", self.rule_text(*rule)));
            self.quote(*rule);
            for skipped in side.skipped.iter().filter(|r| self.engine.rule_tier(**r) == tier) {
                let action = RuleText::new(self.engine, *skipped).map_or("", |r| r.action);
                self.line(&format!("  skipped: {action} of {}", self.rule_text(*skipped)));
            }
        }
    }

    /// The tier in which a rule decides.
    fn tier(&mut self, side: &Side, rule: RuleRef, direction: Direction) {
        match self.engine.rule_tier(rule) {
            Tier::NetworkPolicy => self.isolated(side, direction),
            tier => {
                let final_word = match tier {
                    Tier::Admin => "asked before every NetworkPolicy",
                    _ => "no NetworkPolicy isolates it, so the cluster's baseline is asked",
                };
                self.line(&format!("  tier {}: {final_word}", tier.as_str()));
            }
        }
        if RuleText::new(self.engine, rule).is_some_and(|r| r.is_unknown) {
            self.line("  something in this rule is not known to this version, so it denies everything:");
        }
    }

    fn isolated(&mut self, side: &Side, direction: Direction) {
        let direction = direction.as_str();
        let policies = side.isolated_by.iter().filter_map(|p| self.engine.policy(*p));
        let names: Vec<String> = policies
            .map(|p| match p.source() {
                Some(source) => format!("{} ({source})", p.key()),
                None => p.key().to_string(),
            })
            .collect();
        self.line(&format!("  tier NetworkPolicy: isolated for {direction} by"));
        for name in names {
            self.line(&format!("    {name}"));
        }
    }

    fn misses(&mut self, side: &Side, case: &Case<'_>, direction: Direction) {
        for miss in side.misses.iter().take(MISSES) {
            self.miss(miss, case, direction);
        }
        if side.misses.len() > MISSES {
            let more = self
                .palette
                .dim(&format!("  and {} more rules, which differ more", side.misses.len() - MISSES));
            self.line("");
            self.line(&more);
        }
    }

    fn miss(&mut self, miss: &NearMiss, case: &Case<'_>, direction: Direction) {
        let described = fix::describe(self.engine, miss, case, direction);
        self.line("");
        self.line(&format!("  near miss: {}", self.rule_text(miss.rule)));
        self.quote(miss.rule);
        for difference in &described {
            self.line(&format!("    differs: {}", difference.sentence));
        }
        let word = self.palette.accent("fix");
        self.line(&format!("    {word}: {}", fix::fix(self.engine, miss, case, direction)));
    }

    /// What would allow the connection, as patches that were tried.
    fn repair(&mut self, repair: &Repair) {
        self.line("");
        let heading = self.palette.heading("Smallest change");
        self.line(&format!("{heading}: tried on a copy, and the connection is allowed"));
        for patch in &repair.patches {
            let place = patch.source.as_ref().map(|s| format!(", {s}")).unwrap_or_default();
            let (kind, name, namespace) = match &patch.policy {
                PolicyKey::Network(name) => ("networkpolicy", &name.name, format!(" -n {}", name.namespace)),
                PolicyKey::Cluster(name) => (name.kind.as_str(), &name.name, String::new()),
            };
            let kind = kind.to_ascii_lowercase();
            self.line(&format!("  {}{place}", patch.policy));
            self.line(&format!("  # kubectl patch {kind} {name}{namespace} --type=json --patch-file=FILE"));
            for operation in &patch.operations {
                let field = |key: &str| operation.get(key).map(flow).unwrap_or_default();
                self.line(&format!("  - op: {}", field("op")));
                self.line(&format!("    path: {}", field("path")));
                self.line(&format!("    value: {}", field("value")));
            }
        }
    }

    fn rule_text(&self, rule: RuleRef) -> String {
        RuleText::new(self.engine, rule).map(|r| r.text()).unwrap_or_default()
    }

    fn quote(&mut self, rule: RuleRef) {
        let source = self.engine.rule_source(rule);
        let Some(quote) = source.and_then(|s| quote::block(s, self.sources)) else { return };
        let width = quote.lines.last().map_or(0, |(n, _)| n.to_string().len());
        for (number, line) in &quote.lines {
            let margin = self.palette.dim(&format!("{number:>width$} |"));
            self.line(format!("    {margin} {line}").trim_end());
        }
        if quote.cut {
            self.line(&format!("    {:>width$} | ...", ""));
        }
    }
}

fn case_text(case: &Case<'_>) -> String {
    let traffic = case.traffic.map(|t| format!(" on {t}")).unwrap_or_default();
    format!("{} to {}{traffic}", case.from.reference.text(), case.to.reference.text())
}

fn service_port(port: &ServicePort) -> String {
    format!("{} {}", port.protocol, port.port)
}
