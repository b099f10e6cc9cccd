//! Changing an intent that nobody paid yet: other rails, another expiry, other metadata.

use axum::Json;
use axum::extract::{FromRef, State};
use confirmd_chain::{Confirmations, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::{IntentAnswer, show};
use super::rails::{CreateRail, ReadRail, address_rails, partly_seen, read_rails};
use super::request::{MAX_METADATA_BYTES, PAST, TRIES, read_expiry};
use crate::api::auth::{Caller, Writer};
use crate::api::context::{Context, Live};
use crate::api::fields::{AccountQuery, Note};
use crate::api::input::{Body, Errors, Field, Parameters, Path};
use crate::api::problem::Problem;
use crate::settlement::{self, Intent, IntentKey, Patch, PatchError, Rail};
use crate::store::{CreateError, Repoint, StoreError};

/// What is to be otherwise about an intent, as a JSON merge patch (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
pub(super) struct ChangeIntent {
    /// All the rails. One that is as before stays; the others are replaced: they take only what is
    /// timed before, and what comes later is an orphan that names the intent.
    #[schema(min_items = 1, max_items = 16)]
    rails: Option<Vec<CreateRail>>,
    /// Until when a payment is in time: in the future, at most a year.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Merged into the metadata; a field of `null` goes.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// A patch with everything in it known and canonical.
#[derive(Clone)]
struct Request {
    rails: Option<Vec<Rail>>,
    expires_at: Option<Timestamp>,
    metadata: Option<Value>,
    /// What is worth knowing of the rails.
    notes: Vec<Note>,
}

/// Change an intent
///
/// A JSON merge patch of `rails` (whole), `expires_at` and `metadata`. 409 `money-seen` once any
/// transfer was seen, 409 `closed` once it is over; 409 `address-in-use` as at creation. May be
/// repeated. The request that created the intent goes on answering 200 with it as it is now.
/// Scope: `write`.
#[utoipa::path(patch, path = "/v1/intents/{id}", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery),
    request_body = ChangeIntent,
    responses((status = 200, body = IntentAnswer)))]
pub(super) async fn patch(
    State(live): State<Live>,
    Writer(caller): Writer,
    Path(id): Path<String>,
    mut parameters: Parameters,
    Body(body): Body,
) -> Result<Json<IntentAnswer>, Problem> {
    let store = Context::from_ref(&live).store;
    let key = caller.intent_key(&id, &mut parameters, &store).await?;
    parameters.end()?;
    let mut tries = 0;
    loop {
        tries += 1;
        let context = Context::from_ref(&live).current().await?;
        match attempt(&key, &body, &caller, &context).await {
            Ok(notes) => {
                let answer = show(&key, &context).await?;
                return Ok(Json(IntentAnswer { notes, ..answer }));
            }
            Err(Failure::Problem(problem)) => return Err(problem),
            Err(Failure::Store(CreateError::Outdated)) => {}
            Err(Failure::Store(CreateError::Store(error)))
                if tries < TRIES && error.is_collision() => {}
            Err(Failure::Store(CreateError::Store(error))) => return Err(error.into()),
            Err(Failure::Store(CreateError::AddressInUse(rail))) => {
                return Err(Problem::AddressInUse { rail });
            }
            Err(Failure::Store(_)) => return Err(Problem::Internal),
        }
    }
}

async fn attempt(
    key: &IntentKey,
    body: &Value,
    caller: &Caller,
    context: &Context,
) -> Result<Vec<Note>, Failure> {
    let found = context.store.intent(key).await.map_err(Problem::from)?;
    let (intent, _) = found.ok_or(Problem::NotFound("intent"))?;
    let mut errors = Errors::default();
    let draft = Request::read(body, intent.confirmations, context, &mut errors);
    let (request, rails) = errors.finish(draft)?;
    let rails = match rails {
        None => None,
        Some(rails) => Some(address_rails(key, rails, context).await?),
    };
    let request = Request { rails, ..request };
    write(key, &request, caller, context).await?;
    Ok(request.notes)
}

impl Request {
    /// Reads all but the rails' addresses, which wallets are still to give.
    fn read(
        body: &Value,
        wish: Option<Confirmations>,
        context: &Context,
        errors: &mut Errors,
    ) -> Option<(Self, Option<Vec<ReadRail>>)> {
        let mut object = Field::root(body).object(errors)?;
        let is_null = |name| body.get(name).is_some_and(Value::is_null);
        for name in ["rails", "expires_at"] {
            if is_null(name) {
                errors.add(&format!("/{name}"), "cannot be taken away");
            }
        }
        let rails = object.optional("rails");
        let rails = rails.map(|field| read_rails(&field, wish, context, errors));
        let expires_at = object.optional("expires_at");
        let expires_at = expires_at.map(|field| read_expiry(&field, context, errors));
        let metadata = object.optional("metadata").map(|field| {
            let merged = field.expect(field.value.as_object(), "an object", errors);
            merged.cloned().map(Value::Object)
        });
        object.end(errors);
        let rails = given(rails)?;
        let request = Self {
            rails: None,
            notes: partly_seen(rails.as_deref().unwrap_or_default(), context),
            expires_at: given(expires_at)?,
            metadata: if is_null("metadata") { Some(Value::Null) } else { given(metadata)? },
        };
        Some((request, rails))
    }

