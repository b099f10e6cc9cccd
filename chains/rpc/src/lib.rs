//! The provider pool: JSON-RPC 2.0 over HTTP, the same for every family of chains.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `config` | [`ProviderConfig`] as an operator writes it, and the [`Limits`] on every answer |
//! | `message` | a [`Request`], its [`Answer`] that is decoded from the borrowed body |
//! | `error` | [`CallError`], sorted by what the caller can do ([`Remedy`]) |
//! | `classify` | what providers say in their errors, and what they mean by it |
//! | `provider` | one endpoint: calls, batches, what their answers mean |
//! | `http`, `rate` | its deadlines, byte cap and `Retry-After`; its rate limit |
//! | `health` | when a provider is put aside, for how long, and when it is trusted again |
//! | `pool` | a network's providers, asked in order of health until one proves its answer |
//! | `agreement` | what several providers say of the same block: who lags, who disagrees |
//! | `refusal` | why a decoder does not take an answer |
//! | `wake` | websocket subscriptions that wake a follower early |
//! | `redact` | keeps URLs and credentials out of everything that is shown (I12) |
//!
//! Providers lie and fail, so nothing here decides what is true. A chain asks through
//! [`Pool::ask`]: it calls one provider, proves what it was told, and says whose fault it is where
//! that fails; the pool puts that provider aside and has the next one asked.

mod agreement;
mod classify;
mod config;
mod error;
mod health;
mod http;
mod message;
mod pool;
mod provider;
mod rate;
mod redact;
mod refusal;
mod wake;

pub use agreement::{Names, Says};
pub use config::{ConfigError, Limits, ProviderConfig};
pub use error::{AskError, CallError, Failure, Fault, FaultKind, Remedy, RpcError};
pub use message::{Answer, Request};
pub use pool::Pool;
pub use provider::Provider;
pub use refusal::Refusal;
