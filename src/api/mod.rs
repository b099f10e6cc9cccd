//! The HTTP API: one file a resource.
//!
//! | module | what it serves or knows |
//! | --- | --- |
//! | `intents` | create, list, look at, check, verify, cancel, history |
//! | `deliveries`, `endpoints`, `events`, `orphans`, `networks`, `thresholds` | what their names say |
//! | `wallets` | register, hand out addresses, deposits |
//! | `scanner`, `status` | what AMN's backend proxies |
//! | `health` | alive, ready, metrics |
//! | `auth` | keys, scopes, accounts |
//! | `input` | bodies and parameters, every mistake named (I14) |
//! | `page` | lists |
//! | `problem` | every error as a problem document |
//! | `openapi` | the document, and the Swagger UI |

mod auth;
mod deliveries;
mod endpoints;
mod events;
mod health;
mod input;
mod intents;
mod networks;
mod openapi;
mod orphans;
mod page;
mod problem;
mod scanner;
mod status;
mod thresholds;
mod wallets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use confirmd_chain::{Chain, Confirmations, Timestamp};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::config::{ApiKey, Followed, Settings};
use crate::reload::Reloads;
use crate::settlement::NetworkId;
use crate::store::{Store, StoreError};
use crate::webhook::{Endpoints, Trials, Waker};

pub use input::MAX_BODY_BYTES;
pub use intents::Looks;
pub use openapi::document as openapi;
pub use problem::{FieldError, Problem};
pub use status::StatusProblem;

/// Above the slowest route's own deadline.
const DEADLINE: Duration = Duration::from_secs(30);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 128;

/// What the routes need. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The store.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The configuration and the registry.
    pub settings: Arc<Settings>,
    /// Where events go.
    pub endpoints: Endpoints,
    /// The networks that are followed: reads their addresses and looks at their providers.
    pub chains: Arc<BTreeMap<NetworkId, Arc<dyn Chain>>>,
    /// Wakes a network's follower when it has a new watch.
    pub wakes: Arc<BTreeMap<NetworkId, Arc<Notify>>>,
    /// Has the registry read again.
    pub reloads: Reloads,
    /// Cancelled once a reload has put another context in the place of this one.
    pub replaced: CancellationToken,
    /// When whoever waits for an intent last had its networks looked at.
    pub looks: Looks,
    /// Wakes the courier when something is due.
    pub courier: Waker,
    /// Tries endpoints out.
    pub trials: Trials,
    /// The metrics.
    pub metrics: PrometheusHandle,
    /// Since when this instance runs.
    pub started_at: Timestamp,
    /// This instance's name.
    pub instance: Arc<str>,
    /// What is known since the start that somebody should look at.
    pub problems: Arc<[StatusProblem]>,
}

/// The context that stands. A reload puts another in its place; a request goes on with the one that
/// it began with.
#[derive(Clone, Debug)]
pub struct Live(watch::Receiver<Context>);

impl From<watch::Receiver<Context>> for Live {
    fn from(receiver: watch::Receiver<Context>) -> Self {
        Self(receiver)
    }
}

/// One that stays.
impl From<Context> for Live {
    fn from(context: Context) -> Self {
        Self(watch::channel(context).1)
    }
}

impl FromRef<Live> for Context {
    fn from_ref(live: &Live) -> Self {
        live.0.borrow().clone()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Context {
    fn keys(&self) -> &[ApiKey] {
        &self.settings.config.keys
    }

    /// A network that is followed, by its id, CAIP-2 id or EVM chain id.
    fn followed(&self, name: &str) -> Option<&Followed> {
        let id = &self.settings.registry.network(name)?.id;
        self.settings.networks.iter().find(|followed| followed.network.id == *id)
    }

    /// The same with the thresholds that stand in the store now: any instance may have set them.
    async fn current(&self) -> Result<Self, StoreError> {
        let set = self.store.thresholds().await?;
        if set.is_empty() {
            return Ok(self.clone());
        }
        let settings = Arc::new(self.settings.with_thresholds(&set));
        Ok(Self { settings, ..self.clone() })
    }

    /// Whether a reload or an admin's thresholds have overtaken it.
    fn is_outdated(&self, set: &BTreeMap<NetworkId, Confirmations>) -> bool {
        self.replaced.is_cancelled() || !self.settings.has_thresholds(set)
    }

    fn wake(&self, network: &NetworkId) {
        if let Some(bell) = self.wakes.get(network) {
            bell.notify_one();
        }
    }
}

/// The whole API.
pub fn router(live: impl Into<Live>) -> Router {
    let (router, document) = openapi::routes().split_for_parts();
    router
        .with_state(live.into())
        .merge(openapi::swagger_ui(document))
        .fallback(async || Problem::NoRoute)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(middleware::from_fn(outermost))
}

/// Serves the API until `shutdown` is done and the requests under way are answered.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// Gives every request an id and a deadline, every error its document, and the log a line.
async fn outermost(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let began = Instant::now();
    let method = request.method().clone();
    // The route, not the path: it has few values, and none that a client chose.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!("request", id);
    let answer = tokio::time::timeout(DEADLINE, next.run(request)).instrument(span.clone()).await;
    let answer = answer.unwrap_or_else(|_| Problem::TooSlow(DEADLINE.as_secs()).into_response());
    let mut answer = problem::document(answer, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    let nosniff = HeaderValue::from_static("nosniff");
    answer.headers_mut().insert("x-content-type-options", nosniff);
    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    let (status, latency_ms) = (answer.status().as_u16(), began.elapsed().as_millis());
    span.in_scope(|| tracing::debug!(%method, route, status, latency_ms, "answered"));
    answer
}

/// The client's own id, if it is a plain one, so that its log and ours can be laid side by side.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let fits = |id: &&str| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(plain);
    given.filter(fits).map_or_else(|| format!("req_{}", ulid::Ulid::new()), str::to_owned)
}
