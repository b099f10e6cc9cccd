//! The orphan inbox: transfers that settle no intent, and what is decided about them.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Admin, Reader};
use super::context::{Context, Live};
use super::input::{Body, Errors, Field, Parameters, Path};
use super::page::{Page, Paging, time_cursor};
use super::problem::Problem;
use crate::settlement::{self, Decision, Held, OrphanReason, OrphanView, rfc3339};
use crate::store::{Orphan, OrphanFilter, OrphanStatus, Recording, Transaction};

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(resolve))
}

/// A transfer to one of our addresses that settles no intent.
#[derive(Debug, Serialize, ToSchema)]
struct OrphanAnswer {
    /// The account whose address it came to.
    account: String,
    /// What became of it.
    status: OrphanStatus,
    /// Whether it is deep enough to have been reported by `orphan.received`: before that, a reorg
    /// may take it away.
    reported: bool,
    /// When it was credited.
    credited_at: String,
    #[serde(flatten)]
    orphan: OrphanView,
}

/// Which orphans.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
struct OrphanQuery {
    /// What became of them; `open` where it is not given.
    status: Option<OrphanStatus>,
    /// Why they settle nothing.
    reason: Option<OrphanReason>,
    /// Their network: its registry id, CAIP-2 id or EVM chain id.
    network: Option<String>,
    /// The intent that has them: to whose address they came, or to which they were attached.
    intent: Option<String>,
    /// The account; an admin who names none sees every one's.
    account: Option<String>,
}

/// List orphans
///
/// Newest first; those that somebody has still to decide about, unless `status` says otherwise.
/// Scope: `read`.
#[utoipa::path(get, path = "/v1/orphans", tag = "orphans", params(OrphanQuery, Paging),
    responses((status = 200, body = Page<OrphanAnswer>)))]
async fn list(
    State(context): State<Context>,
    Reader(caller): Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<OrphanAnswer>>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    let expected = OrphanStatus::ALL.map(OrphanStatus::as_str).join(", ");
    let status = parameters.parsed("status", &format!("one of {expected}"), |text| {
        OrphanStatus::ALL.into_iter().find(|status| status.as_str() == text)
    });
    let expected = OrphanReason::ALL.map(OrphanReason::as_str).join(", ");
    let reason =
        parameters.parsed("reason", &format!("one of {expected}"), OrphanReason::from_name);
    let network = parameters.parsed("network", "a network that is followed", |name| {
        context.followed(name).map(|followed| followed.network.id.as_str().into())
    });
    let (status, intent) = (status.unwrap_or_default(), parameters.text("intent"));
    let filter = OrphanFilter { status, account, intent, network, reason };
    let paging = Paging::read(&mut parameters);
    let after = paging.after(&mut parameters);
    parameters.end()?;
    let after = after.as_ref().map(|(time, id)| (*time, id.as_str()));
    let orphans = context.store.orphans(&filter, after, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(context.store.count_orphans(&filter).await?),
        false => None,
    };
    let place = |orphan: &Orphan| time_cursor(orphan.credit_time, &orphan.view.id);
    Ok(Json(paging.page(orphans, total, place, show)))
}

fn show(orphan: Orphan) -> OrphanAnswer {
    OrphanAnswer {
        account: orphan.account,
        status: orphan.status,
        reported: orphan.reported,
        credited_at: rfc3339(orphan.credit_time),
        orphan: orphan.view,
    }
}

/// What is to become of an orphan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
struct ResolveOrphan {
    action: Action,
    /// The intent of the same account that it is to pay; only with `attach`.
    intent: Option<String>,
    /// Why, for the history.
    #[schema(min_length = 1, max_length = 100)]
    reason: String,
    /// The person behind the key, for the history.
    actor: Option<String>,
}

/// What is done to an orphan.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// It pays an intent, however late it came and wherever to.
    Attach,
    /// It was dealt with elsewhere, say sent back.
    Dismiss,
}

/// What was asked for.
struct Asked {
    decision: Decision,
    reason: String,
    actor: Option<String>,
}

/// Resolve an orphan
///
/// `attach` makes it pay an intent of the same account, its own or another one, whatever had kept
/// it from that, as long as a rail of the intent takes its asset on its network. `dismiss` takes it
/// out of the list: it never pays anything, and a reorg that brings it back changes nothing. 409
/// `would-not-pay` says why the intent would not take it, 409 `entangled` that other transfers
/// would be something else then. May be repeated; another decision is 409 `already-resolved`.
/// Scope: `admin`.
#[utoipa::path(post, path = "/v1/orphans/{id}/resolve", tag = "orphans",
    params(("id" = String, Path, description = "The orphan's id")),
    request_body = ResolveOrphan,
    responses((status = 200, body = OrphanAnswer)))]
