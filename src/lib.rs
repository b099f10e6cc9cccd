//! confirmd watches blockchains for payments and reports every change by a signed webhook.

pub mod clock;
pub mod config;
pub mod registry;
pub mod settlement;
pub mod store;
pub mod webhook;
