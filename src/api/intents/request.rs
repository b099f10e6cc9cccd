//! What a backend may ask for: every field checked against the registry, every mistake named.

use std::collections::BTreeSet;

use confirmd_chain::{Confirmations, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::rails::{CreateRail, ReadRail, address_rails, clamped, partly_seen, read_rails};
use crate::api::context::Context;
use crate::api::fields::{Note, read_confirmations, read_endpoints, read_id};
use crate::api::input::{Errors, Field, Object, parse_time};
use crate::api::problem::Problem;
use crate::config::check_url;
use crate::settlement::{IntentKey, Matching, Rail, Tolerance};

pub(super) const MAX_METADATA_BYTES: usize = 4 * 1024;
/// Together with sixteen rails and the metadata it must fit a webhook's body.
const MAX_DIALECT_DATA_BYTES: usize = 2 * 1024;
pub(super) const PAST: &str = "is in the past";
const YEAR_MS: i64 = 365 * 86_400_000;
/// Two requests that make the same intent at once meet in the database; the loser looks again.
pub(super) const TRIES: u32 = 3;

/// An expected payment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
pub(super) struct CreateIntent {
    /// The backend's own id: 1 to 128 characters of `A-Za-z0-9._:-`, of which the first are not
    /// `orp_` or `dep_`. Asking again with the same body answers the same intent.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$", examples("order-1234"))]
    id: String,
    /// The ways to pay it. They never add up: the first to be complete settles the intent.
    #[schema(min_items = 1, max_items = 16)]
    rails: Vec<CreateRail>,
    /// Until when a payment is in time: in the future, at most a year. By default some hours from
    /// now, as configured.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// How deep a payment must be. Raised to the network's floor where it is below; `notes` says
    /// so. By default the asset's or network's threshold.
    #[schema(minimum = 1, maximum = 10_000)]
    confirmations: Option<u32>,
    /// The share of the amount that may be missing, `0` to `0.1`.
    #[schema(examples("0.001"))]
    tolerance: Option<String>,
    /// The configured endpoints that get its events.
    #[schema(max_items = 16)]
    endpoints: Option<Vec<String>>,
    /// Any object of up to 4 KiB, returned as given.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// What a dialect's body needs and the chain cannot know; up to 2 KiB.
    #[schema(value_type = Option<Object>)]
    dialect_data: Option<Value>,
}

/// A request whose rails are as they were asked for: wallets are still to give their addresses.
pub(super) struct Draft {
    request: Request,
    rails: Vec<ReadRail>,
}

/// A request with everything in it known and canonical.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) rails: Vec<Rail>,
    /// As asked for; none where the default applies.
    pub(super) expires_at: Option<Timestamp>,
    /// As asked for.
    wish: Option<Confirmations>,
    /// As asked for, but not below the lowest floor of its networks.
    pub(super) confirmations: Option<Confirmations>,
    /// As asked for; none where the default applies.
    pub(super) tolerance: Option<Tolerance>,
    /// As asked for; none where the default applies.
    pub(super) endpoints: Option<Vec<String>>,
    pub(super) metadata: Value,
    pub(super) dialect_data: Value,
    /// What was taken otherwise than asked for.
    pub(super) notes: Vec<Note>,
}

impl Draft {
    /// The request with its addresses.
    pub(super) async fn addressed(
        self,
        account: &str,
        context: &Context,
    ) -> Result<Request, Problem> {
        let key = IntentKey { account: account.to_owned(), id: self.request.id.clone() };
        let rails = address_rails(&key, self.rails, context).await?;
        Ok(Request { rails, ..self.request })
    }

    /// Reads a body; what is wrong with it is in `errors`, all of it.
    pub(super) fn read(body: &Value, context: &Context, errors: &mut Errors) -> Option<Self> {
        let mut object = Field::root(body).object(errors)?;
        let id = read_intent_id(&mut object, errors);
        let wish = object.optional("confirmations");
        let wish = wish.and_then(|field| read_confirmations(&field, errors));
        let rails = object.required("rails", "1 to 16 ways to pay", errors);
        let rails = rails.and_then(|field| read_rails(&field, wish, context, errors));
        let expires_at = object.optional("expires_at");
        let expires_at = expires_at.and_then(|field| read_expiry(&field, context, errors));
        let tolerance = object.optional("tolerance");
        let tolerance = tolerance.and_then(|field| read_tolerance(&field, errors));
        let endpoints = object.optional("endpoints");
        let endpoints = endpoints.and_then(|field| read_endpoints(&field, context, errors));
        let metadata = read_data(&mut object, "metadata", MAX_METADATA_BYTES, errors);
        let dialect_data = read_data(&mut object, "dialect_data", MAX_DIALECT_DATA_BYTES, errors);
        refuse_callback(&mut object, errors);
        object.end(errors);
        if !errors.is_empty() && expires_at.is_some_and(|time| time <= context.clock.now()) {
            errors.add("/expires_at", PAST);
        }
        let rails = rails?;
        if tolerance.is_some_and(|tolerance| tolerance != Tolerance::default())
            && let Some(exact) = rails.iter().position(ReadRail::is_exact)
        {
            errors.add("/tolerance", format!("rail {exact} is told by its exact amount"));
        }
        let notes = [clamped(wish, &rails), partly_seen(&rails, context)].concat();
        let lowest_floor = rails.iter().map(|read| read.floor).min()?;
        let request = Request {
            id: id?,
            wish,
            confirmations: wish.map(|wish| wish.max(lowest_floor)),
            rails: Vec::new(),
            expires_at,
            tolerance,
            endpoints,
            metadata,
            dialect_data,
            notes,
        };
        Some(Self { request, rails })
    }
}

