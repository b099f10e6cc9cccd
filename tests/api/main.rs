//! The HTTP API, on SQLite and PostgreSQL alike, over real connections.

#![allow(clippy::expect_used, reason = "a test that finds nothing has failed")]

mod access;
mod bad_input;
mod documents;
mod intents;
mod ledger;
mod lists;
mod mempool;
mod orphans;
#[path = "../shared/qr.rs"]
mod qr;
mod reload;
mod support;
mod thresholds;
mod wallets;
mod webhooks;
