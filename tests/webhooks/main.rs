//! Webhooks, from an event's commit to the backend that has taken it: against real sockets, on
//! both databases, with a clock that is moved.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bodies;
mod courier;
mod faults;
mod log;
mod outbox;
mod receiver;
mod support;
