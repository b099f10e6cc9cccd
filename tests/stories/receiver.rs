//! A payment backend's webhook receiver, scripted: what it answers is the test's to say.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One webhook as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    /// The body.
    pub(crate) body: Value,
    /// The body as it was sent.
    pub(crate) raw: String,
}

impl Webhook {
    /// The event's type.
    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    /// Whether it is about this intent.
    pub(crate) fn of(&self, intent: &str) -> bool {
        self.body["data"]["intent"]["id"] == intent
    }
}

/// Collects webhooks and takes them all.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Where to post.
    pub(crate) url: String,
    inbox: watch::Receiver<Vec<Webhook>>,
}

type Inbox = Arc<Mutex<watch::Sender<Vec<Webhook>>>>;

impl Receiver {
    /// Listens on a free port.
    pub(crate) async fn start() -> Self {
        let (sender, inbox) = watch::channel(Vec::new());
        let state: Inbox = Arc::new(Mutex::new(sender));
        let router = Router::new().fallback(take).with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hooks", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inbox }
    }

    /// Waits until an event of this type came in for this intent, and answers it.
    pub(crate) async fn wait_for_event(&self, intent: &str, kind: &str) -> Webhook {
        let is_it = |webhook: &Webhook| webhook.kind() == kind && webhook.of(intent);
        let what = format!("{kind} of {intent}");
        let inbox = self.wait_until(&what, |inbox| inbox.iter().any(is_it)).await;
        inbox.into_iter().rfind(is_it).expect("just seen")
    }

    async fn wait_until(&self, what: &str, condition: impl Fn(&[Webhook]) -> bool) -> Vec<Webhook> {
        let mut inbox = self.inbox.clone();
        let waited = inbox.wait_for(|webhooks| condition(webhooks));
        let found = tokio::time::timeout(Duration::from_secs(40), waited).await;
        match found {
            Ok(Ok(webhooks)) => webhooks.clone(),
            _ => panic!("{what} never came; there is {:#?}", self.told()),
        }
    }

    /// All that came in, in order.
    pub(crate) fn inbox(&self) -> Vec<Webhook> {
        self.inbox.borrow().clone()
    }

    /// The types that came in, in order, each with its intent.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let inbox = self.inbox.borrow();
        let told = inbox.iter();
        told.map(|hook| (text(&hook.body["data"]["intent"]["id"]), hook.kind().to_owned()))
            .collect()
    }

    /// The types that came in for one intent, in order.
    pub(crate) fn told_of(&self, intent: &str) -> Vec<String> {
        let told = self.told().into_iter();
        told.filter(|(of, _)| of == intent).map(|(_, kind)| kind).collect()
    }
}

async fn take(State(inbox): State<Inbox>, raw: String) -> StatusCode {
    let Ok(body) = serde_json::from_str(&raw) else { return StatusCode::BAD_REQUEST };
    let inbox = inbox.lock().expect("no test panics with it");
    inbox.send_modify(|inbox| inbox.push(Webhook { body, raw }));
    StatusCode::OK
}
