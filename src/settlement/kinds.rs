//! What happens, and why something is taken back: the words of the events.

use std::fmt;

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_alike_everywhere() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::json!(kind), kind.as_str());
        }
    }
}
