//! From blocks to outcomes: one follower a network, its backfills beside it, and the clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `follower` | the cursor, block by block; reorgs |
//! | `branch` | another branch, held against ours down to the common ancestor |
//! | `dispute` | whose branch counts, where providers show different ones |
//! | `progress` | the status and the gauges |
//! | `commit` | what a step writes, in one transaction |
//! | `backfill` | looking again for watches that came later |
//! | `mempool` | what is in no block yet, beside the blocks |
//! | `sightings` | what a look at the mempool writes |
//! | `adjust` | open intents follow a threshold that an admin changed |
//! | `expiry` | intents whose time is over |
//! | `housekeeping` | what grows without end is pruned |
//! | `lookahead` | wallets' addresses are watched before they are handed out |
//! | `sharing` | which networks this instance follows, where there are several |

mod adjust;
mod backfill;
mod branch;
mod commit;
mod dispute;
mod expiry;
mod follower;
mod housekeeping;
mod lookahead;
mod mempool;
mod progress;
mod sharing;
mod sightings;

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use confirmd_chain::{Chain, Confirmations, Height};
use tokio::sync::Notify;

pub use adjust::{Adjuster, Exempt};
pub use commit::{Committer, DepositPolicy, Step};
pub use expiry::Expirer;
pub use follower::Follower;
pub use housekeeping::Housekeeper;
pub use lookahead::{LookAhead, Lookup, extend_wallet};
pub use sharing::{Grant, Sharing};
pub use sightings::Sightings;

/// One network as its follower needs it.
#[derive(Clone)]
pub struct Followed {
    /// Its providers.
    pub chain: Arc<dyn Chain>,
    /// The time between two looks at the head.
    pub poll_interval: Duration,
    /// The time between two looks at the mempool, where there is one.
    pub mempool_interval: Duration,
    /// The first height to scan where no cursor is stored; else the newest irreversible block of that moment.
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

/// How many blocks below the cursor are kept: a reorg that reaches below them needs an operator
/// (I5), and no intent can ask for more confirmations.
pub const KEPT_BLOCKS: u64 = 10_000;

/// Waits between tries: from a quarter of a second to a minute, for ever.
fn back_off() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_mins(1))
        .without_max_times()
        .build()
}
