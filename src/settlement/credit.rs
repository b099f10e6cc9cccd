//! The transfers given to intents: where they stand, what they are to their intents, and what was
//! decided about those that settle nothing.

use confirmd_chain::{
    Address, Amount, Asset, BlockHash, Confirmations, Height, Timestamp, TransactionId, TransferId,
};
use serde::{Deserialize, Serialize};

use super::ids::{EventId, NetworkId, derived_id};
use super::sighting::{FORGOTTEN_AFTER_MS, Sighting};

/// Where a transfer stands on the surviving chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The block's height.
    pub height: Height,
    /// The block's hash.
    pub hash: BlockHash,
    /// The block's time.
    pub time: Timestamp,
    /// Its order in the block, among the transfers that were kept.
    pub position: u32,
}

/// The height of the cursor at which a transfer at `height` has the required depth.
pub(super) fn deep_at(height: Height, required: Confirmations) -> Height {
    height.plus(u64::from(required.0.saturating_sub(1)))
}

/// A transfer that was given to an intent.
#[derive(Clone, Debug, PartialEq)]
pub struct Credit {
    /// Its network.
    pub network: NetworkId,
    /// Its identity there.
    pub id: TransferId,
    /// What moved.
    pub asset: Asset,
    /// The asset's symbol, for people.
    pub symbol: String,
    /// The asset's digits behind the point.
    pub decimals: u8,
    /// Who sent it.
    pub from: Option<Address>,
    /// Who received it.
    pub to: Address,
    /// How much arrived.
    pub amount: Amount,
    /// The references that it carries.
    pub references: Vec<String>,
    /// Several open intents could have meant it, and nothing tells which.
    pub is_ambiguous: bool,
    /// With fewer confirmations nobody can spend it.
    pub maturity: Confirmations,
    /// Where it stands; nowhere while it is in no block, or once a reorg took it.
    pub place: Option<Place>,
    /// What mempools showed of it; nothing where none did. Kept while it stands in a block, for
    /// when a reorg takes that.
    pub sighting: Option<Sighting>,
    /// The earlier of block time and first sight, kept across reorgs.
    pub credit_time: Timestamp,
    /// What it is to the intent.
    pub role: Role,
    /// When it became deep enough.
    pub confirmed_at: Option<Timestamp>,
    /// What was reported of it as an orphan.
    pub orphan: OrphanState,
    /// What an admin decided about it as an orphan.
    pub resolution: Option<Resolution>,
}

impl Credit {
    /// `transaction#index`: unique on its network.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}#{}", self.id.transaction, self.id.index)
    }

    /// The transaction that spends what this one would have to, while this one is in no block.
    #[must_use]
    pub fn replaced_by(&self) -> Option<&TransactionId> {
        let sighting = self.sighting.as_ref().filter(|_| self.place.is_none());
        sighting.and_then(|sighting| sighting.replaced_by.as_ref())
    }

    /// Whether it is on its way into a block when its network is followed this far.
    pub(super) fn waits_at(&self, cursor: Option<Height>) -> bool {
        let is_mined = self.place.as_ref().is_some_and(|place| Some(place.height) <= cursor);
        !is_mined && self.sighting.is_some() && self.replaced_by().is_none()
    }

    /// Whether it keeps its intent from expiring.
    pub(super) fn holds_at(&self, now: Timestamp) -> bool {
        let shown_at = self.sighting.as_ref().map(|sighting| sighting.shown_at);
        matches!(self.role, Role::Seen(_))
            && shown_at.is_some_and(|at| now.0.saturating_sub(at.0) < FORGOTTEN_AFTER_MS)
    }

    pub(super) fn is_of(&self, network: &NetworkId, transaction: &TransactionId) -> bool {
        self.network == *network && self.id.transaction == *transaction
    }

    /// Its id as an orphan.
    #[must_use]
    pub fn orphan_id(&self) -> String {
        orphan_id(&self.network, self.id.transaction.as_str(), &self.id.index.to_string())
    }

    /// Whether an admin gave it to its intent.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.decision(), Some(Decision::Attached(_)))
    }

    /// Why it is an orphan for good: an admin dealt with it elsewhere.
    #[must_use]
    pub fn dismissed(&self) -> Option<OrphanReason> {
        let dismissed = self.decision() == Some(&Decision::Dismissed);
        self.resolution.as_ref().filter(|_| dismissed).map(|resolution| resolution.was)
    }

    fn decision(&self) -> Option<&Decision> {
        self.resolution.as_ref().map(|resolution| &resolution.decision)
    }
}