impl Request {
    /// SHA-256 over the request as it is understood, so that two ways to write one request are
    /// one. What is left out counts as left out, not as what the default was at the time.
    pub(super) fn hash(&self) -> String {
        let rail = |rail: &Rail| {
            serde_json::json!([
                rail.network,
                rail.asset.to_string(),
                rail.amount,
                rail.address,
                rail.policy,
                rail.matching.carried(),
                rail.matching == Matching::ExactAmount,
            ])
        };
        let endpoints = self.endpoints.as_ref().map(|names| names.iter().collect::<BTreeSet<_>>());
        let normalised = serde_json::json!([
            self.id,
            self.rails.iter().map(rail).collect::<Vec<_>>(),
            self.expires_at,
            self.wish,
            self.tolerance.map(|tolerance| tolerance.to_string()),
            endpoints,
            sorted(&self.metadata),
            sorted(&self.dialect_data),
        ]);
        hex::encode(Sha256::digest(normalised.to_string()))
    }
}

/// With what the ids of orphans and of deposits begin. An account's events are numbered by what
/// they are about: an intent of such an id could take the numbers of another thing's events.
const IDS_OF_OTHERS: [&str; 2] = ["orp_", "dep_"];

fn read_intent_id(object: &mut Object<'_>, errors: &mut Errors) -> Option<String> {
    let id = read_id(object, errors)?;
    let taken = IDS_OF_OTHERS.into_iter().find(|prefix| id.starts_with(*prefix));
    if let Some(prefix) = taken {
        errors
            .add("/id", format!("begins with `{prefix}`, as do only the ids that confirmd gives"));
    }
    taken.is_none().then_some(id)
}

/// A value as text in which the order of an object's fields means nothing.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let field = |(name, value): (&String, &Value)| {
                format!("{}:{}", Value::from(name.as_str()), sorted(value))
            };
            format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

/// A time that is over by now is no mistake of its own yet: a request that is repeated later is
/// still the same request.
pub(super) fn read_expiry(
    field: &Field<'_>,
    context: &Context,
    errors: &mut Errors,
) -> Option<Timestamp> {
    let text = field.string(errors)?;
    let Some(time) = parse_time(text) else {
        errors.add(&field.pointer, "expected a time such as 2026-12-01T12:00:00.000Z (RFC 3339)");
        return None;
    };
    if time > context.clock.now().plus_ms(YEAR_MS) {
        errors.add(&field.pointer, "is more than a year from now");
    }
    Some(time)
}

fn read_tolerance(field: &Field<'_>, errors: &mut Errors) -> Option<Tolerance> {
    let text = field.string(errors)?;
    text.parse().map_err(|error| errors.add(&field.pointer, format!("{error}"))).ok()
}

fn read_data(
    object: &mut Object<'_>,
    name: &'static str,
    most_bytes: usize,
    errors: &mut Errors,
) -> Value {
    let empty = Value::Object(serde_json::Map::new());
    let Some(field) = object.optional(name) else { return empty };
    if field.expect(field.value.as_object(), "an object", errors).is_some()
        && field.value.to_string().len() > most_bytes
    {
        errors.add(&field.pointer, format!("has more than {most_bytes} bytes"));
    }
    field.value.clone()
}

/// Callbacks come with the unsigned dialects; a URL that they would never be sent to is refused
/// as such already.
fn refuse_callback(object: &mut Object<'_>, errors: &mut Errors) {
    let Some(field) = object.optional("callback") else { return };
    let url = field.value.get("url").and_then(Value::as_str);
    if let Some(Err(refusal)) = url.map(|url| check_url(url, false)) {
        errors.add(&format!("{}/url", field.pointer), refusal.to_string());
    }
    let instead = "name configured `endpoints` instead";
    errors.add(&field.pointer, format!("this version does not take it yet; {instead}"));
}
