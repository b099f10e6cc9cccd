//! Wallets: register, hand out addresses, and the deposits that came to them.

mod addresses;
mod deposits;
mod hand_out;
mod request;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use confirmd_chain::{Chain, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Reader, Writer};
use super::context::{Context, Live};
use super::fields::AccountQuery;
use super::input::{Body, Errors, Parameters, Path};
use super::page::{Page, Paging, time_cursor};
use super::problem::Problem;
use crate::settlement::{NetworkId, WalletKey, rfc3339};
use crate::store::{NewAddress, Transaction, Wallet};
use crate::watcher::extend_wallet;

pub(super) use hand_out::hand_out;
use hand_out::{chain_of, look_back_from, unpaid_allowed};
use request::{CreateWallet, ImportAddresses, Listed, Request, Source, read_import};

/// With fewer addresses left than these it is time to do something about it.
pub(super) const LOW: u64 = 10;

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get))
        .routes(routes!(import))
        .routes(routes!(addresses::take_address, addresses::list_addresses))
        .routes(routes!(deposits::list))
}

/// A wallet as the API answers it.
#[derive(Debug, Serialize, ToSchema)]
struct WalletAnswer {
    /// Whose it is.
    account: String,
    /// The backend's own id.
    id: String,
    /// Its network.
    network: String,
    /// What its addresses are derived from; null for an imported list.
    public_keys: Option<String>,
    /// Where its deposits are reported.
    endpoints: Vec<String>,
    /// The confirmations that its deposits need; null where the asset's or network's threshold
    /// applies.
    confirmations: Option<u32>,
    /// How many addresses in a row may be handed out without one of them being paid.
    gap_limit: u32,
    /// The first index that was neither handed out nor paid, nor stands below such a one.
    next_index: u32,
    /// How many addresses can be handed out before the gap limit or the end of the list.
    available: u64,
    /// Whether that are few: fewer than 10.
    low: bool,
    /// When it was registered.
    created_at: String,
}

async fn answer(wallet: Wallet, context: &Context) -> Result<WalletAnswer, Problem> {
    let available = match wallet.public_keys {
        Some(_) => u64::from(unpaid_allowed(&wallet)),
        None => context.store.free_addresses(&wallet.key).await?,
    };
    Ok(WalletAnswer {
        account: wallet.key.account,
        id: wallet.key.id,
        network: wallet.network.to_string(),
        public_keys: wallet.public_keys,
        endpoints: wallet.endpoints,
        confirmations: wallet.confirmations.map(|wish| wish.0),
        gap_limit: wallet.gap_limit,
        next_index: wallet.next_index,
        available,
        low: available < LOW,
        created_at: rfc3339(wallet.created_at),
    })
}

/// Register a wallet
///
/// Its addresses are watched from now on, and back for the look-back window: transfers to them that
/// no intent waits for are its deposits. The same id with the same body answers 200; with another
/// one 409 `id-conflict`. 409 `address-in-use` where an address is another wallet's. Private keys
/// are refused. Scope: `write`.
#[utoipa::path(post, path = "/v1/wallets", tag = "wallets", params(AccountQuery),
    request_body = CreateWallet,
    responses(
        (status = 201, body = WalletAnswer, description = "Registered"),
        (status = 200, body = WalletAnswer, description = "It was there")))]
async fn create(
    State(context): State<Context>,
    Writer(caller): Writer,
    mut parameters: Parameters,
    Body(body): Body,
) -> Result<Response, Problem> {
    let account = caller.account(&mut parameters)?;
    parameters.end()?;
    let mut errors = Errors::default();
    let request = Request::read(&body, &context, &mut errors);
    let request = errors.finish(request)?;
    let key = WalletKey { account, id: request.id.clone() };
    let made = register(&key, &request, &context).await?;
    let wallet = context.store.wallet(&key).await?.ok_or(Problem::NotFound("wallet"))?;
    if wallet.request_hash != request.hash() {
        return Err(Problem::WalletConflict);
    }
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/v1/wallets/{}", key.id);
    let answer = answer(wallet, &context).await?;
    Ok((status, [(header::LOCATION, location)], Json(answer)).into_response())
}

/// Makes the wallet with its first addresses; false where the account has one of this id.
async fn register(key: &WalletKey, request: &Request, context: &Context) -> Result<bool, Problem> {
    let chain = chain_of(&request.network, context)?;
    let mut transaction = context.store.begin().await?;
    // As a follower does: the network is held before anything of it is locked.
    transaction.lock_network(&request.network).await?;
    if !transaction.create_wallet(&request.wallet(key, context.clock.now())).await? {
        return Ok(false);
    }
    match &request.source {
        Source::Keys(_) => {
            let made = transaction.lock_wallet(key).await?.ok_or(Problem::Internal)?;
            let from = look_back_from(context);
            if extend_wallet(&mut transaction, chain, &made, 0, from).await? > 0 {
                return Err(Problem::WalletAddressInUse("/public_keys".to_owned()));
            }
        }
        Source::List(addresses) => {
            let new = addresses.iter().enumerate();
            let new: Vec<_> = new.map(|(place, one)| (place, listed(one, 0, chain))).collect();
            let from = look_back_from(context);
            watch_list(&mut transaction, key, &request.network, new, from).await?;
        }
    }
    transaction.commit().await?;
    context.wake(&request.network);
    Ok(true)
}

