//! Events: what a backend must learn of.

use std::fmt;

use confirmd_chain::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::deposit::{DepositView, WalletKey};
use super::intent::IntentKey;
use super::view::{IntentView, OrphanView, TransferView, rfc3339};

/// The most bytes that a webhook's body may have.
pub const MAX_BODY_BYTES: usize = 20_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum EventKind {
    /// An intent was created. Off by default.
    #[serde(rename = "payment.created")]
    PaymentCreated,
    /// An unconfirmed transaction pays it.
    #[serde(rename = "payment.seen")]
    PaymentSeen,
    /// Enough arrived, not deep enough.
    #[serde(rename = "payment.detected")]
    PaymentDetected,
    /// Something arrived, not enough.
    #[serde(rename = "payment.partial")]
    PaymentPartial,
    /// One more confirmation. Off by default.
    #[serde(rename = "payment.confirming")]
    PaymentConfirming,
    /// Enough arrived and is deep enough.
    #[serde(rename = "payment.confirmed")]
    PaymentConfirmed,
    /// What was told before does not hold any more.
    #[serde(rename = "payment.reverted")]
    PaymentReverted,
    /// Nothing sufficient came in time.
    #[serde(rename = "payment.expired")]
    PaymentExpired,
    /// The backend cancelled it.
    #[serde(rename = "payment.cancelled")]
    PaymentCancelled,
    /// A transfer that settles nothing is final.
    #[serde(rename = "orphan.received")]
    OrphanReceived,
    /// An orphan is gone, or is none any more.
    #[serde(rename = "orphan.reverted")]
    OrphanReverted,
    /// An admin gave an orphan to an intent, or dealt with it elsewhere.
    #[serde(rename = "orphan.resolved")]
    OrphanResolved,
    /// A transfer to a wallet's address that no intent waits for.
    #[serde(rename = "deposit.detected")]
    DepositDetected,
    /// A deposit is deep enough.
    #[serde(rename = "deposit.confirmed")]
    DepositConfirmed,
    /// What was told of a deposit does not hold any more.
    #[serde(rename = "deposit.reverted")]
    DepositReverted,
    /// For trying an endpoint out.
    #[serde(rename = "test")]
    Test,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::PaymentCreated,
        Self::PaymentSeen,
        Self::PaymentDetected,
        Self::PaymentPartial,
        Self::PaymentConfirming,
        Self::PaymentConfirmed,
        Self::PaymentReverted,
        Self::PaymentExpired,
        Self::PaymentCancelled,
        Self::OrphanReceived,
        Self::OrphanReverted,
        Self::OrphanResolved,
        Self::DepositDetected,
        Self::DepositConfirmed,
        Self::DepositReverted,
        Self::Test,
    ];

    /// As in bodies and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentCreated => "payment.created",
            Self::PaymentSeen => "payment.seen",
            Self::PaymentDetected => "payment.detected",
            Self::PaymentPartial => "payment.partial",
            Self::PaymentConfirming => "payment.confirming",
            Self::PaymentConfirmed => "payment.confirmed",
            Self::PaymentReverted => "payment.reverted",
            Self::PaymentExpired => "payment.expired",
            Self::PaymentCancelled => "payment.cancelled",
            Self::OrphanReceived => "orphan.received",
            Self::OrphanReverted => "orphan.reverted",
            Self::OrphanResolved => "orphan.resolved",
            Self::DepositDetected => "deposit.detected",
            Self::DepositConfirmed => "deposit.confirmed",
            Self::DepositReverted => "deposit.reverted",
            Self::Test => "test",
        }
    }

    /// Whether an endpoint gets it without asking for it.
    #[must_use]
    pub const fn on_by_default(self) -> bool {
        !matches!(self, Self::PaymentCreated | Self::PaymentConfirming)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event's stable id: however often an event is made, it has one.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// `evt_` and base32 of the first 128 bits of SHA-256 over account, subject, sequence, type.
    #[must_use]
    pub fn derive(account: &str, subject: &str, sequence: u32, kind: EventKind) -> Self {
        Self(derived_id("evt_", &[account, subject, &sequence.to_string(), kind.as_str()]))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A prefix and base32 of the first 128 bits of SHA-256 over the parts, each with its length.
pub(super) fn derived_id(prefix: &str, parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    let text = data_encoding::BASE32_NOPAD.encode(&digest[..16]).to_ascii_lowercase();
    format!("{prefix}{text}")
}

/// Why something was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retraction {
    /// The chain took another branch.
    Reorg,
    /// A conflicting transaction took its place.
    Replaced,
    /// More came, and together it is not what an exact rail takes.
    WrongAmount,
}

/// One change that the backend must learn of.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its stable id.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// Whose it is.
    pub account: String,
    /// What it is about: the intent's id, or the orphan's.
    pub subject: String,
    /// The intent that it belongs to, if any.
    pub intent: Option<String>,
    /// Its number among the subject's events: the highest is the truth.
    pub sequence: u32,
    /// The time of its cause: block time, else the request's or the expiry's.
    pub timestamp: Timestamp,
    /// The whole state after it.
    pub data: EventData,
}

