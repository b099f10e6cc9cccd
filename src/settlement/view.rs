//! How intents, transfers and orphans look outside: in the API and in events.

use std::collections::BTreeMap;

use confirmd_chain::{Address, Amount, Confirmations, Height, Timestamp};
use serde::Serialize;

use super::assess::assess;
use super::credit::{Credit, Decision, OrphanReason, Resolution, Role, orphan_id};
use super::ids::{IntentKey, NetworkId};
use super::intent::{Intent, Status, required_of};
use super::rail::{AmountPolicy, Matching, ReferenceKind};
use super::rfc3339::rfc3339;

/// The most transfers that an intent shows; `transfers_total` counts all.
const TRANSFERS_SHOWN: usize = 20;

/// The most replaced rails that an intent shows. Once it is settled, one at most received anything.
const REPLACED_SHOWN: usize = 4;

/// An intent as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct IntentView {
    /// The backend's id.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// Its time is over, but a payment in time may still show up.
    pub overdue: bool,
    /// The rail that settles it.
    pub settled_by: Option<String>,
    /// The transaction that made the amount complete.
    pub completed_by: Option<String>,
    /// How deep its payment is.
    pub confirmations: u32,
    /// How deep it must be.
    pub required_confirmations: u32,
    /// The ways to pay it; behind them those that were replaced, where they received something.
    pub rails: Vec<RailView>,
    /// Until when a payment is in time.
    pub expires_at: String,
    /// The share that may be missing.
    pub tolerance: String,
    /// Where its events go.
    pub endpoints: Vec<String>,
    /// The backend's own data.
    #[schema(value_type = Object)]
    pub metadata: serde_json::Value,
    /// What a dialect needs and the chain cannot know.
    #[schema(value_type = Object)]
    pub dialect_data: serde_json::Value,
    /// When it was created.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// When it was confirmed.
    pub confirmed_at: Option<String>,
    /// Its newest transfers.
    pub transfers: Vec<TransferView>,
    /// How many transfers it has.
    pub transfers_total: usize,
}

/// A rail as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RailView {
    /// Its id within the intent.
    pub rail_id: String,
    /// The network's registry id.
    pub network: String,
    /// The network's CAIP-2 id.
    pub caip2: String,
    /// The EVM chain id.
    pub chain_id: Option<u64>,
    /// The asset's symbol.
    pub asset: String,
    /// The asset's CAIP-19 id.
    pub caip19: String,
    /// The asset's digits behind the point.
    pub decimals: u8,
    /// What is to be paid, as a decimal.
    pub amount: String,
    /// What is to be paid, in base units.
    pub base_units: String,
    /// Where to.
    pub address: String,
    /// The account in which the owner of that address keeps the asset (Solana's associated token
    /// account). Payments go to the owner; this is where they arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_account: Option<String>,
    /// What a payer's wallet reads from a link or a QR code (BIP-21, EIP-681, Solana Pay).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_uri: Option<String>,
    /// The memo that a payment must carry, at an address that several intents share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memo: Option<String>,
    /// The reference that a payment must carry, at an address that several intents share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How payments are told apart at an address that several intents share without either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#match: Option<SharedMatch>,
    /// Which totals settle it.
    pub amount_policy: AmountPolicy,
    /// How deep a payment must be.
    pub required_confirmations: u32,
    /// When another rail took its place: only what is timed before is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<String>,
    /// What arrived and counts, as a decimal.
    pub received: String,
    /// What arrived and counts, in base units.
    pub received_base_units: String,
    /// What arrived beyond the amount, as a decimal, once complete.
    pub overpaid_by: Option<String>,
}

/// How payments to a shared address are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SharedMatch {
    /// By an amount that no other open intent waits for there.
    ExactAmount,
}

/// A transfer as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TransferView {
    /// The rail that it pays, unless it is an orphan.
    pub rail_id: Option<String>,
    /// Its network.
    pub network: String,
    /// The asset's symbol.
    pub asset: String,
    /// Its transaction.
    pub transaction: String,
    /// Its place in the transaction (`log:3`).
    pub index: String,
    /// Its block's height, where it stands on the chain.
    pub block: Option<u64>,
    /// Its block's hash.
    pub block_hash: Option<String>,
    /// Its block's time.
    pub block_time: Option<String>,
    /// Who sent it.
    pub from: Option<String>,
    /// How much arrived, as a decimal.
    pub amount: String,
    /// How much arrived, in base units.
    pub base_units: String,
    /// `seen` (in no block yet), `confirming`, `confirmed`, `reverted`, `replaced` (another
    /// transaction spends the same), or `orphan:` and the reason.
    pub status: String,
    /// How deep it is, capped by what is required.
    pub confirmations: u32,
    /// When it became that deep, once `confirmed`.
    pub confirmed_at: Option<String>,
    /// While it is `seen`: what it pays for being mined, in base units per virtual byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_rate: Option<String>,
    /// While it is `seen`: whether it says that it may be replaced (BIP-125).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaceable: Option<bool>,
    /// While it is `replaced`: the transaction that spends the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

