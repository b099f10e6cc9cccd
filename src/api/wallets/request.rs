//! What a wallet's registration asks for: every field checked, private keys refused.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Address, Chain, Confirmations, Timestamp, looks_secret};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::api::context::Context;
use crate::api::fields::{read_confirmations, read_endpoints, read_id, read_network};
use crate::api::input::{Errors, Field};
use crate::settlement::{NetworkId, WalletKey};
use crate::store::Wallet;

/// As many addresses in a row as wallets look ahead when they are restored (BIP-44).
const DEFAULT_GAP_LIMIT: u32 = 20;
const MAX_GAP_LIMIT: u32 = 10_000;
const MAX_ADDRESSES: usize = 1_000;
const MAX_PATH: usize = 100;
const PRIVATE: &str =
    "this looks like a private key; confirmd never needs one, treat it as exposed";

/// A wallet: `public_keys` or `addresses`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
pub(super) struct CreateWallet {
    /// The backend's own id: 1 to 128 characters of `A-Za-z0-9._:-`.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$", examples("shop-btc"))]
    id: String,
    /// A followed network: its registry id or CAIP-2 id.
    #[schema(examples("bitcoin"))]
    network: String,
    /// An extended public key of an account (`xpub…`; on Bitcoin also `ypub…` and `zpub…`), or, on
    /// Bitcoin, an output descriptor. Never a private key.
    public_keys: Option<String>,
    /// An imported list instead, of at most 1000 addresses.
    #[schema(min_items = 1, max_items = 1000)]
    addresses: Option<Vec<ListedAddress>>,
    /// The configured endpoints that get its deposits' events.
    #[schema(max_items = 16)]
    endpoints: Option<Vec<String>>,
    /// How deep a deposit must be; never below the network's floor.
    #[schema(minimum = 1, maximum = 10_000)]
    confirmations: Option<u32>,
    /// How many addresses in a row may be handed out without one of them being paid. A wallet that
    /// is restored from its seed looks no further than its own limit.
    #[schema(minimum = 1, maximum = 10_000, default = 20)]
    gap_limit: Option<u32>,
}

/// An address of an imported list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
struct ListedAddress {
    /// The address.
    address: String,
    /// How its key is derived; answered as given.
    path: Option<String>,
    /// Its index; else its place in the list, behind the addresses that are there already.
    index: Option<u32>,
}

/// A registration with everything in it known and canonical.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) network: NetworkId,
    pub(super) source: Source,
    endpoints: Vec<String>,
    confirmations: Option<Confirmations>,
    gap_limit: u32,
}

/// Where its addresses come from.
#[derive(Debug)]
pub(super) enum Source {
    /// Derived from these public keys, canonical.
    Keys(String),
    /// An imported list.
    List(Vec<Listed>),
}

/// An address of an imported list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) address: Address,
    pub(super) path: Option<String>,
    /// Where the list says it.
    index: Option<u32>,
    place: u32,
}

impl Listed {
    /// Its index; else its place in the list, behind the addresses that are there already.
    pub(super) fn index(&self, behind: u32) -> u32 {
        self.index.unwrap_or(behind.saturating_add(self.place))
    }
}

/// More addresses for an imported list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
pub(super) struct ImportAddresses {
    /// At most 1000 of them.
    #[schema(min_items = 1, max_items = 1000)]
    addresses: Vec<ListedAddress>,
}

/// Reads more addresses for a list; what is wrong with them is in `errors`, all of it.
pub(super) fn read_import(
    body: &Value,
    chain: &dyn Chain,
    errors: &mut Errors,
) -> Option<Vec<Listed>> {
    let mut object = Field::root(body).object(errors)?;
    let list = object.required("addresses", "a list of addresses", errors);
    object.end(errors);
    read_list(&list?, Some(chain), errors)
}

impl Request {
    /// Reads a body; what is wrong with it is in `errors`, all of it.
    pub(super) fn read(body: &Value, context: &Context, errors: &mut Errors) -> Option<Self> {
        let mut object = Field::root(body).object(errors)?;
        let id = read_id(&mut object, errors);
        let network = object.required("network", "a network such as \"bitcoin\"", errors);
        let keys = object.optional("public_keys");
        let list = object.optional("addresses");
        let endpoints = object.optional("endpoints");
        let endpoints = endpoints.map(|field| read_endpoints(&field, context, errors));
        let confirmations = object.optional("confirmations");
        let confirmations = confirmations.and_then(|field| read_confirmations(&field, errors));
        let gap_limit = object.optional("gap_limit");
        let gap_limit = gap_limit.map(|field| read_gap_limit(&field, errors));
        object.end(errors);
        let network = network.and_then(|field| read_network(&field, context, errors));
        let network = network.map(|(id, _)| id);
        let chain = network.as_ref().and_then(|id| context.chains.get(id));
        let chain = chain.map(AsRef::as_ref);
        let source = match (keys, list) {
            (Some(keys), None) => read_keys(&keys, chain, errors).map(Source::Keys),
            (None, Some(list)) => read_list(&list, chain, errors).map(Source::List),
            (None, None) => {
                errors.add("/public_keys", "is missing; expected `public_keys` or `addresses`");
                None
            }
            (Some(keys), Some(_)) => {
                errors.add(&keys.pointer, "cannot be beside `addresses`");
                None
            }
        };
        let defaults = &context.settings.config.defaults.endpoints;
        Some(Self {
            id: id?,
            network: network?,
            source: source?,
            endpoints: match endpoints {
                None => defaults.clone(),
                Some(endpoints) => endpoints?,
            },
            confirmations,
            gap_limit: match gap_limit {
                None => DEFAULT_GAP_LIMIT,
                Some(limit) => limit?,
            },
        })
    }

