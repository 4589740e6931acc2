//! What would allow a denied connection, in words and YAML that can be typed in.

use ringfence_policy::{Difference, Direction, Engine, NearMiss, Policy, Requirement};

use super::party::Party;
use super::question::Case;
use super::syntax::{Syntax, flow, list_item, pod_of};
use crate::reference::Reference;

const NAMESPACE_NAME: &str = ringfence_policy::model::NAMESPACE_NAME_LABEL;

/// One thing that keeps a rule from matching, for people and programs.
#[derive(Debug)]
pub(super) struct Described {
    /// What differs, in one stable word.
    pub(super) differs: &'static str,
    /// What the rule asks.
    pub(super) wants: String,
    /// What is there instead.
    pub(super) has: Option<String>,
    /// Both in a sentence.
    pub(super) sentence: String,
}

/// All that keeps a rule from matching.
pub(super) fn describe(
    engine: &Engine,
    miss: &NearMiss,
    case: &Case<'_>,
    direction: Direction,
) -> Vec<Described> {
    let other = other(case, direction);
    miss.differs.iter().map(|d| describe_one(engine, d, case, other)).collect()
}

fn describe_one(engine: &Engine, difference: &Difference, case: &Case<'_>, other: &Party) -> Described {
    let called = other.reference.text();
    let pod = pod_of(engine, other);
    let namespace = pod.map(|p| p.namespace.as_str()).unwrap_or_default();
    let label =
        |wants: &Requirement, has: &Option<String>| has.as_ref().map(|v| format!("{}={v}", wants.key()));
    match difference {
        Difference::Ports { wants } => {
            let wants = wants.iter().map(|p| p.to_string()).collect::<Vec<_>>().join(", ");
            let asked = case.traffic.map(|t| t.to_string());
            let sentence = match &asked {
                Some(asked) => format!("the rule allows {wants}, not {asked}"),
                None => format!("the rule allows {wants}, which is no port here"),
            };
            Described { differs: "port", wants, has: asked, sentence }
        }
        Difference::OwnNamespace { wants } => Described {
            differs: "namespace",
            wants: wants.clone(),
            has: Some(namespace.to_owned()),
            sentence: format!(
                "without a namespaceSelector the rule looks in namespace {wants} only; {called} is in {namespace}"
            ),
        },
        Difference::NamespaceLabel { wants, has } => Described {
            differs: "namespaceLabel",
            wants: wants.to_string(),
            has: label(wants, has),
            sentence: lacks(wants, has.as_deref(), &format!("namespace {namespace} has")),
        },
        Difference::PodLabel { wants, has } => Described {
            differs: "podLabel",
            wants: wants.to_string(),
            has: label(wants, has),
            sentence: lacks(wants, has.as_deref(), &format!("the pods of {called} have")),
        },
        Difference::Address { wants } => Described {
            differs: "address",
            wants: wants.to_string(),
            has: match other.reference {
                Reference::Address(address) => Some(address.to_string()),
                _ => None,
            },
            sentence: if pod.is_some_and(|p| p.addresses.is_empty()) {
                format!("the rule is for addresses in {wants}; {called} is a pod without a known address")
            } else {
                format!("{called} is not in {wants}")
            },
        },
        Difference::Node { wants } => {
            let which = if wants.is_everything() { String::new() } else { format!(" with {wants}") };
            Described {
                differs: "node",
                wants: wants.to_string(),
                has: None,
                sentence: format!("the rule is for nodes{which}; {called} is no address of such a node"),
            }
        }
        Difference::Domain { wants } => Described {
            differs: "domainName",
            wants: wants.to_string(),
            has: None,
            sentence: format!("the rule is for {wants}; {called} is no address that it is known to lead to"),
        },
        Difference::NotAPod => Described {
            differs: "notAPod",
            wants: "a pod".to_owned(),
            has: None,
            sentence: match pod {
                Some(_) => {
                    format!("the rule selects pods; {called} uses its node's network and counts as the node")
                }
                None => format!("the rule selects pods; {called} is none"),
            },
        },
    }
}