    /// What it asks of the intent as it is now.
    fn patch(&self, intent: &Intent, now: Timestamp) -> Result<Patch, Problem> {
        let is_past = |time: &Timestamp| *time != intent.expires_at && *time <= now;
        if self.expires_at.as_ref().is_some_and(is_past) {
            return Err(Problem::invalid("/expires_at", PAST));
        }
        let metadata = self.metadata.as_ref().map(|patch| match patch {
            Value::Null => Value::Object(Map::new()),
            patch => merge(intent.metadata.clone(), patch),
        });
        if metadata.as_ref().is_some_and(|merged| merged.to_string().len() > MAX_METADATA_BYTES) {
            let detail = format!("has more than {MAX_METADATA_BYTES} bytes once merged");
            return Err(Problem::invalid("/metadata", detail));
        }
        Ok(Patch { rails: self.rails.clone(), expires_at: self.expires_at, metadata })
    }
}

/// A field that may be missing, but must be right where it is given.
fn given<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// RFC 7396: objects merge field by field, `null` takes a field away, all else replaces.
fn merge(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut merged = match target {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for (name, value) in patch {
        let before = merged.remove(name).unwrap_or(Value::Null);
        if !value.is_null() {
            merged.insert(name.clone(), merge(before, value));
        }
    }
    Value::Object(merged)
}

enum Failure {
    Problem(Problem),
    Store(CreateError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        Self::Store(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// The change, its watches and its line in the history, in one transaction.
async fn write(
    key: &IntentKey,
    request: &Request,
    caller: &Caller,
    context: &Context,
) -> Result<(), Failure> {
    let now = context.clock.now();
    let asked = request.rails.as_deref().unwrap_or_default();
    let mut transaction = context.store.begin().await?;
    let versions = transaction.raise_watch_versions(asked.iter()).await?;
    let found = transaction.lock_intent(&key.to_string()).await?;
    let (before, credits) = found.ok_or(Problem::NotFound("intent"))?;
    if context.is_outdated(&transaction.thresholds().await?) {
        return Err(CreateError::Outdated.into());
    }
    let had = before.rails.len();
    let patch = request.patch(&before, now)?;
    let Some(intent) = settlement::patch(before, &credits, patch, now).map_err(refused)? else {
        return Ok(());
    };
    let look_back = context.settings.config.defaults.look_back;
    let look_back = i64::try_from(look_back.as_millis()).unwrap_or(i64::MAX);
    let added = (had..intent.rails.len()).filter_map(|place| {
        let rail = &intent.rails[place];
        Some((place, context.chains.get(&rail.network)?.watch_key(&rail.address)))
    });
    let change = Repoint {
        intent: &intent,
        added: added.collect(),
        versions: &versions,
        look_back_from: now.plus_ms(-look_back),
    };
    transaction.repoint(&change).await.map_err(|error| match error {
        CreateError::AddressInUse(place) => {
            let asked = asked.iter().position(|rail| rail.asks_like(&intent.rails[place]));
            CreateError::AddressInUse(asked.unwrap_or(place))
        }
        other => other,
    })?;
    let (what, data) = told(request, &intent, had);
    let (key, actor) = (key.to_string(), caller.actor(None));
    transaction.record_timeline(&key, "intent.changed", &what, &actor, &data, now).await?;
    transaction.commit().await?;
    versions.keys().for_each(|network| context.wake(network));
    Ok(())
}

fn refused(error: PatchError) -> Problem {
    match error {
        PatchError::MoneySeen => Problem::MoneySeen,
        PatchError::Closed => Problem::Closed,
        PatchError::TooManyRails => Problem::invalid("/rails", error.to_string()),
    }
}

/// A line of the intent's history, and its data.
fn told(request: &Request, intent: &Intent, had: usize) -> (String, String) {
    let parts = [
        (request.rails.is_some(), "rails"),
        (request.expires_at.is_some(), "expiry"),
        (request.metadata.is_some(), "metadata"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(asked, _)| *asked).map(|(_, name)| *name).collect();
    let added: Vec<_> = intent.rails[had..].iter().map(|rail| &rail.rail_id).collect();
    let data = serde_json::json!({ "changed": parts, "added": added });
    (format!("Changed: {}", parts.join(", ")), data.to_string())
}
