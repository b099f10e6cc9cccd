//! Trying an endpoint out: one event, signed and posted as any other, that is not in the log.

use std::sync::Arc;

use confirmd_chain::{Amount, Timestamp};

use super::client::{Answer, Clients, CourierError};
use crate::clock::Clock;
use crate::config::{Dialect, Endpoint};
use crate::settlement::{
    AmountPolicy, Event, EventId, EventKind, IntentKey, IntentView, RailView, Status, rfc3339,
};
use crate::store::Attempt;

/// The intent that samples speak of.
const SAMPLE: &str = "confirmd-test";

/// Tries endpoints out. Cheap to clone.
#[derive(Clone)]
pub struct Trials {
    clients: Arc<Clients>,
    clock: Clock,
}

/// The endpoint's dialect has no word for this type of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dialect `{dialect}` has no word for `{kind}`; it says {says}")]
pub struct NoWord {
    dialect: &'static str,
    kind: EventKind,
    says: String,
}

impl std::fmt::Debug for Trials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trials").finish_non_exhaustive()
    }
}

impl Trials {
    /// With clients of the same limits and the same guard as the courier's.
    ///
    /// # Errors
    /// When they cannot be built.
    pub fn new(clock: Clock) -> Result<Self, CourierError> {
        Ok(Self { clients: Arc::new(Clients::new()?), clock })
    }

    /// Posts a sample of an event, once.
    ///
    /// # Errors
    /// When the endpoint's dialect cannot say such an event.
    pub async fn run(&self, endpoint: &Endpoint, kind: EventKind) -> Result<Attempt, NoWord> {
        let at = self.clock.now();
        let event = sample(kind, at);
        let dialect = &endpoint.dialect;
        let body = dialect.body(&event).ok_or_else(|| no_word(dialect, kind, at))?;
        let answer = match dialect.headers(&endpoint.secrets, event.id.as_str(), &body, at) {
            Ok(headers) => self.clients.post(endpoint, headers, body).await,
            Err(error) => Answer::not_sent(error),
        };
        let taken = answer.status.is_some_and(|status| dialect.takes(status));
        Ok(Attempt {
            at,
            status_code: answer.status.map(|status| status.as_u16()),
            latency_ms: u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX),
            error: (!taken || answer.error.is_some()).then(|| answer.failure()),
            answer: answer.body,
        })
    }
}

fn no_word(dialect: &Dialect, kind: EventKind, at: Timestamp) -> NoWord {
    let said = EventKind::ALL.into_iter().filter(|kind| dialect.body(&sample(*kind, at)).is_some());
    let says = said.map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
    NoWord { dialect: dialect.as_str(), kind, says }
}

/// An event that looks like one of its kind, of an intent that nobody has.
fn sample(kind: EventKind, at: Timestamp) -> Event {
    let key = IntentKey { account: SAMPLE.to_owned(), id: SAMPLE.to_owned() };
    // Each has an id of its own, so that a receiver that drops what it has seen takes all.
    let id = EventId::derive(&key.account, &ulid::Ulid::new().to_string(), 1, kind);
    Event::of_intent(id, kind, &key, 1, at, sample_intent(kind, at))
}

fn sample_intent(kind: EventKind, at: Timestamp) -> IntentView {
    let (status, received) = match kind {
        EventKind::PaymentConfirmed => (Status::Confirmed, 10),
        EventKind::PaymentDetected | EventKind::PaymentConfirming => (Status::Confirming, 10),
        EventKind::PaymentPartial => (Status::Partial, 5),
        EventKind::PaymentExpired => (Status::Expired, 0),
        EventKind::PaymentCancelled => (Status::Cancelled, 0),
        _ => (Status::Pending, 0),
    };
    let object = || serde_json::Value::Object(serde_json::Map::new());
    let confirmed = status == Status::Confirmed;
    IntentView {
        id: SAMPLE.to_owned(),
        status,
        overdue: false,
        settled_by: confirmed.then(|| "r1".to_owned()),
        completed_by: None,
        confirmations: u32::from(confirmed),
        required_confirmations: 1,
        rails: vec![sample_rail(received)],
        expires_at: rfc3339(at),
        tolerance: "0".to_owned(),
        endpoints: Vec::new(),
        metadata: object(),
        dialect_data: object(),
        created_at: rfc3339(at),
        updated_at: rfc3339(at),
        confirmed_at: confirmed.then(|| rfc3339(at)),
        transfers: Vec::new(),
        transfers_total: 0,
    }
}

fn sample_rail(received: u64) -> RailView {
    let received = Amount::from(received);
    RailView {
        rail_id: "r1".to_owned(),
        network: "test".to_owned(),
        caip2: "eip155:0".to_owned(),
        chain_id: Some(0),
        asset: "TEST".to_owned(),
        caip19: "eip155:0/slip44:1".to_owned(),
        decimals: 1,
        amount: "1".to_owned(),
        base_units: "10".to_owned(),
        address: "0x0000000000000000000000000000000000000000".to_owned(),
        token_account: None,
        payment_uri: None,
        memo: None,
        reference: None,
        r#match: None,
        amount_policy: AmountPolicy::AtLeast,
        required_confirmations: 1,
        replaced_at: None,
        received: received.to_decimal(1),
        received_base_units: received.to_string(),
        overpaid_by: None,
    }
}
