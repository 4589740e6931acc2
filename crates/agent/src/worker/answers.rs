//! What the worker says when it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::Timestamp;
use ringfence_cluster::causes;
use ringfence_cluster::watch::Kind;
use ringfence_datapath::{Image, attest};
use ringfence_policy::{Direction, PolicyId, PolicyKey, Tier};

use super::{COUNT, Host, Phase, Question, Worker};
use crate::model::Source;
use crate::report::{
    Attestation, Compared, Enforcement, PolicyReport, Problem, Report, SourceReport, SourceState,
};

/// How many differences are told one by one.
const TOLD: usize = 100;

impl<H: Host> Worker<H> {
    pub(super) fn answer(&mut self, question: Question) {
        // Whoever asked may have gone meanwhile.
        match question {
            Question::Report(reply) => drop(reply.send(self.report())),
            Question::Attest(reply) => drop(reply.send(self.attest())),
            Question::Alive(reply) => {
                let _: Result<(), ()> = reply.send(());
            }
            Question::Measure(reply) => {
                self.measure();
                let _: Result<(), ()> = reply.send(());
            }
        }
    }

    fn report(&self) -> Report {
        let enforcement = match &self.phase {
            Phase::Listing => Enforcement::Waiting {
                for_kinds: self.unlisted(),
                left: self.left,
                why: self.refused.clone(),
            },
            Phase::InForce { since } => Enforcement::InForce { since: since.to_string() },
            Phase::Behind { since, why } => {
                Enforcement::Behind { since: since.to_string(), why: why.clone() }
            }
        };
        Report {
            version: 1,
            node: self.settings.node.clone(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            enforcement,
            sources: Kind::ALL.map(|kind| self.source(kind)).into(),
            endpoints: self.local.len(),
            pod_ranges: self.view().pod_ranges.iter().map(ToString::to_string).collect(),
            policies: self.policies(),
            problems: self.problems(),
            weaknesses: self.weaknesses(),
        }
    }

    fn unlisted(&self) -> Vec<String> {
        self.model.unlisted().map(|kind| kind.as_str().to_owned()).collect()
    }

    fn source(&self, kind: Kind) -> SourceReport {
        let (state, stale_seconds, why) = match self.model.source(kind, Instant::now()) {
            Source::Unlisted => (SourceState::Unlisted, None, self.model.failure(kind).map(str::to_owned)),
            Source::Absent => (SourceState::Absent, None, None),
            Source::Followed => (SourceState::Followed, None, None),
            Source::Stale { since, why } => {
                let seconds = Instant::now().saturating_duration_since(since).as_secs();
                (SourceState::Stale, Some(seconds), Some(why))
            }
        };
        let kind_name = kind.as_str().to_owned();
        SourceReport { kind: kind_name, objects: self.model.count(kind), state, stale_seconds, why }
    }

    fn is_local(&self, node: Option<&str>) -> bool {
        node == Some(self.settings.node.as_str())
    }

    fn policies(&self) -> Vec<PolicyReport> {
        let held = self.held_by_policy();
        let problems: BTreeMap<_, _> = self.model.problems().map(|(k, n, p)| ((k, n.clone()), p)).collect();
        let waiting = match &self.phase {
            Phase::Listing => Some(
                self.refused.clone().unwrap_or_else(|| "not everything that decides was read yet".to_owned()),
            ),
            Phase::Behind { why, .. } => Some(why.clone()),
            Phase::InForce { .. } => None,
        };
        let report = |(kind, name, key): (Kind, &ringfence_cluster::watch::Name, &PolicyKey)| {
            let enforced = self.enforced.get(key).filter(|_| !self.pending.contains_key(key));
            let since = enforced.or(self.pending.get(key)).copied().unwrap_or_else(Timestamp::now);
            let problem = problems.get(&(kind, name.clone())).map(|p| (*p).to_owned());
            PolicyReport {
                kind: kind.as_str().to_owned(),
                namespace: name.namespace.clone(),
                name: name.name.clone(),
                enforced: enforced.is_some(),
                since: since.to_string(),
                endpoints: held.get(key).copied().unwrap_or_default(),
                why: if enforced.is_some() { problem } else { waiting.clone().or(problem) },
            }
        };
        self.model.policies().map(report).collect()
    }

    /// How many of this node's pods each policy holds, in any direction.
    fn held_by_policy(&self) -> BTreeMap<PolicyKey, usize> {
        let engine = self.model.engine();
        let mut held: BTreeMap<PolicyId, usize> = BTreeMap::new();
        for (id, _) in engine.pods().filter(|(_, pod)| self.is_local(pod.node.as_deref())) {
            let sets = Direction::ALL.into_iter().filter_map(|direction| engine.policy_set(id, direction));
            let policies: BTreeSet<PolicyId> = sets
                .flat_map(|set| {
                    Tier::WITH_POLICIES.into_iter().flat_map(move |tier| engine.set_policies(set, tier))
                })
                .copied()
                .collect();
            for policy in policies {
                *held.entry(policy).or_default() += 1;
            }
        }
        held.into_iter().filter_map(|(id, count)| Some((engine.policy(id)?.key(), count))).collect()
    }

    fn problems(&self) -> Vec<Problem> {
        let problem = |(kind, name, problem): (Kind, &ringfence_cluster::watch::Name, &str)| Problem {
            kind: kind.as_str().to_owned(),
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            problem: problem.to_owned(),
        };
        self.model.problems().map(problem).collect()
    }

    fn weaknesses(&self) -> Vec<String> {
        let mut weaknesses = Vec::new();
        if self.settings.allow_unknown {
            weaknesses
                .push("addresses that no pod has are let through: --unknown-endpoints=allow".to_owned());
        } else if self.view().pod_ranges.is_empty() {
            let node = &self.settings.node;
            weaknesses.push(format!(
                "node {node} says no range of pod addresses, so that an address that no pod has cannot be told from \
                 one outside, and is not denied: give the range with --pod-cidr"
            ));
        }
        weaknesses
    }

    fn attest(&mut self) -> Result<Attestation, String> {
        if matches!(self.phase, Phase::Listing) {
            return Err(format!("not everything that decides was read yet: {}", self.unlisted().join(", ")));
        }
        self.enforcer.sweep().map_err(|error| causes(&error))?;
        let tables = self.enforcer.kernel().dump().map_err(|error| causes(&error))?;
        let image = Image::new(self.model.engine(), self.enforcer.view());
        let findings = attest::compare(&image, &tables);
        let told = findings.differences.iter().take(TOLD);
        Ok(Attestation {
            version: 1,
            node: self.settings.node.clone(),
            equal: findings.differences.is_empty(),
            compared: (findings.compared.iter())
                .map(|(table, entries)| Compared { table: table.name().to_owned(), entries: *entries })
                .collect(),
            difference_count: findings.differences.len(),
            differences: told.map(|d| format!("{}: {}", d.table, d.what)).collect(),
        })
    }

    fn measure(&mut self) {
        let mut read = || -> Result<(), ringfence_datapath::Error> {
            self.metrics.counted(&self.enforcer.kernel().counters()?);
            if self.counted.is_none_or(|counted| counted.elapsed() >= COUNT) {
                self.metrics.filled(&self.enforcer.kernel().usage()?);
                self.counted = Some(Instant::now());
            }
            Ok(())
        };
        if let Err(error) = read() {
            self.fail(&causes(&error));
        }
        let policies = self.model.policies().count();
        self.metrics.held(self.local.len(), policies, self.pending.len(), self.model.problems().count());
        for kind in Kind::ALL {
            let followed =
                matches!(self.model.source(kind, Instant::now()), Source::Followed | Source::Absent);
            self.metrics.followed(kind.as_str(), followed);
        }
    }
}
