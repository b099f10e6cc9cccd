//! The courier: one task an endpoint, so that a slow or dead one delays only itself (I8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Answer, Clients, CourierError};
use super::endpoints::Endpoints;
use super::recorder::{self, Outcomes};
use super::waker::Waker;
use super::{gauges, schedule};
use crate::clock::Clock;
use crate::config::Endpoint;
use crate::lasting::lasting;
use crate::store::{Attempt, AttemptOutcome, Claimed, Next, Store, StoreError};

/// A claim outlives its attempt by the time that it takes to write the outcome. One that is not
/// written by then belonged to a process that is gone.
const CLAIM_MS: i64 = 60_000;
/// Deliveries may also be written, and claims left behind, by another instance.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// Between two tries while the store fails, or while another instance is claiming.
const PAUSE: Duration = Duration::from_millis(500);
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// Sends what is in the outbox.
pub struct Courier {
    context: Arc<Context>,
    waker: Waker,
}

struct Context {
    store: Store,
    endpoints: Endpoints,
    clock: Clock,
    clients: Clients,
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}

impl Courier {
    /// A courier for these endpoints.
    ///
    /// # Errors
    /// When its HTTP client cannot be built.
    pub fn new(store: Store, endpoints: Endpoints, clock: Clock) -> Result<Self, CourierError> {
        let clients = Clients::new()?;
        let context = Arc::new(Context { store, endpoints, clock, clients });
        Ok(Self { context, waker: Waker::default() })
    }

    /// What wakes it.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Works until `stop`; then claims nothing more, and gives attempts under way `grace` to end
    /// and be recorded. Those that do not are made again once their claims have run out (F16).
    pub async fn run(self, stop: CancellationToken, grace: Duration) {
        let Self { context, waker } = self;
        let (outcomes, received) = recorder::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(recorder::run(
            context.store.clone(),
            context.clock.clone(),
            waker.clone(),
            received,
        ));
        tasks.spawn(show_gauges(Arc::clone(&context), stop.clone()));
        let mut workers = BTreeMap::<String, CancellationToken>::new();
        let mut changes = context.endpoints.changes();
        while !stop.is_cancelled() {
            let names: BTreeSet<String> = context.endpoints.names().into_iter().collect();
            workers.retain(|name, worker| {
                let kept = names.contains(name);
                if !kept {
                    worker.cancel();
                }
                kept
            });
            for name in names {
                workers.entry(name).or_insert_with_key(|name| {
                    let bell = Arc::new(Notify::new());
                    waker.bells().insert(name.clone(), Arc::clone(&bell));
                    let stop = stop.child_token();
                    let (context, name) = (Arc::clone(&context), name.clone());
                    let outcomes = outcomes.clone();
                    let part = format!("deliveries to {name}");
                    tasks.spawn(lasting(part, stop.clone(), move |stop| {
                        let worker = Worker {
                            context: Arc::clone(&context),
                            name: name.clone(),
                            bell: Arc::clone(&bell),
                            outcomes: outcomes.clone(),
                            attempts: JoinSet::new(),
                        };
                        worker.run(stop)
                    }));
                    stop
                });
            }
            tokio::select! {
                () = changes.next() => {}
                () = stop.cancelled() => {}
            }
        }
        drop(outcomes);
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all_ended).await.is_err() {
            tracing::warn!("deliveries under way were cut off; they are made again");
        }
    }
}

async fn show_gauges(context: Arc<Context>, stop: CancellationToken) {
    let mut every = tokio::time::interval(GAUGES_EVERY);
    let mut names = BTreeSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        if let Ok(counts) = context.store.delivery_counts().await {
            names.extend(context.endpoints.names().into_iter().chain(counts.keys().cloned()));
            gauges::show(&counts, names.clone(), context.clock.now());
        }
    }
}

