//! The delivery log: what went to endpoints, and how it went.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Reader, Writer};
use super::context::{Context, Live};
use super::fields::AccountQuery;
use super::input::{Parameters, Path};
use super::page::{Page, Paging};
use super::problem::Problem;
use crate::settlement::rfc3339;
use crate::store::{Delivery, DeliveryFilter, DeliveryState, NumberedAttempt, Retry};

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(retry))
}

/// One event on its way to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryAnswer {
    /// Its id.
    id: String,
    /// The account.
    account: String,
    /// The event's id.
    event: String,
    /// The event's type.
    r#type: String,
    /// What the event is about: an intent's id, or an orphan's.
    subject: String,
    /// The intent that it belongs to.
    intent: Option<String>,
    /// The event's number among those of its subject.
    sequence: u32,
    /// The endpoint's name.
    endpoint: String,
    /// Where it stands.
    state: DeliveryState,
    /// How many attempts were made.
    attempts: u32,
    /// When it is tried next, while it waits.
    next_at: Option<String>,
    /// The status code of the last answer.
    last_status_code: Option<u16>,
    /// Why the last attempt failed.
    last_error: Option<String>,
    /// When the event was recorded.
    created_at: String,
    /// When it was taken or given up.
    finished_at: Option<String>,
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryDetail {
    #[serde(flatten)]
    delivery: DeliveryAnswer,
    /// What is posted, the same at every attempt.
    body: String,
    /// How each attempt went, oldest first.
    attempt_log: Vec<AttemptAnswer>,
}

/// One attempt to deliver.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptAnswer {
    /// Its number, from 1.
    number: u32,
    /// When it began.
    at: String,
    /// The answer's status code, if one came.
    status_code: Option<u16>,
    /// How long it took, in milliseconds.
    latency_ms: u64,
    /// Why it failed, if it did.
    error: Option<String>,
    /// The first 4 KiB of the answer.
    answer: Option<String>,
}

/// Which deliveries.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
struct DeliveryQuery {
    /// Where they stand.
    state: Option<DeliveryState>,
    /// The endpoint's name.
    endpoint: Option<String>,
    /// The intent's id.
    intent: Option<String>,
    /// The event's id.
    event: Option<String>,
    /// The account; an admin who names none sees every one's.
    account: Option<String>,
}

/// List deliveries
///
/// Newest first. Scope: `read`.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", params(DeliveryQuery, Paging),
    responses((status = 200, body = Page<DeliveryAnswer>)))]
async fn list(
    State(context): State<Context>,
    Reader(caller): Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<DeliveryAnswer>>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    let expected = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
    let state = parameters.parsed("state", &format!("one of {expected}"), |text| text.parse().ok());
    let filter = DeliveryFilter {
        account,
        state,
        endpoint: parameters.text("endpoint"),
        intent: parameters.text("intent"),
        event: parameters.text("event"),
    };
    let paging = Paging::read(&mut parameters);
    parameters.end()?;
    let after = paging.cursor.as_deref();
    let deliveries = context.store.deliveries(&filter, after, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(context.store.count_deliveries(&filter).await?),
        false => None,
    };
    Ok(Json(paging.page(deliveries, total, |delivery| delivery.id.clone(), show)))
}

fn show(delivery: Delivery) -> DeliveryAnswer {
    let waits = delivery.state == DeliveryState::Waiting;
    DeliveryAnswer {
        id: delivery.id,
        account: delivery.account,
        event: delivery.event,
        r#type: delivery.kind,
        subject: delivery.subject,
        intent: delivery.intent,
        sequence: delivery.sequence,
        endpoint: delivery.endpoint,
        state: delivery.state,
        attempts: delivery.attempts,
        next_at: waits.then(|| rfc3339(delivery.next_at)),
        last_status_code: delivery.last_status,
        last_error: delivery.last_error,
        created_at: rfc3339(delivery.created_at),
        finished_at: delivery.finished_at.map(rfc3339),
    }
}

/// Look at a delivery
///
/// With its attempts and what is posted. Scope: `read`.
#[utoipa::path(get, path = "/v1/deliveries/{id}", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id"), AccountQuery),
    responses((status = 200, body = DeliveryDetail)))]
async fn get(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<DeliveryDetail>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    parameters.end()?;
    find(&id, account.as_deref(), &context).await.map(Json)
}

/// A delivery that the caller may see.
async fn find(
    id: &str,
    account: Option<&str>,
    context: &Context,
) -> Result<DeliveryDetail, Problem> {
    let found = context.store.delivery(id).await?;
    let found = found.filter(|(delivery, _)| account.is_none_or(|a| a == delivery.account));
    let (mut delivery, attempts) = found.ok_or(Problem::NotFound("delivery"))?;
    let body = std::mem::take(&mut delivery.body);
    let attempt_log = attempts.into_iter().map(attempt).collect();
    Ok(DeliveryDetail { delivery: show(delivery), body, attempt_log })
}

fn attempt((number, attempt): NumberedAttempt) -> AttemptAnswer {
    AttemptAnswer {
        number,
        at: rfc3339(attempt.at),
        status_code: attempt.status_code,
        latency_ms: attempt.latency_ms,
        error: attempt.error,
        answer: attempt.answer,
    }
}

/// Send a delivery again
///
/// In whatever state it is, under the same event id and with the same body; one that is under way
/// is left alone: 400 `nothing-to-retry`. Scope: `write`.
#[utoipa::path(post, path = "/v1/deliveries/{id}/retry", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id"), AccountQuery),
    responses((status = 200, body = DeliveryDetail)))]
async fn retry(
    State(context): State<Context>,
    Writer(caller): Writer,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<DeliveryDetail>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    parameters.end()?;
    find(&id, account.as_deref(), &context).await?;
    let now = context.clock.now();
    if context.store.retry_deliveries(Retry::One(&id), now).await? == 0 {
        return Err(Problem::NothingToRetry);
    }
    context.courier.wake();
    find(&id, account.as_deref(), &context).await.map(Json)
}
