//! What people get wrong in network policies: pitfalls, found with the whole inventory in view.
//!
//! [`check`] takes what was read and the engine compiled from it, and gives [`Finding`]s, each with a stable [`Code`], its
//! place in the YAML, a reason and a fix. A rule is a function over one [`Context`]; a file holds a family of rules. What
//! traffic may pass is only ever asked of the engine.
//!
//! What is absent: no I/O, no rendering, and no guess. Where the manifests do not tell, a rule is silent, or its finding is
//! a note that says so.

pub mod code;
mod context;
mod edit;
mod finding;
mod fix;
mod near;
mod rules;
mod suppress;
mod view;
mod witness;

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

pub use code::{CODES, Code};
pub use context::{Context, Options};
pub use finding::{Edit, Finding};
pub use fix::{Fixed, apply};
pub use suppress::{Ignore, Suppressed, suppress};

/// Everything that is doubtful in the policies, in the order of the text.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = rules::ALL.par_iter().flat_map_iter(|rule| rule(context)).collect();
    sort(&mut findings);
    findings
}

/// What the reader found, with codes.
pub fn reading(findings: &[ringfence_k8s::Finding]) -> Vec<Finding> {
    findings.iter().map(rules::reader::coded).collect()
}

/// Puts findings in the order of the text, each once.
pub fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| a.key().cmp(&b.key()));
    findings.dedup();
}
