//! Endpoints: where events go, and whether they arrive.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Admin, Reader, Writer};
use super::context::{Context, Live};
use super::fields::ActorBody;
use super::input::{Errors, Field, OptionalBody, Parameters, Path, read_actor};
use super::page::{Page, Paging};
use super::problem::Problem;
use crate::config::Endpoint;
use crate::settlement::{EventKind, rfc3339};
use crate::store::EndpointCounts;

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(resume))
        .routes(routes!(test))
}

/// Whether an endpoint is called.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndpointState {
    /// It is called.
    Active,
    /// It asked not to be called (410); its deliveries are held until an admin resumes it.
    Paused,
}

impl EndpointState {
    pub(super) const fn of(counts: &EndpointCounts) -> Self {
        if counts.paused.is_some() { Self::Paused } else { Self::Active }
    }
}

/// Where events go. Secrets go in and never come out.
#[derive(Debug, Serialize, ToSchema)]
struct EndpointAnswer {
    /// Its name.
    name: String,
    /// Scheme, host and port of its URL. The rest may hold a token and is not shown.
    origin: String,
    /// The form of what is posted.
    dialect: &'static str,
    /// How many secrets it has: several while they are rotated.
    secrets: usize,
    /// The types of events that it asks for; null for all that are on by default.
    events: Option<Vec<EventKind>>,
    /// Whether it may stand at a private address.
    allow_private: bool,
    /// Whether it is called.
    state: EndpointState,
    /// Since when it is paused.
    paused_since: Option<String>,
    /// What it answered then.
    paused_reason: Option<String>,
    /// How many deliveries wait.
    waiting: u64,
    /// How many are under way.
    in_flight: u64,
    /// How many were given up.
    dead: u64,
}

fn show(name: &str, endpoint: &Endpoint, counts: &EndpointCounts) -> EndpointAnswer {
    let (since, reason) = counts.paused.clone().unzip();
    EndpointAnswer {
        name: name.to_owned(),
        origin: endpoint.url.origin().ascii_serialization(),
        dialect: endpoint.dialect.as_str(),
        secrets: endpoint.secrets.len(),
        events: endpoint.events.clone(),
        allow_private: endpoint.allow_private,
        state: EndpointState::of(counts),
        paused_since: since.map(rfc3339),
        paused_reason: reason,
        waiting: counts.waiting,
        in_flight: counts.in_flight,
        dead: counts.dead,
    }
}

/// List endpoints
///
/// By name. Scope: `read`.
#[utoipa::path(get, path = "/v1/endpoints", tag = "endpoints", params(Paging),
    responses((status = 200, body = Page<EndpointAnswer>)))]
async fn list(
    State(context): State<Context>,
    _: Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<EndpointAnswer>>, Problem> {
    let paging = Paging::read(&mut parameters);
    parameters.end()?;
    let counts = context.store.delivery_counts().await?;
    let names = context.endpoints.names();
    let endpoints = names.iter().filter_map(|name| find(name, &counts, &context));
    Ok(Json(paging.of_all(endpoints, |endpoint| &endpoint.name)))
}

fn find(
    name: &str,
    counts: &BTreeMap<String, EndpointCounts>,
    context: &Context,
) -> Option<EndpointAnswer> {
    let endpoint = context.endpoints.get(name)?;
    let none = EndpointCounts::default();
    Some(show(name, &endpoint, counts.get(name).unwrap_or(&none)))
}

async fn look_up(name: &str, context: &Context) -> Result<EndpointAnswer, Problem> {
    let counts = context.store.delivery_counts().await?;
    find(name, &counts, context).ok_or(Problem::NotFound("endpoint"))
}

/// Look at an endpoint
///
/// Scope: `read`.
#[utoipa::path(get, path = "/v1/endpoints/{name}", tag = "endpoints",
    params(("name" = String, Path, description = "The endpoint's name")),
    responses((status = 200, body = EndpointAnswer)))]
async fn get(
    State(context): State<Context>,
    _: Reader,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Json<EndpointAnswer>, Problem> {
    parameters.end()?;
    look_up(&name, &context).await.map(Json)
}

/// Call a paused endpoint again
///
/// Its held deliveries are sent. May be repeated. Scope: `admin`.
#[utoipa::path(post, path = "/v1/endpoints/{name}/resume", tag = "endpoints",
    params(("name" = String, Path, description = "The endpoint's name")),
    request_body(content = Option<ActorBody>),
    responses((status = 200, body = EndpointAnswer)))]
async fn resume(
    State(context): State<Context>,
    Admin(caller): Admin,
    Path(name): Path<String>,
    parameters: Parameters,
    OptionalBody(body): OptionalBody,
) -> Result<Json<EndpointAnswer>, Problem> {
    parameters.end()?;
    let actor = caller.actor(read_actor(&body)?);
    look_up(&name, &context).await?;
    if context.store.resume_endpoint(&name).await? {
        tracing::info!(endpoint = name, actor = actor.name, "an endpoint was resumed");
        context.courier.wake();
    }
    look_up(&name, &context).await.map(Json)
}

/// What to try an endpoint with.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
struct TestBody {
    /// The type that the event says; by default `test`.
    event_type: Option<EventKind>,
}

/// How an endpoint took a test.
#[derive(Debug, Serialize, ToSchema)]
struct TestAnswer {
    /// The answer's status code; null where none came.
    status_code: Option<u16>,
    /// How long it took, in milliseconds.
    latency_ms: u64,
    /// The first 4 KiB of the answer.
    body: Option<String>,
    /// Why it failed, if it did.
    error: Option<String>,
}

/// Try an endpoint out
///
/// Posts one event, signed as any other, without a retry. It is not in the log. Scope: `write`.
#[utoipa::path(post, path = "/v1/endpoints/{name}/test", tag = "endpoints",
    params(("name" = String, Path, description = "The endpoint's name")),
    request_body(content = Option<TestBody>),
    responses((status = 200, body = TestAnswer)))]
async fn test(
    State(context): State<Context>,
    _: Writer,
    Path(name): Path<String>,
    parameters: Parameters,
    OptionalBody(body): OptionalBody,
) -> Result<Json<TestAnswer>, Problem> {
    parameters.end()?;
    let kind = read_test(&body)?;
    let endpoint = context.endpoints.get(&name).ok_or(Problem::NotFound("endpoint"))?;
    let attempt = context.trials.run(&endpoint, kind).await;
    let attempt = attempt.map_err(|error| Problem::invalid("/event_type", error.to_string()))?;
    Ok(Json(TestAnswer {
        status_code: attempt.status_code,
        latency_ms: attempt.latency_ms,
        body: attempt.answer,
        error: attempt.error,
    }))
}

fn read_test(body: &Value) -> Result<EventKind, Problem> {
    let mut errors = Errors::default();
    let kind = Field::root(body).object(&mut errors).and_then(|mut object| {
        let kind = match object.optional("event_type") {
            None => Some(EventKind::Test),
            Some(field) => field.string(&mut errors).and_then(|text| {
                let kind = EventKind::ALL.into_iter().find(|kind| kind.as_str() == text);
                if kind.is_none() {
                    errors.add(&field.pointer, "expected a type of event, such as `test`");
                }
                kind
            }),
        };
        object.end(&mut errors);
        kind
    });
    errors.finish(kind)
}
