//! The provider pool against servers that behave, misbehave and lie.

#![expect(clippy::expect_used, reason = "clippy knows tests by their attribute, not their helpers")]

mod agreement;
mod batches;
mod calls;
mod hostile;
mod pool;
mod secrets;
mod support;
mod wake;
