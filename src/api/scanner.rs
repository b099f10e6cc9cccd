//! What AMN's backend proxies: the status, and sending webhooks again. Names are `camelCase`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Reader, Writer};
use super::context::{Context, Live};
use super::fields::AccountQuery;
use super::input::{Errors, Field, OptionalBody, Parameters};
use super::intents::retry_intent;
use super::problem::Problem;
use super::status::{StatusAnswer, status};
use crate::store::Retry;

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new().routes(routes!(scanner_status)).routes(routes!(retry_webhooks))
}

/// How confirmd is
///
/// Networks, providers, open intents, orphans and webhooks, and under `problems` what somebody
/// should look at. Scope: `read`.
#[utoipa::path(get, path = "/scanner/status", tag = "operations",
    responses((status = 200, body = StatusAnswer)))]
async fn scanner_status(
    State(context): State<Context>,
    _: Reader,
    parameters: Parameters,
) -> Result<Json<StatusAnswer>, Problem> {
    parameters.end()?;
    Ok(Json(status(&context).await?))
}

/// Whose webhooks are sent again.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
struct RetryBody {
    /// The intent; left out for every dead or waiting delivery of the account.
    intent_id: Option<String>,
}

/// What a retry did.
#[derive(Debug, Serialize, ToSchema)]
struct RetryAnswer {
    /// Always true.
    success: bool,
    /// How many deliveries are due again.
    retried: u64,
}

/// Send webhooks again
///
/// Makes the dead and waiting deliveries of one intent, or of the account, due now. Scope:
/// `write`.
#[utoipa::path(post, path = "/scanner/webhooks/retry", tag = "operations", params(AccountQuery),
    request_body(content = Option<RetryBody>),
    responses((status = 200, body = RetryAnswer)))]
async fn retry_webhooks(
    State(context): State<Context>,
    Writer(caller): Writer,
    mut parameters: Parameters,
    OptionalBody(body): OptionalBody,
) -> Result<Json<RetryAnswer>, Problem> {
    let retried = match read(&body)? {
        Some(id) => {
            let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
            parameters.end()?;
            retry_intent(&key, &caller.actor(None), &context).await?
        }
        None => {
            let account = caller.account(&mut parameters)?;
            parameters.end()?;
            let which = Retry::Account(&account);
            let retried = context.store.retry_deliveries(which, context.clock.now()).await?;
            context.courier.wake();
            retried
        }
    };
    Ok(Json(RetryAnswer { success: true, retried }))
}

fn read(body: &Value) -> Result<Option<String>, Problem> {
    let mut errors = Errors::default();
    let id = Field::root(body).object(&mut errors).and_then(|mut object| {
        let id = object.optional("intentId");
        let id = id.and_then(|field| field.string(&mut errors).map(str::to_owned));
        object.end(&mut errors);
        id
    });
    errors.check()?;
    Ok(id)
}