async fn resolve(
    State(context): State<Context>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    parameters: Parameters,
    Body(body): Body,
) -> Result<Json<OrphanAnswer>, Problem> {
    parameters.end()?;
    let asked = read(&body)?;
    let actor = caller.actor(asked.actor);
    let now = context.clock.now();
    let mut transaction = context.store.begin().await?;
    let found = lock(&id, &asked.decision, &mut transaction).await?;
    let cursors = transaction.cursors().await?;
    let ask = settlement::Resolve {
        orphan: found.place,
        decision: asked.decision,
        actor: &actor.name,
        reason: &asked.reason,
        cursors: &cursors,
        now,
    };
    let outcomes = settlement::resolve(found.holder, found.target, &ask)?;
    let recording = Recording {
        cursors: &cursors,
        route: &|intent, event| context.endpoints.route(intent, event),
        actor: &actor,
        late_window: context.settings.config.defaults.late_window,
        now,
    };
    if let (Decision::Attached(_), Some(payee)) = (&ask.decision, outcomes.last()) {
        transaction.give_orphan(&id, &payee.intent.key).await?;
    }
    for outcome in &outcomes {
        transaction.record_outcome(outcome, &recording).await?;
    }
    let orphan = transaction.orphan(&id).await?.ok_or(Problem::NotFound("orphan"))?;
    if !outcomes.is_empty() {
        transaction.commit().await?;
        context.courier.wake();
    }
    Ok(Json(show(orphan)))
}

fn read(body: &Value) -> Result<Asked, Problem> {
    let mut errors = Errors::default();
    let asked = Field::root(body).object(&mut errors).and_then(|mut object| {
        let expected = "\"attach\" or \"dismiss\"";
        let action = object.required("action", expected, &mut errors);
        let action = action.and_then(|field| field.string(&mut errors));
        let intent = object.optional("intent");
        let decision = match (action, intent) {
            (Some("attach"), Some(intent)) => {
                intent.string(&mut errors).map(|id| Decision::Attached(id.to_owned()))
            }
            (Some("attach"), None) => {
                errors.add("/intent", "is missing; expected the intent that it is to pay");
                None
            }
            (Some("dismiss"), None) => Some(Decision::Dismissed),
            (Some("dismiss"), Some(intent)) => {
                errors.add(&intent.pointer, "is only for `attach`");
                None
            }
            (Some(_), _) => {
                errors.add("/action", format!("expected {expected}"));
                None
            }
            (None, _) => None,
        };
        let reason = object.required("reason", "why, for the history", &mut errors);
        let reason = reason.and_then(|field| field.name(&mut errors));
        let actor = object.optional("actor").and_then(|field| field.name(&mut errors));
        object.end(&mut errors);
        Some(Asked { decision: decision?, reason: reason?, actor })
    });
    errors.finish(asked)
}

/// An orphan whose intents are locked.
struct Found {
    /// The intent that has it.
    holder: Held,
    /// Its place there.
    place: usize,
    /// The one that it is to pay, where that is another.
    target: Option<Held>,
}

/// Holds the orphan's network, and then its intents in the order of their keys, as a follower does:
/// nobody settles them or gives the orphan away meanwhile.
async fn lock(
    id: &str,
    decision: &Decision,
    transaction: &mut Transaction,
) -> Result<Found, Problem> {
    let missing = || Problem::NotFound("orphan");
    let (network, _) = transaction.holder_of_orphan(id).await?.ok_or_else(missing)?;
    transaction.lock_network(&network).await?;
    let (_, holder) = transaction.holder_of_orphan(id).await?.ok_or_else(missing)?;
    let account = holder.split_once('/').map_or("", |(account, _)| account);
    let target = match decision {
        Decision::Attached(intent) => Some(format!("{account}/{intent}")),
        Decision::Dismissed => None,
    };
    let target = target.filter(|target| *target != holder);
    let mut held = BTreeMap::new();
    for key in BTreeSet::from_iter([Some(&holder), target.as_ref()].into_iter().flatten()) {
        held.extend(transaction.lock_intent(key).await?.map(|found| (key.clone(), found)));
    }
    let unknown = || Problem::invalid("/intent", "the orphan's account has no such intent");
    let target = target.map(|key| held.remove(&key).ok_or_else(unknown)).transpose()?;
    let holder = held.remove(&holder).ok_or_else(missing)?;
    let place = holder.1.iter().position(|credit| credit.orphan_id() == id);
    Ok(Found { place: place.ok_or_else(missing)?, holder, target })
}
