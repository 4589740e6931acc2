//! The grammar of single lines in `verdicts`, `findings` and `options` blocks.

use std::net::IpAddr;

use ringfence_policy::cluster::{ClusterPolicyKind, ClusterPolicyName};
use ringfence_policy::model::{Labels, Node, PolicyKey, PolicyName, Protocol, ResolvedName, Traffic};

use super::{Assertion, Denial, Finding, Level, Options, Place, Verdict};
use crate::naive::RuleName;

/// The kinds of policies that are the whole cluster's.
const CLUSTER_KINDS: [ClusterPolicyKind; 3] = [
    ClusterPolicyKind::ClusterNetworkPolicy,
    ClusterPolicyKind::AdminNetworkPolicy,
    ClusterPolicyKind::BaselineAdminNetworkPolicy,
];

/// `FROM -> TO:PORT[/PROTOCOL]  VERDICT`
pub(super) fn assertion(line: u32, text: &str) -> Result<Assertion, String> {
    let (from, rest) = text.split_once("->").ok_or("no \"->\" between the two ends")?;
    let rest = rest.trim();
    let (to, verdict) = rest.split_once(char::is_whitespace).ok_or("no verdict")?;
    let (to, traffic) = to.rsplit_once(':').ok_or("no \":PORT/PROTOCOL\" behind the destination")?;
    Ok(Assertion {
        line,
        from: place(from.trim())?,
        to: place(to)?,
        traffic: self::traffic(traffic)?,
        verdict: self::verdict(verdict.trim())?,
    })
}

/// `LEVEL LINE:COLUMN MESSAGE`
pub(super) fn finding(line: u32, text: &str) -> Result<Finding, String> {
    let mut words = text.trim().splitn(3, ' ');
    let level = match words.next() {
        Some("error") => Level::Error,
        Some("warning") => Level::Warning,
        _ => return Err("a finding begins with \"error\" or \"warning\"".to_owned()),
    };
    let place = words.next().and_then(|place| place.split_once(':'));
    let (at, column) = place.ok_or("no \"LINE:COLUMN\" behind the level")?;
    let number = |text: &str| {
        text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("\"{text}\" is no line or column"))
    };
    let column = if column == "*" { None } else { Some(number(column)?) };
    let message = words.next().map(str::trim).filter(|message| !message.is_empty()).ok_or("no message")?;
    Ok(Finding { line, level, place: (number(at)?, column), message: message.to_owned() })
}

/// `pod-cidr CIDR`, `node NAME ADDRESS... KEY=VALUE...` or `name NAME ADDRESS...`
pub(super) fn option(text: &str, options: &mut Options) -> Result<(), String> {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.collect::<Vec<_>>()) {
        (Some("pod-cidr"), Some(cidr), rest) if rest.is_empty() => {
            let cidr = cidr.parse().map_err(|_| format!("\"{cidr}\" is no address range"))?;
            options.pod_cidrs.push(cidr);
        }
        (Some("node"), Some(name), rest) if !rest.is_empty() => {
            let mut node = Node { name: name.to_owned(), labels: Labels::new(), addresses: Vec::new() };
            for word in rest {
                match word.split_once('=') {
                    Some((key, value)) => drop(node.labels.insert(key.to_owned(), value.to_owned())),
                    None => node.addresses.push(address(word)?),
                }
            }
            options.nodes.push(node);
        }
        (Some("name"), Some(name), addresses) if !name.contains('*') && !addresses.is_empty() => {
            let addresses: Result<Vec<IpAddr>, String> = addresses.into_iter().map(address).collect();
            options.names.push(ResolvedName { name: name.to_owned(), addresses: addresses? });
        }
        _ => {
            return Err("an option is \"pod-cidr CIDR\", \"node NAME ADDRESS... KEY=VALUE...\" or \"name \
                        NAME ADDRESS...\""
                .to_owned());
        }
    }
    Ok(())
}

