//! The rails of a request: every field checked against the registry.

use std::collections::BTreeSet;

use confirmd_chain::{Address, AddressError, Amount, Asset, Chain, Confirmations};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::context::Context;
use crate::api::fields::{Note, read_network};
use crate::api::input::{Errors, Field};
use crate::api::problem::Problem;
use crate::api::wallets::hand_out;
use crate::config::{Followed, FollowedAsset, list_of, nearest};
use crate::settlement::{
    AmountPolicy, IntentKey, Matching, NetworkId, Rail, ReferenceKind, SharedMatch, WalletKey,
};
use crate::store::Which;

const MAX_RAILS: usize = 16;

/// One way to pay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
pub(super) struct CreateRail {
    /// A followed network: its registry id (`bsc`) or CAIP-2 id (`eip155:56`).
    #[schema(examples("bsc"))]
    network: String,
    /// A symbol of that network's registry, `native`, a token's address that the registry knows,
    /// or a CAIP-19 id.
    #[schema(examples("USDT"))]
    asset: String,
    /// A decimal string with at most the asset's decimals.
    #[schema(examples("12.50"))]
    amount: String,
    /// Where to. An address of its own, unless `reference` or `match` tells its payments apart.
    /// Here or `wallet`.
    address: Option<String>,
    /// A registered wallet of this network, by its id: a fresh address of it.
    #[schema(examples("shop-btc"))]
    wallet: Option<String>,
    /// For an address that several intents share: the memo that the payment carries (Solana).
    #[schema(examples("wihngo:6f0c2a"))]
    memo: Option<String>,
    /// For an address that several intents share: what the payment carries. On EVM networks a
    /// Request Network reference, 8 bytes in hex, paid through its fee proxy; on Solana a Solana
    /// Pay reference key; on Bitcoin the text of an OP_RETURN output.
    #[schema(examples("0123456789abcdef"))]
    reference: Option<String>,
    /// For an address that several intents share without either: the amount alone tells the
    /// payment, so no two open intents may wait for the same there, and no tolerance applies.
    r#match: Option<SharedMatch>,
    /// Which totals settle the rail. `exact` where `match` is `exact_amount`.
    amount_policy: Option<AmountPolicy>,
}

/// A rail with everything in it known and canonical, but for the address that a wallet is still to
/// give.
pub(super) struct ReadRail {
    rail: Rail,
    destination: Destination,
    pub(super) floor: Confirmations,
}

/// Where a rail's payment goes.
enum Destination {
    /// To this address.
    Address(Address),
    /// To a fresh address of this wallet.
    Wallet(String),
}

impl Destination {
    /// What stands for the address until it is there: two rails of one wallet ask for the same.
    fn placeholder(&self) -> Address {
        match self {
            Self::Address(address) => address.clone(),
            Self::Wallet(name) => Address::from_canonical(format!("wallet:{name}")),
        }
    }
}

impl ReadRail {
    pub(super) fn is_exact(&self) -> bool {
        self.rail.matching == Matching::ExactAmount
    }
}

/// The rails with their addresses: wallets are asked for one each, by the name of the intent and
/// the rail's place, so that asking again gives the same.
pub(super) async fn address_rails(
    key: &IntentKey,
    rails: Vec<ReadRail>,
    context: &Context,
) -> Result<Vec<Rail>, Problem> {
    let mut addressed = Vec::with_capacity(rails.len());
    for (place, read) in rails.into_iter().enumerate() {
        let mut rail = read.rail;
        if let Destination::Wallet(id) = read.destination {
            let pointer = format!("/rails/{place}/wallet");
            let wallet = WalletKey { account: key.account.clone(), id };
            match context.store.wallet(&wallet).await? {
                None => return Err(Problem::invalid(pointer, "no wallet has this id")),
                Some(wallet) if wallet.network != rail.network => {
                    let detail = format!("is a wallet of {}", wallet.network);
                    return Err(Problem::invalid(pointer, detail));
                }
                Some(_) => {}
            }
            let name = format!("intent/{}/{place}", key.id);
            let (_, fresh) = hand_out(&wallet, Which::Next, Some(&name), context).await?;
            rail.address = fresh.address;
        }
        if let Some(chain) = context.chains.get(&rail.network) {
            let (to, asset) = (&rail.address, &rail.asset);
            rail.payment_uri = chain.payment_uri(to, asset, rail.amount, rail.matching.carried());
            rail.token_account = chain.token_account(to, asset);
        }
        addressed.push(rail);
    }
    Ok(addressed)
}

