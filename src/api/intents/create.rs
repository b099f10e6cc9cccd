//! Creating an intent: once, however often it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use confirmd_chain::{Timestamp, WatchKey};
use serde_json::Value;

use super::answer::{IntentAnswer, answer, show};
use super::request::{CreateIntent, Draft, PAST, Request, TRIES};
use crate::api::auth::{Caller, Writer};
use crate::api::context::{Context, Live};
use crate::api::fields::AccountQuery;
use crate::api::input::{Body, Errors, Parameters};
use crate::api::problem::Problem;
use crate::settlement::{self, Intent, IntentKey, NetworkId, Outcome, Rail, State as IntentState};
use crate::store::{CreateError, NewIntent, Recording};

/// Create an intent
///
/// The same id with the same body answers 200 and the existing intent; with another body 409
/// `id-conflict`. 409 `address-in-use` where another open intent waits for the same asset at the
/// same address; 429 `open-intents-limit` where the key has as many open intents as it may.
/// Scope: `write`.
#[utoipa::path(post, path = "/v1/intents", tag = "intents", params(AccountQuery),
    request_body = CreateIntent,
    responses(
        (status = 201, body = IntentAnswer, description = "Created"),
        (status = 200, body = IntentAnswer, description = "It was there")))]
pub(super) async fn create(
    State(live): State<Live>,
    Writer(caller): Writer,
    mut parameters: Parameters,
    Body(body): Body,
) -> Result<Response, Problem> {
    let account = caller.account(&mut parameters)?;
    parameters.end()?;
    loop {
        let context = Context::from_ref(&live).current().await?;
        if let Some(answer) = attempt(&account, &body, &caller, &context).await? {
            return Ok(answer);
        }
    }
}

/// Creates it by the thresholds and the registry of this context; no answer where an admin changed
/// them meanwhile.
async fn attempt(
    account: &str,
    body: &Value,
    caller: &Caller,
    context: &Context,
) -> Result<Option<Response>, Problem> {
    let mut errors = Errors::default();
    let draft = Draft::read(body, context, &mut errors);
    let request = errors.finish(draft)?.addressed(account, context).await?;
    let key = IntentKey { account: account.to_owned(), id: request.id.clone() };
    let hash = request.hash();
    let made = match known(&key, &hash, context).await? {
        true => Made::Before,
        false => {
            let intent = intent(key.clone(), &request, context)?;
            make(intent, hash, caller, context).await?
        }
    };
    let (status, mut answer) = match made {
        Made::Now(intent) => {
            let cursors = context.store.cursors().await?;
            (StatusCode::CREATED, answer(&intent, &[], &cursors, context))
        }
        Made::Before => (StatusCode::OK, show(&key, context).await?),
        Made::Not => return Ok(None),
    };
    answer.notes = request.notes;
    let location = format!("/v1/intents/{}", key.id);
    Ok(Some((status, [(header::LOCATION, location)], Json(answer)).into_response()))
}

/// Whether an intent was made.
enum Made {
    /// As it stands here.
    Now(Box<Intent>),
    /// The very same request came first.
    Before,
    /// What it was to be made by does not stand any more.
    Not,
}

/// Whether the very same request was made before.
async fn known(key: &IntentKey, hash: &str, context: &Context) -> Result<bool, Problem> {
    match context.store.request_hash(key).await? {
        None => Ok(false),
        Some(before) if before == hash => Ok(true),
        Some(_) => Err(Problem::IdConflict),
    }
}

fn intent(key: IntentKey, request: &Request, context: &Context) -> Result<Intent, Problem> {
    let now = context.clock.now();
    let config = &context.settings.config;
    let endpoints = request.endpoints.clone().unwrap_or_else(|| config.defaults.endpoints.clone());
    Ok(Intent {
        key,
        rails: request.rails.clone(),
        created_at: now,
        expires_at: expiry(request, now, context)?,
        tolerance: request.tolerance.unwrap_or(config.defaults.tolerance),
        confirmations: request.confirmations,
        wants_progress: context.endpoints.wants_progress(&endpoints),
        endpoints,
        metadata: request.metadata.clone(),
        dialect_data: request.dialect_data.clone(),
        state: IntentState::new(now),
    })
}

fn expiry(request: &Request, now: Timestamp, context: &Context) -> Result<Timestamp, Problem> {
    let default = context.settings.config.defaults.expires_in;
    match request.expires_at {
        None => Ok(now.plus_ms(i64::try_from(default.as_millis()).unwrap_or(i64::MAX))),
        Some(time) if time > now => Ok(time),
        Some(_) => Err(Problem::invalid("/expires_at", PAST)),
    }
}

async fn make(
    intent: Intent,
    request_hash: String,
    caller: &Caller,
    context: &Context,
) -> Result<Made, Problem> {
    let defaults = &context.settings.config.defaults;
    let look_back = i64::try_from(defaults.look_back.as_millis()).unwrap_or(i64::MAX);
    let outcome = settlement::created(intent);
    let new = NewIntent {
        look_back_from: outcome.intent.created_at.plus_ms(-look_back),
        intent: outcome.intent.clone(),
        watches: watches(&outcome.intent, context)?,
        api_key: caller.name().to_owned(),
        max_open: caller.max_open_intents(),
        request_hash,
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match write(&new, &outcome, caller, context).await {
            Ok(()) => break,
            Err(CreateError::Store(error)) if tries < TRIES && error.is_collision() => {}
            Err(CreateError::Store(error)) => return Err(error.into()),
            Err(CreateError::Exists) => return Ok(Made::Before),
            Err(CreateError::Outdated) => return Ok(Made::Not),
            Err(CreateError::IdConflict) => return Err(Problem::IdConflict),
            Err(CreateError::AddressInUse(rail)) => return Err(Problem::AddressInUse { rail }),
            Err(CreateError::TooManyOpen(open)) => return Err(Problem::OpenIntentsLimit(open)),
        }
    }
    let networks: BTreeSet<_> = outcome.intent.rails.iter().map(|rail| &rail.network).collect();
    networks.into_iter().for_each(|network| context.wake(network));
    context.courier.wake();
    Ok(Made::Now(Box::new(outcome.intent)))
}

/// What decoders look up for each rail.
fn watches(intent: &Intent, context: &Context) -> Result<Vec<WatchKey>, Problem> {
    let watch = |rail: &Rail| {
        let chain = context.chains.get(&rail.network).ok_or(Problem::Internal)?;
        Ok(chain.watch_key(&rail.address))
    };
    intent.rails.iter().map(watch).collect()
}

/// The intent, its watches and its first event, in one transaction.
async fn write(
    new: &NewIntent,
    outcome: &Outcome,
    caller: &Caller,
    context: &Context,
) -> Result<(), CreateError> {
    let cursors = BTreeMap::<NetworkId, _>::new();
    let recording = Recording {
        cursors: &cursors,
        route: &|intent, event| context.endpoints.route(intent, event),
        actor: &caller.actor(None),
        late_window: context.settings.config.defaults.late_window,
        now: new.intent.created_at,
    };
    let mut transaction = context.store.begin().await?;
    transaction.create_intent(new).await?;
    // Behind the lock that a change of a threshold or of the registry takes as well: it either
    // stands by now, or finds this intent.
    if context.is_outdated(&transaction.thresholds().await?) {
        return Err(CreateError::Outdated);
    }
    transaction.record_outcome(outcome, &recording).await?;
    transaction.commit().await?;
    Ok(())
}
