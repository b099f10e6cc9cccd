//! Deposits: transfers to wallets' addresses that no intent waits for.

use axum::Json;
use axum::extract::State;
use confirmd_chain::Height;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::auth::Reader;
use crate::api::context::Context;
use crate::api::input::Parameters;
use crate::api::page::{Page, Paging, time_cursor};
use crate::api::problem::Problem;
use crate::settlement::{DepositStatus, DepositView, rfc3339};
use crate::store::{DepositFilter, WalletDeposit};

/// A deposit as the API answers it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DepositAnswer {
    /// Whose wallet it came to.
    account: String,
    /// When it was credited: the earlier of its block's time and first sight.
    credited_at: String,
    #[serde(flatten)]
    deposit: DepositView,
}

/// Which deposits.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
pub(super) struct DepositQuery {
    /// The wallet's id.
    wallet: Option<String>,
    /// Their network: its registry id, CAIP-2 id or EVM chain id.
    network: Option<String>,
    /// Where they stand.
    status: Option<DepositStatus>,
    /// What the backend calls the address.
    external_id: Option<String>,
    /// The account; an admin who names none sees every one's.
    account: Option<String>,
}

/// List deposits
///
/// Newest first. Scope: `read`.
#[utoipa::path(get, path = "/v1/deposits", tag = "deposits", params(DepositQuery, Paging),
    responses((status = 200, body = Page<DepositAnswer>)))]
pub(super) async fn list(
    State(context): State<Context>,
    Reader(caller): Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<DepositAnswer>>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    let expected = DepositStatus::ALL.map(DepositStatus::as_str).join(", ");
    let status =
        parameters.parsed("status", &format!("one of {expected}"), DepositStatus::from_name);
    let network = parameters.parsed("network", "a network that is followed", |name| {
        context.followed(name).map(|followed| followed.network.id.as_str().into())
    });
    let (wallet, external_id) = (parameters.text("wallet"), parameters.text("external_id"));
    let filter = DepositFilter { account, wallet, network, status, external_id };
    let paging = Paging::read(&mut parameters);
    let after = paging.after(&mut parameters);
    parameters.end()?;
    let after = after.as_ref().map(|(time, id)| (*time, id.as_str()));
    // First the cursors: a deposit read after them is never behind them.
    let cursors = context.store.cursors().await?;
    let deposits = context.store.deposits(&filter, after, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(context.store.count_deposits(&filter).await?),
        false => None,
    };
    let show = |WalletDeposit { deposit, .. }: WalletDeposit| {
        let cursor = cursors.get(&deposit.network).copied().unwrap_or(Height(0));
        DepositAnswer {
            account: deposit.wallet.account.clone(),
            credited_at: rfc3339(deposit.credit_time),
            deposit: DepositView::of(&deposit, cursor),
        }
    };
    let place =
        |found: &WalletDeposit| time_cursor(found.deposit.credit_time, &found.deposit.view_id());
    Ok(Json(paging.page(deposits, total, place, show)))
}
