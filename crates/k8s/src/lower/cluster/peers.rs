//! Subjects and peers: pods across namespaces, nodes, networks, domain names.

use ringfence_policy::{ClusterPeer, DomainPattern, LabelSelector, PodsAcross};

use super::dialect::{Dialect, INGRESS_PEERS, MOST_ADDRESSES};
use super::fields::Fields;
use crate::lower::context::{Context, Reported, all, field};
use crate::lower::policy::{Direction, INGRESS};
use crate::node::Node;

/// How long the schema lets a network be, in characters.
const MOST_OF_A_NETWORK: usize = 43;

impl Context<'_> {
    /// The pods that a policy holds.
    pub(super) fn cluster_subject(&mut self, node: &Node, dialect: &Dialect) -> Result<PodsAcross, Reported> {
        self.one_of(node, ("subject", "`subject`"), &INGRESS_PEERS, |context, name, value| {
            context.pods_across(name, value, dialect)
        })
    }

    /// The `from` or `to` of a rule.
    pub(super) fn cluster_peers(
        &mut self,
        node: &Node,
        direction: Direction,
        dialect: &Dialect,
    ) -> Result<Vec<ClusterPeer>, Reported> {
        let items = self.sequence(node, direction.peers)?;
        let help = "name somebody; `- namespaces: {}` is every pod";
        let count = self.some_but_at_most(node, items, direction.peers, dialect.most, help);
        let of = format!("a peer of `{}`", direction.peers);
        let known = if direction == INGRESS { &INGRESS_PEERS } else { dialect.egress_peers };
        let peers = all(items.iter().map(|item| {
            self.one_of(item, (direction.peers, &of), known, |context, name, value| {
                context.cluster_peer(name, value, dialect)
            })
        }));
        count?;
        Ok(peers?.concat())
    }

    /// One peer by its only field. Networks and names are each a peer in the model.
    fn cluster_peer(
        &mut self,
        name: &'static str,
        node: &Node,
        dialect: &Dialect,
    ) -> Result<Vec<ClusterPeer>, Reported> {
        match name {
            "nodes" => Ok(vec![ClusterPeer::Nodes(self.selector(node, name)?)]),
            "networks" => self.addresses_of(node, name, |context, item| context.network(item)),
            "domainNames" => self.addresses_of(node, name, |context, item| context.domain(item)),
            _ => Ok(vec![ClusterPeer::Pods(self.pods_across(name, node, dialect)?)]),
        }
    }

    /// `namespaces`, which is every pod of them, or `pods`.
    fn pods_across(&mut self, name: &str, node: &Node, dialect: &Dialect) -> Result<PodsAcross, Reported> {
        if name == "namespaces" {
            let namespaces = self.selector(node, name)?;
            return Ok(PodsAcross { namespaces, pods: LabelSelector::everything() });
        }
        let entries = self.mapping(node, name)?;
        let fields = Fields {
            of: "`pods`",
            known: &["namespaceSelector", "podSelector"],
            required: dialect.pods_required,
        };
        let known = self.fields(entries, &fields);
        let mut selector = |name: &'static str| match field(entries, name) {
            None if !dialect.pods_required.contains(&name) => Ok(LabelSelector::everything()),
            _ => self.required(entries, name, &fields, node.span).and_then(|node| self.selector(node, name)),
        };
        let (namespaces, pods) = (selector("namespaceSelector"), selector("podSelector"));
        known?;
        Ok(PodsAcross { namespaces: namespaces?, pods: pods? })
    }

    /// A list of addresses or names, each once.
    fn addresses_of(
        &mut self,
        node: &Node,
        name: &str,
        mut read: impl FnMut(&mut Self, &Node) -> Result<ClusterPeer, Reported>,
    ) -> Result<Vec<ClusterPeer>, Reported> {
        let items = self.sequence(node, name)?;
        let count = self.some_but_at_most(node, items, name, MOST_ADDRESSES, "remove it, or fill it");
        let once = self.each_once(items, name);
        let peers = all(items.iter().map(|item| read(self, item)));
        count.and(once).and(peers)
    }

    fn network(&mut self, node: &Node) -> Result<ClusterPeer, Reported> {
        let network = self.cidr(node, "networks")?;
        if node.as_str().is_some_and(|text| text.len() > MOST_OF_A_NETWORK) {
            let message = format!("a network written in more than {MOST_OF_A_NETWORK} characters");
            return Err(self.error("invalid-cidr", node.span, message, Some(format!("write {network}"))));
        }
        Ok(ClusterPeer::Network(network))
    }

    fn domain(&mut self, node: &Node) -> Result<ClusterPeer, Reported> {
        let text = self.string(node, "domainNames")?;
        let Some(pattern) = DomainPattern::parse(text) else {
            let help = domain_help(text).map(str::to_owned);
            return Err(self.error("invalid-domain", node.span, format!("`{text}` is no domain name"), help));
        };
        if text.parse::<std::net::Ipv4Addr>().is_ok() {
            let message = format!("`{text}` is an address: no name leads to it");
            let help = format!("make it a peer of its own: `networks: [{text}/32]`");
            self.warn("address-as-name", node.span, message, Some(help));
        }
        Ok(ClusterPeer::Domain(pattern))
    }
}

/// What was probably meant by a text that is no domain name.
fn domain_help(text: &str) -> Option<&'static str> {
    let starless = text.strip_prefix("*.").unwrap_or(text);
    if text.contains([':', '/']) {
        Some("write the name alone, without scheme, port or path")
    } else if starless.contains('*') {
        Some("`*` stands for one or more whole labels, and only in front: `*.example.com`")
    } else if !starless.contains('.') {
        Some("a name has at least two labels, as in `example.com`")
    } else {
        None
    }
}