/// Reads 1 to 16 rails.
pub(super) fn read_rails(
    field: &Field<'_>,
    wish: Option<Confirmations>,
    context: &Context,
    errors: &mut Errors,
) -> Option<Vec<ReadRail>> {
    let items = field.array(errors)?;
    if !(1..=MAX_RAILS).contains(&items.len()) {
        errors.add(&field.pointer, format!("expected 1 to {MAX_RAILS} rails"));
        return None;
    }
    let mut rails: Vec<Option<ReadRail>> = Vec::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        let read = read_rail(place, item, wish, context, errors);
        if let Some(ReadRail { rail, .. }) = &read {
            let same = |other: &ReadRail| {
                (&other.rail.network, &other.rail.asset, &other.rail.address)
                    == (&rail.network, &rail.asset, &rail.address)
            };
            if let Some(other) = rails.iter().position(|other| other.as_ref().is_some_and(same)) {
                let pointer = &item.pointer;
                errors.add(pointer, format!("repeats network, asset and address of rail {other}"));
            }
        }
        rails.push(read);
    }
    rails.into_iter().collect()
}

fn read_rail(
    place: usize,
    item: &Field<'_>,
    wish: Option<Confirmations>,
    context: &Context,
    errors: &mut Errors,
) -> Option<ReadRail> {
    let mut object = item.object(errors)?;
    let network = object.required("network", "a network such as \"bsc\"", errors);
    let asset = object.required("asset", "an asset such as \"USDT\" or \"native\"", errors);
    let amount = object.required("amount", "a decimal string such as \"12.50\"", errors);
    let wallet = object.optional("wallet");
    let (memo, reference) = (object.optional("memo"), object.optional("reference"));
    let shared = object.optional("match");
    let address = match &wallet {
        None => object.required("address", "the address to be paid", errors),
        Some(_) => object.optional("address"),
    };
    let policy = object.optional("amount_policy");
    object.end(errors);
    // An address is looked at even where the network is not known: a private key is refused
    // wherever it stands.
    let network = network.and_then(|field| read_network(&field, context, errors));
    let followed = network.as_ref().map(|(_, followed)| *followed);
    let asset =
        asset.and_then(|field| followed.and_then(|followed| read_asset(&field, followed, errors)));
    let amount = amount.and_then(|field| read_amount(&field, asset, errors));
    let id = network.as_ref().map(|(id, _)| id);
    if let (Some(wallet), Some(_)) = (&wallet, &address) {
        errors.add(&wallet.pointer, "cannot be beside `address`");
    }
    let is_told_apart = memo.is_some() || reference.is_some() || shared.is_some();
    if let (Some(wallet), true) = (&wallet, is_told_apart) {
        errors.add(&wallet.pointer, "gives an address of its own, which needs nothing beside it");
    }
    let address = address.and_then(|field| read_address(&field, id, context, errors));
    let address = match wallet {
        None => address.map(Destination::Address),
        Some(field) => field.string(errors).map(|name| Destination::Wallet(name.to_owned())),
    };
    if let (Some(memo), Some(_)) = (&memo, &reference) {
        errors.add(&memo.pointer, "cannot be beside `reference`: either tells the payment");
    }
    let (reference, kind) = match memo {
        Some(memo) => (Some(memo), ReferenceKind::Memo),
        None => (reference, ReferenceKind::Reference),
    };
    let told_by = reference.as_ref().map(|field| field.pointer.clone());
    let shared = shared.map(|field| read_shared(&field, reference.is_some(), errors));
    let policy = policy.map(|field| read_policy(&field, shared.is_some(), errors));
    let reference = reference.map(|field| {
        let chain = context.chains.get(id?)?;
        read_reference(&field, kind, asset?, chain.as_ref(), errors)
    });
    let ((id, followed), asset, amount) = (network?, asset?, amount?);
    let destination = address?;
    let matching = match (reference, shared) {
        (Some(reference), _) => reference?,
        (None, Some(shared)) => shared?,
        (None, None) => Matching::Address,
    };
    if let (Destination::Address(address), Some(pointer)) = (&destination, told_by)
        && matching.carried() == Some(address.as_str())
    {
        errors.add(&pointer, "is the receiver's address, which every payment to it names");
        return None;
    }
    let policy = match (policy, &matching) {
        (_, Matching::ExactAmount) => AmountPolicy::Exact,
        (Some(policy), _) => policy?,
        (None, _) => AmountPolicy::default(),
    };
    let floor = followed.network.floor;
    let threshold = asset.confirmations.unwrap_or(followed.threshold);
    let rail = Rail {
        rail_id: format!("r{}", place + 1),
        network: id,
        caip2: followed.network.caip2.clone(),
        chain_id: followed.network.chain_id,
        asset: asset.info.asset.clone(),
        caip19: asset.info.caip19.clone(),
        symbol: asset.info.symbol.clone(),
        decimals: asset.info.decimals,
        amount,
        address: destination.placeholder(),
        matching,
        policy,
        required: wish.unwrap_or(threshold).max(floor),
        token_account: None,
        payment_uri: None,
        replaced_at: None,
    };
    Some(ReadRail { rail, destination, floor })
}

