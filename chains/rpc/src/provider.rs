//! One endpoint: its rate limit, its deadlines, its byte cap, its batches.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use confirmd_chain::ProviderStatus;
use reqwest::{Client, StatusCode};
use serde::Serialize;
use tokio::time::Instant;

use crate::classify::{BatchRefusal, classify, refuses_batch};
use crate::health::Health;
use crate::http::{Http, Response};
use crate::message::{ErrorObject, OTHER_CALL, Replies, Reply};
use crate::rate::RateLimit;
use crate::redact::Redaction;
use crate::{Answer, CallError, ConfigError, Fault, FaultKind, Limits, ProviderConfig, Request};

/// One RPC endpoint of a network. Its `Debug` shows its name only (I12).
pub struct Provider {
    network: Arc<str>,
    name: Arc<str>,
    http: Http,
    rate: Option<RateLimit>,
    next_id: AtomicU64,
    /// Shrinks when the provider refuses batches; 1 means single calls.
    batch_size: AtomicUsize,
    latency_us: AtomicU64,
    trusted: AtomicBool,
    health: Mutex<Health>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({}/{})", self.network, self.name)
    }
}

impl Provider {
    pub(crate) fn new(
        network: Arc<str>,
        config: &ProviderConfig,
        limits: Limits,
        client: Client,
    ) -> Result<Self, ConfigError> {
        let url = config.http_url()?;
        let redaction = Redaction::new([&url].into_iter().chain(config.ws_url()?.as_ref()));
        let redaction = Arc::new(redaction);
        let rate = config.requests_per_second;
        let batch_size = config.batch_size.map_or(limits.batch_size, |n| n.min(limits.batch_size));
        // A batch larger than what the rate grants at once could never be sent.
        let burst = rate.and_then(|rate| usize::try_from(rate.get()).ok()).unwrap_or(usize::MAX);
        Ok(Self {
            network,
            name: config.name.as_str().into(),
            http: Http { client, url, limits, redaction },
            rate: rate.map(RateLimit::new),
            next_id: AtomicU64::new(1),
            batch_size: AtomicUsize::new(batch_size.get().min(burst)),
            latency_us: AtomicU64::new(0),
            trusted: AtomicBool::new(false),
            health: Mutex::default(),
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether [`Self::trust`] was called since the provider last took over from another, or was
    /// last at fault. Where not, the caller checks that it serves the right network.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire)
    }

    /// Notes that the provider serves the right network.
    pub fn trust(&self) {
        self.trusted.store(true, Ordering::Release);
    }

    pub(crate) fn distrust(&self) {
        self.trusted.store(false, Ordering::Release);
    }

    /// How long its last answers took: a moving average, or zero before the first.
    #[must_use]
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }

    /// The provider as the status shows it.
    #[must_use]
    pub fn status(&self) -> ProviderStatus {
        let health = self.health();
        ProviderStatus {
            name: self.name.to_string(),
            healthy: !health.is_aside(Instant::now()),
            latency_ms: u64::try_from(self.latency().as_millis()).unwrap_or(u64::MAX),
            faults: health.counts(),
            last_fault: health.last_fault().map(str::to_owned),
        }
    }

    /// Whether it asked to be left alone for a while (429). Others that are put aside may still be
    /// asked what they think of a branch.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.health().is_resting(Instant::now())
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        // Plain counters: a panic elsewhere cannot leave them half changed.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The words without the provider's URL and credentials.
    pub(crate) fn clean(&self, words: &str) -> String {
        self.http.redaction.clean(words)
    }

    /// Records a fault of an attempt that began at `started` and puts the provider aside.
    pub(crate) fn fault(&self, fault: &Fault, started: Instant) {
        // What the chain says may quote the provider.
        let words = self.clean(&fault.words);
        let fault = Fault { kind: fault.kind, words, retry_after: fault.retry_after };
        tracing::warn!(network = %self.network, provider = %self.name, %fault, "put aside");
        self.distrust();
        self.health().fault(&fault, started, Instant::now());
    }

    /// Records a fault in what was asked beside the blocks: it is no reason to put it aside, unless
    /// the provider wants that.
    pub(crate) fn fault_beside(&self, fault: &Fault, started: Instant) {
        if fault.kind == FaultKind::RateLimited {
            return self.fault(fault, started);
        }
        let words = self.clean(&fault.words);
        let fault = Fault { kind: fault.kind, words, retry_after: None };
        tracing::warn!(network = %self.network, provider = %self.name, %fault, "failed");
        self.health().note(&fault);
    }

    /// Calls a method: a tuple or slice for positions, a struct or map for names, `()` for none.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::remedy`] says what can be done.
    pub async fn call<P: Serialize + Send>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<Answer, CallError> {
        let request = Request::new(method, &params)?;
        drop(params);
        self.send(&request).await
    }

    /// Whether it has a method, under the method's name: it answers, if only that it knows no such
    /// thing as what is asked for.
    pub async fn has<P: Serialize + Send>(
        &self,
        method: &'static str,
        params: P,
    ) -> (String, bool) {
        let answer = self.call(method, params).await;
        let lacks = matches!(answer, Err(CallError::Unsupported(_) | CallError::Unreachable(_)));
        (method.to_owned(), !lacks)
    }

    /// Makes one call.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send(&self, request: &Request) -> Result<Answer, CallError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut body = String::new();
        request.write(id, &mut body);
        let result = match self.post(NonZeroU32::MIN, body).await {
            Ok(response) => self.single(request, id, &response),
            Err(error) => Err(error),
        };
        self.count(&result);
        result
    }

