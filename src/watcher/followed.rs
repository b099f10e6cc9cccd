//! One network as its tasks need it, and how they wait for it.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use confirmd_chain::{Chain, Confirmations, Height};
use tokio::sync::Notify;

/// How many blocks below the cursor are kept: a reorg that reaches below them needs an operator
/// (I5), and no intent can ask for more confirmations.
pub const KEPT_BLOCKS: u64 = 10_000;

/// One network as its follower needs it.
#[derive(Clone)]
pub struct Followed {
    /// Its providers.
    pub chain: Arc<dyn Chain>,
    /// The time between two looks at the head.
    pub poll_interval: Duration,
    /// The time between two looks at the mempool, where there is one.
    pub mempool_interval: Duration,
    /// The first height to scan where no cursor is stored; none: the newest irreversible block of
    /// that moment.
    pub start: Option<Height>,
    /// The confirmations that an intent needs here, for the status.
    pub threshold: Confirmations,
    /// How answers are proven, for the status.
    pub verify: &'static str,
    /// Woken when an intent is created here.
    pub new_watches: Arc<Notify>,
}

impl std::fmt::Debug for Followed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followed").field("verify", &self.verify).finish_non_exhaustive()
    }
}

/// Waits between tries: from a quarter of a second to a minute, for ever.
pub(super) fn back_off() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_mins(1))
        .without_max_times()
        .build()
}
