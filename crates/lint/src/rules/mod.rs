//! The rules, by family. Each is a function over the [`Context`](crate::Context).

mod api;
pub(crate) mod blocks;
mod cluster;
pub(crate) mod dashes;
pub(crate) mod dns;
mod icmp;
mod implicit;
mod labels;
mod open;
mod pairs;
mod platform;
pub(crate) mod ports;
pub(crate) mod reader;
mod redundant;
mod unseen;

use crate::context::Context;
use crate::finding::Finding;

/// A rule.
type Rule = fn(&Context<'_>) -> Vec<Finding>;

/// Every rule.
pub(crate) const ALL: &[Rule] = &[
    implicit::policy_types,
    implicit::empty_egress,
    implicit::namespace,
    labels::subjects,
    labels::peers,
    dashes::stray,
    dashes::missing,
    ports::of_service,
    ports::named,
    icmp::wish,
    blocks::around_pods,
    blocks::around_services,
    blocks::everyone,
    dns::reachable,
    dns::to_everyone,
    platform::metadata_open,
    platform::metadata_blocked,
    api::server,
    open::allow_alls,
    pairs::one_side,
    unseen::host_network,
    unseen::load_balancers,
    redundant::policies,
    redundant::default_deny,
    cluster::never_reached,
    cluster::accepts,
];
