//! What would allow a denied connection, in words and YAML that can be typed in.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ringfence_policy::{
    Difference, Direction, End, Engine, Labels, NearMiss, Pod, PolicyName, Requirement, Traffic,
};

use super::party::Party;
use super::question::Case;
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

/// The smallest change that would let a rule, or one beside it, allow the connection.
pub(super) fn fix(engine: &Engine, miss: &NearMiss, case: &Case<'_>, direction: Direction) -> String {
    let ports_differ = miss.differs.iter().any(|d| matches!(d, Difference::Ports { .. }));
    let peers_differ = miss.differs.iter().any(|d| !matches!(d, Difference::Ports { .. }));
    let own = engine.resolve(miss.rule).map_or("", |(policy, _)| policy.name.namespace.as_str());
    let peers = peers(engine, other(case, direction), own);
    let list = peers_key(direction);
    match (peers_differ, ports_differ, case.traffic) {
        (false, _, Some(Traffic::Port(protocol, port))) => {
            format!("add `- {{protocol: {protocol}, port: {port}}}` to the rule's ports")
        }
        (false, _, Some(Traffic::Other)) => {
            "ICMP passes only through a rule without ports: remove the rule's ports, which opens all"
                .to_owned()
        }
        (false, _, None) => "let the rule name a port that the pods have".to_owned(),
        (true, ..) if peers.is_empty() => match &other(case, direction).reference {
            Reference::Workload { .. } => {
                "policies see this pod as its node: add an ipBlock around the node's address to the rule"
                    .to_owned()
            }
            outside => format!("add ipBlocks that cover {} to the rule's `{list}`", outside.text()),
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
            let peers: Vec<String> = peers.iter().map(|p| format!("{{{p}}}")).collect();
            let ports = match traffic {
                Some(Traffic::Port(protocol, port)) => {
                    format!(", ports: [{{protocol: {protocol}, port: {port}}}]")
                }
                _ => String::new(),
            };
            format!("add the rule `- {{{list}: [{}]{ports}}}`", peers.join(", "))
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
    let peers = peers(engine, other(case, direction), &policy.name.namespace);
    if peers.is_empty() {
        return None;
    }
    let list = direction.as_str();
    let mut lines = vec![format!("{list}:"), format!("- {}:", peers_key(direction))];
    lines.extend(peers.into_iter().map(|p| format!("  {}", list_item(&p))));
    if let Some(Traffic::Port(protocol, port)) = case.traffic {
        lines.push("  ports:".to_owned());
        lines.push(format!("  - {{protocol: {protocol}, port: {port}}}"));
    }
    Some((policy.name.clone(), lines))
}

/// The end that a side's rules look at.
fn other<'c>(case: &'c Case<'_>, direction: Direction) -> &'c Party {
    match direction {
        Direction::Egress => &case.to,
        Direction::Ingress => &case.from,
    }
}

fn peers_key(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

/// Fields of a flow mapping as an item of a block list.
fn list_item(fields: &str) -> String {
    if fields.starts_with("namespaceSelector") { format!("- {{{fields}}}") } else { format!("- {fields}") }
}

/// The peers that match an end, as the fields of a flow mapping; none where only a node's address would.
fn peers(engine: &Engine, party: &Party, own_namespace: &str) -> Vec<String> {
    match pod_of(engine, party) {
        Some(pod) => peer_of_pod(pod, own_namespace).into_iter().collect(),
        None => blocks(party).into_iter().map(peer_of_block).collect(),
    }
}

/// A peer that selects a pod, in flow style; `None` for pods that no selector matches.
fn peer_of_pod(pod: &Pod, own_namespace: &str) -> Option<String> {
    if pod.host_network {
        return None;
    }
    let pods = format!("podSelector: {}", selector(&telling_labels(&pod.labels)));
    if pod.namespace == own_namespace {
        return Some(pods);
    }
    Some(format!("namespaceSelector: {{matchLabels: {{{NAMESPACE_NAME}: {}}}}}, {pods}", pod.namespace))
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

/// The blocks that are an end outside; none where its range is not one prefix.
fn blocks(party: &Party) -> Vec<IpNet> {
    match &party.reference {
        Reference::Address(address) => vec![IpNet::from(*address)],
        Reference::Outside(first, last) => ranges::prefix(*first, *last).into_iter().collect(),
        Reference::External => vec![Ipv4Net::default().into(), Ipv6Net::default().into()],
        Reference::Workload { .. } | Reference::Pod { .. } => Vec::new(),
    }
}

/// A peer for addresses. IPv6 is quoted: a colon can end a key.
fn peer_of_block(block: IpNet) -> String {
    match block {
        IpNet::V4(block) => format!("ipBlock: {{cidr: {block}}}"),
        IpNet::V6(block) => format!("ipBlock: {{cidr: \"{block}\"}}"),
    }
}

fn lacks(wants: &Requirement, has: Option<&str>, who_has: &str) -> String {
    let key = wants.key();
    match has {
        Some(value) => format!("the rule asks {wants}; {who_has} {key}={value}"),
        None => format!("the rule asks {wants}; {who_has} no label {key}"),
    }
}

fn pod_of<'e>(engine: &'e Engine, party: &Party) -> Option<&'e Pod> {
    match party.end {
        End::Pod(pod) => engine.pod(pod),
        End::Address(address) => engine.pod_at(address).and_then(|id| engine.pod(id)),
    }
}
