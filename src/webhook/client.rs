//! One attempt, within its limits (F12).

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::time::Instant;

use super::guard::PublicResolver;
use crate::config::{Endpoint, check_read_url};

const CONNECT: Duration = Duration::from_secs(5);
/// From the first look-up of the name to the last byte of the answer.
const WHOLE_ATTEMPT: Duration = Duration::from_secs(15);
/// More of an answer is not read.
const READ_BYTES: usize = 64 * 1_024;
/// More of an answer is not kept.
const KEPT_BYTES: usize = 4 * 1_024;
/// The longest text that is kept of an error, in characters.
const MAX_ERROR: usize = 300;

/// The courier cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of webhooks cannot be built: {0}")]
pub struct CourierError(#[from] reqwest::Error);

/// Posts to endpoints, with one client for those that may be private and one for the others.
pub(super) struct Clients {
    public: Client,
    any: Client,
}

/// What came of an attempt.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The answer's status, if one came.
    pub(super) status: Option<StatusCode>,
    /// When the endpoint wants to be called again.
    pub(super) retry_after: Option<Duration>,
    /// The first 4 KiB of its body.
    pub(super) body: Option<String>,
    /// Why there is no whole answer, without the URL (I12).
    pub(super) error: Option<String>,
    /// How long it took.
    pub(super) latency: Duration,
}

impl Answer {
    /// An attempt that failed before anything was sent.
    pub(super) fn not_sent(error: impl std::fmt::Display) -> Self {
        Self { error: Some(error.to_string()), ..Self::default() }
    }

    /// Why it does not count as taken.
    pub(super) fn failure(&self) -> String {
        match (&self.error, self.status) {
            (Some(error), _) => error.clone(),
            (None, Some(status)) if status.is_redirection() => {
                format!("answered {status}; redirects are not followed")
            }
            (None, Some(status)) => format!("answered {status}"),
            (None, None) => "no answer".to_owned(),
        }
    }
}

impl Clients {
    pub(super) fn new() -> reqwest::Result<Self> {
        Self::within(WHOLE_ATTEMPT)
    }

    fn within(whole_attempt: Duration) -> reqwest::Result<Self> {
        // Whoever comes first installs it; it is the same everywhere.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Over HTTP/2 one stuck connection would hold all deliveries of its endpoint. An answer
        // that was not asked to be compressed cannot be a gzip bomb.
        let builder = || {
            Client::builder()
                .connect_timeout(CONNECT)
                .timeout(whole_attempt)
                .redirect(Policy::none())
                .no_proxy()
                .no_gzip()
                .http1_only()
                .referer(false)
                .pool_idle_timeout(Duration::from_secs(30))
        };
        let public = builder().dns_resolver(PublicResolver).build()?;
        Ok(Self { public, any: builder().build()? })
    }

    /// Posts, and reads the answer as far as it is wanted.
    pub(super) async fn post(
        &self,
        endpoint: &Endpoint,
        headers: HeaderMap,
        body: String,
    ) -> Answer {
        if let Err(refusal) = check_read_url(&endpoint.url, endpoint.allow_private) {
            return Answer::not_sent(format!("refused: {refusal}"));
        }
        let client = if endpoint.allow_private { &self.any } else { &self.public };
        let began = Instant::now();
        let request = client.post(endpoint.url.clone()).headers(headers).body(body);
        let answer = match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => Answer { error: Some(words(error)), ..Answer::default() },
        };
        Answer { latency: began.elapsed(), ..answer }
    }
}

async fn read(mut response: Response) -> Answer {
    let status = Some(response.status());
    let retry_after = retry_after(response.headers());
    let mut kept = Vec::new();
    let mut read = 0;
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = KEPT_BYTES.saturating_sub(kept.len()).min(chunk.len());
                kept.extend_from_slice(&chunk[..room]);
                read += chunk.len();
                if read >= READ_BYTES {
                    break None;
                }
            }
            Ok(None) => break None,
            Err(error) => break Some(words(error)),
        }
    };
    // PostgreSQL's text holds no NUL.
    let body = String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}");
    Answer { status, retry_after, body: Some(body), error, latency: Duration::ZERO }
}

/// Seconds, or a date, which is taken by the sender's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let now = text(DATE).and_then(date)?;
    Some(date(asked)?.duration_since(now).unwrap_or_default())
}

/// An error in words, with its causes, without the URL: its path may hold a token (I12).
fn words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        let what = if error.is_connect() { "no connection" } else { "no whole answer" };
        return format!("{what} in time");
    }
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let of = |retry_after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, retry_after.parse().expect("a header"));
            if let Some(date) = date {
                headers.insert(DATE, date.parse().expect("a header"));
            }
            super::retry_after(&headers)
        };
        let seconds = |n| Some(Duration::from_secs(n));
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(of("120", None), seconds(120));
        assert_eq!(of(" 7 ", now), seconds(7));
        assert_eq!(of("Sun, 06 Nov 1994 08:50:37 GMT", now), seconds(60));
        assert_eq!(of("Sun, 06 Nov 1994 08:00:00 GMT", now), seconds(0));
        for nonsense in ["soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(of(nonsense, now), None, "{nonsense}");
        }
    }

    fn endpoint(url: &str, allow_private: bool) -> Endpoint {
        Endpoint {
            url: url.parse().expect("a URL"),
            dialect: crate::config::Dialect::Standard,
            secrets: Vec::new(),
            events: None,
            allow_private,
            max_in_flight: 1,
        }
    }

    #[tokio::test]
    async fn an_answer_that_trickles_is_not_waited_for_f12() {
        use tokio::io::AsyncWriteExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let trickle = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4_096]).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
            stream.write_all(head).await.expect("is read");
            let mut every = tokio::time::interval(Duration::from_millis(20));
            while stream.write_all(b"x").await.is_ok() {
                every.tick().await;
            }
        });
        let clients = Clients::within(Duration::from_millis(300)).expect("clients");
        let answer = clients.post(&endpoint(&url, true), HeaderMap::new(), "{}".to_owned()).await;
        assert_eq!(answer.status, Some(StatusCode::OK), "{answer:?}");
        assert_eq!(answer.error.as_deref(), Some("no whole answer in time"));
        trickle.await.expect("the connection was closed");
    }

    #[tokio::test]
    async fn a_name_is_resolved_by_the_guard_alone_f18() {
        let clients = Clients::new().expect("clients");
        let error = clients.public.get("http://localhost:9/").send().await.expect_err("refused");
        assert!(words(error).contains("the host name leads to no public address"));
    }
}
