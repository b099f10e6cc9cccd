//! Intents: what is asked for, and what is remembered of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use confirmd_chain::{Amount, Confirmations, Height, Timestamp};
use serde::{Deserialize, Serialize};

use super::credit::{Credit, OrphanReason};
use super::ids::{EventId, IntentKey, NetworkId};
use super::kinds::EventKind;
use super::rail::{Matching, Rail};
use super::sighting::ToldSighting;

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing arrived.
    Pending,
    /// Something arrived, not enough.
    Partial,
    /// Enough arrived, not deep enough.
    Confirming,
    /// Enough arrived and is deep enough.
    Confirmed,
    /// Nothing sufficient arrived in time.
    Expired,
    /// Cancelled before anything was seen.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Partial,
        Self::Confirming,
        Self::Confirmed,
        Self::Expired,
        Self::Cancelled,
    ];

    /// As in the API and the tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Partial => "partial",
            Self::Confirming => "confirming",
            Self::Confirmed => "confirmed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the intent still waits for money or for depth.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Partial | Self::Confirming)
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// The share of an amount that may be missing, in billionths: `0` to `0.1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tolerance(u32);

/// The text is not a tolerance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a share from \"0\" to \"0.1\" with at most 9 decimals")]
pub struct ToleranceError;

impl Tolerance {
    const WHOLE: u64 = 1_000_000_000;
    const MAX: u64 = Self::WHOLE / 10;

    /// What must arrive of `amount`: all but `floor(amount × tolerance)`.
    #[must_use]
    pub fn needed(self, amount: Amount) -> Amount {
        amount.saturating_sub(amount.share(u64::from(self.0), Self::WHOLE))
    }
}

impl FromStr for Tolerance {
    type Err = ToleranceError;

    fn from_str(text: &str) -> Result<Self, ToleranceError> {
        let share = Amount::parse_decimal(text, 9).map_err(|_| ToleranceError)?;
        if share > Amount::from(Self::MAX) {
            return Err(ToleranceError);
        }
        u32::try_from(share.base_units()).map(Self).map_err(|_| ToleranceError)
    }
}

/// As the decimal string it was read from.
impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Amount::from(u64::from(self.0)).to_decimal(9))
    }
}

/// One expected payment.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Its identity.
    pub key: IntentKey,
    /// The ways to pay it. 1 to 16 that stand; those that were replaced keep their places, since
    /// what was reported names them by place.
    pub rails: Vec<Rail>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Until when a payment is in time.
    pub expires_at: Timestamp,
    /// The share that may be missing.
    pub tolerance: Tolerance,
    /// The backend's wish, clamped to the floor.
    pub confirmations: Option<Confirmations>,
    /// Where its events go.
    pub endpoints: Vec<String>,
    /// Whether somebody wants an event for every further confirmation.
    pub wants_progress: bool,
    /// The backend's own data, returned as given.
    pub metadata: serde_json::Value,
    /// What a dialect's body needs and the chain cannot know.
    pub dialect_data: serde_json::Value,
    /// What came of it.
    pub state: State,
}

impl Intent {
    /// The rail that a credit pays: the first that asks for it. A replaced one asks for what is
    /// timed before its replacement, so of two at one address it comes first for that, and the one
    /// that took its place has the rest.
    /// What an admin attached pays, where no rail asks for it, the first that could take it.
    #[must_use]
    pub fn rail_for(&self, credit: &Credit) -> Option<usize> {
        let asks = self.rails.iter().position(|rail| {
            rail.takes(credit) && rail.replaced_at.is_none_or(|at| credit.credit_time < at)
        });
        let could = || self.current_rails().find(|(_, rail)| rail.could_take(credit));
        let attached = || could().filter(|_| credit.is_attached()).map(|(rail, _)| rail);
        asks.or_else(attached)
    }

    /// Why a credit to one of the intent's addresses pays none of its rails.
    #[must_use]
    pub fn stray(&self, credit: &Credit) -> OrphanReason {
        if self.rails.iter().any(|rail| rail.takes(credit)) {
            return OrphanReason::OtherRail;
        }
        let here = |rail: &&Rail| {
            rail.network == credit.network
                && rail.asset == credit.asset
                && rail.address == credit.to
        };
        match self.rails.iter().rev().find(here).map(|rail| &rail.matching) {
            None => OrphanReason::WrongAsset,
            Some(Matching::ExactAmount) if !credit.is_ambiguous => OrphanReason::WrongAmount,
            Some(_) => OrphanReason::Ambiguous,
        }
    }

