//! What would allow a denied connection, in words and YAML that can be typed in.

use std::collections::BTreeSet;

use ipnet::IpNet;
use ringfence_policy::{
    Difference, Direction, End, Engine, Labels, NearMiss, Pod, PolicyName, Requirement, Traffic,
};

use super::question::{Case, Party};
use crate::ranges;
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
    /// What would make it match.
    pub(super) fix: String,
}

/// The end that a side's rules look at.
pub(super) fn other<'c>(case: &'c Case<'_>, direction: Direction) -> &'c Party {
    match direction {
        Direction::Egress => &case.to,
        Direction::Ingress => &case.from,
    }
}

/// All that keeps a rule from matching.
pub(super) fn describe(
    engine: &Engine,
    miss: &NearMiss,
    case: &Case<'_>,
    direction: Direction,
) -> Vec<Described> {
    let other = other(case, direction);
    miss.differs.iter().map(|d| describe_one(engine, d, miss, case, other)).collect()
}

/// The change that would let a rule match.
pub(super) fn fix(described: &[Described]) -> String {
    described.iter().map(|d| d.fix.as_str()).collect::<Vec<_>>().join("; and ")
}

fn describe_one(
    engine: &Engine,
    difference: &Difference,
    miss: &NearMiss,
    case: &Case<'_>,
    other: &Party,
) -> Described {
    let called = other.reference.text();
    let pod = pod_of(engine, other);
    let namespace = pod.map(|p| p.namespace.as_str()).unwrap_or_default();
    match difference {
        Difference::Ports { wants } => {
            let wants = wants.iter().map(|p| p.to_string()).collect::<Vec<_>>().join(", ");
            let asked = case.traffic.map(|t| t.to_string());
            Described {
                differs: "port",
                sentence: match &asked {
                    Some(asked) => format!("the rule allows {wants}, not {asked}"),
                    None => format!("the rule allows {wants}, which is no port here"),
                },
                fix: match case.traffic {
                    Some(Traffic::Port(protocol, port)) => {
                        format!("add `- {{protocol: {protocol}, port: {port}}}` to the rule's ports")
                    }
                    Some(Traffic::Other) => {
                        "only a rule without `ports` allows ICMP: remove the rule's ports, or add a rule without any"
                            .to_owned()
                    }
                    None => "name a port that the pods have".to_owned(),
                },
                wants,
                has: asked,
            }
        }
        Difference::OwnNamespace { wants } => Described {
            differs: "namespace",
            wants: wants.clone(),
            has: Some(namespace.to_owned()),
            sentence: format!(
                "without a namespaceSelector the rule looks in namespace {wants} only; {called} is in {namespace}"
            ),
            fix: format!(
                "add `namespaceSelector: {{matchLabels: {{{NAMESPACE_NAME}: {namespace}}}}}` beside the podSelector"
            ),
        },
        Difference::NamespaceLabel { wants, has } => {
            let fix = if wants.key() == NAMESPACE_NAME {
                format!("let the rule's namespaceSelector ask `{NAMESPACE_NAME}: {namespace}`")
            } else {
                relabel(wants, has.as_deref(), &format!("namespace {namespace}"), "namespaceSelector")
            };
            let sentence = lacks(wants, has.as_deref(), &format!("namespace {namespace}"));
            let has = has.as_ref().map(|v| format!("{}={v}", wants.key()));
            Described { differs: "namespaceLabel", wants: wants.to_string(), has, sentence, fix }
        }
        Difference::PodLabel { wants, has } => {
            let who = format!("the pods of {called}");
            let fix = relabel(wants, has.as_deref(), &who, "podSelector");
            let sentence = lacks(wants, has.as_deref(), &who);
            let has = has.as_ref().map(|v| format!("{}={v}", wants.key()));
            Described { differs: "podLabel", wants: wants.to_string(), has, sentence, fix }
        }
        Difference::Address { wants } => {
            let unknown = pod.is_some_and(|p| p.addresses.is_empty());
            Described {
                differs: "address",
                wants: wants.to_string(),
                has: address_block(other).map(|b| b.to_string()),
                sentence: if unknown {
                    format!("the rule is for addresses in {wants}; {called} is a pod without a known address")
                } else {
                    format!("{called} is not in {wants}")
                },
                fix: match (pod.and_then(|p| peer_of_pod(engine, p, own_namespace(engine, miss))), address_block(other)) {
                    (Some(peer), _) => format!("add the peer `- {peer}` to the rule"),
                    (None, Some(block)) => format!("add the peer `- {}` to the rule", peer_of_block(block)),
                    (None, None) => format!("add an ipBlock around {called} to the rule"),
                },
            }
        }
        Difference::NotAPod => Described {
            differs: "notAPod",
            wants: "a pod".to_owned(),
            has: Some(called.clone()),
            sentence: match pod {
                Some(_) => format!("the rule selects pods; {called} uses its node's network and counts as the node"),
                None => format!("the rule selects pods; {called} is none"),
            },
            fix: match address_block(other) {
                Some(block) => format!("add the peer `- {}` to the rule", peer_of_block(block)),
                None => "add an ipBlock around its node's address to the rule".to_owned(),
            },
        },
    }
}

