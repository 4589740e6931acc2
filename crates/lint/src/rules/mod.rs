//! The rules, by family. Each is a function over the [`Context`](crate::Context).

pub(crate) mod dashes;
mod implicit;
mod labels;
pub(crate) mod reader;

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
];
