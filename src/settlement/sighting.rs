//! What mempools showed of transfers, and what was told of it.

use confirmd_chain::{FeeRate, Timestamp, TransactionId};
use serde::{Deserialize, Serialize};

use super::ids::{EventId, NetworkId};

/// After so long without being shown, nodes have forgotten a transaction (`-mempoolexpiry`), and it
/// holds no intent any more: two weeks.
pub const FORGOTTEN_AFTER_MS: i64 = 14 * 24 * 3_600_000;

/// What mempools showed of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What its transaction pays for being mined, where that is known.
    pub fee_rate: Option<FeeRate>,
    /// Whether its transaction says that it may be replaced (BIP-125).
    pub replaceable: bool,
    /// When a mempool showed it last, give or take an hour.
    pub shown_at: Timestamp,
    /// The transaction that spends what this one spends, where one showed up after it.
    pub replaced_by: Option<TransactionId>,
}

/// An unconfirmed transaction that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldSighting {
    /// The event's id.
    pub event: EventId,
    /// The network.
    pub network: NetworkId,
    /// The transaction; the newest, where others took its place that pay the same.
    pub transaction: TransactionId,
}