/// The whole state after an event.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EventData {
    /// The intent, as in the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<IntentView>,
    /// The orphan, as in the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan: Option<OrphanView>,
    /// The deposit, as in the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deposit: Option<DepositView>,
    /// How deep the payment is.
    pub confirmations: u32,
    /// How deep it must be.
    pub required_confirmations: u32,
    /// The transfers that pay the intent, newest first.
    pub transfers: Vec<TransferView>,
    /// The events that it takes back.
    pub retracts: Vec<EventId>,
    /// Why it takes them back.
    pub reason: Option<Retraction>,
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a EventId,
    r#type: EventKind,
    timestamp: String,
    sequence: u32,
    data: &'a EventData,
}

impl Event {
    /// An event of an intent.
    #[must_use]
    pub fn of_intent(
        id: EventId,
        kind: EventKind,
        key: &IntentKey,
        sequence: u32,
        timestamp: Timestamp,
        view: IntentView,
    ) -> Self {
        let paying = view.transfers.iter().filter(|transfer| transfer.rail_id.is_some());
        Self {
            id,
            kind,
            account: key.account.clone(),
            subject: key.id.clone(),
            intent: Some(key.id.clone()),
            sequence,
            timestamp,
            data: EventData {
                confirmations: view.confirmations,
                required_confirmations: view.required_confirmations,
                transfers: paying.cloned().collect(),
                intent: Some(view),
                orphan: None,
                deposit: None,
                retracts: Vec::new(),
                reason: None,
            },
        }
    }

    /// An event of an orphan; its subject is the orphan's id.
    #[must_use]
    pub fn of_orphan(
        id: EventId,
        kind: EventKind,
        key: &IntentKey,
        sequence: u32,
        timestamp: Timestamp,
        orphan: OrphanView,
        view: IntentView,
    ) -> Self {
        let mut event = Self::of_intent(id, kind, key, sequence, timestamp, view);
        event.subject.clone_from(&orphan.id);
        event.data.orphan = Some(orphan);
        event.data.transfers.clear();
        event
    }

    /// An event of a deposit; its subject is the deposit's id.
    #[must_use]
    pub fn of_deposit(
        id: EventId,
        kind: EventKind,
        wallet: &WalletKey,
        sequence: u32,
        timestamp: Timestamp,
        view: DepositView,
    ) -> Self {
        Self {
            id,
            kind,
            account: wallet.account.clone(),
            subject: view.id.clone(),
            intent: None,
            sequence,
            timestamp,
            data: EventData {
                confirmations: view.confirmations,
                required_confirmations: view.required_confirmations,
                transfers: Vec::new(),
                intent: None,
                orphan: None,
                deposit: Some(view),
                retracts: Vec::new(),
                reason: None,
            },
        }
    }

