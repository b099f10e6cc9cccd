//! The HTTP API: one file a resource.
//!
//! | module | what it serves or knows |
//! | --- | --- |
//! | `intents` | create, list, look at, check, verify, cancel, history |
//! | `deliveries`, `endpoints`, `events`, `orphans`, `networks`, `thresholds` | what their names say |
//! | `wallets` | register, hand out addresses, deposits |
//! | `scanner`, `status`, `status_problem` | what AMN's backend proxies |
//! | `health` | alive, ready, metrics |
//! | `context` | what the routes need; a reload puts another in its place |
//! | `looks` | how often a payer who waits has the chain looked at |
//! | `auth` | keys, scopes, accounts |
//! | `input` | bodies and parameters, every mistake named (I14) |
//! | `fields` | what several resources' requests and answers have in common |
//! | `page` | lists |
//! | `problem` | every error as a problem document |
//! | `openapi` | the document, and the Swagger UI |

mod auth;
mod context;
mod deliveries;
mod endpoints;
mod events;
mod fields;
mod health;
mod input;
mod intents;
mod looks;
mod networks;
mod openapi;
mod orphans;
mod page;
mod problem;
mod scanner;
mod status;
mod status_problem;
mod thresholds;
mod wallets;

use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tracing::Instrument as _;

pub use context::{Context, Live};
pub use input::MAX_BODY_BYTES;
pub use looks::Looks;
pub use openapi::document as openapi;
pub use problem::{FieldError, Problem};
pub use status_problem::StatusProblem;

/// Above the slowest route's own deadline.
const DEADLINE: Duration = Duration::from_secs(30);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 128;

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
