//! By what things are known: networks, intents, wallets and events.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::kinds::EventKind;

/// A network's id in the registry (`bsc`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkId(Arc<str>);

impl NetworkId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NetworkId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By what an intent is known: the backend's id, unique in its account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentKey {
    /// The account.
    pub account: String,
    /// The backend's own id, 1 to 128 characters of `A-Za-z0-9._:-`.
    pub id: String,
}

/// `account/id`. Neither part can hold a slash.
impl fmt::Display for IntentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.id)
    }
}

/// Whose wallet, and which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WalletKey {
    /// Whose it is.
    pub account: String,
    /// The backend's own id.
    pub id: String,
}

/// `account//id`: with two strokes, so that it is no intent's key.
impl fmt::Display for WalletKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}//{}", self.account, self.id)
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
}
