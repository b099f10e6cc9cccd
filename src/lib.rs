//! confirmd watches blockchains for payments and reports every change by a signed webhook.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod families;
mod lasting;
pub mod registry;
pub mod reload;
pub mod settlement;
pub mod store;
pub mod telemetry;
pub mod watcher;
pub mod webhook;
