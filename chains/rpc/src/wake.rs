//! Websocket subscriptions that wake a follower early: a hint, never the truth.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{SinkExt, StreamExt};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::http::chain_of_words;
use crate::redact::Redaction;
use crate::{ConfigError, Request};

const CONNECT: Duration = Duration::from_secs(10);
/// After this long without a frame the provider is pinged, and after as long again given up.
const SILENCE: Duration = Duration::from_secs(30);
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// The subscriptions of one network.
#[derive(Default)]
pub(crate) struct Wake {
    sockets: Vec<Arc<Socket>>,
    notify: Arc<Notify>,
    /// Ends the tasks when it is dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wake({} websockets)", self.sockets.len())
    }
}

struct Socket {
    provider: String,
    /// Without user and password.
    url: SecretString,
    authorization: Option<HeaderValue>,
    redaction: Redaction,
}

impl Wake {
    /// Adds a provider's websocket; user and password become an `Authorization` header.
    pub(crate) fn add(
        &mut self,
        provider: &str,
        url: &Url,
        client: &Client,
    ) -> Result<(), ConfigError> {
        let problem = "must be a ws:// or wss:// URL";
        let wrong = || ConfigError::Url { name: provider.to_owned(), key: "ws", problem };
        let mut bare = url.clone();
        bare.set_username("").and_then(|()| bare.set_password(None)).map_err(|()| wrong())?;
        self.sockets.push(Arc::new(Socket {
            provider: provider.to_owned(),
            authorization: authorization(url, client).map_err(|_| wrong())?,
            redaction: Redaction::new([url]),
            url: String::from(bare).into(),
        }));
        Ok(())
    }

    /// Starts one task for each websocket.
    pub(crate) fn subscribe(&self, network: &Arc<str>, request: &Request) {
        let mut message = String::new();
        request.write(1, &mut message);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in &self.sockets {
            let (socket, notify) = (Arc::clone(socket), Arc::clone(&self.notify));
            let (network, message) = (Arc::clone(network), message.clone());
            tasks.spawn(async move { socket.run(&network, &message, &notify).await });
        }
    }

    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

/// Lets reqwest make the header, as it does for HTTP. It knows no `ws`, but the scheme does not
/// enter the header.
fn authorization(url: &Url, client: &Client) -> Result<Option<HeaderValue>, reqwest::Error> {
    let mut http = url.clone();
    let scheme = if url.scheme() == "wss" { "https" } else { "http" };
    // Both are special schemes, between which the standard allows the change.
    let _ = http.set_scheme(scheme);
    Ok(client.get(http).build()?.headers().get(AUTHORIZATION).cloned())
}

impl Socket {
    /// Connects, subscribes, wakes; and again, for ever, with growing pauses.
    async fn run(&self, network: &str, subscribe: &str, notify: &Notify) {
        let pauses = || {
            ExponentialBuilder::default()
                .with_min_delay(Duration::from_secs(1))
                .with_max_delay(Duration::from_mins(1))
                .with_jitter()
                .without_max_times()
                .build()
        };
        let mut pause = pauses();
        loop {
            let mut heard = false;
            let ended = self.listen(subscribe, || {
                heard = true;
                notify.notify_one();
            });
            let words = match ended.await {
                Ok(()) => "closed".to_owned(),
                Err(error) => self.redaction.clean(&chain_of_words(&error)),
            };
            if heard {
                pause = pauses();
            }
            let provider = &self.provider;
            tracing::debug!(network, provider, words, "head subscription ended");
            tokio::time::sleep(pause.next().unwrap_or(Duration::from_mins(1))).await;
        }
    }

    /// One connection, from its opening to its end.
    async fn listen(&self, subscribe: &str, mut wake: impl FnMut()) -> Result<(), Error> {
        let mut request = self.url.expose_secret().into_client_request()?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let connect = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
        let (mut socket, _) = tokio::time::timeout(CONNECT, connect).await.map_err(timed_out)??;
        socket.send(Message::text(subscribe)).await?;
        let mut pinged = false;
        loop {
            match tokio::time::timeout(SILENCE, socket.next()).await {
                Err(elapsed) if pinged => return Err(timed_out(elapsed)),
                Err(_) => {
                    socket.send(Message::Ping(Default::default())).await?;
                    pinged = true;
                    continue;
                }
                Ok(None) => return Ok(()),
                Ok(Some(message)) => {
                    if is_notification(&message?) {
                        wake();
                    }
                }
            }
            pinged = false;
        }
    }
}

fn timed_out(_: tokio::time::error::Elapsed) -> Error {
    Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// Whether the message announces something: it has a method, which the answer to our own
/// subscribing has not.
fn is_notification(message: &Message) -> bool {
    #[derive(serde::Deserialize)]
    struct Notification {
        #[serde(rename = "method")]
        _method: String,
    }
    matches!(message, Message::Text(text) if serde_json::from_str::<Notification>(text).is_ok())
}
