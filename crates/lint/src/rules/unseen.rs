//! What policies never see: pods on their node's network, and sources behind a load balancer.

use ringfence_k8s::{Leads, Level, Route, Service};
use ringfence_policy::{Direction, IpBlock, NamespaceScope, Peer, Ports, Rule};

use crate::code;
use crate::context::{Context, names};
use crate::finding::Finding;
use crate::rules::blocks::{blocks, cidr_place};
use crate::view::{PolicyView, name_span};

/// Selectors that match pods on their node's network, which no policy holds and no selector finds.
pub(crate) fn host_network(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for view in &context.policies {
        let place = view.spec().and_then(|s| s.get("podSelector")?.span).or_else(|| view.name_span());
        let is_broad = view.policy.subject.is_everything();
        let is_told = is_broad && told.contains(&view.namespace());
        if !view.host_subjects.is_empty() && !is_told {
            if is_broad {
                told.push(view.namespace());
            }
            let pods = names(context.views(&view.host_subjects));
            let only = view.subjects.is_empty() && !is_broad;
            findings.push(
                Finding::new(
                    &code::RF063,
                    format!("{pods} use their node's network: this policy does not hold them"),
                )
                .because("a policy holds pods by their own address, and these have only their node's")
                .help("take `hostNetwork` from the pods, or protect the node itself")
                .level(if only { Level::Warning } else { Level::Note })
                .about(view.object())
                .at(context.place(place)),
            );
        }
        for direction in Direction::ALL {
            for (rule, place, _, peer) in view.peers(direction) {
                let Peer::Pods { namespaces, pods } = peer else { continue };
                // Everybody of one's own namespace, or of all, is nobody in particular.
                let is_broad = match namespaces {
                    NamespaceScope::Own => true,
                    NamespaceScope::Matching(selector) => selector.is_everything(),
                };
                let is_broad = is_broad && pods.is_everything();
                if is_broad || !context.matched(view.namespace(), peer).is_empty() {
                    continue;
                }
                let hosts = on_node(context, view.namespace(), namespaces, pods);
                if hosts.is_empty() {
                    continue;
                }
                findings.push(
                    Finding::new(
                        &code::RF063,
                        format!(
                            "{} use their node's network: this peer does not match them",
                            names(context.views(&hosts))
                        ),
                    )
                    .because("their address is their node's, and no selector matches it")
                    .help("name the nodes' addresses in an `ipBlock`, or take `hostNetwork` from the pods")
                    .about(view.object())
                    .at(context.place(view.peer_span(direction, rule, place))),
                );
            }
        }
    }
    findings
}

fn on_node(
    context: &Context<'_>,
    own: &str,
    namespaces: &NamespaceScope,
    pods: &ringfence_policy::LabelSelector,
) -> Vec<usize> {
    let scope = context.scope(namespaces, own);
    let places = scope.iter().flat_map(|n| context.pods_of(n)).copied();
    places
        .filter(|p| context.pod(*p).is_some_and(|p| p.pod.host_network && pods.matches(&p.pod.labels)))
        .collect()
}

/// Blocks for clients that come through a Service which hides their addresses.
pub(crate) fn load_balancers(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (view, direction, rule, place, block) in blocks(context) {
        if direction != Direction::Ingress || block.cidr().prefix_len() == 0 {
            continue;
        }
        let Some(what) = view.rules(direction).get(rule) else { continue };
        let Some(service) = hiding(context, &view.subjects, what) else {
            findings.extend(behind_proxy(context, view, rule, what, place, block));
            continue;
        };
        let nodes: Vec<_> = context.engine.nodes().flat_map(|n| &n.addresses).collect();
        if nodes.iter().any(|a| block.contains(**a)) {
            continue;
        }
        // A private range may well be that of the nodes.
        let is_private = nodes.is_empty() && is_private(block.cidr());
        let node = context.manifest("Service", &service.namespace, &service.name);
        findings.push(
            Finding::new(
                &code::RF064,
                format!("clients of Service {}/{} do not come from {}", service.namespace, service.name, block.cidr()),
            )
            .because(format!(
                "it is a {} with `externalTrafficPolicy: Cluster`: what comes in has a node's address when it reaches the \
                 pod{}",
                service.kind,
                if is_private { ", unless this range is the nodes' own" } else { "" }
            ))
            .help("set `externalTrafficPolicy: Local` on the Service, or use its `loadBalancerSourceRanges`")
            .level(if is_private { Level::Note } else { Level::Warning })
            .about(view.object())
            .at(cidr_place(context, view, direction, rule, place))
            .related(context.place(node.and_then(name_span)), "the Service"),
        );
    }
    findings
}

/// The Service before these pods, on a port of the rule, that replaces the source's address.
fn hiding<'a>(context: &Context<'a>, subjects: &[usize], rule: &Rule) -> Option<&'a Service> {
    subjects.iter().find_map(|place| {
        let pod = context.pod(*place)?;
        context.fronts(*place).find(|service| {
            service.is_on_nodes()
                && !service.from_outside.keeps_client
                && service.ports.iter().any(|port| {
                    let named = &pod.pod.named_ports;
                    let Some(traffic) = port.traffic_on(named) else { return false };
                    rule.ports == Ports::Any || rule.ports.matches(traffic, named)
                })
        })
    })
}

/// A block of outside addresses for pods that only an Ingress or a Gateway leads to, whose own pods are all they see.
fn behind_proxy(
    context: &Context<'_>,
    view: &PolicyView<'_>,
    rule: usize,
    what: &Rule,
    place: usize,
    block: &IpBlock,
) -> Option<Finding> {
    let is_outside = !context.engine.pod_cidrs().iter().any(|range| block.cidr().contains(range))
        && !is_private(block.cidr());
    let is_reached_otherwise = view.subjects.iter().flat_map(|p| context.fronts(*p)).any(|service| {
        service.is_on_nodes()
            || service.leads() == Leads::Headless
            || !service.from_outside.external_ips.is_empty()
    });
    if !is_outside || is_reached_otherwise {
        return None;
    }
    let route = context.inventory.routes.iter().find(|route| {
        let mut ends = route.backends.iter().filter_map(|backend| context.inventory.behind(backend));
        ends.any(|(service, port)| {
            let behind = context.behind(service);
            context.views(&behind).zip(&behind).any(|(pod, place)| {
                let named = &pod.pod.named_ports;
                view.subjects.contains(place)
                    && port
                        .traffic_on(named)
                        .is_some_and(|t| what.ports == Ports::Any || what.ports.matches(t, named))
            })
        })
    })?;
    let Route { kind, namespace, name, .. } = route;
    let written = context.manifest(kind, namespace, name);
    Some(
        Finding::new(
            &code::RF064,
            format!("clients of {kind} {namespace}/{name} do not come from {}", block.cidr()),
        )
        .because(
            "its controller opens the connection to the pods, so that they see the controller's address and never the \
             client's",
        )
        .help("allow the controller's pods, and filter clients where they come in, by the controller or before it")
        .about(view.object())
        .at(cidr_place(context, view, Direction::Ingress, rule, place))
        .related(context.place(written.and_then(name_span)), "the route"),
    )
}

fn is_private(net: ipnet::IpNet) -> bool {
    match net {
        ipnet::IpNet::V4(net) => net.network().is_private() || net.prefix_len() < 8,
        ipnet::IpNet::V6(net) => net.network().is_unique_local() || net.prefix_len() < 16,
    }
}
