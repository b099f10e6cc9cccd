//! Addresses of a wallet: handed out once, to whoever is asked for by name always the same.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::hand_out::hand_out;
use super::request::read_index;
use crate::api::auth::{Reader, Writer};
use crate::api::context::Context;
use crate::api::fields::AccountQuery;
use crate::api::input::{Errors, Field, OptionalBody, Parameters, Path};
use crate::api::page::{Page, Paging};
use crate::api::problem::Problem;
use crate::settlement::{WalletKey, rfc3339};
use crate::store::{Wallet, WalletAddress, Which};

const MAX_EXTERNAL_ID: usize = 128;

/// Which address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
pub(super) struct TakeAddress {
    /// The one of this index; else the next that was neither handed out nor paid.
    index: Option<u32>,
    /// What the backend calls it, 1 to 128 characters of `A-Za-z0-9._:-`: asking again by the same
    /// name answers the same address.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$", examples("user-42"))]
    external_id: Option<String>,
}

/// An address as the API answers it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AddressAnswer {
    /// The wallet's id.
    wallet: String,
    /// Its network.
    network: String,
    /// The address.
    address: String,
    /// Its derivation index, or its place in the list.
    index: u32,
    /// How its key is derived, where that is known.
    path: Option<String>,
    /// What the backend calls it.
    external_id: Option<String>,
    /// When it was handed out.
    created_at: String,
}

fn show(wallet: &Wallet, address: WalletAddress) -> AddressAnswer {
    AddressAnswer {
        wallet: wallet.key.id.clone(),
        network: wallet.network.to_string(),
        address: address.address.to_string(),
        index: address.index,
        path: address.path,
        external_id: address.external_id,
        created_at: rfc3339(address.handed_at),
    }
}

/// Take an address
///
/// 409 `gap-limit` where too many in a row were handed out and none of them was paid, 409
/// `wallet-empty` where an imported list has no more, 409 `address-taken` where the index goes by
/// another name. Scope: `write`.
#[utoipa::path(post, path = "/v1/wallets/{id}/addresses", tag = "wallets",
    params(("id" = String, Path, description = "The wallet's id"), AccountQuery),
    request_body(content = Option<TakeAddress>),
    responses((status = 200, body = AddressAnswer)))]
pub(super) async fn take_address(
    State(context): State<Context>,
    Writer(caller): Writer,
    Path(id): Path<String>,
    mut parameters: Parameters,
    OptionalBody(body): OptionalBody,
) -> Result<Json<AddressAnswer>, Problem> {
    let account = caller.account(&mut parameters)?;
    parameters.end()?;
    let mut errors = Errors::default();
    let asked = Field::root(&body).object(&mut errors).map(|mut object| {
        let index = object.optional("index");
        let index = index.and_then(|field| read_index(&field, &mut errors));
        let name = object.optional("external_id");
        let name = name.and_then(|field| read_external_id(&field, &mut errors));
        object.end(&mut errors);
        (index.map_or(Which::Next, Which::Index), name)
    });
    let (which, name) = errors.finish(asked)?;
    let key = WalletKey { account, id };
    let (wallet, address) = hand_out(&key, which, name.as_deref(), &context).await?;
    Ok(Json(show(&wallet, address)))
}

fn read_external_id(field: &Field<'_>, errors: &mut Errors) -> Option<String> {
    let text = field.string(errors)?;
    let fits = (1..=MAX_EXTERNAL_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
    if !fits {
        errors.add(&field.pointer, "expected 1 to 128 characters of A-Z, a-z, 0-9 and ._:-");
    }
    fits.then(|| text.to_owned())
}

/// List a wallet's addresses
///
/// Those that were handed out, highest index first. Scope: `read`.
#[utoipa::path(get, path = "/v1/wallets/{id}/addresses", tag = "wallets",
    params(("id" = String, Path, description = "The wallet's id"), AccountQuery, Paging),
    responses((status = 200, body = Page<AddressAnswer>)))]
pub(super) async fn list_addresses(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Page<AddressAnswer>>, Problem> {
    let account = caller.account(&mut parameters)?;
    let paging = Paging::read(&mut parameters);
    let below = paging.position(&mut parameters);
    parameters.end()?;
    let key = WalletKey { account, id };
    let wallet = context.store.wallet(&key).await?.ok_or(Problem::NotFound("wallet"))?;
    let addresses = context.store.handed_out(&key, below, paging.fetch()).await?;
    let total = match paging.count {
        true => Some(context.store.count_handed_out(&key).await?),
        false => None,
    };
    let place = |address: &WalletAddress| address.index.to_string();
    Ok(Json(paging.page(addresses, total, place, |address| show(&wallet, address))))
}