/// A transfer to one of our addresses that settles no intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OrphanView {
    /// Its id: `orp_` and a digest of its network, transaction and index.
    pub id: String,
    /// Why it settles nothing; did, once it is resolved.
    pub reason: OrphanReason,
    /// The intent to whose address it came.
    pub intent: String,
    /// Its network.
    pub network: String,
    /// The asset's symbol.
    pub asset: String,
    /// Its transaction.
    pub transaction: String,
    /// Its place in the transaction.
    pub index: String,
    /// Its block's height.
    pub block: Option<u64>,
    /// Who sent it.
    pub from: Option<String>,
    /// The address that it came to.
    pub to: String,
    /// How much arrived, as a decimal.
    pub amount: String,
    /// How much arrived, in base units.
    pub base_units: String,
    /// What an admin decided about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<ResolutionView>,
}

/// What an admin decided about an orphan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ResolutionView {
    /// `attached` to an intent, or `dismissed`.
    pub decision: String,
    /// The intent that it was attached to.
    pub intent: Option<String>,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub resolved_at: String,
}

impl From<&Resolution> for ResolutionView {
    fn from(resolution: &Resolution) -> Self {
        Self {
            decision: resolution.decision.as_str().to_owned(),
            intent: match &resolution.decision {
                Decision::Attached(intent) => Some(intent.clone()),
                Decision::Dismissed => None,
            },
            actor: resolution.actor.clone(),
            reason: resolution.reason.clone(),
            resolved_at: rfc3339(resolution.at),
        }
    }
}

impl IntentView {
    /// The intent as it stands with these transfers when its networks are followed this far.
    #[must_use]
    pub fn at(
        intent: &Intent,
        credits: &[Credit],
        cursors: &BTreeMap<NetworkId, Height>,
        now: Timestamp,
    ) -> Self {
        let assessment = assess(intent, credits, cursors);
        let mut shown: Vec<_> = std::iter::zip(credits, &assessment.roles).collect();
        // A transfer above the cursor of this step has not happened yet.
        shown.retain(|(credit, role)| credit.place.is_none() || **role != Role::Gone);
        let transfers_total = shown.len();
        shown.sort_by_key(|(credit, role)| {
            let is_seen = matches!(role, Role::Seen(_));
            let place = credit.place.as_ref().map(|p| (p.time, p.height, p.position));
            std::cmp::Reverse((is_seen, place, credit.credit_time))
        });
        shown.truncate(TRANSFERS_SHOWN);
        let transfers =
            shown.into_iter().map(|(credit, role)| transfer(intent, credit, *role, cursors));
        let status = assessment.status;
        let settled = matches!(status, Status::Confirming | Status::Confirmed);
        let confirmed = intent.state.confirmed.as_ref().filter(|_| status == Status::Confirmed);
        Self {
            id: intent.key.id.clone(),
            status,
            overdue: now > intent.expires_at && matches!(status, Status::Pending | Status::Partial),
            settled_by: settled.then(|| intent.rails[assessment.rail].rail_id.clone()),
            completed_by: assessment
                .completed_by
                .map(|completing| credits[completing].id.transaction.to_string()),
            confirmations: assessment.confirmations.0,
            required_confirmations: intent.required_by(assessment.rail).0,
            rails: rails(intent, &assessment.received),
            expires_at: rfc3339(intent.expires_at),
            tolerance: intent.tolerance.to_string(),
            endpoints: intent.endpoints.clone(),
            metadata: intent.metadata.clone(),
            dialect_data: intent.dialect_data.clone(),
            created_at: rfc3339(intent.created_at),
            updated_at: rfc3339(intent.state.updated_at),
            confirmed_at: confirmed.map(|confirmed| rfc3339(confirmed.at)),
            transfers: transfers.collect(),
            transfers_total,
        }
    }
}

impl IntentView {
    /// The rail that settles it, else the first one that received something, else the first.
    #[must_use]
    pub fn leading_rail(&self) -> Option<&RailView> {
        let settled =
            self.rails.iter().find(|rail| Some(&rail.rail_id) == self.settled_by.as_ref());
        let paid = || self.rails.iter().find(|rail| rail.received != "0");
        settled.or_else(paid).or_else(|| self.rails.first())
    }
}

fn rails(intent: &Intent, received: &[Amount]) -> Vec<RailView> {
    let stand = intent.current_rails().map(|(index, _)| index);
    let replaced = (0..intent.rails.len())
        .filter(|&index| intent.rails[index].replaced_at.is_some() && !received[index].is_zero());
    stand
        .chain(replaced.take(REPLACED_SHOWN))
        .map(|index| rail(intent, index, received[index]))
        .collect()
}

