//! What a chain's story is made of, and how it is told.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};
use xtask::{Error, Result, receiver::Received};

use super::api::Api;

const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// A node with somebody who pays on it.
#[async_trait]
pub(super) trait Story: Send + Sync {
    /// What is there, for the opening lines.
    fn cast(&self) -> Vec<String>;

    /// Its network's name in the registry.
    fn network(&self) -> &'static str;

    /// The registry's file for its network.
    fn registry(&self) -> String;

    /// What the configuration says of its network.
    fn configuration(&self) -> String;

    /// Pays, and holds every webhook against what should have come.
    async fn tell(&self, teller: &mut Teller) -> Result<()>;
}

/// Prints what happens on one network, and waits for the webhooks of its intent.
pub(super) struct Teller {
    pub(super) api: Api,
    pub(super) intent: String,
    pub(super) webhooks: UnboundedReceiver<Received>,
    pub(super) began: Instant,
    /// In front of each line where several stories are told at once.
    pub(super) label: Option<&'static str>,
}

impl Teller {
    /// Creates the intent that the story is about, with this rail, and says what it is for.
    pub(super) async fn expect(&self, rail: Value, what: &str) -> Result<Value> {
        let body = serde_json::json!({
            "id": self.intent, "rails": [rail], "metadata": { "cart": "two books" },
        });
        let intent = self.api.post("/v1/intents", &body).await?;
        self.line("the shop", &format!("waits for {what}"));
        Ok(intent)
    }

    /// The intent as the API shows it.
    pub(super) async fn intent(&self) -> Result<Value> {
        self.api.get(&format!("/v1/intents/{}", self.intent)).await
    }

    /// Waits for the next webhook, which must be verified and of this type.
    pub(super) async fn webhook(&mut self, kind: &str) -> Result<Value> {
        let next = self.next(kind).await?;
        self.show(kind, next)
    }

    /// Holds the intent's status, as the API shows it, against this one.
    pub(super) async fn ends(&self, status: &str) -> Result<()> {
        let intent = self.intent().await?;
        match intent["status"] == status {
            true => Ok(()),
            false => Err(Error::unexpected(format!("an intent that is {status}"), &intent)),
        }
    }

    /// Prints one line.
    pub(super) fn line(&self, who: &str, what: &str) {
        let label = self.label.map(|label| format!("{label:<9}")).unwrap_or_default();
        println!("  {:>6.2} s  {label}{who:<18} {what}", self.began.elapsed().as_secs_f64());
    }

    async fn next(&mut self, awaited: &str) -> Result<Received> {
        let what = || format!("{}: {awaited}", self.intent);
        match timeout(TOLD_WITHIN, self.webhooks.recv()).await {
            Ok(Some(received)) => Ok(received),
            Ok(None) => Err(Error::unexpected(what(), "nobody receives webhooks any more")),
            Err(_) => {
                let output = "no webhook".to_owned();
                Err(Error::TimedOut { what: what(), within: TOLD_WITHIN, output })
            }
        }
    }

    fn show(&self, kind: &str, received: Received) -> Result<Value> {
        if !received.verified || received.event["type"] != kind {
            let what = format!("a verified {kind} was expected next");
            return Err(Error::unexpected(what, &format!("{received:?}")));
        }
        self.line("webhook, verified", &words(&received.event));
        Ok(received.event)
    }
}

/// An event in one line.
pub(super) fn words(event: &Value) -> String {
    let (data, rail) = (&event["data"], &event["data"]["intent"]["rails"][0]);
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut words = format!(
        "{}: {} of {} {}, {}/{} confirmations, the intent is {}",
        text(&event["type"]),
        text(&rail["received"]),
        text(&rail["amount"]),
        text(&rail["asset"]),
        data["confirmations"],
        data["required_confirmations"],
        text(&data["intent"]["status"]),
    );
    if let Some(retracts) = data["retracts"].as_array().filter(|list| !list.is_empty()) {
        words += &format!(" (takes back {} events)", retracts.len());
    }
    words
}

/// A transaction's id, so that it fits into a line.
pub(super) fn shortened(id: &str) -> String {
    match (id.get(..10), id.get(id.len().saturating_sub(4)..)) {
        (Some(start), Some(end)) => format!("{start}…{end}"),
        _ => id.to_owned(),
    }
}