fn listed(listed: &Listed, behind: u32, chain: &dyn Chain) -> NewAddress {
    NewAddress {
        address: listed.address.clone(),
        index: listed.index(behind),
        path: listed.path.clone(),
        watch: chain.watch_key(&listed.address),
    }
}

/// Watches addresses of a list, each with its place in the request.
async fn watch_list(
    transaction: &mut Transaction,
    key: &WalletKey,
    network: &NetworkId,
    new: Vec<(usize, NewAddress)>,
    look_back_from: Timestamp,
) -> Result<(), Problem> {
    let (places, new): (Vec<usize>, Vec<NewAddress>) = new.into_iter().unzip();
    let in_use = transaction.watch_addresses(key, network, &new, look_back_from).await?;
    match in_use.first() {
        None => Ok(()),
        Some(&first) => {
            Err(Problem::WalletAddressInUse(format!("/addresses/{}/address", places[first])))
        }
    }
}

/// Import more addresses
///
/// For a wallet that is an imported list: its addresses end, and nothing derives more. Those that
/// it has already are passed over, so it may be asked again. 409 `address-in-use` where an address
/// is another wallet's, or an index is taken; then none is imported. Scope: `write`.
#[utoipa::path(post, path = "/v1/wallets/{id}/import", tag = "wallets",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery),
    request_body = ImportAddresses,
    responses((status = 200, body = WalletAnswer)))]
async fn import(
    State(context): State<Context>,
    Writer(caller): Writer,
    Path(id): Path<String>,
    mut parameters: Parameters,
    Body(body): Body,
) -> Result<Json<WalletAnswer>, Problem> {
    let key = WalletKey { account: caller.account(&mut parameters)?, id };
    parameters.end()?;
    let wallet = context.store.wallet(&key).await?.ok_or(Problem::NotFound("wallet"))?;
    if wallet.public_keys.is_some() {
        let detail = "the wallet derives its addresses, so none can be imported";
        return Err(Problem::invalid("/addresses", detail));
    }
    let chain = chain_of(&wallet.network, &context)?;
    let mut errors = Errors::default();
    let list = read_import(&body, chain, &mut errors);
    let list = errors.finish(list)?;
    let mut transaction = context.store.begin().await?;
    transaction.lock_network(&wallet.network).await?;
    let locked = transaction.lock_wallet(&key).await?.ok_or(Problem::NotFound("wallet"))?;
    let mut new = Vec::with_capacity(list.len());
    for (place, one) in list.iter().enumerate() {
        if !transaction.has_address(&key, &one.address).await? {
            new.push((place, listed(one, locked.derived_end, chain)));
        }
    }
    let from = look_back_from(&context);
    watch_list(&mut transaction, &key, &wallet.network, new, from).await?;
    transaction.commit().await?;
    context.wake(&wallet.network);
    let wallet = context.store.wallet(&key).await?.ok_or(Problem::NotFound("wallet"))?;
    answer(wallet, &context).await.map(Json)
}

/// List wallets
///
/// Newest first. Scope: `read`.
#[utoipa::path(get, path = "/v1/wallets", tag = "wallets", params(AccountQuery, Paging),
    responses((status = 200, body = Page<WalletAnswer>)))]
async fn list(
    State(context): State<Context>,
    Reader(caller): Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<WalletAnswer>>, Problem> {
    let account = caller.listed_account(&mut parameters)?;
    let paging = Paging::read(&mut parameters);
    let after = paging.after(&mut parameters);
    parameters.end()?;
    let after = after.as_ref().map(|(time, key)| (*time, key.as_str()));
    let wallets = context.store.wallets(account.as_deref(), after, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(context.store.count_wallets(account.as_deref()).await?),
        false => None,
    };
    let mut answers = Vec::with_capacity(wallets.len());
    for wallet in wallets {
        let place = time_cursor(wallet.created_at, &wallet.key.to_string());
        answers.push((place, answer(wallet, &context).await?));
    }
    Ok(Json(paging.page(answers, total, |(place, _)| place.clone(), |(_, answer)| answer)))
}

/// Look at a wallet
///
/// Scope: `read`.
#[utoipa::path(get, path = "/v1/wallets/{id}", tag = "wallets",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery),
    responses((status = 200, body = WalletAnswer)))]
async fn get(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<WalletAnswer>, Problem> {
    let account = caller.account(&mut parameters)?;
    parameters.end()?;
    let wallet = context.store.wallet(&WalletKey { account, id }).await?;
    answer(wallet.ok_or(Problem::NotFound("wallet"))?, &context).await.map(Json)
}
