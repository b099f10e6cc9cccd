//! Thresholds: how many confirmations a network's intents need, and who changed that.

use axum::Json;
use axum::extract::State;
use confirmd_chain::Confirmations;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Admin, Reader};
use super::context::{Context, Live};
use super::fields::{ActorAnswer, Note, read_confirmations};
use super::input::{Body, Errors, Field, Parameters, Path};
use super::page::{Page, Paging, time_cursor};
use super::problem::Problem;
use crate::config::{Followed, MAX_CONFIRMATIONS, ThresholdSource};
use crate::settlement::{NetworkId, rfc3339};
use crate::store::ThresholdChange;

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(history)).routes(routes!(change))
}

/// How many confirmations an intent needs on a network unless it says otherwise.
#[derive(Debug, Serialize, ToSchema)]
struct ThresholdAnswer {
    /// The network's id.
    network: String,
    /// Its EVM chain id.
    chain_id: Option<u64>,
    /// The confirmations.
    threshold: u32,
    /// The fewest that anybody may ask for.
    floor: u32,
    /// Where the threshold comes from: `default` (the registry), `config`, or `admin`.
    source: &'static str,
    /// What was taken otherwise than asked for; only when it is changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Note>,
}

fn show(followed: &Followed) -> ThresholdAnswer {
    ThresholdAnswer {
        network: followed.network.id.clone(),
        chain_id: followed.network.chain_id,
        threshold: followed.threshold.0,
        floor: followed.network.floor.0,
        source: match followed.threshold_source {
            ThresholdSource::Default => "default",
            ThresholdSource::Config => "config",
            ThresholdSource::Admin => "admin",
        },
        notes: Vec::new(),
    }
}

/// List thresholds
///
/// Of every network that is followed, by id. Scope: `read`.
#[utoipa::path(get, path = "/v1/thresholds", tag = "thresholds", params(Paging),
    responses((status = 200, body = Page<ThresholdAnswer>)))]
async fn list(
    State(context): State<Context>,
    _: Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<ThresholdAnswer>>, Problem> {
    let paging = Paging::read(&mut parameters);
    parameters.end()?;
    let context = context.current().await?;
    let thresholds = context.settings.networks.iter().map(show);
    Ok(Json(paging.of_all(thresholds, |threshold| &threshold.network)))
}

/// A threshold to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
struct ChangeThreshold {
    /// The confirmations. Raised to the network's floor where it is below; `notes` says so.
    #[schema(minimum = 1, maximum = 10_000)]
    threshold: u32,
    /// The person behind the key, for the history.
    actor: Option<String>,
}

/// Change a threshold
///
/// `{network}` is a registry id, CAIP-2 id or EVM chain id. It holds at once and on every
/// instance, before the configuration's. Open intents without a wish of their own follow within
/// seconds: with a lower threshold they may confirm at once; a higher one never takes a
/// confirmation back. Scope: `admin`.
#[utoipa::path(patch, path = "/v1/thresholds/{network}", tag = "thresholds",
    params(("network" = String, Path, description = "A network that is followed")),
    request_body = ChangeThreshold,
    responses((status = 200, body = ThresholdAnswer)))]
async fn change(
    State(context): State<Context>,
    Admin(caller): Admin,
    Path(network): Path<String>,
    parameters: Parameters,
    Body(body): Body,
) -> Result<Json<ThresholdAnswer>, Problem> {
    parameters.end()?;
    let (asked, actor) = read(&body)?;
    let followed =
        context.followed(&network).ok_or(Problem::NotFound("network that is followed"))?;
    let id = NetworkId::from(followed.network.id.as_str());
    let floor = followed.network.floor;
    let mut transaction = context.store.begin().await?;
    transaction.lock_network(&id).await?;
    let set = transaction.thresholds().await?;
    let settings = context.settings.with_thresholds(&set);
    let before = settings.networks.iter().find(|followed| followed.network.id == id.as_str());
    let before = before.map_or(followed.threshold, |followed| followed.threshold);
    let after = asked.max(floor);
    if after != before {
        let change = ThresholdChange {
            id: format!("thr_{}", ulid::Ulid::new()),
            network: id.clone(),
            before,
            after,
            actor: caller.actor(actor),
            api_key: caller.name().to_owned(),
            changed_at: context.clock.now(),
        };
        transaction.set_threshold(&change).await?;
        transaction.commit().await?;
        tracing::info!(network = %id, %before, %after, actor = change.actor.name, "threshold");
    }
    let context = context.current().await?;
    let followed = context.followed(&network);
    let mut answer = followed.map(show).ok_or(Problem::NotFound("network that is followed"))?;
    if asked < floor {
        let detail = format!("{asked} is below the floor of {id}, so {floor} are required");
        let pointer = "/threshold".to_owned();
        answer.notes.push(Note { code: "below-floor", pointer, detail });
    }
    Ok(Json(answer))
}

fn read(body: &Value) -> Result<(Confirmations, Option<String>), Problem> {
    let mut errors = Errors::default();
    let read = Field::root(body).object(&mut errors).map(|mut object| {
        let expected = format!("a whole number from 1 to {MAX_CONFIRMATIONS}");
        let threshold = object.required("threshold", &expected, &mut errors);
        let threshold = threshold.and_then(|field| read_confirmations(&field, &mut errors));
        let actor = object.optional("actor").and_then(|field| field.name(&mut errors));
        object.end(&mut errors);
        (threshold, actor)
    });
    let read = read.and_then(|(threshold, actor)| Some((threshold?, actor)));
    errors.finish(read)
}

/// A change of a threshold.
#[derive(Debug, Serialize, ToSchema)]
struct ChangeAnswer {
    /// Its id.
    id: String,
    /// The network's id.
    network: String,
    /// What the threshold was.
    before: u32,
    /// What it is since.
    after: u32,
    /// Who changed it.
    actor: ActorAnswer,
    /// The name of the API key that was used.
    key: String,
    /// When.
    changed_at: String,
}

/// Which changes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
struct HistoryQuery {
    /// The network: its registry id, CAIP-2 id or EVM chain id.
    network: Option<String>,
}

/// List changes of thresholds
///
/// Newest first. Scope: `admin`.
#[utoipa::path(get, path = "/v1/thresholds/history", tag = "thresholds",
    params(HistoryQuery, Paging), responses((status = 200, body = Page<ChangeAnswer>)))]
async fn history(
    State(context): State<Context>,
    _: Admin,
    mut parameters: Parameters,
) -> Result<Json<Page<ChangeAnswer>>, Problem> {
    let network = parameters.parsed("network", "a network that is followed", |name| {
        context.followed(name).map(|followed| NetworkId::from(followed.network.id.as_str()))
    });
    let paging = Paging::read(&mut parameters);
    let after = paging.after(&mut parameters);
    parameters.end()?;
    let after = after.as_ref().map(|(time, id)| (*time, id.as_str()));
    let store = &context.store;
    let changes = store.threshold_changes(network.as_ref(), after, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(store.count_threshold_changes(network.as_ref()).await?),
        false => None,
    };
    let place = |change: &ThresholdChange| time_cursor(change.changed_at, &change.id);
    Ok(Json(paging.page(changes, total, place, show_change)))
}

fn show_change(change: ThresholdChange) -> ChangeAnswer {
    ChangeAnswer {
        id: change.id,
        network: change.network.to_string(),
        before: change.before.0,
        after: change.after.0,
        actor: change.actor.into(),
        key: change.api_key,
        changed_at: rfc3339(change.changed_at),
    }
}
