//! Intents: create, list, look at, change, cancel, verify, and send their webhooks again.

mod answer;
mod check;
mod create;
mod explain;
mod patch;
mod qr;
mod rails;
mod request;
mod verify;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Reader, Writer};
use super::context::{Context, Live};
use super::fields::{AccountQuery, ActorAnswer, ActorBody};
use super::input::{OptionalBody, Parameters, Path, parse_time, read_actor};
use super::page::{Page, Paging, time_cursor};
use super::problem::Problem;
use crate::settlement::{self, IntentKey, NetworkId, Status, rfc3339};
use crate::store::{Actor, IntentFilter, Recording, Retry, StoreError};

use answer::{IntentAnswer, answer, show};

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list))
        .routes(routes!(get, patch::patch))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(timeline))
        .routes(routes!(qr::qr))
        .routes(routes!(explain::explain))
        .routes(routes!(check::check))
        .routes(routes!(verify::verify))
}

/// Which intents.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
struct IntentQuery {
    /// Where they stand.
    status: Option<Status>,
    /// A network on which they can be paid: its registry id, CAIP-2 id or EVM chain id.
    network: Option<String>,
    /// An address at which they can be paid.
    address: Option<String>,
    /// An endpoint that gets their events.
    endpoint: Option<String>,
    /// Created at this time or later (RFC 3339).
    created_from: Option<String>,
    /// Created before this time (RFC 3339).
    created_to: Option<String>,
    /// The account; an admin who names none sees every one's.
    account: Option<String>,
}

/// List intents
///
/// Newest first. Scope: `read`.
#[utoipa::path(get, path = "/v1/intents", tag = "intents", params(IntentQuery, Paging),
    responses((status = 200, body = Page<IntentAnswer>)))]
async fn list(
    State(context): State<Context>,
    Reader(caller): Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<IntentAnswer>>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    let filter = IntentFilter { account, ..read_filter(&mut parameters, &context) };
    let paging = Paging::read(&mut parameters);
    let after = paging.after(&mut parameters);
    parameters.end()?;
    let after = after.as_ref().map(|(time, key)| (*time, key.as_str()));
    // First the cursors: an intent read after them is never behind them.
    let cursors = context.store.cursors().await?;
    let intents = context.store.intents(&filter, after, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(context.store.count_intents(&filter).await?),
        false => None,
    };
    Ok(Json(paging.page(
        intents,
        total,
        |(intent, _)| time_cursor(intent.created_at, &intent.key.to_string()),
        |(intent, credits)| answer(&intent, &credits, &cursors, &context),
    )))
}

fn read_filter(parameters: &mut Parameters, context: &Context) -> IntentFilter {
    let expected = Status::ALL.map(Status::as_str).join(", ");
    let status =
        parameters.parsed("status", &format!("one of {expected}"), |text| text.parse().ok());
    let network = parameters.parsed("network", "a network that is followed", |name| {
        context.followed(name).map(|followed| NetworkId::from(followed.network.id.as_str()))
    });
    let address =
        parameters.parsed("address", "an address of a network that is followed", |text| {
            let on = network.as_ref().map_or_else(
                || context.chains.values().collect::<Vec<_>>(),
                |id| context.chains.get(id).into_iter().collect(),
            );
            on.iter()
                .find_map(|chain| chain.parse_address(text).ok())
                .map(|found| found.to_string())
        });
    let endpoint = parameters.parsed("endpoint", "the name of an endpoint", |text| {
        context.settings.config.endpoints.contains_key(text).then(|| text.to_owned())
    });
    let created_from = parameters.parsed("created_from", "a time (RFC 3339)", parse_time);
    let created_to = parameters.parsed("created_to", "a time (RFC 3339)", parse_time);
    IntentFilter { account: None, status, network, address, endpoint, created_from, created_to }
}

/// Look at an intent
///
/// With its newest 20 transfers. Scope: `read`.
#[utoipa::path(get, path = "/v1/intents/{id}", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery),
    responses((status = 200, body = IntentAnswer)))]
async fn get(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<IntentAnswer>, Problem> {
    let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
    parameters.end()?;
    show(&key, &context).await.map(Json)
}

/// Cancel an intent
///
/// Refused with 409 `money-seen` once any transfer was seen. May be repeated. Scope: `write`.
#[utoipa::path(post, path = "/v1/intents/{id}/cancel", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery),
    request_body(content = Option<ActorBody>),
    responses((status = 200, body = IntentAnswer)))]
