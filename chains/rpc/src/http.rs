//! One exchange over HTTP, within its limits (F12).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};

use crate::redact::Redaction;
use crate::{CallError, ConfigError, Limits};

/// Where a provider answers. Not `Debug`: it holds the key.
pub(crate) struct Http {
    pub(crate) client: Client,
    pub(crate) url: Url,
    pub(crate) limits: Limits,
    pub(crate) redaction: Arc<Redaction>,
}

/// A client for all providers of a network.
pub(crate) fn client(limits: &Limits) -> Result<Client, ConfigError> {
    Client::builder()
        .user_agent(concat!("confirmd/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| ConfigError::Client(chain_of_words(&error.without_url())))
}

impl Http {
    /// Posts a body and reads the whole answer, before the total deadline.
    pub(crate) async fn post(&self, body: String) -> Result<Response, CallError> {
        let total = self.limits.total;
        tokio::time::timeout(total, self.exchange(body)).await.unwrap_or_else(|_| {
            Err(CallError::Unreachable(format!("no whole answer within {total:?}")))
        })
    }

    async fn exchange(&self, body: String) -> Result<Response, CallError> {
        let unreachable = |error: reqwest::Error| {
            CallError::Unreachable(self.redaction.clean(&chain_of_words(&error.without_url())))
        };
        let request = self.client.post(self.url.clone());
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut response = request.body(body).send().await.map_err(unreachable)?;
        let max = self.limits.max_answer_bytes;
        let too_much = || CallError::TooMuch(format!("an answer of more than {max} bytes"));
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|announced| announced > max) {
            return Err(too_much());
        }
        // What is announced may be a lie, so it reserves no more than a usual answer takes.
        let mut body = Vec::with_capacity(announced.unwrap_or(0).min(1 << 20));
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > max {
                return Err(too_much());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status: response.status(),
            retry_after: retry_after(response.headers())
                .map(|time| time.min(self.limits.max_retry_after)),
            body: body.into(),
        })
    }
}

/// An HTTP answer, read to its end.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    /// Cut to [`Limits::max_retry_after`].
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3). A date is held against the answer's
/// own `Date`, so that no clock of ours has to agree with the provider's.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let date = |text: &str| -> Option<SystemTime> { httpdate::parse_http_date(text).ok() };
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let now = headers.get(DATE)?.to_str().ok().and_then(date)?;
            Some(date(text)?.duration_since(now).unwrap_or_default())
        }
    }
}

/// An error with all its causes: reqwest's own text alone says only that something failed.
pub(crate) fn chain_of_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words += ": ";
            words += &more;
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date_f11() {
        let now = "Wed, 21 Oct 2026 07:28:00 GMT";
        let cases = [
            ("7", None, Some(7)),
            (" 120 ", None, Some(120)),
            ("Wed, 21 Oct 2026 07:29:30 GMT", Some(now), Some(90)),
            ("Wed, 21 Oct 2026 07:00:00 GMT", Some(now), Some(0)),
            ("Wed, 21 Oct 2026 07:29:30 GMT", None, None),
            ("soon", Some(now), None),
            ("-1", None, None),
        ];
        for (retry, date, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(retry).expect("a header"));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{retry:?}");
        }
    }
}