    /// Makes several calls in as few exchanges as the provider takes, which may be one each. The
    /// answers stand in the order of the requests.
    ///
    /// # Errors
    /// What concerns the provider and not one call: see [`CallError`]. Answers with missing,
    /// double or foreign ids are refused as a whole.
    pub async fn batch(
        &self,
        requests: &[Request],
    ) -> Result<Vec<Result<Answer, CallError>>, CallError> {
        let mut answers = Vec::with_capacity(requests.len());
        while answers.len() < requests.len() {
            let rest = &requests[answers.len()..];
            let size = self.batch_size.load(Ordering::Relaxed).min(rest.len());
            if size <= 1 {
                match self.send(&rest[0]).await {
                    Err(error) if error.concerns_provider() => return Err(error),
                    answer => answers.push(answer),
                }
                continue;
            }
            match self.exchange(&rest[..size]).await? {
                Batch::Answers(several) => answers.extend(several),
                Batch::Refused(refusal) => self.shrink_batches(size, refusal),
            }
        }
        Ok(answers)
    }

    fn shrink_batches(&self, refused: usize, refusal: BatchRefusal) {
        let size = match refusal {
            BatchRefusal::Smaller => refused / 2,
            BatchRefusal::Never => 1,
        };
        self.batch_size.fetch_min(size.max(1), Ordering::Relaxed);
        tracing::info!(network = %self.network, provider = %self.name, size, "smaller batches");
    }

    /// Sends one batch.
    async fn exchange(&self, requests: &[Request]) -> Result<Batch, CallError> {
        let count = u32::try_from(requests.len()).ok().and_then(NonZeroU32::new);
        let count = count.unwrap_or(NonZeroU32::MIN);
        let first = self.next_id.fetch_add(u64::from(count.get()), Ordering::Relaxed);
        let mut body = String::from("[");
        for (id, request) in (first..).zip(requests) {
            body.push_str(if id == first { "" } else { "," });
            request.write(id, &mut body);
        }
        body.push(']');
        let result = match self.post(count, body).await {
            Ok(response) => self.several(requests, first, &response),
            Err(error) => Err(error),
        };
        // Of a batch there can be less before there must be less of a call.
        let result = match result {
            Err(CallError::TooMuch(_)) => Ok(Batch::Refused(BatchRefusal::Smaller)),
            other => other,
        };
        match &result {
            Ok(Batch::Answers(answers)) => answers.iter().for_each(|answer| self.count(answer)),
            Ok(Batch::Refused(_)) => self.count_outcome("batch_refused"),
            Err(error) => self.count_outcome(error.outcome()),
        }
        result
    }

    fn single(&self, request: &Request, id: u64, response: &Response) -> Result<Answer, CallError> {
        if response.status.is_success()
            && let Some(answer) = Answer::long(&response.body, id, &self.http.redaction)
        {
            return Ok(answer);
        }
        match self.read(response, 1)? {
            Replies::One(reply) => match reply.outcome {
                Ok(result) if reply.id == Some(id) && response.status.is_success() => {
                    Ok(self.answer(result))
                }
                Ok(_) if reply.id == Some(id) => Err(self.bad_status(response)),
                // A server that cannot read the request does not know its id.
                Err(error) if reply.id.is_none_or(|found| found == id) => {
                    Err(self.sort(request.method(), &error, response))
                }
                _ => Err(CallError::Malformed(OTHER_CALL.to_owned())),
            },
            Replies::Many(_) => {
                Err(CallError::Malformed("a list of answers to one call".to_owned()))
            }
        }
    }

