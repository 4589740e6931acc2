//! The order of cluster-wide policies: what to say where priorities leave it open.
//!
//! The API leaves the order of equal priorities to chance. Here it is that of the names, so that every answer is the
//! same every time; it is hardly what was meant, and therefore reported.

use ringfence_policy::{ClusterPolicy, ClusterPolicyKind, ClusterTier};

use crate::finding::{Finding, Level};
use crate::source::{Sources, Span};

/// A finding for each policy that shares tier and priority with the one asked just before it. `places` says where each
/// policy's priority is written.
pub(crate) fn equal(policies: &[ClusterPolicy], places: &[Option<Span>], sources: &Sources) -> Vec<Finding> {
    let places = places.iter().copied().chain(std::iter::repeat(None));
    let mut asked: Vec<(&ClusterPolicy, Option<Span>)> = policies.iter().zip(places).collect();
    asked.sort_by_key(|(p, _)| (p.tier, p.priority, &p.name));
    let pairs = asked.iter().zip(asked.iter().skip(1));
    pairs
        .filter(|((a, _), (b, _))| (a.tier, a.priority) == (b.tier, b.priority))
        .map(|((first, first_span), (next, span))| Finding {
            code: "equal-priority",
            level: Level::Warning,
            message: format!(
                "{} and {} both have priority {} in the {} tier: {} is asked first, by the order of the names",
                called(first),
                called(next),
                next.priority,
                tier(next.tier),
                first.name.name,
            ),
            object: Some(called(next)),
            place: span.and_then(|s| sources.place(s)),
            help: Some(help(first, next)),
            related: first_span
                .and_then(|s| sources.place(s))
                .map(|place| (place, format!("{} is here", called(first))))
                .into_iter()
                .collect(),
        })
        .collect()
}

fn called(policy: &ClusterPolicy) -> String {
    format!("{} {}", policy.name.kind.as_str(), policy.name.name)
}

fn tier(tier: ClusterTier) -> &'static str {
    match tier {
        ClusterTier::Admin => "Admin",
        ClusterTier::Baseline => "Baseline",
    }
}

fn help(first: &ClusterPolicy, next: &ClusterPolicy) -> String {
    let fixed = [first, next].iter().any(|p| p.name.kind == ClusterPolicyKind::BaselineAdminNetworkPolicy);
    if fixed {
        "the priority of a BaselineAdminNetworkPolicy is always 1000: give the other policy a smaller one"
            .to_owned()
    } else {
        "give each policy of a tier a priority of its own".to_owned()
    }
}