fn place(text: &str) -> Result<Place, String> {
    if text == "external" {
        return Ok(Place::External);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = address(bare) {
        return Ok(Place::Address(address));
    }
    let parts: Vec<&str> = text.split('/').collect();
    if parts.iter().any(|part| part.is_empty() || part.contains(char::is_whitespace)) {
        return Err(format!("\"{text}\" is neither a name nor an address"));
    }
    let (namespace, kind, name) = match *parts.as_slice() {
        [name] => ("default", None, name),
        [namespace, name] => (namespace, None, name),
        [namespace, kind, name] => (namespace, Some(kind.to_owned()), name),
        _ => return Err(format!("\"{text}\" has too many parts for a name")),
    };
    Ok(Place::Named { namespace: namespace.to_owned(), kind, name: name.to_owned() })
}

fn traffic(text: &str) -> Result<Traffic, String> {
    if text == "ICMP" {
        return Ok(Traffic::Other);
    }
    let (port, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
    let port = port.parse().map_err(|_| format!("\"{port}\" is no port"))?;
    let found = Protocol::ALL.into_iter().find(|p| p.as_str() == protocol);
    let protocol = found.ok_or_else(|| format!("\"{protocol}\" is no protocol with ports"))?;
    Ok(Traffic::Port(protocol, port))
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let (verdict, by) = match text.split_once(" by ") {
        Some((verdict, by)) => (verdict.trim(), by.split(',').map(str::trim).collect()),
        None => (text, Vec::new()),
    };
    match verdict {
        "allowed" if by == ["default"] => Ok(Verdict::AllowedByDefault),
        "allowed" => Ok(Verdict::Allowed { by: by.into_iter().map(rule).collect::<Result<_, _>>()? }),
        "denied" => Ok(Verdict::Denied { by: by.into_iter().map(denial).collect::<Result<_, _>>()? }),
        other => Err(format!("\"{other}\" is neither \"allowed\" nor \"denied\"")),
    }
}

/// `NAMESPACE/POLICY`, or a rule of a policy of the cluster
fn denial(text: &str) -> Result<Denial, String> {
    match policy(text) {
        Ok(PolicyKey::Network(name)) => Ok(Denial::Isolated(name)),
        Ok(PolicyKey::Cluster(name)) => Err(format!("which rule denies? Write \"{name} ingress#0\"")),
        Err(_) => match rule(text)? {
            rule @ RuleName { policy: PolicyKey::Cluster(_), .. } => Ok(Denial::Rule(rule)),
            rule => Err(format!("a rule of a NetworkPolicy denies nothing: write \"{}\"", rule.policy)),
        },
    }
}

/// `POLICY ingress#N` or `POLICY egress#N`
fn rule(text: &str) -> Result<RuleName, String> {
    let error = || format!("\"{text}\" is no rule: write \"namespace/policy ingress#0\"");
    let (name, rule) = text.split_once(' ').ok_or_else(error)?;
    let (direction, index) = rule.trim().split_once('#').ok_or_else(error)?;
    let egress = match direction {
        "ingress" => false,
        "egress" => true,
        _ => return Err(error()),
    };
    Ok(RuleName { policy: policy(name)?, egress, rule: index.parse().map_err(|_| error())? })
}

/// `NAMESPACE/POLICY`, or `KIND/POLICY` for the cluster's
fn policy(text: &str) -> Result<PolicyKey, String> {
    let (before, name) = match text.split_once('/') {
        Some((before, name)) if !before.is_empty() && !name.is_empty() && !name.contains(['/', ' ']) => {
            (before, name.to_owned())
        }
        _ => return Err(format!("\"{text}\" is no policy: write \"namespace/policy\"")),
    };
    Ok(match CLUSTER_KINDS.into_iter().find(|kind| kind.as_str() == before) {
        Some(kind) => PolicyKey::Cluster(ClusterPolicyName { name, kind }),
        None => PolicyKey::Network(PolicyName { namespace: before.to_owned(), name }),
    })
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no address"))
}