async fn cancel(
    State(context): State<Context>,
    Writer(caller): Writer,
    Path(id): Path<String>,
    mut parameters: Parameters,
    OptionalBody(body): OptionalBody,
) -> Result<Json<IntentAnswer>, Problem> {
    let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
    parameters.end()?;
    let actor = caller.actor(read_actor(&body)?);
    let now = context.clock.now();
    let mut transaction = context.store.begin().await?;
    let found = transaction.lock_intent(&key.to_string()).await?;
    let (intent, credits) = found.ok_or(Problem::NotFound("intent"))?;
    let cursors = transaction.cursors().await?;
    if credits.is_empty() && intent.state.status == Status::Expired {
        return Err(Problem::Closed);
    }
    let outcome = settlement::cancel(intent, credits, &cursors, now);
    let outcome = outcome.map_err(|_| Problem::MoneySeen)?;
    if !outcome.events.is_empty() {
        let recording = Recording {
            cursors: &cursors,
            route: &|intent, event| context.endpoints.route(intent, event),
            actor: &actor,
            late_window: context.settings.config.defaults.late_window,
            now,
        };
        transaction.record_outcome(&outcome, &recording).await?;
        transaction.commit().await?;
        context.courier.wake();
    }
    Ok(Json(answer(&outcome.intent, &outcome.credits, &cursors, &context)))
}

/// What a retry did.
#[derive(Debug, Serialize, ToSchema)]
struct RetryAnswer {
    /// How many deliveries are due again.
    retried: u64,
}

/// Send an intent's webhooks again
///
/// Makes its dead and waiting deliveries due now; 400 `nothing-to-retry` where there is none.
/// Scope: `write`.
#[utoipa::path(post, path = "/v1/intents/{id}/retry", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery),
    request_body(content = Option<ActorBody>),
    responses((status = 200, body = RetryAnswer)))]
async fn retry(
    State(context): State<Context>,
    Writer(caller): Writer,
    Path(id): Path<String>,
    mut parameters: Parameters,
    OptionalBody(body): OptionalBody,
) -> Result<Json<RetryAnswer>, Problem> {
    let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
    parameters.end()?;
    let actor = caller.actor(read_actor(&body)?);
    match retry_intent(&key, &actor, &context).await? {
        0 => Err(Problem::NothingToRetry),
        retried => Ok(Json(RetryAnswer { retried })),
    }
}

/// Makes an intent's deliveries due again, notes it in its history, and says how many.
pub(super) async fn retry_intent(
    key: &IntentKey,
    actor: &Actor,
    context: &Context,
) -> Result<u64, Problem> {
    if context.store.intent(key).await?.is_none() {
        return Err(Problem::NotFound("intent"));
    }
    let now = context.clock.now();
    let which = Retry::Intent { account: &key.account, id: &key.id };
    let retried = context.store.retry_deliveries(which, now).await?;
    if retried > 0 {
        let message = format!("{retried} webhooks are sent again");
        let data = serde_json::json!({ "retried": retried }).to_string();
        let (key, kind) = (key.to_string(), "webhooks.retried");
        let mut transaction = context.store.begin().await?;
        transaction.record_timeline(&key, kind, &message, actor, &data, now).await?;
        transaction.commit().await?;
        context.courier.wake();
    }
    Ok(retried)
}

/// A line of an intent's history.
#[derive(Debug, Serialize, ToSchema)]
struct TimelineAnswer {
    /// Its id.
    id: String,
    /// The event's type, or the command's name.
    r#type: String,
    /// What happened, in words.
    message: String,
    /// Who caused it.
    actor: ActorAnswer,
    /// When.
    created_at: String,
    /// More, such as the event's id.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// Look at an intent's history
///
/// Newest first. Scope: `read`.
#[utoipa::path(get, path = "/v1/intents/{id}/timeline", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery, Paging),
    responses((status = 200, body = Page<TimelineAnswer>)))]
async fn timeline(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Page<TimelineAnswer>>, Problem> {
    let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
    let paging = Paging::read(&mut parameters);
    let after = paging.after(&mut parameters);
    parameters.end()?;
    if context.store.intent(&key).await?.is_none() {
        return Err(Problem::NotFound("intent"));
    }
    let key = key.to_string();
    let after = after.as_ref().map(|(time, id)| (*time, id.as_str()));
    let entries = context.store.timeline(&key, after, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(context.store.count_timeline(&key).await?),
        false => None,
    };
    let mut data = Vec::with_capacity(entries.len());
    for entry in entries {
        let read = serde_json::from_str(&entry.data);
        let read = read.map_err(|error| StoreError::Corrupt(format!("timeline: {error}")))?;
        data.push((
            entry.created_at,
            entry.id.clone(),
            TimelineAnswer {
                id: entry.id,
                r#type: entry.kind,
                message: entry.message,
                actor: entry.actor.into(),
                created_at: rfc3339(entry.created_at),
                data: read,
            },
        ));
    }
    Ok(Json(paging.page(data, total, |(time, id, _)| time_cursor(*time, id), |(.., line)| line)))
}