/// The rule that would allow the connection, as YAML lines, and the policies that it could be added to.
///
/// For a side that denies and has no rule that could be changed.
pub(super) fn new_rule(
    engine: &Engine,
    case: &Case<'_>,
    direction: Direction,
    policies: &[u32],
) -> Option<(PolicyName, Vec<String>)> {
    let policy = policies.iter().filter_map(|p| engine.world().policies.get(*p as usize));
    // The policy of the fewest pods is the one to which the rule belongs.
    let policy = policy.max_by_key(|p| p.subject.requirements().len())?;
    let other = other(case, direction);
    let peer = match pod_of(engine, other) {
        Some(pod) => peer_of_pod(engine, pod, &policy.name.namespace)?,
        None => peer_of_block(address_block(other)?),
    };
    let (list, peers) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let mut lines = vec![format!("{list}:"), format!("- {peers}:"), format!("  - {peer}")];
    if let Some(Traffic::Port(protocol, port)) = case.traffic {
        lines.push("  ports:".to_owned());
        lines.push(format!("  - {{protocol: {protocol}, port: {port}}}"));
    }
    Some((policy.name.clone(), lines))
}

/// A peer that selects a pod, in flow style; `None` for pods that no selector matches.
fn peer_of_pod(engine: &Engine, pod: &Pod, own_namespace: &str) -> Option<String> {
    if pod.host_network {
        return None;
    }
    let pods = format!("podSelector: {}", selector(&telling_labels(&pod.labels)));
    if pod.namespace == own_namespace {
        return Some(pods);
    }
    let name = engine.namespace_labels(&pod.namespace).get(NAMESPACE_NAME).cloned()?;
    Some(format!("{{namespaceSelector: {{matchLabels: {{{NAMESPACE_NAME}: {name}}}}}, {pods}}}"))
}

fn selector(labels: &Labels) -> String {
    if labels.is_empty() {
        return "{}".to_owned();
    }
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}: {}", scalar(v))).collect();
    format!("{{matchLabels: {{{}}}}}", labels.join(", "))
}

/// A label's value as YAML: quoted where it would read as something else.
fn scalar(value: &str) -> String {
    let plain = value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
            .contains(&value.to_ascii_lowercase().as_str());
    if plain { value.to_owned() } else { format!("\"{value}\"") }
}

/// The labels that say what a pod is, without those that change with every release or pod.
///
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>
fn telling_labels(labels: &Labels) -> Labels {
    const TELLING: [&str; 8] = [
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
        "app",
        "k8s-app",
        "component",
        "role",
        "name",
    ];
    const CHANGING: [&str; 7] = [
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "app.kubernetes.io/version",
        "helm.sh/chart",
    ];
    let keep = |wanted: &dyn Fn(&str) -> bool| -> Labels {
        labels.iter().filter(|(k, _)| wanted(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let telling = keep(&|k| TELLING.contains(&k));
    if telling.is_empty() { keep(&|k| !CHANGING.contains(&k)) } else { telling }
}

/// A block that is exactly the other end, where that is an address or one prefix.
fn address_block(party: &Party) -> Option<IpNet> {
    match &party.reference {
        Reference::Address(address) => Some(IpNet::from(*address)),
        Reference::Outside(first, last) => ranges::prefix(*first, *last),
        _ => None,
    }
}

/// A peer for addresses. IPv6 is quoted: a colon can end a key.
fn peer_of_block(block: IpNet) -> String {
    match block {
        IpNet::V4(block) => format!("ipBlock: {{cidr: {block}}}"),
        IpNet::V6(block) => format!("ipBlock: {{cidr: \"{block}\"}}"),
    }
}

fn lacks(wants: &Requirement, has: Option<&str>, who: &str) -> String {
    let key = wants.key();
    match has {
        Some(value) => format!("the rule asks {wants}; {who} has {key}={value}"),
        None => format!("the rule asks {wants}; {who} has no label {key}"),
    }
}

/// How labels or selector would have to change.
fn relabel(wants: &Requirement, has: Option<&str>, who: &str, selector: &str) -> String {
    let first = |values: &BTreeSet<String>| values.first().cloned().unwrap_or_default();
    match (wants, has) {
        (Requirement::In(key, values), Some(has)) => format!(
            "let the rule's {selector} ask {key}={has}, or change the label of {who} to {key}={}",
            first(values)
        ),
        (Requirement::In(key, values), None) => format!("give {who} the label {key}={}", first(values)),
        (Requirement::Exists(key), _) => format!("give {who} the label {key}"),
        (Requirement::NotIn(key, _) | Requirement::DoesNotExist(key), _) => {
            format!("remove the label {key} from {who}, or the requirement `{wants}` from the rule's {selector}")
        }
    }
}

fn own_namespace<'e>(engine: &'e Engine, miss: &NearMiss) -> &'e str {
    engine.resolve(miss.rule).map_or("", |(policy, _)| policy.name.namespace.as_str())
}

fn pod_of<'e>(engine: &'e Engine, party: &Party) -> Option<&'e Pod> {
    match party.end {
        End::Pod(pod) => engine.pod(pod),
        End::Address(address) => engine.pod_at(address).and_then(|id| engine.pod(id)),
    }
}
