//! What an operator says of a provider, and the limits on what it may do to us.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// One `[[networks.….providers]]` table of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Shown in the status, in logs and in metrics.
    pub name: String,
    /// Where it answers JSON-RPC, `http` or `https`. Holds the key, if there is one; user and
    /// password in it become an `Authorization` header.
    pub url: SecretString,
    /// Where it announces new blocks, `ws` or `wss`.
    #[serde(default)]
    pub ws: Option<SecretString>,
    /// How many requests a second it grants; each call of a batch counts as one.
    #[serde(default)]
    pub requests_per_second: Option<NonZeroU32>,
    /// How many calls it takes in one batch, where that is fewer than [`Limits::batch_size`].
    #[serde(default)]
    pub batch_size: Option<NonZeroUsize>,
}

/// Limits on every request, whatever the provider.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From the first byte sent to the last byte read.
    pub total: Duration,
    /// The longest answer that is read, counted after decompression.
    pub max_answer_bytes: usize,
    /// The most calls in one batch.
    pub batch_size: NonZeroUsize,
    /// The longest `Retry-After` that is obeyed; a longer one is cut to it.
    pub max_retry_after: Duration,
    /// How long [`Pool::ask`](crate::Pool::ask) waits for the first provider to come back when all
    /// are put aside.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(15),
            max_answer_bytes: 64 << 20,
            batch_size: NonZeroUsize::MIN.saturating_add(99),
            max_retry_after: Duration::from_mins(5),
            patience: Duration::from_secs(30),
        }
    }
}

/// Why a network's providers cannot be used. Names the provider, never its URL (I12).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is nobody to ask.
    #[error("network {network:?} has no providers")]
    NoProviders {
        /// The network.
        network: String,
    },
    /// Two providers cannot be told apart.
    #[error("network {network:?} has two providers named {name:?}")]
    DuplicateName {
        /// The network.
        network: String,
        /// The name that stands twice.
        name: String,
    },
    /// A URL cannot be used.
    #[error("provider {name:?}: `{key}` {problem}")]
    Url {
        /// The provider.
        name: String,
        /// `url` or `ws`.
        key: &'static str,
        /// What was expected.
        problem: &'static str,
    },
    /// The HTTP client cannot be built, for lack of TLS roots for instance.
    #[error("the HTTP client cannot be built: {0}")]
    Client(String),
}

impl ProviderConfig {
    pub(crate) fn http_url(&self) -> Result<Url, ConfigError> {
        self.parse("url", &self.url, &["http", "https"], "must be an http:// or https:// URL")
    }

    pub(crate) fn ws_url(&self) -> Result<Option<Url>, ConfigError> {
        let parse = |ws| self.parse("ws", ws, &["ws", "wss"], "must be a ws:// or wss:// URL");
        self.ws.as_ref().map(parse).transpose()
    }

    fn parse(
        &self,
        key: &'static str,
        url: &SecretString,
        schemes: &[&str],
        problem: &'static str,
    ) -> Result<Url, ConfigError> {
        // The parser's own error is dropped: what it complains about may be the secret.
        let url = Url::parse(url.expose_secret()).ok();
        url.filter(|url| schemes.contains(&url.scheme()) && url.has_host())
            .ok_or_else(|| ConfigError::Url { name: self.name.clone(), key, problem })
    }
}
