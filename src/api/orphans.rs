//! The orphan inbox: transfers that settle no intent.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Context;
use super::auth::Reader;
use super::input::Parameters;
use super::page::{Page, Paging, time_cursor};
use super::problem::Problem;
use crate::settlement::{OrphanReason, OrphanView, rfc3339};
use crate::store::{Orphan, OrphanFilter};

pub(super) fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A transfer to one of our addresses that settles no intent.
#[derive(Debug, Serialize, ToSchema)]
struct OrphanAnswer {
    /// The account whose address it came to.
    account: String,
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
    /// Why they settle nothing.
    reason: Option<OrphanReason>,
    /// Their network: its registry id, CAIP-2 id or EVM chain id.
    network: Option<String>,
    /// The intent to whose address they came.
    intent: Option<String>,
    /// The account; an admin who names none sees every one's.
    account: Option<String>,
}

/// List orphans
///
/// Newest first. Scope: `read`.
#[utoipa::path(get, path = "/v1/orphans", tag = "orphans", params(OrphanQuery, Paging),
    responses((status = 200, body = Page<OrphanAnswer>)))]
async fn list(
    State(context): State<Context>,
    Reader(caller): Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<OrphanAnswer>>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    let expected = OrphanReason::ALL.map(OrphanReason::as_str).join(", ");
    let reason =
        parameters.parsed("reason", &format!("one of {expected}"), OrphanReason::from_name);
    let network = parameters.parsed("network", "a network that is followed", |name| {
        context.followed(name).map(|followed| followed.network.id.as_str().into())
    });
    let filter = OrphanFilter { account, intent: parameters.text("intent"), network, reason };
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
        reported: orphan.reported,
        credited_at: rfc3339(orphan.credit_time),
        orphan: orphan.view,
    }
}
