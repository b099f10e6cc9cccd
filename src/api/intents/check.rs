//! A look at the chain now, for a payer who waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use confirmd_chain::Height;
use futures_util::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Reader;
use crate::api::context::Context;
use crate::api::fields::AccountQuery;
use crate::api::input::{Parameters, Path};
use crate::api::problem::Problem;
use crate::settlement::{Intent, IntentView, NetworkId, RailView, Status};

/// How long an answer waits for the followers to reach what the providers show.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(4);
/// How long one network's providers may take to show their newest block.
const HEADS_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a look at the chain found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckAnswer {
    /// Where the intent stands.
    status: Status,
    /// What arrived and counts on the rail that got furthest, as a decimal.
    received: String,
    /// What that rail asks for, as a decimal.
    expected: String,
    /// How deep the payment is.
    confirmations: u32,
    /// How deep it must be.
    required_confirmations: u32,
    /// The same in words, for people.
    message: String,
}

/// Look at the chain now
///
/// Has every network of the intent looked at, waits up to four seconds until what the providers
/// show is scanned, and answers where the intent stands. One look per intent in five seconds: asked
/// again earlier, it answers what is known. Payments are found without it. Scope: `read`.
#[utoipa::path(post, path = "/v1/intents/{id}/check", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery),
    responses((status = 200, body = CheckAnswer)))]
pub(super) async fn check(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<CheckAnswer>, Problem> {
    let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
    parameters.end()?;
    let found = context.store.intent(&key).await?;
    let (intent, _) = found.ok_or(Problem::NotFound("intent"))?;
    let behind = match context.looks.is_due(&key, context.clock.now()) {
        true => look(&intent, &context).await?,
        false => Vec::new(),
    };
    let cursors = context.store.cursors().await?;
    let found = context.store.intent(&key).await?;
    let (intent, credits) = found.ok_or(Problem::NotFound("intent"))?;
    let view = IntentView::at(&intent, &credits, &cursors, context.clock.now());
    Ok(Json(shown(&view, &behind)))
}

/// Wakes the followers and waits for them; answers the networks that are behind.
async fn look(intent: &Intent, context: &Context) -> Result<Vec<NetworkId>, Problem> {
    let open = intent.rails.iter().filter(|rail| rail.replaced_at.is_none());
    let networks: BTreeSet<&NetworkId> = open.map(|rail| &rail.network).collect();
    let newest = networks.into_iter().map(|network| async {
        let heads = match context.chains.get(network) {
            Some(chain) => tokio::time::timeout(HEADS_WITHIN, chain.heads()).await.ok(),
            None => None,
        };
        context.wake(network);
        (network.clone(), heads.and_then(Result::ok).map(|heads| heads.latest.height))
    });
    let mut behind: BTreeMap<_, Option<Height>> = join_all(newest).await.into_iter().collect();
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    let reached = async {
        loop {
            looks.tick().await;
            let cursors = context.store.cursors().await?;
            // Whose providers are silent cannot be waited for, and is behind for all that is known.
            behind.retain(|network, goal| goal.is_none() || cursors.get(network) < goal.as_ref());
            if behind.values().all(Option::is_none) {
                return Ok(());
            }
        }
    };
    match tokio::time::timeout(CAUGHT_UP_WITHIN, reached).await {
        Ok(Err(failed)) => Err(failed),
        Ok(Ok(())) | Err(_) => Ok(behind.into_keys().collect()),
    }
}

fn shown(view: &IntentView, behind: &[NetworkId]) -> CheckAnswer {
    let rail = furthest(view);
    let [received, expected] =
        [|rail: &RailView| rail.received.clone(), |rail: &RailView| rail.amount.clone()]
            .map(|of| rail.map(of).unwrap_or_default());
    let symbol = rail.map(|rail| rail.asset.as_str()).unwrap_or_default();
    let (depth, required) = (view.confirmations, view.required_confirmations);
    let mut message = match view.status {
        Status::Pending if is_seen(view) => {
            "A payment was seen, which stands in no block yet.".to_owned()
        }
        Status::Pending => "Nothing has arrived yet.".to_owned(),
        Status::Partial => format!("{received} of {expected} {symbol} arrived."),
        Status::Confirming => {
            format!("{received} {symbol} arrived, with {depth} of {required} confirmations.")
        }
        Status::Confirmed => format!("{received} {symbol} arrived, and it is confirmed."),
        Status::Expired => "It expired before enough arrived.".to_owned(),
        Status::Cancelled => "It was cancelled.".to_owned(),
    };
    if !behind.is_empty() {
        let names: Vec<_> = behind.iter().map(NetworkId::as_str).collect();
        message += &format!(" Not up to date at present: {}.", names.join(", "));
    }
    CheckAnswer {
        status: view.status,
        received,
        expected,
        confirmations: depth,
        required_confirmations: required,
        message,
    }
}

fn is_seen(view: &IntentView) -> bool {
    let mut transfers = view.transfers.iter();
    transfers.any(|transfer| transfer.status == "seen" && transfer.rail_id.is_some())
}

/// The rail that settles the intent, else the first that anything arrived for, else the first.
fn furthest(view: &IntentView) -> Option<&RailView> {
    let settles = |rail: &&RailView| view.settled_by.as_deref() == Some(rail.rail_id.as_str());
    let paid = |rail: &&RailView| rail.received_base_units != "0";
    let rails = || view.rails.iter();
    rails().find(settles).or_else(|| rails().find(paid)).or_else(|| rails().next())
}