    fn several(
        &self,
        requests: &[Request],
        first: u64,
        response: &Response,
    ) -> Result<Batch, CallError> {
        let mut replies = match self.read(response, requests.len())? {
            Replies::Many(replies) => replies,
            Replies::One(reply) => vec![reply],
        };
        // Refused as a whole: one error instead of as many answers as calls.
        let refused = replies.len() < requests.len() && replies.len() == 1;
        if refused && let Some(Reply { outcome: Err(error), .. }) = replies.first() {
            return match refuses_batch(error) {
                Some(refusal) => Ok(Batch::Refused(refusal)),
                None => Err(self.sort("", error, response)),
            };
        }
        if !response.status.is_success() {
            return Err(self.bad_status(response));
        }
        // One call's answer may be fine where all of them together are not.
        let too_large = |reply: &Reply| {
            reply.outcome.as_ref().is_err_and(|error| error.message.contains("response too large"))
        };
        if replies.iter().any(too_large) {
            return Ok(Batch::Refused(BatchRefusal::Smaller));
        }
        replies.sort_by_key(|reply| reply.id);
        let expected = (first..).take(requests.len()).map(Some);
        if !replies.iter().map(|reply| reply.id).eq(expected) {
            let words = "a batch with missing, double or foreign ids".to_owned();
            return Err(CallError::Malformed(words));
        }
        let answers = requests.iter().zip(replies).map(|(request, reply)| {
            let sort = |error| self.sort(request.method(), &error, response);
            reply.outcome.map(|result| self.answer(result)).map_err(sort)
        });
        Ok(Batch::Answers(answers.collect()))
    }

    fn answer(&self, result: Bytes) -> Answer {
        Answer::new(result, Arc::clone(&self.http.redaction))
    }

    /// Reads the body, or says what its status means where it is no JSON-RPC.
    fn read(&self, response: &Response, max: usize) -> Result<Replies, CallError> {
        match response.status {
            StatusCode::TOO_MANY_REQUESTS => Err(self.rate_limited(response)),
            StatusCode::PAYLOAD_TOO_LARGE => Err(CallError::TooMuch(self.status_words(response))),
            status => Replies::read(&response.body, max).map_err(|words| match status {
                status if status.is_success() => {
                    CallError::Malformed(self.http.redaction.clean(&words))
                }
                _ => self.bad_status(response),
            }),
        }
    }

    fn sort(&self, method: &str, error: &ErrorObject, response: &Response) -> CallError {
        match classify(method, error, &self.http.redaction) {
            CallError::RateLimited { words, retry_after } => {
                let retry_after = response.retry_after.or(retry_after);
                let retry_after =
                    retry_after.map(|time| time.min(self.http.limits.max_retry_after));
                CallError::RateLimited { words, retry_after }
            }
            // Our request is fine elsewhere; it is the credentials that are not.
            CallError::Invalid(_) | CallError::Refused(_)
                if matches!(response.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
            {
                self.bad_status(response)
            }
            other => other,
        }
    }

    /// What a status of 429 says, in JSON-RPC or in any other words.
    fn rate_limited(&self, response: &Response) -> CallError {
        if let Ok(Replies::One(Reply { outcome: Err(error), .. })) =
            Replies::read(&response.body, 1)
            && let limited @ CallError::RateLimited { .. } = self.sort("", &error, response)
        {
            return limited;
        }
        let words = self.status_words(response);
        CallError::RateLimited { words, retry_after: response.retry_after }
    }

    fn bad_status(&self, response: &Response) -> CallError {
        CallError::Unreachable(self.status_words(response))
    }

    fn status_words(&self, response: &Response) -> String {
        let body = String::from_utf8_lossy(&response.body);
        format!("HTTP {}: {}", response.status.as_u16(), self.http.redaction.clean(&body))
    }

    /// Waits for the rate limit to grant `calls`, then posts a body and reads the whole answer.
    async fn post(&self, calls: NonZeroU32, body: String) -> Result<Response, CallError> {
        if let Some(rate) = &self.rate {
            rate.granted(calls).await;
        }
        let started = Instant::now();
        let response = self.http.post(body).await;
        let took = started.elapsed();
        metrics::histogram!(
            "confirmd_provider_request_duration_seconds",
            "network" => Arc::clone(&self.network),
            "provider" => Arc::clone(&self.name),
        )
        .record(took.as_secs_f64());
        let response = response?;
        self.note_latency(took);
        Ok(response)
    }

    fn note_latency(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let average = |old: u64| match old {
            0 => took,
            old => old - old / 8 + took / 8,
        };
        let store = |old| Some(average(old));
        // The closure always gives a value, so the update cannot fail.
        let _ = self.latency_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, store);
    }

    fn count(&self, result: &Result<Answer, CallError>) {
        self.count_outcome(result.as_ref().map_or_else(CallError::outcome, |_| "ok"));
    }

    fn count_outcome(&self, outcome: &'static str) {
        metrics::counter!(
            "confirmd_provider_requests_total",
            "network" => Arc::clone(&self.network),
            "provider" => Arc::clone(&self.name),
            "outcome" => outcome,
        )
        .increment(1);
    }
}

/// What became of one batch.
enum Batch {
    Answers(Vec<Result<Answer, CallError>>),
    /// The provider does not take it like this.
    Refused(BatchRefusal),
}
