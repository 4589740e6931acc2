//! The API server, closed to pods that use it.
//!
//! A pod says that it does by the server's name in the arguments or the environment of a container, by `kubectl`, or by
//! the rights that its ServiceAccount is given: who may list pods will want to.

use std::collections::BTreeMap;

use ringfence_k8s::{Manifest, Node, Value};
use ringfence_policy::{Action, ClusterTier, Direction, Peer, Peers, Policy, Protocol, Traffic};

use crate::code;
use crate::context::{Context, PodView};
use crate::finding::Finding;
use crate::rules::platform::{closed, place, says, workload_place};
use crate::view::name_span;

const WORDS: [&str; 2] = ["kubernetes.default", "$(KUBERNETES_SERVICE_HOST)"];

/// Pods that use the API server and may not.
pub(crate) fn server(context: &Context<'_>) -> Vec<Finding> {
    let rights = Rights::new(context);
    let uses = |pod: &PodView<'_>| {
        says(context, pod, &WORDS) || runs_kubectl(context, pod) || rights.of(context, pod).is_some()
    };
    closed(context, uses, |pod| !may_reach(context, pod))
        .map(|(view, pod)| {
            let by_name = says(context, pod, &WORDS) || runs_kubectl(context, pod);
            let binding = rights.of(context, pod).filter(|_| !by_name);
            let why = match binding {
                Some(_) => "its ServiceAccount is given rights on the API server",
                None => "its manifest names the API server or kubectl",
            };
            let (related, what) = match binding {
                Some(binding) => (context.place(name_span(&binding.node)), "this gives the rights"),
                None => (workload_place(context, pod), "it is named in this workload"),
            };
            Finding::new(&code::RF055, format!("{} uses the API server, and may not reach it", pod.name()))
                .because(format!("{why}, and no rule allows any address on TCP 443 or 6443"))
                .help("allow egress to the API server's own address as an `ipBlock`, on its own port, mostly 6443")
                .about(view.object())
                .at(place(context, view))
                .related(related, what)
        })
        .collect()
}

/// Whether some rule may lead to an API server: to addresses, or to pods that may be one.
fn may_reach(context: &Context<'_>, pod: &PodView<'_>) -> bool {
    let ports = [443, 6443, 8443].map(|port| Traffic::Port(Protocol::Tcp, port));
    let by_policy = context.engine.isolating(pod.id, Direction::Egress).iter().any(|id| {
        let Some(Policy::Network(policy)) = context.engine.policy(*id) else { return false };
        policy.egress.iter().flatten().any(|rule| {
            let to_addresses = match &rule.peers {
                Peers::Any => true,
                Peers::Of(peers) => peers.iter().any(|p| match p {
                    Peer::Block(_) => true,
                    Peer::Pods { pods, .. } => pods.to_string().contains("apiserver"),
                }),
            };
            to_addresses && ports.iter().any(|port| rule.ports.matches(*port, &[]))
        })
    });
    // The Baseline tier is never asked for a pod that NetworkPolicies isolate.
    by_policy
        || context.cluster_policies.iter().any(|view| {
            view.policy.tier == ClusterTier::Admin
                && view.policy.egress.iter().any(|rule| rule.action == Action::Accept)
        })
}

/// The ServiceAccounts, by namespace and name, that are given something to do with the API server.
struct Rights<'a>(BTreeMap<(&'a str, &'a str), &'a Manifest>);

impl<'a> Rights<'a> {
    fn new(context: &Context<'a>) -> Rights<'a> {
        let mut rights = BTreeMap::new();
        let is_binding = |m: &&Manifest| matches!(m.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
        for binding in context.all_manifests().iter().filter(is_binding) {
            if !role(context, binding).is_some_and(gives_access) {
                continue;
            }
            for subject in items(&binding.node, "subjects") {
                let field = |key: &str| subject.get(key).and_then(Node::as_str);
                if let (Some("ServiceAccount"), Some(name)) = (field("kind"), field("name")) {
                    let namespace = field("namespace").unwrap_or(&binding.namespace);
                    rights.entry((namespace, name)).or_insert(binding);
                }
            }
        }
        Rights(rights)
    }

    /// The binding that gives a pod rights, if it has the token to use them.
    fn of(&self, context: &Context<'_>, pod: &PodView<'_>) -> Option<&'a Manifest> {
        let spec = context.pod_spec(pod.workload)?;
        if spec.get("automountServiceAccountToken").is_some_and(|n| n.value == Value::Bool(false)) {
            return None;
        }
        let account =
            ["serviceAccountName", "serviceAccount"].into_iter().find_map(|key| spec.get(key)?.as_str());
        // What every pod of a namespace may is nothing that one of them asked for.
        self.0.get(&(pod.pod.namespace.as_str(), account?)).copied()
    }
}

/// The role of a binding, if it is written here.
fn role<'a>(context: &Context<'a>, binding: &Manifest) -> Option<&'a Node> {
    let reference = binding.node.get("roleRef")?;
    let (kind, name) = (reference.get("kind")?.as_str()?, reference.get("name")?.as_str()?);
    let namespace = if kind == "Role" { binding.namespace.as_str() } else { "" };
    context.manifest(kind, namespace, name)
}

/// Whether a role lets somebody ask the API server for something. `use`, as of a security policy, is asked about a pod,
/// not by it.
fn gives_access(role: &Node) -> bool {
    items(role, "rules").iter().any(|rule| {
        let verbs = items(rule, "verbs");
        verbs.iter().filter_map(Node::as_str).any(|verb| verb != "use")
    })
}

fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    match node.get(key).map(|list| &list.value) {
        Some(Value::Sequence(items)) => items,
        _ => &[],
    }
}

/// Whether a container of a pod is there to run `kubectl`: by its image, or as a word of its command.
fn runs_kubectl(context: &Context<'_>, pod: &PodView<'_>) -> bool {
    let is_kubectl = |text: &str| text == "kubectl" || text.ends_with("/kubectl");
    let in_command = |text: &str| {
        let words = text.split(|c: char| c.is_whitespace() || ";&|()`".contains(c));
        words.into_iter().any(is_kubectl)
    };
    let of_image = |text: &str| {
        let name = text.split('@').next().unwrap_or_default();
        let name = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        };
        is_kubectl(name)
    };
    let Some(spec) = context.pod_spec(pod.workload) else { return false };
    ["containers", "initContainers"].into_iter().filter_map(|key| spec.get(key)).any(|containers| {
        let Value::Sequence(containers) = &containers.value else { return false };
        containers.iter().any(|container| {
            let words = ["command", "args"].iter().filter_map(|f| container.get(f)).any(|list| {
                matches!(&list.value, Value::Sequence(items)
                    if items.iter().filter_map(Node::as_str).any(in_command))
            });
            words || container.get("image").and_then(Node::as_str).is_some_and(of_image)
        })
    })
}