/// What would let a rule, or one beside it, allow the connection.
pub(super) fn fix(engine: &Engine, miss: &NearMiss, case: &Case<'_>, direction: Direction) -> String {
    let ports_differ = miss.differs.iter().any(|d| matches!(d, Difference::Ports { .. }));
    let peers_differ = miss.differs.iter().any(|d| !matches!(d, Difference::Ports { .. }));
    let Some(key) = engine.policy(miss.rule.policy).map(Policy::key) else { return String::new() };
    let syntax = Syntax::of(&key);
    let peers = syntax.peers(engine, other(case, direction), direction);
    let (list, ports) = (syntax.peers_key(direction), syntax.ports_key());
    match (peers_differ, ports_differ, case.traffic) {
        (false, _, Some(traffic)) => match syntax.port(traffic) {
            Some(port) => format!("add `- {}` to the rule's {ports}", flow(&port)),
            None => format!(
                "ICMP passes only through a rule without {ports}: remove the rule's {ports}, which opens all"
            ),
        },
        (false, _, None) => "let the rule name a port that the pods have".to_owned(),
        (true, ..) if peers.is_empty() => match (&other(case, direction).reference, syntax) {
            (Reference::Workload { .. }, Syntax::Network(_)) => {
                "policies see this pod as its node: add an ipBlock around the node's address to the rule"
                    .to_owned()
            }
            (Reference::Workload { .. }, _) => "policies see this pod as its node".to_owned(),
            (outside, Syntax::Network(_)) => {
                format!("add ipBlocks that cover {} to the rule's `{list}`", outside.text())
            }
            (outside, _) => format!("this kind of policy cannot name {} here", outside.text()),
        },
        (true, false, _) => {
            let plural = if peers.len() == 1 { "peer" } else { "peers" };
            let peers: Vec<String> = peers.iter().map(|p| format!("`{}`", list_item(p))).collect();
            let add = format!("add the {plural} {} to the rule's `{list}`", peers.join(" and "));
            match simpler(engine, miss, other(case, direction)) {
                Some(simpler) => format!("{simpler}, or {add}"),
                None => add,
            }
        }
        (true, true, traffic) => {
            format!("add the rule `- {}`", flow(&syntax.rule(direction, peers, traffic)))
        }
    }
}

/// A label to be given or spelt right, where that is all that is missing.
fn simpler(engine: &Engine, miss: &NearMiss, other: &Party) -> Option<String> {
    let (wants, has, who) = match miss.differs.as_slice() {
        [Difference::PodLabel { wants, has }] => {
            (wants, has, format!("the pods of {}", other.reference.text()))
        }
        [Difference::NamespaceLabel { wants, has }] if wants.key() != NAMESPACE_NAME => {
            (wants, has, format!("namespace {}", pod_of(engine, other)?.namespace))
        }
        _ => return None,
    };
    match (wants, has) {
        (Requirement::In(key, values), None) => {
            Some(format!("give {who} the label {key}={}", values.first()?))
        }
        (Requirement::Exists(key), _) => Some(format!("give {who} the label {key}")),
        (Requirement::In(_, values), Some(has)) => {
            let near = values.iter().find(|v| strsim::osa_distance(v, has) <= 1 && v.chars().count() > 3)?;
            Some(format!("spell `{near}` and `{has}` alike, if they are meant to be one"))
        }
        (Requirement::NotIn(key, _) | Requirement::DoesNotExist(key), _) => {
            Some(format!("remove the label {key} from {who}"))
        }
    }
}

/// The end that a side's rules look at.
pub(super) fn other<'c>(case: &'c Case<'_>, direction: Direction) -> &'c Party {
    match direction {
        Direction::Egress => &case.to,
        Direction::Ingress => &case.from,
    }
}

fn lacks(wants: &Requirement, has: Option<&str>, who_has: &str) -> String {
    let key = wants.key();
    match has {
        Some(value) => format!("the rule asks {wants}; {who_has} {key}={value}"),
        None => format!("the rule asks {wants}; {who_has} no label {key}"),
    }
}