    /// The networks on which it can be paid, or could.
    #[must_use]
    pub fn networks(&self) -> BTreeSet<&NetworkId> {
        self.rails.iter().map(|rail| &rail.network).collect()
    }

    /// The rails that nothing took the place of, with their places.
    pub fn current_rails(&self) -> impl Iterator<Item = (usize, &Rail)> {
        self.rails.iter().enumerate().filter(|(_, rail)| rail.replaced_at.is_none())
    }

    /// How deep a payment by this rail must be: once confirmed, as deep as it had to be then.
    #[must_use]
    pub fn required_by(&self, rail: usize) -> Confirmations {
        let confirmed = self.state.confirmed.as_ref().filter(|confirmed| confirmed.rail == rail);
        confirmed.map_or(self.rails[rail].required, |confirmed| confirmed.required)
    }

    /// How deep any credit on this network must be before it is called final.
    #[must_use]
    pub fn required_on(&self, network: &NetworkId) -> Confirmations {
        let on_network = self.rails.iter().filter(|rail| rail.network == *network);
        on_network.map(|rail| rail.required).max().unwrap_or(Confirmations(1))
    }
}

/// How deep a transfer must be before it is final: as its rail says, else its network's deepest;
/// and so deep that it can be spent.
#[must_use]
pub fn required_of(intent: &Intent, credit: &Credit) -> Confirmations {
    let required = intent
        .rail_for(credit)
        .map_or_else(|| intent.required_on(&credit.network), |rail| intent.required_by(rail));
    required.max(credit.maturity)
}

/// What is remembered of an intent between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// The sequence number of its newest event.
    pub sequence: u32,
    /// How it was confirmed; kept until a reorg reaches below it.
    pub confirmed: Option<Confirmed>,
    /// Why no more money is expected.
    pub closed: Option<Closed>,
    /// What was reported and not retracted, oldest first.
    pub reported: Vec<Milestone>,
    /// The unconfirmed transactions that were told and not taken back, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<ToldSighting>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl State {
    /// A new intent's.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            status: Status::Pending,
            sequence: 0,
            confirmed: None,
            closed: None,
            reported: Vec::new(),
            seen: Vec::new(),
            updated_at: now,
        }
    }
}

/// How an intent was confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// By which rail.
    pub rail: usize,
    /// At which height of the rail's network it became deep enough.
    pub height: Height,
    /// The time of that block; of the command where a lower requirement confirmed it.
    pub at: Timestamp,
    /// How deep it had to be. A threshold changed since is for other payments.
    pub required: Confirmations,
}

/// Why no more money is expected, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// Its time ran out.
    Expired(Timestamp),
    /// The backend cancelled it.
    Cancelled(Timestamp),
}

/// How far a reported milestone goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Nothing.
    Nothing,
    /// Something arrived.
    Partial,
    /// Enough arrived.
    Detected,
    /// Enough arrived and is deep enough.
    Confirmed,
}

impl Rank {
    /// The event that tells it.
    pub(super) const fn event(self) -> Option<EventKind> {
        match self {
            Self::Nothing => None,
            Self::Partial => Some(EventKind::PaymentPartial),
            Self::Detected => Some(EventKind::PaymentDetected),
            Self::Confirmed => Some(EventKind::PaymentConfirmed),
        }
    }
}

/// An event that told what one network's transfers amount to, and what it rested on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    /// The event's id.
    pub event: EventId,
    /// The network.
    pub network: NetworkId,
    /// How far the network was followed when this became true.
    pub height: Height,
    /// What it told.
    pub rank: Rank,
    /// A digest of the transfers that it rested on, so that the size of the state does not grow
    /// with their square.
    pub told: String,
    /// The further confirmations told to whoever wants every one, and their sequence numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub progress: BTreeMap<u32, u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_is_read_exactly_and_bounded() {
        for text in ["0", "0.1", "0.001", "0.000000001"] {
            assert_eq!(text.parse::<Tolerance>().expect("valid").to_string(), text);
        }
        for wrong in ["0.11", "-0.1", "1", "", "0.0000000001", "1e-3", "abc"] {
            assert_eq!(wrong.parse::<Tolerance>(), Err(ToleranceError), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_needed_is_the_amount_less_the_floor_of_the_tolerated_share_i10() {
        let needed = |amount: u64, tolerance: &str| {
            tolerance.parse::<Tolerance>().expect("valid").needed(Amount::from(amount))
        };
        assert_eq!(needed(1_000, "0"), Amount::from(1_000));
        assert_eq!(needed(1_000, "0.001"), Amount::from(999));
        assert_eq!(needed(999, "0.001"), Amount::from(999));
        assert_eq!(needed(1, "0.1"), Amount::from(1));
    }
}