fn read_asset<'c>(
    field: &Field<'_>,
    followed: &'c Followed,
    errors: &mut Errors,
) -> Option<&'c FollowedAsset> {
    let name = field.string(errors)?;
    let asset = followed.asset(name);
    if asset.is_none() {
        let id = &followed.network.id;
        let symbols: Vec<_> = followed.assets.iter().map(|a| a.info.symbol.as_str()).collect();
        errors.add(
            &field.pointer,
            match nearest(name, symbols.iter().copied()) {
                Some(near) => format!("{id} has no such asset; did you mean `{near}`?"),
                None => format!("{id} has no such asset; its registry has {}", list_of(symbols)),
            },
        );
    }
    asset
}

fn read_amount(
    field: &Field<'_>,
    asset: Option<&FollowedAsset>,
    errors: &mut Errors,
) -> Option<Amount> {
    let text = field.string(errors)?;
    let FollowedAsset { info, minimum, .. } = asset?;
    let read = Amount::parse_decimal(text, info.decimals);
    let amount = read.map_err(|error| errors.add(&field.pointer, error.to_string())).ok()?;
    if amount.is_zero() {
        errors.add(&field.pointer, "must be more than zero");
    } else if amount < *minimum {
        let minimum = minimum.to_decimal(info.decimals);
        errors
            .add(&field.pointer, format!("is below the smallest amount of this asset, {minimum}"));
    }
    Some(amount)
}

fn read_address(
    field: &Field<'_>,
    network: Option<&NetworkId>,
    context: &Context,
    errors: &mut Errors,
) -> Option<Address> {
    let text = field.string(errors)?;
    let Some(chain) = network.and_then(|id| context.chains.get(id)) else {
        let mut chains = context.chains.values();
        if chains.any(|chain| chain.parse_address(text) == Err(AddressError::PrivateKey)) {
            errors.add(&field.pointer, AddressError::PrivateKey.to_string());
        }
        return None;
    };
    match chain.parse_address(text) {
        Ok(address) => Some(address),
        Err(error) => {
            errors.add(&field.pointer, error.to_string());
            None
        }
    }
}

fn read_policy(field: &Field<'_>, is_shared: bool, errors: &mut Errors) -> Option<AmountPolicy> {
    match field.string(errors)? {
        "at_least" if is_shared => {
            errors.add(&field.pointer, "must be \"exact\" where the amount tells the payment");
            None
        }
        "at_least" => Some(AmountPolicy::AtLeast),
        "exact" => Some(AmountPolicy::Exact),
        _ => {
            errors.add(&field.pointer, "expected \"at_least\" or \"exact\"");
            None
        }
    }
}

fn read_shared(field: &Field<'_>, has_reference: bool, errors: &mut Errors) -> Option<Matching> {
    match (field.string(errors)?, has_reference) {
        ("exact_amount", false) => return Some(Matching::ExactAmount),
        ("exact_amount", true) => {
            errors.add(
                &field.pointer,
                "cannot be beside `memo` or `reference`, which tells the payment",
            );
        }
        _ => errors.add(&field.pointer, "expected \"exact_amount\""),
    }
    None
}

fn read_reference(
    field: &Field<'_>,
    kind: ReferenceKind,
    asset: &FollowedAsset,
    chain: &dyn Chain,
    errors: &mut Errors,
) -> Option<Matching> {
    let given = field.string(errors)?;
    let carried = match kind {
        ReferenceKind::Reference => chain.parse_reference(given, &asset.info.asset),
        ReferenceKind::Memo => chain.parse_memo(given),
    };
    let carried = carried.map_err(|error| errors.add(&field.pointer, error.to_string())).ok()?;
    Some(Matching::Reference { kind, given: given.to_owned(), carried })
}

/// What a wish below a network's floor came to.
pub(super) fn clamped(wish: Option<Confirmations>, rails: &[ReadRail]) -> Vec<Note> {
    let Some(wish) = wish else { return Vec::new() };
    let mut networks = BTreeSet::new();
    let below = rails.iter().filter(|read| wish < read.floor);
    below
        .filter(|read| networks.insert(read.rail.network.clone()))
        .map(|ReadRail { rail, floor, .. }| Note {
            code: "below-floor",
            pointer: "/confirmations".to_owned(),
            detail: format!(
                "{wish} is below the floor of {}, so {floor} are required there",
                rail.network
            ),
        })
        .collect()
}

/// Native coin that contracts send is only seen by call traces: who waits for some where no
/// provider is known to show them is told.
pub(super) fn partly_seen(rails: &[ReadRail], context: &Context) -> Vec<Note> {
    let sees = |network| context.chains.get(network).is_some_and(|c| c.sees_internal_transfers());
    let native = rails.iter().enumerate().filter(|(_, read)| read.rail.asset == Asset::Native);
    native
        // A payment with a reference is told by its fee proxy's event.
        .filter(|(_, read)| !matches!(read.rail.matching, Matching::Reference { .. }))
        .filter(|(_, read)| !sees(&read.rail.network))
        .map(|(place, ReadRail { rail, .. })| Note {
            code: "contract-payments-unseen",
            pointer: format!("/rails/{place}/asset"),
            detail: format!(
                "native coin that a contract sends is not seen on {}: no provider there is known to \
                 show call traces; what a transaction itself sends is",
                rail.network
            ),
        })
        .collect()
}