    /// SHA-256 over the request as it is understood.
    pub(super) fn hash(&self) -> String {
        let source = match &self.source {
            Source::Keys(keys) => serde_json::json!(keys),
            Source::List(list) => {
                let listed = |one: &Listed| (one.address.clone(), one.path.clone(), one.index(0));
                serde_json::json!(list.iter().map(listed).collect::<Vec<_>>())
            }
        };
        let endpoints: BTreeSet<_> = self.endpoints.iter().collect();
        let normalised = serde_json::json!([
            self.id,
            self.network,
            source,
            endpoints,
            self.confirmations,
            self.gap_limit,
        ]);
        hex::encode(Sha256::digest(normalised.to_string()))
    }

    /// The wallet that it makes.
    pub(super) fn wallet(&self, key: &WalletKey, now: Timestamp) -> Wallet {
        Wallet {
            key: key.clone(),
            network: self.network.clone(),
            request_hash: self.hash(),
            public_keys: match &self.source {
                Source::Keys(keys) => Some(keys.clone()),
                Source::List(_) => None,
            },
            endpoints: self.endpoints.clone(),
            confirmations: self.confirmations,
            gap_limit: self.gap_limit,
            next_index: 0,
            used_end: 0,
            derived_end: 0,
            created_at: now,
        }
    }
}

/// A private key is refused by name wherever it stands, even where the network is not known.
fn read_keys(field: &Field<'_>, chain: Option<&dyn Chain>, errors: &mut Errors) -> Option<String> {
    let text = field.string(errors)?;
    if looks_secret(text) {
        errors.add(&field.pointer, PRIVATE);
        return None;
    }
    match chain?.parse_wallet(text) {
        Ok(wallet) => Some(wallet.canonical().to_owned()),
        Err(error) => {
            errors.add(&field.pointer, error.to_string());
            None
        }
    }
}

fn read_list(
    field: &Field<'_>,
    chain: Option<&dyn Chain>,
    errors: &mut Errors,
) -> Option<Vec<Listed>> {
    let items = field.array(errors)?;
    if !(1..=MAX_ADDRESSES).contains(&items.len()) {
        errors.add(&field.pointer, format!("expected 1 to {MAX_ADDRESSES} addresses"));
        return None;
    }
    let mut listed: Vec<Listed> = Vec::with_capacity(items.len());
    let (mut addresses, mut indexes) = (BTreeMap::new(), BTreeMap::new());
    for (place, item) in items.iter().enumerate() {
        let Some(one) = read_listed(place, item, chain, errors) else { continue };
        if let Some(first) = addresses.insert(one.address.clone(), place) {
            errors.add(&item.pointer, format!("repeats the address of {first}"));
        }
        if let Some(first) = indexes.insert(one.index(0), place) {
            errors.add(&item.pointer, format!("repeats the index of {first}"));
        }
        listed.push(one);
    }
    (listed.len() == items.len()).then_some(listed)
}

fn read_listed(
    place: usize,
    item: &Field<'_>,
    chain: Option<&dyn Chain>,
    errors: &mut Errors,
) -> Option<Listed> {
    let mut object = item.object(errors)?;
    let address = object.required("address", "an address", errors);
    let path = object.optional("path");
    let index = object.optional("index");
    object.end(errors);
    let address = address.and_then(|field| {
        let text = field.string(errors)?;
        if looks_secret(text) {
            errors.add(&field.pointer, PRIVATE);
            return None;
        }
        let read = chain?.parse_address(text);
        read.map_err(|error| errors.add(&field.pointer, error.to_string())).ok()
    });
    let path = path.map(|field| {
        let text = field.string(errors)?;
        let fits = text.len() <= MAX_PATH && !looks_secret(text);
        if !fits {
            errors.add(&field.pointer, format!("expected at most {MAX_PATH} characters"));
        }
        fits.then(|| text.to_owned())
    });
    let index = match index {
        None => None,
        Some(field) => Some(read_index(&field, errors)?),
    };
    let path = match path {
        None => None,
        Some(path) => Some(path?),
    };
    Some(Listed { address: address?, path, index, place: u32::try_from(place).ok()? })
}

/// An index that no hardened key has.
pub(super) fn read_index(field: &Field<'_>, errors: &mut Errors) -> Option<u32> {
    let number = field.value.as_u64().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| *number < confirmd_chain::INDEX_END);
    if number.is_none() {
        errors.add(&field.pointer, "expected a whole number from 0 to 2147483647");
    }
    number
}

fn read_gap_limit(field: &Field<'_>, errors: &mut Errors) -> Option<u32> {
    let number = field.value.as_u64().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (1..=MAX_GAP_LIMIT).contains(number));
    if number.is_none() {
        errors.add(&field.pointer, format!("expected a whole number from 1 to {MAX_GAP_LIMIT}"));
    }
    number
}
