//! Plain JSON-RPC 2.0 over HTTP.
//!
//! Apart from the daemon's provider pool on purpose: a test that drives a node through the client
//! under test would share its mistakes.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{Error, Result};

/// A client for one node.
#[derive(Debug, Clone)]
pub struct JsonRpc {
    url: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

impl JsonRpc {
    /// A client for the node at `url`.
    ///
    /// # Errors
    /// [`Error::Http`] where TLS cannot be set up.
    pub fn new(url: impl Into<String>) -> Result<Self> {
        Ok(Self { url: url.into(), http: http_client()? })
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls `method` with positional `params`.
    ///
    /// # Errors
    /// [`Error::Rpc`] where the node says no; [`Error::Http`] where it cannot be asked;
    /// [`Error::Unexpected`] where the result is not a `T`.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T> {
        let http = |source: reqwest::Error| Error::Http {
            method: method.to_owned(),
            source: source.without_url(),
        };
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let response = self.http.post(&self.url).json(&request).send().await.map_err(http)?;
        let answer: Answer = response.json().await.map_err(http)?;
        match answer.error {
            Some(Refusal { code, message }) => {
                Err(Error::Rpc { method: method.to_owned(), code, message })
            }
            None => serde_json::from_value(answer.result)
                .map_err(|error| Error::unexpected(format!("the result of {method}"), &error)),
        }
    }
}

/// An HTTP client for servers on this machine.
///
/// # Errors
/// [`Error::Http`] where TLS cannot be set up.
pub fn http_client() -> Result<reqwest::Client> {
    // Refused only where the process has installed one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()
        .map_err(|source| Error::Http { method: "http client".into(), source })
}
