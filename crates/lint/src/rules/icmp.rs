//! A wish for ICMP alone, which no policy can fulfil: its ports are TCP, UDP and SCTP, and only a rule without ports lets
//! ICMP through, with everything else. As `protocol: ICMP` the server refuses it; here it shows in the policy's name.

use ringfence_policy::{Direction, Peer, Ports, Requirement};

use crate::code;
use crate::context::Context;
use crate::finding::Finding;
use crate::view::{PolicyView, key_span};

/// Words by which people call it.
const WORDS: [&str; 5] = ["icmp", "icmpv4", "icmpv6", "icmp6", "ping"];

/// Policies that are called after ICMP.
pub(crate) fn wish(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        let Some(word) = words(&view.policy.name.name).find(|w| WORDS.contains(w)) else { continue };
        // `ping` is an application's name as well.
        if is_called(view, word) {
            continue;
        }
        let rules = || Direction::ALL.into_iter().flat_map(|d| view.rules(d).iter().map(move |r| (d, r)));
        let wide = Direction::ALL.into_iter().find_map(|d| {
            let place = view.rules(d).iter().position(|r| r.ports == Ports::Any)?;
            Some((d, place))
        });
        let (message, reason, span) = match wide {
            Some((direction, place)) => (
                format!("called after `{word}`, and this allows every protocol and port"),
                "a rule without `ports` lets ICMP through, but everything else too; no rule can name ICMP alone",
                view.rule_span(direction, place),
            ),
            None if rules().next().is_some() => (
                format!("called after `{word}`, and no rule of it lets ICMP through"),
                "a rule with `ports` is for TCP, UDP and SCTP only, and no rule can name ICMP",
                view.name_span(),
            ),
            None => (
                format!("called after `{word}`, and it denies every protocol and port"),
                "a policy without rules isolates its pods from everything; no policy can name ICMP alone",
                view.spec().and_then(|s| key_span(s, "policyTypes")).or_else(|| view.name_span()),
            ),
        };
        findings.push(
            Finding::new(&code::RF033, message)
                .because(reason)
                .help("give the policy the name of what it does; ICMP alone needs a network plugin's own policy")
                .about(view.object())
                .at(context.place(span)),
        );
    }
    findings
}

/// Whether a label that the policy asks for, or a port, has the word in it, so that it is an application's.
fn is_called(view: &PolicyView<'_>, word: &str) -> bool {
    let has = |text: &str| words(text).any(|w| w == word);
    let asks = |requirement: &Requirement| match requirement {
        Requirement::In(key, values) | Requirement::NotIn(key, values) => {
            has(key) || values.iter().any(|v| has(v))
        }
        Requirement::Exists(key) | Requirement::DoesNotExist(key) => has(key),
    };
    let peers = Direction::ALL.into_iter().flat_map(|d| view.peers(d));
    let mut peers = peers.filter_map(|(.., peer)| match peer {
        Peer::Pods { pods, .. } => Some(pods),
        Peer::Block(_) => None,
    });
    view.policy.subject.requirements().iter().any(asks)
        || peers.any(|pods| pods.requirements().iter().any(asks))
        || has(view.namespace())
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
}
