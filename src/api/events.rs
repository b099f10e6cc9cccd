//! The durable log of events.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Reader;
use super::context::{Context, Live};
use super::input::Parameters;
use super::page::{Page, Paging};
use super::problem::Problem;
use crate::settlement::{EventKind, rfc3339};
use crate::store::{LoggedEvent, StoreError};

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An event: the body of its webhook in the dialect `standard`, and its place in the log.
#[derive(Debug, Serialize, ToSchema)]
struct EventAnswer {
    /// Its position in the log: it only rises.
    position: i64,
    /// When it was recorded.
    created_at: String,
    /// The intent that it belongs to.
    intent: Option<String>,
    #[serde(flatten)]
    body: EventBody,
}

/// An event as its webhook says it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct EventBody {
    /// Its stable id.
    id: String,
    /// What happened.
    r#type: String,
    /// The time of its cause: block time, else the request's or the expiry's.
    timestamp: String,
    /// Its number among the events of the same thing: `payment.*` are counted by `data.intent.id`,
    /// `orphan.*` by `data.orphan.id`, `deposit.*` by `data.deposit.id`. The highest is the truth.
    sequence: u32,
    /// The whole state after it.
    #[schema(value_type = crate::settlement::EventData)]
    data: serde_json::Value,
}

/// Which events.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
struct EventQuery {
    /// Those after this one: an event's id or its position.
    after: Option<String>,
    /// Those of this type.
    r#type: Option<EventKind>,
    /// Those of this intent.
    intent: Option<String>,
    /// The account; an admin who names none sees every one's.
    account: Option<String>,
}

/// List events
///
/// Oldest first. Kept for 30 days, unless configured otherwise. Scope: `read`.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventQuery, Paging),
    responses((status = 200, body = Page<EventAnswer>)))]
async fn list(
    State(context): State<Context>,
    Reader(caller): Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<EventAnswer>>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    let kind = parameters.parsed("type", "a type of event, such as payment.confirmed", |text| {
        EventKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    });
    let kind = kind.map(EventKind::as_str);
    let intent = parameters.text("intent");
    let after = parameters.text("after");
    let paging = Paging::read(&mut parameters);
    let cursor = paging.position(&mut parameters);
    let (account, intent) = (account.as_deref(), intent.as_deref());
    let after = match after {
        None => 0,
        Some(after) => match position(account, &after, &context).await? {
            Some(position) => position,
            None => {
                parameters.errors.add("?after", "expected the id or the position of an event");
                0
            }
        },
    };
    parameters.end()?;
    let from = cursor.unwrap_or(after);
    let events = context.store.events(account, from, kind, intent, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(context.store.count_events(account, kind, intent).await?),
        false => None,
    };
    let events = events.into_iter().map(show).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(paging.page(events, total, |event| event.position.to_string(), |event| event)))
}

async fn position(
    account: Option<&str>,
    after: &str,
    context: &Context,
) -> Result<Option<i64>, Problem> {
    match after.parse() {
        Ok(position) => Ok(Some(position)),
        Err(_) => Ok(context.store.event_position(account, after).await?),
    }
}

fn show(event: LoggedEvent) -> Result<EventAnswer, StoreError> {
    let body = serde_json::from_str(&event.body)
        .map_err(|error| StoreError::Corrupt(format!("event: {error}")))?;
    Ok(EventAnswer {
        position: event.position,
        created_at: rfc3339(event.created_at),
        intent: event.intent,
        body,
    })
}
