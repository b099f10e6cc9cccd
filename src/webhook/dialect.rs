//! Dialects: bodies, headers, and what counts as taken. This file is the only one that tells them
//! apart.

use confirmd_chain::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use secrecy::SecretString;
use serde::Serialize;

use super::signature::{self, SignatureError};
use crate::config::{AmnSignature, Dialect};
use crate::settlement::{Event, EventKind, IntentView, Retraction, Status};

impl Dialect {
    /// What is posted of an event; nothing where the dialect has no word for it.
    pub(super) fn body(&self, event: &Event) -> Option<String> {
        match self {
            Self::Standard => Some(event.body()),
            Self::Amn(_) => amn_body(event),
        }
    }

    /// What is sent beside the body: its type, the event's id, and a signature of this moment.
    pub(super) fn headers(
        &self,
        secrets: &[SecretString],
        event: &str,
        body: &str,
        now: Timestamp,
    ) -> Result<HeaderMap, SignatureError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = concat!("confirmd/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let mut set = |name: &str, value: &str| {
            let name = HeaderName::try_from(name).map_err(|_| SignatureError::Header)?;
            let value = HeaderValue::try_from(value).map_err(|_| SignatureError::Header)?;
            headers.insert(name, value);
            Ok(())
        };
        match self {
            Self::Standard => {
                let seconds = now.0.div_euclid(1_000);
                set("webhook-id", event)?;
                set("webhook-timestamp", &seconds.to_string())?;
                let signature = signature::standard(secrets, event, seconds, body)?;
                set("webhook-signature", &signature)?;
            }
            Self::Amn(AmnSignature { header, prefix, encoding }) => {
                let signature = signature::of_body(secrets, *encoding, body)?;
                set(header, &format!("{prefix}{signature}"))?;
                set("x-amn-delivery", event)?;
            }
        }
        Ok(headers)
    }

    /// Whether an answer of this status means that the endpoint has the event now.
    pub(super) fn takes(&self, status: StatusCode) -> bool {
        match self {
            Self::Standard => status.is_success(),
            Self::Amn(_) => matches!(status, StatusCode::OK | StatusCode::ACCEPTED),
        }
    }
}

/// AMN's envelope. What is not known is left out: its backend takes a key for a value.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AmnBody<'a> {
    intent_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Retraction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<u64>,
    confirmations: u32,
    required_confirmations: u32,
    /// What is to be paid, as a decimal.
    amount: &'a str,
    token: &'a str,
    network: &'a str,
    sequence: u32,
}

fn amn_body(event: &Event) -> Option<String> {
    let intent = event.data.intent.as_ref()?;
    let status = amn_status(event.kind, intent)?;
    let rail = intent.leading_rail()?;
    let transaction = intent.completed_by.as_deref();
    let body = AmnBody {
        intent_id: &intent.id,
        status,
        reason: event.data.reason.filter(|_| event.kind == EventKind::PaymentReverted),
        tx_hash: transaction,
        transaction_hash: transaction,
        chain_id: rail.chain_id,
        confirmations: event.data.confirmations,
        required_confirmations: event.data.required_confirmations,
        amount: &rail.amount,
        token: &rail.asset,
        network: &rail.network,
        sequence: event.sequence,
    };
    serde_json::to_string(&body).ok()
}

const fn amn_status(kind: EventKind, intent: &IntentView) -> Option<&'static str> {
    match kind {
        EventKind::PaymentDetected | EventKind::PaymentPartial | EventKind::PaymentConfirming => {
            Some("processing")
        }
        EventKind::PaymentConfirmed => Some("confirmed"),
        EventKind::PaymentExpired => Some("failed"),
        EventKind::PaymentCancelled => Some("cancelled"),
        EventKind::PaymentReverted => Some(match intent.status {
            Status::Pending => "pending",
            Status::Partial | Status::Confirming => "processing",
            Status::Confirmed => "confirmed",
            Status::Expired => "failed",
            Status::Cancelled => "cancelled",
        }),
        EventKind::PaymentCreated
        | EventKind::PaymentSeen
        | EventKind::OrphanReceived
        | EventKind::OrphanReverted
        | EventKind::OrphanResolved
        | EventKind::DepositDetected
        | EventKind::DepositConfirmed
        | EventKind::DepositReverted
        | EventKind::Test => None,
    }
}