fn rail(intent: &Intent, index: usize, received: Amount) -> RailView {
    let rail = &intent.rails[index];
    let over = received.saturating_sub(rail.amount);
    let given = |kind| rail.matching.given(kind).map(str::to_owned);
    let by_amount = rail.matching == Matching::ExactAmount;
    RailView {
        rail_id: rail.rail_id.clone(),
        network: rail.network.to_string(),
        caip2: rail.caip2.clone(),
        chain_id: rail.chain_id,
        asset: rail.symbol.clone(),
        caip19: rail.caip19.clone(),
        decimals: rail.decimals,
        amount: rail.amount.to_decimal(rail.decimals),
        base_units: rail.amount.to_string(),
        address: rail.address.to_string(),
        token_account: rail.token_account.as_ref().map(Address::to_string),
        payment_uri: rail.payment_uri.clone().filter(|_| rail.replaced_at.is_none()),
        memo: given(ReferenceKind::Memo),
        reference: given(ReferenceKind::Reference),
        r#match: by_amount.then_some(SharedMatch::ExactAmount),
        amount_policy: rail.policy,
        required_confirmations: intent.required_by(index).0,
        replaced_at: rail.replaced_at.map(rfc3339),
        received: received.to_decimal(rail.decimals),
        received_base_units: received.to_string(),
        overpaid_by: (!over.is_zero()).then(|| over.to_decimal(rail.decimals)),
    }
}

fn transfer(
    intent: &Intent,
    credit: &Credit,
    role: Role,
    cursors: &BTreeMap<NetworkId, Height>,
) -> TransferView {
    let required = required_of(intent, credit);
    let cursor = cursors.get(&credit.network);
    let confirmations = match (&credit.place, cursor) {
        (Some(place), Some(&cursor)) => Confirmations::count(place.height, cursor, required),
        _ => Confirmations(0),
    };
    let is_confirmed = matches!(role, Role::Pays(_)) && confirmations >= required;
    let sighting = credit.sighting.as_ref().filter(|_| credit.waits_at(cursor.copied()));
    let status = match role {
        Role::Seen(_) => "seen".to_owned(),
        Role::Gone if sighting.is_some() => "seen".to_owned(),
        Role::Gone if credit.replaced_by().is_some() => "replaced".to_owned(),
        Role::Gone => "reverted".to_owned(),
        Role::Orphan(reason) => format!("orphan:{}", reason.as_str()),
        _ if is_confirmed => "confirmed".to_owned(),
        Role::Pays(_) => "confirming".to_owned(),
    };
    let rail = match role {
        Role::Pays(rail) | Role::Seen(rail) => Some(intent.rails[rail].rail_id.clone()),
        Role::Orphan(_) | Role::Gone => None,
    };
    let place = credit.place.as_ref().filter(|_| sighting.is_none());
    TransferView {
        rail_id: rail,
        network: credit.network.to_string(),
        asset: credit.symbol.clone(),
        transaction: credit.id.transaction.to_string(),
        index: credit.id.index.to_string(),
        block: place.map(|place| place.height.0),
        block_hash: place.map(|place| place.hash.to_string()),
        block_time: place.map(|place| rfc3339(place.time)),
        from: credit.from.as_ref().map(ToString::to_string),
        amount: credit.amount.to_decimal(credit.decimals),
        base_units: credit.amount.to_string(),
        status,
        confirmations: confirmations.0,
        confirmed_at: credit.confirmed_at.filter(|_| is_confirmed).map(rfc3339),
        fee_rate: sighting.and_then(|seen| seen.fee_rate).map(|rate| rate.to_string()),
        replaceable: sighting.map(|seen| seen.replaceable),
        replaced_by: credit.replaced_by().map(ToString::to_string),
    }
}

impl TransferView {
    /// A transfer as what its intent last made of it.
    #[must_use]
    pub fn of(intent: &Intent, credit: &Credit, cursors: &BTreeMap<NetworkId, Height>) -> Self {
        transfer(intent, credit, credit.role, cursors)
    }
}

impl OrphanView {
    /// The id that a transfer has as an orphan.
    #[must_use]
    pub fn id(network: &NetworkId, transaction: &str, index: &str) -> String {
        orphan_id(network, transaction, index)
    }

    /// A transfer that came to an intent's address and settles nothing.
    #[must_use]
    pub fn of(key: &IntentKey, credit: &Credit, reason: OrphanReason) -> Self {
        let transaction = credit.id.transaction.to_string();
        let index = credit.id.index.to_string();
        Self {
            id: credit.orphan_id(),
            reason,
            intent: credit.resolution.as_ref().map_or(&key.id, |made| &made.from).clone(),
            network: credit.network.to_string(),
            asset: credit.symbol.clone(),
            transaction,
            index,
            block: credit.place.as_ref().map(|place| place.height.0),
            from: credit.from.as_ref().map(ToString::to_string),
            to: credit.to.to_string(),
            amount: credit.amount.to_decimal(credit.decimals),
            base_units: credit.amount.to_string(),
            resolution: credit.resolution.as_ref().map(ResolutionView::from),
        }
    }
}