    /// What happened, in words for people.
    #[must_use]
    pub fn headline(&self) -> String {
        let rail = self.data.intent.as_ref().and_then(IntentView::leading_rail);
        let received = rail.map_or_else(String::new, |rail| {
            format!("{} of {} {} on {}", rail.received, rail.amount, rail.asset, rail.network)
        });
        let orphan = self.data.orphan.as_ref().map_or_else(String::new, |orphan| {
            let reason = orphan.reason.as_str();
            format!("{} {} on {}: {reason}", orphan.amount, orphan.asset, orphan.network)
        });
        let deposit = self.data.deposit.as_ref().map_or_else(String::new, |deposit| {
            format!("{} {} on {}", deposit.amount, deposit.asset, deposit.network)
        });
        let depth = format!("{}/{}", self.data.confirmations, self.data.required_confirmations);
        match self.kind {
            EventKind::PaymentCreated => "Waiting for a payment".to_owned(),
            EventKind::PaymentSeen => "Seen in the mempool, not in a block yet".to_owned(),
            EventKind::PaymentDetected => format!("Received {received}, {depth} confirmations"),
            EventKind::PaymentPartial => format!("Received {received}: not enough yet"),
            EventKind::PaymentConfirming => format!("{depth} confirmations"),
            EventKind::PaymentConfirmed => format!("Confirmed: {received}, {depth} confirmations"),
            EventKind::PaymentReverted => {
                let by = match self.data.reason {
                    Some(Retraction::WrongAmount) => "a wrong total",
                    Some(Retraction::Replaced) => "a conflicting transaction",
                    Some(Retraction::Reorg) | None => "the chain",
                };
                format!("Taken back by {by}; now received {received}")
            }
            EventKind::PaymentExpired => format!("Expired; received {received}"),
            EventKind::PaymentCancelled => "Cancelled".to_owned(),
            EventKind::OrphanReceived => format!("Received without settling it: {orphan}"),
            EventKind::OrphanReverted => format!("No orphan any more: {orphan}"),
            EventKind::OrphanResolved => {
                let made = self.data.orphan.as_ref().and_then(|orphan| orphan.resolution.as_ref());
                let done = made.map_or_else(String::new, |made| match &made.intent {
                    Some(intent) => format!("Attached to {intent} by {}", made.actor),
                    None => format!("Dismissed by {}", made.actor),
                });
                format!("{done}: {orphan}")
            }
            EventKind::DepositDetected => format!("Deposit of {deposit}, {depth} confirmations"),
            EventKind::DepositConfirmed => format!("Deposit of {deposit} confirmed"),
            EventKind::DepositReverted => format!("Deposit of {deposit} taken back by the chain"),
            EventKind::Test => "A test of the endpoint".to_owned(),
        }
    }

    /// The native body, at most [`MAX_BODY_BYTES`]: of very many transfers the newest are shown,
    /// `transfers_total` counts all.
    #[must_use]
    pub fn body(&self) -> String {
        let mut data = self.data.clone();
        loop {
            let body = serde_json::json!(Body {
                id: &self.id,
                r#type: self.kind,
                timestamp: rfc3339(self.timestamp),
                sequence: self.sequence,
                data: &data,
            })
            .to_string();
            let listed = data.intent.as_ref().map_or(0, |intent| intent.transfers.len());
            let longest = listed.max(data.transfers.len());
            if body.len() <= MAX_BODY_BYTES || longest == 0 {
                return body;
            }
            data.transfers.truncate(longest / 2);
            if let Some(intent) = &mut data.intent {
                intent.transfers.truncate(longest / 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_id_however_often_it_is_made_i7() {
        let id = EventId::derive("default", "order-1", 4, EventKind::PaymentConfirmed);
        assert_eq!(id, EventId::derive("default", "order-1", 4, EventKind::PaymentConfirmed));
        assert_eq!(id.as_str().len(), "evt_".len() + 26);
        let others = [
            EventId::derive("default", "order-1", 5, EventKind::PaymentConfirmed),
            EventId::derive("default", "order-1", 4, EventKind::PaymentDetected),
            EventId::derive("defaulto", "rder-1", 4, EventKind::PaymentConfirmed),
        ];
        for other in others {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn kinds_are_written_alike_everywhere() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::json!(kind), kind.as_str());
        }
    }
}