/// The id that a transfer has as an orphan.
pub(super) fn orphan_id(network: &NetworkId, transaction: &str, index: &str) -> String {
    derived_id("orp_", &[network.as_str(), transaction, index])
}

/// A transfer that took the place of one that was the same was first seen with that one: who pays
/// in time and raises the fee later has paid in time.
pub(super) fn with_first_sights(mut credits: Vec<Credit>) -> Vec<Credit> {
    let replaced = |credit: &Credit| Some((credit.clone(), credit.replaced_by()?.clone()));
    let replaced: Vec<_> = credits.iter().filter_map(replaced).collect();
    // Each round reaches one replacement further, from the first to the last.
    for _ in 0..replaced.len() {
        for (old, by) in &replaced {
            let is_old = |credit: &&Credit| credit.network == old.network && credit.id == old.id;
            let first = credits.iter().find(is_old);
            let first = first.map_or(old.credit_time, |first| first.credit_time);
            let same = |new: &&mut Credit| {
                new.is_of(&old.network, by)
                    && (&new.to, &new.asset, new.amount) == (&old.to, &old.asset, old.amount)
                    && new.references == old.references
            };
            for new in credits.iter_mut().filter(same) {
                new.credit_time = new.credit_time.min(first);
            }
        }
    }
    credits
}

/// What a transfer is to the intent that it was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It pays a rail, by its place in the intent's list.
    Pays(usize),
    /// It came to the intent's address and settles nothing.
    Orphan(OrphanReason),
    /// It is in no block yet, and would pay a rail. It counts for nothing.
    Seen(usize),
    /// A reorg took it, it was replaced, or it is in no block and would not pay.
    Gone,
}

/// Why a transfer settles nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrphanReason {
    /// It came after the expiry.
    Late,
    /// The intent was already confirmed.
    Surplus,
    /// Another rail settled the intent, or had taken this one's place.
    OtherRail,
    /// A part of an amount that never was completed in time.
    Underpaid,
    /// The intent was cancelled.
    Cancelled,
    /// No rail of the intent takes this asset.
    WrongAsset,
    /// The rail takes one exact amount, and this made another.
    WrongAmount,
    /// It came to a shared address, and nothing tells which intent it is for: it carries no
    /// reference that anybody waits for, or makes none of several exact amounts. The newest intent
    /// that waits there is named.
    Ambiguous,
}

impl OrphanReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Late,
        Self::Surplus,
        Self::OtherRail,
        Self::Underpaid,
        Self::Cancelled,
        Self::WrongAsset,
        Self::WrongAmount,
        Self::Ambiguous,
    ];

    /// Reads what [`Self::as_str`] writes.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// As in the API and the tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Surplus => "surplus",
            Self::OtherRail => "other_rail",
            Self::Underpaid => "underpaid",
            Self::Cancelled => "cancelled",
            Self::WrongAsset => "wrong_asset",
            Self::WrongAmount => "wrong_amount",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// What was reported of a transfer as an orphan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanState {
    /// The sequence number of the orphan's newest event.
    pub sequence: u32,
    /// The event that stands, if one does.
    pub reported: Option<ReportedOrphan>,
}

/// An `orphan.received` that was not taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedOrphan {
    /// The event's id.
    pub event: EventId,
    /// The reason that it gave.
    pub reason: OrphanReason,
    /// The amount that it gave.
    pub amount: Amount,
    /// How far the network had to be followed for it.
    pub height: Height,
}

/// What was decided about an orphan, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// What was decided.
    pub decision: Decision,
    /// Why it was an orphan.
    pub was: OrphanReason,
    /// The intent to whose address it came, by the backend's id.
    pub from: String,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What is to become of an orphan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It pays this intent of the same account (the backend's id), whenever and wherever to it
    /// came, as long as a rail takes its asset on its network.
    Attached(String),
    /// It was dealt with elsewhere, say sent back: it never pays anything, and nobody is told of
    /// it again.
    Dismissed,
}

impl Decision {
    /// As in the API and the tables.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Attached(_) => "attached",
            Self::Dismissed => "dismissed",
        }
    }
}
