//! The daemon's API, as the shop uses it.

use serde_json::Value;
use xtask::{Error, Result, rpc::http_client};

/// The shop's key, with all rights.
pub(super) const API_KEY: &str = "demo-key-only-for-this-machine";

/// A client with the shop's key.
#[derive(Clone)]
pub(super) struct Api {
    /// Where the daemon answers.
    pub(super) base: String,
    http: reqwest::Client,
}

impl Api {
    pub(super) fn new(base: String) -> Result<Self> {
        Ok(Self { base, http: http_client()? })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.answer(path, self.http.get(format!("{}{path}", self.base))).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(path, self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    async fn answer(&self, path: &str, request: reqwest::RequestBuilder) -> Result<Value> {
        let http = |source: reqwest::Error| Error::Http { method: path.to_owned(), source };
        let answer = request.bearer_auth(API_KEY).send().await.map_err(http)?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(http)?;
        match status.is_success() {
            true => Ok(body),
            false => Err(Error::unexpected(format!("{path}: {status}"), &body)),
        }
    }
}
