//! Events: what a backend must learn of.

use confirmd_chain::Timestamp;
use serde::Serialize;

use super::deposit::DepositView;
use super::ids::{EventId, IntentKey, WalletKey};
use super::kinds::{EventKind, Retraction};
use super::rfc3339::rfc3339;
use super::view::{IntentView, OrphanView, TransferView};

/// The most bytes that a webhook's body may have.
pub const MAX_BODY_BYTES: usize = 20_000;

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
