//! Rails: the ways to pay an intent.

use confirmd_chain::{Address, Amount, Asset, Confirmations, Timestamp};
use serde::{Deserialize, Serialize};

use super::credit::Credit;
use super::ids::NetworkId;

/// One way to pay an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rail {
    /// `r1`, `r2`, … in the order in which the intent got them.
    pub rail_id: String,
    /// The network.
    pub network: NetworkId,
    /// The network's CAIP-2 id.
    pub caip2: String,
    /// The EVM chain id.
    pub chain_id: Option<u64>,
    /// The asset.
    pub asset: Asset,
    /// The asset's CAIP-19 id.
    pub caip19: String,
    /// The asset's symbol.
    pub symbol: String,
    /// The asset's digits behind the point.
    pub decimals: u8,
    /// What is to be paid.
    pub amount: Amount,
    /// Where to.
    pub address: Address,
    /// The account in which the owner of that address keeps the asset, where it is another.
    pub token_account: Option<Address>,
    /// What a payer's wallet reads from a link or a QR code, where there is such a text.
    pub payment_uri: Option<String>,
    /// What tells its payments from others at the same address.
    pub matching: Matching,
    /// Which totals settle it.
    pub policy: AmountPolicy,
    /// How deep it must be, floor and wish considered.
    pub required: Confirmations,
    /// When another rail took its place: it takes only what is timed before.
    pub replaced_at: Option<Timestamp>,
}

/// What tells a rail's payments from others at the same address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// Nothing need to: the address is the rail's own. Several transfers add up.
    #[default]
    Address,
    /// The transfer carries a text that names the payment. Several transfers add up.
    Reference {
        /// How it is carried.
        kind: ReferenceKind,
        /// As the payer is told.
        given: String,
        /// As transfers show it ([`Chain::parse_reference`](confirmd_chain::Chain)).
        carried: String,
    },
    /// The amount is equal, without tolerance.
    ExactAmount,
}

/// How a transfer carries the text that names the payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// In the way that its network has for references.
    Reference,
    /// As a memo.
    Memo,
}

/// Which totals settle a rail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AmountPolicy {
    /// The amount, less the tolerance, or more.
    #[default]
    AtLeast,
    /// The amount and no other.
    Exact,
}

impl Matching {
    /// What transfers must show, where a text names the payment.
    #[must_use]
    pub fn carried(&self) -> Option<&str> {
        match self {
            Self::Reference { carried, .. } => Some(carried),
            Self::Address | Self::ExactAmount => None,
        }
    }

    /// The text that a payment must carry in this way, as the payer is told.
    #[must_use]
    pub fn given(&self, by: ReferenceKind) -> Option<&str> {
        match self {
            Self::Reference { kind, given, .. } if *kind == by => Some(given),
            _ => None,
        }
    }
}

impl Rail {
    /// Whether this is what the rail waits for, the time of it apart.
    pub(super) fn takes(&self, credit: &Credit) -> bool {
        self.network == credit.network
            && self.asset == credit.asset
            && self.address == credit.to
            && match &self.matching {
                Matching::Address => true,
                Matching::Reference { carried, .. } => credit.references.contains(carried),
                Matching::ExactAmount => credit.amount == self.amount,
            }
    }

    /// Whether a transfer could pay it, wherever it went and whatever it carries. An exact amount
    /// is never paid in parts.
    pub(super) fn could_take(&self, credit: &Credit) -> bool {
        self.network == credit.network
            && self.asset == credit.asset
            && (self.matching != Matching::ExactAmount || self.amount == credit.amount)
    }

    /// Whether another rail asks for the very same.
    #[must_use]
    pub fn asks_like(&self, other: &Self) -> bool {
        self.network == other.network
            && self.asset == other.asset
            && self.amount == other.amount
            && self.address == other.address
            && self.policy == other.policy
            && match (&self.matching, &other.matching) {
                (
                    Matching::Reference { carried, .. },
                    Matching::Reference { carried: others, .. },
                ) => carried == others,
                (ours, others) => ours == others,
            }
    }
}