/// Sends the deliveries of one endpoint.
struct Worker {
    context: Arc<Context>,
    name: String,
    bell: Arc<Notify>,
    outcomes: Outcomes,
    attempts: JoinSet<()>,
}

impl Worker {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.start_due().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(endpoint = self.name, %error, "deliveries cannot be claimed");
                    Some(PAUSE)
                }
            };
            let due = async {
                match pause {
                    Some(pause) => self.context.clock.sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.bell.notified() => {}
                () = due => {}
                () = tokio::time::sleep(LOOK_AT_LEAST_EVERY) => {}
                Some(_) = self.attempts.join_next() => {}
            }
        }
        while self.attempts.join_next().await.is_some() {}
    }

    /// Starts what is due, as far as the endpoint's limit goes. Answers how long there is nothing
    /// to do, unless something else happens before.
    async fn start_due(&mut self) -> Result<Option<Duration>, StoreError> {
        while self.attempts.try_join_next().is_some() {}
        let Some(endpoint) = self.context.endpoints.get(&self.name) else { return Ok(None) };
        let under_way = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        let free = endpoint.max_in_flight.saturating_sub(under_way);
        if free == 0 {
            return Ok(None);
        }
        let Context { store, clock, .. } = &*self.context;
        let Some(due) = store.next_due(&self.name).await? else { return Ok(None) };
        let now = clock.now();
        if due > now {
            return Ok(Some(Duration::from_millis((due.0 - now.0).unsigned_abs())));
        }
        let until = now.plus_ms(CLAIM_MS);
        let claimed = store.claim_deliveries(&self.name, free, now, until).await?;
        // Nothing: another instance was quicker. Something: there may be more, so look again.
        let pause = if claimed.is_empty() { PAUSE } else { Duration::ZERO };
        for claimed in claimed {
            let (context, name) = (Arc::clone(&self.context), self.name.clone());
            let (endpoint, outcomes) = (Arc::clone(&endpoint), self.outcomes.clone());
            self.attempts.spawn(async move {
                let outcome = context.attempt(&name, &endpoint, claimed).await;
                // Only when the process ends is nobody there to write it.
                let _ = outcomes.send(outcome).await;
            });
        }
        Ok(Some(pause))
    }
}

impl Context {
    async fn attempt(&self, name: &str, endpoint: &Endpoint, claimed: Claimed) -> AttemptOutcome {
        let began = self.clock.now();
        let dialect = &endpoint.dialect;
        let answer = match dialect.headers(&endpoint.secrets, &claimed.event, &claimed.body, began)
        {
            Ok(headers) => self.clients.post(endpoint, headers, claimed.body.clone()).await,
            Err(error) => Answer::not_sent(error),
        };
        let next = schedule::next(&claimed, dialect, &answer, began, self.clock.now(), random());
        let status_code = answer.status.map(|status| status.as_u16());
        let error = (next != Next::Taken).then(|| answer.failure());
        let label = match next {
            Next::Taken => "taken",
            Next::Again { .. } => "failed",
            Next::Pause { .. } => "paused",
            Next::Dead => "dead",
        };
        counter!("confirmd_delivery_attempts_total", "endpoint" => name.to_owned(),
            "outcome" => label)
        .increment(1);
        tracing::debug!(
            endpoint = name,
            delivery = claimed.id(),
            event = claimed.event,
            outcome = label,
            status_code,
            error,
            "attempt"
        );
        if matches!(next, Next::Pause { .. } | Next::Dead) {
            tracing::warn!(
                endpoint = name,
                delivery = claimed.id(),
                error,
                "{}",
                match next {
                    Next::Dead => "a delivery is given up: see the dead-letter list",
                    _ => "the endpoint is paused until an admin resumes it",
                }
            );
        }
        let attempt = Attempt {
            at: began,
            status_code,
            latency_ms: u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX),
            error,
            answer: answer.body,
        };
        claimed.outcome(attempt, next)
    }
}

/// Without it, all that failed together is tried again together: no harm but load.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
