//! Reading cluster-wide policies.

#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod fails_closed;
mod policies;
mod short;
