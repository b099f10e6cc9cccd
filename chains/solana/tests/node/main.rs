//! The family on a real node, whose blocks the reference client reads beside ours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod conformance;
mod credits;
mod discriminators;
mod oracle;
mod slots;
mod support;
