//! Deposits: transfers to a wallet's addresses that no intent waits for.
//!
//! A deposit is what its transfer, the cursor and the policy make of it; nothing adds up, and
//! nothing expires.

use confirmd_chain::{Address, Amount, Asset, Confirmations, Height, Timestamp, TransferId};
use serde::{Deserialize, Serialize};

use super::credit::{Place, deep_at};
use super::ids::{EventId, NetworkId, WalletKey, derived_id};
use super::rfc3339::rfc3339;

/// A transfer that was given to a wallet.
#[derive(Clone, Debug, PartialEq)]
pub struct Deposit {
    /// The wallet.
    pub wallet: WalletKey,
    /// Its network.
    pub network: NetworkId,
    /// The transfer's identity there.
    pub id: TransferId,
    /// What moved.
    pub asset: Asset,
    /// The asset's symbol, for people.
    pub symbol: String,
    /// The asset's digits behind the point.
    pub decimals: u8,
    /// Who sent it.
    pub from: Option<Address>,
    /// Which of the wallet's addresses received it.
    pub to: Address,
    /// That address's index, where it has one.
    pub address_index: Option<u32>,
    /// How the address's key is derived, where that is known.
    pub path: Option<String>,
    /// What the backend calls the address.
    pub external_id: Option<String>,
    /// How much arrived.
    pub amount: Amount,
    /// The smallest amount that the asset's configuration asked for when it came.
    pub minimum: Amount,
    /// Where it stands; nowhere once a reorg took it.
    pub place: Option<Place>,
    /// The earlier of block time and first sight, kept across reorgs.
    pub credit_time: Timestamp,
    /// How deep it must be: what was so when it was first seen.
    pub required: Confirmations,
    /// What was told of it.
    pub memory: DepositMemory,
}

/// What was told of a deposit and stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepositMemory {
    /// The sequence number of its newest event.
    pub sequence: u32,
    /// That it was detected.
    pub detected: Option<Told>,
    /// That it was confirmed.
    pub confirmed: Option<Told>,
}

/// An event that stands, and what it rested on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The event.
    pub event: EventId,
    /// How far the network was followed for it.
    pub height: Height,
    /// The time of that block.
    pub at: Timestamp,
    /// How much it told.
    pub amount: Amount,
}

/// Where a deposit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DepositStatus {
    /// In a block, not deep enough.
    Confirming,
    /// Deep enough.
    Confirmed,
    /// A reorg took it.
    Reverted,
}

impl DepositStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Confirming, Self::Confirmed, Self::Reverted];

    /// As in the API and the tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirming => "confirming",
            Self::Confirmed => "confirmed",
            Self::Reverted => "reverted",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl Deposit {
    /// `dep_` and a digest of its network, transaction and index.
    #[must_use]
    pub fn id(network: &NetworkId, id: &TransferId) -> String {
        let (transaction, index) = (id.transaction.as_str(), id.index.to_string());
        derived_id("dep_", &[network.as_str(), transaction, &index])
    }

    /// As [`Self::id`], of this one.
    #[must_use]
    pub fn view_id(&self) -> String {
        Self::id(&self.network, &self.id)
    }

    /// Where it stands. A confirmation, once reached, is lost with its blocks alone.
    #[must_use]
    pub fn status(&self) -> DepositStatus {
        match (&self.place, &self.memory.confirmed) {
            (None, _) => DepositStatus::Reverted,
            (Some(_), Some(_)) => DepositStatus::Confirmed,
            (Some(_), None) => DepositStatus::Confirming,
        }
    }

    /// How deep it is, capped by what is required (I6).
    #[must_use]
    pub fn confirmations(&self, cursor: Height) -> Confirmations {
        let count = |place: &Place| Confirmations::count(place.height, cursor, self.required);
        self.place.as_ref().map_or(Confirmations(0), count)
    }

    /// The height of the cursor at which it is to be looked at again, if it is.
    #[must_use]
    pub fn wake_height(&self, cursor: Height) -> Option<Height> {
        let deep = deep_at(self.place.as_ref()?.height, self.required);
        (deep > cursor).then_some(deep)
    }
}

/// A deposit as the API and events show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DepositView {
    /// Its id: `dep_` and a digest of its network, transaction and index.
    pub id: String,
    /// The wallet's id.
    pub wallet: String,
    /// Where it stands.
    pub status: DepositStatus,
    /// Its network.
    pub network: String,
    /// The asset's symbol.
    pub asset: String,
    /// The address that received it.
    pub address: String,
    /// That address's index in the wallet.
    pub address_index: Option<u32>,
    /// How the address's key is derived.
    pub path: Option<String>,
    /// What the backend calls the address.
    pub external_id: Option<String>,
    /// Its transaction.
    pub transaction: String,
    /// Its place in the transaction (`vout:1`).
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
    /// Whether it is less than the asset's `minimum`: dust that a backend may not want to credit.
    pub below_minimum: bool,
    /// How deep it is, capped by what is required.
    pub confirmations: u32,
    /// How deep it must be.
    pub required_confirmations: u32,
    /// The time of the block that confirmed it.
    pub confirmed_at: Option<String>,
}

impl DepositView {
    /// The deposit when its network is followed up to `cursor`.
    #[must_use]
    pub fn of(deposit: &Deposit, cursor: Height) -> Self {
        let place = deposit.place.as_ref();
        let confirmed = deposit.memory.confirmed.as_ref().filter(|_| place.is_some());
        Self {
            id: Deposit::id(&deposit.network, &deposit.id),
            wallet: deposit.wallet.id.clone(),
            status: deposit.status(),
            network: deposit.network.to_string(),
            asset: deposit.symbol.clone(),
            address: deposit.to.to_string(),
            address_index: deposit.address_index,
            path: deposit.path.clone(),
            external_id: deposit.external_id.clone(),
            transaction: deposit.id.transaction.to_string(),
            index: deposit.id.index.to_string(),
            block: place.map(|place| place.height.0),
            block_hash: place.map(|place| place.hash.to_string()),
            block_time: place.map(|place| rfc3339(place.time)),
            from: deposit.from.as_ref().map(ToString::to_string),
            amount: deposit.amount.to_decimal(deposit.decimals),
            base_units: deposit.amount.to_string(),
            below_minimum: deposit.amount < deposit.minimum,
            confirmations: match confirmed {
                Some(_) => deposit.required.0,
                None => deposit.confirmations(cursor).0,
            },
            required_confirmations: deposit.required.0,
            confirmed_at: confirmed.map(|told| rfc3339(told.at)),
        }
    }
}
